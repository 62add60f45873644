//! What a stage's handler is given, and what it is.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::error::{StageError, missing};
use crate::domain::job::{Job, Outcome, SceneProgress};
use crate::error_codes::ErrorCode;
use crate::events::{Stage, VideoRequest};
use crate::ids::{AttemptToken, JobId};
use crate::storage::{Cache, Workspace};
use reel_studio::usage::Meter;

#[async_trait]
pub trait StageHandler: Send + Sync + 'static {
    fn stage(&self) -> Stage;

    /// Does the work of one piece. Must return soon after `task.cancel` is cancelled; what it returns
    /// then is dropped.
    async fn run(&self, task: &Task) -> Result<Outcome, StageError>;
}

/// One attempt at one piece of work.
#[derive(Clone)]
pub struct Task {
    pub job_id: JobId,
    pub job: Arc<Job>,
    /// From 0; only in stages that work scene by scene.
    pub scene: Option<u32>,
    pub token: AttemptToken,
    pub workspace: Workspace,
    /// What was made for the same user before.
    pub cache: Cache,
    pub progress: Progress,
    pub cancel: CancellationToken,
}

impl Task {
    pub fn request(&self) -> Result<&VideoRequest, StageError> {
        self.job.request.as_ref().ok_or_else(|| missing("JobRequested"))
    }

    /// The scene that this task is about, with its number.
    pub fn scene(&self) -> Result<(u32, &SceneProgress), StageError> {
        let scene = self.scene.and_then(|index| Some((index, self.job.scenes.get(index as usize)?)));
        scene.ok_or_else(|| missing("ScenePlanned"))
    }
}

/// Where a handler says how far it is. Cheap: only the last report of a second is recorded.
#[derive(Clone)]
pub struct Progress(Arc<watch::Sender<(u64, u64)>>);

impl Progress {
    pub fn channel() -> (Self, watch::Receiver<(u64, u64)>) {
        let (sender, receiver) = watch::channel((0, 0));
        (Self(Arc::new(sender)), receiver)
    }

    /// `done` of `total`, in the stage's own unit.
    pub fn report(&self, done: u64, total: u64) {
        self.0.send_replace((done, total));
    }
}

/// Runs what burns CPU or blocks on files away from the async threads.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StageError> + Send + 'static,
) -> Result<T, StageError> {
    let meter = Meter::current();
    let measured = move || match meter {
        Some(meter) => meter.on_thread(work),
        None => work(),
    };
    match tokio::task::spawn_blocking(measured).await {
        Ok(outcome) => outcome,
        Err(panic) => {
            Err(StageError::terminal(ErrorCode::InternalError, "the stage stopped unexpectedly")
                .because(panic))
        }
    }
}

/// Waits for a future inside of [`blocking`].
pub fn wait_for<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Handle::current().block_on(future)
}
