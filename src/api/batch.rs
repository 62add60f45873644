//! `POST /videos/batch` and `GET /videos/batch/{batch_id}`.
//!
//! Recording the batch accepts all of its jobs at once. They are requested right after it, so that a client finds them
//! at once; should this process die in between, `consumers::batches` requests them under the same command ids.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::future::{join_all, try_join_all};
use salvo::http::StatusCode;
use salvo::http::header::{HeaderValue, LOCATION};
use salvo::hyper::body::Bytes;
use salvo::oapi::endpoint;
use salvo::prelude::*;
use tokio::sync::Semaphore;

use super::available::Available;
use super::batch_answer::{BatchAnswer, BatchSummary};
use super::batch_request::{self, BatchRequest};
use super::forecasts::first_estimate;
use super::generate::{admit, aside, idempotency_key, reserve, resolve, say_replayed};
use super::generate_request::{References, Resolved};
use super::problem::Problem;
use super::request_id::{correlation_id, traceparent};
use super::{ApiState, Role, User, body, catalog_of, state, user};
use crate::crash;
use crate::domain::batch::{Command, Rejection};
use crate::domain::job;
use crate::events::job::JobRequested;
use crate::events::{Actor, AggregateKind, TypedId, VideoRequest};
use crate::execute::{Error, Origin, Trace};
use crate::ids::{BatchId, CommandId, JobId};
use crate::projections::status::{JobStatus, StatusView};
use crate::telemetry::chain;

/// More than a batch of [`batch_request::MAX_BATCH_BYTES`] in a usual form.
const BATCH_BODY_BYTES: usize = 9 * 1024 * 1024;

/// Batches that are parsed and recorded at the same time, which bounds the memory that this takes.
static BATCHES: Semaphore = Semaphore::const_new(2);

/// Generate several videos
///
/// Accepts all jobs or none. Each is the body of `/videos/generate`, and goes its own way: one that fails does not touch
/// the others. `batch_priority` is the priority of those jobs that name none. The limits on what a user may have open hold
/// for the batch as a whole. With an `Idempotency-Key` header, a repeated request answers with the first one's batch.
#[endpoint(
    tags("videos"),
    operation_id = "create_batch",
    security(["bearer" = []]),
    parameters(("Idempotency-Key" = Option<String>, Header, description = "Names the request: sent again within a day, it answers with the first one's batch")),
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
    body::check_content_type(req)?;
    let key = idempotency_key(req)?;
    let trace = Trace { correlation_id: correlation_id(depot), traceparent: traceparent(depot) };
    let body = body::read(req, BATCH_BODY_BYTES).await?;
    let _turn = BATCHES.acquire().await.map_err(|_| Problem::internal())?;
    let request = read_batch(&state, &user, body.clone()).await?;
    Available::of(&state).check_batch(&request.jobs)?;
    let is_repeatable = key.is_some();
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
    let jobs = batch.job_ids.iter().zip(&request.jobs);
    let views =
        jobs.map(|(job_id, request)| StatusView::of_request(*job_id, &user.id, request, batch.created_at));
    let estimates = views.map(|view| match replayed {
        true => state.forecasts.estimate_of(&view),
        false => state.forecasts.accept(&view),
    });
    let estimate = estimates.max().ok_or_else(Problem::internal)?;
    request_jobs(&state, &user, batch_id, request.jobs, &trace).await;
    let estimate = first_estimate(&state, batch_id.aggregate(), estimate, is_repeatable).await?;
    res.status_code(StatusCode::CREATED);
    let location = format!("/api/v1/videos/batch/{batch_id}");
    res.headers_mut().insert(LOCATION, HeaderValue::from_str(&location).map_err(|_| Problem::internal())?);
    if replayed && !first_time {
        say_replayed(res);
    }
    // The answer as it is first given: all jobs as they were when they were requested.
    let counts = BTreeMap::from([(JobStatus::Queued, batch.job_ids.len() as u64)]);
    res.render(Json(batch.summary(Some(estimate), counts)));
    Ok(())
}

/// Parses a body, with what its jobs refer to of the caller's.
async fn read_batch(state: &ApiState, user: &User, body: Bytes) -> Result<BatchRequest, Problem> {
    let default_quality = state.media.default_quality;
    let references = aside(body.clone(), |body| Ok(batch_request::references(body))).await?;
    let resolved = resolve_jobs(state, user, &references).await?;
    aside(body, move |body| batch_request::parse(body, default_quality, &resolved)).await
}

/// Looks up what each job refers to, once for jobs that refer to the same.
async fn resolve_jobs(
    state: &ApiState,
    user: &User,
    references: &[References],
) -> Result<Vec<Resolved>, Problem> {
    let mut resolved: Vec<Resolved> = Vec::with_capacity(references.len());
    for (index, of_job) in references.iter().enumerate() {
        let same = references[..index].iter().position(|earlier| earlier == of_job);
        let found = match same {
            Some(earlier) => resolved[earlier].clone(),
            None => resolve(state, user, of_job).await?,
        };
        resolved.push(found);
    }
    Ok(resolved)
}

/// A batch without the state of its jobs.
pub struct Batch {
    pub batch_id: BatchId,
    pub user_id: String,
    pub name: Option<String>,
    pub priority: String,
    pub job_ids: Vec<JobId>,
    pub created_at: DateTime<Utc>,
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
    async fn find(state: &ApiState, user: &User, batch_id: BatchId) -> Result<Option<Self>, Problem> {
        if let Some(row) = catalog_of(state, user).batch(batch_id).await? {
            return Ok(Some(Self {
                batch_id,
                user_id: row.user_id,
                name: row.batch_name,
                priority: row.batch_priority,
                job_ids: row.job_ids.into_iter().map(JobId).collect(),
                created_at: row.created_at,
            }));
        }
        let first = state.executor.log().history_page(batch_id.aggregate(), 0, 1).await;
        let first = first.map_err(Error::<Rejection>::from)?;
        // The id of something else is no batch's.
        if first.first().is_none_or(|first| first.aggregate != AggregateKind::Batch) {
            return Ok(None);
        }
        Ok(Self::of(batch_id, &state.executor.load(batch_id).await?.state))
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

/// The status of a batch
///
/// Its jobs as of their last events, and what they have taken so far.
#[endpoint(
    tags("videos"),
    operation_id = "get_batch",
    security(["bearer" = []]),
    parameters(("batch_id" = uuid::Uuid, Path, description = "The batch"))
)]
pub async fn get_batch(req: &mut Request, depot: &mut Depot) -> Result<Json<BatchAnswer>, Problem> {
    let (state, user) = (state(depot)?, user(depot)?);
    let no_such_batch = || Problem::not_found("there is no such batch");
    let batch_id = req.param::<String>("batch_id").unwrap_or_default().parse();
    let batch_id: BatchId = batch_id.map_err(|_| no_such_batch())?;
    let batch = Batch::find(&state, &user, batch_id).await?.ok_or_else(no_such_batch)?;
    if batch.user_id != user.id && user.role != Role::Admin {
        return Err(no_such_batch());
    }
    let mut views = try_join_all(batch.job_ids.iter().map(|job_id| view_of(&state, *job_id))).await?;
    views.iter_mut().flatten().for_each(|view| state.forecasts.estimate(view));
    Ok(Json(BatchAnswer::of(&batch, &views)))
}

/// A job as of its last event; one that cannot be read hides no other, and is as it was when it last could.
async fn view_of(state: &ApiState, job_id: JobId) -> Result<Option<StatusView>, Problem> {
    match state.statuses.get(job_id).await {
        Err(error) if error.is_about_one_aggregate() => {
            tracing::error!(%job_id, error = %chain(&error), "a job of a batch cannot be read");
            Ok(state.statuses.stored(job_id).await?)
        }
        view => Ok(view?.map(Arc::unwrap_or_clone)),
    }
}
