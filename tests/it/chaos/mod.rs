//! The crash suite.

mod batches;
mod kills;
mod uploads;
