//! Removes the folders and artifacts of jobs that have ended: those that a crash left behind, and those that were kept for
//! a while.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::leftovers::remove_parts_in_video;
use super::runner::{Worker, is_workspace_kept};
use crate::storage;
use crate::telemetry::chain;

const SWEEP_EVERY: Duration = Duration::from_secs(600);
/// How long the folder of a job that has ended is kept at most (`cleanup_local_files: false`).
pub(super) const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);
/// Folders of jobs that have ended that are kept at a time; the oldest go first.
const MAX_KEPT: usize = 20;
/// A folder that was touched this lately may belong to a job whose end is being recorded.
const SETTLED_AFTER: Duration = Duration::from_secs(60);

/// Sweeps until `stop`.
pub async fn watch(worker: Worker, stop: CancellationToken) {
    loop {
        sweep(&worker, KEPT_FOR, MAX_KEPT).await;
        sweep_artifacts(&worker, KEPT_FOR).await;
        sweep_caches(&worker).await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SWEEP_EVERY) => {}
        }
    }
}

/// Removes what is older than `kept_for`, and the oldest of what is more than `max_kept` folders. A job that is going on
/// keeps its folder, however old that is.
async fn sweep(worker: &Worker, kept_for: Duration, max_kept: usize) {
    let mut folders = match worker.workspaces.list().await {
        Ok(folders) => folders,
        Err(error) => {
            tracing::warn!(error = chain(&error), "cannot list the folders of jobs");
            return;
        }
    };
    folders.retain(|(_, age)| *age >= SETTLED_AFTER);
    // The youngest first.
    folders.sort_by_key(|(_, age)| *age);
    let mut kept = 0;
    for (job_id, age) in folders {
        let Ok(loaded) = worker.executor.load(job_id).await else { continue };
        // A history that is not there is of another log that shares the disk.
        if !loaded.state.has_ended() {
            continue;
        }
        if let Err(error) = remove_parts_in_video(&worker.stores, job_id, &loaded.state).await {
            tracing::warn!(%job_id, error = chain(&error), "a part of a stream is kept twice");
        }
        if age < kept_for && kept < max_kept {
            kept += 1;
        } else if let Err(error) = worker.workspaces.of(job_id).remove().await {
            tracing::warn!(%job_id, error = chain(&error), "cannot remove the folder of a job that has ended");
        }
    }
}

/// Removes the artifacts of jobs that have ended. Those of a job whose video could not be stored stay for `kept_for`.
async fn sweep_artifacts(worker: &Worker, kept_for: Duration) {
    let jobs = match worker.workspaces.list_artifacts().await {
        Ok(jobs) => jobs,
        Err(error) => {
            tracing::warn!(error = chain(&error), "cannot list the artifacts of jobs");
            return;
        }
    };
    for (job_id, age) in jobs.into_iter().filter(|(_, age)| *age >= SETTLED_AFTER) {
        let Ok(loaded) = worker.executor.load(job_id).await else { continue };
        let job = &loaded.state;
        if !job.has_ended() || (is_workspace_kept(job) && age < kept_for) {
            continue;
        }
        if let Err(error) = worker.workspaces.of(job_id).remove_artifacts().await {
            tracing::warn!(%job_id, error = chain(&error), "cannot remove the artifacts of a job that has ended");
        }
    }
}

/// Removes what this machine has cached for users who are erased: whoever erased them reached one machine.
async fn sweep_caches(worker: &Worker) {
    let Some(vault) = worker.executor.codec().vault() else { return };
    // Nothing stays in a cache for longer.
    let users = match vault.destroyed_since(2 * storage::MAX_CACHE_AGE).await {
        Ok(users) => users,
        Err(error) => {
            tracing::warn!(error = chain(&error), "cannot look for users who are erased");
            return;
        }
    };
    for user in users {
        if let Err(error) = worker.workspaces.cache_of(&user).clear().await {
            tracing::warn!(error = chain(&error), "cannot remove the cache of a user who is erased");
        }
    }
}
