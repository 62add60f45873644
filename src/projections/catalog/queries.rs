//! What the API asks the catalog about one job or user. Lists are in `list`.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::types::Json;
use uuid::Uuid;

use super::{Catalog, SceneRow, StageRow, VideoRow};
use crate::events::job::{StoredFile, VideoFacts};
use crate::events::{Priority, Quality, Stage};
use crate::ids::JobId;
use crate::projections::Error;
use crate::projections::estimates::{OpenJob, Sample, Work};
use crate::projections::tables::text;

/// Jobs of all users that have not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Jobs that wait for their first stage, by priority.
    pub by_priority: Vec<(String, u64)>,
    /// Jobs that have begun.
    pub running: u64,
    /// When the job that waits the longest began to wait.
    pub oldest: Option<DateTime<Utc>>,
}

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
        .fetch_all(self.tables.reader().await?.connection())
        .await?;
        let total: i64 =
            sqlx::query_scalar("select count(*) from catalog.logs where job_id = $1 and level = any($2)")
                .bind(job_id.0)
                .bind(&levels)
                .fetch_one(self.tables.reader().await?.connection())
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
        .fetch_all(self.tables.reader().await?.connection())
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

    /// The work of the last jobs that were completed, the oldest first. Without those of before attempts were measured.
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
        .fetch_all(self.tables.reader().await?.connection())
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
        .fetch_all(self.tables.reader().await?.connection())
        .await?;
        let oldest: Option<DateTime<Utc>> = sqlx::query_scalar(
            "select min(updated_at) from
                 (select updated_at from catalog.jobs where status = 'queued' order by created_at limit $1) waiting",
        )
        .bind(OLDEST_LOOKED_AT)
        .fetch_one(self.tables.reader().await?.connection())
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
        .fetch_all(self.tables.reader().await?.connection())
        .await?;
        Ok(jobs.into_iter().map(JobId).collect())
    }

    /// Returns the newest completed jobs of a user that are not deleted, the newest first.
    pub async fn newest_completed_of(&self, user_id: &str, limit: i64) -> Result<Vec<JobId>, Error> {
        let jobs: Vec<Uuid> = sqlx::query_scalar(
            "select job_id from catalog.jobs where user_id = $1 and status = 'completed' and deleted_at is null
             order by created_at desc, job_id desc limit $2",
        )
        .bind(text(user_id))
        .bind(limit)
        .fetch_all(self.tables.reader().await?.connection())
        .await?;
        Ok(jobs.into_iter().map(JobId).collect())
    }

    /// Completed jobs whose files are not removed, by their ids, after one of them.
    pub async fn completed_after(&self, after: Option<JobId>, limit: i64) -> Result<Vec<JobId>, Error> {
        let jobs: Vec<Uuid> = sqlx::query_scalar(
            "select job_id from catalog.jobs
             where status = 'completed' and files_removed_at is null and job_id > $1 order by job_id limit $2",
        )
        .bind(after.map_or(Uuid::nil(), |job| job.0))
        .bind(limit)
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
        .fetch_optional(self.tables.reader().await?.connection())
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
            .fetch_optional(self.tables.reader().await?.connection())
            .await?;
        let Some(row) = found else { return Ok(None) };
        let stages: Vec<StageRow> =
            sqlx::query_as("select * from catalog.stages where job_id = $1 order by started_at")
                .bind(job_id.0)
                .fetch_all(self.tables.reader().await?.connection())
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
