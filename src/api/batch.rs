//! `POST /videos/batch` and `GET /videos/batch/{batch_id}`.
//!
//! Recording the batch accepts all of its jobs at once. They are requested right after it, so that a client finds them
//! at once; should this process die in between, `consumers::batches` requests them under the same command ids.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures_util::future::{join_all, try_join_all};
use salvo::http::StatusCode;
use salvo::http::header::{HeaderValue, LOCATION};
use salvo::hyper::body::Bytes;
use salvo::oapi::{ToSchema, endpoint};
use salvo::prelude::*;
use serde::Serialize;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::batch_request::{self, BatchRequest};
use super::generate::{
    admit, check_content_type, idempotency_key, reserve, say_replayed, traceparent, unreadable,
};
use super::problem::Problem;
use super::request_id::correlation_id;
use super::status::{JobSummary, ProgressAnswer, describe_stage, processing_seconds, seconds_between};
use super::{ApiState, Role, User, state, user};
use crate::crash;
use crate::domain::batch::{Command, Rejection};
use crate::domain::job;
use crate::events::job::JobRequested;
use crate::events::{Actor, Quality, Stage, TypedId, VideoRequest};
use crate::execute::{Error, Origin, Trace};
use crate::ids::{BatchId, CommandId, JobId};
use crate::projections::status::{JobStatus, StatusView};
use crate::telemetry::chain;

/// More than a batch of [`batch_request::MAX_BATCH_BYTES`] in a usual form.
const BATCH_BODY_BYTES: usize = 9 * 1024 * 1024;

/// Batches that are parsed and recorded at the same time, which bounds the memory that this takes.
static BATCHES: Semaphore = Semaphore::const_new(2);

/// A batch as its request answers it.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchSummary {
    pub batch_id: Uuid,
    /// In the order of the request.
    pub job_ids: Vec<Uuid>,
    pub total_jobs: u64,
    /// The priority of those jobs that name none.
    pub batch_priority: String,
    pub batch_name: Option<String>,
    pub created_at: DateTime<Utc>,
    /// When the last of its jobs is expected to end; null once all have.
    pub estimated_completion: Option<DateTime<Utc>>,
    /// How many jobs have each status. Jobs that were deleted are not counted.
    pub status_summary: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct BatchAnswer {
    #[serde(flatten)]
    #[salvo(schema(inline = false))]
    pub summary: BatchSummary,
    pub user_id: String,
    /// `queued` before the first job begins, then `processing`. Once all jobs have ended: `completed` when any has a video,
    /// else `failed` when any failed, else `cancelled`.
    pub status: String,
    pub updated_at: DateTime<Utc>,
    /// When the last job ended; null while any goes on.
    pub completed_at: Option<DateTime<Utc>>,
    pub progress: BatchProgress,
    pub resource_usage: ResourceUsage,
    /// Those that were not deleted, in the order of the request.
    pub jobs: Vec<BatchJob>,
}

#[derive(Debug, Default, Serialize, ToSchema)]
pub struct BatchProgress {
    /// 0 to 100, the mean of all jobs; a job that has ended counts as 100, however it did.
    pub percentage: f64,
    pub total: u64,
    pub queued: u64,
    pub processing: u64,
    pub completed: u64,
    pub failed: u64,
    pub cancelled: u64,
    /// Jobs that their user has deleted since.
    pub deleted: u64,
}

/// What the jobs took so far, added up.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct ResourceUsage {
    /// From each request to the first stage.
    pub queue_time_seconds: f64,
    /// From the first stage of each job to its end, or until now.
    pub processing_time_seconds: f64,
    /// How long the finished videos are.
    pub video_seconds: f64,
    pub video_bytes: u64,
    /// How often any work was tried again.
    pub retries: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct BatchJob {
    #[serde(flatten)]
    #[salvo(schema(inline = false))]
    pub summary: JobSummary,
    pub topic: Option<String>,
    pub title: Option<String>,
    pub video_id: Option<Uuid>,
    pub download_url: Option<String>,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
}

/// Generate several videos
///
/// Accepts all jobs or none. Each is the body of `/videos/generate`, and goes its own way: one that fails does not touch
/// the others. `batch_priority` is the priority of those jobs that name none. The limits on what a user may have open hold
/// for the batch as a whole. With an `Idempotency-Key` header, a repeated request answers with the first one's batch.
#[endpoint(
    tags("videos"),
    operation_id = "create_batch",
    security(["bearer" = []]),
    request_body(content = serde_json::Value, description = "The videos to make", content_type = "application/json",
        example = json!({"jobs": [{"topic": "How a battery works", "script": "# Batteries\n\nIons move."},
                                  {"topic": "How a lamp works", "script": "# Lamps\n\nElectrons fall."}],
                         "batch_priority": "normal", "batch_name": "Physics"})),
    responses((status_code = 201, description = "All jobs were accepted", body = BatchSummary),
              (status_code = 422, description = "Some fields are not valid, each of which is listed; or there are too many jobs, with max_batch_size, suggested_batches and errors in the details", body = super::problem::ErrorBody),
              (status_code = 429, description = "The user would have more open than one user may; Retry-After says when to ask again", body = super::problem::ErrorBody),
              (status_code = 503, description = "The system would have more open than it may; Retry-After says when to ask again", body = super::problem::ErrorBody))
)]
pub async fn create_batch(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), Problem> {
    let (state, user) = (state(depot)?, user(depot)?);
    check_content_type(req)?;
    let key = idempotency_key(req)?;
    let trace = Trace { correlation_id: correlation_id(depot), traceparent: traceparent(req) };
    let body = req.payload_with_max_size(BATCH_BODY_BYTES).await;
    let body = body.map_err(|error| unreadable(error, BATCH_BODY_BYTES))?.clone();
    let _turn = BATCHES.acquire().await.map_err(|_| Problem::internal())?;
    let request = parse(body.clone(), state.media.default_quality).await?;
    let (batch_id, first_time) = match key {
        Some(key) => {
            let (id, first_time) = reserve(&state, &user, "batch:", &key, &body).await?;
            (BatchId(id), first_time)
        }
        None => (BatchId::new(), true),
    };
    let _admitted = admit(&state, &user, batch_id.aggregate(), &request.jobs).await?;
    let (batch, replayed) = submit(&state, &user, batch_id, &request, &trace).await?;
    crash::point("batch.accepted");
    request_jobs(&state, &user, batch_id, request.jobs, &trace).await;
    res.status_code(StatusCode::CREATED);
    let location = format!("/api/v1/videos/batch/{batch_id}");
    res.headers_mut().insert(LOCATION, HeaderValue::from_str(&location).map_err(|_| Problem::internal())?);
    if replayed && !first_time {
        say_replayed(res);
    }
    res.render(Json(accepted(&state, batch).await?));
    Ok(())
}

/// Parses a body where it may take as long as it needs: on a thread that blocks.
async fn parse(body: Bytes, default_quality: Quality) -> Result<BatchRequest, Problem> {
    let parsed = tokio::task::spawn_blocking(move || batch_request::parse(&body, default_quality));
    parsed.await.map_err(|error| {
        tracing::error!(%error, "a body could not be parsed");
        Problem::internal()
    })?
}

/// A batch without the state of its jobs.
struct Batch {
    batch_id: BatchId,
    user_id: String,
    name: Option<String>,
    priority: String,
    job_ids: Vec<JobId>,
    created_at: DateTime<Utc>,
}

impl Batch {
    /// `None` for a batch that does not exist.
    fn of(batch_id: BatchId, batch: &crate::domain::batch::Batch) -> Option<Self> {
        Some(Self {
            batch_id,
            user_id: batch.user_id.clone(),
            name: batch.name.clone(),
            priority: batch.priority.name().to_owned(),
            job_ids: batch.job_ids().collect(),
            created_at: batch.requested_at?,
        })
    }

    /// From the catalog, or where that is behind, from the log.
    async fn find(state: &ApiState, batch_id: BatchId) -> Result<Option<Self>, Problem> {
        if let Some(row) = state.catalog.batch(batch_id).await? {
            return Ok(Some(Self {
                batch_id,
                user_id: row.user_id,
                name: row.batch_name,
                priority: row.batch_priority,
                job_ids: row.job_ids.into_iter().map(JobId).collect(),
                created_at: row.created_at,
            }));
        }
        Ok(Self::of(batch_id, &state.executor.load(batch_id).await?.state))
    }

    fn summary(
        &self,
        estimated_completion: Option<DateTime<Utc>>,
        counts: BTreeMap<JobStatus, u64>,
    ) -> BatchSummary {
        let count = |status| (JobStatus::name(status).to_owned(), counts.get(&status).copied().unwrap_or(0));
        BatchSummary {
            batch_id: self.batch_id.0,
            job_ids: self.job_ids.iter().map(|job| job.0).collect(),
            total_jobs: self.job_ids.len() as u64,
            batch_priority: self.priority.clone(),
            batch_name: self.name.clone(),
            created_at: self.created_at,
            estimated_completion,
            status_summary: JobStatus::ALL.into_iter().map(count).collect(),
        }
    }
}

/// Records the batch. `true` when it had been recorded before.
async fn submit(
    state: &ApiState,
    user: &User,
    batch_id: BatchId,
    request: &BatchRequest,
    trace: &Trace,
) -> Result<(Batch, bool), Problem> {
    let origin = Origin {
        // The batch's id names the intention: however often it is sent, the batch is requested once.
        command_id: CommandId(batch_id.0),
        actor: Actor::User(user.id.clone()),
        trace: Some(trace.clone()),
        causation_id: None,
    };
    let BatchRequest { name, priority, jobs } = request.clone();
    let command = Command::Request { batch_id, user_id: user.id.clone(), name, priority, requests: jobs };
    let (loaded, replayed) = match state.executor.execute(batch_id, command, &origin, None).await {
        Ok(executed) => (executed.loaded, executed.replayed),
        Err(Error::Rejected(Rejection::AlreadyRequested)) => (state.executor.load(batch_id).await?, true),
        Err(error) => return Err(error.into()),
    };
    let batch = Batch::of(batch_id, &loaded.state).ok_or_else(Problem::internal)?;
    Ok((batch, replayed))
}

/// Requests the jobs of a batch. What fails here is done by `consumers::batches`.
async fn request_jobs(
    state: &ApiState,
    user: &User,
    batch_id: BatchId,
    requests: Vec<VideoRequest>,
    trace: &Trace,
) {
    let request_job = async |(index, request): (u32, VideoRequest)| {
        let job_id = JobId::of_batch(batch_id, index);
        let origin = Origin {
            command_id: CommandId(job_id.0),
            actor: Actor::User(user.id.clone()),
            trace: Some(trace.clone()),
            causation_id: None,
        };
        let (user_id, batch_id) = (user.id.clone(), Some(batch_id));
        let command = job::Command::Request(JobRequested { user_id, request: request.into(), batch_id });
        match state.executor.execute(job_id, command, &origin, None).await {
            Ok(_) | Err(Error::Rejected(job::Rejection::AlreadyRequested)) => {}
            Err(error) => {
                tracing::warn!(%job_id, error = %chain(&error), "a job of a batch is requested later");
            }
        }
    };
    join_all((0..).zip(requests).map(request_job)).await;
}

/// The answer as it is first given: all jobs as they were when they were requested.
async fn accepted(state: &ApiState, batch: Batch) -> Result<BatchSummary, Problem> {
    let views = try_join_all(batch.job_ids.iter().map(|job_id| state.statuses.folded(*job_id, 3))).await?;
    let estimate = views.iter().flatten().filter_map(|view| view.estimated_completion).max();
    let counts = BTreeMap::from([(JobStatus::Queued, batch.job_ids.len() as u64)]);
    Ok(batch.summary(estimate, counts))
}

/// The status of a batch
///
/// Its jobs as of their last events, and what they have taken so far.
#[endpoint(
    tags("videos"),
    operation_id = "get_batch",
    security(["bearer" = []]),
    parameters(("batch_id" = Uuid, Path, description = "The batch"))
)]
pub async fn get_batch(req: &mut Request, depot: &mut Depot) -> Result<Json<BatchAnswer>, Problem> {
    let (state, user) = (state(depot)?, user(depot)?);
    let no_such_batch = || Problem::not_found("there is no such batch");
    let batch_id = req.param::<String>("batch_id").unwrap_or_default().parse();
    let batch_id: BatchId = batch_id.map_err(|_| no_such_batch())?;
    let batch = Batch::find(&state, batch_id).await?.ok_or_else(no_such_batch)?;
    if batch.user_id != user.id && user.role != Role::Admin {
        return Err(no_such_batch());
    }
    let views = try_join_all(batch.job_ids.iter().map(|job_id| state.statuses.get(*job_id))).await?;
    Ok(Json(BatchAnswer::of(&batch, &views)))
}

impl BatchAnswer {
    /// `views` are those of the jobs, in their order; `None` for a job that is not requested yet.
    fn of(batch: &Batch, views: &[Option<StatusView>]) -> Self {
        let mut progress = BatchProgress { total: views.len() as u64, ..BatchProgress::default() };
        let (mut resource_usage, mut counts) = (ResourceUsage::default(), BTreeMap::new());
        let (mut jobs, mut percentages) = (vec![], 0.0);
        for (job_id, view) in batch.job_ids.iter().zip(views) {
            if view.as_ref().is_some_and(|view| view.deleted_at.is_some()) {
                progress.deleted += 1;
                continue;
            }
            let status = view.as_ref().map_or(JobStatus::Queued, |view| view.status);
            *counts.entry(status).or_insert(0) += 1;
            percentages += view.as_ref().map_or(0.0, percentage);
            if let Some(view) = view {
                resource_usage.add(view);
            }
            jobs.push(BatchJob::of(batch, *job_id, view.as_ref()));
        }
        progress.count(&counts);
        progress.percentage = match jobs.len() {
            0 => 100.0,
            count => (percentages / count as f64 * 100.0).round() / 100.0,
        };
        let views: Vec<&StatusView> = views.iter().flatten().collect();
        let goes_on = progress.queued + progress.processing > 0;
        let estimate = views.iter().filter_map(|view| view.estimated_completion).max();
        Self {
            summary: batch.summary(estimate.filter(|_| goes_on), counts),
            user_id: batch.user_id.clone(),
            status: progress.status().name().to_owned(),
            updated_at: views.iter().map(|view| view.updated_at).max().unwrap_or(batch.created_at),
            completed_at: views.iter().filter_map(|view| view.ended_at).max().filter(|_| !goes_on),
            progress,
            resource_usage,
            jobs,
        }
    }
}

fn percentage(view: &StatusView) -> f64 {
    if view.ended_at.is_some() { 100.0 } else { view.percentage }
}

impl BatchProgress {
    fn count(&mut self, counts: &BTreeMap<JobStatus, u64>) {
        let count = |status| counts.get(&status).copied().unwrap_or(0);
        self.queued = count(JobStatus::Queued);
        self.processing = count(JobStatus::Processing);
        self.completed = count(JobStatus::Completed);
        self.failed = count(JobStatus::Failed);
        self.cancelled = count(JobStatus::Cancelled);
    }

    fn status(&self) -> JobStatus {
        let have_begun = self.processing + self.completed + self.failed > 0;
        match (self.queued, self.processing) {
            (0, 0) if self.completed > 0 => JobStatus::Completed,
            (0, 0) if self.failed > 0 => JobStatus::Failed,
            (0, 0) if self.cancelled > 0 => JobStatus::Cancelled,
            // All jobs are deleted, which they can be only after their end.
            (0, 0) => JobStatus::Completed,
            _ if have_begun => JobStatus::Processing,
            _ => JobStatus::Queued,
        }
    }
}

impl ResourceUsage {
    fn add(&mut self, view: &StatusView) {
        self.queue_time_seconds += view.started_at.map_or(0.0, |at| seconds_between(view.created_at, at));
        self.processing_time_seconds += processing_seconds(view).unwrap_or(0.0);
        if let Some(video) = &view.video {
            self.video_seconds += video.duration_ms as f64 / 1000.0;
            self.video_bytes += video.file_size;
        }
        self.retries += u64::from(view.retry_count);
    }
}

impl BatchJob {
    fn of(batch: &Batch, job_id: JobId, view: Option<&StatusView>) -> Self {
        let Some(view) = view else {
            let (summary, topic) = (not_requested_yet(batch, job_id), None);
            let (title, video_id, download_url) = (None, None, None);
            let (error_code, error_message) = (None, None);
            return Self { summary, topic, title, video_id, download_url, error_code, error_message };
        };
        let failure = view.failure.as_ref().map(|(_, failure)| failure);
        let is_completed = view.status == JobStatus::Completed;
        Self {
            summary: JobSummary::of(view),
            topic: Some(view.topic.clone()),
            title: view.title.clone(),
            video_id: view.video_id,
            download_url: is_completed.then(|| format!("/api/v1/videos/jobs/{job_id}/download")),
            error_code: failure.map(|failure| failure.code.clone()),
            error_message: failure.map(|failure| failure.message.clone()),
        }
    }
}

/// A job whose batch is recorded while the job itself is about to be.
fn not_requested_yet(batch: &Batch, job_id: JobId) -> JobSummary {
    JobSummary {
        job_id: job_id.0,
        status: JobStatus::Queued.name().to_owned(),
        priority: batch.priority.clone(),
        progress: ProgressAnswer {
            percentage: 0.0,
            current_stage: Stage::Initializing.name().to_owned(),
            stages_completed: vec![],
            stage_description: describe_stage(JobStatus::Queued, None, 0, 0),
            updated_at: batch.created_at,
            estimated_completion: None,
            processing_time_seconds: None,
            scenes_total: 0,
            scenes_done: 0,
        },
        created_at: batch.created_at,
        estimated_completion: None,
        batch_id: Some(batch.batch_id.0),
    }
}
