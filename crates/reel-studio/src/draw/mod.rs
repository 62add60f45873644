//! Draws frames: the picture of each page, and the transitions between pages.

pub mod highlight;
pub mod morph;
pub mod motion;
pub(crate) mod moving;
pub mod pen;
pub mod picture;
pub mod step_motion;
mod stroke_finder;
#[cfg(test)]
mod stroke_tests;
pub mod strokes;
