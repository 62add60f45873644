//! What can be asked of a batch, and which events follow.

use super::{Batch, MAX_JOBS};
use crate::events::batch::{BatchJobRequested, JobShare};
use crate::events::job::JobRequested;
use crate::events::{BatchEvent, Priority, VideoRequest};
use crate::ids::{BatchId, JobId};

#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Accept the jobs, all of them.
    Request {
        batch_id: BatchId,
        user_id: String,
        name: Option<String>,
        priority: Priority,
        requests: Vec<VideoRequest>,
    },
    /// Note that a job has ended.
    NoteEnd(JobShare),
    /// Note that a job which had ended begins again.
    NoteReopened { job_id: JobId },
    /// Forget what the user wrote; the key of it is destroyed.
    EraseContent,
}

/// Why a command leads to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the batch exists already")]
    AlreadyRequested,
    #[error("there is no such batch")]
    Unknown,
    #[error("the batch has {count} jobs, but must have 1 to {MAX_JOBS}")]
    Size { count: usize },
    #[error("job {0} is not one of the batch")]
    NoMember(JobId),
}

pub(super) fn decide(batch: &Batch, command: Command) -> Result<Vec<BatchEvent>, Rejection> {
    if let Command::Request { batch_id, user_id, name, priority, requests } = command {
        return match (batch.jobs.is_empty(), requests.len()) {
            (false, _) => Err(Rejection::AlreadyRequested),
            (true, 1..=MAX_JOBS) => Ok(request(batch_id, user_id, name, priority, requests)),
            (true, count) => Err(Rejection::Size { count }),
        };
    }
    if batch.jobs.is_empty() {
        return Err(Rejection::Unknown);
    }
    match command {
        Command::NoteEnd(share) => note_end(batch, share),
        Command::NoteReopened { job_id } => note_reopened(batch, job_id),
        Command::EraseContent if batch.is_erased => Ok(vec![]),
        Command::EraseContent => Ok(vec![BatchEvent::BatchContentErased {}]),
        Command::Request { .. } => Err(Rejection::AlreadyRequested),
    }
}

fn request(
    batch_id: BatchId,
    user_id: String,
    batch_name: Option<String>,
    batch_priority: Priority,
    requests: Vec<VideoRequest>,
) -> Vec<BatchEvent> {
    let job_ids = (0..requests.len() as u32).map(|index| JobId::of_batch(batch_id, index)).collect();
    let jobs = (0..).zip(requests).map(|(index, request)| {
        let requested =
            JobRequested { user_id: user_id.clone(), request: Box::new(request), batch_id: Some(batch_id) };
        BatchEvent::BatchJobRequested(BatchJobRequested { index, requested })
    });
    let batch = BatchEvent::BatchRequested { user_id: user_id.clone(), batch_name, batch_priority, job_ids };
    std::iter::once(batch).chain(jobs).collect()
}

fn note_end(batch: &Batch, share: JobShare) -> Result<Vec<BatchEvent>, Rejection> {
    let mut after = batch.clone();
    let member = after.member(share.job_id).ok_or(Rejection::NoMember(share.job_id))?;
    if member.share.replace(share) == Some(share) {
        return Ok(vec![]);
    }
    let ended = BatchEvent::BatchJobEnded(share);
    Ok(std::iter::once(ended).chain(after.totals().map(BatchEvent::BatchCompleted)).collect())
}

fn note_reopened(batch: &Batch, job_id: JobId) -> Result<Vec<BatchEvent>, Rejection> {
    let member = batch.jobs.iter().find(|member| member.job_id == job_id);
    match member.ok_or(Rejection::NoMember(job_id))?.share {
        Some(_) => Ok(vec![BatchEvent::BatchJobReopened { job_id }]),
        None => Ok(vec![]),
    }
}
