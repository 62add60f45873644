//! `/audit`: what is recorded, for auditors. Events are given as their hashes cover them: content stays sealed.

use salvo::oapi::{ToParameters, ToSchema, endpoint};
use salvo::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::jobs::{EventsAnswer, EventsQuery, PartSize};
use super::problem::Problem;
use super::query::{Cursor, Query, Time, Whole, Words, refuse};
use super::{ApiState, Role, job_id, state, user};
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

/// A version that a job has; no history comes near the end.
type Version = Whole<1, 1_000_000_000>;
const DEFAULT_TRAIL_EVENTS: u64 = 100;

/// All events of the job in the path.
async fn history(req: &Request, state: &ApiState) -> Result<(JobId, Vec<Envelope>), Problem> {
    let job_id = job_id(req)?;
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
    query: Query<EventsQuery>,
    req: &mut Request,
    depot: &mut Depot,
) -> Result<Json<EventsAnswer>, Problem> {
    let (state, job_id) = (state(depot)?, job_id(req)?);
    let version = state.executor.log().version(job_id.aggregate()).await.map_err(projections::Error::from)?;
    if version == 0 {
        return Err(Problem::no_such_job());
    }
    let (events, next_version) = query.0.read(&state, job_id).await?;
    let events: Result<_, _> = events.iter().map(serde_json::to_value).collect();
    let events = events.map_err(projections::Error::from)?;
    Ok(Json(EventsAnswer { job_id: job_id.0, events, next_version }))
}

/// Up to where to fold a job.
#[derive(Debug, Default, Deserialize, ToParameters)]
#[serde(default)]
#[salvo(parameters(default_parameter_in = Query))]
pub struct StateQuery {
    /// A version of the job, from 1.
    at_version: Option<Version>,
    /// A time, RFC 3339.
    at: Option<Time>,
}

/// What a job was at a version or a time
///
/// For auditors: the state folded from the events up to there. Without `at_version` and `at`, as it is now. Personal
/// content is `[sealed]` to auditors, and opened to admins.
#[endpoint(
    tags("audit"),
    operation_id = "get_state_at",
    security(["bearer" = []]),
    parameters(("job_id" = Uuid, Path, description = "The job")),
    responses((status_code = 403, description = "The caller is no auditor", body = super::problem::ErrorBody))
)]
pub async fn get_state_at(
    query: Query<StateQuery>,
    req: &mut Request,
    depot: &mut Depot,
) -> Result<Json<StateAnswer>, Problem> {
    let (state, user) = (state(depot)?, user(depot)?);
    let (job_id, events) = history(req, state.as_ref()).await?;
    let version = query.0.resolve(&events)?;
    let folded = match user.role {
        Role::Admin => state.catalog.folded(job_id, version).await?,
        Role::User | Role::Analyst | Role::Auditor => state.catalog.folded_sealed(job_id, version).await?,
    };
    let folded = folded.ok_or_else(Problem::no_such_job)?;
    Ok(Json(StateAnswer { job_id: job_id.0, version, state: folded.to_json() }))
}

impl StateQuery {
    /// The version that is meant.
    fn resolve(&self, events: &[Envelope]) -> Result<u64, Problem> {
        let last = events.len() as u64;
        if let Some(Whole(version)) = self.at_version {
            if version <= last {
                return Ok(version);
            }
            let expected = format!("a version from 1 to {last}");
            return Err(refuse("at_version", &version.to_string(), &expected));
        }
        let Some(Time(time)) = self.at else { return Ok(last) };
        let begun = events.first().map(|event| event.recorded_at).unwrap_or_default();
        if time < begun {
            let expected = format!("a time from {} on, RFC 3339", begun.to_rfc3339());
            return Err(refuse("at", &time.to_rfc3339(), &expected));
        }
        Ok(audit::version_at(events, time))
    }
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
    let (state, job_id) = (state(depot)?, job_id(req)?);
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

/// Which events of the trail to list.
#[derive(Debug, Default, Deserialize, ToParameters)]
#[serde(default)]
#[salvo(parameters(default_parameter_in = Query))]
pub struct TrailQuery {
    /// Such as `JobRequested`.
    r#type: Option<Words>,
    /// `user:ID`, `worker:NAME` or `system`.
    actor: Option<Words>,
    /// Recorded at or after this time, RFC 3339.
    from: Option<Time>,
    /// Recorded before this time, RFC 3339.
    to: Option<Time>,
    /// 100 by default.
    limit: Option<PartSize>,
    /// Where the page before ended.
    cursor: Option<Cursor>,
}

/// Events of all jobs, users and projections
///
/// For auditors: without their data, in the order in which they were recorded.
#[endpoint(
    tags("audit"),
    operation_id = "list_trail",
    security(["bearer" = []]),
    responses((status_code = 403, description = "The caller is no auditor", body = super::problem::ErrorBody))
)]
pub async fn list_trail(query: Query<TrailQuery>, depot: &mut Depot) -> Result<Json<TrailAnswer>, Problem> {
    let Query(query) = query;
    let limit = query.limit.map_or(DEFAULT_TRAIL_EVENTS, |limit| limit.0);
    let filter = Filter {
        event_type: query.r#type.map(|words| words.0),
        actor: query.actor.map(|words| words.0),
        from: query.from.map(|time| time.0),
        to: query.to.map(|time| time.0),
        after: query.cursor.map(Cursor::as_pair),
    };
    let rows = state(depot)?.trail.list(&filter, limit as i64).await?;
    let is_full = rows.len() as u64 == limit;
    let cursor_of = |row: &TrailRow| Cursor { time: row.recorded_at, id: row.event_id }.encode();
    let next_cursor = rows.last().filter(|_| is_full).map(cursor_of);
    let events: Result<_, _> = rows.iter().map(serde_json::to_value).collect();
    Ok(Json(TrailAnswer { events: events.map_err(projections::Error::from)?, next_cursor }))
}
