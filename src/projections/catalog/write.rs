//! Writes a batch: a few statements, each for all rows of a table, in one transaction.

use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::facts::Facts;
use super::rows::{CatalogJob, Row, SceneRow, StageRow, VideoRow};
use crate::events::Stage;
use crate::events::content::ERASED;
use crate::events::job::Failure;
use crate::ids::AggregateId;
use crate::projections::status::JobStatus;
use crate::projections::tables::{column, json, optional_text_column, text_column};

/// Writes what `jobs` have that is not stored, and adds the facts.
pub async fn write(
    connection: &mut PgConnection,
    partition: u16,
    jobs: &[CatalogJob],
    facts: &Facts,
) -> Result<(), sqlx::Error> {
    let partition = partition as i16;
    erase(connection, facts).await?;
    forget_void_rows(connection, jobs).await?;
    write_jobs(connection, partition, jobs).await?;
    write_stages(connection, jobs).await?;
    write_scenes(connection, jobs).await?;
    write_videos(connection, jobs).await?;
    write_logs(connection, facts).await?;
    write_failures(connection, facts).await?;
    write_operations(connection, facts).await?;
    add_to_user_jobs(connection, partition, facts).await?;
    add_to_hourly_jobs(connection, partition, facts).await?;
    add_to_hourly_stages(connection, partition, facts).await
}

/// The rows of all jobs that are not stored yet.
fn unstored<T>(jobs: &[CatalogJob], rows: impl Fn(&CatalogJob) -> &Vec<Row<T>>) -> Vec<(Uuid, &T)> {
    let of_job = |job| {
        let id = CatalogJob::id(job);
        rows(job).iter().filter(|row| !row.is_stored).map(move |row| (id, &row.value))
    };
    jobs.iter().flat_map(of_job).collect()
}

fn failure(job: &CatalogJob) -> Option<&(Stage, Failure)> {
    job.view.failure.as_ref()
}

impl CatalogJob {
    fn id(&self) -> Uuid {
        self.view.job_id.0
    }
}

async fn erase(connection: &mut PgConnection, facts: &Facts) -> Result<(), sqlx::Error> {
    if facts.erased.is_empty() {
        return Ok(());
    }
    let jobs = column(&facts.erased, |job| job.0);
    for query in ERASE_MESSAGES {
        sqlx::query(query).bind(&jobs).bind(ERASED).execute(&mut *connection).await?;
    }
    Ok(())
}

/// What is kept of single events.
const ERASE_MESSAGES: [&str; 2] = [
    "update logs set message = $2 where level in ('error', 'warning') and job_id = any($1)",
    "update failures set message = $2 where job_id = any($1)",
];

/// What is folded from the history; the same as the fold of an erasure leads to.
const ERASE_FOLDED: [&str; 2] = [
    "update jobs set topic = $2, title = null, description = null, tags = '{}', narration_ms = 0,
     error_message = case when error_message is not null then $2 end
     where job_id = any($1)",
    "update scenes set title = $2, narration = $2, code = case when code is not null then $2 end, code_attempts = '[]' where job_id = any($1)",
];

/// Erases the words of jobs that cannot be folded.
pub async fn erase_rows(connection: &mut PgConnection, jobs: &[AggregateId]) -> Result<(), sqlx::Error> {
    if jobs.is_empty() {
        return Ok(());
    }
    let jobs = column(jobs, |id| id.0);
    for query in ERASE_MESSAGES.iter().chain(&ERASE_FOLDED) {
        sqlx::query(*query).bind(&jobs).bind(ERASED).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn forget_void_rows(connection: &mut PgConnection, jobs: &[CatalogJob]) -> Result<(), sqlx::Error> {
    let void: Vec<Uuid> = jobs.iter().filter(|job| job.is_begun_again).map(CatalogJob::id).collect();
    if void.is_empty() {
        return Ok(());
    }
    for query in ["delete from stages where job_id = any($1)", "delete from scenes where job_id = any($1)"] {
        sqlx::query(query).bind(&void).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn write_jobs(
    connection: &mut PgConnection,
    partition: i16,
    jobs: &[CatalogJob],
) -> Result<(), sqlx::Error> {
    if jobs.is_empty() {
        return Ok(());
    }
    let tags: Vec<Json<Value>> =
        jobs.iter().map(|job| json(&job.view.tags).map(Json)).collect::<Result<_, _>>()?;
    let stages = jobs.iter().map(|job| column(&job.view.stages_completed, |stage| stage.name()).join(","));
    sqlx::query(
        "insert into jobs (partition, job_id, version, user_id, topic, title, quality, priority, output_format, status, percentage,
                           current_stage, stages_completed, scenes_total, scenes_done, retry_count, created_at, started_at, ended_at,
                           updated_at, estimated_completion, video_id, error_code, error_message, error_stage, batch_id, description,
                           tags, deleted_at, files_removed_at, narration_ms)
         select $1, job_id, version, user_id, topic, title, quality, priority, output_format, status, percentage,
                current_stage, string_to_array(stages_completed, ','), scenes_total, scenes_done, retry_count, created_at, started_at,
                ended_at, updated_at, estimated_completion, video_id, error_code, error_message, error_stage, batch_id, description,
                array(select jsonb_array_elements_text(tags)), deleted_at, files_removed_at, narration_ms
         from unnest($2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
                     $11::float8[], $12::text[], $13::text[], $14::integer[], $15::integer[], $16::integer[], $17::timestamptz[],
                     $18::timestamptz[], $19::timestamptz[], $20::timestamptz[], $21::timestamptz[], $22::uuid[], $23::text[],
                     $24::text[], $25::text[], $26::uuid[], $27::text[], $28::jsonb[], $29::timestamptz[], $30::timestamptz[],
                     $31::bigint[])
              as row (job_id, version, user_id, topic, title, quality, priority, output_format, status, percentage, current_stage,
                      stages_completed, scenes_total, scenes_done, retry_count, created_at, started_at, ended_at, updated_at,
                      estimated_completion, video_id, error_code, error_message, error_stage, batch_id, description, tags,
                      deleted_at, files_removed_at, narration_ms)
         on conflict (job_id) do update set
             version = excluded.version, topic = excluded.topic, title = excluded.title, status = excluded.status,
             percentage = excluded.percentage, current_stage = excluded.current_stage,
             stages_completed = excluded.stages_completed, scenes_total = excluded.scenes_total,
             scenes_done = excluded.scenes_done, retry_count = excluded.retry_count, started_at = excluded.started_at,
             ended_at = excluded.ended_at, updated_at = excluded.updated_at,
             estimated_completion = excluded.estimated_completion, video_id = excluded.video_id,
             error_code = excluded.error_code, error_message = excluded.error_message, error_stage = excluded.error_stage,
             description = excluded.description, tags = excluded.tags, deleted_at = excluded.deleted_at,
             files_removed_at = excluded.files_removed_at, narration_ms = excluded.narration_ms
         where jobs.version < excluded.version",
    )
    .bind(partition)
    .bind(column(jobs, CatalogJob::id))
    .bind(column(jobs, |job| job.view.version as i64))
    .bind(text_column(jobs, |job| &job.view.user_id))
    .bind(text_column(jobs, |job| &job.view.topic))
    .bind(optional_text_column(jobs, |job| job.view.title.as_deref()))
    .bind(column(jobs, |job| job.view.quality.name()))
    .bind(column(jobs, |job| job.view.priority.name()))
    .bind(column(jobs, |job| job.output_format.name()))
    .bind(column(jobs, |job| job.view.status.name()))
    .bind(column(jobs, |job| job.view.percentage))
    .bind(column(jobs, |job| job.view.stage_name()))
    .bind(stages.collect::<Vec<_>>())
    .bind(column(jobs, |job| job.view.scenes_total as i32))
    .bind(column(jobs, |job| job.view.scenes_done_in_stage() as i32))
    .bind(column(jobs, |job| job.view.retry_count as i32))
    .bind(column(jobs, |job| job.view.created_at))
    .bind(column(jobs, |job| job.view.started_at))
    .bind(column(jobs, |job| job.view.ended_at))
    .bind(column(jobs, |job| job.view.updated_at))
    .bind(column(jobs, |job| job.view.estimated_completion))
    .bind(column(jobs, |job| job.view.video_id))
    .bind(optional_text_column(jobs, |job| failure(job).map(|(_, failure)| failure.code.as_str())))
    .bind(optional_text_column(jobs, |job| failure(job).map(|(_, failure)| failure.message.as_str())))
    .bind(column(jobs, |job| failure(job).map(|(stage, _)| stage.name())))
    .bind(column(jobs, |job| job.view.batch_id.map(|batch| batch.0)))
    .bind(optional_text_column(jobs, |job| job.view.description.as_deref()))
    .bind(tags)
    .bind(column(jobs, |job| job.view.deleted_at))
    .bind(column(jobs, |job| job.files_removed_at))
    .bind(column(jobs, |job| job.view.narration_ms as i64))
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_stages(connection: &mut PgConnection, jobs: &[CatalogJob]) -> Result<(), sqlx::Error> {
    let rows: Vec<(Uuid, &StageRow)> = unstored(jobs, |job| &job.stages);
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into stages (job_id, stage, queued_at, started_at, completed_at, attempts, failures, retries, cpu_ms, busy_ms)
         select * from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], $6::integer[],
                              $7::integer[], $8::integer[], $9::bigint[], $10::bigint[])
         on conflict (job_id, stage) do update set
             queued_at = excluded.queued_at, started_at = excluded.started_at, completed_at = excluded.completed_at,
             attempts = excluded.attempts, failures = excluded.failures, retries = excluded.retries,
             cpu_ms = excluded.cpu_ms, busy_ms = excluded.busy_ms",
    )
    .bind(column(&rows, |(job_id, _)| *job_id))
    .bind(text_column(&rows, |(_, row)| &row.stage))
    .bind(column(&rows, |(_, row)| row.queued_at))
    .bind(column(&rows, |(_, row)| row.started_at))
    .bind(column(&rows, |(_, row)| row.completed_at))
    .bind(column(&rows, |(_, row)| row.attempts))
    .bind(column(&rows, |(_, row)| row.failures))
    .bind(column(&rows, |(_, row)| row.retries))
    .bind(column(&rows, |(_, row)| row.cpu_ms))
    .bind(column(&rows, |(_, row)| row.busy_ms))
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_scenes(connection: &mut PgConnection, jobs: &[CatalogJob]) -> Result<(), sqlx::Error> {
    let rows: Vec<(Uuid, &SceneRow)> = unstored(jobs, |job| &job.scenes);
    if rows.is_empty() {
        return Ok(());
    }
    let attempts: Vec<Json<Value>> =
        rows.iter().map(|(_, row)| json(&row.code_attempts).map(Json)).collect::<Result<_, _>>()?;
    sqlx::query(
        "insert into scenes (job_id, scene, title, narration, status, attempts, language, code, frames, duration_ms, rendered_at, code_attempts)
         select * from unnest($1::uuid[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::integer[], $7::text[], $8::text[],
                              $9::bigint[], $10::bigint[], $11::timestamptz[], $12::jsonb[])
         on conflict (job_id, scene) do update set
             title = excluded.title, narration = excluded.narration, status = excluded.status, attempts = excluded.attempts,
             language = excluded.language, code = excluded.code, frames = excluded.frames,
             duration_ms = excluded.duration_ms, rendered_at = excluded.rendered_at,
             code_attempts = excluded.code_attempts",
    )
    .bind(column(&rows, |(job_id, _)| *job_id))
    .bind(column(&rows, |(_, row)| row.scene))
    .bind(text_column(&rows, |(_, row)| &row.title))
    .bind(text_column(&rows, |(_, row)| &row.narration))
    .bind(text_column(&rows, |(_, row)| &row.status))
    .bind(column(&rows, |(_, row)| row.attempts))
    .bind(optional_text_column(&rows, |(_, row)| row.language.as_deref()))
    .bind(optional_text_column(&rows, |(_, row)| row.code.as_deref()))
    .bind(column(&rows, |(_, row)| row.frames))
    .bind(column(&rows, |(_, row)| row.duration_ms))
    .bind(column(&rows, |(_, row)| row.rendered_at))
    .bind(attempts)
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_videos(connection: &mut PgConnection, jobs: &[CatalogJob]) -> Result<(), sqlx::Error> {
    let is_new = |job: &&CatalogJob| job.view.status == JobStatus::Completed;
    let rows: Vec<(&CatalogJob, VideoRow)> =
        jobs.iter().filter(is_new).filter_map(|job| Some((job, job.clone().into_video()?))).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let files: Vec<Json<Value>> =
        rows.iter().map(|(_, row)| json(&row.files).map(Json)).collect::<Result<_, _>>()?;
    sqlx::query(
        "insert into videos (video_id, job_id, user_id, duration_ms, width, height, fps, frames, video_codec, audio_codec,
                             bitrate, file_size, files, created_at)
         select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::integer[], $6::integer[], $7::float8[],
                              $8::bigint[], $9::text[], $10::text[], $11::bigint[], $12::bigint[], $13::jsonb[], $14::timestamptz[])
         on conflict (video_id) do update set files = excluded.files where videos.files <> excluded.files",
    )
    .bind(column(&rows, |(_, row)| row.video_id))
    .bind(column(&rows, |(job, _)| job.id()))
    .bind(text_column(&rows, |(job, _)| &job.view.user_id))
    .bind(column(&rows, |(_, row)| row.facts.duration_ms as i64))
    .bind(column(&rows, |(_, row)| row.facts.width as i32))
    .bind(column(&rows, |(_, row)| row.facts.height as i32))
    .bind(column(&rows, |(_, row)| row.facts.fps))
    .bind(column(&rows, |(_, row)| row.facts.frames as i64))
    .bind(text_column(&rows, |(_, row)| &row.facts.video_codec))
    .bind(text_column(&rows, |(_, row)| &row.facts.audio_codec))
    .bind(column(&rows, |(_, row)| row.facts.bitrate as i64))
    .bind(column(&rows, |(_, row)| row.facts.file_size as i64))
    .bind(files)
    .bind(column(&rows, |(_, row)| row.created_at))
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_logs(connection: &mut PgConnection, facts: &Facts) -> Result<(), sqlx::Error> {
    let rows = &facts.logs;
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into logs (job_id, version, at, level, stage, scene, message)
         select * from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::text[], $5::text[], $6::integer[], $7::text[])",
    )
    .bind(column(rows, |row| row.job_id))
    .bind(column(rows, |row| row.version))
    .bind(column(rows, |row| row.at))
    .bind(column(rows, |row| row.level))
    .bind(column(rows, |row| row.stage))
    .bind(column(rows, |row| row.scene))
    .bind(text_column(rows, |row| &row.message))
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_failures(connection: &mut PgConnection, facts: &Facts) -> Result<(), sqlx::Error> {
    let rows = &facts.failures;
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into failures (job_id, version, at, stage, scene, attempt, code, message, retryable)
         select * from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::text[], $5::integer[], $6::integer[], $7::text[],
                              $8::text[], $9::boolean[])",
    )
    .bind(column(rows, |row| row.job_id))
    .bind(column(rows, |row| row.version))
    .bind(column(rows, |row| row.at))
    .bind(column(rows, |row| row.stage))
    .bind(column(rows, |row| row.scene))
    .bind(column(rows, |row| row.attempt))
    .bind(text_column(rows, |row| &row.code))
    .bind(text_column(rows, |row| &row.message))
    .bind(column(rows, |row| row.retryable))
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_operations(connection: &mut PgConnection, facts: &Facts) -> Result<(), sqlx::Error> {
    let rows = &facts.operations;
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into storage_operations (job_id, version, target, files, bytes, started_at, completed_at)
         select * from unnest($1::uuid[], $2::bigint[], $3::text[], $4::integer[], $5::bigint[], $6::timestamptz[],
                              $7::timestamptz[])",
    )
    .bind(column(rows, |row| row.job_id))
    .bind(column(rows, |row| row.version))
    .bind(column(rows, |row| row.target))
    .bind(column(rows, |row| row.files))
    .bind(column(rows, |row| row.bytes))
    .bind(column(rows, |row| row.started_at))
    .bind(column(rows, |row| row.completed_at))
    .execute(connection)
    .await?;
    Ok(())
}

/// The rows of a partition are written by its owner alone, so that partitions do not wait for each other.
async fn add_to_user_jobs(
    connection: &mut PgConnection,
    partition: i16,
    facts: &Facts,
) -> Result<(), sqlx::Error> {
    // A change of nothing leaves a row too: which rows there are does not depend on how events came in batches.
    let rows: Vec<_> = facts.user_jobs.iter().collect();
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into user_jobs (partition, user_id, status, priority, jobs)
         select $1, * from unnest($2::text[], $3::text[], $4::text[], $5::bigint[])
         on conflict (user_id, status, priority, partition) do update set jobs = user_jobs.jobs + excluded.jobs",
    )
    .bind(partition)
    .bind(text_column(&rows, |((user, _, _), _)| user))
    .bind(column(&rows, |((_, status, _), _)| *status))
    .bind(column(&rows, |((_, _, priority), _)| *priority))
    .bind(column(&rows, |(_, more)| **more))
    .execute(connection)
    .await?;
    Ok(())
}

async fn add_to_hourly_jobs(
    connection: &mut PgConnection,
    partition: i16,
    facts: &Facts,
) -> Result<(), sqlx::Error> {
    let rows: Vec<_> = facts.hourly_jobs.iter().collect();
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into hourly_jobs (partition, hour, quality, priority, requested, started, completed, failed, cancelled, queue_ms,
                                  processing_ms, video_ms, frames, bytes)
         select $1, * from unnest($2::timestamptz[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
                                  $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[])
         on conflict (hour, quality, priority, partition) do update set
             requested = hourly_jobs.requested + excluded.requested, started = hourly_jobs.started + excluded.started,
             completed = hourly_jobs.completed + excluded.completed, failed = hourly_jobs.failed + excluded.failed,
             cancelled = hourly_jobs.cancelled + excluded.cancelled, queue_ms = hourly_jobs.queue_ms + excluded.queue_ms,
             processing_ms = hourly_jobs.processing_ms + excluded.processing_ms,
             video_ms = hourly_jobs.video_ms + excluded.video_ms, frames = hourly_jobs.frames + excluded.frames,
             bytes = hourly_jobs.bytes + excluded.bytes",
    )
    .bind(partition)
    .bind(column(&rows, |(key, _)| key.0))
    .bind(column(&rows, |(key, _)| key.1))
    .bind(column(&rows, |(key, _)| key.2))
    .bind(column(&rows, |(_, figures)| figures.requested))
    .bind(column(&rows, |(_, figures)| figures.started))
    .bind(column(&rows, |(_, figures)| figures.completed))
    .bind(column(&rows, |(_, figures)| figures.failed))
    .bind(column(&rows, |(_, figures)| figures.cancelled))
    .bind(column(&rows, |(_, figures)| figures.queue_ms))
    .bind(column(&rows, |(_, figures)| figures.processing_ms))
    .bind(column(&rows, |(_, figures)| figures.video_ms))
    .bind(column(&rows, |(_, figures)| figures.frames))
    .bind(column(&rows, |(_, figures)| figures.bytes))
    .execute(connection)
    .await?;
    Ok(())
}

async fn add_to_hourly_stages(
    connection: &mut PgConnection,
    partition: i16,
    facts: &Facts,
) -> Result<(), sqlx::Error> {
    let rows: Vec<_> = facts.hourly_stages.iter().collect();
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into hourly_stages (partition, hour, stage, completed, failed, retried, duration_ms)
         select $1, * from unnest($2::timestamptz[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
         on conflict (hour, stage, partition) do update set
             completed = hourly_stages.completed + excluded.completed, failed = hourly_stages.failed + excluded.failed,
             retried = hourly_stages.retried + excluded.retried,
             duration_ms = hourly_stages.duration_ms + excluded.duration_ms",
    )
    .bind(partition)
    .bind(column(&rows, |(key, _)| key.0))
    .bind(column(&rows, |(key, _)| key.1))
    .bind(column(&rows, |(_, figures)| figures.completed))
    .bind(column(&rows, |(_, figures)| figures.failed))
    .bind(column(&rows, |(_, figures)| figures.retried))
    .bind(column(&rows, |(_, figures)| figures.duration_ms))
    .execute(connection)
    .await?;
    Ok(())
}
