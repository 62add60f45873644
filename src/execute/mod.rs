//! Loads, folds, decides and appends: the only way in which commands change aggregates, of any kind.
//!
//! - [`executor`](Executor) turns a command into events, and retries when another writer was faster.
//! - [`codec`](ContentCodec) encodes events with encrypted personal texts, and decodes them.
//! - `cache` keeps recently folded states, bounded in bytes.

mod cache;
mod codec;
mod executor;

pub use codec::{ContentCodec, DecodeError, EncodeError, decode};
pub use executor::{Error, Executed, Executor, Loaded, LoadedJob, Origin, Trace, scheduled_work};
