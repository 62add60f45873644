//! Real videos, from scripts and scene descriptions.

mod bad_input;
mod descriptions;
pub mod videos;
mod voices;
