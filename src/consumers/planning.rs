//! `planning`: turns the topic or the script into scenes, with language models where some are configured, else by rules.

use async_trait::async_trait;

use super::error::StageError;
use super::model_planner::ModelPlanner;
use super::task::{StageHandler, Task, blocking};
use super::uploaded::{self, MAX_TEXT_CHARACTERS, Texts};
use crate::domain::job::Outcome;
use crate::error_codes::ErrorCode;
use crate::events::Stage;
use crate::events::VideoRequest;
use crate::events::job::Warning;
use crate::storage::Storage as Objects;
use reel_planner::{self, PlanError};

pub struct Planning {
    /// Holds uploads.
    pub objects: Objects,
    /// `None` where no model is configured.
    pub models: Option<ModelPlanner>,
}

#[async_trait]
impl StageHandler for Planning {
    fn stage(&self) -> Stage {
        Stage::Planning
    }

    /// With models, it mostly waits for them.
    fn is_cpu_bound(&self) -> bool {
        self.models.is_none()
    }

    async fn run(&self, task: &Task) -> Result<Outcome, StageError> {
        let mut request = task.request()?.clone();
        if let Some(scenes) = request.scenes {
            return Ok(Outcome::Planned { scenes, warnings: vec![] });
        }
        let texts = uploaded::read_texts(&self.objects, &task.job.user_id, &request.uploads).await?;
        let cut = texts.is_cut.then(|| Warning {
            code: ErrorCode::ScriptShortened.to_string(),
            message: format!(
                "the uploaded texts are longer than the {MAX_TEXT_CHARACTERS} characters that are read: the rest is left out"
            ),
        });
        add_texts(&mut request, texts);
        let by_rules = match &self.models {
            None => None,
            Some(models) => match models.plan(task, &request).await {
                Ok(planned) => {
                    return Ok(Outcome::Planned {
                        scenes: planned.scenes,
                        warnings: cut.into_iter().collect(),
                    });
                }
                // The rules need a text to make scenes of. An attempt that is stopped leaves planning to the next one.
                Err(error)
                    if request.strict
                        || error.is_of_stopped_attempt()
                        || request.script.is_none() && request.context.is_none() =>
                {
                    return Err(error.into_error());
                }
                Err(error) => Some(error.to_warning()),
            },
        };
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
        let warnings = by_rules.into_iter().chain(cut).chain(shortened).collect();
        Ok(Outcome::Planned { scenes: plan.scenes, warnings })
    }
}

/// Uploaded texts are the script where there is none, and context beside one.
fn add_texts(request: &mut VideoRequest, texts: Texts) {
    let Some(text) = texts.text else { return };
    if request.script.is_none() {
        request.script = Some(text);
        return;
    }
    let context = request.context.take().into_iter().chain([text]);
    request.context = Some(context.collect::<Vec<_>>().join("\n\n"));
}

fn cannot_plan(error: PlanError) -> StageError {
    StageError::terminal(ErrorCode::NothingToSay, error.to_string())
        .suggest("give a script with at least one sentence")
        .quoting_the_user()
}
