//! The planning loop: an outline, then each scene, and again what does not fit.
//!
//! Each answer is checked. One that does not pass goes back with its faults, at most [`MAX_CORRECTIONS`] times; then planning
//! ends with an error, and the caller decides what to do instead. The plan has an opening card, 3 to 7 scenes, and a closing
//! card.

mod animation;
mod outline;
mod queries;
mod review;
mod scene;

use std::time::Instant;

use futures_util::future::join_all;
use reel_scene::Scene;
use serde::Serialize;
use serde_json::{Value, json};

use crate::client::{CallError, Client, Ledger, Role};
use crate::name::ModelName;
use crate::prompts;
use crate::protocol::Prompt;

pub use animation::{FailedCode, correct_animation};
pub use outline::{Outline, SCENES};
pub use queries::{MAX_QUERIES, MAX_QUERY_CHARACTERS, write_queries};
pub use review::{Still, Verdict};

/// Times that an answer goes back at most.
pub const MAX_CORRECTIONS: u32 = 2;
/// Characters of a script that fit into the prompts. A longer one is not planned by a model, because a part of it would be
/// lost.
pub const MAX_SCRIPT_CHARACTERS: usize = 30_000;
/// Characters of a reference that go to a model.
const MAX_REFERENCE_CHARACTERS: usize = 1600;
/// Characters of an answer that go back with its faults.
const MAX_PREVIOUS_CHARACTERS: usize = 8000;
/// Faults that go back, and characters of each.
const MAX_FAULTS: usize = 12;
const MAX_FAULT_CHARACTERS: usize = 300;
/// Scenes that are asked for at a time.
const CONCURRENT_SCENES: usize = 3;
/// Most tokens of an answer, what a model thinks before it answers included.
const OUTLINE_TOKENS: u64 = 4000;
const SCENE_TOKENS: u64 = 6000;
const REVIEW_TOKENS: u64 = 6000;

/// The model of each role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Models {
    pub planner: ModelName,
    pub scene: ModelName,
    /// Corrects descriptions of scenes.
    pub helper: ModelName,
    /// Looks at pictures of scenes; without one, nobody does.
    pub reviewer: Option<ModelName>,
}

/// The material of a plan.
#[derive(Debug, Clone, Copy)]
pub struct Material<'a> {
    pub topic: &'a str,
    pub context: Option<&'a str>,
    /// Markdown or plain text; without it, the models write the narration.
    pub script: Option<&'a str>,
    pub title: Option<&'a str>,
    /// Requested duration of the video.
    pub duration_ms: Option<u64>,
    /// Excerpts of the user's own files.
    pub references: &'a [Reference],
    /// Scenes that show how others were described, as JSON.
    pub examples: &'a [Value],
    /// Set where scenes may be animations, which Manim draws.
    pub has_animations: bool,
}

/// An excerpt that may help, and the name of the file or of the code that it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reference {
    title: String,
    text: String,
}

impl Reference {
    /// Cuts a text that is too long.
    pub fn new(title: &str, text: &str) -> Self {
        let cut = |text: &str| text.chars().take(MAX_REFERENCE_CHARACTERS).collect();
        Self { title: cut(title), text: cut(text) }
    }
}

/// A plan that passes the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    pub title: String,
    pub scenes: Vec<Scene>,
}

/// The job for which models are called.
pub trait Host: Ledger {
    /// Returns what is wrong with the layout of a scene; nothing when it can be read.
    fn review(&self, scene: &Scene) -> impl Future<Output = Vec<String>> + Send;

    /// Draws a scene for a model that looks at it; `None` where it cannot be drawn.
    fn still(&self, scene: &Scene) -> impl Future<Output = Option<Still>> + Send;

    /// Records how a look at a scene of the plan ended. `number` counts scenes from 0, the opening card included.
    fn note_review(
        &self,
        number: u32,
        model: &ModelName,
        verdict: Verdict,
    ) -> impl Future<Output = ()> + Send;

    /// Returns an answer that was saved under a key, so that it is not paid twice.
    fn saved_answer(&self, key: &str) -> impl Future<Output = Option<String>> + Send;

    /// Saves an answer, if it can be.
    fn save_answer(&self, key: &str, answer: &str) -> impl Future<Output = ()> + Send;
}

/// The reason why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error(
        "the script has {characters} characters, and a model can plan one of at most {MAX_SCRIPT_CHARACTERS}"
    )]
    ScriptTooLong { characters: usize },
    #[error(transparent)]
    Call(#[from] CallError),
    /// The faults may quote what users and models wrote.
    #[error("{model} gave no usable {part} in {tries} tries; the last fault: {}", faults.first().map_or("none", String::as_str))]
    Invalid { model: ModelName, part: String, tries: u32, faults: Vec<String> },
}

impl PlanError {
    /// Returns `true` when the same request may lead to a plan later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::ScriptTooLong { .. } | Self::Invalid { .. } => false,
            Self::Call(error) => error.is_retryable(),
        }
    }
}

/// Plans a video. No call takes longer than to the deadline.
pub async fn plan(
    client: &Client,
    models: &Models,
    material: &Material<'_>,
    deadline: Instant,
    host: &impl Host,
) -> Result<Planned, PlanError> {
    check_length(material)?;
    let planner = Planner { client, models, material, deadline, host };
    let outline = planner.outline().await?;
    let numbers: Vec<usize> = (1..=outline.scenes.len()).collect();
    let mut middle = vec![];
    for group in numbers.chunks(CONCURRENT_SCENES) {
        // All of a group come to their end, so that every call is recorded.
        let described = join_all(group.iter().map(|number| planner.scene(&outline, *number))).await;
        for scene in described {
            middle.push(scene?);
        }
    }
    let (opening, closing) = outline.cards();
    let scenes = std::iter::once(opening).chain(middle).chain([closing]).collect();
    Ok(Planned { title: outline.title, scenes })
}

/// Refuses a script that is too long for the prompts.
pub fn check_length(material: &Material<'_>) -> Result<(), PlanError> {
    let characters = material.script.map_or(0, |script| script.chars().count());
    match characters > MAX_SCRIPT_CHARACTERS {
        true => Err(PlanError::ScriptTooLong { characters }),
        false => Ok(()),
    }
}

/// All that the questions of one plan share.
struct Planner<'a, H> {
    client: &'a Client,
    models: &'a Models,
    material: &'a Material<'a>,
    deadline: Instant,
    host: &'a H,
}

impl<H: Host> Planner<'_, H> {
    async fn outline(&self) -> Result<Outline, PlanError> {
        let mut document = document(self.material);
        document["task"] = "outline".into();
        let mut question = Question {
            planner: self,
            instructions: prompts::OUTLINE,
            max_output_tokens: OUTLINE_TOKENS,
            part: "outline".to_owned(),
            document,
            picture: None,
        };
        let mut faults = vec![];
        for correction in 0..=MAX_CORRECTIONS {
            let answer = question.ask(&self.models.planner, Role::Planner).await?;
            match outline::read(&answer, self.material.title) {
                Ok(outline) => return Ok(outline),
                Err(found) => faults = question.correct(&answer, found, correction),
            }
        }
        Err(question.given_up(&self.models.planner, faults))
    }

    async fn scene(&self, outline: &Outline, number: usize) -> Result<Scene, PlanError> {
        let mut document = document(self.material);
        document["task"] = "scene".into();
        document["outline"] = json!(outline);
        document["scene_number"] = number.into();
        if !self.material.examples.is_empty() {
            document["examples"] = json!(self.material.examples);
        }
        if self.material.has_animations {
            document["animations"] = true.into();
        }
        if let Some(ms) = self.material.duration_ms {
            document["seconds"] = (ms / 1000 / (outline.scenes.len() as u64 + 1)).into();
        }
        let mut question = Question {
            planner: self,
            instructions: prompts::SCENE,
            max_output_tokens: SCENE_TOKENS,
            part: format!("scene {number}"),
            document,
            picture: None,
        };
        let mut faults = vec![];
        let mut asked = (&self.models.scene, Role::Scene);
        for correction in 0..=MAX_CORRECTIONS {
            let answer = question.ask(asked.0, asked.1).await?;
            let found = match scene::read(&answer, outline) {
                Ok(scene) => match self.host.review(&scene).await {
                    faults if faults.is_empty() => return Ok(self.looked_at(scene, outline, number).await),
                    faults => faults,
                },
                Err(found) => found,
            };
            faults = question.correct(&answer, found, correction);
            asked = (&self.models.helper, Role::Helper);
        }
        Err(question.given_up(asked.0, faults))
    }

    /// Shows a scene to the model that sees, once, and returns it as that model wants it. A look can only better a scene: without
    /// an answer, or with one that does not pass the rules, the scene stays as it is.
    async fn looked_at(&self, scene: Scene, outline: &Outline, number: usize) -> Scene {
        // A still tells nothing of an animation.
        let Some(reviewer) = self.models.reviewer.as_ref().filter(|_| scene.manim().is_none()) else {
            return scene;
        };
        let Some(Still { png, findings }) = self.host.still(&scene).await else { return scene };
        let mut document = json!({ "task": "review", "outline": outline, "scene_number": number });
        document["scene"] = json!(scene);
        document["findings"] = bounded(findings).into();
        let question = Question {
            planner: self,
            instructions: prompts::REVIEW,
            max_output_tokens: REVIEW_TOKENS,
            part: format!("review of scene {number}"),
            document,
            picture: Some(png),
        };
        // Each try is recorded as a call.
        let Ok(answer) = question.ask(reviewer, Role::Reviewer).await else { return scene };
        let (scene, verdict) = match review::read(&answer, &scene, outline) {
            Ok(None) => (scene, Verdict::Kept),
            Ok(Some(changed)) if self.host.review(&changed).await.is_empty() => (changed, Verdict::Changed),
            Ok(Some(_)) | Err(_) => (scene, Verdict::Unusable),
        };
        self.host.note_review(number as u32, reviewer, verdict).await;
        scene
    }
}

/// Returns what the user gave. It stands in a prompt as JSON, so that no text of it can end its own value.
fn document(material: &Material<'_>) -> Value {
    let mut document = json!({ "topic": material.topic });
    let texts = [("context", material.context), ("script", material.script), ("title", material.title)];
    for (name, text) in texts {
        if let Some(text) = text {
            document[name] = text.into();
        }
    }
    if let Some(ms) = material.duration_ms {
        document["seconds"] = (ms / 1000).into();
    }
    if !material.references.is_empty() {
        document["references"] = json!(material.references);
    }
    document
}

/// A question that may have to be asked again.
struct Question<'a, H> {
    planner: &'a Planner<'a, H>,
    instructions: &'static str,
    max_output_tokens: u64,
    part: String,
    document: Value,
    /// Goes with the document.
    picture: Option<Vec<u8>>,
}

impl<H: Host> Question<'_, H> {
    async fn ask(&self, model: &ModelName, role: Role) -> Result<String, PlanError> {
        let material = self.document.to_string();
        let key = answer_key(model, self.instructions, &material);
        let Planner { client, deadline, host, .. } = *self.planner;
        if let Some(answer) = host.saved_answer(&key).await {
            return Ok(answer);
        }
        let (instructions, max_output_tokens) = (self.instructions, self.max_output_tokens);
        let picture = self.picture.as_deref();
        let prompt = Prompt { instructions, material: &material, picture, max_output_tokens };
        let answer = client.call(model, role, prompt, deadline, host).await?;
        host.save_answer(&key, &answer).await;
        Ok(answer)
    }

    /// Adds the faults of an answer, bounded, to what is asked next; returns them.
    fn correct(&mut self, answer: &str, faults: Vec<String>, correction: u32) -> Vec<String> {
        let faults = bounded(faults);
        let answer: String = answer.chars().take(MAX_PREVIOUS_CHARACTERS).collect();
        self.document["previous"] =
            json!({ "correction": correction + 1, "answer": answer, "faults": faults });
        faults
    }

    fn given_up(self, model: &ModelName, faults: Vec<String>) -> PlanError {
        PlanError::Invalid { model: model.clone(), part: self.part, tries: MAX_CORRECTIONS + 1, faults }
    }
}

/// Cuts a list of faults, and each of them.
fn bounded(faults: Vec<String>) -> Vec<String> {
    let cut = |fault: String| fault.chars().take(MAX_FAULT_CHARACTERS).collect();
    faults.into_iter().take(MAX_FAULTS).map(cut).collect()
}

/// Returns the key under which an answer is saved: lower-case letters and digits.
fn answer_key(model: &ModelName, instructions: &str, material: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [model.to_string().as_str(), instructions, material] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// Returns the part of an answer that can be a JSON object: what stands around it, such as marks of a code block, is left out.
fn object(answer: &str) -> Result<&str, Vec<String>> {
    let from = answer.find('{');
    let to = answer.rfind('}');
    match (from, to) {
        (Some(from), Some(to)) if from < to => Ok(&answer[from..=to]),
        _ => Err(vec!["the answer is no JSON object".to_owned()]),
    }
}
