//! Read models, derived from the log and from nothing else.
//!
//! Invariants:
//! - Each projection reads each partition from a checkpoint of its own, which is written together
//!   with what the events led to: an event's effect is there exactly once.
//! - Each projection and partition has one owner at a time; what an old owner still writes is refused.
//! - A projection causes nothing: no command, no file, no message.
//! - Any read model may be dropped and filled again; `rebuild` does so while the old one serves.
//! - An event that cannot be applied halts its projection in its partition, and nothing else, until somebody mends
//!   the cause or has it skipped (`halts`).
//!
//! One file or folder for each read model holds its writes and its queries: `status` (Redis), `catalog` and `trail`
//! (Postgres, with what `tables` does for both).

pub mod catalog;
#[cfg(feature = "parquet")]
pub mod export;
pub mod halts;
pub mod rebuild;
mod runner;
pub mod status;
pub mod tables;
pub mod trail;

pub use runner::{feed, lag, run};

use async_trait::async_trait;

use crate::events::job::RecordedJobEvent;
use crate::events::{self, AggregateKind, Envelope, EventLog};
use crate::execute::{DecodeError, Decoder};
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
    #[error("event {version} of job {job} cannot be decoded")]
    Decode { job: JobId, version: u64, source: DecodeError },
    #[error("a stored view cannot be read")]
    View(#[from] serde_json::Error),
    #[error(
        "projection {projection} has read partition {partition} to {checkpoint}, but the log ends at {head}: the log was lost or restored from an older copy"
    )]
    AheadOfLog { projection: &'static str, partition: u16, checkpoint: u64, head: u64 },
    #[error(
        "projection {projection} has another owner of partition {partition} now, so this one's write is refused"
    )]
    Fenced { projection: &'static str, partition: u16 },
    #[error("{0}")]
    Rebuild(String),
}

impl Error {
    /// Whether reading the same events again may work: a server was away, nothing is damaged.
    pub fn is_passing(&self) -> bool {
        match self {
            Error::Redis(_) | Error::Fenced { .. } => true,
            Error::Log(error) => error.is_passing(),
            Error::Decode { source, .. } => source.is_passing(),
            Error::Postgres(error) => !is_about_the_data(error),
            _ => false,
        }
    }
}

/// Whether Postgres refused what it was given (SQLSTATE classes 22 and 23), or gave what cannot be read.
fn is_about_the_data(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::Encode(_) => true,
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
        }
        _ => false,
    }
}

/// Consecutive events of one partition; some may have been left out, skipped by an operator.
#[derive(Debug, Default)]
pub struct Batch {
    pub partition: u16,
    /// Sequence number of the last event read, whether it is among `events` or not.
    pub last_seq: u64,
    pub events: Vec<(u64, Envelope)>,
}

impl Batch {
    /// The events of jobs, decoded.
    pub async fn of_jobs(&self, decoder: &Decoder) -> Result<Vec<(JobId, RecordedJobEvent)>, Error> {
        let mut decoded = Vec::with_capacity(self.events.len());
        for (_, envelope) in self.events.iter().filter(|(_, event)| event.aggregate == AggregateKind::Job) {
            decoded.push((JobId(envelope.aggregate_id.0), decode(decoder, envelope).await?));
        }
        Ok(decoded)
    }
}

/// Decodes an event of a job; the error names both.
async fn decode(decoder: &Decoder, envelope: &Envelope) -> Result<RecordedJobEvent, Error> {
    let (job, version) = (JobId(envelope.aggregate_id.0), envelope.version);
    decoder.decode(envelope).await.map_err(|source| Error::Decode { job, version, source })
}

/// The events of a job up to and including `version`, decoded.
async fn history(
    log: &EventLog,
    decoder: &Decoder,
    job_id: JobId,
    version: u64,
) -> Result<Vec<RecordedJobEvent>, Error> {
    let mut recorded = vec![];
    for envelope in log.history(job_id.aggregate(), 0).await? {
        if envelope.version <= version {
            recorded.push(decode(decoder, &envelope).await?);
        }
    }
    Ok(recorded)
}

/// A read model that follows the log.
#[async_trait]
pub trait Projection: Send + Sync + 'static {
    fn name(&self) -> &'static str;

    /// The last sequence number that is applied; 0 at the beginning.
    async fn checkpoint(&self, partition: u16) -> Result<u64, Error>;

    /// Becomes the only writer of a partition; `None` while another process is.
    async fn own(&self, partition: u16) -> Result<Option<Box<dyn Owner>>, Error>;
}

/// The only writer of a projection's partition.
#[async_trait]
pub trait Owner: Send {
    /// The last sequence number that is applied.
    fn checkpoint(&self) -> u64;

    /// Applies the events and moves the checkpoint to `batch.last_seq`, both or neither. [`Error::Fenced`] when
    /// somebody else is the owner now.
    async fn apply(&mut self, batch: &Batch) -> Result<(), Error>;

    /// Says that this owner is still there. To be called every few seconds.
    async fn renew(&mut self) -> Result<(), Error>;

    /// Makes room for the next owner at once; else it has to wait for [`OWNED_FOR`].
    async fn release(self: Box<Self>) -> Result<(), Error>;
}

/// How long an owner may say nothing before another takes its place.
pub const OWNED_FOR: std::time::Duration = std::time::Duration::from_secs(10);
