//! Retrieval: finds the excerpts of texts that help with a question.
//!
//! A shared index holds the documentation of the installed Manim and the project's examples (`collect`). It lies in a folder, and is
//! refused when it was built for another Manim or version (`index`). The same search (`search`) runs over a user's own texts, which
//! are indexed in memory for one job and never enter the shared index.
//!
//! Excerpts are ranked by words (BM25) and, where `scripts/setup-rag` installed a model, by meaning (`embed`); both ranks are
//! fused. `eval` measures how well that finds what labelled questions ask for. Deliberately absent: a vector database. A few thousand
//! excerpts are compared one by one within a millisecond.

pub mod collect;
pub mod embed;
pub mod eval;
mod excerpt;
pub mod index;
pub mod phrases;
pub mod search;

pub use embed::Embedder;
pub use excerpt::{Excerpt, MAX_EXCERPT_CHARACTERS, Source, excerpts_of};
pub use index::Index;
pub use search::{Found, Parts, Query, Searcher};
