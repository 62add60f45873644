//! `planning`: turns the script into scenes.

use async_trait::async_trait;

use super::error::StageError;
use super::task::{StageHandler, Task, blocking};
use crate::domain::job::Outcome;
use crate::error_codes::ErrorCode;
use crate::events::Stage;
use crate::events::job::Warning;
use reel_planner::{self, PlanError};

pub struct Planning;

#[async_trait]
impl StageHandler for Planning {
    fn stage(&self) -> Stage {
        Stage::Planning
    }

    async fn run(&self, task: &Task) -> Result<Outcome, StageError> {
        let request = task.request()?.clone();
        if let Some(scenes) = request.scenes {
            return Ok(Outcome::Planned { scenes, warnings: vec![] });
        }
        let plan = blocking(move || {
            reel_planner::plan(&reel_planner::Request {
                topic: &request.topic,
                context: request.context.as_deref(),
                script: request.script.as_deref(),
                title: request.title.as_deref(),
                duration_ms: request.duration_ms(),
            })
            .map_err(cannot_plan)
        })
        .await?;
        let shortened = (plan.omitted_sentences > 0).then(|| Warning {
            code: ErrorCode::ScriptShortened.to_string(),
            message: format!(
                "the script is longer than the video may be: {} of its sentences are left out",
                plan.omitted_sentences
            ),
        });
        Ok(Outcome::Planned { scenes: plan.scenes, warnings: shortened.into_iter().collect() })
    }
}

fn cannot_plan(error: PlanError) -> StageError {
    StageError::terminal(ErrorCode::NothingToSay, error.to_string())
        .suggest("give a script with at least one sentence")
        .quoting_the_user()
}
