//! The helper alone.

use std::process::ExitCode;

fn main() -> ExitCode {
    reel_pdf::run(std::env::args_os().skip(1)).unwrap_or(ExitCode::FAILURE)
}
