//! `/system/health`, `/healthz` and `/readyz`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use salvo::http::StatusCode;
use salvo::oapi::{ToSchema, endpoint};
use salvo::prelude::*;
use serde::Serialize;

use super::problem::Problem;
use super::{ApiState, state};
use crate::consumers::running_workers;
use crate::events::Stage;
use crate::projections::halts::{self, Halt};
use crate::projections::{lag, quarantine};

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

#[derive(Debug, Serialize, ToSchema)]
pub struct HealthAnswer {
    /// The worst of the components: `healthy`, `degraded` or `unhealthy`.
    pub status: String,
    /// redis, postgres, storage, queue, workers, projections, disk, memory.
    pub components: BTreeMap<String, ComponentHealth>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ComponentHealth {
    pub status: String,
    pub latency_ms: f64,
    pub detail: String,
}

type Finding = (Level, String);

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
    let (level, answer) = examine(state(depot)?.as_ref()).await;
    res.status_code(if level == Level::Unhealthy { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK });
    res.render(Json(answer));
    Ok(())
}

/// Whether the process runs at all.
#[handler]
pub async fn healthz(res: &mut Response) {
    res.render("ok");
}

/// Whether requests can be served.
#[handler]
pub async fn readyz(depot: &mut Depot, res: &mut Response) -> Result<(), Problem> {
    let (level, _) = examine(state(depot)?.as_ref()).await;
    if level == Level::Unhealthy {
        return Err(Problem::unavailable("not ready"));
    }
    res.render("ready");
    Ok(())
}

async fn examine(state: &ApiState) -> (Level, HealthAnswer) {
    let findings = tokio::join!(
        timed("redis", redis(state)),
        timed("postgres", postgres(state)),
        timed("storage", storage(state)),
        timed("queue", queue(state)),
        timed("workers", workers(state)),
        timed("projections", projections(state)),
        timed("disk", disk(state)),
        timed("memory", memory()),
    );
    let (a, b, c, d, e, f, g, h) = findings;
    let mut worst = Level::Healthy;
    let mut components = BTreeMap::new();
    for (name, level, health) in [a, b, c, d, e, f, g, h] {
        worst = worst.max(level);
        components.insert(name.to_owned(), health);
    }
    (worst, HealthAnswer { status: worst.name().to_owned(), components })
}

async fn timed(
    name: &'static str,
    check: impl Future<Output = Finding>,
) -> (&'static str, Level, ComponentHealth) {
    let began = Instant::now();
    let (level, detail) = tokio::time::timeout(PATIENCE, check)
        .await
        .unwrap_or_else(|_| (Level::Unhealthy, format!("no answer within {} s", PATIENCE.as_secs())));
    let latency_ms = (began.elapsed().as_secs_f64() * 1e5).round() / 100.0;
    (name, level, ComponentHealth { status: level.name().to_owned(), latency_ms, detail })
}

/// What went wrong is for the log; the answer is public.
fn away(what: &str, error: &dyn std::error::Error) -> Finding {
    tracing::warn!(error = %crate::telemetry::chain(error), "{what} failed its health check");
    (Level::Unhealthy, format!("{what} does not answer"))
}

async fn redis(state: &ApiState) -> Finding {
    let ping: Result<String, _> =
        redis::cmd("PING").query_async(&mut state.executor.log().connection()).await;
    match (ping, state.durability.warning()) {
        (Err(error), _) => away("redis", &error),
        (Ok(_), Some(warning)) => (Level::Degraded, warning),
        (Ok(_), None) => (Level::Healthy, "appendonly, every write flushed".to_owned()),
    }
}

async fn postgres(state: &ApiState) -> Finding {
    match sqlx::query("select 1").execute(&state.pool).await {
        Ok(_) => (Level::Healthy, format!("{} connections", state.pool.size())),
        Err(error) => away("postgres", &error),
    }
}

async fn storage(state: &ApiState) -> Finding {
    let root = state.media.root.clone();
    // Written and removed: that is what workers will do.
    let tried = tokio::task::spawn_blocking(move || tempfile::tempfile_in(root)).await;
    match tried {
        Ok(Ok(_)) => (Level::Healthy, "MEDIA_ROOT is writable".to_owned()),
        Ok(Err(error)) => away("MEDIA_ROOT", &error),
        Err(error) => away("MEDIA_ROOT", &error),
    }
}

async fn queue(state: &ApiState) -> Finding {
    let (mut waiting, mut taken) = (0, 0);
    for stage in Stage::ALL {
        match state.queue.depth(stage).await {
            Ok(depth) => {
                waiting += depth.waiting;
                taken += depth.taken;
            }
            Err(error) => return away("the queue", &error),
        }
    }
    let (open, most) = match state.queue.open().await {
        Ok(open) => (open, state.streams.limits.open_jobs),
        Err(error) => return away("the queue", &error),
    };
    let level = if open >= most { Level::Degraded } else { Level::Healthy };
    (level, format!("{open} of at most {most} jobs open, {waiting} pieces of work waiting, {taken} running"))
}

async fn workers(state: &ApiState) -> Finding {
    match running_workers(state.executor.log()).await {
        Ok(0) => (Level::Degraded, "no worker is running: jobs wait".to_owned()),
        Ok(count) => (Level::Healthy, format!("{count} running")),
        Err(error) => away("the list of workers", &error),
    }
}

async fn projections(state: &ApiState) -> Finding {
    let mut details = vec![];
    let mut level = Level::Healthy;
    match halts::all(state.executor.log()).await {
        Ok(halts) => {
            for halt in halts {
                level = Level::Degraded;
                let Halt { projection, partition, seq, .. } = halt;
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
                if count > 0 {
                    level = Level::Degraded;
                    details.push(format!("{name} passes over {count} aggregates that it cannot apply"));
                }
            }
        }
        Err(error) => return away("the list of quarantined aggregates", &error),
    }
    for projection in &state.projections {
        match lag(state.executor.log(), projection.as_ref()).await {
            Ok(events) => {
                if events > LAG_WORTH_A_WARNING {
                    level = Level::Degraded;
                }
                details.push(format!("{} is {events} events behind", projection.name()));
            }
            Err(error) => return away(projection.name(), &error),
        }
    }
    (level, details.join(", "))
}

fn by_bytes(free: u64, low: u64, critical: u64, what: &str) -> Finding {
    let level = match free {
        free if free < critical => Level::Unhealthy,
        free if free < low => Level::Degraded,
        _ => Level::Healthy,
    };
    (level, format!("{} MB {what}", free >> 20))
}

async fn disk(state: &ApiState) -> Finding {
    match rustix::fs::statvfs(&state.media.root) {
        Ok(stat) => by_bytes(
            stat.f_bavail * stat.f_frsize,
            LOW_DISK_BYTES,
            CRITICAL_DISK_BYTES,
            "free under MEDIA_ROOT",
        ),
        Err(error) => away("MEDIA_ROOT", &std::io::Error::from(error)),
    }
}

async fn memory() -> Finding {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    by_bytes(system.available_memory(), LOW_MEMORY_BYTES, CRITICAL_MEMORY_BYTES, "of memory available")
}
