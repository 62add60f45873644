//! Joins clips into one file, and makes what belongs to it: captions, streaming segments, thumbnails.

pub mod captions;
pub mod combine;
pub mod stream;
pub mod thumbnails;
