//! Reads the text of PDF files in a process that can do nothing else.
//!
//! [`read_text`] starts the program of [`set_program`], which calls [`run`] first of all. That process confines itself
//! (`confinement`) before it reads the first byte of the file from its standard input, and answers on its standard output.
//!
//! Invariants:
//! - No byte of a PDF is parsed in a process that is not confined. Where a process cannot be confined, nothing is read.
//! - The helper can open no file and no socket, start no process, and write to nothing but its standard output.
//! - Its time, memory and answer are bounded. It is killed when its answer is no longer awaited.
//!
//! Deliberately absent: the recognition of characters in pictures, and passwords.

mod confinement;
mod helper;
mod reader;
mod text;

pub use helper::run;
pub use reader::{Error, MAX_PDF_BYTES, Pdf, Text, read_text, set_program};
