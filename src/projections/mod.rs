//! Read models, derived from the log and from nothing else.
//!
//! Invariants:
//! - Each projection reads each partition from a checkpoint of its own, which is written together
//!   with what the events led to: an event's effect is there exactly once.
//! - A projection causes nothing: no command, no file, no message.
//! - Any read model may be dropped and filled again.
//!
//! One file per read model holds its writes and its queries.

pub mod catalog;
mod runner;
pub mod status;

pub use runner::{lag, run};

use async_trait::async_trait;

use crate::events::job::RecordedJobEvent;
use crate::events::{self, upcast};
use crate::ids::JobId;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the event log failed")]
    Log(#[from] events::Error),
    #[error("redis failed")]
    Redis(#[from] redis::RedisError),
    #[error("postgres failed")]
    Postgres(#[from] sqlx::Error),
    #[error("migrating the database failed")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    #[error("an event cannot be decoded")]
    Decode(#[from] upcast::Error),
    #[error("a stored view cannot be read")]
    View(#[from] serde_json::Error),
    #[error(
        "projection {projection} has read partition {partition} to {checkpoint}, but the log ends at {head}: the log was lost or restored from an older copy"
    )]
    AheadOfLog { projection: &'static str, partition: u16, checkpoint: u64, head: u64 },
}

impl Error {
    /// Whether reading the same events again may work: a server was away, nothing is damaged.
    pub fn is_passing(&self) -> bool {
        match self {
            Error::Redis(_) => true,
            Error::Log(error) => error.is_passing(),
            Error::Postgres(error) => {
                !matches!(error, sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. })
            }
            _ => false,
        }
    }
}

/// Consecutive events of one partition.
#[derive(Debug)]
pub struct Batch {
    pub partition: u16,
    /// Sequence number of the last event.
    pub last_seq: u64,
    pub events: Vec<(JobId, RecordedJobEvent)>,
}

#[async_trait]
pub trait Projection: Send + Sync + 'static {
    fn name(&self) -> &'static str;

    /// The last sequence number that is applied; 0 at the beginning.
    async fn checkpoint(&self, partition: u16) -> Result<u64, Error>;

    /// Applies the events and moves the checkpoint to `batch.last_seq`, both or neither.
    async fn apply(&self, batch: &Batch) -> Result<(), Error>;
}
