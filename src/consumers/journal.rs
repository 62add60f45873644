//! Records what happens in the middle of an attempt.

use uuid::Uuid;

use crate::domain::job::{Command, UploadNote};
use crate::events::Actor;
use crate::events::job::{ModelCalled, SceneReviewed, SceneStream, WorkItem};
use crate::execute::{Executor, Origin};
use crate::ids::{AttemptToken, CommandId, EventId, JobId};
use crate::telemetry::chain;

/// Where an attempt records what happens. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    pub(super) executor: Executor,
    pub(super) job_id: JobId,
    pub item: WorkItem,
    pub(super) token: AttemptToken,
    pub(super) worker: String,
}

impl Journal {
    /// Records a note about an upload.
    pub async fn note(&self, note: UploadNote) {
        self.record(Command::NoteUpload { item: self.item, note }).await;
    }

    /// Records a call of a language model.
    pub async fn note_model_call(&self, call: ModelCalled) {
        self.record(Command::NoteModelCall { item: self.item, call: Box::new(call) }).await;
    }

    /// Records a look at a planned scene.
    pub async fn note_scene_review(&self, review: SceneReviewed) {
        self.record(Command::NoteSceneReview { item: self.item, review }).await;
    }

    /// Records that viewers can begin.
    pub async fn note_stream_began(&self, duration_ms: u64, streams: Vec<SceneStream>) {
        self.record(Command::NoteStreamBegan { item: self.item, duration_ms, streams }).await;
    }

    /// Work goes on where a note cannot be recorded: the end of the attempt is recorded in any case.
    async fn record(&self, command: Command) {
        let origin = Origin {
            command_id: CommandId::of_attempt(self.token, &format!("note:{}", Uuid::new_v4())),
            actor: Actor::Worker(self.worker.clone()),
            trace: None,
            causation_id: Some(EventId(self.token.0)),
        };
        if let Err(error) = self.executor.execute(self.job_id, command, &origin, None).await {
            tracing::warn!(error = %chain(&error), "what happens in an attempt was not recorded");
        }
    }
}
