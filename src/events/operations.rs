//! The events of the whole system: what operators decided about it while it ran.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};

use super::Stage;
use super::event::Event;
use super::event::Text::{self, Public};
use crate::ids::OperationsId;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, VariantNames)]
#[serde(tag = "type", content = "data")]
pub enum OperationsEvent {
    /// Workers take no more work of a stage. What they have taken, they finish.
    StagePaused {
        stage: Stage,
        reason: String,
    },
    StageResumed {
        stage: Stage,
    },
    /// No new jobs are accepted. Those that are open go on.
    DrainStarted {
        reason: String,
    },
    DrainEnded {},
    /// A setting has this value in all processes, whatever their streams.toml says.
    SettingChanged {
        name: String,
        value: String,
    },
    /// A setting has the value of streams.toml again.
    SettingReset {
        name: String,
    },
    /// Processes write the log lines that this filter lets through.
    LogFilterChanged {
        filter: String,
    },
    /// Processes write the log lines that they were started to write.
    LogFilterReset {},
    /// A process has read its streams.toml again, which had changed.
    SettingsReloaded {
        process: String,
        changed: Vec<ReloadedSetting>,
    },
    /// The log has grown for the `number`-th time: aggregates that are made from this time on spread over more partitions.
    PartitionsGrown {
        number: u64,
        partitions: u16,
        from: DateTime<Utc>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadedSetting {
    pub name: String,
    pub before: String,
    pub now: String,
}

impl Event for OperationsEvent {
    type Id = OperationsId;

    const TYPES: &'static [&'static str] = Self::VARIANTS;

    fn type_name(&self) -> &'static str {
        self.into()
    }

    /// All of it was written by operators, and is part of the audit trail.
    fn texts(&self) -> &'static [Text] {
        match self {
            OperationsEvent::StagePaused { .. } => &[Public("/stage"), Public("/reason")],
            OperationsEvent::StageResumed { .. } => &[Public("/stage")],
            OperationsEvent::DrainStarted { .. } => &[Public("/reason")],
            OperationsEvent::DrainEnded {} | OperationsEvent::LogFilterReset {} => &[],
            OperationsEvent::SettingChanged { .. } => &[Public("/name"), Public("/value")],
            OperationsEvent::SettingReset { .. } => &[Public("/name")],
            OperationsEvent::LogFilterChanged { .. } => &[Public("/filter")],
            OperationsEvent::SettingsReloaded { .. } => &[
                Public("/process"),
                Public("/changed/*/name"),
                Public("/changed/*/before"),
                Public("/changed/*/now"),
            ],
            OperationsEvent::PartitionsGrown { .. } => &[Public("/from")],
        }
    }
}
