//! Measures the animations of a planned video, and corrects code that fails, before anything is narrated: an animation's length is a
//! part of the clock. Where an animation cannot be drawn, the scene gets a page of ours, unless the request is `strict`.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::error::StageError;
use super::model_planner::ModelPlanner;
use super::task::{Task, blocking, wait_for};
use crate::config::MediaConfig;
use crate::error_codes::ErrorCode;
use crate::events::job::{CodeAttempt, Warning};
use reel_manim::{Engine, Prepared, prepare};
use reel_models::budget::Budget;
use reel_scene::Scene;

/// Manim, as far as this worker has it. Cheap to clone.
#[derive(Clone)]
pub struct Animations {
    /// Looked for when it is needed first.
    engine: Arc<OnceLock<Result<Engine, reel_manim::Unavailable>>>,
    root: PathBuf,
    max_corrections: u32,
    /// The longest time for the animations of one video.
    max_time: Duration,
}

/// The models of one attempt, and what they may still cost.
pub struct Helper {
    pub models: Arc<ModelPlanner>,
    pub budget: Budget,
}

impl Helper {
    pub fn new(models: &Arc<ModelPlanner>, task: &Task) -> Self {
        Self { models: models.clone(), budget: models.budget(task) }
    }
}

/// The runs of a plan's animations, and the warnings about those that are not drawn.
#[derive(Default)]
pub struct Measured {
    pub attempts: Vec<CodeAttempt>,
    pub warnings: Vec<Warning>,
}

impl Animations {
    /// `max_time` is the longest time for the animations of one video.
    pub fn new(media: &MediaConfig, max_time: Duration) -> Self {
        Self {
            engine: Arc::default(),
            root: media.manim.clone(),
            max_corrections: media.max_corrections,
            max_time,
        }
    }

    /// Returns what draws animations. Blocks while Manim and its sandbox are looked for, once.
    pub fn engine(&self) -> Result<&Engine, &reel_manim::Unavailable> {
        let find = || {
            let engine = Engine::find(&self.root);
            if let Err(error) = &engine {
                tracing::warn!(%error, "animations are not drawn here");
            }
            engine
        };
        self.engine.get_or_init(find).as_ref()
    }

    /// Measures the animations of all scenes, and puts their durations and corrected code into the scenes.
    /// Where no rule corrects code, a model does, if there is one.
    pub async fn measure(
        &self,
        task: &Task,
        scenes: &mut Vec<Scene>,
        helper: Option<Helper>,
    ) -> Result<Measured, StageError> {
        if scenes.iter().all(|scene| scene.manim().is_none()) {
            return Ok(Measured::default());
        }
        let (animations, measured_task, mut planned) = (self.clone(), task.clone(), scenes.clone());
        let (planned, measured) = blocking(move || {
            let measured = animations.measure_all(&measured_task, &mut planned, helper.as_ref())?;
            Ok((planned, measured))
        })
        .await?;
        *scenes = planned;
        Ok(measured)
    }

    fn measure_all(
        &self,
        task: &Task,
        scenes: &mut [Scene],
        helper: Option<&Helper>,
    ) -> Result<Measured, StageError> {
        let request = task.request()?;
        let look = request.look();
        let (width, height) = request.dimensions(request.quality);
        let deadline = Instant::now() + self.max_time;
        let is_cancelled = || task.cancel.is_cancelled() || Instant::now() > deadline;
        let mut measured = Measured::default();
        for (index, scene) in (0_u32..).zip(scenes) {
            let prepared = prepare(
                self.engine().map_err(ToString::to_string),
                scene,
                (&look, width, height, request.fps),
                self.max_corrections,
                &|code, fault| {
                    let fault_text = fault.to_string();
                    let Helper { models, budget } = helper?;
                    wait_for(models.correct_animation(task, request, budget, (code, &fault_text, fault.line)))
                },
                &is_cancelled,
            );
            let Some(Prepared { attempts, not_drawn }) = prepared else { continue };
            let attempts = (1..).zip(attempts).map(|(attempt, of)| CodeAttempt {
                scene: index,
                attempt,
                language: LANGUAGE.to_owned(),
                code: of.code,
                error: of.error,
            });
            measured.attempts.extend(attempts);
            let Some(reason) = not_drawn else { continue };
            let too_long = || {
                format!("the video's animations took longer than {} s to measure", self.max_time.as_secs())
            };
            let reason = if Instant::now() > deadline { too_long() } else { reason };
            if request.strict {
                return Err(cannot_draw(index, &reason, self.engine().is_err()));
            }
            measured.warnings.push(warning(index, &reason));
        }
        Ok(measured)
    }
}

/// The language of such code, as events and answers name it.
pub const LANGUAGE: &str = "manim";

/// Returns the warning about a scene whose animation is not drawn.
pub fn warning(scene: u32, reason: &str) -> Warning {
    let message = format!("scene {} has a page in place of its animation, because {reason}", scene + 1);
    Warning { code: ErrorCode::AnimationNotDrawn.to_string(), message }
}

/// Returns the error of a `strict` job.
pub fn cannot_draw(scene: u32, reason: &str, is_unavailable: bool) -> StageError {
    let message = format!("the animation of scene {} cannot be drawn: {reason}", scene + 1);
    let suggestion = match is_unavailable {
        true => "leave `strict` out, or ask the operator to install Manim with scripts/setup-manim",
        false => {
            "correct the code where the error says so, use a template, or leave `strict` out: then a page stands for it"
        }
    };
    StageError::terminal(ErrorCode::AnimationFailed, message).suggest(suggestion).quoting_the_user()
}
