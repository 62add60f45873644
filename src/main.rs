//! `reel`: arguments, then one role or one client command.

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use reel_studio::speak::espeak_helper;
use reelstream::cli::Arguments;
use reelstream::telemetry::chain;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if let Some(exit) = espeak_helper::run(std::env::args_os().skip(1)) {
        return exit;
    }
    if let Some(exit) = reel_pdf::run(std::env::args_os().skip(1)) {
        return exit;
    }
    if let Ok(program) = std::env::current_exe() {
        espeak_helper::set_program(program.clone());
        reel_pdf::set_program(program);
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    // Each idle thread keeps what the allocator gave it.
    let keep_alive = std::time::Duration::from_secs(1);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_keep_alive(keep_alive)
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::from(error)),
    };
    // Child servers die with the thread that started them, so this one stays: it runs the command.
    match runtime.block_on(arguments.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// Help is printed as it is; a mistake gets one line.
fn refuse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _closed_already = error.print();
        return ExitCode::from(error.exit_code() as u8);
    }
    let text = error.render().to_string();
    let paragraph: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    eprintln!("reel: {}; see reel --help", paragraph.join(" ").trim_start_matches("error: "));
    ExitCode::from(error.exit_code() as u8)
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("reel: {}", chain(error.as_ref()));
    ExitCode::FAILURE
}
