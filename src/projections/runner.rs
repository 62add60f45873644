//! Feeds projections: one reader for each projection and partition.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::halts::{self, Halt};
use super::quarantine::{Quarantine, passes_over};
use super::{Batch, Error, Owner, Projection};
use crate::alerts;
use crate::crash;
use crate::events::doorbell::{self, Doorbell};
use crate::events::{BatchEvent, ConfigurationEvent, Envelope, Event, EventLog, JobEvent, UploadEvent};
use crate::execute::Executor;
use crate::telemetry::chain;
use crate::telemetry::metrics::Family;

/// Most events read at a time.
const BATCH: usize = 2000;
/// Pause before a server that was away is tried again.
const PAUSE: Duration = Duration::from_millis(500);
/// Pause before a halted projection looks whether it may go on.
const HALTED: Duration = Duration::from_secs(1);
/// Pause before asking again for what another process owns.
const OWNED_ELSEWHERE: Duration = Duration::from_secs(1);

const BATCH_BUCKETS_S: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 2.5, 10.0];
const DELAY_BUCKETS_S: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 300.0, 3600.0];

pub static BATCH_SECONDS: Family = Family::durations(
    "reel_projection_batch_duration_seconds",
    "Batches of events that a projection has applied, from reading them to their commit.",
    &["projection"],
    &BATCH_BUCKETS_S,
);
pub static DELAY_SECONDS: Family = Family::durations(
    "reel_projection_delay_seconds",
    "The time from when the last event of a batch is recorded until a projection has applied it.",
    &["projection"],
    &DELAY_BUCKETS_S,
);
pub static APPLIED_EVENTS: Family = Family::counter(
    "reel_projection_events_total",
    "Events that a projection has applied, or passed over.",
    &["projection"],
);

/// Runs until `stop`. An event that cannot be applied quarantines its aggregate. An error that a retry cannot fix and that
/// is no single aggregate's fault halts the reader, until an operator fixes the cause or skips the event. Only a log that
/// has lost what was read before ends the run, with an error.
pub async fn run(
    executor: Executor,
    doorbell: Doorbell,
    projections: Vec<Arc<dyn Projection>>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let readers = TaskTracker::new();
    let (lost, mut was_lost) = mpsc::channel(1);
    for projection in projections {
        for partition in executor.log().keys().partitions() {
            let bell = doorbell.partition(partition);
            let (projection, stop) = (projection.clone(), stop.clone());
            let mut reader = Reader { executor: executor.clone(), projection, partition, bell, stop };
            let lost = lost.clone();
            readers.spawn(async move {
                if let Err(error) = reader.read().await {
                    tracing::error!(projection = reader.projection.name(), partition, error = %chain(&error), "projection stopped");
                    // One is enough; the others find the place taken.
                    let _told_already = lost.try_send(error);
                }
            });
        }
    }
    readers.close();
    drop(lost);
    tokio::select! {
        // When all readers end at once, why they did must not be lost.
        biased;
        Some(error) = was_lost.recv() => Err(error),
        () = readers.wait() => Ok(()),
    }
}

struct Reader {
    executor: Executor,
    projection: Arc<dyn Projection>,
    partition: u16,
    bell: watch::Receiver<()>,
    stop: CancellationToken,
}

/// Why a batch was not applied.
pub struct Stuck {
    pub error: Error,
    /// What was to be applied; `None` when it could not be read.
    pub batch: Option<Batch>,
}

impl From<Error> for Stuck {
    fn from(error: Error) -> Self {
        Self { error, batch: None }
    }
}

impl Reader {
    fn log(&self) -> &EventLog {
        self.executor.log()
    }

    /// Owns the partition and follows it, again and again, until it is to stop. An error means that the log cannot be
    /// trusted.
    async fn read(&mut self) -> Result<(), Error> {
        while !self.stop.is_cancelled() {
            let error = match self.projection.own(self.partition).await {
                Ok(Some(owner)) => match self.follow(owner).await {
                    Ok(()) => return Ok(()),
                    Err(error) => error,
                },
                Ok(None) => {
                    self.pause(OWNED_ELSEWHERE).await;
                    continue;
                }
                Err(error) => error,
            };
            if matches!(error, Error::AheadOfLog { .. }) {
                return Err(error);
            }
            let (projection, partition) = (self.projection.name(), self.partition);
            tracing::warn!(projection, partition, error = %chain(&error), "projection begins again in a moment");
            self.pause(PAUSE).await;
        }
        Ok(())
    }

    /// Waits, unless it is to stop.
    async fn pause(&self, duration: Duration) {
        let _stops = tokio::time::timeout(duration, self.stop.cancelled()).await;
    }

    /// Applies events as they come, while it is the owner. Ends well when it is to stop.
    async fn follow(&mut self, mut owner: Box<dyn Owner>) -> Result<(), Error> {
        let (name, partition) = (self.projection.name(), self.partition);
        self.check_log(owner.checkpoint()).await?;
        let mut quarantine = Quarantine::new(self.executor.clone(), name, partition);
        let mut most = BATCH;
        let mut halted_at = None;
        // By this process or by the owner before.
        let mut may_be_noted = true;
        while !self.stop.is_cancelled() {
            self.bell.borrow_and_update();
            quarantine.settle(owner.as_mut()).await?;
            let skips = quarantine.decisions().skips(partition);
            let began = Instant::now();
            let stuck = match step(self.log(), owner.as_mut(), partition, &skips, most, u64::MAX).await {
                Ok(Applied { read, recorded_at }) => {
                    if read > 0 {
                        BATCH_SECONDS.with(&[name]).observe(began.elapsed());
                        APPLIED_EVENTS.with(&[name]).add(read as u64);
                    }
                    if let Some(at) = recorded_at {
                        DELAY_SECONDS.with(&[name]).observe((Utc::now() - at).to_std().unwrap_or_default());
                    }
                    if std::mem::take(&mut may_be_noted) {
                        halts::clear(self.log(), name, partition).await?;
                    }
                    most = (most * 2).min(BATCH);
                    if read == 0 {
                        self.wait(owner.as_mut()).await?;
                    }
                    continue;
                }
                Err(stuck) => stuck,
            };
            if stuck.error.is_retryable() || matches!(stuck.error, Error::AheadOfLog { .. }) {
                return Err(stuck.error);
            }
            let seq = owner.checkpoint() + 1;
            if halted_at != Some(seq) && quarantine.isolate(owner.as_mut(), &stuck).await? {
                continue;
            }
            // Halves, until the event that cannot be applied is the first one.
            if most > 1 {
                most /= 2;
                continue;
            }
            if halted_at.replace(seq) != Some(seq) {
                self.halt(seq, &stuck.error).await?;
                may_be_noted = true;
            }
            self.pause(HALTED).await;
            owner.renew().await?;
        }
        owner.release().await
    }

    /// Waits until something may have been appended.
    async fn wait(&mut self, owner: &mut dyn Owner) -> Result<(), Error> {
        let has_rung = tokio::select! {
            () = self.stop.cancelled() => return Ok(()),
            has_rung = doorbell::rung(&mut self.bell) => has_rung,
        };
        // What is written after a ring says as much.
        if !has_rung {
            self.check_log(owner.checkpoint()).await?;
            owner.renew().await?;
        }
        Ok(())
    }

    /// A log that ends before what was read of it is not the one that was read.
    async fn check_log(&self, checkpoint: u64) -> Result<(), Error> {
        let (projection, partition) = (self.projection.name(), self.partition);
        let head = self.log().head(partition).await?;
        match checkpoint > head {
            true => Err(Error::AheadOfLog { projection, partition, checkpoint, head }),
            false => Ok(()),
        }
    }

    async fn halt(&self, seq: u64, error: &Error) -> Result<(), Error> {
        let (projection, partition) = (self.projection.name().to_owned(), self.partition);
        let mut reason = chain(error);
        if error.is_about_one_aggregate() {
            reason = format!("{TOO_MANY}; the first event that cannot be applied: {reason}");
        }
        let code = alerts::Code::ReadModelHalted;
        tracing::error!(alert = code.name(), projection, partition, seq, error = reason, "projection halted");
        let message = format!("{projection} stands still in front of event {seq} of partition {partition}");
        let details = vec![
            ("projection", projection.clone()),
            ("partition", partition.to_string()),
            ("seq", seq.to_string()),
        ];
        alerts::raise(code, message, details);
        let halt = Halt { projection, partition, seq, error: reason, since: Utc::now() };
        halts::note(self.log(), &halt).await
    }
}

/// Why a projection halts at an event that would only quarantine its aggregate.
const TOO_MANY: &str =
    "so many aggregates cannot be applied that this version of the program is the likely cause";

/// Applies up to `most` events that come after the owner's checkpoint, none past `until`, none of `skips`, and none of
/// quarantined aggregates. Returns how many were read.
pub async fn feed(
    log: &EventLog,
    owner: &mut dyn Owner,
    partition: u16,
    skips: &BTreeSet<u64>,
    most: usize,
    until: u64,
) -> Result<usize, Error> {
    let applied = step(log, owner, partition, skips, most, until).await;
    applied.map(|applied| applied.read).map_err(|stuck| stuck.error)
}

/// What [`step`] has applied.
#[derive(Debug, Clone, Copy, Default)]
pub struct Applied {
    /// Events read, those that were left out included.
    pub read: usize,
    /// When the last event that was applied was recorded.
    pub recorded_at: Option<DateTime<Utc>>,
}

/// Like [`feed`]; an error comes with the batch that was to be applied.
pub async fn step(
    log: &EventLog,
    owner: &mut dyn Owner,
    partition: u16,
    skips: &BTreeSet<u64>,
    most: usize,
    until: u64,
) -> Result<Applied, Stuck> {
    let after = owner.checkpoint();
    let most = most.min(until.saturating_sub(after) as usize);
    if most == 0 {
        return Ok(Applied::default());
    }
    if skips.contains(&(after + 1)) {
        owner.apply(&Batch { partition, last_seq: after + 1, ..Batch::default() }).await?;
        return Ok(Applied { read: 1, recorded_at: None });
    }
    let events = log.read(partition, after, most).await.map_err(Error::from)?;
    let Some(&(last_seq, _)) = events.last() else { return Ok(Applied::default()) };
    let read = events.len();
    let mut batch = Batch { partition, last_seq, events, ..Batch::default() };
    leave_out(&mut batch, skips, owner);
    crash::point("projection.before");
    if let Err(error) = owner.apply(&batch).await {
        return Err(Stuck { error, batch: Some(batch) });
    }
    crash::point("projection.after");
    Ok(Applied { read, recorded_at: batch.events.last().map(|(_, event)| event.recorded_at) })
}

/// Leaves out events that are skipped, and those of quarantined aggregates. An erasure among them takes effect all the
/// same: its type says it, whatever its history is.
fn leave_out(batch: &mut Batch, skips: &BTreeSet<u64>, owner: &dyn Owner) {
    let (quarantined, erased) = (owner.quarantined(), &mut batch.erased);
    if skips.is_empty() && quarantined.is_empty() {
        return;
    }
    batch.events.retain(|(seq, event)| {
        let is_passed_over = passes_over(quarantined, *seq, event);
        if is_passed_over && is_erasure(event) {
            erased.push(event.aggregate_id);
        }
        !is_passed_over && !skips.contains(seq)
    });
}

/// Whether an event says that all content of its aggregate was erased.
fn is_erasure(event: &Envelope) -> bool {
    let erasures = [
        (JobEvent::ContentErased {}).type_name(),
        (BatchEvent::BatchContentErased {}).type_name(),
        (UploadEvent::UploadsErased {}).type_name(),
        (ConfigurationEvent::ConfigurationsErased {}).type_name(),
    ];
    erasures.contains(&event.event_type.as_str())
}

/// How many events of all partitions a projection has not applied yet.
pub async fn lag(log: &EventLog, projection: &dyn Projection) -> Result<u64, Error> {
    let mut lag = 0;
    for partition in log.keys().partitions() {
        let head = log.head(partition).await?;
        lag += head.saturating_sub(projection.checkpoint(partition).await?);
    }
    Ok(lag)
}
