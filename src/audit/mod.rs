//! Proving what happened: signed seals over the log, and the search for anything in it that is not as it was recorded.
//!
//! Three things stand against each other. Each event carries a hash over itself and over the event before it in its
//! history: whoever edits one breaks the chain. The trail in Postgres keeps each event's hash: whoever rewrites a
//! whole history differs from it, by name. Seals sign a hash over all events of a partition, and are kept outside
//! Redis: whoever rewrites the log and the trail still lacks the key.

mod notary;
mod seals;
mod verify;

pub use notary::run as run_notary;
pub use notary::seal_partition;
pub use seals::{Seal, Seals};
pub use verify::{Finding, Report, verify_job, verify_partition};

use chrono::{DateTime, Utc};

use crate::events::{self, Envelope, archive};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the event log failed")]
    Log(#[from] events::Error),
    #[error("the archive failed")]
    Archive(#[from] archive::Error),
    #[error("postgres failed")]
    Postgres(#[from] sqlx::Error),
    #[error("event {seq} of partition {partition} is not sealed: its hash is not that of its content")]
    Tampered { partition: u16, seq: u64 },
}

/// The version that a history had at a time: of the last event that was recorded by then; 0 before the first.
pub fn version_at(events: &[Envelope], time: DateTime<Utc>) -> u64 {
    events.iter().take_while(|event| event.recorded_at <= time).count() as u64
}

impl Error {
    /// Whether trying again may help: a server was away, nothing is damaged.
    pub fn is_passing(&self) -> bool {
        match self {
            Error::Log(error) => error.is_passing(),
            Error::Postgres(_) => true,
            Error::Archive(_) | Error::Tampered { .. } => false,
        }
    }
}
