//! Hands files from one stage to the next, which may run on another machine.

use super::error::StageError;
use super::task::Task;
use super::upload;
use crate::domain::job::{Job, SceneProgress};
use crate::error_codes::ErrorCode;
use crate::events::job::{Clip, NarratedScene};

/// Stores a scene's narration for the next stages.
pub(super) async fn share_narration(task: &Task, narrated: &mut NarratedScene) -> Result<(), StageError> {
    narrated.artifact = share(task, &narrated.narration).await?;
    Ok(())
}

/// Stores a scene's clips for the next stages.
pub(super) async fn share_clip(task: &Task, clip: &mut Clip) -> Result<(), StageError> {
    clip.artifact = share(task, &clip.file).await?;
    for rendition in &mut clip.renditions {
        rendition.artifact = share(task, &rendition.file).await?;
    }
    Ok(())
}

async fn share(task: &Task, name: &str) -> Result<Option<String>, StageError> {
    task.workspace.share(name).await.map_err(upload::cannot_store)
}

/// Makes a scene's narration available on this machine.
pub(super) async fn fetch_narration(task: &Task, narrated: &NarratedScene) -> Result<(), StageError> {
    fetch(task, &narrated.narration, narrated.artifact.as_deref()).await
}

/// Makes the narrations and clips of all scenes available on this machine.
pub(super) async fn fetch_scenes(task: &Task, job: &Job) -> Result<(), StageError> {
    for SceneProgress { narrated, clip, .. } in &job.scenes {
        if let Some(narrated) = narrated {
            fetch_narration(task, narrated).await?;
        }
        if let Some(clip) = clip {
            fetch(task, &clip.file, clip.artifact.as_deref()).await?;
            for rendition in &clip.renditions {
                fetch(task, &rendition.file, rendition.artifact.as_deref()).await?;
            }
        }
    }
    Ok(())
}

async fn fetch(task: &Task, name: &str, artifact: Option<&str>) -> Result<(), StageError> {
    match task.workspace.fetch(name, artifact).await {
        Ok(true) => Ok(()),
        Ok(false) => {
            let message =
                format!("{name}, which an earlier stage made, is neither on this machine nor in the storage");
            Err(StageError::retryable(ErrorCode::ArtifactLost, message)
                .suggest("reprocess the job from `scenario_creation`"))
        }
        Err(error) => {
            let message = format!("{name}, which an earlier stage made, cannot be read");
            Err(StageError::failed(ErrorCode::StorageFailed, message, error))
        }
    }
}
