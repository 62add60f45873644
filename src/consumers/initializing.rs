//! `initializing`: creates the workspace, before any costly work.

use async_trait::async_trait;

use super::error::StageError;
use super::task::{StageHandler, Task, blocking};
use crate::domain::job::Outcome;
use crate::error_codes::ErrorCode;
use crate::events::Stage;

pub struct Initializing;

#[async_trait]
impl StageHandler for Initializing {
    fn stage(&self) -> Stage {
        Stage::Initializing
    }

    async fn run(&self, task: &Task) -> Result<Outcome, StageError> {
        task.request()?;
        let workspace = task.workspace.clone();
        blocking(move || workspace.create().map_err(cannot_create)).await?;
        Ok(Outcome::Initialized)
    }
}

pub(super) fn cannot_create(error: std::io::Error) -> StageError {
    StageError::failed(
        ErrorCode::WorkspaceUnavailable,
        "the job's folder under MEDIA_ROOT cannot be created",
        error,
    )
    .suggest("check that the workers may write to MEDIA_ROOT")
}
