//! `GET /videos/jobs/{job_id}/status`.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use lru::LruCache;
use salvo::http::StatusCode;
use salvo::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use salvo::hyper::body::Bytes;
use salvo::oapi::{ToParameters, ToSchema, endpoint};
use salvo::prelude::*;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::problem::Problem;
use super::query::{Query, Whole};
use super::{ApiState, visible, visible_job};
use crate::config::Streams;
use crate::events::Stage;
use crate::events::job::{Failure, Usage};
use crate::ids::JobId;
use crate::projections::status::{FailedAttempt, JobStatus, JobWarning, StatusView};

/// Seconds that a request may wait for a change.
type WaitSeconds = Whole<0, 30>;

#[derive(Debug, Default, Deserialize, ToParameters)]
#[serde(default)]
#[salvo(parameters(default_parameter_in = Query))]
pub struct StatusQuery {
    /// Seconds to wait for a change.
    wait: Option<WaitSeconds>,
}

/// A job as its request answers it.
#[derive(Debug, Serialize, ToSchema)]
pub struct JobSummary {
    pub job_id: Uuid,
    /// `queued`, `processing`, `completed`, `failed` or `cancelled`.
    pub status: String,
    pub priority: String,
    pub progress: ProgressAnswer,
    pub created_at: DateTime<Utc>,
    pub estimated_completion: Option<DateTime<Utc>>,
    pub batch_id: Option<Uuid>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ProgressAnswer {
    /// 0 to 100; never falls.
    pub percentage: f64,
    pub current_stage: String,
    pub stages_completed: Vec<String>,
    pub stage_description: String,
    pub updated_at: DateTime<Utc>,
    pub estimated_completion: Option<DateTime<Utc>>,
    /// From the first stage to now or the end; 0 while the job waits.
    pub processing_time_seconds: f64,
    pub scenes_total: u32,
    pub scenes_done: u32,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct JobStatusAnswer {
    #[serde(flatten)]
    #[salvo(schema(inline = false))]
    pub summary: JobSummary,
    pub user_id: String,
    pub topic: String,
    pub title: Option<String>,
    pub description: Option<String>,
    pub tags: Vec<String>,
    pub quality: String,
    pub updated_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub completed_at: Option<DateTime<Utc>>,
    pub video_id: Option<Uuid>,
    pub download_url: Option<String>,
    pub error: Option<JobErrorAnswer>,
    pub metrics: MetricsAnswer,
    pub video: Option<VideoAnswer>,
    /// When the video's files were removed because of their age: its URLs answer 410 since.
    pub expired_at: Option<DateTime<Utc>>,
    /// What is not as you may have meant it, such as thumbnails that are still missing. At most 20.
    pub warnings: Vec<WarningAnswer>,
    /// How much of the video can be watched already, from its beginning: see `hls/master.m3u8`.
    pub playable_seconds: f64,
    /// Counts the job's events; the `ETag`.
    pub version: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct WarningAnswer {
    pub stage: String,
    /// From 0; null when it is about the whole video.
    pub scene: Option<u32>,
    pub code: String,
    pub message: String,
}

impl WarningAnswer {
    pub fn all(view: &StatusView) -> Vec<Self> {
        let of = |warning: &JobWarning| Self {
            stage: warning.stage.name().to_owned(),
            scene: warning.scene,
            code: warning.code.clone(),
            message: warning.message.clone(),
        };
        view.warnings.iter().map(of).collect()
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct JobErrorAnswer {
    pub error_code: String,
    pub error_message: String,
    pub error_stage: String,
    pub error_details: ErrorDetails,
    pub recovery_suggestion: Option<String>,
    pub retry_count: u32,
    pub max_retries: u32,
}

/// The place and cause of a job's failure, and what was tried before.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorDetails {
    pub stage: String,
    /// From 0; null when the stage is done in one piece.
    pub scene: Option<u32>,
    /// Which attempt failed last, from 1.
    pub attempt: u32,
    /// The causes of the failure, from the nearest to the last.
    pub causes: Vec<String>,
    /// The attempts at this piece of work that failed, in order; the last is the one that failed the job.
    pub tried: Vec<TriedAnswer>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct TriedAnswer {
    pub attempt: u32,
    pub error_code: String,
    pub failed_at: DateTime<Utc>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct MetricsAnswer {
    /// From the request to the first stage; as of the job's last event, while it waits.
    pub queue_time_seconds: f64,
    /// From the first stage to the end; so far, while the job goes on.
    pub processing_time_seconds: f64,
    /// CPU time of the job's attempts, child processes included, by the processing time: 100 is one processor. Of the attempts
    /// that have ended. Null for a job that ended before attempts were measured, or that took no time to speak of.
    pub cpu_usage_percent: Option<f64>,
    /// The most memory that a worker process had while it was at work on the job, its largest child included.
    pub memory_usage_mb: Option<f64>,
}

impl MetricsAnswer {
    fn of(view: &StatusView) -> Self {
        let until = view.ended_at.unwrap_or(view.updated_at);
        let processing = processing_seconds(view).unwrap_or(0.0);
        let has_ended = view.ended_at.is_some();
        let usage = view.usage.or((!has_ended).then(Usage::default));
        let percent = |usage: Usage| match processing {
            seconds if seconds > 0.0 => (usage.cpu_ms as f64 / seconds).round() / 10.0,
            _ => 0.0,
        };
        let megabytes = |usage: Usage| (usage.peak_memory_bytes as f64 / 1e5).round() / 10.0;
        Self {
            queue_time_seconds: match view.started_at {
                Some(at) => seconds_between(view.created_at, at),
                None => seconds_between(view.created_at, until),
            },
            processing_time_seconds: processing,
            cpu_usage_percent: usage.map(percent),
            memory_usage_mb: usage.map(megabytes),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct VideoAnswer {
    /// Bytes.
    pub file_size: u64,
    /// Seconds.
    pub duration: f64,
    pub width: u32,
    pub height: u32,
}

impl JobSummary {
    pub fn of(view: &StatusView) -> Self {
        Self {
            job_id: view.job_id.0,
            status: view.status.name().to_owned(),
            priority: view.priority.name().to_owned(),
            progress: ProgressAnswer {
                percentage: view.percentage,
                current_stage: view.stage_name().to_owned(),
                stages_completed: view.stages_completed.iter().map(|stage| stage.name().to_owned()).collect(),
                stage_description: describe_stage(
                    view.status,
                    view.current_stage,
                    view.scenes_done_in_stage(),
                    view.scenes_total,
                ),
                updated_at: view.updated_at,
                estimated_completion: view.estimated_completion,
                processing_time_seconds: processing_seconds(view).unwrap_or(0.0),
                scenes_total: view.scenes_total,
                scenes_done: view.scenes_done_in_stage(),
            },
            created_at: view.created_at,
            estimated_completion: view.estimated_completion,
            batch_id: view.batch_id.map(|batch| batch.0),
        }
    }
}

impl JobStatusAnswer {
    pub fn of(view: &StatusView, streams: &Streams) -> Self {
        let is_completed = view.status == JobStatus::Completed;
        Self {
            summary: JobSummary::of(view),
            user_id: view.user_id.clone(),
            topic: view.topic.clone(),
            title: view.title.clone(),
            description: view.description.clone(),
            tags: view.tags.clone(),
            quality: view.quality.name().to_owned(),
            updated_at: view.updated_at,
            started_at: view.started_at,
            completed_at: view.ended_at.filter(|_| is_completed),
            video_id: view.video_id,
            download_url: (is_completed && view.expired_at.is_none())
                .then(|| format!("/api/v1/videos/jobs/{}/download", view.job_id)),
            error: view.failure.as_ref().map(|(stage, failure)| {
                let max_retries = view.retry_attempts.unwrap_or(streams.stage(*stage).attempts - 1);
                JobErrorAnswer::of(view, *stage, failure, max_retries)
            }),
            metrics: MetricsAnswer::of(view),
            video: view.video.as_ref().map(|facts| VideoAnswer {
                file_size: facts.file_size,
                duration: facts.duration_ms as f64 / 1000.0,
                width: facts.width,
                height: facts.height,
            }),
            expired_at: view.expired_at,
            warnings: WarningAnswer::all(view),
            playable_seconds: view.playable_ms() as f64 / 1000.0,
            version: view.version,
        }
    }
}

impl JobErrorAnswer {
    fn of(view: &StatusView, stage: Stage, failure: &Failure, max_retries: u32) -> Self {
        // The failure of the job is that of its last attempt. A view of before does not know of attempts.
        let last = view.tried.last();
        let is_same = |tried: &&FailedAttempt| {
            last.is_some_and(|last| (tried.stage, tried.scene) == (last.stage, last.scene))
        };
        let tried: Vec<TriedAnswer> = view.tried.iter().filter(is_same).map(TriedAnswer::of).collect();
        let retry_count = if tried.is_empty() { view.retry_count } else { tried.len() as u32 - 1 };
        Self {
            error_code: failure.code.clone(),
            error_message: failure.message.clone(),
            error_stage: stage.name().to_owned(),
            error_details: ErrorDetails {
                stage: stage.name().to_owned(),
                scene: last.and_then(|last| last.scene),
                attempt: last.map_or(view.retry_count + 1, |last| last.attempt),
                causes: failure.causes.clone(),
                tried,
            },
            recovery_suggestion: failure.suggestion.clone(),
            retry_count,
            max_retries,
        }
    }
}

impl TriedAnswer {
    fn of(tried: &FailedAttempt) -> Self {
        Self { attempt: tried.attempt, error_code: tried.code.clone(), failed_at: tried.at }
    }
}

/// Returns one line for people: what the job does, or how it ended.
pub fn describe_stage(
    status: JobStatus,
    stage: Option<Stage>,
    scenes_done: u32,
    scenes_total: u32,
) -> String {
    match (status, stage) {
        (JobStatus::Completed, _) => "The video is ready".to_owned(),
        (JobStatus::Cancelled, _) => "Cancelled".to_owned(),
        (JobStatus::Failed, Some(stage)) => format!("Failed while: {}", stage.description()),
        (JobStatus::Failed, None) => "Failed".to_owned(),
        (JobStatus::Queued, _) | (JobStatus::Processing, None) => "Waiting for a worker".to_owned(),
        (JobStatus::Processing, Some(stage)) if stage.is_per_scene() || scenes_done > 0 => {
            format!("{} ({scenes_done} of {scenes_total})", stage.description())
        }
        (JobStatus::Processing, Some(stage)) => stage.description().to_owned(),
    }
}

pub fn processing_seconds(view: &StatusView) -> Option<f64> {
    let until = view.ended_at.unwrap_or(view.updated_at);
    view.started_at.map(|from| seconds_between(from, until))
}

pub fn seconds_between(from: DateTime<Utc>, until: DateTime<Utc>) -> f64 {
    (until - from).num_milliseconds() as f64 / 1000.0
}

/// The status of a job
///
/// `ETag` is the job's version, and weak, because estimates change between versions: with `If-None-Match` an unchanged job answers 304. `?wait=SECONDS`
/// (at most 30) holds the request until the job changes.
#[endpoint(
    tags("videos"),
    operation_id = "get_job_status",
    security(["bearer" = []]),
    parameters(("job_id" = Uuid, Path, description = "The job"),
               ("If-None-Match" = Option<String>, Header, description = "Versions that the caller has")),
    responses((status_code = 200, description = "The job as of its last event", body = JobStatusAnswer),
              (status_code = 304, description = "Unchanged since the version in If-None-Match"))
)]
pub async fn get_job_status(
    query: Query<StatusQuery>,
    req: &mut Request,
    depot: &mut Depot,
    res: &mut Response,
) -> Result<(), Problem> {
    let wait = query.0.wait.map_or(0, |seconds| seconds.0);
    let (state, mut view) = visible_job(req, depot).await?;
    let knows_any = req.headers().contains_key(IF_NONE_MATCH);
    if wait > 0 && (!knows_any || is_known(req, &view)) {
        view = changed(&state, view, Duration::from_secs(wait)).await?;
    }
    render(&state, &view, req, res)
}

/// Whether the client has the job as it is.
fn is_known(req: &Request, view: &StatusView) -> bool {
    let known = req.headers().get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    known.is_some_and(|known| matches_etag(known, &etag(view.version)))
}

/// Answers with a job, or with 304 to a client that has it as it is.
pub fn render(
    state: &ApiState,
    view: &Arc<StatusView>,
    req: &Request,
    res: &mut Response,
) -> Result<(), Problem> {
    let value = HeaderValue::from_str(&etag(view.version)).map_err(|_| Problem::internal())?;
    res.headers_mut().insert(ETAG, value);
    res.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if is_known(req, view) {
        res.status_code(StatusCode::NOT_MODIFIED);
        return Ok(());
    }
    let body = state.status_bodies.of(view, state)?;
    res.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    res.write_body(body).map_err(|_| Problem::internal())
}

/// Bodies that are kept, of about 1.5 kB each.
const KEPT_BODIES: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// The answers of the last polls. Many polls of a job in a row have the same answer, which is written once.
pub struct StatusBodies(Mutex<LruCache<JobId, KeptBody>>);

struct KeptBody {
    view: Arc<StatusView>,
    estimate: Option<DateTime<Utc>>,
    bytes: Bytes,
}

impl Default for StatusBodies {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(KEPT_BODIES)))
    }
}

impl StatusBodies {
    /// Returns the answer for a view with the estimate of now.
    fn of(&self, view: &Arc<StatusView>, state: &ApiState) -> Result<Bytes, Problem> {
        let estimate = state.forecasts.completion_of(view);
        let is_same = |kept: &&KeptBody| Arc::ptr_eq(&kept.view, view) && kept.estimate == estimate;
        if let Some(kept) = self.lock().get(&view.job_id).filter(is_same) {
            return Ok(kept.bytes.clone());
        }
        let estimated = StatusView { estimated_completion: estimate, ..StatusView::clone(view) };
        let answer = JobStatusAnswer::of(&estimated, &state.streams);
        let bytes: Bytes = serde_json::to_vec(&answer).map_err(|_| Problem::internal())?.into();
        let kept = KeptBody { view: view.clone(), estimate, bytes: bytes.clone() };
        self.lock().put(view.job_id, kept);
        Ok(bytes)
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<JobId, KeptBody>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The view once its version has moved, or as it is after `wait`. An ended job never moves.
async fn changed(
    state: &Arc<ApiState>,
    view: Arc<StatusView>,
    wait: Duration,
) -> Result<Arc<StatusView>, Problem> {
    if view.ended_at.is_some() {
        return Ok(view);
    }
    let log = state.executor.log();
    let mut bell = state.doorbell.partition(log.keys().partition_of(view.job_id.aggregate()));
    let deadline = tokio::time::Instant::now() + wait;
    loop {
        bell.borrow_and_update();
        let version = log.version(view.job_id.aggregate()).await.map_err(crate::projections::Error::from)?;
        if version > view.version {
            return visible(state, view.job_id).await;
        }
        if tokio::time::timeout_at(deadline, crate::events::doorbell::rung(&mut bell)).await.is_err() {
            return Ok(view);
        }
    }
}

fn etag(version: u64) -> String {
    format!("W/\"v{version}\"")
}

/// `If-None-Match` compares weakly and may list several tags (RFC 9110, section 13.1.2).
pub fn matches_etag(header: &str, etag: &str) -> bool {
    fn opaque(tag: &str) -> &str {
        tag.trim().trim_start_matches("W/")
    }
    header.trim() == "*" || header.split(',').any(|tag| opaque(tag) == opaque(etag))
}
