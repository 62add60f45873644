//! The lanes of a stage's queue. Work of a lane before another goes first, except for a share that every lane has.

use super::job::WorkItem;
use super::{Priority, Stage};

/// A part of a stage's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    Urgent,
    /// What must be done before somebody can begin to watch, of jobs that have begun. Jobs begin by their priority.
    FirstScene,
    /// A later scene that somebody who watches will need in a few seconds.
    NextScene,
    High,
    Normal,
    Low,
}

impl Lane {
    /// In the order in which they are served.
    pub const ALL: [Lane; 6] =
        [Lane::Urgent, Lane::FirstScene, Lane::NextScene, Lane::High, Lane::Normal, Lane::Low];

    pub fn of(item: WorkItem, priority: Priority) -> Self {
        let is_first = match item.stage {
            Stage::Planning => true,
            Stage::ScenarioCreation | Stage::CodeGeneration | Stage::Rendering => item.scene == Some(0),
            Stage::Initializing | Stage::Combining | Stage::Storage => false,
        };
        match priority {
            Priority::Urgent => Lane::Urgent,
            _ if is_first => Lane::FirstScene,
            Priority::High => Lane::High,
            Priority::Normal => Lane::Normal,
            Priority::Low => Lane::Low,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Lane::Urgent => "urgent",
            Lane::FirstScene => "first_scene",
            Lane::NextScene => "next_scene",
            Lane::High => "high",
            Lane::Normal => "normal",
            Lane::Low => "low",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Lane::ALL.into_iter().find(|lane| lane.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_scene_goes_ahead_and_jobs_begin_by_priority() {
        let lane = |stage, scene, priority| Lane::of(WorkItem { stage, scene, attempt: 1 }, priority);
        assert_eq!(lane(Stage::Rendering, Some(0), Priority::Low), Lane::FirstScene);
        assert_eq!(lane(Stage::Rendering, Some(1), Priority::Low), Lane::Low);
        assert_eq!(lane(Stage::Rendering, Some(0), Priority::Urgent), Lane::Urgent);
        assert_eq!(lane(Stage::Planning, None, Priority::High), Lane::FirstScene);
        assert_eq!(lane(Stage::Initializing, None, Priority::High), Lane::High);
        assert_eq!(lane(Stage::Storage, None, Priority::Normal), Lane::Normal);
        for lane in Lane::ALL {
            assert_eq!(Lane::parse(lane.name()), Some(lane));
        }
        assert_eq!(Lane::parse(""), None);
    }
}
