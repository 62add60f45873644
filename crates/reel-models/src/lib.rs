//! Plans a video with language models: from a topic and its context, or from a script.
//!
//! [`planning`] asks for an outline, then for each scene, and sends what does not fit back with its faults, a bounded number of
//! times. [`client`] makes the calls: it has the time-outs, the retries and the bounds. `protocol` has the JSON of each
//! provider. [`name`] parses names of models, [`prices`] says what a call costs, [`budget`] what a job may cost, and `prompts`
//! holds the instructions.
//!
//! Invariants: what users and models wrote reaches a prompt only as a JSON value, never as an instruction; a plan passes the
//! rules of scene descriptions and shows no file that the request does not have; calls, bytes, tokens and time are bounded;
//! keys, prompts and answers are never logged or recorded. Deliberately absent: tools that a model could call, streamed
//! answers, and a crate for many providers: the one that was tried (`genai` 0.7) reads answers of any size into memory and
//! changes the order of JSON objects in the whole program.

pub mod budget;
pub mod client;
pub mod name;
pub mod planning;
pub mod prices;
pub mod prompts;
pub mod protocol;
#[cfg(any(test, feature = "scripted"))]
pub mod scripted;

#[cfg(test)]
mod client_tests;
#[cfg(test)]
mod planning_tests;
