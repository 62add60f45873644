//! What the read models in Postgres share: editions, checkpoints, and ownership.
//!
//! A read model's tables are in a schema of its own, the served edition in the one that bears its name and the one
//! that a rebuild fills in `<name>_next`; the checkpoints are among them, so that rows and checkpoint commit together.
//!
//! The owner of a partition holds a session's advisory lock, and writes through that very session: when the lock is
//! lost, so is the session, and with it all that had not been committed. A session that says nothing for
//! [`OWNED_FOR`] is ended by the server, whose clock is the only one that counts. Besides, a checkpoint moves only
//! from where its owner has left it.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgPool, Postgres, Transaction};

use super::{Error, OWNED_FOR};

/// How long an owner waits for a lock on a table, such as a rebuild's switch holds for a moment.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);

/// The tables of one edition of a read model.
#[derive(Debug, Clone)]
pub struct Tables {
    pool: PgPool,
    projection: &'static str,
    schema: String,
}

impl Tables {
    /// The served edition.
    pub fn new(pool: PgPool, projection: &'static str) -> Self {
        Self { pool, projection, schema: projection.to_owned() }
    }

    /// An edition beside it, `next` to it or to `check` it.
    pub fn beside(&self, edition: &str) -> Self {
        Self { schema: format!("{}_{edition}", self.projection), ..self.clone() }
    }

    pub fn pool(&self) -> &PgPool {
        &self.pool
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
        let seq: i64 = sqlx::query_scalar("select seq from checkpoints where partition = $1")
            .bind(partition as i16)
            .fetch_one(&mut connection)
            .await?;
        Ok(Some(Session { connection, projection: self.projection, partition, checkpoint: seq as u64 }))
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

/// One column of rows that are written together.
pub fn column<T, U>(rows: &[T], value: impl Fn(&T) -> U) -> Vec<U> {
    rows.iter().map(value).collect()
}

/// A text as Postgres can hold it: every character but NUL, which becomes a visible mark. Every text that comes from
/// outside, or from a program, is bound through this.
pub fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// The session that owns a partition.
pub struct Session {
    connection: PgConnection,
    projection: &'static str,
    partition: u16,
    checkpoint: u64,
}

impl Session {
    pub fn checkpoint(&self) -> u64 {
        self.checkpoint
    }

    pub fn partition(&self) -> u16 {
        self.partition
    }

    /// Begins the transaction of a batch, and moves the checkpoint in it. To be ended by [`Self::commit`].
    ///
    /// The checkpoint comes first: whoever switches editions holds a lock on its table, and the names of all others
    /// are looked up after it was granted.
    pub async fn begin(&mut self, last_seq: u64) -> Result<Transaction<'_, Postgres>, Error> {
        let fenced = Error::Fenced { projection: self.projection, partition: self.partition };
        let mut transaction = self.connection.begin().await?;
        let moved = sqlx::query(
            "update checkpoints set seq = $1, updated_at = now() where partition = $2 and seq = $3",
        )
        .bind(last_seq as i64)
        .bind(self.partition as i16)
        .bind(self.checkpoint as i64)
        .execute(&mut *transaction)
        .await?;
        if moved.rows_affected() == 1 { Ok(transaction) } else { Err(fenced) }
    }

    /// To be called when the transaction of [`Self::begin`] has been committed.
    pub fn committed(&mut self, last_seq: u64) {
        self.checkpoint = last_seq;
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
