//! `/metrics`: figures for Prometheus, in its text format (version 0.0.4).
//!
//! Gauges are those that the latest examination of the system found (`health.rs`). Of a component that did not answer,
//! there are none but its health. Counters and histograms are sums over all processes (`events/storage_counters.rs`): every
//! API process tells the same.

use std::fmt::Write;
use std::sync::Arc;

use salvo::http::header::{CONTENT_TYPE, HeaderValue};
use salvo::oapi::endpoint;
use salvo::prelude::*;

use strum::IntoStaticStr;

use super::problem::Problem;
use super::{ApiState, state};
use crate::storage::measure::{self, Ending, Totals};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    pub name: &'static str,
    kind: Kind,
    help: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
enum Kind {
    Gauge,
    Counter,
    Histogram,
}

pub const COMPONENT_HEALTH: Metric = Metric {
    name: "reel_component_health",
    kind: Kind::Gauge,
    help: "0 for a healthy component, 1 for a degraded, 2 for an unhealthy one.",
};
pub const PROJECTION_LAG: Metric = Metric {
    name: "reel_projection_lag_events",
    kind: Kind::Gauge,
    help: "Events that a projection has not applied yet.",
};
pub const PROJECTION_HALTED: Metric = Metric {
    name: "reel_projection_halted",
    kind: Kind::Gauge,
    help: "1 where a projection waits in front of an event.",
};
pub const PROJECTION_QUARANTINED: Metric = Metric {
    name: "reel_projection_quarantined",
    kind: Kind::Gauge,
    help: "Aggregates that a projection passes over.",
};
pub const QUEUE_WAITING: Metric =
    Metric { name: "reel_queue_waiting", kind: Kind::Gauge, help: "Pieces of work that wait for a worker." };
pub const QUEUE_RUNNING: Metric =
    Metric { name: "reel_queue_running", kind: Kind::Gauge, help: "Pieces of work that workers have taken." };

pub const STORAGE_SECONDS: Metric = Metric {
    name: "reel_storage_operation_duration_seconds",
    kind: Kind::Histogram,
    help: "Operations on stored objects, by operation, store, and how they ended.",
};
pub const STORAGE_BYTES: Metric = Metric {
    name: "reel_storage_bytes_total",
    kind: Kind::Counter,
    help: "Bytes that operations on stored objects have read or written.",
};
pub const STORAGE_RETRIES: Metric = Metric {
    name: "reel_storage_retries_total",
    kind: Kind::Counter,
    help: "Attempts at operations on stored objects after a first one failed.",
};
pub const DELIVERED_FILES: Metric = Metric {
    name: "reel_delivered_files_total",
    kind: Kind::Counter,
    help: "Files, or ranges of them, that clients got from the API, or were sent to S3 for.",
};

/// All metrics, in the order in which they are served.
pub const ALL: [Metric; 10] = [
    COMPONENT_HEALTH,
    PROJECTION_LAG,
    PROJECTION_HALTED,
    PROJECTION_QUARANTINED,
    QUEUE_WAITING,
    QUEUE_RUNNING,
    STORAGE_SECONDS,
    STORAGE_BYTES,
    STORAGE_RETRIES,
    DELIVERED_FILES,
];

/// One value of a metric.
#[derive(Debug, Clone)]
pub struct Sample {
    metric: Metric,
    /// Behind the name, of the parts of a histogram.
    suffix: &'static str,
    /// As they stand between the braces.
    labels: String,
    value: f64,
}

impl Metric {
    pub fn sample(self, labels: &[(&str, &str)], value: u64) -> Sample {
        self.part("", labels, value as f64)
    }

    fn part(self, suffix: &'static str, labels: &[(&str, &str)], value: f64) -> Sample {
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
        Sample { metric: self, suffix, labels: labels.join(","), value }
    }
}

/// The samples of what was done with stored objects.
pub fn of_storage(totals: &Totals) -> Vec<Sample> {
    let mut samples = vec![];
    for series in measure::all_series() {
        let Some(summary) = measure::durations(totals, series) else { continue };
        let (operation, store, outcome): (&str, &str, &str) =
            (series.0.into(), series.1.into(), series.2.into());
        let labels = [("operation", operation), ("store", store), ("outcome", outcome)];
        let mut count = 0;
        for (bucket, more) in summary.buckets.iter().enumerate() {
            count += more;
            let bound = measure::BUCKETS_S.get(bucket).map_or("+Inf".to_owned(), f64::to_string);
            let with_bound = [labels.as_slice(), &[("le", bound.as_str())]].concat();
            samples.push(STORAGE_SECONDS.part("_bucket", &with_bound, count as f64));
        }
        samples.push(STORAGE_SECONDS.part("_sum", &labels, summary.seconds));
        samples.push(STORAGE_SECONDS.part("_count", &labels, count as f64));
    }
    for (operation, store, _) in measure::all_series().filter(|(_, _, ending)| *ending == Ending::Succeeded) {
        let (bytes, retries) = measure::bytes_and_retries(totals, operation, store);
        let (operation, store): (&str, &str) = (operation.into(), store.into());
        let labels = [("operation", operation), ("store", store)];
        for (metric, value) in [(STORAGE_BYTES, bytes), (STORAGE_RETRIES, retries)] {
            if value > 0 {
                samples.push(metric.sample(&labels, value));
            }
        }
    }
    for of in measure::all_deliveries() {
        let count = measure::deliveries(totals, of);
        let (what, by): (&str, &str) = (of.0.into(), of.1.into());
        if count > 0 {
            samples.push(DELIVERED_FILES.sample(&[("kind", what), ("by", by)], count));
        }
    }
    samples
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
        let Metric { name, kind, help } = metric;
        let kind: &str = kind.into();
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for Sample { suffix, labels, value, .. } in samples.iter().filter(|sample| sample.metric == metric) {
            let _ = writeln!(text, "{name}{suffix}{{{labels}}} {value}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_cumulative_and_ends_with_all() {
        let totals = [
            ("get.s3.succeeded.0", 2),
            ("get.s3.succeeded.8", 1),
            ("get.s3.succeeded.microseconds", 1_500_000),
        ];
        let totals: Totals = totals.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let text = format(&of_storage(&totals));
        let name = "reel_storage_operation_duration_seconds";
        let labels = r#"operation="get",store="s3",outcome="succeeded""#;
        for line in [
            format!("# TYPE {name} histogram"),
            format!(r#"{name}_bucket{{{labels},le="0.001"}} 2"#),
            format!(r#"{name}_bucket{{{labels},le="60"}} 2"#),
            format!(r#"{name}_bucket{{{labels},le="+Inf"}} 3"#),
            format!("{name}_sum{{{labels}}} 1.5"),
            format!("{name}_count{{{labels}}} 3"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

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
