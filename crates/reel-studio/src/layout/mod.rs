//! Lays out scenes: turns a scene into Typst source, and the source into pages.
//!
//! `beats` splits the steps of a scene, so that what a line names appears with its word. `source` writes a scene's source. `blocks` has a file for each kind of block, and `theme/` the Typst functions that draw
//! them. `world` compiles a source, and `pages` rasterizes the result.
//!
//! All text of the user goes into the source as string literals (`literal`), which Typst never reads as markup. The compiler
//! sees the source, the theme and the scene's own pictures; it is refused everything else.

mod beats;
mod blocks;
#[cfg(test)]
mod diagram_tests;
#[cfg(test)]
mod direction_tests;
mod hand_drawn;
pub mod images;
#[cfg(test)]
mod layout_tests;
mod literal;
mod look_source;
mod math;
mod motions;
mod nesting;
mod page_geometry;
mod pages;
#[cfg(test)]
mod relation_tests;
mod source;
mod still;
mod world;

pub use beats::{split_steps, split_timeline};
pub use blocks::unreadable_diagrams;
pub(crate) use hand_drawn::is_hand_drawn;
pub use math::{is_formula, unreadable_formulas};
pub use motions::motions;
pub(crate) use motions::motions_of_steps;
#[cfg(test)]
pub use pages::pages;
pub use pages::{Pages, RgbaPage};
pub use source::{end_source, source};
pub use still::{StillError, still};
pub use world::{load_fonts, theme_source};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("typst refused the source: {0}")]
    Compile(String),
    #[error("the source has {found} pages, but page {page}, counted from 0, is needed")]
    Pages { found: usize, page: usize },
}
