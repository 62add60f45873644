//! The batch aggregate: jobs that one user requested together.
//!
//! A batch says which jobs belong together and how they ended. It decides nothing about them: each job has its own history,
//! and one that fails changes no other. `consumers::batches` brings the jobs into being, and notes here how they end.
//! Deliberately absent: cancelling. A batch is cancelled job by job.

mod decide;
#[cfg(test)]
mod decide_tests;

pub use decide::{Command, Rejection};

use chrono::{DateTime, Utc};

use super::{Aggregate, Id};
use crate::events::batch::{BatchJobRequested, JobShare, Totals};
use crate::events::{BatchEvent, Priority, Recorded};
use crate::ids::{BatchId, JobId};

/// Jobs of one batch, at most.
pub const MAX_JOBS: usize = 50;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    pub user_id: String,
    pub name: Option<String>,
    pub priority: Priority,
    /// In the order of the request; empty for a batch that does not exist.
    pub jobs: Vec<Member>,
    pub requested_at: Option<DateTime<Utc>>,
    /// When all jobs had ended; `None` again while one of them is begun again.
    pub completed_at: Option<DateTime<Utc>>,
    /// Whether what the user wrote is gone.
    pub is_erased: bool,
}

/// A job of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    pub job_id: JobId,
    /// `None` while the job has not ended.
    pub share: Option<JobShare>,
}

impl Batch {
    pub fn job_ids(&self) -> impl Iterator<Item = JobId> {
        self.jobs.iter().map(|member| member.job_id)
    }

    /// What all jobs came to, once all have ended.
    fn totals(&self) -> Option<Totals> {
        let mut totals = Totals::default();
        for member in &self.jobs {
            totals.add(member.share.as_ref()?);
        }
        Some(totals)
    }

    fn member(&mut self, job_id: JobId) -> Option<&mut Member> {
        self.jobs.iter_mut().find(|member| member.job_id == job_id)
    }

    fn set_share(&mut self, job_id: JobId, share: Option<JobShare>) {
        if let Some(member) = self.member(job_id) {
            member.share = share;
        }
    }
}

impl Id for BatchId {
    type Aggregate = Batch;
}

impl Aggregate for Batch {
    type Event = BatchEvent;
    type Command = Command;
    type Rejection = Rejection;

    fn decide(&self, command: Command) -> Result<Vec<BatchEvent>, Rejection> {
        decide::decide(self, command)
    }

    fn evolve(mut self, recorded: &Recorded<BatchEvent>) -> Self {
        match &recorded.event {
            BatchEvent::BatchRequested { user_id, batch_name, batch_priority, job_ids } => {
                self.user_id.clone_from(user_id);
                self.name.clone_from(batch_name);
                self.priority = *batch_priority;
                self.jobs = job_ids.iter().map(|job_id| Member { job_id: *job_id, share: None }).collect();
                self.requested_at = Some(recorded.recorded_at);
            }
            // The request is for the job, not for what is decided here.
            BatchEvent::BatchJobRequested(BatchJobRequested { .. }) => {}
            BatchEvent::BatchJobEnded(share) => self.set_share(share.job_id, Some(*share)),
            BatchEvent::BatchJobReopened { job_id } => {
                self.set_share(*job_id, None);
                self.completed_at = None;
            }
            BatchEvent::BatchCompleted(_) => self.completed_at = Some(recorded.recorded_at),
            BatchEvent::BatchContentErased {} => {
                self.name = None;
                self.is_erased = true;
            }
        }
        self
    }

    fn is_beginning(command: &Command) -> bool {
        matches!(command, Command::Request { .. })
    }

    fn user<'a>(&'a self, event: &'a BatchEvent) -> Option<&'a str> {
        match event {
            BatchEvent::BatchRequested { user_id, .. } => Some(user_id),
            _ => Some(&self.user_id),
        }
    }

    fn is_settled(&self) -> bool {
        self.completed_at.is_some()
    }
}
