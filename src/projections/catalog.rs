//! The catalog: jobs, their stages and their videos, as rows in Postgres.
//!
//! A batch of events becomes three set-based writes and a checkpoint in one transaction.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::types::Json;
use uuid::Uuid;

use super::status::StatusView;
use super::{Batch, Error, Projection};
use crate::events::job::{RecordedJobEvent, StoredFile, VideoFacts};
use crate::events::{EventLog, JobEvent, Stage};
use crate::execute;
use crate::ids::JobId;

pub const NAME: &str = "catalog";

/// Applies the migrations; several processes may start at once, sqlx holds an advisory lock meanwhile.
pub async fn migrate(pool: &PgPool) -> Result<(), Error> {
    sqlx::migrate!("./migrations").run(pool).await?;
    Ok(())
}

/// All that the catalog knows of one job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CatalogJob {
    pub view: StatusView,
    pub title: Option<String>,
    pub stages: Vec<StageRow>,
    pub files: Vec<StoredFile>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, sqlx::FromRow)]
pub struct StageRow {
    pub stage: String,
    pub started_at: Option<DateTime<Utc>>,
    pub completed_at: Option<DateTime<Utc>>,
    pub attempts: i32,
}

impl CatalogJob {
    /// The rows after one more event; `None` for a job not seen before.
    pub fn evolve(job: Option<Self>, job_id: JobId, recorded: &RecordedJobEvent) -> Option<Self> {
        let Some(mut job) = job else {
            let view = StatusView::evolve(None, job_id, recorded)?;
            let title = match &recorded.event {
                JobEvent::JobRequested(requested) => requested.request.title.clone(),
                _ => None,
            };
            return Some(Self { view, title, stages: vec![], files: vec![] });
        };
        if recorded.version <= job.view.version {
            return Some(job);
        }
        job.view = StatusView::evolve(Some(job.view), job_id, recorded)?;
        match &recorded.event {
            JobEvent::StageStarted { stage, attempt, .. } => {
                let row = job.stage(stage.name());
                row.started_at.get_or_insert(recorded.recorded_at);
                row.attempts = row.attempts.max(*attempt as i32);
            }
            JobEvent::StageRetryScheduled { item, .. } => {
                let row = job.stage(item.stage.name());
                row.attempts = row.attempts.max(item.attempt as i32);
            }
            JobEvent::StageCompleted { stage, .. } => {
                job.stage(stage.name()).completed_at = Some(recorded.recorded_at);
            }
            JobEvent::JobReprocessRequested { from } => {
                for stage in Stage::ALL.into_iter().filter(|stage| stage >= from) {
                    job.stages.retain(|row| row.stage != stage.name());
                }
            }
            JobEvent::UploadCompleted { files, .. } => job.files.clone_from(files),
            _ => {}
        }
        Some(job)
    }

    fn stage(&mut self, name: &str) -> &mut StageRow {
        let found = self.stages.iter().position(|row| row.stage == name);
        let index = found.unwrap_or_else(|| {
            self.stages.push(StageRow {
                stage: name.to_owned(),
                started_at: None,
                completed_at: None,
                attempts: 0,
            });
            self.stages.len() - 1
        });
        &mut self.stages[index]
    }
}

/// A finished video, with what its job's other rows say.
#[derive(Debug, Clone)]
pub struct VideoRow {
    pub video_id: Uuid,
    pub facts: VideoFacts,
    pub files: Vec<StoredFile>,
    pub created_at: DateTime<Utc>,
    pub stages: Vec<StageRow>,
}

/// Writes the catalog, and answers from it.
#[derive(Clone)]
pub struct Catalog {
    pool: PgPool,
    log: EventLog,
}

impl Catalog {
    pub fn new(pool: PgPool, log: EventLog) -> Self {
        Self { pool, log }
    }

    /// The video of a completed job; `None` when it has none. What the projection has not reached
    /// yet is folded from the log.
    pub async fn video(&self, job_id: JobId) -> Result<Option<VideoRow>, Error> {
        match self.stored_video(job_id).await? {
            Some(video) => Ok(Some(video)),
            None => Ok(self.folded(job_id).await?.and_then(CatalogJob::into_video)),
        }
    }

    /// The rows of a job, folded from its history.
    pub async fn folded(&self, job_id: JobId) -> Result<Option<CatalogJob>, Error> {
        let mut job = None;
        for envelope in self.log.history(job_id.aggregate(), 0).await? {
            job = CatalogJob::evolve(job, job_id, &execute::decode(&envelope)?);
        }
        Ok(job)
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
        let found: Option<Row> = sqlx::query_as("select * from videos where job_id = $1")
            .bind(job_id.0)
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = found else { return Ok(None) };
        let stages = sqlx::query_as("select stage, started_at, completed_at, attempts from stages where job_id = $1 order by started_at")
            .bind(job_id.0)
            .fetch_all(&self.pool)
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

    /// Jobs as they were after `batch`. A job's earlier events come from its history: the rows alone
    /// do not hold all that the next event needs.
    async fn jobs_after(&self, batch: &Batch) -> Result<Vec<CatalogJob>, Error> {
        let mut last_versions: BTreeMap<JobId, u64> = BTreeMap::new();
        for (job_id, recorded) in &batch.events {
            last_versions.insert(*job_id, recorded.version);
        }
        let mut jobs = Vec::with_capacity(last_versions.len());
        for (job_id, last_version) in last_versions {
            let mut job = None;
            for envelope in self.log.history(job_id.aggregate(), 0).await? {
                if envelope.version <= last_version {
                    job = CatalogJob::evolve(job, job_id, &execute::decode(&envelope)?);
                }
            }
            jobs.extend(job);
        }
        Ok(jobs)
    }
}

impl CatalogJob {
    fn into_video(self) -> Option<VideoRow> {
        let created_at = self.view.ended_at?;
        Some(VideoRow {
            video_id: self.view.video_id?,
            facts: self.view.video?,
            files: self.files,
            created_at,
            stages: self.stages,
        })
    }
}

#[async_trait]
impl Projection for Catalog {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn checkpoint(&self, partition: u16) -> Result<u64, Error> {
        let seq: Option<i64> = sqlx::query_scalar(
            "select seq from projection_checkpoints where projection = $1 and partition = $2",
        )
        .bind(NAME)
        .bind(partition as i16)
        .fetch_optional(&self.pool)
        .await?;
        Ok(seq.unwrap_or(0) as u64)
    }

    async fn apply(&self, batch: &Batch) -> Result<(), Error> {
        let jobs = self.jobs_after(batch).await?;
        let mut transaction = self.pool.begin().await?;
        write_jobs(&mut transaction, &jobs).await?;
        write_stages(&mut transaction, &jobs).await?;
        write_videos(&mut transaction, &jobs).await?;
        sqlx::query(
            "insert into projection_checkpoints (projection, partition, seq) values ($1, $2, $3)
             on conflict (projection, partition) do update set seq = excluded.seq, updated_at = now()
             where projection_checkpoints.seq < excluded.seq",
        )
        .bind(NAME)
        .bind(batch.partition as i16)
        .bind(batch.last_seq as i64)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }
}

fn column<T, U>(rows: &[T], value: impl Fn(&T) -> U) -> Vec<U> {
    rows.iter().map(value).collect()
}

async fn write_jobs(connection: &mut sqlx::PgConnection, jobs: &[CatalogJob]) -> Result<(), sqlx::Error> {
    let failure = |job: &CatalogJob| job.view.failure.clone();
    sqlx::query(
        "insert into jobs (job_id, version, user_id, topic, title, quality, priority, status, percentage, current_stage,
                           created_at, started_at, ended_at, updated_at, error_code, error_message, error_stage)
         select * from unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                              $9::float8[], $10::text[], $11::timestamptz[], $12::timestamptz[], $13::timestamptz[],
                              $14::timestamptz[], $15::text[], $16::text[], $17::text[])
         on conflict (job_id) do update set
             version = excluded.version, status = excluded.status, percentage = excluded.percentage,
             current_stage = excluded.current_stage, started_at = excluded.started_at, ended_at = excluded.ended_at,
             updated_at = excluded.updated_at, error_code = excluded.error_code,
             error_message = excluded.error_message, error_stage = excluded.error_stage
         where jobs.version < excluded.version",
    )
    .bind(column(jobs, |job| job.view.job_id.0))
    .bind(column(jobs, |job| job.view.version as i64))
    .bind(column(jobs, |job| job.view.user_id.clone()))
    .bind(column(jobs, |job| job.view.topic.clone()))
    .bind(column(jobs, |job| job.title.clone()))
    .bind(column(jobs, |job| job.view.quality.name()))
    .bind(column(jobs, |job| job.view.priority.name()))
    .bind(column(jobs, |job| job.view.status.name()))
    .bind(column(jobs, |job| job.view.percentage))
    .bind(column(jobs, |job| job.view.stage_name()))
    .bind(column(jobs, |job| job.view.created_at))
    .bind(column(jobs, |job| job.view.started_at))
    .bind(column(jobs, |job| job.view.ended_at))
    .bind(column(jobs, |job| job.view.updated_at))
    .bind(column(jobs, |job| failure(job).map(|(_, failure)| failure.code)))
    .bind(column(jobs, |job| failure(job).map(|(_, failure)| failure.message)))
    .bind(column(jobs, |job| failure(job).map(|(stage, _)| stage.name())))
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_stages(connection: &mut sqlx::PgConnection, jobs: &[CatalogJob]) -> Result<(), sqlx::Error> {
    let rows: Vec<(Uuid, &StageRow)> =
        jobs.iter().flat_map(|job| job.stages.iter().map(move |row| (job.view.job_id.0, row))).collect();
    sqlx::query(
        "insert into stages (job_id, stage, started_at, completed_at, attempts)
         select * from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::integer[])
         on conflict (job_id, stage) do update set
             started_at = excluded.started_at, completed_at = excluded.completed_at, attempts = excluded.attempts",
    )
    .bind(column(&rows, |(job_id, _)| *job_id))
    .bind(column(&rows, |(_, row)| row.stage.clone()))
    .bind(column(&rows, |(_, row)| row.started_at))
    .bind(column(&rows, |(_, row)| row.completed_at))
    .bind(column(&rows, |(_, row)| row.attempts))
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_videos(connection: &mut sqlx::PgConnection, jobs: &[CatalogJob]) -> Result<(), sqlx::Error> {
    let rows: Vec<(&StatusView, VideoRow)> =
        jobs.iter().filter_map(|job| Some((&job.view, job.clone().into_video()?))).collect();
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into videos (video_id, job_id, user_id, duration_ms, width, height, fps, frames, video_codec, audio_codec,
                             bitrate, file_size, files, created_at)
         select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::integer[], $6::integer[], $7::float8[],
                              $8::bigint[], $9::text[], $10::text[], $11::bigint[], $12::bigint[], $13::jsonb[], $14::timestamptz[])
         on conflict (video_id) do nothing",
    )
    .bind(column(&rows, |(_, row)| row.video_id))
    .bind(column(&rows, |(view, _)| view.job_id.0))
    .bind(column(&rows, |(view, _)| view.user_id.clone()))
    .bind(column(&rows, |(_, row)| row.facts.duration_ms as i64))
    .bind(column(&rows, |(_, row)| row.facts.width as i32))
    .bind(column(&rows, |(_, row)| row.facts.height as i32))
    .bind(column(&rows, |(_, row)| row.facts.fps))
    .bind(column(&rows, |(_, row)| row.facts.frames as i64))
    .bind(column(&rows, |(_, row)| row.facts.video_codec.clone()))
    .bind(column(&rows, |(_, row)| row.facts.audio_codec.clone()))
    .bind(column(&rows, |(_, row)| row.facts.bitrate as i64))
    .bind(column(&rows, |(_, row)| row.facts.file_size as i64))
    .bind(column(&rows, |(_, row)| Json(row.files.clone())))
    .bind(column(&rows, |(_, row)| row.created_at))
    .execute(connection)
    .await?;
    Ok(())
}
