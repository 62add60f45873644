//! `/audit`: what is recorded, for auditors. Events are given as their hashes cover them: content stays sealed.

use chrono::{DateTime, Utc};
use salvo::oapi::{ToSchema, endpoint};
use salvo::prelude::*;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::jobs::{EventsAnswer, cursor, from_cursor, limit};
use super::problem::Problem;
use super::{ApiState, Role, state, user};
use crate::audit::{self, verify_job};
use crate::events::Envelope;
use crate::ids::JobId;
use crate::projections;
use crate::projections::trail::{Filter, TrailRow};

#[derive(Debug, Serialize, ToSchema)]
pub struct StateAnswer {
    pub job_id: Uuid,
    /// The version that is shown.
    pub version: u64,
    /// The job folded from its events up to that version.
    pub state: Value,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct VerifyAnswer {
    pub job_id: Uuid,
    /// Whether everything is as it was recorded.
    pub valid: bool,
    pub events: u64,
    /// What is not as it was recorded: place, aggregate, version and words for each.
    pub findings: Vec<Value>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct TrailAnswer {
    /// Events without their data, in the order in which they were recorded.
    pub events: Vec<Value>,
    /// Gives the next page, as `cursor`; null on the last one.
    pub next_cursor: Option<String>,
}

/// Lets auditors and admins through.
fn auditor(depot: &Depot) -> Result<(), Problem> {
    match user(depot)?.role {
        Role::Auditor | Role::Admin => Ok(()),
        Role::User | Role::Analyst => Err(Problem::forbidden("only auditors and admins may read this")),
    }
}

async fn history(req: &Request, state: &ApiState) -> Result<(JobId, Vec<Envelope>), Problem> {
    let text: String = req.param("job_id").unwrap_or_default();
    let job_id: JobId = text.parse().map_err(|_| Problem::no_such_job())?;
    let log = state.executor.log();
    let events = log.history(job_id.aggregate(), 0).await.map_err(projections::Error::from)?;
    if events.is_empty() { Err(Problem::no_such_job()) } else { Ok((job_id, events)) }
}

/// The events of a job as they are recorded
///
/// For auditors: exactly what the hash chain covers, so that it can be verified; personal content is sealed.
#[endpoint(
    tags("audit"),
    operation_id = "list_recorded_events",
    security(["bearer" = []]),
    parameters(("job_id" = Uuid, Path, description = "The job")),
    responses((status_code = 403, description = "The caller is no auditor", body = super::problem::ErrorBody))
)]
pub async fn list_recorded_events(
    req: &mut Request,
    depot: &mut Depot,
) -> Result<Json<EventsAnswer>, Problem> {
    auditor(depot)?;
    let (job_id, events) = history(req, state(depot)?.as_ref()).await?;
    let events = events.iter().map(serde_json::to_value).collect::<Result<_, _>>();
    Ok(Json(EventsAnswer { job_id: job_id.0, events: events.map_err(projections::Error::from)? }))
}

/// What a job was at a version or a time
///
/// For auditors: the state folded from the events up to there. Without `at_version` and `at`, as it is now.
#[endpoint(
    tags("audit"),
    operation_id = "get_state_at",
    security(["bearer" = []]),
    parameters(("job_id" = Uuid, Path, description = "The job"),
               ("at_version" = Option<u64>, Query, description = "A version of the job, from 1"),
               ("at" = Option<String>, Query, description = "A time, RFC 3339")),
    responses((status_code = 403, description = "The caller is no auditor", body = super::problem::ErrorBody))
)]
pub async fn get_state_at(req: &mut Request, depot: &mut Depot) -> Result<Json<StateAnswer>, Problem> {
    auditor(depot)?;
    let state = state(depot)?;
    let (job_id, events) = history(req, state.as_ref()).await?;
    let version = version_at(req, &events)?;
    let folded = state.catalog.folded(job_id, version).await?.ok_or_else(Problem::internal)?;
    Ok(Json(StateAnswer { job_id: job_id.0, version, state: folded.to_json() }))
}

fn version_at(req: &Request, events: &[Envelope]) -> Result<u64, Problem> {
    let last = events.len() as u64;
    if let Some(text) = req.query::<String>("at_version") {
        let version = text.parse().ok().filter(|version| (1..=last).contains(version));
        return version
            .ok_or_else(|| Problem::query("at_version", &text, &format!("a version from 1 to {last}")));
    }
    let Some(text) = req.query::<String>("at") else { return Ok(last) };
    let time = DateTime::parse_from_rfc3339(&text).ok().map(|time| time.with_timezone(&Utc));
    let begun = events.first().map(|event| event.recorded_at).unwrap_or_default();
    let expected = format!("a time from {} on, RFC 3339", begun.to_rfc3339());
    let time = time.filter(|time| *time >= begun).ok_or_else(|| Problem::query("at", &text, &expected))?;
    Ok(audit::version_at(events, time))
}

/// Whether a job's history is as it was recorded
///
/// For auditors: checks every event's hash, the chain, their order, and the hashes that the trail has.
#[endpoint(
    tags("audit"),
    operation_id = "verify_job",
    security(["bearer" = []]),
    parameters(("job_id" = Uuid, Path, description = "The job")),
    responses((status_code = 403, description = "The caller is no auditor", body = super::problem::ErrorBody))
)]
pub async fn verify_job_history(req: &mut Request, depot: &mut Depot) -> Result<Json<VerifyAnswer>, Problem> {
    auditor(depot)?;
    let state = state(depot)?;
    let text: String = req.param("job_id").unwrap_or_default();
    let job_id: JobId = text.parse().map_err(|_| Problem::no_such_job())?;
    let report = verify_job(state.executor.log(), &state.trail, job_id).await?;
    if report.events == 0 && report.findings.is_empty() {
        return Err(Problem::no_such_job());
    }
    let findings = report.findings.iter().map(serde_json::to_value).collect::<Result<_, _>>();
    Ok(Json(VerifyAnswer {
        job_id: job_id.0,
        valid: report.is_clean(),
        events: report.events,
        findings: findings.map_err(projections::Error::from)?,
    }))
}

/// Events of all jobs, users and projections
///
/// For auditors: without their data, in the order in which they were recorded.
#[endpoint(
    tags("audit"),
    operation_id = "list_trail",
    security(["bearer" = []]),
    parameters(("type" = Option<String>, Query, description = "Such as JobRequested"),
               ("actor" = Option<String>, Query, description = "user:ID, worker:NAME or system"),
               ("from" = Option<String>, Query, description = "Recorded at or after this time, RFC 3339"),
               ("to" = Option<String>, Query, description = "Recorded before this time, RFC 3339"),
               ("limit" = Option<u64>, Query, description = "Events on a page, 1 to 1000; 100 by default"),
               ("cursor" = Option<String>, Query, description = "Where the page before ended")),
    responses((status_code = 403, description = "The caller is no auditor", body = super::problem::ErrorBody))
)]
pub async fn list_trail(req: &mut Request, depot: &mut Depot) -> Result<Json<TrailAnswer>, Problem> {
    auditor(depot)?;
    let filter = Filter {
        event_type: req.query("type"),
        actor: req.query("actor"),
        from: super::jobs::time(req, "from")?,
        to: super::jobs::time(req, "to")?,
        after: from_cursor(req)?,
    };
    let limit = limit(req, "limit", 100, 1000)?;
    let rows = state(depot)?.trail.list(&filter, limit as i64).await?;
    let is_full = rows.len() as u64 == limit;
    let next_cursor =
        rows.last().filter(|_| is_full).map(|row: &TrailRow| cursor(row.recorded_at, row.event_id));
    let events = rows.iter().map(serde_json::to_value).collect::<Result<_, _>>();
    Ok(Json(TrailAnswer { events: events.map_err(projections::Error::from)?, next_cursor }))
}
