//! `POST /videos/generate`.

use salvo::http::StatusCode;
use salvo::http::header::{HeaderName, HeaderValue, LOCATION};
use salvo::hyper::body::Bytes;
use salvo::oapi::endpoint;
use salvo::prelude::*;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::admission::{self, Admitted};
use super::available::Available;
use super::forecasts::first_estimate;
use super::generate_request::{self, References, Resolved};
use super::problem::Problem;
use super::request_id::{correlation_id, traceparent};
use super::status::JobSummary;
use super::{ApiState, User, body, idempotency, state, user};
use crate::crash;
use crate::domain::job::{Command, Rejection};
use crate::error_codes::ErrorCode;
use crate::events::job::JobRequested;
use crate::events::{Actor, VideoRequest};
use crate::execute::{Error, Origin, Trace};
use crate::ids::{AggregateId, CommandId, JobId};
use crate::projections::status::StatusView;

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const IDEMPOTENCY_KEY_BYTES: usize = 255;

/// Generate a video
///
/// Records the request and answers at once; the work goes on in the background. The body is flat, or
/// wrapped as `{"configuration": {…}, "priority": …}`. With an `Idempotency-Key` header, a repeated
/// request answers with the first one's job.
#[endpoint(
    tags("videos"),
    operation_id = "generate_video",
    security(["bearer" = []]),
    parameters(("Idempotency-Key" = Option<String>, Header, description = "Names the request: sent again within a day, it answers with the first one's job")),
    request_body(content = serde_json::Value, description = "The video to make", content_type = "application/json",
        example = json!({"topic": "How a battery works", "script": "# Batteries\n\nIons move.", "quality": "high"})),
    responses((status_code = 201, description = "The job was accepted", body = JobSummary),
              (status_code = 422, description = "Some fields are not valid; each is listed", body = super::problem::ErrorBody),
              (status_code = 429, description = "The user has as much open as one user may; Retry-After says when to ask again", body = super::problem::ErrorBody),
              (status_code = 503, description = "The system has as much open as it may; Retry-After says when to ask again", body = super::problem::ErrorBody))
)]
pub async fn generate_video(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), Problem> {
    let (state, user) = (state(depot)?, user(depot)?);
    body::check_content_type(req)?;
    let key = idempotency_key(req)?;
    let traceparent = traceparent(depot);
    let body = body::read(req, super::BODY_BYTES).await?;
    let request = read_request(&state, &user, body.clone()).await?;
    Available::of(&state).check(&request)?;

    let is_repeatable = key.is_some();
    let (job_id, first_time) = match key {
        Some(key) => {
            let (id, first_time) = reserve(&state, &user, "", &key, &body).await?;
            (JobId(id), first_time)
        }
        None => (JobId::new(), true),
    };
    let requests = std::slice::from_ref(&request);
    let _admitted = admit(&state, &user, job_id.aggregate(), requests).await?;
    let submitted = submit(&state, &user, job_id, request, correlation_id(depot), traceparent).await?;
    crash::point("generate.accepted");
    let replayed = submitted.is_none();
    let mut view = match submitted {
        Some(view) => view,
        // The answer as it was first given: the job as it was when it was requested.
        None => state.statuses.folded(job_id, 3).await?.ok_or_else(Problem::internal)?,
    };
    let estimate = match replayed {
        true => state.forecasts.estimate_of(&view),
        false => state.forecasts.accept(&view),
    };
    let estimate = first_estimate(&state, job_id.aggregate(), estimate, is_repeatable).await?;
    view.estimated_completion = Some(estimate);
    res.status_code(StatusCode::CREATED);
    let location = format!("/api/v1/videos/jobs/{job_id}/status");
    res.headers_mut().insert(LOCATION, HeaderValue::from_str(&location).map_err(|_| Problem::internal())?);
    if replayed && !first_time {
        say_replayed(res);
    }
    res.render(Json(JobSummary::of(&view)));
    Ok(())
}

/// Tells that the answer is that of an earlier request.
pub fn say_replayed(res: &mut Response) {
    res.headers_mut()
        .insert(HeaderName::from_static("idempotent-replayed"), HeaderValue::from_static("true"));
}

/// Bodies that are parsed at the same time, which bounds the memory that this takes: some 30 MiB each at worst.
static PARSERS: Semaphore = Semaphore::const_new(8);

/// A body that is parsed sooner than another thread can be asked to.
const SMALL_BODY_BYTES: usize = 4096;

/// Parses a body, with what it refers to of the caller's: a configuration, uploads.
pub(super) async fn read_request(
    state: &ApiState,
    user: &User,
    body: Bytes,
) -> Result<VideoRequest, Problem> {
    let default_quality = state.media.default_quality;
    let plans_topics = state.models.models.is_some();
    let parse = move |body: &[u8]| {
        let references = References::of(body);
        match references.is_empty() {
            true => {
                let resolved = Resolved { plans_topics, ..Resolved::default() };
                generate_request::parse_with(body, default_quality, &resolved).map(Read::Whole)
            }
            false => Ok(Read::Referring(references)),
        }
    };
    let read = match body.len() {
        ..=SMALL_BODY_BYTES => parse(&body)?,
        _ => parse_aside(body.clone(), parse).await?,
    };
    let references = match read {
        Read::Whole(request) => return Ok(request),
        Read::Referring(references) => references,
    };
    let resolved = resolve(state, user, &references).await?;
    parse_aside(body, move |body| generate_request::parse_with(body, default_quality, &resolved)).await
}

/// A body of which the first look is done.
#[expect(clippy::large_enum_variant, reason = "it is unpacked at once")]
enum Read {
    Whole(VideoRequest),
    Referring(References),
}

/// Looks up what a body refers to.
pub async fn resolve(state: &ApiState, user: &User, references: &References) -> Result<Resolved, Problem> {
    let mut resolved = Resolved { plans_topics: state.models.models.is_some(), ..Resolved::default() };
    let library = state.library.seen_by(&user.id);
    if let Some(id) = references.configuration_id {
        resolved.configuration = library.configuration(&user.id, id).await?;
    }
    for &id in &references.upload_ids {
        if let Some(kept) = library.upload(&user.id, id).await? {
            resolved.uploads.insert(id, kept.upload);
        }
    }
    Ok(resolved)
}

/// Parses a body aside, when it is its turn.
async fn parse_aside<T: Send + 'static>(
    body: Bytes,
    parse: impl FnOnce(&[u8]) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let permit = PARSERS.acquire().await.map_err(|_| Problem::internal())?;
    let parse_in_turn = move |body: &[u8]| {
        let _held_while_parsing = permit;
        parse(body)
    };
    aside(body, parse_in_turn).await
}

/// Parses a body where it may take as long as it needs: on a thread that blocks.
pub async fn aside<T: Send + 'static>(
    body: Bytes,
    parse: impl FnOnce(&[u8]) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(move || parse(&body)).await.map_err(|error| {
        tracing::error!(%error, "a body could not be parsed");
        Problem::internal()
    })?
}

/// Refuses what is past a limit, and everything while the system drains. A job or batch that was accepted before is no new one, whatever is open now.
pub async fn admit(
    state: &ApiState,
    user: &User,
    id: AggregateId,
    requests: &[VideoRequest],
) -> Result<Option<Admitted>, Problem> {
    if let Some(drain) = &state.controls.decided().drain {
        let version = state.executor.log().version(id).await.map_err(Error::<Rejection>::from)?;
        return if version > 0 { Ok(None) } else { Err(Problem::draining(&drain.reason)) };
    }
    let limits = &state.controls.streams().limits;
    match state.admission.admit(&state.queue, user, requests, limits).await {
        Ok(admitted) => Ok(Some(admitted)),
        Err(admission::Error::Log(error)) => Err(Problem::from(Error::<Rejection>::from(error))),
        Err(admission::Error::Refused(refused)) => {
            let version = state.executor.log().version(id).await.map_err(Error::<Rejection>::from)?;
            if version > 0 { Ok(None) } else { Err(refused.into()) }
        }
    }
}

/// Appends the request, and returns the job as it is then. `None` when it had been appended before.
async fn submit(
    state: &ApiState,
    user: &User,
    job_id: JobId,
    request: VideoRequest,
    correlation_id: String,
    traceparent: String,
) -> Result<Option<StatusView>, Problem> {
    let origin = Origin {
        // The job's id names the intention: however often it is sent, the job is requested once.
        command_id: CommandId(job_id.0),
        actor: Actor::User(user.id.clone()),
        trace: Some(Trace { correlation_id, traceparent }),
        causation_id: None,
    };
    let command =
        Command::Request(JobRequested { user_id: user.id.clone(), request: request.into(), batch_id: None });
    match state.executor.execute(job_id, command, &origin, None).await {
        Ok(executed) if executed.replayed => Ok(None),
        Ok(executed) => {
            let (job, version) = (&executed.loaded.state, executed.loaded.tip.version);
            Ok(Some(StatusView::requested(job_id, job, version).ok_or_else(Problem::internal)?))
        }
        Err(Error::Rejected(Rejection::AlreadyRequested)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Binds the key to the id of a job or batch. Returns the id, and whether the key is new.
pub async fn reserve(
    state: &ApiState,
    user: &User,
    endpoint: &str,
    key: &str,
    body: &[u8],
) -> Result<(Uuid, bool), Problem> {
    let kept_for = state.streams.retention.idempotency_key;
    match idempotency::reserve(state.executor.log(), &user.id, endpoint, key, body, kept_for).await? {
        idempotency::Reservation::New(id) => Ok((id, true)),
        idempotency::Reservation::Earlier(id) => Ok((id, false)),
        idempotency::Reservation::OtherBody => {
            let message = "this Idempotency-Key was used with another body; use a new key for a new request";
            Err(Problem::new(ErrorCode::IdempotencyKeyReused, message))
        }
    }
}

pub fn idempotency_key(req: &Request) -> Result<Option<String>, Problem> {
    let Some(value) = req.headers().get(IDEMPOTENCY_KEY) else { return Ok(None) };
    match value.to_str() {
        Ok(key) if (1..=IDEMPOTENCY_KEY_BYTES).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(Problem::bad_request(format!(
            "Idempotency-Key must have 1 to {IDEMPOTENCY_KEY_BYTES} visible ASCII characters, not {}",
            value.len()
        ))),
    }
}
