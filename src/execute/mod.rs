//! Load, fold, decide, append: the one way in which a command changes an aggregate, of whatever kind.
//!
//! - [`executor`](Executor) takes a command to its events, and starts over when another writer was faster.
//! - [`codec`](ContentCodec) turns events into what is recorded and back, with personal texts sealed.
//! - `cache` keeps states that were folded lately, within a bound in bytes.

mod cache;
mod codec;
mod executor;

pub use codec::{ContentCodec, DecodeError, EncodeError, decode};
pub use executor::{Error, Executed, Executor, Loaded, LoadedJob, Origin, Trace, scheduled_work};
