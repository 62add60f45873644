//! The scene description: what a planner produces and everything after it consumes.
//!
//! `scene` has the types, `check` the rules that every description keeps to, `description` a whole video as one JSON
//! document. `look` has themes and colours, `format` the sizes, containers and codecs of finished files, `timing` the
//! silence around lines. Nothing here does any I/O.

pub mod axis;
pub mod check;
pub mod description;
pub mod format;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod look;
pub mod plot;
mod scene;
pub mod timing;

pub use scene::*;
