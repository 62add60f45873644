//! The scene description: the output of the planner, and the input of all later stages.
//!
//! `scene` has the types (`composition` those of blocks that arrange things), `check` the rules of every description, and `description` whole videos as JSON documents. `diagram` reads Mermaid and
//! DOT, `animation` has what Manim draws. `look` has themes and colours, `format` the sizes, containers and codecs of finished files, `timing` the silence around lines.
//! Nothing here does any I/O.

mod animation;
pub mod axis;
pub mod check;
mod composition;
pub mod description;
pub mod diagram;
pub mod format;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod look;
pub mod plot;
mod scene;
pub mod timing;

pub use animation::Animation;
pub use composition::*;
pub use diagram::DiagramLanguage;
pub use scene::*;
