//! Proving what happened: signed seals over the log, and the search for anything in it that is not as it was recorded.
//!
//! Four records stand against each other. Each event carries a hash over itself and over the event before it in its
//! history: whoever edits one breaks the chain. The trail in Postgres keeps each event's hash: whoever rewrites a
//! whole history differs from it, by name. Seals sign a hash over all events of a partition and the seal before: whoever
//! rewrites the log and the trail still lacks the key. The file `seals.log` repeats the seals outside both databases:
//! whoever deletes seals, so that the notary signs a forged log anew, differs from the file, and the notary stops.

mod notary;
mod seal_log;
mod seals;
mod verify;

pub use notary::Notary;
pub use seal_log::SealLog;
pub use seals::{Seal, Seals};
pub use verify::{Finding, Report, Verifier, verify_job};

use std::path::PathBuf;

use chrono::{DateTime, Utc};

use crate::events::{self, Envelope, archive};
use crate::projections;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the event log failed")]
    Log(#[from] events::Error),
    #[error("the archive failed")]
    Archive(#[from] archive::Error),
    #[error("postgres failed")]
    Postgres(#[from] sqlx::Error),
    #[error("the trail failed")]
    Trail(#[from] projections::Error),
    #[error("cannot {attempted} {}", path.display())]
    SealLog { attempted: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{} is damaged: {reason}", path.display())]
    DamagedSealLog { path: PathBuf, reason: String },
    #[error("a seal cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    #[error("event {seq} of partition {partition} is not sealed: its hash is not that of its content")]
    Tampered { partition: u16, seq: u64 },
    #[error(
        "nothing is sealed after event {seq} of partition {partition}: the seal there {reason}. `reel audit verify` says more"
    )]
    Untrusted { partition: u16, seq: u64, reason: &'static str },
}

/// Returns the version of a history at a time; 0 before its first event.
pub fn version_at(events: &[Envelope], time: DateTime<Utc>) -> u64 {
    events.iter().take_while(|event| event.recorded_at <= time).count() as u64
}

impl Error {
    /// Returns `true` when a retry may work: a server was away, and nothing is damaged.
    pub fn is_retryable(&self) -> bool {
        match self {
            Error::Log(error) => error.is_retryable(),
            Error::Trail(error) => error.is_retryable(),
            Error::Postgres(_) | Error::SealLog { .. } => true,
            Error::Archive(_)
            | Error::DamagedSealLog { .. }
            | Error::Json(_)
            | Error::Tampered { .. }
            | Error::Untrusted { .. } => false,
        }
    }
}
