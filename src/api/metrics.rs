//! `/metrics`: figures for Prometheus, in its text format (version 0.0.4).
//!
//! All are gauges that the latest examination of the system found (`health.rs`). Of a component that did not answer,
//! there are none but its health.

use std::fmt::Write;
use std::sync::Arc;

use salvo::http::header::{CONTENT_TYPE, HeaderValue};
use salvo::oapi::endpoint;
use salvo::prelude::*;

use super::problem::Problem;
use super::{ApiState, state};

/// A gauge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    pub name: &'static str,
    help: &'static str,
}

pub const COMPONENT_HEALTH: Metric = Metric {
    name: "reel_component_health",
    help: "0 for a healthy component, 1 for a degraded, 2 for an unhealthy one.",
};
pub const PROJECTION_LAG: Metric =
    Metric { name: "reel_projection_lag_events", help: "Events that a projection has not applied yet." };
pub const PROJECTION_HALTED: Metric =
    Metric { name: "reel_projection_halted", help: "1 where a projection waits in front of an event." };
pub const PROJECTION_QUARANTINED: Metric =
    Metric { name: "reel_projection_quarantined", help: "Aggregates that a projection passes over." };
pub const QUEUE_WAITING: Metric =
    Metric { name: "reel_queue_waiting", help: "Pieces of work that wait for a worker." };
pub const QUEUE_RUNNING: Metric =
    Metric { name: "reel_queue_running", help: "Pieces of work that workers have taken." };

/// All metrics, in the order in which they are served.
pub const ALL: [Metric; 6] = [
    COMPONENT_HEALTH,
    PROJECTION_LAG,
    PROJECTION_HALTED,
    PROJECTION_QUARANTINED,
    QUEUE_WAITING,
    QUEUE_RUNNING,
];

/// One value of a metric.
#[derive(Debug, Clone)]
pub struct Sample {
    metric: Metric,
    /// As they stand between the braces.
    labels: String,
    value: u64,
}

impl Metric {
    pub fn sample(self, labels: &[(&str, &str)], value: u64) -> Sample {
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
        Sample { metric: self, labels: labels.join(","), value }
    }
}

/// A label's value may hold any character, with these escaped.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Figures for Prometheus
///
/// In its text format. The same as JSON: `/system/metrics`.
#[endpoint(tags("system"), operation_id = "get_prometheus_metrics",
    responses((status_code = 200, description = "The figures", body = String, content_type = "text/plain"),
              (status_code = 503, description = "Not now", body = super::problem::ErrorBody)))]
pub async fn serve_metrics(depot: &mut Depot, res: &mut Response) -> Result<(), Problem> {
    let state: Arc<ApiState> = state(depot)?;
    let examination = state.examinations.latest(&state).await?;
    res.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
    res.render(format(&examination.samples));
    Ok(())
}

fn format(samples: &[Sample]) -> String {
    let mut text = String::new();
    for metric in ALL {
        let Metric { name, help } = metric;
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for Sample { labels, value, .. } in samples.iter().filter(|sample| sample.metric == metric) {
            let _ = writeln!(text, "{name}{{{labels}}} {value}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    // M7
    #[test]
    fn labels_are_escaped() {
        let samples = [PROJECTION_LAG.sample(&[("projection", "a\"b\\c\nd"), ("other", "x")], 7)];
        let text = format(&samples);
        assert!(
            text.contains(r#"reel_projection_lag_events{projection="a\"b\\c\nd",other="x"} 7"#),
            "{text}"
        );
        assert!(text.lines().all(|line| line.starts_with('#') || line.starts_with("reel_")), "{text}");
    }
}
