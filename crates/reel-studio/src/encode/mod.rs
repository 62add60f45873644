//! Encodes a scene as a clip. Pictures that change go through an encoder; repeats take a few bytes each.

pub mod encoder;
pub mod h264;
pub mod hardware;
pub(crate) mod picture_encoder;
pub mod scene_video;
pub(crate) mod sound;
mod surfaces;
