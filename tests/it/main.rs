//! One integration binary against real Redis, PostgreSQL, espeak-ng and FFmpeg. Every test starts its
//! own servers on free loopback ports, and stops them.

// Tests state what must hold; an unwrap that fails is a failed test.
#![allow(clippy::unwrap_used)]

mod analytics;
mod api;
mod audit;
mod bad_input;
mod cancelling;
#[cfg(feature = "chaos")]
mod chaos;
mod cli;
mod cluster;
mod descriptions;
mod erasure;
mod event_log;
mod harness;
#[cfg(feature = "chaos")]
mod histories;
mod listing;
mod model;
mod outages;
mod postgres_outages;
mod projections;
#[cfg(feature = "chaos")]
mod rebuild;
mod runtime;
mod takeover;
mod videos;
mod voices;
