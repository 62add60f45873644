//! One integration binary against real Redis, PostgreSQL, espeak-ng and FFmpeg. Every test starts its
//! own servers on free loopback ports, and stops them.

// Tests state what must hold; an unwrap that fails is a failed test.
#![allow(clippy::unwrap_used)]

mod api;
mod audit;
#[cfg(feature = "chaos")]
mod chaos;
mod harness;
mod log;
mod media;
mod projections;
mod runtime;
