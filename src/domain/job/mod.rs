//! The job aggregate: one request on its way to one video.

mod command;
mod decide;
#[cfg(test)]
mod decide_tests;
mod state;

pub use command::{Command, Outcome};
pub use decide::{Rejection, decide};
pub use state::{Job, SceneProgress, StageProgress, Status};

use crate::events::job::WorkItem;
use crate::events::{JobEvent, Mark};

/// What events make of a job, as queues and operators need to know it.
pub fn mark(events: &[JobEvent]) -> Option<Mark> {
    events.iter().rev().find_map(|event| match event {
        JobEvent::JobRequested(_) | JobEvent::JobReprocessRequested { .. } => Some(Mark::Open),
        JobEvent::JobCompleted { .. } | JobEvent::JobCancelled { .. } => Some(Mark::Closed),
        JobEvent::DeadLetterDiscarded { .. } => Some(Mark::Closed),
        JobEvent::JobFailed { .. } => Some(Mark::Dead),
        _ => None,
    })
}

/// The work that an event puts on a stage's stream, and after how many ms.
pub fn scheduled_work(event: &JobEvent) -> Option<(WorkItem, u64)> {
    match event {
        JobEvent::StageScheduled(item) => Some((*item, 0)),
        JobEvent::StageRetryScheduled { item, delay_ms } => Some((*item, *delay_ms)),
        _ => None,
    }
}
