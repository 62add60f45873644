//! Making the video: from a script to scenes, narration, pictures, and one file.
//!
//! Nothing here knows of events, Redis or HTTP: functions take values and paths and return values.
//! What burns CPU is blocking and takes a `CancellationToken` that it looks at for every frame.
//! Every file appears under its name only when it is whole.

mod axis;
pub mod captions;
pub mod check;
pub mod combine;
pub mod description;
pub mod encoder;
mod ffmpeg;
mod figure;
mod flow;
pub mod gate;
pub mod h264;
pub mod hardware;
mod highlight;
pub mod hls;
pub mod images;
pub mod loudness;
mod memory;
pub mod morph;
pub mod motion;
mod moving;
pub mod music;
pub mod named_file;
pub mod narration;
pub mod narrator;
pub mod picture;
mod picture_encoder;
#[cfg(test)]
mod pipeline_tests;
pub mod piper;
pub mod planner;
pub mod plot;
pub mod probe;
pub mod scene_video;
mod sound;
pub mod speech_api;
mod spoken;
pub mod studio;
mod surfaces;
pub mod thumbnails;
pub mod timeline;
pub mod typeset;
#[cfg(test)]
mod typeset_tests;

pub use crate::scene;
