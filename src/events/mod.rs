//! The events and the log that holds them: the only thing in the system that is authoritative.
//!
//! Invariants:
//! - A partition's entries are numbered 1, 2, 3… without a gap; so are an aggregate's versions.
//! - An append writes all of its events, its work pointers and its acknowledgement, or nothing.
//! - What is queued follows from the log: queues may be dropped and built again.
//! - A command id is applied at most once to an aggregate.
//! - What is recorded is never edited; old shapes are upcast when they are read.
//!
//! Deliberately absent: deciding anything (see `domain`), and blocking reads (see `doorbell`).

pub mod archive;
pub mod batch;
pub mod chain;
mod committer;
pub mod configuration;
pub mod connection;
pub mod content;
pub mod counters;
pub mod doorbell;
pub mod due;
mod envelope;
pub mod event;
pub mod expiring;
#[cfg(test)]
mod fixture_tests;
mod growth;
pub mod guard;
pub mod imported;
pub mod job;
mod keys;
mod lane;
mod layout;
mod log;
pub mod operations;
pub mod process;
pub mod projection;
pub mod queue;
pub mod request;
#[cfg(test)]
mod samples;
mod stage;
pub mod upcast;
pub mod upload;
pub mod user;
mod versions;
pub mod webhook;
pub mod work;

pub use batch::BatchEvent;
pub use configuration::ConfigurationEvent;
pub use envelope::{Actor, AggregateKind, CHAIN_START, Cause, Envelope, Payload, Tip, time_field};
pub use event::{Event, Recorded, TypedId};
pub use job::JobEvent;
pub use keys::Keys;
pub use lane::Lane;
pub use layout::{Growth, Layout};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use log::reread_entry;
pub use log::{APPEND_OUTCOMES, APPEND_SECONDS, APPENDED_EVENTS, Append, Appended, Error, EventLog, Mark};
pub use operations::{OperationsEvent, ReloadedSetting};
pub use projection::ProjectionEvent;
pub use queue::WorkQueue;
pub use request::{OutputFormat, Priority, Quality, Rendition, VideoRequest};
pub use stage::Stage;
pub use upload::{ContentType, UploadEvent};
pub use user::UserEvent;
pub use webhook::WebhookEvent;
