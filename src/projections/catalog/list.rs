//! Lists of jobs: by page or by place, in several orders, with what is deleted left out.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::Catalog;
use crate::events::Priority;
use crate::ids::BatchId;
use crate::projections::Error;
use crate::projections::tables::text;

/// Which jobs to list. Every condition that is set must hold.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// `None` lists all users'.
    pub user_id: Option<String>,
    pub status: Option<String>,
    pub priority: Option<String>,
    pub batch_id: Option<BatchId>,
    /// One of the job's tags, in lower case.
    pub tag: Option<String>,
    pub created_after: Option<DateTime<Utc>>,
    pub created_before: Option<DateTime<Utc>>,
    /// What topic or title contain, in any case.
    pub q: Option<String>,
}

/// What a list is ordered by. Jobs of the same priority come newest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SortKey {
    #[default]
    CreatedAt,
    UpdatedAt,
    /// From `low` to `urgent`.
    Priority,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    pub key: SortKey,
    pub is_descending: bool,
}

impl Default for Order {
    /// Newest first.
    fn default() -> Self {
        Self { key: SortKey::CreatedAt, is_descending: true }
    }
}

impl Order {
    /// As the API names them.
    pub const ALL: [Order; 6] = [
        Order { key: SortKey::CreatedAt, is_descending: true },
        Order { key: SortKey::CreatedAt, is_descending: false },
        Order { key: SortKey::UpdatedAt, is_descending: true },
        Order { key: SortKey::UpdatedAt, is_descending: false },
        Order { key: SortKey::Priority, is_descending: true },
        Order { key: SortKey::Priority, is_descending: false },
    ];

    pub fn name(self) -> &'static str {
        match (self.key, self.is_descending) {
            (SortKey::CreatedAt, true) => "-created_at",
            (SortKey::CreatedAt, false) => "created_at",
            (SortKey::UpdatedAt, true) => "-updated_at",
            (SortKey::UpdatedAt, false) => "updated_at",
            (SortKey::Priority, true) => "-priority",
            (SortKey::Priority, false) => "priority",
        }
    }

    /// The place of a job in the order.
    pub fn place_of(self, row: &JobRow) -> Place {
        let time = match self.key {
            SortKey::CreatedAt | SortKey::Priority => row.created_at,
            SortKey::UpdatedAt => row.updated_at,
        };
        let rank = match self.key {
            SortKey::Priority => Priority::parse(&row.priority).map_or(0, rank),
            SortKey::CreatedAt | SortKey::UpdatedAt => 0,
        };
        Place { rank, time, job_id: row.job_id }
    }
}

/// A place in a list: that of one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Of the job's priority, where the list is ordered by it.
    pub rank: i32,
    pub time: DateTime<Utc>,
    pub job_id: Uuid,
}

/// Where a page begins.
#[derive(Debug, Clone, Copy)]
pub enum JobPage {
    /// After this many jobs.
    Offset(u64),
    /// After this place, which stays the same whatever is created meanwhile.
    After(Place),
}

#[derive(Debug, Clone, PartialEq, Serialize, sqlx::FromRow)]
pub struct JobRow {
    pub job_id: Uuid,
    pub version: i64,
    pub user_id: String,
    pub batch_id: Option<Uuid>,
    pub topic: String,
    pub title: Option<String>,
    pub description: Option<String>,
    pub tags: Vec<String>,
    pub quality: String,
    pub priority: String,
    pub status: String,
    pub percentage: f64,
    pub current_stage: String,
    pub stages_completed: Vec<String>,
    pub scenes_total: i32,
    pub scenes_done: i32,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub updated_at: DateTime<Utc>,
    pub estimated_completion: Option<DateTime<Utc>>,
    pub video_id: Option<Uuid>,
    pub error_code: Option<String>,
}

/// A page of jobs.
#[derive(Debug, Clone)]
pub struct Jobs {
    pub rows: Vec<JobRow>,
    pub has_next: bool,
    /// Whether any job that matches comes before the page.
    pub has_previous: bool,
    /// How many jobs match, on all pages.
    pub total: u64,
}

/// So many jobs are counted one by one, at most.
pub const COUNTED: u64 = 10_000;

/// The order of priorities, which an index has, too.
const RANK: &str = "(case priority when 'low' then 0 when 'normal' then 1 when 'high' then 2 else 3 end)";

fn rank(priority: Priority) -> i32 {
    match priority {
        Priority::Low => 0,
        Priority::Normal => 1,
        Priority::High => 2,
        Priority::Urgent => 3,
    }
}

impl Catalog {
    /// One page of the jobs that match.
    pub async fn list(
        &self,
        filter: &JobFilter,
        order: Order,
        page: JobPage,
        limit: u64,
    ) -> Result<Jobs, Error> {
        // One more than is shown tells whether there is a next page.
        let mut rows = self.rows(filter, order, page, limit + 1).await?;
        let has_next = rows.len() as u64 > limit;
        rows.truncate(limit as usize);
        let total = match page {
            JobPage::Offset(0) if !has_next => rows.len() as u64,
            _ => self.count(filter).await?,
        };
        let has_previous = match page {
            JobPage::Offset(offset) => offset > 0 && total > 0,
            JobPage::After(place) => self.has_any_up_to(filter, order, place).await?,
        };
        Ok(Jobs { rows, has_next, has_previous, total })
    }

    async fn rows(
        &self,
        filter: &JobFilter,
        order: Order,
        page: JobPage,
        limit: u64,
    ) -> Result<Vec<JobRow>, Error> {
        let mut query = QueryBuilder::new(
            "select job_id, version, user_id, batch_id, topic, title, description, tags, quality, priority, status, percentage,
                    current_stage, stages_completed, scenes_total, scenes_done, created_at, started_at, ended_at, updated_at,
                    estimated_completion, video_id, error_code
             from catalog.jobs where deleted_at is null",
        );
        push_conditions(&mut query, filter);
        if let JobPage::After(place) = page {
            push_side(&mut query, order, place, true);
        }
        let direction = if order.is_descending { "desc" } else { "asc" };
        query.push(match order.key {
            SortKey::CreatedAt => format!(" order by created_at {direction}, job_id {direction}"),
            SortKey::UpdatedAt => format!(" order by updated_at {direction}, job_id {direction}"),
            SortKey::Priority => format!(" order by {RANK} {direction}, created_at desc, job_id desc"),
        });
        query.push(" limit ").push_bind(limit as i64);
        if let JobPage::Offset(offset) = page {
            query.push(" offset ").push_bind(offset as i64);
        }
        Ok(query
            .build_query_as()
            .persistent(false)
            .fetch_all(self.tables.reader().await?.connection())
            .await?)
    }

    /// Whether a job that matches is at a place or before it.
    async fn has_any_up_to(&self, filter: &JobFilter, order: Order, place: Place) -> Result<bool, Error> {
        let mut query = QueryBuilder::new("select exists (select from catalog.jobs where deleted_at is null");
        push_conditions(&mut query, filter);
        push_side(&mut query, order, place, false);
        query.push(")");
        Ok(query
            .build_query_scalar()
            .persistent(false)
            .fetch_one(self.tables.reader().await?.connection())
            .await?)
    }

    /// How many jobs match. Counts by user, status and priority are kept; with other conditions, no more than
    /// [`COUNTED`] are counted.
    async fn count(&self, filter: &JobFilter) -> Result<u64, Error> {
        let mut query = QueryBuilder::new("");
        if filter.is_counted() {
            query.push("select coalesce(sum(jobs), 0)::bigint from catalog.user_jobs where true");
            push_conditions(&mut query, filter);
        } else {
            query.push("select count(*) from (select from catalog.jobs where deleted_at is null");
            push_conditions(&mut query, filter);
            query.push(" limit ").push_bind(COUNTED as i64).push(") counted");
        }
        let count: i64 = query
            .build_query_scalar()
            .persistent(false)
            .fetch_one(self.tables.reader().await?.connection())
            .await?;
        Ok(count as u64)
    }

    /// How many jobs of a user, or of all, have each status.
    pub async fn count_by_status(&self, user_id: Option<&str>) -> Result<Vec<(String, u64)>, Error> {
        let counts: Vec<(String, i64)> = sqlx::query_as(
            "select status, sum(jobs)::bigint from catalog.user_jobs where $1::text is null or user_id = $1 group by status",
        )
        .persistent(false)
        .bind(user_id.map(text))
        .fetch_all(self.tables.reader().await?.connection())
        .await?;
        Ok(counts.into_iter().map(|(status, jobs)| (status, jobs as u64)).collect())
    }
}

impl JobFilter {
    /// Whether only that is asked of which counts are kept.
    fn is_counted(&self) -> bool {
        self.created_after.is_none()
            && self.created_before.is_none()
            && self.q.is_none()
            && self.batch_id.is_none()
            && self.tag.is_none()
    }
}

/// Only jobs after a place, or only those at it or before it.
fn push_side(query: &mut QueryBuilder<Postgres>, order: Order, place: Place, is_after: bool) {
    // What comes later in a descending order is less.
    let compare = |is_descending: bool| match (is_descending, is_after) {
        (true, true) => "<",
        (true, false) => ">=",
        (false, true) => ">",
        (false, false) => "<=",
    };
    let Place { rank, time, job_id } = place;
    let (column, direction) = match order.key {
        SortKey::CreatedAt => ("created_at", order.is_descending),
        SortKey::UpdatedAt => ("updated_at", order.is_descending),
        SortKey::Priority => {
            let beyond = if order.is_descending == is_after { "<" } else { ">" };
            query.push(format!(" and ({RANK} {beyond} ")).push_bind(rank);
            query.push(format!(" or {RANK} = ")).push_bind(rank);
            ("created_at", true)
        }
    };
    query.push(format!(" and ({column}, job_id) {} (", compare(direction)));
    query.push_bind(time).push(", ").push_bind(job_id).push(")");
    if order.key == SortKey::Priority {
        query.push(")");
    }
}

fn push_conditions(query: &mut QueryBuilder<Postgres>, filter: &JobFilter) {
    let equal = [("user_id", &filter.user_id), ("status", &filter.status), ("priority", &filter.priority)];
    for (column, value) in equal {
        if let Some(value) = value {
            query.push(format!(" and {column} = ")).push_bind(text(value));
        }
    }
    if let Some(batch_id) = filter.batch_id {
        query.push(" and batch_id = ").push_bind(batch_id.0);
    }
    if let Some(tag) = &filter.tag {
        query.push(" and tags @> ").push_bind(vec![text(tag)]);
    }
    if let Some(after) = filter.created_after {
        query.push(" and created_at >= ").push_bind(after);
    }
    if let Some(before) = filter.created_before {
        query.push(" and created_at < ").push_bind(before);
    }
    if let Some(words) = &filter.q {
        let pattern: String = words
            .chars()
            .flat_map(|c| match c {
                '%' | '_' | '\\' => vec!['\\', c],
                c => vec![c],
            })
            .collect();
        query
            .push(" and (topic || ' ' || coalesce(title, '')) ilike ")
            .push_bind(text(&format!("%{pattern}%")));
    }
}
