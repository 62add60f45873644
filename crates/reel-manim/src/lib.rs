//! Draws animations with Manim Community, in a sandbox.
//!
//! [`code_of`] writes the code of a template, [`Engine`] runs code confined and returns its frames, and [`prepare`] measures the
//! animations of a video before it is narrated, and corrects code that fails. [`fallback`] is the page that stands for an animation
//! that cannot be drawn.
//!
//! Invariants: no code runs outside of the sandbox; a frame has the size that was asked for; an animation has at most
//! [`reel_scene::check::MAX_ANIMATION_MS`]. Deliberately absent: LaTeX, sounds of Manim, and its own encoder and cache.

mod code;
mod correction;
mod engine;
mod fallback;
mod prepare;
mod records;

pub use code::code_of;
pub use correction::correct;
pub use engine::{CodeFault, Engine, Error, Frame, Picture, Timing, Unavailable};
pub use fallback::{fallback, native_scene};
pub use prepare::{Attempt, Prepared, frame_of, prepare};
