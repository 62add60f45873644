//! What was decided about a projection, by operators and by its own readers: the events of its aggregate.
//!
//! A skip leaves one event out for good. A quarantine passes over an aggregate from one event on, and a release takes
//! it up again. All of them hold for every rebuild, and say who decided it and why.
//!
//! This is the only module of `projections` that appends to the log.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::Error;
use super::quarantine::Quarantined;
use crate::domain::projection::{self, Command};
use crate::events::{Actor, Envelope, EventLog, ProjectionEvent, TypedId};
use crate::execute::{self, Executor, Origin};
use crate::ids::{AggregateId, ProjectionId};

/// How old [`DecisionsCache::get`] may be: one question to Redis a second, whatever is folded.
const MAX_AGE: Duration = Duration::from_secs(1);

/// All that was decided about one projection, folded.
#[derive(Debug, Clone)]
pub struct Decisions {
    projection: &'static str,
    /// Version of the projection's aggregate.
    version: u64,
    skipped: BTreeMap<u16, BTreeSet<u64>>,
    quarantined: BTreeMap<AggregateId, Declared>,
    /// When aggregates of each partition were quarantined, whether they have been released since or not.
    quarantined_at: Vec<(u16, DateTime<Utc>)>,
}

/// An aggregate that is recorded as quarantined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    pub partition: u16,
    /// The first event that is passed over.
    pub seq: u64,
    pub error: String,
}

impl Decisions {
    pub fn new(projection: &'static str) -> Self {
        Self {
            projection,
            version: 0,
            skipped: BTreeMap::new(),
            quarantined: BTreeMap::new(),
            quarantined_at: vec![],
        }
    }

    /// Reads what was decided since; `true` when that is something.
    pub async fn refresh(&mut self, log: &EventLog) -> Result<bool, Error> {
        let id = ProjectionId::of_name(self.projection).aggregate();
        if log.version(id).await? == self.version {
            return Ok(false);
        }
        for envelope in log.history(id, self.version).await? {
            self.apply(&envelope)?;
        }
        Ok(true)
    }

    fn apply(&mut self, envelope: &Envelope) -> Result<(), Error> {
        let recorded = execute::decode::<ProjectionEvent>(envelope)
            .map_err(|source| Error::Decision { version: envelope.version, source })?;
        self.version = envelope.version;
        match recorded.event {
            ProjectionEvent::EventSkipped { partition, seq, .. } => {
                self.skipped.entry(partition).or_default().insert(seq);
            }
            ProjectionEvent::AggregateQuarantined { partition, aggregate_id, seq, error, .. } => {
                self.quarantined.insert(aggregate_id, Declared { partition, seq, error });
                self.quarantined_at.push((partition, envelope.recorded_at));
            }
            ProjectionEvent::AggregateReleased { aggregate_id, .. } => {
                self.quarantined.remove(&aggregate_id);
            }
        }
        Ok(())
    }

    /// The sequence numbers that the projection skips in a partition.
    pub fn skips(&self, partition: u16) -> BTreeSet<u64> {
        self.skipped.get(&partition).cloned().unwrap_or_default()
    }

    /// The aggregates of a partition that are recorded as quarantined.
    pub fn quarantined(&self, partition: u16) -> impl Iterator<Item = (AggregateId, &Declared)> {
        let is_there = move |(_, declared): &(&AggregateId, &Declared)| declared.partition == partition;
        self.quarantined.iter().filter(is_there).map(|(id, declared)| (*id, declared))
    }

    /// How many aggregates of a partition were quarantined after `time`.
    pub fn count_quarantined_after(&self, partition: u16, time: DateTime<Utc>) -> usize {
        self.quarantined_at.iter().filter(|(of, at)| *of == partition && *at > time).count()
    }
}

/// The decisions about one projection as of the last second, for whoever folds histories. Clones share them.
#[derive(Clone)]
pub struct DecisionsCache {
    log: EventLog,
    known: Arc<RwLock<(Option<Instant>, Arc<Decisions>)>>,
}

impl DecisionsCache {
    pub fn new(log: EventLog, projection: &'static str) -> Self {
        Self { log, known: Arc::new(RwLock::new((None, Arc::new(Decisions::new(projection))))) }
    }

    pub async fn get(&self) -> Result<Arc<Decisions>, Error> {
        let (read_at, known) = self.known.read().unwrap_or_else(PoisonError::into_inner).clone();
        match read_at.is_some_and(|at| at.elapsed() < MAX_AGE) {
            true => Ok(known),
            false => self.refresh().await,
        }
    }

    /// Reads them now, whatever their age.
    pub async fn refresh(&self) -> Result<Arc<Decisions>, Error> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).1.clone();
        let now = Instant::now();
        let mut decisions = Arc::unwrap_or_clone(known);
        decisions.refresh(&self.log).await?;
        let decisions = Arc::new(decisions);
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = (Some(now), decisions.clone());
        Ok(decisions)
    }
}

/// Records that a projection leaves out one event for good.
pub async fn record_skip(
    executor: &Executor,
    projection: &str,
    (partition, seq): (u16, u64),
    reason: &str,
    actor: Actor,
) -> Result<u64, execute::Error<Infallible>> {
    let (projection, reason) = (projection.to_owned(), reason.to_owned());
    record(executor, Command::Skip { projection, partition, seq, reason }, actor).await
}

/// Records that a projection passes over an aggregate from one event on.
pub async fn record_quarantine(
    executor: &Executor,
    projection: &str,
    partition: u16,
    quarantined: &Quarantined,
) -> Result<u64, execute::Error<Infallible>> {
    let command = Command::Quarantine {
        projection: projection.to_owned(),
        aggregate_id: quarantined.aggregate_id,
        quarantined: projection::Quarantined {
            partition,
            aggregate: quarantined.aggregate.clone(),
            seq: quarantined.seq,
            version: quarantined.version,
            error: quarantined.error.clone(),
        },
    };
    record(executor, command, Actor::System).await
}

/// Records that a projection takes up an aggregate again: because it could, or because an operator says that it can.
pub async fn record_release(
    executor: &Executor,
    projection: &str,
    partition: u16,
    aggregate_id: AggregateId,
    reason: &str,
    actor: Actor,
) -> Result<u64, execute::Error<Infallible>> {
    let (projection, reason) = (projection.to_owned(), reason.to_owned());
    record(executor, Command::Release { projection, partition, aggregate_id, reason }, actor).await
}

/// The version of the projection's aggregate afterwards.
async fn record(
    executor: &Executor,
    command: Command,
    actor: Actor,
) -> Result<u64, execute::Error<Infallible>> {
    let id = ProjectionId::of_name(command.projection());
    let executed = executor.execute(id, command, &Origin::standalone(actor), None).await?;
    Ok(executed.loaded.tip.version)
}
