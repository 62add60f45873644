//! What the read models in Postgres share: editions, checkpoints, and ownership.
//!
//! A read model's tables are in a schema of its own, the served edition in the one that bears its name and the one
//! that a rebuild fills in `<name>_next`; the checkpoints are among them, so that rows and checkpoint commit together, and
//! so are the quarantined aggregates, which change with them.
//!
//! The owner of a partition holds a session's advisory lock, and writes through that very session: when the lock is
//! lost, so is the session, and with it all that had not been committed. A session that says nothing for
//! [`OWNED_FOR`] is ended by the server, whose clock is the only one that counts. Besides, a checkpoint moves only
//! from where its owner has left it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgPool, Postgres, Transaction};
use uuid::Uuid;

use super::quarantine::{Quarantined, QuarantinedAggregates};
use super::reader::{Reader, Viewer};
use super::{Batch, Error, OWNED_FOR};
use crate::ids::AggregateId;

/// How long an owner waits for a lock on a table, such as a rebuild's switch holds for a moment.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);

/// The tables of one edition of a read model.
#[derive(Debug, Clone)]
pub struct Tables {
    pool: PgPool,
    projection: &'static str,
    schema: String,
    viewer: Viewer,
}

impl Tables {
    /// The served edition.
    pub fn new(pool: PgPool, projection: &'static str) -> Self {
        Self { pool, projection, schema: projection.to_owned(), viewer: Viewer::Everyone }
    }

    /// An edition beside it, `next` to it or to `check` it.
    pub fn beside(&self, edition: &str) -> Self {
        Self { schema: format!("{}_{edition}", self.projection), ..self.clone() }
    }

    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The same tables, with a user's rows alone.
    pub fn seen_by(&self, user: &str) -> Self {
        Self { viewer: Viewer::User(user.to_owned()), ..self.clone() }
    }

    pub fn viewer(&self) -> &Viewer {
        &self.viewer
    }

    /// A connection that shows what the viewer may see.
    pub async fn reader(&self) -> Result<Reader, sqlx::Error> {
        Reader::open(&self.pool, &self.viewer).await
    }

    pub fn projection(&self) -> &'static str {
        self.projection
    }

    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The last sequence number that is applied; 0 at the beginning.
    pub async fn checkpoint(&self, partition: u16) -> Result<u64, Error> {
        let query = format!("select seq from {}.checkpoints where partition = $1", self.schema);
        let seq: Option<i64> = sqlx::query_scalar(AssertSqlSafe(query))
            .bind(partition as i16)
            .fetch_optional(&self.pool)
            .await?;
        Ok(seq.unwrap_or(0) as u64)
    }

    /// The aggregates that this edition passes over in a partition.
    pub async fn quarantined(&self, partition: u16) -> Result<Vec<Quarantined>, Error> {
        let query = format!("select * from {}.quarantined where partition = $1 order by seq", self.schema);
        let rows: Vec<QuarantinedRow> = sqlx::query_as(AssertSqlSafe(query))
            .persistent(false)
            .bind(partition as i16)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.into_iter().map(Quarantined::from).collect())
    }

    /// Becomes the only writer of a partition; `None` while somebody else is.
    pub async fn own(&self, partition: u16) -> Result<Option<Session>, Error> {
        let mut connection = self.options().connect().await?;
        let is_ours: bool = sqlx::query_scalar("select pg_try_advisory_lock(hashtext($1), $2)")
            .bind(format!("reelstream {}", self.schema))
            .bind(i32::from(partition))
            .fetch_one(&mut connection)
            .await?;
        if !is_ours {
            connection.close().await?;
            return Ok(None);
        }
        sqlx::query("insert into checkpoints (partition, seq) values ($1, 0) on conflict do nothing")
            .bind(partition as i16)
            .execute(&mut connection)
            .await?;
        let (seq, edition): (i64, Oid) =
            sqlx::query_as("select seq, tableoid from checkpoints where partition = $1")
                .bind(partition as i16)
                .fetch_one(&mut connection)
                .await?;
        let quarantined: Vec<QuarantinedRow> =
            sqlx::query_as("select * from quarantined where partition = $1")
                .bind(partition as i16)
                .fetch_all(&mut connection)
                .await?;
        let quarantined = quarantined.into_iter().map(Quarantined::from);
        Ok(Some(Session {
            connection,
            projection: self.projection,
            partition,
            edition,
            checkpoint: seq as u64,
            quarantined: quarantined.map(|of| (of.aggregate_id, of)).collect(),
        }))
    }

    /// A session whose unqualified names are this edition's tables.
    fn options(&self) -> PgConnectOptions {
        let milliseconds = |duration: Duration| duration.as_millis().to_string();
        let options = self.pool.connect_options();
        PgConnectOptions::clone(&options)
            .application_name(&format!("reelstream {}", self.schema))
            .options([
                ("search_path", format!("{},public", self.schema)),
                ("idle_session_timeout", milliseconds(OWNED_FOR)),
                ("idle_in_transaction_session_timeout", milliseconds(OWNED_FOR)),
                ("lock_timeout", milliseconds(LOCK_PATIENCE)),
                // Rows and checkpoint are lost together or not at all, and can be read again.
                ("synchronous_commit", "off".to_owned()),
            ])
            .disable_statement_logging()
    }
}

/// The text in a form that Postgres takes: it cannot hold a NUL. Every text that comes from events or from requests
/// passes through here.
pub fn text(value: &str) -> String {
    value.replace('\0', "\u{fffd}")
}

/// A value as JSON in a form that Postgres takes: no text in it holds a NUL.
pub fn json(value: &impl Serialize) -> Result<Value, sqlx::Error> {
    let mut value = serde_json::to_value(value).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    replace_nul(&mut value);
    Ok(value)
}

fn replace_nul(value: &mut Value) {
    match value {
        Value::String(of) if of.contains('\0') => *of = text(of),
        Value::Array(values) => values.iter_mut().for_each(replace_nul),
        Value::Object(members) => members.values_mut().for_each(replace_nul),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// One column of rows that are written together. For texts there is [`text_column`].
pub fn column<T, U: NotText>(rows: &[T], value: impl Fn(&T) -> U) -> Vec<U> {
    rows.iter().map(value).collect()
}

/// One column of texts.
pub fn text_column<'a, T>(rows: &'a [T], value: impl Fn(&'a T) -> &'a str) -> Vec<String> {
    rows.iter().map(|row| text(value(row))).collect()
}

/// One column of texts, some of which are null.
pub fn optional_text_column<'a, T>(
    rows: &'a [T],
    value: impl Fn(&'a T) -> Option<&'a str>,
) -> Vec<Option<String>> {
    rows.iter().map(|row| value(row).map(text)).collect()
}

/// A value that cannot hold a NUL character, so that a text cannot be bound without [`text`] by mistake.
pub trait NotText {}

impl NotText for bool {}
impl NotText for i32 {}
impl NotText for i64 {}
impl NotText for f64 {}
impl NotText for Uuid {}
impl NotText for DateTime<Utc> {}
/// Names that are written in this program.
impl NotText for &'static str {}
impl<T: NotText> NotText for Option<T> {}

#[derive(sqlx::FromRow)]
struct QuarantinedRow {
    aggregate: String,
    aggregate_id: Uuid,
    seq: i64,
    version: i64,
    error: String,
    since: DateTime<Utc>,
}

impl From<QuarantinedRow> for Quarantined {
    fn from(row: QuarantinedRow) -> Self {
        let QuarantinedRow { aggregate, aggregate_id, seq, version, error, since } = row;
        let aggregate_id = AggregateId(aggregate_id);
        Self { aggregate, aggregate_id, seq: seq as u64, version: version as u64, error, since }
    }
}

/// The session that owns a partition.
pub struct Session {
    connection: PgConnection,
    projection: &'static str,
    partition: u16,
    /// The table of the checkpoints: another one is there once another edition is served.
    edition: Oid,
    checkpoint: u64,
    quarantined: QuarantinedAggregates,
}

impl Session {
    pub fn checkpoint(&self) -> u64 {
        self.checkpoint
    }

    pub fn partition(&self) -> u16 {
        self.partition
    }

    pub fn quarantined(&self) -> &QuarantinedAggregates {
        &self.quarantined
    }

    /// Begins the transaction of a batch, and moves the checkpoint in it. To be ended by a commit and
    /// [`Self::committed`].
    pub async fn begin(&mut self, batch: &Batch) -> Result<Transaction<'_, Postgres>, Error> {
        let mut transaction = self.begin_at(batch.last_seq).await?;
        if let Some(id) = batch.released {
            sqlx::query("delete from quarantined where aggregate_id = $1")
                .bind(id.0)
                .execute(&mut *transaction)
                .await?;
        }
        Ok(transaction)
    }

    /// The checkpoint comes first: whoever switches editions holds a lock on its table, and the names of all others
    /// are looked up after it was granted. An owner that finds itself in another edition begins again there, because that
    /// one may pass over other aggregates.
    async fn begin_at(&mut self, last_seq: u64) -> Result<Transaction<'_, Postgres>, Error> {
        let fenced = Error::Fenced { projection: self.projection, partition: self.partition };
        let mut transaction = self.connection.begin().await?;
        let moved: Option<Oid> = sqlx::query_scalar(
            "update checkpoints set seq = $1, updated_at = now() where partition = $2 and seq = $3 returning tableoid",
        )
        .bind(last_seq as i64)
        .bind(self.partition as i16)
        .bind(self.checkpoint as i64)
        .fetch_optional(&mut *transaction)
        .await?;
        if moved == Some(self.edition) { Ok(transaction) } else { Err(fenced) }
    }

    /// To be called when the transaction of [`Self::begin`] has been committed.
    pub fn committed(&mut self, batch: &Batch) {
        self.checkpoint = batch.last_seq;
        if let Some(id) = batch.released {
            self.quarantined.remove(&id);
        }
    }

    /// Passes over an aggregate from now on.
    pub async fn quarantine(&mut self, quarantined: Quarantined) -> Result<(), Error> {
        let (partition, checkpoint) = (self.partition as i16, self.checkpoint);
        let mut transaction = self.begin_at(checkpoint).await?;
        sqlx::query(
            "insert into quarantined (partition, aggregate, aggregate_id, seq, version, error, since)
             values ($1, $2, $3, $4, $5, $6, $7)
             on conflict (aggregate_id) do nothing",
        )
        .bind(partition)
        .bind(&quarantined.aggregate)
        .bind(quarantined.aggregate_id.0)
        .bind(quarantined.seq as i64)
        .bind(quarantined.version as i64)
        .bind(text(&quarantined.error))
        .bind(quarantined.since)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        self.quarantined.entry(quarantined.aggregate_id).or_insert(quarantined);
        Ok(())
    }

    /// Ends the session, and with it the ownership.
    pub async fn close(self) -> Result<(), Error> {
        Ok(self.connection.close().await?)
    }

    /// Tells the server that this session is still there.
    pub async fn renew(&mut self) -> Result<(), Error> {
        Ok(self.connection.ping().await?)
    }
}
