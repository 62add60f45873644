//! Runs one foreign program confined, so that it can compute, and do nothing else.
//!
//! [`Sandbox::find`] looks for what confines (bubblewrap, and namespaces that this process may create) and tries it once.
//! [`Sandbox::run`] starts a program and hands its standard output to a function as it comes.
//!
//! Invariants:
//! - No program starts that is not confined. Where that is impossible, [`Unavailable`] says what is missing.
//! - A program sees the paths that are listed, read-only, and `/work`, which is in memory. It leaves no file and no process.
//! - Its time, memory, threads, files and output are bounded. Messages beyond the bound are dropped.
//!
//! Deliberately absent: control groups, which a container seldom has the right to create (memory is bounded because a program
//! has one process), and Landlock, which would repeat what the mount namespace says.

mod command;
mod error;
mod filter;
mod run;

pub use error::{Error, Unavailable};
pub use run::{Limits, Output, Program, Sandbox, WORK};
