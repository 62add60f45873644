//! Encodes a scene as a clip: pictures that move go through an encoder, pictures that stay cost a few bytes.

pub mod encoder;
pub mod h264;
pub mod hardware;
pub(crate) mod picture_encoder;
pub mod scene_video;
pub(crate) mod sound;
mod surfaces;
