//! `/metrics`: figures for Prometheus, in its text format (version 0.0.4) or as OpenMetrics (1.0.0), which alone has exemplars.
//!
//! Gauges are those that the latest examination of the system found (`health.rs`). Of a component that did not answer,
//! there are none but its health. Counters and histograms are sums over all processes (`events/counters.rs`): every API process
//! tells the same.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, LazyLock};

use salvo::http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use salvo::oapi::endpoint;
use salvo::prelude::*;

use strum::{IntoStaticStr, VariantArray};

use super::problem::Problem;
use super::request_metrics::REQUEST_SECONDS;
use super::{ApiState, state};
use crate::alerts::{self, CRITICAL_ERRORS};
use crate::consumers::measure::{
    ATTEMPT_OUTCOMES, ESTIMATED_JOBS, FIRST_SCENE_SECONDS, JOB_ENDS, JOB_SECONDS, JOBS_ENDED, LATE_JOBS,
    MODEL_CALL_SECONDS, MODEL_COST, MODEL_TOKENS, QUEUE_WAIT_SECONDS, STAGE_CPU_SECONDS, STAGE_MEMORY_BYTES,
    STAGE_SECONDS,
};
use crate::events::counters::Counted;
use crate::events::{APPEND_OUTCOMES, APPEND_SECONDS, APPENDED_EVENTS, Quality, Stage};
use crate::projections::{APPLIED_EVENTS, BATCH_SECONDS, DELAY_SECONDS, Projection};
use crate::storage::measure::{self, Ending};
use crate::telemetry::metrics::{self as counted, Exemplar, Family, Totals};
use reel_models::client::CallOutcome;
use reel_models::name::Provider;

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

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, help }
}

pub const COMPONENT_HEALTH: Metric =
    gauge("reel_component_health", "0 for a healthy component, 1 for a degraded, 2 for an unhealthy one.");
pub const PROJECTION_LAG: Metric =
    gauge("reel_projection_lag_events", "Events that a projection has not applied yet.");
pub const PROJECTION_HALTED: Metric =
    gauge("reel_projection_halted", "1 where a projection waits in front of an event.");
pub const PROJECTION_QUARANTINED: Metric =
    gauge("reel_projection_quarantined", "Aggregates that a projection passes over.");
pub const QUEUE_WAITING: Metric = gauge("reel_queue_waiting", "Pieces of work that wait for a worker.");
pub const QUEUE_RUNNING: Metric = gauge("reel_queue_running", "Pieces of work that workers have taken.");
pub const QUEUE_OLDEST: Metric = gauge(
    "reel_queue_oldest_seconds",
    "How long the piece of work has waited that waits longest for a worker; 0 where none waits.",
);
pub const QUEUE_DELAYED: Metric =
    gauge("reel_queue_delayed", "Pieces of work that wait for the time of their next attempt.");
pub const JOBS_OPEN: Metric = gauge("reel_jobs_open", "Jobs that have not ended.");
pub const STAGE_PAUSED: Metric =
    gauge("reel_stage_paused", "1 while operators let no work of the stage be taken, else 0.");
pub const DRAINING: Metric = gauge("reel_draining", "1 while operators let no new jobs be accepted, else 0.");
pub const WORKERS: Metric =
    gauge("reel_workers", "Worker processes that were heard of in the last ten seconds.");
pub const DISK_FREE: Metric =
    gauge("reel_disk_free_bytes", "Free bytes under MEDIA_ROOT of the machine that answers.");
pub const MEMORY_AVAILABLE: Metric =
    gauge("reel_memory_available_bytes", "Memory that the machine that answers has left.");

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

/// What each process counts of its own work.
pub static FAMILIES: [&Family; 19] = [
    &REQUEST_SECONDS,
    &APPEND_SECONDS,
    &APPENDED_EVENTS,
    &QUEUE_WAIT_SECONDS,
    &STAGE_SECONDS,
    &STAGE_CPU_SECONDS,
    &STAGE_MEMORY_BYTES,
    &JOBS_ENDED,
    &JOB_SECONDS,
    &FIRST_SCENE_SECONDS,
    &ESTIMATED_JOBS,
    &LATE_JOBS,
    &MODEL_TOKENS,
    &MODEL_COST,
    &MODEL_CALL_SECONDS,
    &BATCH_SECONDS,
    &DELAY_SECONDS,
    &APPLIED_EVENTS,
    &CRITICAL_ERRORS,
];

/// All metrics, in the order in which they are served.
pub static ALL: LazyLock<Vec<Metric>> = LazyLock::new(|| {
    let gauges = [
        COMPONENT_HEALTH,
        PROJECTION_LAG,
        PROJECTION_HALTED,
        PROJECTION_QUARANTINED,
        QUEUE_WAITING,
        QUEUE_RUNNING,
        QUEUE_OLDEST,
        QUEUE_DELAYED,
        JOBS_OPEN,
        STAGE_PAUSED,
        DRAINING,
        WORKERS,
        DISK_FREE,
        MEMORY_AVAILABLE,
    ];
    let of_storage = [STORAGE_SECONDS, STORAGE_BYTES, STORAGE_RETRIES, DELIVERED_FILES];
    let families = FAMILIES.iter().map(|family| Metric::of_family(family));
    gauges.into_iter().chain(of_storage).chain(families).collect()
});

/// One value of a metric.
#[derive(Debug, Clone)]
pub struct Sample {
    metric: Metric,
    /// Behind the name, of the parts of a histogram.
    suffix: &'static str,
    /// As they stand between the braces.
    labels: String,
    value: f64,
    exemplar: Option<Exemplar>,
}

impl Metric {
    fn of_family(family: &Family) -> Self {
        let kind = match family.kind {
            counted::Kind::Counter => Kind::Counter,
            counted::Kind::Histogram { .. } => Kind::Histogram,
        };
        Self { name: family.name, kind, help: family.help }
    }

    pub fn sample(self, labels: &[(&str, &str)], value: u64) -> Sample {
        self.part("", labels, value as f64)
    }

    pub fn part(self, suffix: &'static str, labels: &[(&str, &str)], value: f64) -> Sample {
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
        Sample { metric: self, suffix, labels: labels.join(","), value, exemplar: None }
    }

    /// `buckets` are not cumulative; the last one has no bound.
    fn histogram(
        self,
        labels: &[(&str, &str)],
        bounds: &[f64],
        buckets: &[(u64, Option<Exemplar>)],
        sum: f64,
    ) -> Vec<Sample> {
        let mut count = 0;
        let mut samples: Vec<Sample> = buckets
            .iter()
            .enumerate()
            .map(|(bucket, (more, exemplar))| {
                count += more;
                let bound = bounds.get(bucket).map_or("+Inf".to_owned(), |bound| bound_label(*bound));
                let with_bound = [labels, &[("le", bound.as_str())]].concat();
                Sample { exemplar: exemplar.clone(), ..self.part("_bucket", &with_bound, count as f64) }
            })
            .collect();
        samples.push(self.part("_sum", labels, sum));
        samples.push(self.part("_count", labels, count as f64));
        samples
    }
}

/// With a fraction, as OpenMetrics and newer versions of Prometheus have it: the series are the same in both formats.
fn bound_label(bound: f64) -> String {
    let text = bound.to_string();
    if text.contains('.') { text } else { format!("{text}.0") }
}

/// The samples of everything that processes count.
pub fn of_counted(counted: &Counted, projections: &[Arc<dyn Projection>]) -> Vec<Sample> {
    let mut samples = of_storage(&counted.totals);
    for family in FAMILIES {
        let metric = Metric::of_family(family);
        let expected = expected_series(family, projections);
        for series in family.read(&counted.totals, &counted.exemplars, &expected) {
            let values = series.labels.iter().map(String::as_str);
            let labels: Vec<(&str, &str)> = family.labels.iter().copied().zip(values).collect();
            match family.kind {
                counted::Kind::Counter => samples.push(metric.part("", &labels, series.sum)),
                counted::Kind::Histogram { bounds } => {
                    let buckets: Vec<_> =
                        series.buckets.into_iter().map(|bucket| (bucket.count, bucket.exemplar)).collect();
                    samples.extend(metric.histogram(&labels, bounds, &buckets, series.sum));
                }
            }
        }
    }
    samples
}

/// The series that are served with zeros before anything is counted, so that Prometheus sees their first increase.
fn expected_series(family: &Family, projections: &[Arc<dyn Projection>]) -> Vec<Vec<&'static str>> {
    let stages = || Stage::ALL.into_iter().map(Stage::name);
    let providers = || Provider::ALL.into_iter().map(Provider::name);
    let alone = |names: &mut dyn Iterator<Item = &'static str>| names.map(|name| vec![name]).collect();
    match family.labels {
        [] => vec![vec![]],
        ["stage"] => alone(&mut stages()),
        ["stage", "outcome"] => stages()
            .flat_map(|stage| ATTEMPT_OUTCOMES.into_iter().map(move |outcome| vec![stage, outcome]))
            .collect(),
        ["status"] => alone(&mut JOB_ENDS.into_iter()),
        ["quality"] => alone(&mut Quality::ALL.into_iter().map(Quality::name)),
        ["projection"] => alone(&mut projections.iter().map(|projection| projection.name())),
        ["outcome"] => alone(&mut APPEND_OUTCOMES.into_iter()),
        ["code"] => alone(&mut alerts::Code::VARIANTS.iter().map(|code| code.name())),
        ["provider"] => alone(&mut providers()),
        ["provider", "direction"] => {
            providers().flat_map(|name| ["input", "output"].map(|direction| vec![name, direction])).collect()
        }
        ["provider", "outcome"] => {
            let answered = CallOutcome::Answered.name();
            providers().map(|name| vec![name, answered]).collect()
        }
        // Of requests, the routes that are used.
        _ => vec![],
    }
}

/// The samples of what was done with stored objects.
fn of_storage(totals: &Totals) -> Vec<Sample> {
    let mut samples = vec![];
    for series in measure::all_series() {
        let Some(summary) = measure::durations(totals, series) else { continue };
        let (operation, store, outcome): (&str, &str, &str) =
            (series.0.into(), series.1.into(), series.2.into());
        let labels = [("operation", operation), ("store", store), ("outcome", outcome)];
        let buckets = summary.buckets.map(|count| (count, None));
        samples.extend(STORAGE_SECONDS.histogram(&labels, &measure::BUCKETS_S, &buckets, summary.seconds));
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// <https://prometheus.io/docs/instrumenting/exposition_formats/>
    Text,
    /// <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>
    OpenMetrics,
}

impl Format {
    /// OpenMetrics where it is asked for, whatever else may be sent.
    fn of(accept: Option<&HeaderValue>) -> Self {
        let accept = accept.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_open = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/openmetrics-text"))
                && !parts.any(|parameter| ["q=0", "q=0.0"].contains(&parameter))
        };
        if accept.split(',').any(is_open) { Self::OpenMetrics } else { Self::Text }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Figures for Prometheus
///
/// In its text format, or as OpenMetrics where `Accept` asks for that: then slow observations come with their traces. The same as
/// JSON: `/system/metrics`.
#[endpoint(tags("system"), operation_id = "get_prometheus_metrics",
    responses((status_code = 200, description = "The figures", body = String, content_type = "text/plain"),
              (status_code = 503, description = "Not now", body = super::problem::ErrorBody)))]
pub async fn serve_metrics(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), Problem> {
    let state: Arc<ApiState> = state(depot)?;
    let examination = state.examinations.latest(&state).await?;
    let format = Format::of(req.headers().get(ACCEPT));
    res.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    res.headers_mut().append("vary", HeaderValue::from_static("accept"));
    res.render(write(&examination.samples, format));
    Ok(())
}

fn write(samples: &[Sample], format: Format) -> String {
    let mut by_name: BTreeMap<&str, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        by_name.entry(sample.metric.name).or_default().push(sample);
    }
    let mut text = String::new();
    for Metric { name, kind, help } in ALL.iter() {
        // OpenMetrics names the family of a counter without what its samples end with.
        let family = match (format, kind) {
            (Format::OpenMetrics, Kind::Counter) => name.strip_suffix("_total").unwrap_or(name),
            _ => name,
        };
        let kind: &str = kind.into();
        let _ = writeln!(text, "# HELP {family} {help}\n# TYPE {family} {kind}");
        for Sample { suffix, labels, value, exemplar, .. } in by_name.get(name).into_iter().flatten() {
            let _ = write!(text, "{name}{suffix}{{{labels}}} {value}");
            if let Some(Exemplar { trace_id, value, at_ms }) =
                exemplar.as_ref().filter(|_| format == Format::OpenMetrics)
            {
                let at = *at_ms as f64 / 1000.0;
                let _ = write!(text, " # {{trace_id=\"{trace_id}\"}} {value} {at}");
            }
            text.push('\n');
        }
    }
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(counts: &[(&str, u64)]) -> Counted {
        let totals = counts.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        Counted { totals, ..Counted::default() }
    }

    #[test]
    fn a_histogram_is_cumulative_and_ends_with_all() {
        let counted = totals(&[
            ("get.s3.succeeded.0", 2),
            ("get.s3.succeeded.8", 1),
            ("get.s3.succeeded.microseconds", 1_500_000),
        ]);
        let text = write(&of_counted(&counted, &[]), Format::Text);
        let name = "reel_storage_operation_duration_seconds";
        let labels = r#"operation="get",store="s3",outcome="succeeded""#;
        for line in [
            format!("# TYPE {name} histogram"),
            format!(r#"{name}_bucket{{{labels},le="0.001"}} 2"#),
            format!(r#"{name}_bucket{{{labels},le="60.0"}} 2"#),
            format!(r#"{name}_bucket{{{labels},le="+Inf"}} 3"#),
            format!("{name}_sum{{{labels}}} 1.5"),
            format!("{name}_count{{{labels}}} 3"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    // 002-8.2
    #[test]
    fn only_openmetrics_has_the_traces_of_slow_observations() {
        let slow = "reel_append_duration_seconds|appended|0.5";
        let mut counted = totals(&[
            (slow, 1),
            ("reel_append_duration_seconds|appended|sum", 300_000_000),
            ("reel_appended_events_total|sum", 7),
        ]);
        let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736".to_owned();
        let exemplar = Exemplar { trace_id, value: 0.3, at_ms: 1_700_000_000_123 };
        counted.exemplars.insert(slow.to_owned(), exemplar);
        let samples = of_counted(&counted, &[]);
        let (text, open) = (write(&samples, Format::Text), write(&samples, Format::OpenMetrics));
        let has = |text: &str, line: &str| text.lines().any(|found| found == line);
        let bucket = r#"reel_append_duration_seconds_bucket{outcome="appended",le="0.5"} 1"#;
        assert!(has(&text, bucket) && !text.contains("trace_id") && !text.contains("# EOF"), "{text}");
        let with_trace =
            format!("{bucket} # {{trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\"}} 0.3 1700000000.123");
        assert!(has(&open, &with_trace), "{open}");
        assert!(has(&text, "# TYPE reel_appended_events_total counter"));
        assert!(has(&open, "# TYPE reel_appended_events counter"));
        for written in [&text, &open] {
            assert!(has(written, "reel_appended_events_total{} 7"), "{written}");
        }
        assert!(open.ends_with("# EOF\n"));
        // What nothing was counted of is there, too.
        assert!(has(&text, r#"reel_jobs_ended_total{status="failed"} 0"#), "{text}");
    }

    #[test]
    fn openmetrics_is_sent_where_it_is_asked_for() {
        let of = |accept: &str| Format::of(HeaderValue::from_str(accept).ok().as_ref());
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(of(prometheus), Format::OpenMetrics);
        for other in ["text/plain", "*/*", "", "application/openmetrics-text;q=0", "application/json"] {
            assert_eq!(of(other), Format::Text, "{other}");
        }
        assert_eq!(Format::of(None), Format::Text);
    }

    // M7
    #[test]
    fn labels_are_escaped() {
        let samples = [PROJECTION_LAG.sample(&[("projection", "a\"b\\c\nd"), ("other", "x")], 7)];
        let text = write(&samples, Format::Text);
        assert!(
            text.contains(r#"reel_projection_lag_events{projection="a\"b\\c\nd",other="x"} 7"#),
            "{text}"
        );
        assert!(text.lines().all(|line| line.starts_with('#') || line.starts_with("reel_")), "{text}");
    }
}
