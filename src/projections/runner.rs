//! Feeds projections: one reader for each projection and partition.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::halts::{self, Halt};
use super::{Batch, Error, Owner, Projection};
use crate::crash;
use crate::events::EventLog;
use crate::events::doorbell::{self, Doorbell};
use crate::telemetry::chain;

/// Most events read at a time.
const BATCH: usize = 2000;
/// Pause before a server that was away is tried again.
const PAUSE: Duration = Duration::from_millis(500);
/// Pause before a halted projection looks whether it may go on.
const HALTED: Duration = Duration::from_secs(1);
/// Pause before asking again for what another process owns.
const OWNED_ELSEWHERE: Duration = Duration::from_secs(1);

/// Runs until `stop`. What trying again does not mend halts the reader that met it, until it is mended or skipped.
/// Only a log that has lost what was read before ends the run, with an error.
pub async fn run(
    log: EventLog,
    doorbell: Doorbell,
    projections: Vec<Arc<dyn Projection>>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let readers = TaskTracker::new();
    let (lost, mut was_lost) = mpsc::channel(1);
    for projection in projections {
        for partition in log.keys().partitions() {
            let bell = doorbell.partition(partition);
            let (projection, stop) = (projection.clone(), stop.clone());
            let mut reader = Reader { log: log.clone(), projection, partition, bell, stop };
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
    log: EventLog,
    projection: Arc<dyn Projection>,
    partition: u16,
    bell: watch::Receiver<()>,
    stop: CancellationToken,
}

impl Reader {
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
        let mut skips = halts::skips(&self.log, name, partition).await?;
        let mut most = BATCH;
        let mut halted_at = None;
        // By this process or by the owner before.
        let mut may_be_noted = true;
        while !self.stop.is_cancelled() {
            self.bell.borrow_and_update();
            match feed(&self.log, owner.as_mut(), partition, &skips, most, u64::MAX).await {
                Ok(read) => {
                    if std::mem::take(&mut may_be_noted) {
                        halts::clear(&self.log, name, partition).await?;
                    }
                    most = (most * 2).min(BATCH);
                    if read > 0 {
                        continue;
                    }
                    tokio::select! {
                        () = self.stop.cancelled() => {}
                        has_rung = doorbell::rung(&mut self.bell) => {
                            // What is written after a ring says as much.
                            if !has_rung {
                                self.check_log(owner.checkpoint()).await?;
                                owner.renew().await?;
                            }
                        }
                    }
                }
                Err(error) if error.is_passing() || matches!(error, Error::AheadOfLog { .. }) => {
                    return Err(error);
                }
                // Halves, until the event that cannot be applied is the first one.
                Err(_) if most > 1 => most /= 2,
                Err(error) => {
                    let seq = owner.checkpoint() + 1;
                    if halted_at.replace(seq) != Some(seq) {
                        self.halt(seq, &error).await?;
                        may_be_noted = true;
                    }
                    self.pause(HALTED).await;
                    owner.renew().await?;
                    skips = halts::skips(&self.log, name, partition).await?;
                }
            }
        }
        owner.release().await
    }

    /// A log that ends before what was read of it is not the one that was read.
    async fn check_log(&self, checkpoint: u64) -> Result<(), Error> {
        let (projection, partition) = (self.projection.name(), self.partition);
        let head = self.log.head(partition).await?;
        match checkpoint > head {
            true => Err(Error::AheadOfLog { projection, partition, checkpoint, head }),
            false => Ok(()),
        }
    }

    async fn halt(&self, seq: u64, error: &Error) -> Result<(), Error> {
        let (projection, partition) = (self.projection.name().to_owned(), self.partition);
        tracing::error!(projection, partition, seq, error = %chain(error), "projection halted");
        let halt = Halt { projection, partition, seq, error: chain(error).to_string(), since: Utc::now() };
        halts::note(&self.log, &halt).await
    }
}

/// Applies up to `most` events that come after the owner's checkpoint, none past `until`. Gives how many were read.
pub async fn feed(
    log: &EventLog,
    owner: &mut dyn Owner,
    partition: u16,
    skips: &BTreeSet<u64>,
    most: usize,
    until: u64,
) -> Result<usize, Error> {
    let after = owner.checkpoint();
    let most = most.min(until.saturating_sub(after) as usize);
    if most == 0 {
        return Ok(0);
    }
    if skips.contains(&(after + 1)) {
        owner.apply(&Batch { partition, last_seq: after + 1, events: vec![] }).await?;
        return Ok(1);
    }
    let mut events = log.read(partition, after, most).await?;
    events.retain(|(seq, _)| !skips.contains(seq));
    let Some(&(last_seq, _)) = events.last() else { return Ok(0) };
    let read = events.len();
    crash::point("projection.before");
    owner.apply(&Batch { partition, last_seq, events }).await?;
    crash::point("projection.after");
    Ok(read)
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
