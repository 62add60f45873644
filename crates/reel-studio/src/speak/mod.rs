//! Speaks the lines of a script. Their measured durations are the only clock of a video.

pub mod calibration;
pub mod loudness;
pub mod music;
pub mod narration;
pub mod narrator;
pub mod piper;
pub mod speech_api;
pub(crate) mod spoken;
pub mod timeline;
