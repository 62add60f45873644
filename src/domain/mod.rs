//! What may happen: pure functions from state and command to events, and from events to state.
//!
//! No I/O, no clock and no randomness in here: `now` and new ids come in with the command. Fan-out
//! over scenes, fan-in, and what comes next are decided here, never in a worker.

pub mod job;
