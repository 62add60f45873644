//! `planning`: turns the topic or the script into scenes, with language models where some are configured, else by rules, and
//! shows uploaded pictures in them.

use std::sync::Arc;

use async_trait::async_trait;

use super::animations::{Animations, Helper};
use super::error::StageError;
use super::model_planner::ModelPlanner;
use super::retrieval;
use super::task::{StageHandler, Task, blocking};
use super::uploaded::{self, MAX_TEXT_CHARACTERS, Texts};
use crate::domain::job::Outcome;
use crate::error_codes::ErrorCode;
use crate::events::Stage;
use crate::events::VideoRequest;
use crate::events::job::Warning;
use crate::events::upload::Upload;
use crate::storage::Storage as Objects;
use reel_planner::{self, Picture, PlanError};
use reel_scene::Scene;

pub struct Planning {
    /// Holds uploads.
    pub objects: Objects,
    /// `None` where no model is configured.
    pub models: Option<Arc<ModelPlanner>>,
    pub animations: Animations,
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
        let helper = self.models.as_ref().map(|models| Helper::new(models, task));
        if let Some(scenes) = request.scenes {
            return self.planned(task, scenes, vec![], helper).await;
        }
        let texts = uploaded::read_texts(&self.objects, &task.job.user_id, &request.uploads).await?;
        let mut warnings = warn_of_texts(&texts);
        add_texts(&mut request, texts);
        let planned = match &helper {
            None => {
                warnings.extend((request.use_rag == Some(true)).then(retrieval::without_model));
                None
            }
            Some(Helper { models, budget }) => {
                let has_animations = self.animations.engine().is_ok();
                Some(models.plan(task, &request, budget, has_animations).await)
            }
        };
        let by_rules = match planned {
            None => None,
            Some(planned) => match planned {
                Ok((mut planned, not_looked_up)) => {
                    warnings.extend(not_looked_up);
                    warnings.extend(show_pictures(&mut planned.scenes, &request.uploads));
                    return self.planned(task, planned.scenes, warnings, helper).await;
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
        let (plan, not_shown) = blocking(move || {
            let mut plan = reel_planner::plan(&reel_planner::Request {
                topic: &request.topic,
                context: request.context.as_deref(),
                script: request.script.as_deref(),
                title: request.title.as_deref(),
                duration_ms: request.duration_ms(),
            })
            .map_err(cannot_plan)?;
            let not_shown = show_pictures(&mut plan.scenes, &request.uploads);
            Ok::<_, StageError>((plan, not_shown))
        })
        .await?;
        if plan.omitted_sentences > 0 {
            let message = format!(
                "the script is longer than the video may be: {} of its sentences are left out",
                plan.omitted_sentences
            );
            warnings.push(warning(ErrorCode::ScriptShortened, message));
        }
        warnings.extend(not_shown);
        warnings.splice(0..0, by_rules);
        self.planned(task, plan.scenes, warnings, helper).await
    }
}

impl Planning {
    /// Completes a plan: measures its animations.
    async fn planned(
        &self,
        task: &Task,
        mut scenes: Vec<Scene>,
        mut warnings: Vec<Warning>,
        helper: Option<Helper>,
    ) -> Result<Outcome, StageError> {
        let measured = self.animations.measure(task, &mut scenes, helper).await?;
        warnings.extend(measured.warnings);
        Ok(Outcome::Planned { scenes, attempts: measured.attempts, warnings })
    }
}

fn warning(code: ErrorCode, message: String) -> Warning {
    Warning { code: code.to_string(), message }
}

/// Says what of the uploaded texts is left out.
fn warn_of_texts(texts: &Texts) -> Vec<Warning> {
    let unread = texts.unread.iter().map(|(upload, reason)| {
        let message = format!("the text of the upload {upload} is left out: {reason}");
        warning(ErrorCode::UploadUnreadable, message)
    });
    let cut = texts.is_cut.then(|| {
        let message = format!(
            "the uploaded texts are longer than the {MAX_TEXT_CHARACTERS} characters that are read: the rest is left out"
        );
        warning(ErrorCode::ScriptShortened, message)
    });
    unread.chain(cut).collect()
}

/// Shows the uploaded pictures on the pages that their names fit, and says which are not shown.
fn show_pictures(scenes: &mut [Scene], uploads: &[Upload]) -> Vec<Warning> {
    let (pictures, others): (Vec<&Upload>, Vec<&Upload>) = uploads
        .iter()
        .filter(|upload| upload.content_type.is_image())
        .partition(|upload| upload.content_type.is_picture());
    let files: Vec<String> = pictures.iter().map(|upload| upload.upload_id.to_string()).collect();
    let named = pictures.iter().zip(&files);
    let named: Vec<Picture<'_>> =
        named.map(|(upload, file)| Picture { file, words: &upload.file_name }).collect();
    let left = reel_planner::place_pictures(scenes, &named);
    let without_page = left.into_iter().map(|picture| {
        let message = format!("the picture {} is not shown: every page has one already", files[picture]);
        warning(ErrorCode::PictureNotShown, message)
    });
    let of_other_type = others.into_iter().map(|upload| {
        let (id, name) = (upload.upload_id, upload.content_type.name());
        let message =
            format!("the picture {id} is not shown: it is {name}, and a scene can show PNG and JPEG only");
        warning(ErrorCode::PictureNotShown, message)
    });
    without_page.chain(of_other_type).collect()
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
