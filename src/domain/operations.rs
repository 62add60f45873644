//! The whole system, as an aggregate: what operators decided about it while it ran. There is one.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::{Aggregate, Id};
use crate::events::{OperationsEvent, Recorded, ReloadedSetting, Stage};
use crate::ids::OperationsId;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Operations {
    pub paused: BTreeMap<Stage, Decision>,
    /// While no new jobs are accepted.
    pub drain: Option<Decision>,
    /// Name -> value, of those that do not have the value of streams.toml.
    pub settings: BTreeMap<String, String>,
    pub log_filter: Option<String>,
    /// Numbers of the log's growths that are recorded, from 1.
    pub growths: BTreeSet<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub reason: String,
    pub since: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Pause {
        stage: Stage,
        reason: String,
    },
    Resume {
        stage: Stage,
    },
    StartDrain {
        reason: String,
    },
    EndDrain,
    /// The sender has checked the name and the value.
    Set {
        name: String,
        value: String,
    },
    Reset {
        name: String,
    },
    SetLogFilter {
        filter: String,
    },
    ResetLogFilter,
    /// Note that a process has read its settings again.
    NoteReload {
        process: String,
        changed: Vec<ReloadedSetting>,
    },
    /// Note that the log has grown.
    NoteGrowth {
        number: u64,
        partitions: u16,
        from: DateTime<Utc>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("{0} is not paused")]
    NotPaused(Stage),
    #[error("the system accepts new jobs already")]
    NotDraining,
    #[error("{0} has the value of streams.toml already")]
    NotSet(String),
    #[error("the log filter is the one that processes were started with already")]
    NoLogFilter,
}

impl Id for OperationsId {
    type Aggregate = Operations;
}

impl Aggregate for Operations {
    type Event = OperationsEvent;
    type Command = Command;
    type Rejection = Rejection;

    fn decide(&self, command: Command) -> Result<Vec<OperationsEvent>, Rejection> {
        let event = match command {
            Command::Pause { stage, reason } => match self.paused.get(&stage) {
                Some(paused) if paused.reason == reason => return Ok(vec![]),
                _ => OperationsEvent::StagePaused { stage, reason },
            },
            Command::Resume { stage } if !self.paused.contains_key(&stage) => {
                return Err(Rejection::NotPaused(stage));
            }
            Command::Resume { stage } => OperationsEvent::StageResumed { stage },
            Command::StartDrain { reason } => match &self.drain {
                Some(drain) if drain.reason == reason => return Ok(vec![]),
                _ => OperationsEvent::DrainStarted { reason },
            },
            Command::EndDrain if self.drain.is_none() => return Err(Rejection::NotDraining),
            Command::EndDrain => OperationsEvent::DrainEnded {},
            Command::Set { name, value } if self.settings.get(&name) == Some(&value) => return Ok(vec![]),
            Command::Set { name, value } => OperationsEvent::SettingChanged { name, value },
            Command::Reset { name } if !self.settings.contains_key(&name) => {
                return Err(Rejection::NotSet(name));
            }
            Command::Reset { name } => OperationsEvent::SettingReset { name },
            Command::SetLogFilter { filter } if self.log_filter.as_ref() == Some(&filter) => {
                return Ok(vec![]);
            }
            Command::SetLogFilter { filter } => OperationsEvent::LogFilterChanged { filter },
            Command::ResetLogFilter if self.log_filter.is_none() => return Err(Rejection::NoLogFilter),
            Command::ResetLogFilter => OperationsEvent::LogFilterReset {},
            Command::NoteReload { changed, .. } if changed.is_empty() => return Ok(vec![]),
            Command::NoteReload { process, changed } => {
                OperationsEvent::SettingsReloaded { process, changed }
            }
            Command::NoteGrowth { number, .. } if self.growths.contains(&number) => {
                return Ok(vec![]);
            }
            Command::NoteGrowth { number, partitions, from } => {
                OperationsEvent::PartitionsGrown { number, partitions, from }
            }
        };
        Ok(vec![event])
    }

    fn evolve(mut self, recorded: &Recorded<OperationsEvent>) -> Self {
        let decision = |reason: &String| Decision { reason: reason.clone(), since: recorded.recorded_at };
        match &recorded.event {
            OperationsEvent::StagePaused { stage, reason } => {
                drop(self.paused.insert(*stage, decision(reason)))
            }
            OperationsEvent::StageResumed { stage } => drop(self.paused.remove(stage)),
            OperationsEvent::DrainStarted { reason } => self.drain = Some(decision(reason)),
            OperationsEvent::DrainEnded {} => self.drain = None,
            OperationsEvent::SettingChanged { name, value } => {
                self.settings.insert(name.clone(), value.clone());
            }
            OperationsEvent::SettingReset { name } => drop(self.settings.remove(name)),
            OperationsEvent::LogFilterChanged { filter } => self.log_filter = Some(filter.clone()),
            OperationsEvent::LogFilterReset {} => self.log_filter = None,
            OperationsEvent::SettingsReloaded { .. } => {}
            OperationsEvent::PartitionsGrown { number, .. } => drop(self.growths.insert(*number)),
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each command that is not refused, one after the other; the events, and the state in the end.
    fn after(commands: Vec<Command>) -> (Vec<OperationsEvent>, Operations) {
        let (mut events, mut state) = (vec![], Operations::default());
        for command in commands {
            for event in state.decide(command).unwrap() {
                let recorded =
                    Recorded { version: 1, recorded_at: DateTime::UNIX_EPOCH, event: event.clone() };
                state = state.evolve(&recorded);
                events.push(event);
            }
        }
        (events, state)
    }

    fn pause(reason: &str) -> Command {
        Command::Pause { stage: Stage::Rendering, reason: reason.into() }
    }

    #[test]
    fn a_pause_and_a_drain_hold_until_they_are_ended_and_say_why() {
        let drain = Command::StartDrain { reason: "new disks".into() };
        let (events, state) = after(vec![pause("GPU is hot"), pause("GPU is hot"), drain.clone(), drain]);
        assert_eq!(events.len(), 2, "the repeated decisions record nothing: {events:?}");
        assert_eq!(state.paused[&Stage::Rendering].reason, "GPU is hot");
        assert_eq!(state.drain.unwrap().reason, "new disks");
        let (events, state) = after(vec![
            pause("GPU is hot"),
            pause("still hot"),
            Command::Resume { stage: Stage::Rendering },
            Command::StartDrain { reason: "new disks".into() },
            Command::EndDrain,
        ]);
        assert_eq!((events.len(), state), (5, Operations::default()));
    }

    #[test]
    fn what_is_not_so_cannot_be_ended() {
        let state = Operations::default();
        let refused = |command| state.decide(command).unwrap_err().to_string();
        assert_eq!(refused(Command::Resume { stage: Stage::Planning }), "planning is not paused");
        assert!(refused(Command::EndDrain).contains("accepts new jobs already"));
        assert!(refused(Command::Reset { name: "limits.open_jobs".into() }).contains("limits.open_jobs"));
        assert!(refused(Command::ResetLogFilter).contains("log filter"));
    }

    #[test]
    fn settings_and_the_log_filter_have_the_last_value_until_they_are_reset() {
        let set = |value: &str| Command::Set { name: "limits.open_jobs".into(), value: value.into() };
        let filter = |filter: &str| Command::SetLogFilter { filter: filter.into() };
        let (events, state) = after(vec![set("5"), set("5"), set("6"), filter("debug"), filter("debug")]);
        assert_eq!((events.len(), state.settings["limits.open_jobs"].as_str()), (3, "6"));
        assert_eq!(state.log_filter.as_deref(), Some("debug"));
    }

    #[test]
    fn a_reload_that_changed_nothing_and_a_growth_that_is_recorded_are_not_recorded_again() {
        let growth = Command::NoteGrowth { number: 1, partitions: 16, from: DateTime::UNIX_EPOCH };
        let reload = Command::NoteReload { process: "a:1".into(), changed: vec![] };
        assert_eq!(after(vec![growth.clone(), growth, reload]).0.len(), 1);
    }
}
