//! Pointers to work on the stage streams. A pointer says where the work is described (an aggregate
//! and a version) and carries the token of its current attempt; the log alone says what is to be done.

use super::job::WorkItem;
use super::{Priority, Stage};
use crate::ids::{AggregateId, AttemptToken};

/// Work to be put on a stage's stream by the append that records its scheduling event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledWork {
    pub item: WorkItem,
    pub priority: Priority,
    pub token: AttemptToken,
    /// Version of the scheduling event.
    pub version: u64,
    /// 0 for work that may begin at once.
    pub delay_ms: u64,
}

/// Work taken from a stage's stream.
#[derive(Debug, Clone)]
pub struct TakenWork {
    pub aggregate_id: AggregateId,
    pub stage: Stage,
    pub scene: Option<u32>,
    pub version: u64,
    pub receipt: Receipt,
}

/// What acknowledges a piece of work, inside the append of its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub stream: String,
    pub group: String,
    pub entry_id: String,
    /// Field of the work in the aggregate's attempts hash.
    pub attempt_field: String,
    pub token: AttemptToken,
}

/// Names a piece of work within its aggregate: `rendering:3`, or `planning` for a whole stage.
pub fn attempt_field(stage: Stage, scene: Option<u32>) -> String {
    match scene {
        Some(scene) => format!("{stage}:{scene}"),
        None => stage.to_string(),
    }
}
