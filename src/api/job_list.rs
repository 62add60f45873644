//! `GET /jobs` and `GET /system/jobs`: lists of jobs.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use salvo::oapi::{Components, RefOr, Schema, ToParameters, ToSchema, endpoint};
use salvo::prelude::*;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use super::problem::Problem;
use super::query::{
    Id, Query, Time, Whole, Words, cursor_schema, is_storable, parse_one_of, parse_text, refuse,
};
use super::status::{JobSummary, ProgressAnswer, describe_stage};
use super::{catalog_of, state, user};
use crate::events::{Priority, Stage};
use crate::ids::BatchId;
use crate::projections::catalog::{JobFilter, JobPage, JobRow, Jobs, Order, Place};
use crate::projections::status::JobStatus;

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
    pub description: Option<String>,
    pub tags: Vec<String>,
    pub quality: String,
    pub updated_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub completed_at: Option<DateTime<Utc>>,
    pub video_id: Option<Uuid>,
    pub error_code: Option<String>,
    pub version: u64,
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
                batch_id: row.batch_id,
            },
            user_id: row.user_id,
            topic: row.topic,
            title: row.title,
            description: row.description,
            tags: row.tags,
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
type Page = Whole<1, { MAX_OFFSET + 1 }>;

/// The most jobs that a page number skips; beyond that, a cursor is needed.
const MAX_OFFSET: u64 = 10_000;
const DEFAULT_PAGE_SIZE: u64 = 20;

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
    /// Requested with this batch.
    batch_id: Option<Id>,
    /// With this tag, in any case.
    tag: Option<Words>,
    /// Created at or after this time, RFC 3339.
    created_after: Option<Time>,
    /// Created before this time, RFC 3339.
    created_before: Option<Time>,
    /// A part of the topic or the title, in any case.
    q: Option<Words>,
    /// `-created_at` (the default), `created_at`, `-updated_at`, `updated_at`, `-priority` (the most urgent first) or
    /// `priority`. With `cursor`, that of the page before.
    #[serde(deserialize_with = "parse_sort")]
    #[salvo(parameter(value_type = Option<String>))]
    sort: Option<Order>,
    /// Where the page before ended. A list that is ordered by `updated_at` changes its order meanwhile.
    cursor: Option<JobCursor>,
}

fn parse_status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<JobStatus>, D::Error> {
    parse_one_of(deserializer, &JobStatus::ALL, JobStatus::name)
}

fn parse_priority<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Priority>, D::Error> {
    parse_one_of(deserializer, &Priority::ALL, Priority::name)
}

fn parse_sort<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Order>, D::Error> {
    parse_one_of(deserializer, &Order::ALL, Order::name)
}

/// A place in a list of jobs, and the order of the list; opaque to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct JobCursor {
    order: Order,
    place: Place,
}

impl JobCursor {
    fn encode(self) -> String {
        let Place { rank, time, job_id } = self.place;
        let plain = format!("{}:{rank}:{}:{job_id}", self.order.name(), time.timestamp_micros());
        URL_SAFE_NO_PAD.encode(plain)
    }

    fn decode(text: &str) -> Option<Self> {
        let plain = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let parts: Vec<&str> = plain.split(':').collect();
        let [sort, rank, micros, job_id] = parts[..] else { return None };
        let order = Order::ALL.into_iter().find(|order| order.name() == sort)?;
        let time = DateTime::from_timestamp_micros(micros.parse().ok()?).filter(|time| is_storable(*time))?;
        let place = Place { rank: rank.parse().ok()?, time, job_id: Uuid::parse_str(job_id).ok()? };
        Some(Self { order, place })
    }
}

impl<'de> Deserialize<'de> for JobCursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_text(deserializer, "the next_cursor of the page before", Self::decode)
    }
}

impl ToSchema for JobCursor {
    fn to_schema(_components: &mut Components) -> RefOr<Schema> {
        cursor_schema()
    }
}

/// The caller's jobs
///
/// Newest first, without those that were deleted. By page, or by `cursor`, which stays the same place whatever is created
/// meanwhile.
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
    let begin = match query.cursor {
        Some(cursor) if query.sort.is_some_and(|sort| sort != cursor.order) => {
            let expected = "the next_cursor of a page with the same sort";
            return Err(refuse("cursor", &cursor.encode(), expected));
        }
        Some(cursor) => JobPage::After(cursor.place),
        None => JobPage::Offset((page - 1) * items_per_page),
    };
    let order = query.cursor.map(|cursor| cursor.order).or(query.sort).unwrap_or_default();
    let filter = JobFilter {
        user_id,
        status: query.status.map(|status| status.name().to_owned()),
        priority: query.priority.map(|priority| priority.name().to_owned()),
        batch_id: query.batch_id.map(|id| BatchId(id.0)),
        tag: query.tag.map(|tag| tag.0.trim().to_lowercase()).filter(|tag| !tag.is_empty()),
        created_after: query.created_after.map(|time| time.0),
        created_before: query.created_before.map(|time| time.0),
        q: query.q.map(|words| words.0).filter(|words| !words.is_empty()),
    };
    let state = state(depot)?;
    let catalog = catalog_of(&state, &user(depot)?);
    let found = catalog.list(&filter, order, begin, items_per_page).await?;
    let Jobs { mut rows, has_next, has_previous, total } = found;
    rows.iter_mut().for_each(|row| state.forecasts.estimate_row(row));
    let last = rows.last().filter(|_| has_next);
    let next_cursor = last.map(|row| JobCursor { order, place: order.place_of(row) }.encode());
    let mut total_by_status: BTreeMap<String, u64> =
        JobStatus::ALL.map(|status| (status.name().to_owned(), 0)).into();
    total_by_status.extend(catalog.count_by_status(filter.user_id.as_deref()).await?);
    Ok(JobsAnswer {
        jobs: rows.into_iter().map(ListedJob::of).collect(),
        total_count: total,
        page: query.cursor.is_none().then_some(page),
        items_per_page,
        has_next,
        has_previous,
        total_by_status,
        next_cursor,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_nonsense_is_none() {
        let time = "2026-11-21T10:00:00.000123Z".parse().unwrap();
        for order in Order::ALL {
            let cursor = JobCursor { order, place: Place { rank: 3, time, job_id: Uuid::now_v7() } };
            assert_eq!(JobCursor::decode(&cursor.encode()), Some(cursor));
        }
        let job_id = Uuid::nil();
        let early = format!("created_at:0:-8000000000000000000:{job_id}");
        let unknown = format!("topic:0:0:{job_id}");
        for plain in [early.as_str(), unknown.as_str(), "created_at:0:0", "a:b:c:d:e"] {
            assert_eq!(JobCursor::decode(&URL_SAFE_NO_PAD.encode(plain)), None, "{plain}");
        }
        assert_eq!(JobCursor::decode("\0"), None);
    }
}
