//! A job's log lines and its history, under `/jobs`.

use chrono::{DateTime, Utc};
use salvo::oapi::{ToParameters, ToSchema, endpoint};
use salvo::prelude::*;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use super::live::sse;
use super::problem::Problem;
use super::query::{Query, Whole, parse_one_of};
use super::{ApiState, catalog_of, user, visible_job};
use crate::events::Envelope;
use crate::ids::JobId;
use crate::projections;
use crate::projections::catalog::{LEVELS, LogLine};

#[derive(Debug, Serialize, ToSchema)]
pub struct EventsAnswer {
    pub job_id: Uuid,
    /// Envelopes, in the order of their versions.
    pub events: Vec<serde_json::Value>,
    /// Gives the next part, as `from_version`; null when this is the last one.
    pub next_version: Option<u64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct LogsAnswer {
    pub job_id: Uuid,
    pub logs: Vec<LogLineAnswer>,
    /// Lines of the level or above, in all.
    pub total_count: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct LogLineAnswer {
    pub timestamp: DateTime<Utc>,
    /// `debug`, `info`, `warning` or `error`.
    pub level: String,
    pub stage: Option<String>,
    /// From 0.
    pub scene: Option<i32>,
    pub message: String,
    /// Version of the event that says it.
    pub version: i64,
}

impl LogLineAnswer {
    pub fn of(line: LogLine) -> Self {
        Self {
            timestamp: line.at,
            level: line.level,
            stage: line.stage,
            scene: line.scene,
            message: line.message,
            version: line.version,
        }
    }
}

/// Log lines or events in an answer.
pub type PartSize = Whole<1, 1000>;
/// No history comes near the end.
type Version = Whole<1, 1_000_000_000>;
type Lines = Whole<0, 1_000_000>;

const DEFAULT_LOG_LINES: u64 = 100;
pub const MAX_EVENTS: u64 = 1000;

/// One of [`LEVELS`].
#[derive(Debug, Clone, Copy)]
struct LogLevel(&'static str);

fn parse_level<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<LogLevel>, D::Error> {
    parse_one_of(deserializer, &LEVELS.map(LogLevel), |level| level.0)
}

/// Which log lines to list.
#[derive(Debug, Default, Deserialize, ToParameters)]
#[serde(default)]
#[salvo(parameters(default_parameter_in = Query))]
pub struct LogsQuery {
    /// 100 by default.
    limit: Option<PartSize>,
    /// Lines to skip.
    offset: Option<Lines>,
    /// This level or above: `debug` (the default), `info`, `warning` or `error`.
    #[serde(deserialize_with = "parse_level")]
    #[salvo(parameter(value_type = Option<String>))]
    level: Option<LogLevel>,
}

/// The log lines of a job
///
/// The events in words, in order: a page of `limit` lines from `offset` on, of `level` or above.
#[endpoint(
    tags("jobs"),
    operation_id = "list_job_logs",
    security(["bearer" = []]),
    parameters(("job_id" = Uuid, Path, description = "The job"))
)]
pub async fn list_job_logs(
    query: Query<LogsQuery>,
    req: &mut Request,
    depot: &mut Depot,
) -> Result<Json<LogsAnswer>, Problem> {
    let Query(LogsQuery { limit, offset, level }) = query;
    let limit = limit.map_or(DEFAULT_LOG_LINES, |limit| limit.0);
    let offset = offset.map_or(0, |offset| offset.0);
    let (state, view) = visible_job(req, depot).await?;
    let catalog = catalog_of(&state, &user(depot)?);
    let (total_count, lines) =
        catalog.logs(view.job_id, level.map_or("debug", |level| level.0), limit, offset).await?;
    let logs = lines.into_iter().map(LogLineAnswer::of).collect();
    Ok(Json(LogsAnswer { job_id: view.job_id.0, logs, total_count }))
}

/// Which part of a history to list.
#[derive(Debug, Default, Deserialize, ToParameters)]
#[serde(default)]
#[salvo(parameters(default_parameter_in = Query))]
pub struct EventsQuery {
    /// The first version to list, from 1.
    from_version: Option<Version>,
    /// 1000 by default.
    limit: Option<PartSize>,
}

impl EventsQuery {
    /// The version after which the part begins.
    fn after(&self) -> u64 {
        self.from_version.map_or(0, |version| version.0 - 1)
    }

    /// Reads the part of the history, and the version at which the next part begins.
    pub async fn read(
        &self,
        state: &ApiState,
        job_id: JobId,
    ) -> Result<(Vec<Envelope>, Option<u64>), Problem> {
        let after = self.after();
        let limit = self.limit.map_or(MAX_EVENTS, |limit| limit.0);
        let log = state.executor.log();
        // One more than is shown tells whether there is a next part.
        let history = log.history_page(job_id.aggregate(), after, limit + 1).await;
        let mut history = history.map_err(projections::Error::from)?;
        let next = (history.len() as u64 > limit).then(|| history.pop()).flatten();
        Ok((history, next.map(|envelope| envelope.version)))
    }
}

/// The events of a job
///
/// The envelopes in order, from `from_version` on (1 by default), and `next_version` where there are more. `data` is
/// given with the user's content opened; an event whose content was sealed is therefore not what its hash covers: that
/// is what `/audit` gives.
///
/// With `Accept: text/event-stream` they come as server-sent events, and those that follow as they happen, until an event
/// `end` when the job has ended: `id` is the version, `event` the type, `data` the envelope. `Last-Event-ID` resumes.
#[endpoint(
    tags("jobs"),
    operation_id = "list_job_events",
    security(["bearer" = []]),
    parameters(("job_id" = Uuid, Path, description = "The job"),
               ("Last-Event-ID" = Option<String>, Header, description = "Of a stream: the last version that its client has")),
    responses((status_code = 200, description = "The events", body = EventsAnswer),
              (status_code = 429, description = "The caller has too many live connections open", body = super::problem::ErrorBody))
)]
pub async fn list_job_events(
    query: Query<EventsQuery>,
    req: &mut Request,
    depot: &mut Depot,
    res: &mut Response,
) -> Result<(), Problem> {
    let (state, view) = visible_job(req, depot).await?;
    if sse::is_wanted(req) {
        let after = sse::last_event_id(req)?.unwrap_or_else(|| query.0.after());
        return sse::stream_events(&state, &user(depot)?, &view, after, res).await;
    }
    let (history, next_version) = query.0.read(&state, view.job_id).await?;
    let mut events = Vec::with_capacity(history.len());
    for mut envelope in history {
        let (job, version) = (view.job_id, envelope.version);
        let opened = state.executor.codec().open(&envelope).await;
        let opened = opened.map_err(|source| projections::Error::Decode { job, version, source })?;
        envelope.data = opened.unwrap_or(envelope.data);
        events.push(serde_json::to_value(&envelope).map_err(projections::Error::from)?);
    }
    res.render(Json(EventsAnswer { job_id: view.job_id.0, events, next_version }));
    Ok(())
}
