//! Stores files.
//!
//! Everything that is stored goes through one interface, [`Store`]: finished videos with their thumbnails, captions and
//! streams, uploaded files, archived segments of the log, and the cache of spoken lines and clips. [`Local`] stores objects in
//! a folder:
//!
//! ```text
//! MEDIA_ROOT/
//!   videos/<job id>/video.mp4   finished videos, their thumbnails, captions and streams
//!   uploads/<user>/<upload id>  uploaded files, by the first upload of the same bytes
//!   cache/<user>/…              spoken lines and clips, by the digest of their recipe
//!   work/<job id>/…             one job's files while it runs; removed when the job ends
//! ARCHIVE_ROOT/
//!   pNNN/…                      segments of the log, and their manifests
//! ```
//!
//! Invariants:
//! - An object appears under its key whole or not at all.
//! - A durable object is on disk before the call returns.
//! - A key cannot lead out of the root.
//!
//! Deliberately absent: the folder `work/`. FFmpeg and the voices read and write its files by path, so a [`Workspace`] is
//! always a folder of the machine that runs the job.

mod backoff;
mod cache;
mod key;
mod local;
pub mod measure;
mod measured;
mod mirrored;
mod s3;
mod settings;
mod store;
mod stores;
mod workspace;

pub use cache::{Cache, MAX_AGE as MAX_CACHE_AGE};
pub use key::{Key, Prefix};
pub use local::Local;
pub use measured::Measured;
pub use mirrored::Mirrored;
pub use s3::{Refusal, S3};
pub use settings::{Delivery, S3Credentials, S3Settings, StorageMode, StorageSettings};
pub use store::{
    ByteStream, Content, Entry, Error, Head, Mode, OnBytes, OnFailure, SignedAnswer, Storage, Store, Stored,
};
pub use stores::Stores;
pub use workspace::{Workspace, Workspaces};
