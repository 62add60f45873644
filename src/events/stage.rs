//! The stages of the pipeline: their order, names and share of the progress bar.

use std::fmt;

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};

/// A stage of the pipeline, in running order.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    IntoStaticStr,
    EnumString,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Stage {
    Initializing,
    Planning,
    ScenarioCreation,
    CodeGeneration,
    Rendering,
    Combining,
    Storage,
}

impl Stage {
    pub const ALL: [Stage; 7] = [
        Stage::Initializing,
        Stage::Planning,
        Stage::ScenarioCreation,
        Stage::CodeGeneration,
        Stage::Rendering,
        Stage::Combining,
        Stage::Storage,
    ];

    /// The name in events, stream keys, `streams.toml` and the API.
    pub fn name(self) -> &'static str {
        self.into()
    }

    pub fn parse(name: &str) -> Option<Stage> {
        name.parse().ok()
    }

    pub fn next(self) -> Option<Stage> {
        Stage::ALL.get(self as usize + 1).copied()
    }

    /// The job's percentage when this stage begins (001-2.1 to 001-2.7).
    pub fn starts_at_percent(self) -> f64 {
        match self {
            Stage::Initializing => 5.0,
            Stage::Planning => 15.0,
            Stage::ScenarioCreation => 30.0,
            Stage::CodeGeneration => 50.0,
            Stage::Rendering => 80.0,
            Stage::Combining => 90.0,
            Stage::Storage => 95.0,
        }
    }

    /// The job's percentage when `fraction` (0 to 1) of this stage is done. The end of a stage is
    /// the beginning of the next, and the end of the last is 100.
    pub fn percent_at(self, fraction: f64) -> f64 {
        let start = self.starts_at_percent();
        let end = self.next().map_or(100.0, Stage::starts_at_percent);
        start + (end - start) * fraction.clamp(0.0, 1.0)
    }

    /// Returns `true` when the stage's work is split into one piece per scene.
    pub fn is_per_scene(self) -> bool {
        matches!(self, Stage::CodeGeneration | Stage::Rendering)
    }

    /// Returns the message for users while the stage runs.
    pub fn description(self) -> &'static str {
        match self {
            Stage::Initializing => "Checking the request and preparing the workspace",
            Stage::Planning => "Planning scenes from the script",
            Stage::ScenarioCreation => "Speaking the narration and measuring it",
            Stage::CodeGeneration => "Writing the source of each scene",
            Stage::Rendering => "Rendering scenes",
            Stage::Combining => "Joining scenes into one video",
            Stage::Storage => "Checking and storing the video",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // 001-2.1 to 001-2.8
    #[test]
    fn stages_begin_at_the_promised_percentages() {
        let starts: Vec<f64> = Stage::ALL.iter().map(|stage| stage.starts_at_percent()).collect();
        assert_eq!(starts, [5.0, 15.0, 30.0, 50.0, 80.0, 90.0, 95.0]);
        assert_eq!(Stage::Storage.percent_at(1.0), 100.0);
    }

    #[test]
    fn a_stage_ends_where_the_next_begins() {
        for stage in Stage::ALL {
            let end = stage.percent_at(1.0);
            assert_eq!(end, stage.next().map_or(100.0, Stage::starts_at_percent), "{stage}");
            assert!(stage.percent_at(0.5) > stage.starts_at_percent());
        }
    }

    #[test]
    fn names_round_trip() {
        for stage in Stage::ALL {
            assert_eq!(Stage::parse(stage.name()), Some(stage));
            assert_eq!(serde_json::to_value(stage).unwrap(), stage.name());
        }
        assert_eq!(Stage::parse("completed"), None);
    }
}
