//! The rows of batches. Each event of a batch changes its row by itself, so nothing is folded: the requests in a batch's
//! history, which are large, are not even decoded.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Catalog;
use crate::events::Priority;
use crate::events::batch::{BatchEvent, Totals};
use crate::execute::ContentCodec;
use crate::ids::{AggregateId, BatchId, JobId};
use crate::projections::tables::{column, text};
use crate::projections::{Batch as Events, Error, decode_any};

/// A batch as it was requested.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct BatchRow {
    pub batch_id: Uuid,
    pub user_id: String,
    pub batch_name: Option<String>,
    pub batch_priority: String,
    pub job_ids: Vec<Uuid>,
    pub created_at: DateTime<Utc>,
}

/// What events make of the row of one batch.
#[derive(Debug, Default)]
pub struct Change {
    version: u64,
    begun: Option<Begun>,
    /// `Some(None)` when the batch is open again.
    ended: Option<Option<(DateTime<Utc>, Totals)>>,
    is_erased: bool,
}

#[derive(Debug)]
struct Begun {
    user_id: String,
    name: Option<String>,
    priority: Priority,
    job_ids: Vec<JobId>,
    at: DateTime<Utc>,
}

/// The largest events of a batch, which change nothing but its version.
const REQUEST: &str = "BatchJobRequested";

/// What consecutive events of a partition make of batches.
pub async fn changes(events: &Events, codec: &ContentCodec) -> Result<BTreeMap<BatchId, Change>, Error> {
    let mut changes: BTreeMap<BatchId, Change> = BTreeMap::new();
    for (_, envelope) in &events.events {
        let Some(batch) = envelope.id::<BatchId>() else { continue };
        let change = changes.entry(batch).or_default();
        change.version = envelope.version;
        if envelope.event_type != REQUEST {
            change.apply(decode_any::<BatchEvent>(codec, envelope).await?.event, envelope.recorded_at);
        }
    }
    Ok(changes)
}

impl Change {
    fn apply(&mut self, event: BatchEvent, at: DateTime<Utc>) {
        match event {
            BatchEvent::BatchRequested { user_id, batch_name, batch_priority, job_ids } => {
                let (name, priority) = (batch_name, batch_priority);
                self.begun = Some(Begun { user_id, name, priority, job_ids, at });
            }
            BatchEvent::BatchCompleted(totals) => self.ended = Some(Some((at, totals))),
            BatchEvent::BatchJobReopened { .. } => self.ended = Some(None),
            BatchEvent::BatchContentErased {} => self.is_erased = true,
            BatchEvent::BatchJobRequested(_) | BatchEvent::BatchJobEnded(_) => {}
        }
    }
}

pub async fn write(
    connection: &mut PgConnection,
    partition: u16,
    changes: &BTreeMap<BatchId, Change>,
) -> Result<(), sqlx::Error> {
    for (batch, change) in changes {
        if let Some(begun) = &change.begun {
            insert(connection, partition, *batch, begun).await?;
        }
        let (ended_at, totals) = change.ended.flatten().unzip();
        let figure = |pick: fn(&Totals) -> u64| totals.as_ref().map(pick).map(|figure| figure as i64);
        sqlx::query(
            "update batches set
                 version = $2,
                 batch_name = case when $3 then null else batch_name end,
                 completed_at = case when $4 then $5 else completed_at end,
                 completed = case when $4 then $6 else completed end,
                 failed = case when $4 then $7 else failed end,
                 cancelled = case when $4 then $8 else cancelled end,
                 processing_ms = case when $4 then $9 else processing_ms end,
                 video_ms = case when $4 then $10 else video_ms end,
                 video_bytes = case when $4 then $11 else video_bytes end
             where batch_id = $1 and version < $2",
        )
        .bind(batch.0)
        .bind(change.version as i64)
        .bind(change.is_erased)
        .bind(change.ended.is_some())
        .bind(ended_at)
        .bind(figure(|totals| totals.completed.into()))
        .bind(figure(|totals| totals.failed.into()))
        .bind(figure(|totals| totals.cancelled.into()))
        .bind(figure(|totals| totals.processing_ms))
        .bind(figure(|totals| totals.video_ms))
        .bind(figure(|totals| totals.video_bytes))
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn insert(
    connection: &mut PgConnection,
    partition: u16,
    batch: BatchId,
    begun: &Begun,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into batches (batch_id, partition, version, user_id, batch_name, batch_priority, job_ids, created_at)
         values ($1, $2, 0, $3, $4, $5, $6, $7) on conflict (batch_id) do nothing",
    )
    .bind(batch.0)
    .bind(partition as i16)
    .bind(text(&begun.user_id))
    .bind(begun.name.as_deref().map(text))
    .bind(begun.priority.name())
    .bind(column(&begun.job_ids, |job| job.0))
    .bind(begun.at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Erases the names of batches whose events are passed over.
pub async fn erase_rows(connection: &mut PgConnection, batches: &[AggregateId]) -> Result<(), sqlx::Error> {
    if batches.is_empty() {
        return Ok(());
    }
    sqlx::query("update batches set batch_name = null where batch_id = any($1)")
        .bind(column(batches, |id| id.0))
        .execute(connection)
        .await?;
    Ok(())
}

impl Catalog {
    /// A batch, as far as the projection has got.
    pub async fn batch(&self, batch: BatchId) -> Result<Option<BatchRow>, Error> {
        let query = "select batch_id, user_id, batch_name, batch_priority, job_ids, created_at
                     from catalog.batches where batch_id = $1";
        Ok(sqlx::query_as(query)
            .bind(batch.0)
            .fetch_optional(self.tables.reader().await?.connection())
            .await?)
    }

    /// The batches of a user.
    pub async fn batches_of(&self, user_id: &str) -> Result<Vec<BatchId>, Error> {
        let batches: Vec<Uuid> =
            sqlx::query_scalar("select batch_id from catalog.batches where user_id = $1 order by batch_id")
                .bind(text(user_id))
                .fetch_all(self.tables.reader().await?.connection())
                .await?;
        Ok(batches.into_iter().map(BatchId).collect())
    }

    /// Jobs that were deleted before `before` and whose files are not known to be removed, the oldest first.
    pub async fn deleted_before(&self, before: DateTime<Utc>, limit: i64) -> Result<Vec<JobId>, Error> {
        let jobs: Vec<Uuid> = sqlx::query_scalar(
            "select job_id from catalog.jobs where deleted_at < $1 and files_removed_at is null
             order by deleted_at limit $2",
        )
        .bind(before)
        .bind(limit)
        .fetch_all(self.tables.reader().await?.connection())
        .await?;
        Ok(jobs.into_iter().map(JobId).collect())
    }

    /// Removes log lines from before `before`, and returns their number: at most `limit`. Notes it for those who compare.
    pub async fn prune_logs(&self, before: DateTime<Utc>, limit: i64) -> Result<u64, Error> {
        let mut transaction = self.tables.pool().begin().await?;
        sqlx::query(
            "insert into catalog.pruned values ('logs', $1)
             on conflict (table_name) do update set before = greatest(pruned.before, excluded.before)",
        )
        .bind(before)
        .execute(&mut *transaction)
        .await?;
        let removed = sqlx::query(
            "delete from catalog.logs where ctid = any(array(select ctid from catalog.logs where at < $1 limit $2))",
        )
        .bind(before)
        .bind(limit)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(removed.rows_affected())
    }

    /// Jobs that were completed before `before`, are not deleted, and have files, the oldest first.
    pub async fn completed_before(&self, before: DateTime<Utc>, limit: i64) -> Result<Vec<JobId>, Error> {
        let query = "select job_id from catalog.jobs where ended_at < $1 and status = 'completed'
                and files_removed_at is null and deleted_at is null
             order by ended_at limit $2";
        self.jobs_before(query, before, limit).await
    }

    /// Jobs that failed or were cancelled before `before`, are not deleted, and may have files, the oldest first.
    pub async fn ended_without_video_before(
        &self,
        before: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<JobId>, Error> {
        let query =
            "select job_id from catalog.jobs where ended_at < $1 and status in ('failed', 'cancelled')
                and files_removed_at is null and deleted_at is null
             order by ended_at limit $2";
        self.jobs_before(query, before, limit).await
    }

    /// Runs a query for the ids of jobs before a time ($1), at most so many ($2).
    async fn jobs_before(
        &self,
        query: &'static str,
        before: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<JobId>, Error> {
        let jobs = sqlx::query_scalar(query).bind(before).bind(limit);
        let jobs: Vec<Uuid> = jobs.fetch_all(self.tables.reader().await?.connection()).await?;
        Ok(jobs.into_iter().map(JobId).collect())
    }
}
