//! What spans a batch and its jobs: jobs come into being for it, and it learns how they end.
//!
//! The API itself requests the jobs of a batch right after the batch is recorded, so that a client finds them at once.
//! [`BatchJobs`] sends the same commands under the same ids: usually they have been applied, and after a crash in between
//! they are what completes the batch.

use chrono::TimeDelta;

use super::process_manager::{Happened, Order, ProcessManager};
use crate::domain::job::{Job, Status};
use crate::domain::{batch, job};
use crate::events::batch::{BatchJobRequested, EndStatus, JobShare};
use crate::events::content::ENCRYPTED;
use crate::events::job::JobRequested;
use crate::events::{Actor, BatchEvent, JobEvent};
use crate::ids::{BatchId, CommandId, JobId};

/// Brings the jobs of batches into being.
pub struct BatchJobs;

impl ProcessManager for BatchJobs {
    type Source = BatchId;

    const NAME: &'static str = "batch_jobs";

    const NEEDS_STATE: bool = false;

    fn reacts_to(&self, event_type: &str) -> bool {
        event_type == "BatchJobRequested"
    }

    fn react(&self, happened: &Happened<BatchId>) -> Vec<Order> {
        match &happened.event {
            BatchEvent::BatchJobRequested(BatchJobRequested { index, requested })
                if !is_erased(requested) =>
            {
                let job_id = JobId::of_batch(happened.id, *index);
                let actor = Actor::User(requested.user_id.clone());
                let order = Order::new(job_id, job::Command::Request(requested.clone()));
                vec![order.sent_as(CommandId(job_id.0), actor)]
            }
            _ => vec![],
        }
    }
}

/// Whether the content of the request cannot be opened, because the key of it is destroyed: it becomes no job.
fn is_erased(requested: &JobRequested) -> bool {
    let request = &requested.request;
    let has_words = request.context.is_some() || request.script.is_some() || request.scenes.is_some();
    request.topic == ENCRYPTED && !has_words
}

/// Tells batches how their jobs end.
pub struct BatchEnds;

impl ProcessManager for BatchEnds {
    type Source = JobId;

    const NAME: &'static str = "batch_ends";

    fn reacts_to(&self, event_type: &str) -> bool {
        ["JobCompleted", "JobFailed", "JobCancelled", "JobReprocessRequested"].contains(&event_type)
    }

    fn is_indifferent_to(&self, first: &JobEvent) -> bool {
        matches!(
            first,
            JobEvent::JobRequested(JobRequested { batch_id: None, .. }) | JobEvent::JobImported(_)
        )
    }

    fn react(&self, happened: &Happened<JobId>) -> Vec<Order> {
        let (job_id, job) = (happened.id, happened.state.as_ref());
        let Some(batch_id) = job.batch_id else { return vec![] };
        let command = match job.status {
            Status::Completed => batch::Command::NoteEnd(share(job_id, job, EndStatus::Completed)),
            Status::Failed => batch::Command::NoteEnd(share(job_id, job, EndStatus::Failed)),
            Status::Cancelled => batch::Command::NoteEnd(share(job_id, job, EndStatus::Cancelled)),
            Status::Queued => batch::Command::NoteReopened { job_id },
            Status::Unknown | Status::Processing => return vec![],
        };
        vec![Order::new(batch_id, command)]
    }
}

fn share(job_id: JobId, job: &Job, status: EndStatus) -> JobShare {
    let began = job.stages.values().filter_map(|stage| stage.started_at).min();
    let took = began.zip(job.ended_at).map_or(TimeDelta::zero(), |(began, ended)| ended - began);
    let video = job.video.as_ref().filter(|_| status == EndStatus::Completed);
    JobShare {
        job_id,
        status,
        // Clocks may jump back; a duration is never less than nothing.
        processing_ms: took.num_milliseconds().max(0) as u64,
        video_ms: video.map_or(0, |video| video.duration_ms),
        video_bytes: video.map_or(0, |video| video.file_size),
    }
}
