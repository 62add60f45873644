//! Draws frames: a picture of each page, and what moves from one to the next.

pub mod highlight;
pub mod morph;
pub mod motion;
pub(crate) mod moving;
pub mod picture;
pub mod step_motion;
