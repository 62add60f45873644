//! Fills another edition of a read model from the log while the served one goes on, compares, and switches.
//!
//! A rebuild can be interrupted at any time: the next one resumes from its checkpoints. It causes nothing but rows.
//! Verifying is the same without the switch.
//!
//! An edition passes over the aggregates that the served one passes over, from the same events on: otherwise the two
//! could not be compared. One that only the new edition cannot apply is passed over in it alone; the differences tell.
//!
//! [`Rebuildable`] has two implementations: `tables` for the read models in PostgreSQL, `views` for the status in Redis.

mod tables;
mod views;

pub use tables::InTables;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::decisions::Decisions;
use super::quarantine::{Quarantined, describe, find_culprit, take_up};
use super::runner::{Stuck, step};
use super::{Owner, Projection};
use crate::events::EventLog;

/// Events applied at a time.
const BATCH: usize = 2000;
/// Differences that are told in full; further ones are counted.
const MAX_DIFFERENCES: usize = 100;
/// How long the owner of a partition may take to let go: its session ends a moment after it, which the server may notice
/// late.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(3);
/// Aggregates of a partition that a rebuild passes over although the served edition does not.
const MAX_QUARANTINED: usize = 100;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Projection(#[from] super::Error),
    #[error(
        "another process is rebuilding or verifying {projection} (partition {partition}); wait until it has finished"
    )]
    Busy { projection: &'static str, partition: u16 },
    #[error("a task that filled {projection} stopped unexpectedly")]
    Panicked { projection: &'static str, source: tokio::task::JoinError },
    #[error(
        "more than {MAX_QUARANTINED} aggregates of partition {partition} cannot be applied: this version of the program is the likely cause"
    )]
    TooManyQuarantined { partition: u16, source: super::Error },
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Error::Projection(error.into())
    }
}

impl From<crate::events::Error> for Error {
    fn from(error: crate::events::Error) -> Self {
        Error::Projection(error.into())
    }
}

/// An edition beside the one that is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edition {
    /// Will be served.
    Next,
    /// Is only compared with.
    Check,
}

impl Edition {
    pub fn name(self) -> &'static str {
        match self {
            Edition::Next => "next",
            Edition::Check => "check",
        }
    }
}

/// A read model of which another edition can be filled.
#[async_trait]
pub trait Rebuildable: Projection {
    /// The read model filling another edition; `None` when it is compared without one.
    fn beside(&self, edition: Edition) -> Option<Arc<dyn Projection>>;

    /// Makes an empty edition. Keeps an unfinished one, unless `restart` is set.
    async fn prepare(&self, edition: Edition, restart: bool) -> Result<(), Error>;

    /// Compares what is served with the filled edition, as both are at one moment.
    async fn compare(&self, filling: &mut Filling<'_>) -> Result<Differences, Error>;

    /// Serves the filled edition, and lets go of its partitions.
    async fn switch(&self, filling: &mut Filling<'_>) -> Result<(), Error>;

    /// Removes an edition that is not served and that nobody fills.
    async fn discard(&self, edition: Edition) -> Result<(), Error>;

    /// Removes all rows, and forgets how far they were, for a log that ends earlier than they do. Nobody may write them meanwhile.
    /// Does nothing for views in Redis, which are lost together with their log.
    async fn clear(&self) -> Result<(), Error>;
}

/// One row that is not what the log leads to.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    pub table: String,
    /// The row's key.
    pub key: Value,
    /// As it is served; null when it is missing.
    pub served: Value,
    /// As the log leads to it; null when there should be none.
    pub expected: Value,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Differences {
    pub count: u64,
    /// The first of them.
    pub shown: Vec<Difference>,
}

impl Differences {
    fn push(&mut self, difference: Difference) {
        if self.shown.len() < MAX_DIFFERENCES {
            self.shown.push(difference);
        }
    }
}

/// How far a rebuild has got.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    pub applied: u64,
    pub wanted: u64,
    pub events_per_second: f64,
}

impl Progress {
    /// Seconds until it is done, at the pace so far.
    pub fn seconds_left(&self) -> Option<f64> {
        (self.events_per_second > 0.0).then(|| (self.wanted - self.applied) as f64 / self.events_per_second)
    }
}

/// Where the progress of a rebuild is told.
pub type Progresses = watch::Sender<Option<Progress>>;

/// Rebuilds a read model, and serves what was rebuilt. Returns the rows in which the two editions differed. `restart`
/// forgets what an interrupted rebuild has done.
pub async fn rebuild(
    log: &EventLog,
    model: &Arc<dyn Rebuildable>,
    restart: bool,
    progress: &Progresses,
) -> Result<Differences, Error> {
    let mut filling = Filling::begin(log, model, Edition::Next, restart, progress).await?;
    filling.fill().await?;
    let differences = model.compare(&mut filling).await?;
    model.switch(&mut filling).await?;
    Ok(differences)
}

/// Folds the log and compares: every row that is served must be what the log leads to.
pub async fn verify(
    log: &EventLog,
    model: &Arc<dyn Rebuildable>,
    progress: &Progresses,
) -> Result<Differences, Error> {
    let mut filling = Filling::begin(log, model, Edition::Check, true, progress).await?;
    filling.fill().await?;
    let differences = model.compare(&mut filling).await?;
    drop(filling);
    model.discard(Edition::Check).await?;
    Ok(differences)
}

/// An edition that is being filled.
pub struct Filling<'a> {
    log: &'a EventLog,
    /// What is served meanwhile, and says how far to go and what to pass over.
    served: Arc<dyn Projection>,
    edition: Edition,
    /// What is filled; `None` when the served edition is compared without another.
    filled: Option<Arc<dyn Projection>>,
    /// One for each partition that is still to be filled; none while [`Self::fill`] runs or after it has failed.
    owners: BTreeMap<u16, Box<dyn Owner>>,
    progress: &'a Progresses,
}

impl<'a> Filling<'a> {
    async fn begin(
        log: &'a EventLog,
        model: &Arc<dyn Rebuildable>,
        edition: Edition,
        restart: bool,
        progress: &'a Progresses,
    ) -> Result<Self, Error> {
        model.prepare(edition, restart).await?;
        let filled = model.beside(edition);
        let mut owners = BTreeMap::new();
        if let Some(filled) = &filled {
            for partition in log.keys().partitions() {
                owners.insert(partition, own(filled.as_ref(), partition).await?);
            }
        }
        Ok(Self { log, served: model.clone(), edition, filled, owners, progress })
    }

    /// Applies what the served edition has applied, all partitions side by side.
    async fn fill(&mut self) -> Result<(), Error> {
        let began = Instant::now();
        let Some(filled) = self.filled.clone() else { return Ok(()) };
        let before: u64 = self.owners.values().map(|owner| owner.checkpoint()).sum();
        let (count, mut applied) = watch::channel(before);
        let count = Arc::new(count);
        let (mut total, mut filling) = (0, JoinSet::new());
        for (partition, owner) in std::mem::take(&mut self.owners) {
            let until = self.served.checkpoint(partition).await?;
            total += until;
            let (log, served, count) = (self.log.clone(), self.served.clone(), count.clone());
            let filled = filled.clone();
            let partition = Partition { log, served, filled, number: partition, until, count };
            filling.spawn(async move { Ok::<_, Error>((partition.number, partition.fill(owner).await?)) });
        }
        let mut owners = BTreeMap::new();
        loop {
            tokio::select! {
                Ok(()) = applied.changed() => {
                    let applied = *applied.borrow_and_update();
                    let seconds = began.elapsed().as_secs_f64().max(1e-3);
                    let events_per_second = applied.saturating_sub(before) as f64 / seconds;
                    self.progress.send_replace(Some(Progress { applied, wanted: total.max(applied), events_per_second }));
                }
                done = filling.join_next() => match done {
                    Some(Ok(done)) => owners.extend([done?]),
                    Some(Err(source)) => return Err(Error::Panicked { projection: self.served.name(), source }),
                    None => break,
                }
            }
        }
        self.owners = owners;
        Ok(())
    }

    /// Lets go of a partition: it is not filled any more.
    async fn release(&mut self, partition: u16) -> Result<(), Error> {
        match self.owners.remove(&partition) {
            Some(owner) => Ok(owner.release().await?),
            None => Ok(()),
        }
    }
}

/// Owns a partition of an edition, as soon as its owner before lets go.
async fn own(filled: &dyn Projection, partition: u16) -> Result<Box<dyn Owner>, Error> {
    let deadline = Instant::now() + RELEASE_TIMEOUT;
    loop {
        match filled.own(partition).await? {
            Some(owner) => return Ok(owner),
            None if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(50)).await,
            None => return Err(Error::Busy { projection: filled.name(), partition }),
        }
    }
}

/// One partition that is being filled.
struct Partition {
    log: EventLog,
    served: Arc<dyn Projection>,
    filled: Arc<dyn Projection>,
    number: u16,
    until: u64,
    count: Arc<watch::Sender<u64>>,
}

impl Partition {
    async fn fill(&self, mut owner: Box<dyn Owner>) -> Result<Box<dyn Owner>, Error> {
        // Other partitions or the comparison may have taken longer than an ownership lasts.
        if owner.renew().await.is_err() {
            let _is_gone_already = owner.release().await;
            owner = own(self.filled.as_ref(), self.number).await?;
        }
        let mut decisions = Decisions::new(self.served.name());
        decisions.refresh(&self.log).await?;
        self.follow_quarantine(owner.as_mut(), &decisions).await?;
        let skips = decisions.skips(self.number);
        let mut most = BATCH;
        loop {
            let from = owner.checkpoint();
            match step(&self.log, owner.as_mut(), self.number, &skips, most, self.until).await {
                Ok(_) => {
                    most = (most * 2).min(BATCH);
                    self.count.send_modify(|count| *count += owner.checkpoint() - from);
                    if owner.checkpoint() == from {
                        return Ok(owner);
                    }
                }
                Err(stuck) => self.isolate(owner.as_mut(), stuck, &mut most).await?,
            }
        }
    }

    /// Passes over what the served edition passes over, and takes up what it has taken up.
    async fn follow_quarantine(&self, owner: &mut dyn Owner, decisions: &Decisions) -> Result<(), Error> {
        let served = self.served.quarantined(self.number).await?;
        let ours: Vec<_> = owner.quarantined().keys().copied().collect();
        for id in ours.into_iter().filter(|id| !served.iter().any(|of| of.aggregate_id == *id)) {
            match take_up(&self.log, owner, self.number, decisions, id).await {
                Err(error) if !error.is_about_one_aggregate() => return Err(error.into()),
                Ok(()) | Err(_) => {}
            }
        }
        for quarantined in served {
            let is_ahead = quarantined.seq > owner.checkpoint();
            if is_ahead && !owner.quarantined().contains_key(&quarantined.aggregate_id) {
                owner.quarantine(quarantined).await?;
            }
        }
        Ok(())
    }

    /// Passes over the aggregate whose event cannot be applied, or halves the batch to find it.
    async fn isolate(&self, owner: &mut dyn Owner, stuck: Stuck, most: &mut usize) -> Result<(), Error> {
        let Stuck { error, batch } = stuck;
        let Some(batch) = batch.filter(|_| error.is_about_one_aggregate()) else { return Err(error.into()) };
        match find_culprit(&error, &batch) {
            Some(_) if owner.quarantined().len() >= MAX_QUARANTINED => {
                Err(Error::TooManyQuarantined { partition: self.number, source: error })
            }
            Some((seq, event)) => {
                let quarantined = Quarantined {
                    aggregate: event.aggregate.name().to_owned(),
                    aggregate_id: event.aggregate_id,
                    seq,
                    version: event.version,
                    error: describe(&error),
                    since: event.recorded_at,
                };
                Ok(owner.quarantine(quarantined).await?)
            }
            None => {
                *most = (*most / 2).max(1);
                Ok(())
            }
        }
    }
}
