//! The audit trail: one row for each event of the log, of whatever aggregate, without its data.
//!
//! It needs no event to be decoded, so no event can halt it by what it holds.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgPool;
use uuid::Uuid;

use super::quarantine::{Quarantined, QuarantinedAggregates};
use super::rebuild::InTables;
use super::tables::{Session, Tables, column, text, text_column};
use super::{Batch, Error, Owner, Projection};
use crate::events::{Actor, TypedId};
use crate::ids::AggregateId;

pub const NAME: &str = "trail";

#[derive(Clone)]
pub struct Trail {
    tables: Tables,
}

/// Which events to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub event_type: Option<String>,
    /// As it stands in the envelope, such as `user:ID`.
    pub actor: Option<String>,
    pub from: Option<DateTime<Utc>>,
    /// Exclusive.
    pub to: Option<DateTime<Utc>>,
    /// Where the page before ended.
    pub after: Option<(DateTime<Utc>, Uuid)>,
}

/// An event without its data.
#[derive(Debug, Clone, Serialize, sqlx::FromRow)]
pub struct TrailRow {
    pub partition: i16,
    pub seq: i64,
    pub event_id: Uuid,
    pub aggregate: String,
    pub aggregate_id: Uuid,
    pub version: i64,
    pub r#type: String,
    pub recorded_at: DateTime<Utc>,
    pub actor: String,
    pub correlation_id: String,
    pub hash: String,
}

impl Trail {
    pub fn new(pool: PgPool) -> Self {
        Self { tables: Tables::new(pool, NAME) }
    }

    /// The jobs or batches that a user requested. Needs no event of them to be decoded.
    pub async fn requested_by<I: TypedId>(&self, user_id: &str) -> Result<Vec<I>, Error> {
        let ids: Vec<Uuid> = sqlx::query_scalar(
            "select distinct aggregate_id from trail.events
             where aggregate = $1 and version = 1 and actor = $2",
        )
        .bind(I::KIND.name())
        .bind(text(&Actor::User(user_id.to_owned()).to_field()))
        .fetch_all(self.tables.pool())
        .await?;
        Ok(ids.into_iter().map(|id| I::of(AggregateId(id))).collect())
    }

    /// Sequence number and hash of each event of a partition after `after`, up to `count` further on.
    pub async fn hashes(
        &self,
        partition: u16,
        after: u64,
        count: usize,
    ) -> Result<Vec<(u64, String)>, Error> {
        let rows: Vec<(i64, String)> = sqlx::query_as(
            "select seq, hash from trail.events where partition = $1 and seq > $2 and seq <= $3",
        )
        .bind(partition as i16)
        .bind(after as i64)
        .bind((after + count as u64) as i64)
        .fetch_all(self.tables.pool())
        .await?;
        Ok(rows.into_iter().map(|(seq, hash)| (seq as u64, hash)).collect())
    }

    /// Version, sequence number and hash of each event of an aggregate, in their order.
    pub async fn hashes_of(&self, aggregate_id: Uuid) -> Result<Vec<(u64, u64, String)>, Error> {
        let rows: Vec<(i64, i64, String)> = sqlx::query_as(
            "select version, seq, hash from trail.events where aggregate_id = $1 order by version",
        )
        .bind(aggregate_id)
        .fetch_all(self.tables.pool())
        .await?;
        Ok(rows.into_iter().map(|(version, seq, hash)| (version as u64, seq as u64, hash)).collect())
    }

    /// Events in the order in which they were recorded, at most `limit`.
    pub async fn list(&self, filter: &Filter, limit: i64) -> Result<Vec<TrailRow>, Error> {
        let (after_time, after_event) = filter.after.unzip();
        // One parameter for each condition; the planner drops those that are null.
        let rows = sqlx::query_as(
            "select partition, seq, event_id, aggregate, aggregate_id, version, type, recorded_at, actor, correlation_id, hash
             from trail.events
             where ($1::text is null or type = $1)
               and ($2::text is null or actor = $2)
               and ($3::timestamptz is null or recorded_at >= $3)
               and ($4::timestamptz is null or recorded_at < $4)
               and ($5::timestamptz is null or (recorded_at, event_id) > ($5, $6::uuid))
             order by recorded_at, event_id
             limit $7",
        )
        .persistent(false)
        .bind(filter.event_type.as_deref().map(text))
        .bind(filter.actor.as_deref().map(text))
        .bind(filter.from)
        .bind(filter.to)
        .bind(after_time)
        .bind(after_event)
        .bind(limit)
        .fetch_all(self.tables.pool())
        .await?;
        Ok(rows)
    }
}

#[async_trait]
impl Projection for Trail {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn checkpoint(&self, partition: u16) -> Result<u64, Error> {
        self.tables.checkpoint(partition).await
    }

    async fn quarantined(&self, partition: u16) -> Result<Vec<Quarantined>, Error> {
        self.tables.quarantined(partition).await
    }

    async fn own(&self, partition: u16) -> Result<Option<Box<dyn Owner>>, Error> {
        let session = self.tables.own(partition).await?;
        Ok(session.map(|session| Box::new(TrailOwner(session)) as Box<dyn Owner>))
    }
}

impl InTables for Trail {
    fn tables(&self) -> &Tables {
        &self.tables
    }

    fn with_tables(&self, tables: Tables) -> Self {
        Self { tables }
    }
}

struct TrailOwner(Session);

#[async_trait]
impl Owner for TrailOwner {
    fn checkpoint(&self) -> u64 {
        self.0.checkpoint()
    }

    fn quarantined(&self) -> &QuarantinedAggregates {
        self.0.quarantined()
    }

    async fn quarantine(&mut self, quarantined: Quarantined) -> Result<(), Error> {
        self.0.quarantine(quarantined).await
    }

    async fn apply(&mut self, batch: &Batch) -> Result<(), Error> {
        let (partition, events) = (batch.partition as i16, &batch.events);
        let mut transaction = self.0.begin(batch).await?;
        if !events.is_empty() {
            sqlx::query(
                "insert into events (partition, seq, event_id, aggregate, aggregate_id, version, type, recorded_at, actor, correlation_id, hash)
                 select $1, * from unnest($2::bigint[], $3::uuid[], $4::text[], $5::uuid[], $6::bigint[], $7::text[],
                                          $8::timestamptz[], $9::text[], $10::text[], $11::text[])",
            )
            .bind(partition)
            .bind(column(events, |(seq, _)| *seq as i64))
            .bind(column(events, |(_, event)| event.event_id.0))
            .bind(column(events, |(_, event)| event.aggregate.name()))
            .bind(column(events, |(_, event)| event.aggregate_id.0))
            .bind(column(events, |(_, event)| event.version as i64))
            .bind(text_column(events, |(_, event)| &event.event_type))
            .bind(column(events, |(_, event)| event.recorded_at))
            .bind(events.iter().map(|(_, event)| text(&event.actor.to_field())).collect::<Vec<_>>())
            .bind(text_column(events, |(_, event)| &event.correlation_id))
            .bind(text_column(events, |(_, event)| &event.hash))
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        self.0.committed(batch);
        Ok(())
    }

    async fn renew(&mut self) -> Result<(), Error> {
        self.0.renew().await
    }

    async fn release(self: Box<Self>) -> Result<(), Error> {
        self.0.close().await
    }
}
