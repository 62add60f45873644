//! Reelstream turns a script into a narrated MP4. Every step is an immutable event on Redis Streams;
//! everything else (queues, read models, files in progress) is derived from those.
//!
//! The walk of one job: `api::generate` sends a command to `execute`, which loads the job's events
//! (`events`), folds and decides (`domain`), and appends. The append schedules work, which
//! `consumers` take and do with `media` and `storage`, and whose results are commands again.
//! `projections` read the events into the views that `api` answers from. `ARCHITECTURE.md` tells it
//! step by step.
//!
//! Imports go one way, from the bottom of this list up: ids, format, scene, events, domain, execute, then
//! projections and consumers, then api; only `app` and `cli` see everything.

pub mod alerts;
pub mod api;
pub mod app;
pub mod audit;
pub mod backup;
pub mod byte_lru;
pub mod clerk;
pub mod cli;
pub mod clock;
pub mod config;
pub mod consumers;
pub mod controls;
pub mod crash;
#[cfg(test)]
mod deploy_tests;
pub mod dev;
pub mod domain;
pub mod erasure;
pub mod error_codes;
pub mod events;
pub mod execute;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod ids;
pub mod import;
#[cfg(test)]
mod layering_tests;
#[cfg(test)]
mod map_tests;
pub mod postgres;
pub mod projections;
pub mod retention;
pub mod signing;
pub mod storage;
pub mod telemetry;
pub mod uploads;
pub mod vault;
pub mod webhooks;
