//! Reads a finished file back, and compares it with what was planned.

pub mod gate;
pub mod probe;
pub mod streams;
