//! Decides what a page shows while its passages are spoken.
//!
//! `titles` and `headings` find a title and headings for text that has none, `cards` makes the first and the last scene, `page` turns sentences into
//! few words and pictures, `reveals` says when the parts of a picture appear, and `pictures` chooses pages for the
//! pictures that a user gives.

pub(crate) mod cards;
pub(crate) mod headings;
pub(crate) mod page;
pub(crate) mod pictures;
pub(crate) mod reveals;
pub(crate) mod titles;
