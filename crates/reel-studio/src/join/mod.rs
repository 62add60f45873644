//! Joins clips into one file, and derives the rest from it: captions, streaming segments and thumbnails.

pub mod captions;
pub mod combine;
pub mod labels;
pub mod stream;
pub mod streamable;
pub mod thumbnails;
