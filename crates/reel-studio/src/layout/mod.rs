//! Lays out scenes: a scene becomes Typst source, and the source becomes pages.

mod figure;
mod flow;
pub mod images;
pub mod typeset;
#[cfg(test)]
mod typeset_tests;
