//! Adds up what all processes do with stored objects, in a hash in Redis, so that every API process can tell it.
//!
//! Each process adds what is new every few seconds, and when it stops. One that is killed takes its last seconds with it: these
//! are figures, and no facts of the log.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::log::{Error, EventLog};
use crate::storage::measure::{self, Totals};

const ADD_EVERY: Duration = Duration::from_secs(2);

/// Adds the counters of this process until `stop`.
pub async fn publish(log: EventLog, stop: CancellationToken) {
    let mut added = measure::totals();
    loop {
        let is_last = tokio::select! {
            () = stop.cancelled() => true,
            () = tokio::time::sleep(ADD_EVERY) => false,
        };
        let totals = measure::totals();
        match add(&log, &added, &totals).await {
            Ok(()) => added = totals,
            // If only the answer was lost, these are counted twice.
            Err(error) => tracing::debug!(%error, "the counters of the storage are added later"),
        }
        if is_last {
            return;
        }
    }
}

async fn add(log: &EventLog, before: &Totals, now: &Totals) -> redis::RedisResult<()> {
    let key = log.keys().storage_counters();
    let mut pipeline = redis::pipe();
    for (name, value) in now {
        let more = value - before.get(name).copied().unwrap_or(0);
        if more > 0 {
            pipeline.cmd("HINCRBY").arg(&key).arg(name).arg(more).ignore();
        }
    }
    if pipeline.is_empty() {
        return Ok(());
    }
    pipeline.query_async(&mut log.connection()).await
}

/// Returns the counters of all processes, of all time.
pub async fn read(log: &EventLog) -> Result<Totals, Error> {
    redis::cmd("HGETALL")
        .arg(log.keys().storage_counters())
        .query_async(&mut log.connection())
        .await
        .map_err(|source| Error::Redis { attempted: "read the counters of the storage", source })
}
