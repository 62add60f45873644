//! Speaks the lines of a script. Their measured durations are the only clock of a video.
//!
//! `voice` speaks one line with espeak-ng, `piper`, `kokoro` (each a `line_process`) or a `speech_api`, and `voice_output` checks
//! what comes back. `spoken` says what a voice reads where that is not what is written. `words` times the words of a line: by what the voice tells (`espeak_helper` runs `espeak_library` in a
//! process of its own), or by the `silences` of the sound. `line_cache` reuses lines, which are files with their words (`line_file`). `narration` speaks whole videos: `timeline` times the steps and mixes a scene's sound, `loudness` and
//! `music` finish it.

pub mod calibration;
pub mod espeak_helper;
pub(crate) mod espeak_library;
pub mod kokoro;
pub(crate) mod languages;
pub mod line_cache;
pub(crate) mod line_file;
pub(crate) mod line_process;
pub mod loudness;
pub mod music;
pub mod narration;
pub mod piper;
pub(crate) mod silences;
pub mod speech_api;
pub(crate) mod spoken;
pub mod timeline;
pub mod voice;
pub(crate) mod voice_output;
pub mod words;
