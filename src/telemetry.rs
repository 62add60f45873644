//! Logs. One line for each fact; a failure is logged once, where it is handled, with its causes.

use std::error::Error;
use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// `REEL_LOG` sets the level or the filter (`info` unless the role says otherwise), `REEL_LOG_FORMAT=json`
/// writes one JSON object a line. A second call changes nothing.
pub fn init(default_filter: &str) {
    let filter = std::env::var("REEL_LOG").unwrap_or_else(|_| default_filter.to_owned());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let is_json = std::env::var("REEL_LOG_FORMAT").is_ok_and(|format| format == "json");
    let _set_already = if is_json { builder.json().try_init() } else { builder.try_init() };
}

/// An error and its causes in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let more = source.to_string();
        // Transparent wrappers repeat what they wrap.
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = source.source();
    }
    text
}
