//! Rebuilds queues from the log. When they are lost (a restore of the log alone, an operator's `DEL`), all open work is queued
//! again, and delayed work with the rest of its delay.
//!
//! Safe while workers run: work in progress is refused when it finishes, because its entry is gone, and done again. One process
//! at a time rebuilds the queues of a partition. A job that changes meanwhile is folded again, so that nothing is queued for an
//! ended job. A job whose events cannot be read stays open, without work.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;

use super::runner::LOG_PAUSE;
use crate::domain::job::{Job, Status};
use crate::events::job::WorkItem;
use crate::events::queue::{QueueBuilder, QueuedAgain};
use crate::events::work::{ScheduledWork, requester};
use crate::events::{self, Envelope, WorkQueue};
use crate::execute::{self, Executor};
use crate::ids::JobId;
use crate::telemetry::chain;

/// Events read at a time.
const BATCH: usize = 500;
/// Most folds of a job that changes while the queues are rebuilt.
const MAX_FOLDS: usize = 32;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the event log failed")]
    Log(#[from] events::Error),
    #[error("another process builds the queues of partition {partition}; wait until it has finished")]
    Busy { partition: u16 },
    #[error("another process has begun to build the queues of partition {partition}")]
    Lost { partition: u16 },
    #[error("job {job_id} changed {MAX_FOLDS} times while its work was being queued")]
    Contended { job_id: JobId },
}

impl Error {
    /// Returns `true` when a retry may work.
    fn is_retryable(&self) -> bool {
        match self {
            Error::Log(error) => error.is_retryable(),
            Error::Busy { .. } | Error::Lost { .. } | Error::Contended { .. } => true,
        }
    }
}

/// The result of rebuilding one partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rebuilt {
    pub open_jobs: u64,
    pub pieces: u64,
    pub dead_letters: u64,
    /// Open jobs whose events cannot be read.
    pub unreadable: u64,
}

/// A job up to the last event read.
#[derive(Default)]
struct Seen {
    job: Job,
    version: u64,
    is_unreadable: bool,
    scheduled: BTreeMap<WorkItem, Scheduled>,
}

struct Scheduled {
    work: ScheduledWork,
    /// The event that scheduled the work.
    seq: u64,
    due: DateTime<Utc>,
}

/// Rebuilds the queues of partitions that are not marked as complete. Retries until it succeeds or `stop`.
pub(super) async fn where_incomplete(executor: &Executor, queue: &WorkQueue, stop: &CancellationToken) {
    for partition in queue.keys().partitions() {
        loop {
            match rebuild_if_incomplete(executor, queue, partition).await {
                Ok(Some(Rebuilt { open_jobs, pieces, dead_letters, unreadable }))
                    if pieces + dead_letters > 0 =>
                {
                    tracing::warn!(
                        partition,
                        open_jobs,
                        pieces,
                        dead_letters,
                        unreadable,
                        "queues were built again from the log"
                    );
                }
                Ok(_) => {}
                Err(error) if error.is_retryable() && !stop.is_cancelled() => {
                    tracing::warn!(partition, error = %chain(&error), "cannot look at the queues, trying again");
                    tokio::time::sleep(LOG_PAUSE).await;
                    continue;
                }
                Err(error) => {
                    tracing::error!(partition, error = %chain(&error), "queues cannot be built from the log");
                }
            }
            break;
        }
    }
}

async fn rebuild_if_incomplete(
    executor: &Executor,
    queue: &WorkQueue,
    partition: u16,
) -> Result<Option<Rebuilt>, Error> {
    // In this order: the first append to a log says that its queues are complete.
    if executor.log().head(partition).await? == 0 {
        queue.set_complete(partition).await?;
        return Ok(None);
    }
    if queue.is_complete(partition).await? {
        return Ok(None);
    }
    rebuild(executor, queue, partition).await.map(Some)
}

/// Drops the queues of a partition and rebuilds them from its log.
pub async fn rebuild(executor: &Executor, queue: &WorkQueue, partition: u16) -> Result<Rebuilt, Error> {
    let builder = queue.begin_building(partition).await?.ok_or(Error::Busy { partition })?;
    let mut seen: BTreeMap<JobId, Seen> = BTreeMap::new();
    let mut after = 0;
    loop {
        let events = executor.log().read(partition, after, BATCH).await?;
        let Some((last, _)) = events.last() else { break };
        after = *last;
        for (seq, envelope) in &events {
            see(&mut seen, *seq, envelope);
        }
        // Most jobs of a log have ended: nothing else is needed of them.
        seen.retain(|_, seen| seen.job.status != Status::Completed);
        if !builder.renew().await? {
            return Err(Error::Lost { partition });
        }
    }
    let mut rebuilt = Rebuilt::default();
    for (job_id, seen) in seen {
        queue_job(executor, &builder, job_id, seen, &mut rebuilt).await?;
    }
    match builder.finish().await? {
        true => Ok(rebuilt),
        false => Err(Error::Lost { partition }),
    }
}

/// Queues the open work of a job, and folds it again when it changes meanwhile.
async fn queue_job(
    executor: &Executor,
    builder: &QueueBuilder,
    job_id: JobId,
    mut seen: Seen,
    rebuilt: &mut Rebuilt,
) -> Result<(), Error> {
    let (id, now) = (job_id.aggregate(), executor.clock().now());
    for _ in 0..MAX_FOLDS {
        let is_dead = seen.job.status == Status::Failed && !seen.job.is_discarded && !seen.job.is_deleted;
        if seen.job.has_ended() && !is_dead {
            return Ok(());
        }
        let dead_since = is_dead.then(|| seen.job.ended_at.unwrap_or(now).timestamp_millis());
        let work = if is_dead { vec![] } else { seen.open_work(builder.dropped_at, now) };
        match builder.queue_again(id, seen.version, dead_since, &work).await? {
            QueuedAgain::Done => {
                if !is_dead && !seen.job.user_id.is_empty() {
                    let priority =
                        seen.job.request.as_ref().map(|request| request.priority).unwrap_or_default();
                    builder.count_again(id, &requester(&seen.job.user_id), priority).await?;
                }
                rebuilt.pieces += work.len() as u64;
                rebuilt.dead_letters += u64::from(is_dead);
                rebuilt.open_jobs += u64::from(!is_dead);
                rebuilt.unreadable += u64::from(seen.is_unreadable);
                return Ok(());
            }
            QueuedAgain::Changed => seen = fold(executor, job_id).await?,
            QueuedAgain::Lost => {
                return Err(Error::Lost { partition: executor.log().keys().partition_of(id) });
            }
        }
    }
    Err(Error::Contended { job_id })
}

/// Folds a job from its history.
async fn fold(executor: &Executor, job_id: JobId) -> Result<Seen, Error> {
    let id = job_id.aggregate();
    let seqs = executor.log().listed(id).await?;
    let history = executor.log().history(id, 0).await?;
    let mut seen = BTreeMap::new();
    for (seq, envelope) in seqs.into_iter().zip(&history) {
        see(&mut seen, seq, envelope);
    }
    Ok(seen.remove(&job_id).unwrap_or_default())
}

fn see(seen: &mut BTreeMap<JobId, Seen>, seq: u64, envelope: &Envelope) {
    let Some(job_id) = envelope.id::<JobId>() else { return };
    // Later events of a completed job, which was left out.
    if envelope.version > 1 && !seen.contains_key(&job_id) {
        return;
    }
    let of_job = seen.entry(job_id).or_default();
    of_job.version = envelope.version;
    // Queued work does not depend on personal texts.
    match execute::decode(envelope) {
        Ok(recorded) => {
            of_job.job = std::mem::take(&mut of_job.job).evolve(&recorded);
            if let Some(work) = execute::scheduled_work(envelope, &of_job.job, &recorded.event) {
                let due = recorded.recorded_at + TimeDelta::milliseconds(work.delay_ms as i64);
                of_job.scheduled.insert(work.item, Scheduled { work, seq, due });
            }
        }
        Err(error) => {
            let version = envelope.version;
            tracing::warn!(%job_id, version, error = %chain(&error), "no work is queued for a job that cannot be read");
            of_job.is_unreadable = true;
        }
    }
}

impl Seen {
    /// Returns the open work scheduled up to event `dropped_at`. Later work was queued when it was scheduled.
    fn open_work(&self, dropped_at: u64, now: DateTime<Utc>) -> Vec<ScheduledWork> {
        if self.is_unreadable {
            return vec![];
        }
        let is_wanted = |(item, scheduled): &(&WorkItem, &Scheduled)| {
            self.job.open_work.contains(item) && scheduled.seq <= dropped_at
        };
        let queued = self.scheduled.iter().filter(is_wanted).map(|(_, scheduled)| {
            let mut work = scheduled.work.clone();
            work.delay_ms = (scheduled.due - now).num_milliseconds().max(0) as u64;
            work
        });
        queued.collect()
    }
}
