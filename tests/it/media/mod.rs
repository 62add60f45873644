//! Real videos, from scripts and scene descriptions.

mod animations;
mod bad_input;
mod descriptions;
mod models;
mod preview;
mod retrieval;
pub mod streaming;
pub mod videos;
mod voices;
