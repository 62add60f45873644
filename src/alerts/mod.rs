//! Errors that need a person: each is a log line at error level, a count in `/metrics`, and, where `ALERT_WEBHOOK_URL` is set, a
//! signed message to an operator.
//!
//! Whoever meets such an error writes its log line, with the code as the field `alert`, and calls [`raise`]. The sink of the
//! process sends the messages. Works without Prometheus, and while Redis and PostgreSQL are away.
//!
//! Deliberately absent: what can only be seen over time, such as a queue that grows. Rules of Prometheus watch that
//! (`deploy/prometheus/alerts.yml`).

mod sink;

pub use sink::Sink;

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use strum::{IntoStaticStr, VariantArray};
use tokio::sync::Notify;

use crate::telemetry::metrics::Family;

/// Alerts that wait for the sink, at most: older ones go first. The sink sends one a minute of each code.
const MAX_WAITING: usize = 256;

pub static CRITICAL_ERRORS: Family = Family::counter(
    "reel_critical_errors_total",
    "Errors that need a person, by the code that log lines and messages to operators have.",
    &["code"],
);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// A projection waits in front of an event.
    ReadModelHalted,
    /// A projection passes over an aggregate from one event on.
    AggregateQuarantined,
    /// Segments of the archive cannot be sealed, so the log cannot be trimmed.
    ArchiveNotWritten,
    /// A job failed with `INTERNAL_ERROR`.
    JobFailedInternally,
    /// A disk that work or videos are written to is full.
    StoreFull,
}

impl Code {
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The section of docs/RUNBOOK.md.
    pub fn runbook(self) -> &'static str {
        match self {
            Self::ReadModelHalted => "docs/RUNBOOK.md#reelstreamprojectionhalted",
            Self::AggregateQuarantined => "docs/RUNBOOK.md#reelstreamprojectionquarantined",
            Self::ArchiveNotWritten | Self::JobFailedInternally | Self::StoreFull => {
                "docs/RUNBOOK.md#reelstreamcriticalerror"
            }
        }
    }
}

/// An error that needs a person. Holds no words of users.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    pub code: Code,
    pub message: String,
    /// Such as the job, the stage or the partition.
    pub details: Vec<(&'static str, String)>,
}

static WAITING: Mutex<VecDeque<Alert>> = Mutex::new(VecDeque::new());
static RAISED: Notify = Notify::const_new();

/// Counts the alert, and leaves it to the sink, if this process has one. The caller logs it.
pub fn raise(code: Code, message: impl Into<String>, details: Vec<(&'static str, String)>) {
    CRITICAL_ERRORS.with(&[code.name()]).add(1);
    let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    if waiting.len() >= MAX_WAITING {
        waiting.pop_front();
    }
    waiting.push_back(Alert { code, message: message.into(), details });
    RAISED.notify_one();
}

fn take_waiting() -> VecDeque<Alert> {
    std::mem::take(&mut *WAITING.lock().unwrap_or_else(PoisonError::into_inner))
}
