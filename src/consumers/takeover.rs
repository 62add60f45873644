//! Takes over the work of dead workers when its lease expires, and schedules it again.
//!
//! The loss is recorded like any failure. The new attempt has its own token, so the result of a worker that was only stalled is
//! refused.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::error::StageError;
use super::runner::Worker;
use crate::crash;
use crate::domain::job::Command;
use crate::error_codes::ErrorCode;
use crate::events::work::TakenWork;
use crate::events::{Error as LogError, Stage};
use crate::execute::Error;
use crate::telemetry::chain;

/// Idle time after which a consumer without pending work is removed: its process has ended.
const FORGET_AFTER: Duration = Duration::from_secs(3600);

/// Longest pause between two checks, so that lost work begins again soon after its lease has expired.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Checks every stage's taken work until `stop`.
pub async fn watch(worker: Worker, stop: CancellationToken) {
    let shortest = worker.streams.stages.values().map(|settings| settings.lease).min();
    let pause = shortest.map_or(MAX_PAUSE, |lease| (lease / 2).min(MAX_PAUSE));
    each_queue(&worker, &stop, "forget old consumers", forget_consumers).await;
    while !stop.is_cancelled() {
        each_queue(&worker, &stop, "look for lost work", take_over).await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn each_queue(
    worker: &Worker,
    stop: &CancellationToken,
    what: &str,
    act: impl AsyncFn(&Worker, Stage, u16) -> Result<(), Error>,
) {
    for stage in Stage::ALL {
        for partition in 0..worker.streams.partitions {
            if stop.is_cancelled() {
                return;
            }
            if let Err(error) = act(worker, stage, partition).await {
                tracing::warn!(%stage, partition, error = %chain(&error), "cannot {what}");
            }
        }
    }
}

async fn forget_consumers(worker: &Worker, stage: Stage, partition: u16) -> Result<(), Error> {
    Ok(worker.queue.forget_consumers(partition, &worker.consumer_of(stage), FORGET_AFTER).await?)
}

async fn take_over(worker: &Worker, stage: Stage, partition: u16) -> Result<(), Error> {
    let settings = worker.streams.stage(stage);
    let consumer = worker.consumer_of(stage);
    let mut from = "0-0".to_owned();
    loop {
        let (next, lost) = worker.queue.claim_idle(partition, &consumer, settings.lease, &from).await?;
        if !lost.is_empty() {
            crash::point("takeover.claimed");
        }
        for work in lost {
            // A job that cannot be loaded must not block the others.
            if let Err(error) = schedule_again(worker, &work, settings.attempts).await {
                let job_id = work.aggregate_id;
                tracing::warn!(%stage, partition, %job_id, error = %chain(&error), "cannot take over lost work");
            }
        }
        if next == "0-0" {
            return Ok(());
        }
        from = next;
    }
}

async fn schedule_again(worker: &Worker, work: &TakenWork, most_attempts: u32) -> Result<(), Error> {
    let (job_id, item) = (work.job_id(), work.item);
    let origin = worker.origin(work, "lost");
    let error = StageError::retryable(ErrorCode::WorkerLost, "the worker stopped in the middle of its work")
        .suggest("generate the video again; if it is lost again, its script may be too much for the workers")
        .to_failure();
    let command = Command::FailWork { item, error, most_attempts, delay_ms: 0 };
    let done = Some(&work.receipt);
    match worker.executor.execute_since(job_id, work.version, command, &origin, done).await {
        Ok(executed) => {
            tracing::warn!(%job_id, stage = %item.stage, scene = item.scene, attempt = item.attempt, "a worker is lost");
            worker.note_end(job_id, &executed).await;
            worker.clean_up(job_id, &executed.loaded).await;
            Ok(())
        }
        // The work ended meanwhile.
        Err(Error::Rejected(_)) => worker.executor.dismiss(job_id, &work.receipt).await,
        Err(Error::Log(LogError::StaleAttempt)) => Ok(()),
        // An operator has closed it, because its events cannot be read.
        Err(Error::Decode { .. }) if !worker.queue.is_open(work.aggregate_id).await? => {
            worker.executor.dismiss(job_id, &work.receipt).await
        }
        Err(error) => Err(error),
    }
}
