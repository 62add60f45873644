//! Removes what is kept no longer: the files of jobs that their users have deleted, the streams of jobs that failed or were
//! cancelled, and videos that are too old.
//!
//! Which jobs these are is asked of the catalog. Files go first and the event comes after: a process that dies in between
//! removes nothing once more, and then notes it. Two processes at once do no harm either.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::job::Command;
use crate::events::Actor;
use crate::execute::{Executor, Origin};
use crate::ids::JobId;
use crate::projections;
use crate::projections::catalog::Catalog;
use crate::storage::Stores;
use crate::telemetry::chain;

/// How often to look. Files stay for hours.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Jobs whose files are removed at a time.
const MAX_JOBS: i64 = 500;
/// Log lines that are removed at a time.
const MAX_LOG_LINES: i64 = 10_000;

pub struct Retention {
    pub executor: Executor,
    pub catalog: Catalog,
    pub stores: Stores,
    /// How long the files of a deleted job stay.
    pub deleted_files_kept: Duration,
    /// How long the stream of a failed or cancelled job stays.
    pub partial_streams_kept: Duration,
    /// How long a video stays; `None` for as long as its job does.
    pub videos_kept: Option<Duration>,
    /// How long log lines of jobs stay; `None` for ever.
    pub log_lines_kept: Option<Duration>,
}

impl Retention {
    /// Looks again and again until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            self.sweep().await;
            self.prune_logs().await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Removes the files whose time has come, and returns of how many jobs. What cannot be removed now is tried again with
    /// the next call.
    pub async fn sweep(&self) -> usize {
        let now = self.executor.clock().now();
        let deleted = self.catalog.deleted_before(now - self.deleted_files_kept, MAX_JOBS).await;
        let partial =
            self.catalog.ended_without_video_before(now - self.partial_streams_kept, MAX_JOBS).await;
        let mut removed = 0;
        for job_id in found(deleted) {
            removed += usize::from(self.remove_files(job_id, Command::NoteFilesRemoved).await);
        }
        for job_id in found(partial) {
            removed += usize::from(self.remove_files(job_id, Command::NoteStreamRemoved).await);
        }
        if let Some(kept) = self.videos_kept {
            let expired = self.catalog.completed_before(now - kept, MAX_JOBS).await;
            let note = Command::NoteExpired { kept_hours: kept.as_secs() / 3600 };
            for job_id in found(expired) {
                removed += usize::from(self.remove_files(job_id, note.clone()).await);
            }
        }
        removed
    }

    /// Removes log lines whose time has come, in bounded steps, and returns their number.
    pub async fn prune_logs(&self) -> u64 {
        let Some(kept) = self.log_lines_kept else { return 0 };
        let (before, mut removed) = (self.executor.clock().now() - kept, 0);
        loop {
            match self.catalog.prune_logs(before, MAX_LOG_LINES).await {
                Ok(0) => return removed,
                Ok(more) => removed += more,
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "cannot remove old log lines");
                    return removed;
                }
            }
        }
    }

    /// Those of work went when the job ended. `false` when they are still there, or when it cannot be noted that they are not.
    async fn remove_files(&self, job_id: JobId, note: Command) -> bool {
        let job = match self.executor.load(job_id).await {
            // Somebody may just have let it begin again.
            Ok(loaded) if !loaded.state.has_ended() => return false,
            Ok(loaded) => loaded.state,
            Err(error) => {
                tracing::warn!(%job_id, error = %chain(&error), "cannot look up whose a job is");
                return false;
            }
        };
        if let Err(error) = self.stores.delete_job(&job.user_id, job_id).await {
            tracing::warn!(%job_id, error = %chain(&error), "cannot remove the files of a job");
            return false;
        }
        let origin = Origin::new(Actor::System);
        let noted = self.executor.execute(job_id, note, &origin, None).await;
        if let Err(error) = &noted {
            tracing::warn!(%job_id, error = %chain(error), "cannot note that the files of a job are removed");
        }
        noted.is_ok()
    }
}

fn found(jobs: Result<Vec<JobId>, projections::Error>) -> Vec<JobId> {
    jobs.unwrap_or_else(|error| {
        tracing::warn!(error = %chain(&error), "cannot look for files that are kept no longer");
        vec![]
    })
}
