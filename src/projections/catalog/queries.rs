//! What the API asks the catalog about one job or user. Lists are in `list`.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::types::Json;
use uuid::Uuid;

use super::{Catalog, StageRow, VideoRow};
use crate::events::job::{StoredFile, VideoFacts};
use crate::ids::JobId;
use crate::projections::Error;
use crate::projections::tables::text;

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
