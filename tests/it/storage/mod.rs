//! Storage in S3, against a server that speaks the real protocol.

mod cable;
mod command;
mod jobs;
mod machines;
mod metrics;
pub mod s3_server;
mod sidecars;
mod uploads;
