//! One integration binary against real Redis, PostgreSQL, espeak-ng and FFmpeg. The servers are on free loopback ports,
//! and stop with the run (`servers.rs`).

// Tests state what must hold; an unwrap that fails is a failed test.
#![allow(clippy::unwrap_used)]

mod api;
mod audit;
mod backup;
#[cfg(feature = "chaos")]
mod chaos;
mod harness;
mod import;
mod log;
mod media;
mod projections;
mod runtime;
mod storage;
