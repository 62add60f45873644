//! Plans a job with language models, where some are configured.
//!
//! Every call is an event of the job, reserved before it is made: against the job's limit, which counts what its events say, and
//! against the user's day, which Redis counts. An answer is kept in the job's workspace until the job ends, so that another
//! attempt on the same machine does not pay for it again. A call that a stopped attempt drops stays reserved on the user's day.
//! Without a usable plan, the caller plans by rules, unless the request is `strict`.

use std::time::{Duration, Instant};

use reel_models::budget::{Budget, LimitReached, Spend};
use reel_models::client::{CallError, CallRecord, Client, Ledger};
use reel_models::name::ModelName;
use reel_models::planning::{
    self, FailedCode, Host, MAX_QUERIES, MAX_QUERY_CHARACTERS, Material, Models, PlanError, Planned, Still,
    Verdict,
};
use reel_rag::phrases::key_phrases;
use reel_scene::Scene;
use reel_scene::look::Look;
use reel_studio::layout;
use reel_studio::layout::images::Images;
use reel_studio::review::{self, FaultKind, PageChoice};

use super::error::StageError;
use super::measure;
use super::model_spend::DaySpend;
use super::retrieval::{Lookup, Retrieval};
use super::task::{Task, blocking};
use crate::config::ModelsConfig;
use crate::error_codes::ErrorCode;
use crate::events::VideoRequest;
use crate::events::job::{ModelCalled, ReviewVerdict, SceneReviewed, Warning, WorkItem};
use crate::telemetry::chain;

/// The workspace's folder for answers.
const FOLDER: &str = "answers";
/// Faults of a layout that a model is asked to correct: those that cost a viewer words.
const REVIEWED: [FaultKind; 4] =
    [FaultKind::CutOff, FaultKind::Overlap, FaultKind::MissingGlyph, FaultKind::SmallText];

/// The longest time for the helper model's queries; without them, key phrases are looked up.
const MAX_QUERYING: Duration = Duration::from_secs(30);

/// The picture of a 16:9 scene that a model looks at, in pixels.
const STILL_SIZE: (u32, u32) = (1280, 720);

pub struct ModelPlanner {
    client: Client,
    config: ModelsConfig,
    day: DaySpend,
    /// The longest time for a plan.
    max_time: Duration,
    retrieval: Retrieval,
}

/// The reason why models gave no plan.
#[derive(Debug, thiserror::Error)]
pub enum NotPlanned {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("the attempt was stopped")]
    Stopped,
}

impl ModelPlanner {
    /// Returns `None` where no model is configured. A plan takes at most `max_time`.
    pub fn new(
        config: &ModelsConfig,
        day: DaySpend,
        max_time: Duration,
        retrieval: Retrieval,
    ) -> Result<Option<Self>, reqwest::Error> {
        if config.models.is_none() {
            return Ok(None);
        }
        let client = Client::new(config.client.clone())?;
        Ok(Some(Self { client, config: config.clone(), day, max_time, retrieval }))
    }

    /// Returns the job's budget, for all calls of one attempt.
    pub fn budget(&self, task: &Task) -> Budget {
        let spent = Spend { tokens: task.job.model_tokens, micro_dollars: task.job.model_micro_dollars };
        Budget::new(self.config.job_limit, spent)
    }

    /// Plans the video of a request, which has its uploaded texts. Its scenes may be animations where Manim is installed. The warning says what could not be looked up.
    pub async fn plan(
        &self,
        task: &Task,
        request: &VideoRequest,
        budget: &Budget,
        has_animations: bool,
    ) -> Result<(Planned, Option<Warning>), NotPlanned> {
        let Some(models) = self.config.models_for(request.model.as_deref()) else {
            return Err(NotPlanned::Stopped);
        };
        let host = JobHost {
            task,
            look: Look { logo: None, ..request.look() },
            budget,
            day: &self.day,
            day_limit: self.config.day_limit,
        };
        let planning = self.plan_for(&models, request, has_animations, &host);
        tokio::select! {
            () = task.cancel.cancelled() => Err(NotPlanned::Stopped),
            planned = planning => planned.map_err(NotPlanned::Plan),
        }
    }

    /// Corrects the code of an animation that failed; `None` when no model can.
    pub async fn correct_animation(
        &self,
        task: &Task,
        request: &VideoRequest,
        budget: &Budget,
        (code, error, line): (&str, &str, Option<u32>),
    ) -> Option<String> {
        let models = self.config.models_for(request.model.as_deref())?;
        let host =
            JobHost { task, look: request.look(), budget, day: &self.day, day_limit: self.config.day_limit };
        let deadline = Instant::now() + self.max_time;
        let corrected = async {
            let mut failed = FailedCode { code, error, line, documentation: &[] };
            let documentation = match self.retrieval.is_wanted(request) {
                true => self.retrieval.documentation(query_of(&failed)).await,
                false => vec![],
            };
            failed.documentation = &documentation;
            planning::correct_animation(&self.client, &models, &failed, deadline, &host).await
        };
        tokio::select! {
            () = task.cancel.cancelled() => None,
            corrected = corrected => match corrected {
                Ok(code) => Some(code),
                Err(error) => {
                    let cause = if error.is_retryable() { "a later try may" } else { "another try will not" };
                    tracing::warn!("a model did not correct the code of an animation; {cause} help");
                    None
                }
            },
        }
    }

    async fn plan_for(
        &self,
        models: &Models,
        request: &VideoRequest,
        has_animations: bool,
        host: &JobHost<'_>,
    ) -> Result<(Planned, Option<Warning>), PlanError> {
        let mut material = Material {
            topic: &request.topic,
            context: request.context.as_deref(),
            script: request.script.as_deref(),
            title: request.title.as_deref(),
            duration_ms: request.duration_ms(),
            references: &[],
            examples: &[],
            has_animations,
        };
        let deadline = Instant::now() + self.max_time;
        let is_plannable = planning::check_length(&material).is_ok();
        let lookup = match is_plannable && self.retrieval.is_wanted(request) {
            true => self.look_up(models, &material, request, host).await,
            false => Lookup::default(),
        };
        material.references = &lookup.references;
        material.examples = &lookup.examples;
        let planned = planning::plan(&self.client, models, &material, deadline, host).await?;
        Ok((planned, lookup.warning))
    }

    /// Looks up what the helper model asks for, or the key phrases of the material where it asks for nothing.
    async fn look_up(
        &self,
        models: &Models,
        material: &Material<'_>,
        request: &VideoRequest,
        host: &JobHost<'_>,
    ) -> Lookup {
        let deadline = Instant::now() + MAX_QUERYING.min(self.max_time);
        let queries = planning::write_queries(&self.client, models, material, deadline, host).await;
        let queries = queries.unwrap_or_else(|_recorded_as_a_call| phrases_of(material));
        self.retrieval.look_up(&host.task.job.user_id, request, queries).await
    }
}

impl NotPlanned {
    /// Returns `true` when nothing is said against the models: the job or the process ends.
    pub fn is_of_stopped_attempt(&self) -> bool {
        matches!(self, Self::Stopped)
    }

    /// Returns the warning of a job that is planned by rules instead.
    pub fn to_warning(&self) -> Warning {
        let message = format!("the scenes are made by rules, because {self}");
        Warning { code: ErrorCode::PlannedByRules.to_string(), message }
    }

    /// Returns the error of a job that cannot be planned by rules.
    pub fn into_error(self) -> StageError {
        let message = format!("there is no plan: {self}");
        let error = match &self {
            Self::Plan(PlanError::Call(CallError::LimitReached(_))) => {
                StageError::terminal(ErrorCode::ModelLimitReached, message)
            }
            Self::Plan(error) if !error.is_retryable() => {
                StageError::terminal(ErrorCode::ModelFailed, message).suggest(
                    "leave `strict` out, or give a script or a context: then the video is planned by rules",
                )
            }
            Self::Plan(_) | Self::Stopped => StageError::retryable(ErrorCode::ModelUnavailable, message)
                .suggest("try again later, or leave `strict` out"),
        };
        // Faults quote what a model made of the user's words.
        error.quoting_the_user()
    }
}

/// The job, as planning sees it.
struct JobHost<'a> {
    task: &'a Task,
    look: Look,
    budget: &'a Budget,
    day: &'a DaySpend,
    day_limit: Spend,
}

impl Ledger for JobHost<'_> {
    async fn reserve(&self, most: Spend) -> Result<(), LimitReached> {
        self.budget.reserve(most)?;
        let reserved = self.day.reserve(&self.task.job.user_id, most, self.day_limit).await;
        if reserved.is_err() {
            self.budget.settle(most, Spend::default());
        }
        reserved
    }

    async fn record(&self, reserved: Spend, call: CallRecord) {
        let used = call.spend();
        self.budget.settle(reserved, used);
        self.day.settle(&self.task.job.user_id, reserved, used).await;
        measure::note_model_call(&call);
        let item = self.task.journal.item;
        let called = ModelCalled {
            stage: item.stage,
            scene: item.scene,
            attempt: item.attempt,
            model: call.model.to_string(),
            role: call.role.name().to_owned(),
            call_attempt: call.attempt,
            input_tokens: call.usage.input_tokens,
            output_tokens: call.usage.output_tokens,
            micro_dollars: call.micro_dollars,
            duration_ms: call.duration_ms,
            outcome: call.outcome.name().to_owned(),
        };
        self.task.journal.note_model_call(called).await;
    }
}

impl Host for JobHost<'_> {
    async fn review(&self, scene: &Scene) -> Vec<String> {
        let (scenes, look) = (vec![scene.clone()], self.look.clone());
        let reviewed = blocking(move || Ok(review_layout(&scenes, &look))).await;
        reviewed.unwrap_or_else(|error| vec![format!("the scene cannot be laid out: {error}")])
    }

    async fn still(&self, scene: &Scene) -> Option<Still> {
        let (scene, look) = (scene.clone(), self.look.clone());
        let drawn = blocking(move || {
            let png = layout::still(&scene, &look, &Images::default(), STILL_SIZE);
            let report = review::review(&[scene], &look, &Images::default(), &[], PageChoice::Last);
            let faults = report.map_or(vec![], |report| report.faults());
            let findings = faults.iter().map(|fault| format!("{} {}", fault.found, fault.wanted)).collect();
            Ok(png.map(|png| Still { png, findings }))
        });
        let drawn = drawn.await.map_err(|error| error.to_string());
        match drawn.and_then(|drawn| drawn.map_err(|error| chain(&error))) {
            Ok(still) => Some(still),
            Err(error) => {
                tracing::warn!(error, "a scene is planned without a look at it");
                None
            }
        }
    }

    async fn note_review(&self, number: u32, model: &ModelName, verdict: Verdict) {
        let verdict = match verdict {
            Verdict::Kept => ReviewVerdict::Kept,
            Verdict::Changed => ReviewVerdict::Changed,
            Verdict::Unusable => ReviewVerdict::Unusable,
        };
        let WorkItem { stage, attempt, .. } = self.task.journal.item;
        let review = SceneReviewed { stage, attempt, scene: number, model: model.to_string(), verdict };
        self.task.journal.note_scene_review(review).await;
    }

    async fn saved_answer(&self, key: &str) -> Option<String> {
        tokio::fs::read_to_string(self.task.workspace.path(&format!("{FOLDER}/{key}"))).await.ok()
    }

    async fn save_answer(&self, key: &str, answer: &str) {
        let folder = self.task.workspace.path(FOLDER);
        let (file, part) = (folder.join(key), folder.join(format!("{key}.{}", self.task.token.0)));
        let written = async {
            tokio::fs::create_dir_all(&folder).await?;
            tokio::fs::write(&part, answer).await?;
            tokio::fs::rename(&part, &file).await
        };
        if let Err(error) = written.await {
            tracing::warn!(error = chain(&error), "an answer of a model was not kept");
        }
    }
}

/// Returns the topic and the key phrases of a plan's material.
fn phrases_of(material: &Material<'_>) -> Vec<String> {
    let texts = [Some(material.topic), material.context, material.script];
    let text = texts.into_iter().flatten().collect::<Vec<_>>().join(".\n");
    let topic = material.topic.chars().take(MAX_QUERY_CHARACTERS).collect();
    std::iter::once(topic).chain(key_phrases(&text, MAX_QUERIES - 1)).collect()
}

/// Returns the query that finds the documentation of code that failed: its error, and the names in its line.
fn query_of(failed: &FailedCode<'_>) -> String {
    let query = format!("{}\n{}", failed.error, failed.line_text().unwrap_or_default());
    query.chars().take(2 * MAX_QUERY_CHARACTERS).collect()
}

fn review_layout(scenes: &[Scene], look: &Look) -> Vec<String> {
    let unreadable = scenes.iter().flat_map(layout::unreadable_formulas);
    let mut faults: Vec<String> =
        unreadable.map(|block| format!("block {block} holds a formula that cannot be read")).collect();
    match review::review(scenes, look, &Images::default(), &[], PageChoice::Last) {
        Ok(report) => {
            let found = report.faults().into_iter().filter(|fault| REVIEWED.contains(&fault.kind));
            faults.extend(found.map(|fault| format!("{} {}", fault.found, fault.wanted)));
        }
        Err(error) => faults.push(error.to_string()),
    }
    faults
}
