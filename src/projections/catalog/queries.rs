//! What the API asks the catalog.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::types::Json;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::{Catalog, SceneRow, StageRow, VideoRow};
use crate::events::job::{StoredFile, VideoFacts};
use crate::events::{Priority, Quality, Stage};
use crate::ids::JobId;
use crate::projections::Error;
use crate::projections::estimates::{OpenJob, Sample, Work};
use crate::projections::tables::text;

/// Which jobs to list. Every condition that is set must hold.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// `None` lists all users'.
    pub user_id: Option<String>,
    pub status: Option<String>,
    pub priority: Option<String>,
    pub created_after: Option<DateTime<Utc>>,
    pub created_before: Option<DateTime<Utc>>,
    /// What topic or title contain, in any case.
    pub q: Option<String>,
}

/// By time of creation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    NewestFirst,
    OldestFirst,
}

/// Where a page begins.
#[derive(Debug, Clone, Copy)]
pub enum JobPage {
    /// After this many jobs.
    Offset(u64),
    /// After this job, which stays the same place whatever is created meanwhile.
    After(DateTime<Utc>, Uuid),
}

#[derive(Debug, Clone, PartialEq, Serialize, sqlx::FromRow)]
pub struct JobRow {
    pub job_id: Uuid,
    pub version: i64,
    pub user_id: String,
    pub topic: String,
    pub title: Option<String>,
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
    /// How many jobs match, on all pages.
    pub total: u64,
}

/// Jobs of all users that have not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Jobs that wait for their first stage, by priority.
    pub by_priority: Vec<(String, u64)>,
    /// Jobs that have begun.
    pub running: u64,
    /// Since when the job waits that waits the longest.
    pub oldest: Option<DateTime<Utc>>,
}

/// So many jobs are counted one by one, at most.
pub const COUNTED: u64 = 10_000;

#[derive(Debug, Clone, PartialEq, Serialize, sqlx::FromRow)]
pub struct LogLine {
    pub version: i64,
    pub at: DateTime<Utc>,
    pub level: String,
    pub stage: Option<String>,
    pub scene: Option<i32>,
    pub message: String,
}

/// From the least to the most important.
pub const LEVELS: [&str; 4] = ["debug", "info", "warning", "error"];

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
        Ok(Jobs { rows, has_next, total })
    }

    async fn rows(
        &self,
        filter: &JobFilter,
        order: Order,
        page: JobPage,
        limit: u64,
    ) -> Result<Vec<JobRow>, Error> {
        let mut query = QueryBuilder::new(
            "select job_id, version, user_id, topic, title, quality, priority, status, percentage, current_stage, stages_completed,
                    scenes_total, scenes_done, created_at, started_at, ended_at, updated_at, estimated_completion, video_id, error_code
             from catalog.jobs where true",
        );
        push_conditions(&mut query, filter);
        let (direction, beyond) = match order {
            Order::NewestFirst => ("desc", "<"),
            Order::OldestFirst => ("asc", ">"),
        };
        if let JobPage::After(created_at, job_id) = page {
            query.push(format!(" and (created_at, job_id) {beyond} ("));
            query.push_bind(created_at).push(", ").push_bind(job_id).push(")");
        }
        query
            .push(format!(" order by created_at {direction}, job_id {direction} limit "))
            .push_bind(limit as i64);
        if let JobPage::Offset(offset) = page {
            query.push(" offset ").push_bind(offset as i64);
        }
        Ok(query.build_query_as().persistent(false).fetch_all(self.tables.pool()).await?)
    }

    /// How many jobs match. Counts by user, status and priority are kept; with other conditions, no more than
    /// [`COUNTED`] are counted.
    async fn count(&self, filter: &JobFilter) -> Result<u64, Error> {
        let is_kept = filter.created_after.is_none() && filter.created_before.is_none() && filter.q.is_none();
        let mut query = QueryBuilder::new("");
        if is_kept {
            query.push("select coalesce(sum(jobs), 0)::bigint from catalog.user_jobs where true");
            push_conditions(&mut query, filter);
        } else {
            query.push("select count(*) from (select from catalog.jobs where true");
            push_conditions(&mut query, filter);
            query.push(" limit ").push_bind(COUNTED as i64).push(") counted");
        }
        let count: i64 = query.build_query_scalar().persistent(false).fetch_one(self.tables.pool()).await?;
        Ok(count as u64)
    }

    /// How many jobs of a user, or of all, have each status.
    pub async fn count_by_status(&self, user_id: Option<&str>) -> Result<Vec<(String, u64)>, Error> {
        let counts: Vec<(String, i64)> = sqlx::query_as(
            "select status, sum(jobs)::bigint from catalog.user_jobs where $1::text is null or user_id = $1 group by status",
        )
        .persistent(false)
        .bind(user_id.map(text))
        .fetch_all(self.tables.pool())
        .await?;
        Ok(counts.into_iter().map(|(status, jobs)| (status, jobs as u64)).collect())
    }

    /// A job's log lines of a level or above, in order, and how many there are in all.
    pub async fn logs(
        &self,
        job_id: JobId,
        level: &str,
        limit: u64,
        offset: u64,
    ) -> Result<(u64, Vec<LogLine>), Error> {
        let from = LEVELS.iter().position(|known| *known == level).unwrap_or(0);
        let levels: Vec<String> = LEVELS[from..].iter().map(|level| (*level).to_owned()).collect();
        let lines = sqlx::query_as(
            "select version, at, level, stage, scene, message from catalog.logs
             where job_id = $1 and level = any($2) order by version limit $3 offset $4",
        )
        .bind(job_id.0)
        .bind(&levels)
        .bind(limit as i64)
        .bind(offset as i64)
        .fetch_all(self.tables.pool())
        .await?;
        let total: i64 =
            sqlx::query_scalar("select count(*) from catalog.logs where job_id = $1 and level = any($2)")
                .bind(job_id.0)
                .bind(&levels)
                .fetch_one(self.tables.pool())
                .await?;
        Ok((total as u64, lines))
    }

    /// The jobs of all users that have not ended.
    pub async fn open_jobs(&self) -> Result<Vec<OpenJob>, Error> {
        /// More than may be open.
        const MAX_OPEN: i64 = 50_000;
        type Row = (Uuid, String, String, String, String, f64, DateTime<Utc>, i64);
        let rows: Vec<Row> = sqlx::query_as(
            "select job_id, user_id, priority, quality, status, percentage, created_at, narration_ms from catalog.jobs
             where status in ('queued', 'processing') order by created_at limit $1",
        )
        .bind(MAX_OPEN)
        .fetch_all(self.tables.pool())
        .await?;
        let open =
            |(job_id, user_id, priority, quality, status, percentage, created_at, narration_ms): Row| {
                OpenJob {
                    job_id: JobId(job_id),
                    user_id,
                    priority: Priority::parse(&priority).unwrap_or_default(),
                    quality: Quality::named(&quality).unwrap_or_default(),
                    has_begun: status == "processing",
                    percentage,
                    created_at,
                    narration_seconds: narration_ms as f64 / 1000.0,
                }
            };
        Ok(rows.into_iter().map(open).collect())
    }

    /// What the last jobs took that were completed, the oldest first. Without those of before attempts were measured.
    pub async fn samples(&self) -> Result<Vec<Sample>, Error> {
        /// After so many jobs, one weighs nothing any more.
        const SAMPLES: i64 = 300;
        let rows: Vec<(Uuid, String, i64, String, i64)> = sqlx::query_as(
            "with recent as (
                 select job_id, quality, narration_ms, ended_at from catalog.jobs
                 where status = 'completed' and narration_ms > 0 order by created_at desc limit $1
             )
             select job_id, quality, narration_ms, stage, busy_ms from recent join catalog.stages using (job_id)
             order by ended_at, job_id",
        )
        .bind(SAMPLES)
        .fetch_all(self.tables.pool())
        .await?;
        let mut samples: Vec<(Uuid, Sample)> = vec![];
        for (job_id, quality, narration_ms, stage, busy_ms) in rows {
            if samples.last().is_none_or(|(last, _)| *last != job_id) {
                let quality = Quality::named(&quality).unwrap_or_default();
                let (narration_seconds, work) = (narration_ms as f64 / 1000.0, Work::default());
                samples.push((job_id, Sample { quality, narration_seconds, work }));
            }
            if let (Some((_, sample)), Some(stage)) = (samples.last_mut(), Stage::parse(&stage)) {
                sample.work.0[stage as usize] = busy_ms as f64 / 1000.0;
            }
        }
        let samples = samples.into_iter().map(|(_, sample)| sample);
        Ok(samples.filter(|sample| sample.work.0.iter().any(|seconds| *seconds > 0.0)).collect())
    }

    /// How many jobs of all users wait and run, and since when the job waits that waits the longest.
    pub async fn waiting(&self) -> Result<Waiting, Error> {
        /// Of the jobs that were requested first, one of which has waited the longest. A job that is begun again waits
        /// anew, though it was requested long ago.
        const OLDEST_LOOKED_AT: i64 = 1000;
        let counts: Vec<(String, String, i64)> = sqlx::query_as(
            "select status, priority, sum(jobs)::bigint from catalog.user_jobs
             where status in ('queued', 'processing') group by status, priority having sum(jobs) > 0",
        )
        .fetch_all(self.tables.pool())
        .await?;
        let oldest: Option<DateTime<Utc>> = sqlx::query_scalar(
            "select min(updated_at) from
                 (select updated_at from catalog.jobs where status = 'queued' order by created_at limit $1) waiting",
        )
        .bind(OLDEST_LOOKED_AT)
        .fetch_one(self.tables.pool())
        .await?;
        let (queued, running): (Vec<_>, Vec<_>) =
            counts.into_iter().partition(|(status, _, _)| status == "queued");
        Ok(Waiting {
            by_priority: queued.into_iter().map(|(_, priority, jobs)| (priority, jobs as u64)).collect(),
            running: running.into_iter().map(|(_, _, jobs)| jobs as u64).sum(),
            oldest,
        })
    }

    /// The jobs of a user, oldest first.
    pub async fn jobs_of(&self, user_id: &str) -> Result<Vec<JobId>, Error> {
        let jobs: Vec<Uuid> = sqlx::query_scalar(
            "select job_id from catalog.jobs where user_id = $1 order by created_at, job_id",
        )
        .bind(text(user_id))
        .fetch_all(self.tables.pool())
        .await?;
        Ok(jobs.into_iter().map(JobId).collect())
    }

    /// The scenes of a job as of `version`, in order. Where the projection is behind, they are folded from the log.
    pub async fn scenes(&self, job_id: JobId, version: u64) -> Result<Vec<SceneRow>, Error> {
        // One statement, so that the rows are of the version, even if the projection writes meanwhile.
        let stored: Option<(i64, Json<Vec<SceneRow>>)> = sqlx::query_as(
            "select version, coalesce((select jsonb_agg(s order by s.scene) from catalog.scenes s where s.job_id = j.job_id), '[]')
             from catalog.jobs j where job_id = $1",
        )
        .bind(job_id.0)
        .fetch_optional(self.tables.pool())
        .await?;
        match stored {
            Some((stored, rows)) if stored as u64 >= version => Ok(rows.0),
            _ => {
                let job = self.folded(job_id, version).await?;
                Ok(job.map_or_else(Vec::new, super::CatalogJob::into_scenes))
            }
        }
    }

    /// The video of a completed job; `None` when it has none. What the projection has not reached
    /// yet is folded from the log.
    pub async fn video(&self, job_id: JobId) -> Result<Option<VideoRow>, Error> {
        match self.stored_video(job_id).await? {
            Some(video) => Ok(Some(video)),
            None => Ok(self.folded(job_id, u64::MAX).await?.and_then(super::CatalogJob::into_video)),
        }
    }

    async fn stored_video(&self, job_id: JobId) -> Result<Option<VideoRow>, Error> {
        #[derive(sqlx::FromRow)]
        struct Row {
            video_id: Uuid,
            duration_ms: i64,
            width: i32,
            height: i32,
            fps: f64,
            frames: i64,
            video_codec: String,
            audio_codec: String,
            bitrate: i64,
            file_size: i64,
            files: Json<Vec<StoredFile>>,
            created_at: DateTime<Utc>,
        }
        let found: Option<Row> = sqlx::query_as("select * from catalog.videos where job_id = $1")
            .bind(job_id.0)
            .fetch_optional(self.tables.pool())
            .await?;
        let Some(row) = found else { return Ok(None) };
        let stages: Vec<StageRow> =
            sqlx::query_as("select * from catalog.stages where job_id = $1 order by started_at")
                .bind(job_id.0)
                .fetch_all(self.tables.pool())
                .await?;
        let facts = VideoFacts {
            duration_ms: row.duration_ms as u64,
            width: row.width as u32,
            height: row.height as u32,
            fps: row.fps,
            frames: row.frames as u64,
            video_codec: row.video_codec,
            audio_codec: row.audio_codec,
            bitrate: row.bitrate as u64,
            file_size: row.file_size as u64,
            // Of the history alone: what it says of streams is asked for rarely.
            technical: None,
        };
        Ok(Some(VideoRow {
            video_id: row.video_id,
            facts,
            files: row.files.0,
            created_at: row.created_at,
            stages,
        }))
    }
}

fn push_conditions(query: &mut QueryBuilder<Postgres>, filter: &JobFilter) {
    let equal = [("user_id", &filter.user_id), ("status", &filter.status), ("priority", &filter.priority)];
    for (column, value) in equal {
        if let Some(value) = value {
            query.push(format!(" and {column} = ")).push_bind(text(value));
        }
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
