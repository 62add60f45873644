//! `/jobs`: listing them, one job, its log lines and its history.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use salvo::oapi::{ToSchema, endpoint};
use salvo::prelude::*;
use serde::Serialize;
use uuid::Uuid;

use super::problem::Problem;
use super::status::{JobSummary, ProgressAnswer};
use super::{Role, state, user, visible_job};
use crate::events::Priority;
use crate::projections;
use crate::projections::catalog::{JobFilter, JobPage, JobRow, Jobs, LEVELS, LogLine, Order};
use crate::projections::status::JobStatus;

#[derive(Debug, Serialize, ToSchema)]
pub struct EventsAnswer {
    pub job_id: Uuid,
    /// Envelopes, in the order of their versions.
    pub events: Vec<serde_json::Value>,
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
        Self {
            summary: JobSummary {
                job_id: row.job_id,
                status: row.status.clone(),
                priority: row.priority,
                progress: ProgressAnswer {
                    percentage: row.percentage,
                    stage_description: row.current_stage.replace('_', " "),
                    current_stage: row.current_stage,
                    stages_completed: row.stages_completed,
                    updated_at: row.updated_at,
                    estimated_completion: row.estimated_completion,
                    processing_time_seconds: row.started_at.map(|from| seconds(from, until)),
                    scenes_total: row.scenes_total as u32,
                    scenes_done: row.scenes_done as u32,
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

/// A whole number of the query from 1 to `most`.
pub fn limit(req: &Request, name: &str, default: u64, most: u64) -> Result<u64, Problem> {
    number(req, name, default, 1, most)
}

fn number(req: &Request, name: &str, default: u64, least: u64, most: u64) -> Result<u64, Problem> {
    let Some(text) = req.query::<String>(name) else { return Ok(default) };
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| Problem::query(name, &text, &format!("a whole number from {least} to {most}")))
}

pub fn time(req: &Request, name: &str) -> Result<Option<DateTime<Utc>>, Problem> {
    let Some(text) = req.query::<String>(name) else { return Ok(None) };
    match DateTime::parse_from_rfc3339(&text) {
        Ok(time) => Ok(Some(time.with_timezone(&Utc))),
        Err(_) => Err(Problem::query(name, &text, "a time such as 2026-11-21T10:00:00Z")),
    }
}

fn one_of(req: &Request, name: &str, known: &[&str]) -> Result<Option<String>, Problem> {
    let Some(text) = req.query::<String>(name) else { return Ok(None) };
    match known.contains(&text.as_str()) {
        true => Ok(Some(text)),
        false => Err(Problem::query(name, &text, &format!("one of {}", known.join(", ")))),
    }
}

/// A place in a list that is ordered by time and id, opaque to clients.
pub fn cursor(at: DateTime<Utc>, id: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}:{id}", at.timestamp_micros()))
}

pub fn from_cursor(req: &Request) -> Result<Option<(DateTime<Utc>, Uuid)>, Problem> {
    let Some(text) = req.query::<String>("cursor") else { return Ok(None) };
    let read = || {
        let plain = String::from_utf8(URL_SAFE_NO_PAD.decode(&text).ok()?).ok()?;
        let (micros, id) = plain.split_once(':')?;
        Some((DateTime::from_timestamp_micros(micros.parse().ok()?)?, Uuid::parse_str(id).ok()?))
    };
    read().map(Some).ok_or_else(|| Problem::query("cursor", &text, "the next_cursor of the page before"))
}

/// The caller's jobs
///
/// Newest first. By page, or by `cursor`, which stays the same place whatever is created meanwhile.
#[endpoint(
    tags("jobs"),
    operation_id = "list_jobs",
    security(["bearer" = []]),
    parameters(("page" = Option<u64>, Query, description = "From 1"),
               ("items_per_page" = Option<u64>, Query, description = "1 to 100; 20 by default"),
               ("status" = Option<String>, Query, description = "queued, processing, completed, failed or cancelled"),
               ("priority" = Option<String>, Query, description = "low, normal, high or urgent"),
               ("created_after" = Option<String>, Query, description = "Created at or after this time, RFC 3339"),
               ("created_before" = Option<String>, Query, description = "Created before this time, RFC 3339"),
               ("q" = Option<String>, Query, description = "What topic or title contain"),
               ("sort" = Option<String>, Query, description = "-created_at (the default) or created_at"),
               ("cursor" = Option<String>, Query, description = "Where the page before ended"))
)]
pub async fn list_jobs(req: &mut Request, depot: &mut Depot) -> Result<Json<JobsAnswer>, Problem> {
    let user_id = user(depot)?.id;
    list(req, depot, Some(user_id)).await.map(Json)
}

/// All users' jobs
///
/// For admins; see the caller's own jobs for the parameters.
#[endpoint(
    tags("system"),
    operation_id = "list_all_jobs",
    security(["bearer" = []]),
    parameters(("page" = Option<u64>, Query, description = "From 1"),
               ("items_per_page" = Option<u64>, Query, description = "1 to 100; 20 by default"),
               ("status" = Option<String>, Query, description = "queued, processing, completed, failed or cancelled"),
               ("priority" = Option<String>, Query, description = "low, normal, high or urgent"),
               ("created_after" = Option<String>, Query, description = "Created at or after this time, RFC 3339"),
               ("created_before" = Option<String>, Query, description = "Created before this time, RFC 3339"),
               ("q" = Option<String>, Query, description = "What topic or title contain"),
               ("sort" = Option<String>, Query, description = "-created_at (the default) or created_at"),
               ("cursor" = Option<String>, Query, description = "Where the page before ended")),
    responses((status_code = 403, description = "The caller is no admin", body = super::problem::ErrorBody))
)]
pub async fn list_all_jobs(req: &mut Request, depot: &mut Depot) -> Result<Json<JobsAnswer>, Problem> {
    if user(depot)?.role != Role::Admin {
        return Err(Problem::forbidden("only admins may list all jobs"));
    }
    list(req, depot, None).await.map(Json)
}

/// So many jobs may be left out by page; beyond that a cursor is needed.
const DEEPEST_OFFSET: u64 = 10_000;

async fn list(req: &Request, depot: &Depot, user_id: Option<String>) -> Result<JobsAnswer, Problem> {
    let statuses = JobStatus::ALL.map(JobStatus::name);
    let filter = JobFilter {
        user_id,
        status: one_of(req, "status", &statuses)?,
        priority: one_of(req, "priority", &Priority::ALL.map(Priority::name))?,
        created_after: time(req, "created_after")?,
        created_before: time(req, "created_before")?,
        q: req.query::<String>("q").filter(|words| !words.is_empty()),
    };
    let order = match one_of(req, "sort", &["-created_at", "created_at"])?.as_deref() {
        Some("created_at") => Order::OldestFirst,
        _ => Order::NewestFirst,
    };
    let items_per_page = limit(req, "items_per_page", 20, 100)?;
    let page = limit(req, "page", 1, DEEPEST_OFFSET / items_per_page + 1)?;
    let after = from_cursor(req)?;
    let place = match after {
        Some((created_at, job_id)) => JobPage::After(created_at, job_id),
        None => JobPage::Offset((page - 1) * items_per_page),
    };
    let catalog = &state(depot)?.catalog;
    let Jobs { rows, has_next, total } = catalog.list(&filter, order, place, items_per_page).await?;
    let next_cursor = rows.last().filter(|_| has_next).map(|row| cursor(row.created_at, row.job_id));
    let mut total_by_status: BTreeMap<String, u64> = statuses.map(|status| (status.to_owned(), 0)).into();
    total_by_status.extend(catalog.count_by_status(filter.user_id.as_deref()).await?);
    Ok(JobsAnswer {
        jobs: rows.into_iter().map(ListedJob::of).collect(),
        total_count: total,
        page: after.is_none().then_some(page),
        items_per_page,
        has_next,
        has_previous: after.is_some() || page > 1,
        total_by_status,
        next_cursor,
    })
}

/// The log lines of a job
#[endpoint(
    tags("jobs"),
    operation_id = "list_job_logs",
    security(["bearer" = []]),
    parameters(("job_id" = Uuid, Path, description = "The job"),
               ("limit" = Option<u64>, Query, description = "1 to 1000; 100 by default"),
               ("offset" = Option<u64>, Query, description = "Lines to leave out"),
               ("level" = Option<String>, Query, description = "This level or above: debug (the default), info, warning or error"))
)]
pub async fn list_job_logs(req: &mut Request, depot: &mut Depot) -> Result<Json<LogsAnswer>, Problem> {
    let limit = limit(req, "limit", 100, 1000)?;
    let offset = number(req, "offset", 0, 0, 1_000_000)?;
    let level = one_of(req, "level", &LEVELS)?.unwrap_or_else(|| "debug".to_owned());
    let (state, view) = visible_job(req, depot).await?;
    let (total_count, lines) = state.catalog.logs(view.job_id, &level, limit, offset).await?;
    let logs = lines.into_iter().map(LogLineAnswer::of).collect();
    Ok(Json(LogsAnswer { job_id: view.job_id.0, logs, total_count }))
}

/// The events of a job
///
/// The envelopes in order, from `from_version` on (1 by default). `data` is given with the user's content opened; an
/// event whose content was sealed is therefore not what its hash covers: that is what `/audit` gives.
#[endpoint(
    tags("jobs"),
    operation_id = "list_job_events",
    security(["bearer" = []]),
    parameters(("job_id" = Uuid, Path, description = "The job"),
               ("from_version" = Option<u64>, Query, description = "The first version to list, from 1"))
)]
pub async fn list_job_events(req: &mut Request, depot: &mut Depot) -> Result<Json<EventsAnswer>, Problem> {
    let text = req.query::<String>("from_version").unwrap_or_else(|| "1".to_owned());
    let from_version: u64 = text
        .parse()
        .ok()
        .filter(|version| *version >= 1)
        .ok_or_else(|| Problem::query("from_version", &text, "a whole number from 1"))?;
    let (state, view) = visible_job(req, depot).await?;
    let log = state.executor.log();
    let history =
        log.history(view.job_id.aggregate(), from_version - 1).await.map_err(projections::Error::from)?;
    let mut events = Vec::with_capacity(history.len());
    for mut envelope in history {
        let (job, version) = (view.job_id, envelope.version);
        let opened = state.executor.decoder().open(&envelope).await;
        let opened = opened.map_err(|source| projections::Error::Decode { job, version, source })?;
        envelope.data = opened.unwrap_or(envelope.data);
        events.push(serde_json::to_value(&envelope).map_err(projections::Error::from)?);
    }
    Ok(Json(EventsAnswer { job_id: view.job_id.0, events }))
}
