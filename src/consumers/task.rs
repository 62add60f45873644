//! What a stage's handler is given, and what it is.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use super::error::{StageError, missing};
use super::journal::Journal;
use crate::domain::job::{Job, Outcome, SceneProgress};
use crate::error_codes::ErrorCode;
use crate::events::{Stage, VideoRequest};
use crate::ids::{AttemptToken, JobId};
use crate::storage::{Cache, Workspace};
use reel_studio::threads::{self, Stopped, Urgency};

#[async_trait]
pub trait StageHandler: Send + Sync + 'static {
    fn stage(&self) -> Stage;

    /// Whether its work keeps a processor busy, and so waits for a slot.
    fn is_cpu_bound(&self) -> bool {
        true
    }

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
    /// Where it is recorded what happens in the middle.
    pub journal: Journal,
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

/// How much less of a busy processor work gets than the threads that answer requests and append events, as `nice(2)`
/// counts it.
const STAGE_NICENESS: i32 = 5;
/// The same of work on later scenes: a first scene, which a viewer waits for, gets five times as much.
const LATER_SCENE_NICENESS: i32 = 12;

/// Runs a handler whose [`blocking`] work and lines are as urgent as the scene it is about.
pub async fn with_urgency<T>(scene: Option<u32>, work: impl Future<Output = T>) -> T {
    let scene = scene.unwrap_or(0);
    let niceness = if scene > 0 { LATER_SCENE_NICENESS } else { STAGE_NICENESS };
    threads::with_urgency(Urgency { scene, niceness }, work).await
}

/// Runs CPU-bound work, or work that blocks on files, on a thread of its own, which ends with the work.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StageError> + Send + 'static,
) -> Result<T, StageError> {
    let span = Span::current();
    let run = threads::run(move || span.in_scope(work));
    let outcome = match threads::urgency() {
        Some(_) => run.await,
        None => threads::with_urgency(Urgency { scene: 0, niceness: STAGE_NICENESS }, run).await,
    };
    outcome.unwrap_or_else(|stopped| Err(not_run(stopped)))
}

fn not_run(stopped: Stopped) -> StageError {
    let error = match stopped {
        Stopped::NotStarted(_) => {
            StageError::retryable(ErrorCode::WorkerLost, "the worker cannot start a thread")
        }
        Stopped::Panicked => StageError::terminal(ErrorCode::InternalError, "the stage stopped unexpectedly"),
    };
    error.because(stopped)
}

/// Waits for a future inside of [`blocking`].
pub fn wait_for<T>(future: impl Future<Output = T>) -> T {
    Handle::current().block_on(future)
}
