//! Feeds projections: one reader for each projection and partition.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Batch, Error, Projection};
use crate::crash;
use crate::events::EventLog;
use crate::events::doorbell::{self, Doorbell};
use crate::execute;
use crate::ids::JobId;
use crate::telemetry::chain;

/// Events read at a time.
const BATCH: usize = 500;

/// Pause before a server that was away is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// Runs until `stop`. What trying again does not mend halts the reader that met it; it is logged, and shows as
/// lag. Only a log that has lost what was read before ends the run, with an error.
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
            let (log, projection, stop) = (log.clone(), projection.clone(), stop.clone());
            let (mut bell, lost) = (doorbell.partition(partition), lost.clone());
            readers.spawn(async move {
                loop {
                    let reading = read_on(&log, projection.as_ref(), partition, &mut bell);
                    let error = tokio::select! {
                        () = stop.cancelled() => return,
                        Err(error) = reading => error,
                    };
                    if !error.is_passing() {
                        tracing::error!(projection = projection.name(), partition, error = %chain(&error), "projection halted");
                        if matches!(error, Error::AheadOfLog { .. }) {
                            // One is enough; the others find the place taken.
                            let _told_already = lost.try_send(error);
                        }
                        return;
                    }
                    tracing::warn!(projection = projection.name(), partition, error = %chain(&error), "projection is waiting for a server");
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
    }
    readers.close();
    drop(lost);
    tokio::select! {
        Some(error) = was_lost.recv() => Err(error),
        () = readers.wait() => Ok(()),
    }
}

/// Applies events as they come. Returns only with an error.
async fn read_on(
    log: &EventLog,
    projection: &dyn Projection,
    partition: u16,
    bell: &mut tokio::sync::watch::Receiver<()>,
) -> Result<(), Error> {
    let mut checkpoint = projection.checkpoint(partition).await?;
    let head = log.head(partition).await?;
    if checkpoint > head {
        return Err(Error::AheadOfLog { projection: projection.name(), partition, checkpoint, head });
    }
    loop {
        bell.borrow_and_update();
        let read = log.read(partition, checkpoint, BATCH).await?;
        let Some(&(last_seq, _)) = read.last() else {
            doorbell::rung(bell).await;
            continue;
        };
        let mut events = Vec::with_capacity(read.len());
        for (_, envelope) in &read {
            events.push((JobId(envelope.aggregate_id.0), execute::decode(envelope)?));
        }
        crash::point("projection.before");
        projection.apply(&Batch { partition, last_seq, events }).await?;
        crash::point("projection.after");
        checkpoint = last_seq;
    }
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
