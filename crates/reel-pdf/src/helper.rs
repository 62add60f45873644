//! The confined process: reads one PDF from its standard input and writes its text to its standard output.
//!
//! An answer is one byte, [`WHOLE`] or [`CUT`], and then the text in UTF-8. Without an answer, the exit status says why.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::process::ExitCode;

use crate::confinement::confine;
use crate::reader::MAX_PDF_BYTES;
use crate::text;

/// First argument of the helper; the second is the greatest number of bytes of its text.
pub const ARGUMENT: &str = "read-pdf";
/// The text is complete, or ends early.
pub const WHOLE: u8 = b'W';
pub const CUT: u8 = b'C';
/// Exit status of a process that could not be confined, and read nothing.
pub const NOT_CONFINED: u8 = 3;
/// Exit status for a file that is not a PDF with pages.
pub const NO_PAGES: u8 = 4;
/// Exit status for a file that needs a password.
pub const ENCRYPTED: u8 = 5;

/// Reads the PDF of the standard input, if this process was started to do that; `None` for any other arguments. The process
/// must have no threads yet.
pub fn run(mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    arguments.next().filter(|argument| argument == ARGUMENT)?;
    let max_bytes = arguments.next().and_then(|bytes| bytes.to_str()?.parse().ok()).unwrap_or_default();
    if confine().is_err() {
        return Some(ExitCode::from(NOT_CONFINED));
    }
    // A message about a panic would tell the environment what to look for; there is nobody to read it.
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(attempt) = arguments.next() {
        return Some(escape(&attempt));
    }
    Some(answer(max_bytes).unwrap_or(ExitCode::FAILURE))
}

fn answer(max_bytes: usize) -> io::Result<ExitCode> {
    let mut pdf = vec![];
    io::stdin().lock().take(MAX_PDF_BYTES).read_to_end(&mut pdf)?;
    let text = match text::extract(pdf, max_bytes) {
        Ok(text) => text,
        Err(text::Error::NoPages) => return Ok(ExitCode::from(NO_PAGES)),
        Err(text::Error::Encrypted) => return Ok(ExitCode::from(ENCRYPTED)),
    };
    let mut output = io::stdout().lock();
    output.write_all(&[if text.is_cut { CUT } else { WHOLE }])?;
    output.write_all(text.text.as_bytes())?;
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Tries what a confined process may not do, for the tests. Says that it succeeded, if it gets that far.
#[cfg(debug_assertions)]
fn escape(attempt: &OsStr) -> ExitCode {
    let attempt = attempt.to_str().unwrap_or_default();
    let is_refused = match attempt {
        "open" => std::fs::File::open("/etc/passwd").is_err(),
        "create" => std::fs::File::create("/tmp/reel-pdf-was-here").is_err(),
        "connect" => std::net::TcpStream::connect(("127.0.0.1", 1)).is_err(),
        "start" => std::process::Command::new("/bin/true").status().is_err(),
        "thread" => std::thread::Builder::new().spawn(|| ()).is_err(),
        "memory" => std::hint::black_box(vec![1_u8; 2 << 30]).is_empty(),
        "time" => !(0_u64..).map(std::hint::black_box).any(|number| number == u64::MAX),
        _ => return ExitCode::FAILURE,
    };
    println!("{attempt}: {}", if is_refused { "refused" } else { "done" });
    ExitCode::SUCCESS
}

#[cfg(not(debug_assertions))]
fn escape(_: &OsStr) -> ExitCode {
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_arguments_are_for_the_program() {
        assert!(run(["render".into(), "a.md".into()].into_iter()).is_none());
        assert!(run([].into_iter()).is_none());
    }
}
