//! The events of a batch: jobs that one user requested together.
//!
//! The requests are recorded in the batch, one event each and all in one append with `BatchRequested`: from then on the
//! batch is accepted as a whole, and its jobs come into being whatever is killed. So a job's request stands in the log
//! twice, in its batch and in the job; no event is larger than a job's own.

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};

use super::event::StandIn::Nothing;
use super::event::Text::{Personal, Public};
use super::event::{Event, Text};
use super::job::JobRequested;
use super::request::Priority;
use crate::ids::{BatchId, JobId};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, IntoStaticStr, VariantNames)]
#[serde(tag = "type", content = "data")]
pub enum BatchEvent {
    BatchRequested {
        user_id: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        batch_name: Option<String>,
        batch_priority: Priority,
        /// In the order of the request.
        job_ids: Vec<JobId>,
    },
    BatchJobRequested(BatchJobRequested),
    BatchJobEnded(JobShare),
    /// A job that had ended begins again.
    BatchJobReopened {
        job_id: JobId,
    },
    /// All jobs have ended. Follows once more after a job was reopened.
    BatchCompleted(Totals),
    /// The key of the user's content is destroyed: the batch's name is gone, and the requests of its jobs.
    BatchContentErased {},
}

/// What the job number `index` of the batch, from 0, is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchJobRequested {
    pub index: u32,
    #[serde(flatten)]
    pub requested: JobRequested,
}

/// How a job of the batch ended, and what it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobShare {
    pub job_id: JobId,
    pub status: EndStatus,
    /// From the beginning of its first stage to its end.
    pub processing_ms: u64,
    /// Duration of its video; 0 without one.
    pub video_ms: u64,
    /// Size of its video; 0 without one.
    pub video_bytes: u64,
}

/// How a job can end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndStatus {
    Completed,
    Failed,
    Cancelled,
}

/// What the jobs of a batch came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    pub completed: u32,
    pub failed: u32,
    pub cancelled: u32,
    pub processing_ms: u64,
    pub video_ms: u64,
    pub video_bytes: u64,
}

impl Totals {
    /// Adds a job.
    pub fn add(&mut self, share: &JobShare) {
        let count = match share.status {
            EndStatus::Completed => &mut self.completed,
            EndStatus::Failed => &mut self.failed,
            EndStatus::Cancelled => &mut self.cancelled,
        };
        *count += 1;
        self.processing_ms += share.processing_ms;
        self.video_ms += share.video_ms;
        self.video_bytes += share.video_bytes;
    }
}

impl Event for BatchEvent {
    type Id = BatchId;

    const TYPES: &'static [&'static str] = Self::VARIANTS;

    fn type_name(&self) -> &'static str {
        self.into()
    }

    fn texts(&self) -> &'static [Text] {
        match self {
            BatchEvent::BatchRequested { .. } => &[
                Public("/user_id"),
                Personal("/batch_name", Nothing),
                Public("/batch_priority"),
                Public("/job_ids/*"),
            ],
            BatchEvent::BatchJobRequested(_) => JobRequested::TEXTS,
            BatchEvent::BatchJobEnded(_) => &[Public("/job_id"), Public("/status")],
            BatchEvent::BatchJobReopened { .. } => &[Public("/job_id")],
            BatchEvent::BatchCompleted(_) | BatchEvent::BatchContentErased {} => &[],
        }
    }
}
