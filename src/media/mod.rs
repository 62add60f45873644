//! Making the video: from a script to scenes, narration, pictures, and one file.
//!
//! Nothing here knows of events, Redis or HTTP: functions take values and paths and return values.
//! What burns CPU is blocking and takes a `CancellationToken` that it looks at for every frame.

pub use crate::scene;
