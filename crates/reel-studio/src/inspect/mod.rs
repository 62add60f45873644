//! Reads a finished file back and compares it with the plan: `probe` its facts, `gate` what a viewer sees and hears.

pub mod gate;
pub mod probe;
pub mod streams;
