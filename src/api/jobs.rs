//! `/jobs`: listing them, one job, its log lines and its history.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use salvo::oapi::{ToParameters, ToSchema, endpoint};
use salvo::prelude::*;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use super::problem::Problem;
use super::query::{Cursor, Query, Time, Whole, Words, parse_one_of, refuse};
use super::status::{JobSummary, ProgressAnswer, describe_stage};
use super::{ApiState, state, user, visible_job};
use crate::events::{Envelope, Priority, Stage};
use crate::ids::JobId;
use crate::projections;
use crate::projections::catalog::{JobFilter, JobPage, JobRow, Jobs, LEVELS, LogLine, Order};
use crate::projections::status::JobStatus;

#[derive(Debug, Serialize, ToSchema)]
pub struct EventsAnswer {
    pub job_id: Uuid,
    /// Envelopes, in the order of their versions.
    pub events: Vec<serde_json::Value>,
    /// Gives the next part, as `from_version`; null when this is the last one.
    pub next_version: Option<u64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct JobsAnswer {
    pub jobs: Vec<ListedJob>,
    /// Jobs that match, on all pages; with `q` or a time, those beyond 10,000 are not counted.
    pub total_count: u64,
    /// From 1; null when the page was asked for by cursor.
    pub page: Option<u64>,
    pub items_per_page: u64,
    pub has_next: bool,
    pub has_previous: bool,
    /// How many of the listed users' jobs have each status, whatever the other conditions.
    pub total_by_status: BTreeMap<String, u64>,
    /// Gives the next page, as `cursor`; null on the last one.
    pub next_cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ListedJob {
    #[serde(flatten)]
    pub summary: JobSummary,
    pub user_id: String,
    pub topic: String,
    pub title: Option<String>,
    pub quality: String,
    pub updated_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub completed_at: Option<DateTime<Utc>>,
    pub video_id: Option<Uuid>,
    pub error_code: Option<String>,
    pub version: u64,
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

impl ListedJob {
    fn of(row: JobRow) -> Self {
        let seconds = |from: DateTime<Utc>, until: DateTime<Utc>| {
            (until - from).num_milliseconds().max(0) as f64 / 1000.0
        };
        let until = row.ended_at.unwrap_or(row.updated_at);
        let status = JobStatus::ALL.into_iter().find(|status| status.name() == row.status);
        let (done, total) = (row.scenes_done as u32, row.scenes_total as u32);
        let stage = Stage::parse(&row.current_stage);
        let stage_description = describe_stage(status.unwrap_or(JobStatus::Queued), stage, done, total);
        Self {
            summary: JobSummary {
                job_id: row.job_id,
                status: row.status.clone(),
                priority: row.priority,
                progress: ProgressAnswer {
                    percentage: row.percentage,
                    stage_description,
                    current_stage: row.current_stage,
                    stages_completed: row.stages_completed,
                    updated_at: row.updated_at,
                    estimated_completion: row.estimated_completion,
                    processing_time_seconds: row.started_at.map_or(0.0, |from| seconds(from, until)),
                    scenes_total: total,
                    scenes_done: done,
                },
                created_at: row.created_at,
                estimated_completion: row.estimated_completion,
                batch_id: None,
            },
            user_id: row.user_id,
            topic: row.topic,
            title: row.title,
            quality: row.quality,
            updated_at: row.updated_at,
            started_at: row.started_at,
            completed_at: row.ended_at.filter(|_| row.status == JobStatus::Completed.name()),
            video_id: row.video_id,
            error_code: row.error_code,
            version: row.version as u64,
        }
    }
}

/// Jobs on a page.
type PageSize = Whole<1, 100>;
/// Log lines or events in an answer.
pub type PartSize = Whole<1, 1000>;
/// No history comes near the end.
type Version = Whole<1, 1_000_000_000>;
type Page = Whole<1, { MAX_OFFSET + 1 }>;
type Lines = Whole<0, 1_000_000>;

/// The most jobs that a page number skips; beyond that, a cursor is needed.
const MAX_OFFSET: u64 = 10_000;
const DEFAULT_PAGE_SIZE: u64 = 20;
const DEFAULT_LOG_LINES: u64 = 100;
pub const MAX_EVENTS: u64 = 1000;

/// Which jobs to list, and how.
#[derive(Debug, Default, Deserialize, ToParameters)]
#[serde(default)]
#[salvo(parameters(default_parameter_in = Query))]
pub struct JobsQuery {
    /// From 1.
    page: Option<Page>,
    /// 20 by default.
    items_per_page: Option<PageSize>,
    /// `queued`, `processing`, `completed`, `failed` or `cancelled`.
    #[serde(deserialize_with = "parse_status")]
    #[salvo(parameter(value_type = Option<String>))]
    status: Option<JobStatus>,
    /// `low`, `normal`, `high` or `urgent`.
    #[serde(deserialize_with = "parse_priority")]
    #[salvo(parameter(value_type = Option<String>))]
    priority: Option<Priority>,
    /// Created at or after this time, RFC 3339.
    created_after: Option<Time>,
    /// Created before this time, RFC 3339.
    created_before: Option<Time>,
    /// A part of the topic or the title, in any case.
    q: Option<Words>,
    /// `-created_at` (the default) or `created_at`.
    #[serde(deserialize_with = "parse_sort")]
    #[salvo(parameter(value_type = Option<String>))]
    sort: Option<Order>,
    /// Where the page before ended.
    cursor: Option<Cursor>,
}

fn parse_status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<JobStatus>, D::Error> {
    parse_one_of(deserializer, &JobStatus::ALL, JobStatus::name)
}

fn parse_priority<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Priority>, D::Error> {
    parse_one_of(deserializer, &Priority::ALL, Priority::name)
}

fn parse_sort<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Order>, D::Error> {
    parse_one_of(deserializer, &[Order::NewestFirst, Order::OldestFirst], |order| match order {
        Order::NewestFirst => "-created_at",
        Order::OldestFirst => "created_at",
    })
}

/// One of [`LEVELS`].
#[derive(Debug, Clone, Copy)]
struct LogLevel(&'static str);

fn parse_level<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<LogLevel>, D::Error> {
    parse_one_of(deserializer, &LEVELS.map(LogLevel), |level| level.0)
}

/// The caller's jobs
///
/// Newest first. By page, or by `cursor`, which stays the same place whatever is created meanwhile.
#[endpoint(
    tags("jobs"),
    operation_id = "list_jobs",
    security(["bearer" = []]),
)]
pub async fn list_jobs(query: Query<JobsQuery>, depot: &mut Depot) -> Result<Json<JobsAnswer>, Problem> {
    let user_id = user(depot)?.id;
    list(query.0, depot, Some(user_id)).await.map(Json)
}

/// All users' jobs
///
/// For admins; the parameters are those of `/jobs`.
#[endpoint(
    tags("system"),
    operation_id = "list_all_jobs",
    security(["bearer" = []]),
    responses((status_code = 403, description = "The caller is no admin", body = super::problem::ErrorBody))
)]
pub async fn list_all_jobs(query: Query<JobsQuery>, depot: &mut Depot) -> Result<Json<JobsAnswer>, Problem> {
    list(query.0, depot, None).await.map(Json)
}

async fn list(query: JobsQuery, depot: &Depot, user_id: Option<String>) -> Result<JobsAnswer, Problem> {
    let items_per_page = query.items_per_page.map_or(DEFAULT_PAGE_SIZE, |size| size.0);
    let page = query.page.map_or(1, |page| page.0);
    let last_page = MAX_OFFSET / items_per_page + 1;
    if page > last_page {
        let expected = format!("at most {last_page} with this items_per_page; use cursor to go further");
        return Err(refuse("page", &page.to_string(), &expected));
    }
    let place = match query.cursor {
        Some(cursor) => JobPage::After(cursor.time, cursor.id),
        None => JobPage::Offset((page - 1) * items_per_page),
    };
    let filter = JobFilter {
        user_id,
        status: query.status.map(|status| status.name().to_owned()),
        priority: query.priority.map(|priority| priority.name().to_owned()),
        created_after: query.created_after.map(|time| time.0),
        created_before: query.created_before.map(|time| time.0),
        q: query.q.map(|words| words.0).filter(|words| !words.is_empty()),
    };
    let order = query.sort.unwrap_or(Order::NewestFirst);
    let state = state(depot)?;
    let catalog = &state.catalog;
    let Jobs { mut rows, has_next, total } = catalog.list(&filter, order, place, items_per_page).await?;
    rows.iter_mut().for_each(|row| state.estimate_row(row));
    let last = rows.last().filter(|_| has_next);
    let next_cursor = last.map(|row| Cursor { time: row.created_at, id: row.job_id }.encode());
    let mut total_by_status: BTreeMap<String, u64> =
        JobStatus::ALL.map(|status| (status.name().to_owned(), 0)).into();
    total_by_status.extend(catalog.count_by_status(filter.user_id.as_deref()).await?);
    Ok(JobsAnswer {
        jobs: rows.into_iter().map(ListedJob::of).collect(),
        total_count: total,
        page: query.cursor.is_none().then_some(page),
        items_per_page,
        has_next,
        has_previous: query.cursor.is_some() || page > 1,
        total_by_status,
        next_cursor,
    })
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
/// What its events say, in words, in order: a page of `limit` lines from `offset` on, of `level` or above.
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
    let (total_count, lines) =
        state.catalog.logs(view.job_id, level.map_or("debug", |level| level.0), limit, offset).await?;
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
    /// Reads the part of the history, and the version at which the next part begins.
    pub async fn read(
        &self,
        state: &ApiState,
        job_id: JobId,
    ) -> Result<(Vec<Envelope>, Option<u64>), Problem> {
        let after = self.from_version.map_or(0, |version| version.0 - 1);
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
#[endpoint(
    tags("jobs"),
    operation_id = "list_job_events",
    security(["bearer" = []]),
    parameters(("job_id" = Uuid, Path, description = "The job"))
)]
pub async fn list_job_events(
    query: Query<EventsQuery>,
    req: &mut Request,
    depot: &mut Depot,
) -> Result<Json<EventsAnswer>, Problem> {
    let (state, view) = visible_job(req, depot).await?;
    let (history, next_version) = query.0.read(&state, view.job_id).await?;
    let mut events = Vec::with_capacity(history.len());
    for mut envelope in history {
        let (job, version) = (view.job_id, envelope.version);
        let opened = state.executor.decoder().open(&envelope).await;
        let opened = opened.map_err(|source| projections::Error::Decode { job, version, source })?;
        envelope.data = opened.unwrap_or(envelope.data);
        events.push(serde_json::to_value(&envelope).map_err(projections::Error::from)?);
    }
    Ok(Json(EventsAnswer { job_id: view.job_id.0, events, next_version }))
}
