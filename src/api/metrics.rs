//! `/metrics`: figures for Prometheus, in its text format (version 0.0.4).

use std::fmt::Write;

use salvo::http::header::{CONTENT_TYPE, HeaderValue};
use salvo::prelude::*;

use super::problem::Problem;
use super::{ApiState, state};
use crate::events::Stage;
use crate::projections::{Error, halts, lag, quarantine};

/// One metric with all of its values.
struct Metric {
    text: String,
    name: &'static str,
}

impl Metric {
    fn gauge(name: &'static str, help: &str) -> Self {
        Self { text: format!("# HELP {name} {help}\n# TYPE {name} gauge\n"), name }
    }

    fn value(&mut self, labels: &str, value: u64) {
        writeln!(self.text, "{}{{{labels}}} {value}", self.name).expect("a text is written to memory");
    }
}

#[handler]
pub async fn serve_metrics(depot: &mut Depot, res: &mut Response) -> Result<(), Problem> {
    let text = collect(state(depot)?.as_ref()).await?;
    res.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
    res.render(text);
    Ok(())
}

async fn collect(state: &ApiState) -> Result<String, Error> {
    let log = state.executor.log();
    let mut behind =
        Metric::gauge("reel_projection_lag_events", "Events that a projection has not applied yet.");
    for projection in &state.projections {
        behind.value(&format!("projection=\"{}\"", projection.name()), lag(log, projection.as_ref()).await?);
    }
    let mut halted =
        Metric::gauge("reel_projection_halted", "1 where a projection waits in front of an event.");
    for halt in halts::all(log).await? {
        halted.value(&format!("projection=\"{}\",partition=\"{}\"", halt.projection, halt.partition), 1);
    }
    let mut quarantined =
        Metric::gauge("reel_projection_quarantined", "Aggregates that a projection passes over.");
    let passed_over = quarantine::all(log).await?;
    for projection in &state.projections {
        let name = projection.name();
        let count = passed_over.iter().filter(|(of, ..)| of == name).count();
        quarantined.value(&format!("projection=\"{name}\""), count as u64);
    }
    let mut waiting = Metric::gauge("reel_queue_waiting", "Pieces of work that wait for a worker.");
    let mut running = Metric::gauge("reel_queue_running", "Pieces of work that workers have taken.");
    for stage in Stage::ALL {
        let depth = state.queue.depth(stage).await?;
        let labels = format!("stage=\"{stage}\"");
        waiting.value(&labels, depth.waiting);
        running.value(&labels, depth.taken);
    }
    Ok([behind, halted, quarantined, waiting, running].map(|metric| metric.text).concat())
}
