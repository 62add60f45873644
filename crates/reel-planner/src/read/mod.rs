//! Reads a script into sections of elements: paragraphs, items, quotations, listings, formulas, tables.
//!
//! `markdown` is the reader, `html` reads what HTML there is in it, `document` is what it makes, `formulas` joins formulas over lines before Markdown sees them, and
//! `diagrams` and `animations` read those of listings, and `dialogue` finds who speaks in a dialogue, `run_in` finds headings that begin a paragraph, `long_items` those that begin an item, `titles` finds the title of a script without a heading for it,
//! and `loose_lines` writes as Markdown what looks like a list or a heading and is not written so.

pub(crate) mod animations;
pub(crate) mod diagrams;
mod dialogue;
pub(crate) mod document;
pub(crate) mod formulas;
mod html;
mod long_items;
mod loose_lines;
pub(crate) mod markdown;
mod run_in;
pub(crate) mod titles;
