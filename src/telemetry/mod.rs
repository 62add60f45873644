//! Logs, traces and metrics. One log line for each fact; a failure is logged once, where it is handled, with its causes.

pub mod metrics;
pub mod traces;

use std::error::Error;
use std::io::IsTerminal;
use std::sync::OnceLock;

use opentelemetry_sdk::trace::Tracer;
use tracing::Level;
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Registry, reload};

/// Longest text of a filter.
const MAX_FILTER_BYTES: usize = 1000;

/// The filter of the lines: that of the start, and what changes it.
static FILTER: OnceLock<(String, reload::Handle<EnvFilter, Registry>)> = OnceLock::new();

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
    let (changeable, handle) = reload::Layer::new(EnvFilter::new(filter));
    if tracing_subscriber::registry().with(lines.with_filter(changeable)).with(spans).try_init().is_ok() {
        let _set_already = FILTER.set((filter.to_owned(), handle));
    }
}

/// Lets other lines through from now on; `None` those of the start.
pub fn set_filter(filter: Option<&str>) {
    let Some((of_start, handle)) = FILTER.get() else { return };
    let filter = filter.unwrap_or(of_start);
    // As at the start, the parts that cannot be parsed are left out.
    match handle.reload(EnvFilter::new(filter)) {
        Ok(()) => tracing::warn!(filter, "the log filter was changed"),
        Err(error) => tracing::warn!(%error, "the log filter cannot be changed"),
    }
}

/// Refuses a filter of which a part cannot be parsed.
pub fn check_filter(filter: &str) -> Result<(), String> {
    if filter.trim().is_empty() || filter.len() > MAX_FILTER_BYTES {
        return Err(format!("it must have 1 to {MAX_FILTER_BYTES} bytes"));
    }
    EnvFilter::try_new(filter).map(drop).map_err(|error| error.to_string())
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
