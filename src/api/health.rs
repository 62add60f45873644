//! `/system/health`, `/healthz` and `/readyz`.
//!
//! An examination of all components is made at most once a second, whoever asks: health, readiness and metrics share
//! it. So requests without a token cannot cost more than that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt, join_all};
use salvo::http::StatusCode;
use salvo::oapi::{ToSchema, endpoint};
use salvo::prelude::*;
use serde::Serialize;

use super::metrics::{self, Metric, Sample};
use super::problem::Problem;
use super::single_flight::SingleFlight;
use super::{ApiState, state};
use crate::consumers::running_workers;
use crate::domain::operations::Decision;
use crate::events::{Stage, counters, time_field};
use crate::projections::halts::{self, Halt};
use crate::projections::{lag, quarantine};
use crate::storage::StorageMode;

/// How old an examination may be.
const EXAMINATION_INTERVAL: Duration = Duration::from_secs(1);
/// No component may hold up the answer longer than this.
const PATIENCE: Duration = Duration::from_secs(2);
const LOW_DISK_BYTES: u64 = 2 << 30;
const CRITICAL_DISK_BYTES: u64 = 256 << 20;
const LOW_MEMORY_BYTES: u64 = 512 << 20;
const CRITICAL_MEMORY_BYTES: u64 = 128 << 20;
const LAG_WORTH_A_WARNING: u64 = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Healthy,
    Degraded,
    Unhealthy,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Healthy => "healthy",
            Level::Degraded => "degraded",
            Level::Unhealthy => "unhealthy",
        }
    }
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct HealthAnswer {
    /// The worst of the components: `healthy`, `degraded` or `unhealthy`.
    pub status: String,
    /// redis, postgres, storage, queue, workers, projections, disk, memory.
    pub components: BTreeMap<String, ComponentHealth>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ComponentHealth {
    pub status: String,
    pub latency_ms: f64,
    pub detail: String,
}

/// What is found of one component.
struct Finding {
    level: Level,
    detail: String,
    samples: Vec<Sample>,
}

impl Finding {
    fn new(level: Level, detail: impl Into<String>) -> Self {
        Self { level, detail: detail.into(), samples: vec![] }
    }
}

/// What is found of all components.
pub struct Examination {
    level: Level,
    answer: HealthAnswer,
    /// Of the components that answered.
    pub samples: Vec<Sample>,
}

/// The latest examination, made anew when it is too old.
pub struct Examinations(SingleFlight<Arc<Examination>>);

impl Default for Examinations {
    fn default() -> Self {
        Self(SingleFlight::new(EXAMINATION_INTERVAL))
    }
}

impl Examinations {
    pub async fn latest(&self, state: &Arc<ApiState>) -> Result<Arc<Examination>, Problem> {
        let latest = self.0.get(|| examine(state.clone())).await;
        latest.ok_or_else(Problem::internal)
    }
}

/// The health of every component
///
/// 503 when one is unhealthy or a resource is critically low.
#[endpoint(
    tags("system"),
    operation_id = "get_health",
    responses((status_code = 200, description = "Healthy or degraded", body = HealthAnswer),
              (status_code = 503, description = "Unhealthy", body = HealthAnswer))
)]
pub async fn get_health(depot: &mut Depot, res: &mut Response) -> Result<(), Problem> {
    let state = state(depot)?;
    let examination = state.examinations.latest(&state).await?;
    let is_unhealthy = examination.level == Level::Unhealthy;
    res.status_code(if is_unhealthy { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK });
    res.render(Json(examination.answer.clone()));
    Ok(())
}

/// Liveness of the process
///
/// For programs that restart processes.
#[endpoint(tags("system"), operation_id = "is_alive",
    responses((status_code = 200, description = "It runs", body = String, content_type = "text/plain")))]
pub async fn healthz(res: &mut Response) {
    res.render("ok");
}

/// Readiness to serve requests
///
/// For load balancers: 503 while a component is unhealthy.
#[endpoint(tags("system"), operation_id = "is_ready",
    responses((status_code = 200, description = "They can", body = String, content_type = "text/plain"),
              (status_code = 503, description = "Not now", body = super::problem::ErrorBody)))]
pub async fn readyz(depot: &mut Depot, res: &mut Response) -> Result<(), Problem> {
    let state = state(depot)?;
    if state.examinations.latest(&state).await?.level == Level::Unhealthy {
        return Err(Problem::unavailable("not ready"));
    }
    res.render("ready");
    Ok(())
}

async fn examine(state: Arc<ApiState>) -> Arc<Examination> {
    let state = state.as_ref();
    let checks: [(&'static str, BoxFuture<'_, Finding>); 8] = [
        ("redis", redis(state).boxed()),
        ("postgres", postgres(state).boxed()),
        ("storage", storage(state).boxed()),
        ("queue", queue(state).boxed()),
        ("workers", workers(state).boxed()),
        ("projections", projections(state).boxed()),
        ("disk", disk(state).boxed()),
        ("memory", memory().boxed()),
    ];
    let examined = join_all(checks.map(|(name, check)| examine_component(name, check)));
    let (examined, counted) = tokio::join!(examined, counted(state));
    let level = examined.iter().map(|(_, level, _, _)| *level).max().unwrap_or(Level::Healthy);
    let (mut components, mut samples) = (BTreeMap::new(), counted);
    for (name, level, health, found) in examined {
        components.insert(name.to_owned(), health);
        samples.push(metrics::COMPONENT_HEALTH.sample(&[("component", name)], level as u64));
        samples.extend(found);
    }
    let answer = HealthAnswer { status: level.name().to_owned(), components };
    Arc::new(Examination { level, answer, samples })
}

async fn examine_component(
    name: &'static str,
    check: impl Future<Output = Finding>,
) -> (&'static str, Level, ComponentHealth, Vec<Sample>) {
    let began = Instant::now();
    let Finding { level, detail, samples } =
        tokio::time::timeout(PATIENCE, check).await.unwrap_or_else(|_| {
            Finding::new(Level::Unhealthy, format!("no answer within {} s", PATIENCE.as_secs()))
        });
    let latency_ms = (began.elapsed().as_secs_f64() * 1e5).round() / 100.0;
    (name, level, ComponentHealth { status: level.name().to_owned(), latency_ms, detail }, samples)
}

/// What went wrong is for the log; the answer is public.
fn away(what: &str, error: &dyn std::error::Error) -> Finding {
    tracing::warn!(error = %crate::telemetry::chain(error), "{what} failed its health check");
    Finding::new(Level::Unhealthy, format!("{what} does not answer"))
}

async fn redis(state: &ApiState) -> Finding {
    match (state.executor.log().ping().await, state.durability.warning()) {
        (Err(error), _) => away("redis", &error),
        (Ok(()), Some(warning)) => Finding::new(Level::Degraded, warning),
        (Ok(()), None) => Finding::new(Level::Healthy, "appendonly, every write flushed"),
    }
}

async fn postgres(state: &ApiState) -> Finding {
    match sqlx::query("select 1").execute(&state.pool).await {
        Ok(_) => Finding::new(Level::Healthy, format!("{} connections", state.pool.size())),
        Err(error) => away("postgres", &error),
    }
}

async fn storage(state: &ApiState) -> Finding {
    let root = state.media.root.clone();
    // Written and removed: that is what workers will do.
    let tried = tokio::task::spawn_blocking(move || tempfile::tempfile_in(root)).await;
    match tried {
        Ok(Ok(_)) => bucket(state).await,
        Ok(Err(error)) => away("MEDIA_ROOT", &error),
        Err(error) => away("MEDIA_ROOT", &error),
    }
}

/// Counters are worth telling whatever the state of the components is.
async fn counted(state: &ApiState) -> Vec<Sample> {
    match tokio::time::timeout(PATIENCE, counters::read(state.executor.log())).await {
        Ok(Ok(counted)) => metrics::of_counted(&counted, &state.projections),
        Ok(Err(error)) => {
            tracing::debug!(error = %crate::telemetry::chain(&error), "the counters of all processes are not told");
            vec![]
        }
        Err(_too_slow) => vec![],
    }
}

async fn bucket(state: &ApiState) -> Finding {
    let Some(s3) = &state.stores.s3 else { return Finding::new(Level::Healthy, "MEDIA_ROOT is writable") };
    match s3.reach().await {
        Ok(()) => Finding::new(Level::Healthy, "MEDIA_ROOT is writable, and the bucket answers"),
        // Videos stay on the disk until it is back.
        Err(error) if state.stores.mode == StorageMode::LocalAndS3 => {
            Finding::new(Level::Degraded, away("the bucket", &error).detail)
        }
        Err(error) => away("the bucket", &error),
    }
}

async fn queue(state: &ApiState) -> Finding {
    let (mut waiting, mut taken, mut samples) = (0, 0, vec![]);
    for stage in Stage::ALL {
        match state.queue.depth(stage).await {
            Ok(depth) => {
                waiting += depth.waiting;
                taken += depth.taken;
                let labels = [("stage", stage.name())];
                samples.push(metrics::QUEUE_WAITING.sample(&labels, depth.waiting));
                samples.push(metrics::QUEUE_RUNNING.sample(&labels, depth.taken));
            }
            Err(error) => return away("the queue", &error),
        }
    }
    let found = tokio::try_join!(state.queue.open(), state.queue.delayed(), state.queue.oldest());
    let (open, delayed, oldest) = match found {
        Ok(found) => found,
        Err(error) => return away("the queue", &error),
    };
    let (max, decided) = (state.controls.streams().limits.open_jobs, state.controls.decided());
    samples.push(metrics::JOBS_OPEN.sample(&[], open));
    samples.push(metrics::QUEUE_DELAYED.sample(&[], delayed));
    for stage in Stage::ALL {
        let waited =
            oldest.get(&stage).map_or(0.0, |since| since.elapsed().unwrap_or_default().as_secs_f64());
        samples.push(metrics::QUEUE_OLDEST.part("", &[("stage", stage.name())], waited));
    }
    let mut details =
        vec![format!("{open} of at most {max} jobs open, {waiting} pieces of work waiting, {taken} running")];
    samples.push(metrics::DRAINING.sample(&[], u64::from(decided.drain.is_some())));
    for stage in Stage::ALL {
        let is_paused = decided.paused.contains_key(&stage);
        samples.push(metrics::STAGE_PAUSED.sample(&[("stage", stage.name())], u64::from(is_paused)));
    }
    let drained = decided.drain.iter().map(|drain| ("no new jobs are accepted".to_owned(), drain));
    let paused = decided.paused.iter().map(|(stage, pause)| (format!("{stage} is paused"), pause));
    for (what, Decision { reason, since }) in drained.chain(paused) {
        details.push(format!("{what} since {}: {reason}", time_field(*since)));
    }
    let is_held = open >= max || details.len() > 1;
    let level = if is_held { Level::Degraded } else { Level::Healthy };
    Finding { level, detail: details.join("; "), samples }
}

async fn workers(state: &ApiState) -> Finding {
    let (finding, count) = match running_workers(state.executor.log()).await {
        Ok(0) => (Finding::new(Level::Degraded, "no worker is running: jobs wait"), 0),
        Ok(count) => (Finding::new(Level::Healthy, format!("{count} running")), count),
        Err(error) => return away("the list of workers", &error),
    };
    Finding { samples: vec![metrics::WORKERS.sample(&[], count as u64)], ..finding }
}

async fn projections(state: &ApiState) -> Finding {
    let log = state.executor.log();
    let (mut level, mut details, mut samples) = (Level::Healthy, vec![], vec![]);
    match halts::all(log).await {
        Ok(halts) => {
            for Halt { projection, partition, seq, .. } in halts {
                level = Level::Degraded;
                let labels = [("projection", projection.as_str()), ("partition", &partition.to_string())];
                samples.push(metrics::PROJECTION_HALTED.sample(&labels, 1));
                details.push(format!("{projection} is halted at event {seq} of partition {partition}"));
            }
        }
        Err(error) => return away("the list of halted projections", &error),
    }
    match quarantine::all(state.executor.log()).await {
        Ok(quarantined) => {
            for projection in &state.projections {
                let name = projection.name();
                let count = quarantined.iter().filter(|(of, ..)| of == name).count();
                samples.push(metrics::PROJECTION_QUARANTINED.sample(&[("projection", name)], count as u64));
                if count > 0 {
                    level = Level::Degraded;
                    details.push(format!("{name} passes over {count} aggregates that it cannot apply"));
                }
            }
        }
        Err(error) => return away("the list of quarantined aggregates", &error),
    }
    for projection in &state.projections {
        match lag(log, projection.as_ref()).await {
            Ok(events) => {
                if events > LAG_WORTH_A_WARNING {
                    level = Level::Degraded;
                }
                samples.push(metrics::PROJECTION_LAG.sample(&[("projection", projection.name())], events));
                details.push(format!("{} is {events} events behind", projection.name()));
            }
            Err(error) => return away(projection.name(), &error),
        }
    }
    Finding { level, detail: details.join(", "), samples }
}

fn by_bytes(free: u64, low: u64, critical: u64, what: &str, metric: Metric) -> Finding {
    let level = match free {
        free if free < critical => Level::Unhealthy,
        free if free < low => Level::Degraded,
        _ => Level::Healthy,
    };
    let finding = Finding::new(level, format!("{} MB {what}", free >> 20));
    Finding { samples: vec![metric.sample(&[], free)], ..finding }
}

async fn disk(state: &ApiState) -> Finding {
    match rustix::fs::statvfs(&state.media.root) {
        Ok(stat) => by_bytes(
            stat.f_bavail * stat.f_frsize,
            LOW_DISK_BYTES,
            CRITICAL_DISK_BYTES,
            "free under MEDIA_ROOT",
            metrics::DISK_FREE,
        ),
        Err(error) => away("MEDIA_ROOT", &std::io::Error::from(error)),
    }
}

async fn memory() -> Finding {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let (free, what) = (system.available_memory(), "of memory available");
    by_bytes(free, LOW_MEMORY_BYTES, CRITICAL_MEMORY_BYTES, what, metrics::MEMORY_AVAILABLE)
}
