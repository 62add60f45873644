//! Forecasts of when jobs complete. The forecast is made anew once a second at most, in the background: no
//! answer waits for it. What is accepted in between is added to it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

use super::ApiState;
use super::problem::Problem;
use super::single_flight::SingleFlight;
use crate::config::{MediaConfig, Streams};
use crate::consumers::processor_slots_of;
use crate::consumers::running_workers;
use crate::events::{EventLog, Priority, Stage};
use crate::ids::{AggregateId, JobId};
use crate::projections;
use crate::projections::catalog::{Catalog, JobRow};
use crate::projections::estimates::{Forecast, OpenJob, Slots, Speeds};
use crate::projections::status::StatusView;
use crate::telemetry::chain;

/// How old a forecast may be before another is made.
const FORECAST_INTERVAL: Duration = Duration::from_secs(1);
/// How long speeds are taken to be the same.
const SPEEDS_INTERVAL: Duration = Duration::from_secs(10);
/// After this time the catalog knows of a job that was accepted.
const KNOWN_AFTER: Duration = Duration::from_secs(1);
/// Jobs that were accepted within that time, at most.
const MAX_ACCEPTED: usize = 10_000;

/// The latest forecast. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Forecasts(Arc<Inner>);

struct Inner {
    log: EventLog,
    catalog: Catalog,
    streams: Streams,
    max_concurrent_renders: usize,
    max_scene_concurrency: u32,
    latest: Mutex<Forecast>,
    accepted: Mutex<VecDeque<(Instant, OpenJob)>>,
    speeds: Mutex<Option<(Instant, Speeds)>>,
    refresh: SingleFlight<()>,
}

impl Forecasts {
    /// Until the first is made: nothing is open, and speeds are guessed.
    pub fn new(log: EventLog, catalog: Catalog, streams: Streams, media: &MediaConfig) -> Self {
        let slots = Slots { of_stage: [1.0; Stage::ALL.len()], scenes_of_job: 1.0, of_all: 1.0 };
        let first = Forecast::new(Utc::now(), Speeds::default(), slots, vec![]);
        Self(Arc::new(Inner {
            log,
            catalog,
            streams,
            max_concurrent_renders: media.max_concurrent_renders,
            max_scene_concurrency: media.max_scene_concurrency,
            latest: Mutex::new(first),
            accepted: Mutex::default(),
            speeds: Mutex::new(None),
            refresh: SingleFlight::new(FORECAST_INTERVAL),
        }))
    }

    /// The latest forecast. Begins to make another when it is old.
    fn latest(&self) -> MutexGuard<'_, Forecast> {
        let inner = self.0.clone();
        self.0.refresh.start(move || async move { inner.make_another().await });
        self.0.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seconds after which a new job begins.
    pub fn wait_of_new(&self, priority: Priority) -> f64 {
        self.latest().wait_of_new(priority)
    }

    /// Takes a job in that was just accepted, and tells when it will be done.
    pub fn accept(&self, view: &StatusView) -> DateTime<Utc> {
        let job = OpenJob {
            job_id: view.job_id,
            user_id: view.user_id.clone(),
            priority: view.priority,
            quality: view.quality,
            has_begun: false,
            percentage: 0.0,
            created_at: view.created_at,
            narration_seconds: view.narration_ms as f64 / 1000.0,
        };
        // In this order: a forecast that is made meanwhile finds it there.
        self.0.accept(job.clone());
        told(self.latest().accept(&job))
    }

    /// Tells in the view when a job will be done that is going on.
    pub fn estimate(&self, view: &mut StatusView) {
        view.estimated_completion = self.completion_of(view);
    }

    /// When a job will be done, or was.
    pub fn completion_of(&self, view: &StatusView) -> Option<DateTime<Utc>> {
        match view.ended_at {
            None => Some(self.estimate_of(view)),
            Some(_) => view.estimated_completion,
        }
    }

    /// When a job will be done that is taken to go on.
    pub fn estimate_of(&self, view: &StatusView) -> DateTime<Utc> {
        let forecast = self.latest();
        told(forecast.completion_of(view.job_id).unwrap_or_else(|| {
            let seconds = view.narration_ms as f64 / 1000.0;
            forecast.completion_of_new(view.created_at, view.priority, view.quality, seconds)
        }))
    }

    /// The same for a row of a list.
    pub fn estimate_row(&self, row: &mut JobRow) {
        if row.ended_at.is_none() {
            let found = self.latest().completion_of(JobId(row.job_id));
            row.estimated_completion = Some(told(found.unwrap_or(row.created_at)));
        }
    }
}

impl Inner {
    fn accept(&self, job: OpenJob) {
        let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        while accepted.front().is_some_and(|(at, _)| at.elapsed() > KNOWN_AFTER)
            || accepted.len() >= MAX_ACCEPTED
        {
            accepted.pop_front();
        }
        accepted.push_back((Instant::now(), job));
    }

    async fn make_another(&self) {
        match self.make_forecast().await {
            Ok(mut forecast) => {
                // Both locks are held, so that no job is accepted into a forecast that is thrown away.
                let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
                let accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
                for (_, job) in accepted.iter().filter(|(at, _)| at.elapsed() < KNOWN_AFTER) {
                    forecast.accept(job);
                }
                *latest = forecast;
            }
            // The one before goes on being used.
            Err(error) => tracing::warn!(error = %chain(&error), "no forecast could be made"),
        }
    }

    async fn make_forecast(&self) -> Result<Forecast, projections::Error> {
        let workers = running_workers(&self.log).await?.max(1) as f64;
        let slots = |stage: Stage| {
            let slots = self.streams.stage(stage).concurrency;
            let slots =
                if stage == Stage::Rendering { slots.min(self.max_concurrent_renders) } else { slots };
            slots as f64 * workers
        };
        let slots = Slots {
            of_stage: Stage::ALL.map(slots),
            scenes_of_job: f64::from(self.max_scene_concurrency),
            of_all: processor_slots_of(self.max_concurrent_renders) as f64 * workers,
        };
        let speeds = self.speeds().await?;
        Ok(Forecast::new(Utc::now(), speeds, slots, self.catalog.open_jobs().await?))
    }

    async fn speeds(&self) -> Result<Speeds, projections::Error> {
        let known = || self.speeds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, speeds)) = known().as_ref()
            && at.elapsed() < SPEEDS_INTERVAL
        {
            return Ok(speeds.clone());
        }
        let speeds = Speeds::learn(&self.catalog.samples().await?);
        *known() = Some((Instant::now(), speeds.clone()));
        Ok(speeds)
    }
}

/// A forecast as it is told: what should have been done by now is about to be, and nobody knows it better than to a tenth of
/// a second.
fn told(found: DateTime<Utc>) -> DateTime<Utc> {
    let found = found.max(Utc::now());
    found.trunc_subsecs(1) + TimeDelta::milliseconds(100)
}

/// Notes what a request was promised, for as long as it may be repeated; gives what was promised first. Workers compare
/// it with when the job is done (`consumers/measure.rs`). Where no answer may be repeated, only they need it.
pub async fn first_estimate(
    state: &ApiState,
    id: AggregateId,
    completion: DateTime<Utc>,
    is_repeatable: bool,
) -> Result<DateTime<Utc>, Problem> {
    let (log, kept_for) = (state.executor.log(), state.streams.retention.idempotency_key);
    let mut set = redis::cmd("SET");
    set.arg(log.keys().promise(id)).arg(completion.timestamp_millis());
    set.arg("NX").arg("GET").arg("EX").arg(kept_for.as_secs());
    match set.query_async::<Option<i64>>(&mut log.connection()).await {
        Ok(earlier) => Ok(earlier.and_then(DateTime::from_timestamp_millis).unwrap_or(completion)),
        Err(error) if is_repeatable => Err(error.into()),
        Err(error) => {
            tracing::debug!(%id, %error, "the first estimate of an accepted request is not kept");
            Ok(completion)
        }
    }
}
