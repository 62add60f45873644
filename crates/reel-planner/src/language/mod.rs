//! Language rules of the planner: sentence boundaries, word classes, and the text that a voice reads.
//!
//! From the small to the large: `width` and `words` (the one tokenizer), `vocabulary` (the one set of word lists),
//! `quantities`, `sentences`, `clauses`, `condense` (the thought of a sentence), `keyword` (the words for one that is too long), `patterns` and `sequence` (sentences that
//! say something by their form), `topics`, `speech`. The rules are for English; text in other languages is divided, spoken
//! and shown, only with less insight.

pub(crate) mod clauses;
pub(crate) mod condense;
pub(crate) mod dates;
pub(crate) mod detect;
pub(crate) mod formulas;
pub(crate) mod keyword;
pub(crate) mod lists;
pub(crate) mod patterns;
pub(crate) mod phrases;
pub(crate) mod quantities;
pub(crate) mod relations;
pub(crate) mod sentences;
pub(crate) mod sequence;
pub(crate) mod shares;
pub(crate) mod speakers;
pub(crate) mod speech;
pub(crate) mod structures;
pub(crate) mod tags;
pub(crate) mod topics;
pub(crate) mod verbs;
pub(crate) mod vocabulary;
pub(crate) mod width;
pub(crate) mod words;
