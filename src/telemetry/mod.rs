//! Logs, traces and metrics. One log line for each fact; a failure is logged once, where it is handled, with its causes.

pub mod metrics;
pub mod traces;

use std::error::Error;
use std::io::IsTerminal;

use opentelemetry_sdk::trace::Tracer;
use tracing::Level;
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::prelude::*;

/// Begins to write log lines: those that the filter lets through, as JSON, one object a line, or as text. With a tracer, spans of
/// this crate go to the collector, too. A second call changes nothing.
pub fn init(filter: &str, is_json: bool, tracer: Option<Tracer>) {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let lines = if is_json { lines.json().boxed() } else { lines.boxed() };
    let spans = tracer.map(|tracer| {
        let is_ours = |metadata: &tracing::Metadata<'_>| {
            metadata.is_span()
                && *metadata.level() <= Level::INFO
                && metadata.target().starts_with("reelstream")
        };
        tracing_opentelemetry::layer().with_tracer(tracer).with_filter(filter_fn(is_ours))
    });
    let _set_already =
        tracing_subscriber::registry().with(lines.with_filter(EnvFilter::new(filter))).with(spans).try_init();
}

/// Returns the name of this machine, or of its container or pod.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
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
