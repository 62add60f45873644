//! Makes the video: from scenes to narration, pictures, and one file.
//!
//! The folders are the steps, in their order: `speak` gives narration its sound and its length, `layout` typesets scenes,
//! `draw` moves from picture to picture, `encode` makes a clip of a scene, `join` makes one file of all clips, `inspect`
//! reads the file back and compares it with the plan. `studio` does all of it in one process.
//!
//! Nothing here knows of events, Redis or HTTP: functions take values and paths and return values. CPU-bound functions
//! block; each takes a `CancellationToken` and checks it once per frame. A file appears under its name only when it is
//! whole.

pub mod draw;
pub mod encode;
mod ffmpeg;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod inspect;
pub mod join;
pub mod layout;
mod memory;
pub mod named_file;
#[cfg(test)]
mod pipeline_tests;
#[cfg(test)]
#[path = "../build.rs"]
mod sources;
pub mod speak;
pub mod studio;
pub mod usage;

pub use ffmpeg::is_disk_full;
/// A digest of the sources that decide how a scene looks and sounds, and of the versions of their dependencies. It belongs
/// into the key of whatever is cached: clips of another build are not served again.
pub const SOURCES: &str = env!("REEL_STUDIO_SOURCES");
