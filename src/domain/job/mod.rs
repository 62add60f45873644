//! The job aggregate: one request on its way to one video.

mod command;
mod decide;
#[cfg(test)]
mod decide_tests;
mod state;
mod stream;
mod viewing;

pub use command::{Command, Outcome, SidecarAttempt, SidecarOutcome, UploadNote};
pub use decide::{Rejection, decide};
pub use state::{Job, MissingSidecar, SceneProgress, StageProgress, Status};
pub use stream::{Playlist, Stream, videos_with_streams};

use super::{Aggregate, Id, Scheduled};
use crate::events::{JobEvent, Mark, Recorded};
use crate::ids::JobId;

impl Id for JobId {
    type Aggregate = Job;
}

impl Aggregate for Job {
    type Event = JobEvent;
    type Command = Command;
    type Rejection = Rejection;

    fn decide(&self, command: Command) -> Result<Vec<JobEvent>, Rejection> {
        decide(self, command)
    }

    fn evolve(self, recorded: &Recorded<JobEvent>) -> Self {
        self.evolve(recorded)
    }

    fn is_beginning(command: &Command) -> bool {
        matches!(command, Command::Request(_) | Command::Import(_))
    }

    fn user<'a>(&'a self, event: &'a JobEvent) -> Option<&'a str> {
        match event {
            JobEvent::JobRequested(requested) => Some(&requested.user_id),
            JobEvent::JobImported(imported) => Some(&imported.user_id),
            _ => Some(&self.user_id),
        }
    }

    fn mark(events: &[JobEvent]) -> Option<Mark> {
        events.iter().rev().find_map(mark)
    }

    fn schedule(&self, event: &JobEvent) -> Option<Scheduled<'_>> {
        let (item, delay_ms) = match event {
            JobEvent::StageScheduled(item) => (*item, 0),
            JobEvent::StageRetryScheduled { item, delay_ms } => (*item, *delay_ms),
            JobEvent::JobRequested(_)
            | JobEvent::JobImported(_)
            | JobEvent::JobQueued { .. }
            | JobEvent::StageStarted { .. }
            | JobEvent::StageProgressed(_)
            | JobEvent::ScenePlanned { .. }
            | JobEvent::SceneCodeAttempted(_)
            | JobEvent::ScenarioCreated { .. }
            | JobEvent::SceneNarrated { .. }
            | JobEvent::SceneCodeGenerated { .. }
            | JobEvent::StreamBegan { .. }
            | JobEvent::SceneRendered { .. }
            | JobEvent::VideoCombined { .. }
            | JobEvent::ThumbnailCreated(_)
            | JobEvent::UploadStarted { .. }
            | JobEvent::UploadProgressed(_)
            | JobEvent::UploadRetried(_)
            | JobEvent::StorageFellBack { .. }
            | JobEvent::UploadCompleted { .. }
            | JobEvent::StorageCaughtUp { .. }
            | JobEvent::SidecarFailed(_)
            | JobEvent::SidecarStored(_)
            | JobEvent::StageCompleted { .. }
            | JobEvent::StageMeasured(_)
            | JobEvent::StageFailed { .. }
            | JobEvent::ModelCalled(_)
            | JobEvent::SceneReviewed(_)
            | JobEvent::WarningRaised { .. }
            | JobEvent::JobCompleted { .. }
            | JobEvent::JobFailed { .. }
            | JobEvent::CancelRequested { .. }
            | JobEvent::JobCancelled { .. }
            | JobEvent::JobReprocessRequested { .. }
            | JobEvent::DeadLetterDiscarded { .. }
            | JobEvent::ContentErased {}
            | JobEvent::JobDeleted {}
            | JobEvent::DeletedFilesRemoved {}
            | JobEvent::PartialStreamRemoved {}
            | JobEvent::VideoExpired { .. } => return None,
        };
        let priority = self.request.as_ref().map(|request| request.priority).unwrap_or_default();
        let began_ms = self.began_at().or(self.requested_at).map_or(0, |at| at.timestamp_millis());
        let deadline = self.needed_at(item);
        Some(Scheduled { item, delay_ms, priority, user_id: &self.user_id, began_ms, deadline })
    }

    fn is_settled(&self) -> bool {
        self.has_ended()
    }
}

/// What one event makes of a job. Names every event: a new one that ends a job would leave it open for ever.
fn mark(event: &JobEvent) -> Option<Mark> {
    match event {
        JobEvent::JobRequested(_) | JobEvent::JobReprocessRequested { .. } => Some(Mark::Open),
        // A failure of another system waits for no operator of this one.
        JobEvent::JobImported(_)
        | JobEvent::JobCompleted { .. }
        | JobEvent::JobCancelled { .. }
        | JobEvent::DeadLetterDiscarded { .. }
        | JobEvent::JobDeleted {} => Some(Mark::Closed),
        JobEvent::JobFailed { .. } => Some(Mark::Dead),
        JobEvent::JobQueued { .. }
        | JobEvent::StageScheduled(_)
        | JobEvent::StageStarted { .. }
        | JobEvent::StageProgressed(_)
        | JobEvent::ScenePlanned { .. }
        | JobEvent::SceneCodeAttempted(_)
        | JobEvent::ScenarioCreated { .. }
        | JobEvent::SceneNarrated { .. }
        | JobEvent::SceneCodeGenerated { .. }
        | JobEvent::StreamBegan { .. }
        | JobEvent::SceneRendered { .. }
        | JobEvent::VideoCombined { .. }
        | JobEvent::ThumbnailCreated(_)
        | JobEvent::UploadStarted { .. }
        | JobEvent::UploadProgressed(_)
        | JobEvent::UploadRetried(_)
        | JobEvent::StorageFellBack { .. }
        | JobEvent::UploadCompleted { .. }
        | JobEvent::StorageCaughtUp { .. }
        | JobEvent::SidecarFailed(_)
        | JobEvent::SidecarStored(_)
        | JobEvent::StageCompleted { .. }
        | JobEvent::StageMeasured(_)
        | JobEvent::StageFailed { .. }
        | JobEvent::ModelCalled(_)
        | JobEvent::SceneReviewed(_)
        | JobEvent::WarningRaised { .. }
        | JobEvent::StageRetryScheduled { .. }
        | JobEvent::CancelRequested { .. }
        | JobEvent::ContentErased {}
        | JobEvent::DeletedFilesRemoved {}
        | JobEvent::PartialStreamRemoved {}
        | JobEvent::VideoExpired { .. } => None,
    }
}
