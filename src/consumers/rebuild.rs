//! Queues from the log: when they are gone (a restore of the log alone, an operator's `DEL`), every piece of
//! open work is queued again, delayed work with what is left of its delay.
//!
//! Safe while workers run: what is under way is refused when it ends, because its entry is gone, and is done again.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;

use super::runner::LOG_PAUSE;
use crate::domain::job::{Job, Status, scheduled_work};
use crate::events::job::WorkItem;
use crate::events::work::{ScheduledWork, requester};
use crate::events::{AggregateKind, Envelope, WorkQueue};
use crate::execute::{self, Error, Executor};
use crate::ids::JobId;
use crate::telemetry::chain;

/// Events read at a time.
const BATCH: usize = 500;

/// What was found in one partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rebuilt {
    pub open_jobs: u64,
    pub pieces: u64,
    pub dead_letters: u64,
}

#[derive(Default)]
struct Seen {
    job: Job,
    scheduled: BTreeMap<WorkItem, (ScheduledWork, DateTime<Utc>)>,
}

/// Builds the queues of those partitions that are not known to be complete. Tries until it works or `stop`.
pub(super) async fn where_incomplete(executor: &Executor, queue: &WorkQueue, stop: &CancellationToken) {
    for partition in queue.keys().partitions() {
        loop {
            match rebuild_if_incomplete(executor, queue, partition).await {
                Ok(Some(Rebuilt { open_jobs, pieces, dead_letters })) if pieces + dead_letters > 0 => {
                    tracing::warn!(
                        partition,
                        open_jobs,
                        pieces,
                        dead_letters,
                        "queues were built again from the log"
                    );
                }
                Ok(_) => {}
                Err(error) if error.is_passing() && !stop.is_cancelled() => {
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

/// Throws the queues of a partition away and builds them again from its log.
pub async fn rebuild(executor: &Executor, queue: &WorkQueue, partition: u16) -> Result<Rebuilt, Error> {
    // What is appended from here on queues its own work.
    queue.drop_queues(partition).await?;
    let mut seen: BTreeMap<JobId, Seen> = BTreeMap::new();
    let mut after = 0;
    loop {
        let events = executor.log().read(partition, after, BATCH).await?;
        let Some((last, _)) = events.last() else { break };
        after = *last;
        for (_, envelope) in &events {
            see(&mut seen, envelope)?;
        }
        // Jobs that have ended are most of a log; only what says so of them is needed.
        seen.retain(|_, seen| seen.job.status != Status::Completed);
    }
    let now = executor.clock().now();
    let mut rebuilt = Rebuilt::default();
    for (job_id, Seen { job, scheduled }) in seen {
        let id = job_id.aggregate();
        if job.status == Status::Failed && !job.is_discarded {
            queue.mark_again(id, Some(job.ended_at.unwrap_or(now).timestamp_millis())).await?;
            rebuilt.dead_letters += 1;
        }
        if job.has_ended() {
            continue;
        }
        queue.mark_again(id, None).await?;
        let priority = job.request.as_ref().map(|request| request.priority).unwrap_or_default();
        queue.count_again(id, &requester(&job.user_id), priority).await?;
        rebuilt.open_jobs += 1;
        for (item, (mut work, due)) in scheduled {
            if job.open_work.contains(&item) {
                work.delay_ms = (due - now).num_milliseconds().max(0) as u64;
                queue.queue_again(id, &work, work.version).await?;
                rebuilt.pieces += 1;
            }
        }
    }
    queue.set_complete(partition).await?;
    Ok(rebuilt)
}

fn see(seen: &mut BTreeMap<JobId, Seen>, envelope: &Envelope) -> Result<(), Error> {
    if envelope.aggregate != AggregateKind::Job {
        return Ok(());
    }
    // What is queued does not depend on anyone's words.
    let recorded = execute::decode(envelope).map_err(|source| Error::Decode {
        job: JobId(envelope.aggregate_id.0),
        version: envelope.version,
        source: source.into(),
    })?;
    let scheduled = scheduled_work(&recorded.event);
    let of_job = seen.entry(JobId(envelope.aggregate_id.0)).or_default();
    of_job.job = std::mem::take(&mut of_job.job).evolve(&recorded);
    if let Some((item, delay_ms)) = scheduled {
        let due = recorded.recorded_at + TimeDelta::milliseconds(delay_ms as i64);
        of_job.scheduled.insert(item, (execute::scheduled_by(envelope, &of_job.job, (item, delay_ms)), due));
    }
    Ok(())
}
