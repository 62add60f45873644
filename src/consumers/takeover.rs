//! Work of a worker that died: found when its lease has run out, and scheduled again.
//!
//! The loss is recorded like any failure. The new attempt has a token of its own, so that a worker which
//! was only asleep finds its result refused.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::error::StageError;
use super::runner::Worker;
use crate::domain::job::Command;
use crate::events::work::TakenWork;
use crate::events::{Error as LogError, Stage};
use crate::execute::Error;
use crate::ids::JobId;
use crate::telemetry::chain;

/// Looks at every stage's pending work until `stop`, twice in the shortest lease.
pub async fn watch(worker: Worker, stop: CancellationToken) {
    let shortest = worker.streams.stages.values().map(|settings| settings.lease).min();
    let pause = shortest.unwrap_or(Duration::from_secs(30)) / 2;
    loop {
        for stage in Stage::ALL {
            for partition in 0..worker.streams.partitions {
                if stop.is_cancelled() {
                    return;
                }
                if let Err(error) = take_over(&worker, stage, partition).await {
                    tracing::warn!(%stage, partition, error = %chain(&error), "cannot look for lost work");
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn take_over(worker: &Worker, stage: Stage, partition: u16) -> Result<(), Error> {
    let settings = worker.streams.stage(stage);
    let log = worker.executor.log();
    let lost = log.claim_idle(partition, stage, &settings.group, &worker.consumer, settings.lease).await?;
    for work in lost {
        schedule_again(worker, &work, settings.attempts).await?;
    }
    Ok(())
}

async fn schedule_again(worker: &Worker, work: &TakenWork, most_attempts: u32) -> Result<(), Error> {
    let job_id = JobId(work.aggregate_id.0);
    let loaded = worker.executor.load(job_id).await?;
    let open = loaded.job.open_work.iter().find(|item| (item.stage, item.scene) == (work.stage, work.scene));
    let Some(item) = open.copied() else {
        return worker.executor.dismiss(job_id, &work.receipt).await;
    };
    tracing::warn!(%job_id, stage = %work.stage, scene = work.scene, attempt = item.attempt, "a worker is lost");
    let origin = worker.origin(&loaded, work, "lost");
    let error = StageError::retryable("WORKER_LOST", "the worker stopped in the middle of its work")
        .suggest("generate the video again; if it is lost again, its script may be too much for the workers")
        .to_failure();
    let command = Command::FailWork { item, error, most_attempts, delay_ms: 0 };
    match worker.executor.execute_on(job_id, loaded, command, &origin, Some(&work.receipt)).await {
        Ok(executed) => worker.clean_up(job_id, &executed),
        // The work ended meanwhile.
        Err(Error::Rejected(_) | Error::Log(LogError::StaleAttempt)) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}
