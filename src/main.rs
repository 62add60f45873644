//! `reel`: arguments, then one role or one client command.

use std::process::ExitCode;

use clap::Parser;
use reelstream::cli::Arguments;
use reelstream::telemetry::chain;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::from(error)),
    };
    // Child servers die with the thread that started them, so this one stays: it runs the command.
    match runtime.block_on(arguments.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("reel: {}", chain(error.as_ref()));
    ExitCode::FAILURE
}
