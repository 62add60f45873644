//! Speaks the lines of a script. Their measured durations are the only clock of a video.
//!
//! `voice` speaks one line with espeak-ng, `piper` or a `speech_api`, and `voice_output` checks what comes back. `line_cache`
//! reuses lines. `narration` speaks whole videos: `timeline` times the steps and mixes a scene's sound, `loudness` and
//! `music` finish it.

pub mod calibration;
mod languages;
pub mod line_cache;
pub mod loudness;
pub mod music;
pub mod narration;
pub mod piper;
pub mod speech_api;
pub mod timeline;
pub mod voice;
pub(crate) mod voice_output;
