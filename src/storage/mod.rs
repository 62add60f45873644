//! Where files live.
//!
//! ```text
//! MEDIA_ROOT/
//!   work/<job id>/…            one job's files while it runs; removed when the job ends
//!   videos/<job id>/video.mp4  finished videos, their thumbnails and captions
//!   cache/<user>/…             lines of speech and clips, by what they were made from
//! ```
//!
//! A file appears under its final name only when it is whole: it is written beside it under a
//! temporary name, flushed to disk, and renamed.

mod cache;
mod local;
mod workspace;

pub use cache::{Cache, Key};
pub use local::{Error, LocalStorage};
pub use workspace::{Workspace, Workspaces};
