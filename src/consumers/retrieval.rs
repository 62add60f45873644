//! Looks up excerpts that help to plan a video, and to correct the code of its animations.
//!
//! The shared index holds no word of a user. A user's own texts (uploads, and scenes of earlier videos) are read when a job needs
//! them, indexed in memory, and forgotten with the attempt: so nothing of them is left after an erasure, and no other user's job
//! meets them. Whatever cannot be read is left out. Excerpts go to the models as values of a JSON document.
//!
//! Deliberately absent: vectors of users' texts on a disk.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use reel_models::planning::Reference;
use reel_rag::index::Versions;
use reel_rag::{
    Embedder, Excerpt, Found, Index, Parts, Query, Searcher, Source, collect, excerpts_of, search,
};
use reel_scene::{Scene, description};
use tokio::sync::Mutex;

use super::task::blocking;
use super::uploaded;
use crate::config::{Config, RagConfig};
use crate::domain::job::{Job, SceneProgress, Status};
use crate::error_codes::ErrorCode;
use crate::events::job::Warning;
use crate::events::upload::Upload;
use crate::events::{Stage, VideoRequest};
use crate::execute::Executor;
use crate::ids::{JobId, UploadsId};
use crate::storage::Storage as Objects;
use crate::telemetry::chain;

const REEL_VERSION: &str = env!("CARGO_PKG_VERSION");
/// Excerpts that a plan gets: of uploads, of the user's scenes, and of the project's examples.
const MAX_UPLOADED: usize = 3;
const MAX_SCENES: usize = 2;
const MAX_EXAMPLES: usize = 2;
/// Excerpts that a correction gets.
const MAX_DOCUMENTATION: usize = 4;
/// A user's excerpts of each source that are compared by meaning, after a search by words: one message to the embeddings process.
const MAX_CANDIDATES: usize = 12;
/// The newest videos and uploads of a user are searched: so many, of so many characters together, read in this time.
const MAX_JOBS: usize = 20;
const MAX_UPLOADS: usize = 20;
const MAX_UPLOADED_CHARACTERS: usize = 600_000;
const MAX_READING: Duration = Duration::from_secs(20);
/// The longest time for the embeddings of a plan, and of a correction.
const PLAN_TIMEOUT: Duration = Duration::from_secs(20);
const CORRECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest scene that is offered as an example, as JSON.
const MAX_SCENE_CHARACTERS: usize = 2500;

/// Knows the jobs of a user.
#[async_trait]
pub trait PastJobs: Send + Sync {
    /// Returns the user's newest completed jobs, the newest first; none where they cannot be read.
    async fn completed_of(&self, user_id: &str, max_jobs: usize) -> Vec<JobId>;
}

pub struct Retrieval {
    config: RagConfig,
    manim: PathBuf,
    embedder: Option<Arc<Embedder>>,
    shared: Mutex<Shared>,
    objects: Objects,
    executor: Executor,
    past: Arc<dyn PastJobs>,
}

/// The shared index of this process.
#[derive(Default)]
struct Shared {
    index: Option<Arc<Index>>,
    /// The last logged reason for a missing index.
    logged: Option<String>,
}

/// The excerpts for a plan.
#[derive(Default)]
pub struct Lookup {
    pub references: Vec<Reference>,
    /// Scenes as JSON.
    pub examples: Vec<serde_json::Value>,
    /// Set when the shared index cannot be used.
    pub warning: Option<Warning>,
}

impl Retrieval {
    pub fn new(config: &Config, objects: Objects, executor: Executor, past: Arc<dyn PastJobs>) -> Self {
        let embedder = config.rag.installed_root().map(|root| Arc::new(Embedder::new(root)));
        Self {
            config: config.rag.clone(),
            manim: config.media.manim.clone(),
            embedder,
            shared: Mutex::default(),
            objects,
            executor,
            past,
        }
    }

    /// Tells whether a request is planned with retrieval.
    pub fn is_wanted(&self, request: &VideoRequest) -> bool {
        request.use_rag.unwrap_or(self.config.is_default)
    }

    /// Returns what fits the queries: excerpts of the user's uploads, scenes of the user's videos, and examples.
    pub async fn look_up(&self, user_id: &str, request: &VideoRequest, queries: Vec<String>) -> Lookup {
        let mut own = self.past_scenes(user_id).await;
        own.extend(self.uploads(user_id, request).await);
        let (index, warning) = match self.index().await {
            Ok(index) => (Some(index), None),
            Err(reason) => (None, Some(unavailable(&reason))),
        };
        let embedder = self.embedder.clone();
        let found = blocking(move || Ok(find(index.as_deref(), embedder.as_deref(), own, &queries))).await;
        let found = found.map_err(|error| error.to_string());
        match found.and_then(|found| found.map_err(|error| chain(&error))) {
            Ok((references, examples)) => Lookup { references, examples, warning },
            Err(error) => {
                tracing::warn!(error, "a plan is made without a search");
                Lookup { warning, ..Lookup::default() }
            }
        }
    }

    /// Returns the excerpts of Manim's documentation that fit a query; none where there is no index.
    pub async fn documentation(&self, query: String) -> Vec<Reference> {
        let Ok(index) = self.index().await else { return vec![] };
        let embedder = self.embedder.clone().filter(|_| index.searcher.has_vectors());
        let found = blocking(move || {
            let queries = [query];
            let vectors = vectors_of(embedder.as_deref(), &queries, CORRECTION_TIMEOUT);
            let found = closest(&index.searcher, &queries, &vectors, Source::Manim, MAX_DOCUMENTATION);
            Ok(found.map(|found| found.iter().map(reference).collect()))
        });
        found.await.ok().and_then(Result::ok).unwrap_or_default()
    }

    /// Returns the shared index, opened again when another one was built.
    async fn index(&self) -> Result<Arc<Index>, String> {
        let mut shared = self.shared.lock().await;
        let (folder, manim, known) = (self.config.index.clone(), self.manim.clone(), shared.index.take());
        let opened = blocking(move || {
            if let Some(known) = known.filter(|known| known.is_current(&folder)) {
                return Ok(Ok(known));
            }
            let manim = collect::manim_version(&manim);
            let versions = Versions { reel: REEL_VERSION, manim: manim.as_deref() };
            Ok(Index::open(&folder, versions).map(Arc::new))
        });
        let opened = opened.await.map_err(|error| error.to_string());
        let opened = opened.and_then(|opened| opened.map_err(|error| chain(&error)));
        let reason = opened.as_ref().err();
        if reason.is_some() && reason != shared.logged.as_ref() {
            tracing::warn!(reason, "plans are made without the shared index");
        }
        *shared = Shared { index: opened.as_ref().ok().cloned(), logged: reason.cloned() };
        opened
    }

    /// Returns the scenes of the user's earlier videos that rendered at the first attempt and that no later video replaces.
    async fn past_scenes(&self, user_id: &str) -> Vec<Excerpt> {
        let (mut excerpts, mut later) = (vec![], HashSet::new());
        for job_id in self.past.completed_of(user_id, MAX_JOBS).await {
            let Ok(loaded) = self.executor.load(job_id).await else { continue };
            let job = loaded.state;
            // The read model may be behind what happened since.
            if job.user_id != user_id || job.status != Status::Completed || job.is_deleted || job.is_erased {
                continue;
            }
            // The same video was made again, whole or with a scene changed: the later one counts.
            let scenes: HashSet<String> =
                job.scenes.iter().filter_map(|scene| as_example(&scene.description)).collect();
            let is_replaced = scenes.iter().any(|scene| later.contains(scene));
            if !is_replaced {
                excerpts.extend(good_scenes(job_id, &job));
            }
            later.extend(scenes);
        }
        excerpts
    }

    /// Returns the texts of the user's uploads, but for those that the request is made from.
    async fn uploads(&self, user_id: &str, request: &VideoRequest) -> Vec<Excerpt> {
        let Ok(loaded) = self.executor.load(UploadsId::of_user(user_id)).await else { return vec![] };
        let of_request: HashSet<_> = request.uploads.iter().map(|upload| upload.upload_id).collect();
        let kept = loaded.state.all().rev().map(|kept| kept.upload.clone());
        let kept =
            kept.filter(|upload| upload.content_type.is_text() && !of_request.contains(&upload.upload_id));
        let uploads: Vec<Upload> = kept.take(MAX_UPLOADS).collect();
        let (mut excerpts, mut characters) = (vec![], 0);
        let deadline = Instant::now() + MAX_READING;
        for upload in &uploads {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || characters > MAX_UPLOADED_CHARACTERS {
                break;
            }
            let read = uploaded::read_texts(&self.objects, user_id, std::slice::from_ref(upload));
            let Ok(Ok(read)) = tokio::time::timeout(left, read).await else { continue };
            let Some(text) = read.text else { continue };
            characters += text.chars().count();
            let id = upload.upload_id.to_string();
            excerpts.extend(excerpts_of(Source::Upload, &id, &upload.file_name, &text));
        }
        excerpts
    }
}

/// Returns the scenes of a job that rendered at the first attempt, unless the job was begun again.
fn good_scenes(job_id: JobId, job: &Job) -> Vec<Excerpt> {
    if !job.retired_attempts.is_empty() {
        return vec![];
    }
    let rendered_at_once = |number: u32| job.last_attempts.get(&(Stage::Rendering, Some(number))) == Some(&1);
    let scenes = (0..).zip(&job.scenes).filter(|(number, _)| rendered_at_once(*number));
    let scenes = scenes.filter(|(_, scene)| as_example(&scene.description).is_some());
    let excerpt = |(number, scene): (u32, &SceneProgress)| {
        collect::excerpt_of_scene(Source::Scene, &format!("{job_id}/{number}"), &scene.description)
    };
    scenes.map(excerpt).collect()
}

/// Returns a scene as JSON, if a model may write one like it: with blocks, without a file, without Manim's code, and short.
fn as_example(scene: &Scene) -> Option<String> {
    if scene.blocks.is_empty() || scene.manim().is_some() {
        return None;
    }
    let json =
        serde_json::to_string(scene).ok().filter(|json| json.chars().count() <= MAX_SCENE_CHARACTERS)?;
    let no_file = |_: &str| Err("names a file".to_owned());
    description::read_scenes(&[json.as_str()], &no_file).is_ok().then_some(json)
}

/// Returns the warning of a job that was planned without the shared index.
fn unavailable(reason: &str) -> Warning {
    let message = format!("nothing was looked up in the shared index: {reason}");
    Warning { code: ErrorCode::RetrievalUnavailable.to_string(), message }
}

/// Returns the warning of a request that asks for retrieval where no language model is configured.
pub fn without_model() -> Warning {
    let message = "nothing was looked up, because the scenes are made by rules: no language model is configured (PLANNER_MODEL)";
    Warning { code: ErrorCode::RetrievalUnavailable.to_string(), message: message.to_owned() }
}

type References = (Vec<Reference>, Vec<serde_json::Value>);

fn find(
    index: Option<&Index>,
    embedder: Option<&Embedder>,
    own: Vec<Excerpt>,
    queries: &[String],
) -> Result<References, search::Error> {
    let own = candidates(own, queries)?;
    let texts = queries.iter().cloned().chain(own.iter().map(Excerpt::text_to_embed));
    let mut vectors = vectors_of(embedder, &texts.collect::<Vec<_>>(), PLAN_TIMEOUT);
    let vectors_of_own = vectors.split_off(queries.len().min(vectors.len()));
    let own = Searcher::new(own, vectors_of_own)?;
    let uploaded = closest(&own, queries, &vectors, Source::Upload, MAX_UPLOADED)?;
    let mut scenes = closest(&own, queries, &vectors, Source::Scene, MAX_SCENES)?;
    if let Some(index) = index {
        scenes.extend(closest(&index.searcher, queries, &vectors, Source::Example, MAX_EXAMPLES)?);
    }
    let examples = scenes.iter().filter_map(|found| serde_json::from_str(&found.excerpt.text).ok());
    Ok((uploaded.iter().map(reference).collect(), examples.collect()))
}

/// Returns the user's excerpts that fit the queries by their words: too many to compare all of them by meaning.
fn candidates(own: Vec<Excerpt>, queries: &[String]) -> Result<Vec<Excerpt>, search::Error> {
    let searcher = Searcher::new(own, vec![])?;
    let mut candidates = closest(&searcher, queries, &[], Source::Upload, MAX_CANDIDATES)?;
    candidates.extend(closest(&searcher, queries, &[], Source::Scene, MAX_CANDIDATES)?);
    Ok(candidates.into_iter().map(|found| found.excerpt.clone()).collect())
}

/// Returns a vector for each text; none where there is no embedder, or it fails.
fn vectors_of(embedder: Option<&Embedder>, texts: &[String], timeout: Duration) -> Vec<Vec<f32>> {
    let Some(embedder) = embedder else { return vec![] };
    embedder.embed(texts, timeout).unwrap_or_else(|error| {
        tracing::warn!(error = chain(&error), "excerpts are found by words alone");
        vec![]
    })
}

/// Returns the excerpts of a source that fit the queries best, all queries together, each text once.
fn closest<'a>(
    searcher: &'a Searcher,
    queries: &[String],
    vectors: &[Vec<f32>],
    source: Source,
    limit: usize,
) -> Result<Vec<Found<'a>>, search::Error> {
    let mut all: Vec<Found<'a>> = vec![];
    for (at, text) in queries.iter().enumerate() {
        let vector = vectors.get(at).map(Vec::as_slice);
        let query = Query { text, vector, parts: Parts::Both, source: Some(source) };
        for found in searcher.search(&query)? {
            match all.iter_mut().find(|known| known.excerpt.text == found.excerpt.text) {
                Some(known) => known.score += found.score,
                None => all.push(found),
            }
        }
    }
    all.sort_by(|a, b| b.score.total_cmp(&a.score));
    all.truncate(limit);
    Ok(all)
}

fn reference(found: &Found<'_>) -> Reference {
    Reference::new(&found.excerpt.title, &found.excerpt.text)
}

#[cfg(test)]
#[path = "retrieval_tests.rs"]
mod tests;
