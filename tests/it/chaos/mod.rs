//! The crash suite.

mod kills;
