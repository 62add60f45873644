//! Read models, derived from the log and from nothing else.
//!
//! Invariants:
//! - Each projection reads each partition from a checkpoint of its own, which is written together
//!   with what the events led to: an event's effect is there exactly once.
//! - Each projection and partition has one owner at a time; what an old owner still writes is refused.
//! - A projection causes nothing: no command, no file, no message.
//! - Any read model may be dropped and filled again; `rebuild` does so while the old one serves.
//! - An event that cannot be applied stops its aggregate in its projection, and nothing else (`quarantine`). A projection
//!   halts only at what is wrong with the log or the database itself (`halts`).
//!
//! One file or folder for each read model holds its writes and its queries: `status` (Redis), `catalog`, `library`
//! and `trail` (Postgres, with what `tables` does for both). [`all`] lists them.

pub mod analytics;
pub mod catalog;
mod compact;
pub mod decisions;
pub mod estimates;
#[cfg(feature = "parquet")]
pub mod export;
pub mod halts;
mod history;
pub mod library;
pub mod quarantine;
pub mod reader;
pub mod rebuild;
mod runner;
pub mod status;
pub mod tables;
pub mod trail;

pub use compact::compact;
pub use runner::{APPLIED_EVENTS, BATCH_SECONDS, DELAY_SECONDS, feed, lag, run};

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgPool;

use crate::events::job::RecordedJobEvent;
use crate::events::{self, AggregateKind, Envelope, Event, EventLog, Recorded, TypedId, upcast};
use crate::execute::{self, ContentCodec, DecodeError};
use crate::ids::{AggregateId, JobId};
use catalog::Catalog;
use library::Library;
use quarantine::{Quarantined, QuarantinedAggregates};
use rebuild::Rebuildable;
use status::StatusViews;
use trail::Trail;

/// What read models are made of.
#[derive(Clone)]
pub struct Sources {
    pub log: EventLog,
    pub codec: ContentCodec,
    pub pool: PgPool,
    /// How long the status of a job that has ended stays in Redis.
    pub status_kept_after_end: Duration,
}

/// All read models, in the order in which they are listed.
pub fn all(sources: &Sources) -> Vec<Arc<dyn Rebuildable>> {
    let Sources { log, codec, pool, status_kept_after_end } = sources.clone();
    vec![
        Arc::new(StatusViews::new(log.clone(), codec.clone(), status_kept_after_end)),
        Arc::new(Catalog::new(pool.clone(), log.clone(), codec.clone())),
        Arc::new(Library::new(pool.clone(), log, codec)),
        Arc::new(Trail::new(pool)),
    ]
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the event log failed")]
    Log(#[from] events::Error),
    #[error("redis failed")]
    Redis(#[from] redis::RedisError),
    #[error("postgres failed")]
    Postgres(#[from] sqlx::Error),
    #[error("event {version} of job {job} cannot be decoded")]
    Decode { job: JobId, version: u64, source: DecodeError },
    #[error("event {version} of {kind} {aggregate_id} cannot be decoded")]
    DecodeAny { kind: AggregateKind, aggregate_id: AggregateId, version: u64, source: DecodeError },
    #[error("the history of {aggregate_id} cannot be read")]
    History { aggregate_id: AggregateId, source: events::Error },
    #[error("a stored view cannot be read")]
    View(#[from] serde_json::Error),
    #[error("decision {version} about the projection cannot be decoded")]
    Decision { version: u64, source: upcast::Error },
    #[error("a decision about the projection cannot be recorded")]
    Record(#[source] execute::Error<std::convert::Infallible>),
    #[error(
        "projection {projection} has read partition {partition} to {checkpoint}, but the log ends at {head}: the log was lost or restored from an older copy"
    )]
    AheadOfLog { projection: &'static str, partition: u16, checkpoint: u64, head: u64 },
    #[error(
        "projection {projection} has another owner of partition {partition} now, so this one's write is refused"
    )]
    Fenced { projection: &'static str, partition: u16 },
    #[error("a query took longer than {seconds} s and was cancelled")]
    TooSlow { seconds: u64 },
}

impl Error {
    /// Whether reading the same events again may work: a server was away, nothing is damaged.
    pub fn is_retryable(&self) -> bool {
        match self {
            Error::Redis(_) | Error::Fenced { .. } => true,
            Error::Log(error) | Error::History { source: error, .. } => error.is_retryable(),
            Error::Decode { source, .. } | Error::DecodeAny { source, .. } => source.is_retryable(),
            Error::Record(error) => error.is_retryable(),
            Error::Postgres(error) => !is_about_the_data(error) && !is_about_the_schema(error),
            Error::View(_) | Error::Decision { .. } | Error::AheadOfLog { .. } | Error::TooSlow { .. } => {
                false
            }
        }
    }

    /// Whether the events of one aggregate are at fault, and not the log or the database.
    pub fn is_about_one_aggregate(&self) -> bool {
        match self {
            Error::Decode { .. } | Error::DecodeAny { .. } | Error::History { .. } => !self.is_retryable(),
            Error::Postgres(error) => is_about_the_data(error),
            Error::View(_) => true,
            Error::Log(_)
            | Error::Redis(_)
            | Error::Decision { .. }
            | Error::Record(_)
            | Error::AheadOfLog { .. }
            | Error::Fenced { .. }
            | Error::TooSlow { .. } => false,
        }
    }

    /// The aggregate that is at fault, where the error says so.
    fn aggregate_id(&self) -> Option<AggregateId> {
        match self {
            Error::Decode { job, .. } => Some(job.aggregate()),
            Error::DecodeAny { aggregate_id, .. } | Error::History { aggregate_id, .. } => {
                Some(*aggregate_id)
            }
            _ => None,
        }
    }

    /// The version of the event that is at fault, where the error says so.
    fn version(&self) -> Option<u64> {
        match self {
            Error::Decode { version, .. } | Error::DecodeAny { version, .. } => Some(*version),
            _ => None,
        }
    }
}

/// Whether Postgres refused the values that it was given (SQLSTATE classes 21, 22, 23 and 54), or gave some that cannot
/// be read.
fn is_about_the_data(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::Encode(_) => true,
        error => has_class(error, &["21", "22", "23", "54"]),
    }
}

/// Whether a table or column is missing or forbidden (SQLSTATE class 42).
fn is_about_the_schema(error: &sqlx::Error) -> bool {
    has_class(error, &["42"])
}

fn has_class(error: &sqlx::Error, classes: &[&str]) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| classes.iter().any(|class| code.starts_with(class)))
}

/// Consecutive events of one partition, without those that are skipped and those of quarantined aggregates.
#[derive(Debug, Default)]
pub struct Batch {
    pub partition: u16,
    /// Sequence number of the last event read, whether it is among `events` or not.
    pub last_seq: u64,
    pub events: Vec<(u64, Envelope)>,
    /// An aggregate that is quarantined no more: `events` are those of its events that were passed over.
    pub released: Option<AggregateId>,
    /// Quarantined aggregates whose content was erased: their rows must lose it, too.
    pub erased: Vec<AggregateId>,
}

impl Batch {
    /// The events of jobs, decoded.
    pub async fn of_jobs(&self, codec: &ContentCodec) -> Result<Vec<(JobId, RecordedJobEvent)>, Error> {
        let mut decoded = Vec::with_capacity(self.events.len());
        for (_, envelope) in &self.events {
            if let Some(job_id) = envelope.id() {
                decoded.push((job_id, decode(codec, envelope).await?));
            }
        }
        Ok(decoded)
    }
}

/// Decodes an event of a job; the error names both.
async fn decode(codec: &ContentCodec, envelope: &Envelope) -> Result<RecordedJobEvent, Error> {
    let (job, version) = (JobId::of(envelope.aggregate_id), envelope.version);
    codec.decode(envelope).await.map_err(|source| Error::Decode { job, version, source })
}

/// Decodes an event of any kind of aggregate; the error names it.
async fn decode_any<E: Event>(codec: &ContentCodec, envelope: &Envelope) -> Result<Recorded<E>, Error> {
    let Envelope { aggregate: kind, aggregate_id, version, .. } = *envelope;
    let named = |source| Error::DecodeAny { kind, aggregate_id, version, source };
    codec.decode(envelope).await.map_err(named)
}

/// A read model that follows the log.
#[async_trait]
pub trait Projection: Send + Sync + 'static {
    fn name(&self) -> &'static str;

    /// The last sequence number that is applied; 0 at the beginning.
    async fn checkpoint(&self, partition: u16) -> Result<u64, Error>;

    /// The aggregates that it passes over in a partition.
    async fn quarantined(&self, partition: u16) -> Result<Vec<Quarantined>, Error>;

    /// Becomes the only writer of a partition; `None` while another process is.
    async fn own(&self, partition: u16) -> Result<Option<Box<dyn Owner>>, Error>;
}

/// The only writer of a projection's partition.
#[async_trait]
pub trait Owner: Send {
    /// The last sequence number that is applied.
    fn checkpoint(&self) -> u64;

    /// The aggregates that are passed over, each from one event on.
    fn quarantined(&self) -> &QuarantinedAggregates;

    /// Passes over an aggregate from now on. Its events before `quarantined.seq` are applied still.
    async fn quarantine(&mut self, quarantined: Quarantined) -> Result<(), Error>;

    /// Applies the events and moves the checkpoint to `batch.last_seq`, both or neither. [`Error::Fenced`] when
    /// somebody else is the owner now.
    async fn apply(&mut self, batch: &Batch) -> Result<(), Error>;

    /// Says that this owner is still there. To be called every few seconds.
    async fn renew(&mut self) -> Result<(), Error>;

    /// Makes room for the next owner at once; else it has to wait for [`OWNED_FOR`].
    async fn release(self: Box<Self>) -> Result<(), Error>;
}

/// How long an owner may say nothing before another takes its place.
pub const OWNED_FOR: Duration = Duration::from_secs(10);
