//! Makes a video of scenes: narration, pictures, and one file.
//!
//! The folders are the steps, in order: `speak` turns narration into sound and measures it, `layout` typesets scenes, `draw`
//! animates the transitions between pictures, `encode` makes a clip of each scene, `join` makes one file of all clips, and
//! `inspect` reads the file back and compares it with the plan. `review` measures the pages of scenes before a video is
//! made. `studio` does all of it in one process; `recipe` names the results that can be cached.
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
mod mp4_boxes;
pub mod named_file;
#[cfg(test)]
mod pipeline_tests;
pub mod recipe;
pub mod review;
#[cfg(test)]
#[path = "../build.rs"]
mod sources;
pub mod speak;
pub mod studio;
pub mod threads;
mod turns;
pub mod usage;

pub use ffmpeg::is_disk_full;
/// A digest of the sources that determine how a scene looks and sounds, and of the versions of their dependencies. It is
/// part of every [`recipe::Recipe`], so that a cache never serves the clips of another build.
pub const SOURCES: &str = env!("REEL_STUDIO_SOURCES");
