//! `/system/metrics` and `/system/queue-status`: how busy the system is.
//!
//! Both are found once in two seconds at most, whoever asks, and hold nothing of any user.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use salvo::oapi::{ToSchema, endpoint};
use salvo::prelude::*;
use serde::Serialize;

use super::problem::Problem;
use super::request_metrics::REQUEST_SECONDS;
use super::single_flight::SingleFlight;
use super::{ApiState, state};
use crate::alerts::CRITICAL_ERRORS;
use crate::consumers::{measure, running_workers};
use crate::events::counters::{self, Counted};
use crate::events::{APPEND_SECONDS, APPENDED_EVENTS, Priority, Stage};
use crate::projections::analytics::{Analytics, PercentilesRow, Recent};
use crate::projections::{self, lag};
use crate::telemetry::metrics::{Family, Kind, Summary, quantile};

/// How old figures may be.
const INTERVAL: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SystemMetricsAnswer {
    /// When the figures were found; they are at most two seconds old.
    pub timestamp: DateTime<Utc>,
    pub queue: QueueMetrics,
    pub processing_times: ProcessingTimes,
    pub throughput: ThroughputMetrics,
    /// Read model -> events that it has not applied yet.
    pub projection_lag: BTreeMap<String, u64>,
    /// Worker processes that were heard of in the last ten seconds.
    pub workers: u64,
    pub resources: ResourceMetrics,
    pub totals: TotalMetrics,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct QueueMetrics {
    /// Jobs that have not ended.
    pub open_jobs: u64,
    /// Pieces of work that wait for a worker.
    pub waiting: u64,
    /// Pieces of work that workers have taken.
    pub running: u64,
    /// Pieces of work that wait for the time of their next attempt.
    pub delayed: u64,
    /// Stage -> its part of them.
    pub by_stage: BTreeMap<String, StageDepth>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct StageDepth {
    pub waiting: u64,
    pub running: u64,
    /// How long the piece has waited that waits longest; 0 where none waits.
    pub oldest_waiting_seconds: f64,
}

/// The counters of `/metrics`, of all processes and all time.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TotalMetrics {
    /// `api_request`, `append`, `queue_wait`, `stage`, `projection_batch`, `projection_delay`, `model_call` -> how long these took.
    pub durations: BTreeMap<String, DurationMetrics>,
    pub appended_events: u64,
    /// completed, failed, cancelled -> jobs.
    pub jobs_ended: BTreeMap<String, u64>,
    /// Jobs that were completed or failed, and whose first estimate is known.
    pub estimated_jobs: u64,
    /// Those of them that failed, or took longer than twice their estimate.
    pub late_jobs: u64,
    /// Of language models, sent and received.
    pub model_tokens: u64,
    pub model_cost_dollars: f64,
    /// Code -> errors that need a person.
    pub critical_errors: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DurationMetrics {
    pub count: u64,
    pub total_seconds: f64,
    /// As exact as the buckets of the histogram; null before anything was measured.
    pub percentiles: Option<Percentiles>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ProcessingTimes {
    /// The last jobs that were completed, at most 1,000: what the percentiles are of.
    pub jobs: u64,
    /// From the first stage to the completed video; null before any job is completed.
    pub total: Option<Percentiles>,
    /// Stage -> from its beginning to its end.
    pub by_stage: BTreeMap<String, Percentiles>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Percentiles {
    pub p50_seconds: f64,
    pub p95_seconds: f64,
    pub p99_seconds: f64,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ThroughputMetrics {
    /// Jobs completed in the last 60 seconds.
    pub jobs_per_minute: u64,
    /// Jobs completed in the last 60 minutes.
    pub jobs_per_hour: u64,
    pub failed_per_hour: u64,
    pub cancelled_per_hour: u64,
}

/// Of the machine that answers.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ResourceMetrics {
    /// 0 to 100, of all processors together.
    pub cpu_usage_percent: f64,
    pub processors: u64,
    pub memory_total_bytes: u64,
    pub memory_used_bytes: u64,
    pub memory_usage_percent: f64,
    /// The disk that videos are stored on.
    pub disk_total_bytes: u64,
    pub disk_free_bytes: u64,
    pub disk_usage_percent: f64,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct QueueStatusAnswer {
    /// Jobs that wait for their first stage.
    pub depth: u64,
    /// Jobs that have begun and not ended.
    pub running: u64,
    /// How long the job has waited that waits the longest; 0 when none waits.
    pub oldest_waiting_seconds: f64,
    /// When a job of normal priority that is requested now would have the workers' attention, in seconds from now.
    pub estimated_wait_seconds: f64,
    pub by_priority: BTreeMap<String, u64>,
    pub timestamp: DateTime<Utc>,
}

type Found<T> = Result<Arc<T>, Arc<projections::Error>>;

/// The latest figures, found anew when they are too old.
pub struct Figures {
    metrics: SingleFlight<Found<SystemMetricsAnswer>>,
    queue: SingleFlight<Found<QueueStatusAnswer>>,
    /// Processor usage is the difference between two looks.
    machine: Arc<Mutex<sysinfo::System>>,
}

impl Default for Figures {
    fn default() -> Self {
        let mut machine = sysinfo::System::new();
        machine.refresh_cpu_usage();
        Self {
            metrics: SingleFlight::new(INTERVAL),
            queue: SingleFlight::new(INTERVAL),
            machine: Arc::new(Mutex::new(machine)),
        }
    }
}

/// How busy the system is
///
/// The work that waits and runs by stage, how long the last jobs took, how many end, how far the read models are, and what the
/// machine has left. The same for everybody who is signed in: it tells nothing of any user.
#[endpoint(tags("system"), operation_id = "get_metrics", security(["bearer" = []]))]
pub async fn get_metrics(depot: &mut Depot) -> Result<Json<SystemMetricsAnswer>, Problem> {
    let state = state(depot)?;
    let found = state.figures.metrics.get(|| find_metrics(state.clone())).await;
    answer(found)
}

/// How long jobs wait
///
/// The jobs of all users that wait and run, and how long a new one would wait.
#[endpoint(tags("system"), operation_id = "get_queue_status", security(["bearer" = []]))]
pub async fn get_queue_status(depot: &mut Depot) -> Result<Json<QueueStatusAnswer>, Problem> {
    let state = state(depot)?;
    let found = state.figures.queue.get(|| find_queue_status(state.clone())).await;
    answer(found)
}

fn answer<T: Clone>(found: Option<Found<T>>) -> Result<Json<T>, Problem> {
    match found {
        Some(Ok(figures)) => Ok(Json(figures.as_ref().clone())),
        Some(Err(error)) => Err(Problem::of_projection(&error)),
        None => Err(Problem::internal()),
    }
}

async fn find_metrics(state: Arc<ApiState>) -> Found<SystemMetricsAnswer> {
    metrics(&state).await.map(Arc::new).map_err(Arc::new)
}

async fn metrics(state: &ApiState) -> Result<SystemMetricsAnswer, projections::Error> {
    let log = state.executor.log();
    let counted = counters::read(log).await?;
    let mut projection_lag = BTreeMap::new();
    for projection in &state.projections {
        projection_lag.insert(projection.name().to_owned(), lag(log, projection.as_ref()).await?);
    }
    let recent = Analytics::new(state.pool.clone()).recent().await?;
    Ok(SystemMetricsAnswer {
        timestamp: Utc::now(),
        queue: queue(state).await?,
        throughput: ThroughputMetrics {
            jobs_per_minute: recent.ended.completed_in_minute as u64,
            jobs_per_hour: recent.ended.completed_in_hour as u64,
            failed_per_hour: recent.ended.failed_in_hour as u64,
            cancelled_per_hour: recent.ended.cancelled_in_hour as u64,
        },
        processing_times: processing_times(recent),
        projection_lag,
        workers: running_workers(log).await? as u64,
        resources: resources(state),
        totals: totals(&counted),
    })
}

fn totals(counted: &Counted) -> TotalMetrics {
    let read = |family: &Family| family.read(&counted.totals, &counted.exemplars, &[]);
    let sum = |family: &Family| read(family).iter().map(|series| series.sum).sum::<f64>();
    let by_label = |family: &Family| {
        let series = read(family).into_iter();
        series.map(|series| (series.labels.join(" "), series.sum as u64)).collect()
    };
    let timed: [(&str, &Family); 7] = [
        ("api_request", &REQUEST_SECONDS),
        ("append", &APPEND_SECONDS),
        ("queue_wait", &measure::QUEUE_WAIT_SECONDS),
        ("stage", &measure::STAGE_SECONDS),
        ("projection_batch", &projections::BATCH_SECONDS),
        ("projection_delay", &projections::DELAY_SECONDS),
        ("model_call", &measure::MODEL_CALL_SECONDS),
    ];
    let timed = timed.into_iter().map(|(name, family)| (name.to_owned(), durations(family, &read(family))));
    TotalMetrics {
        durations: timed.collect(),
        appended_events: sum(&APPENDED_EVENTS) as u64,
        jobs_ended: by_label(&measure::JOBS_ENDED),
        estimated_jobs: sum(&measure::ESTIMATED_JOBS) as u64,
        late_jobs: sum(&measure::LATE_JOBS) as u64,
        model_tokens: sum(&measure::MODEL_TOKENS) as u64,
        model_cost_dollars: sum(&measure::MODEL_COST),
        critical_errors: by_label(&CRITICAL_ERRORS),
    }
}

/// Of all series of a histogram.
fn durations(family: &Family, series: &[Summary]) -> DurationMetrics {
    let Kind::Histogram { bounds } = family.kind else {
        return DurationMetrics { count: 0, total_seconds: 0.0, percentiles: None };
    };
    let mut buckets = vec![0; bounds.len() + 1];
    for (at, bucket) in series.iter().flat_map(|series| series.buckets.iter().enumerate()) {
        buckets[at] += bucket.count;
    }
    let at = |share| quantile(bounds, &buckets, share);
    let percentiles = at(0.5).zip(at(0.95)).zip(at(0.99));
    DurationMetrics {
        count: buckets.iter().sum(),
        total_seconds: series.iter().map(|series| series.sum).sum(),
        percentiles: percentiles.map(|((p50_seconds, p95_seconds), p99_seconds)| Percentiles {
            p50_seconds,
            p95_seconds,
            p99_seconds,
        }),
    }
}

async fn queue(state: &ApiState) -> Result<QueueMetrics, projections::Error> {
    let (mut by_stage, oldest) = (BTreeMap::new(), state.queue.oldest().await?);
    for stage in Stage::ALL {
        let depth = state.queue.depth(stage).await?;
        let waited =
            oldest.get(&stage).map_or(0.0, |since| since.elapsed().unwrap_or_default().as_secs_f64());
        let depth = StageDepth {
            waiting: depth.waiting,
            running: depth.taken,
            oldest_waiting_seconds: (waited * 1000.0).round() / 1000.0,
        };
        by_stage.insert(stage.name().to_owned(), depth);
    }
    Ok(QueueMetrics {
        open_jobs: state.queue.open().await?,
        waiting: by_stage.values().map(|depth| depth.waiting).sum(),
        running: by_stage.values().map(|depth| depth.running).sum(),
        delayed: state.queue.delayed().await?,
        by_stage,
    })
}

fn processing_times(recent: Recent) -> ProcessingTimes {
    let mut by_measure: BTreeMap<String, Percentiles> = recent
        .percentiles
        .into_iter()
        .map(|PercentilesRow { measure, p50_seconds, p95_seconds, p99_seconds, .. }| {
            (measure, Percentiles { p50_seconds, p95_seconds, p99_seconds })
        })
        .collect();
    ProcessingTimes { jobs: recent.jobs as u64, total: by_measure.remove("processing"), by_stage: by_measure }
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64 * 1000.0).round() / 10.0 }
}

fn resources(state: &ApiState) -> ResourceMetrics {
    let mut machine = state.figures.machine.lock().unwrap_or_else(PoisonError::into_inner);
    machine.refresh_cpu_usage();
    machine.refresh_memory();
    let (total, used) = (machine.total_memory(), machine.used_memory());
    let (disk_total, disk_free) = rustix::fs::statvfs(&state.media.root)
        .map_or((0, 0), |stat| (stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize));
    ResourceMetrics {
        cpu_usage_percent: (f64::from(machine.global_cpu_usage()) * 10.0).round() / 10.0,
        processors: machine.cpus().len() as u64,
        memory_total_bytes: total,
        memory_used_bytes: used,
        memory_usage_percent: percent(used, total),
        disk_total_bytes: disk_total,
        disk_free_bytes: disk_free,
        disk_usage_percent: percent(disk_total.saturating_sub(disk_free), disk_total),
    }
}

async fn find_queue_status(state: Arc<ApiState>) -> Found<QueueStatusAnswer> {
    queue_status(&state).await.map(Arc::new).map_err(Arc::new)
}

async fn queue_status(state: &Arc<ApiState>) -> Result<QueueStatusAnswer, projections::Error> {
    let now = Utc::now();
    let waiting = state.catalog.waiting().await?;
    let seconds = |since: DateTime<Utc>| (now - since).num_milliseconds().max(0) as f64 / 1000.0;
    let depth = waiting.by_priority.iter().map(|(_, jobs)| jobs).sum();
    Ok(QueueStatusAnswer {
        depth,
        running: waiting.running,
        oldest_waiting_seconds: waiting.oldest.map_or(0.0, seconds),
        estimated_wait_seconds: (state.forecasts.wait_of_new(Priority::default()) * 10.0).round() / 10.0,
        by_priority: waiting.by_priority.into_iter().collect(),
        timestamp: now,
    })
}
