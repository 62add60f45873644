//! Heartbeats: each worker process periodically writes the time under its consumer name.

use std::time::Duration;

use chrono::Utc;
use tokio_util::sync::CancellationToken;

use crate::events::{Error, EventLog};

const BEAT_INTERVAL: Duration = Duration::from_secs(2);
/// Age of the last heartbeat after which a worker counts as stopped.
const MAX_SILENCE_MS: i64 = 10_000;

/// Beats until `stop`, then removes its entry.
pub async fn beat(log: EventLog, consumer: String, stop: CancellationToken) {
    loop {
        let written: redis::RedisResult<()> = redis::cmd("HSET")
            .arg(log.keys().workers())
            .arg(&consumer)
            .arg(Utc::now().timestamp_millis())
            .query_async(&mut log.connection())
            .await;
        if let Err(error) = written {
            tracing::debug!(%error, "a heartbeat was not written");
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(BEAT_INTERVAL) => {}
        }
    }
    let _signed_off: redis::RedisResult<()> =
        redis::cmd("HDEL").arg(log.keys().workers()).arg(&consumer).query_async(&mut log.connection()).await;
}

/// Returns the number of running worker processes.
pub async fn running_workers(log: &EventLog) -> Result<usize, Error> {
    let beats: Vec<i64> = redis::cmd("HVALS")
        .arg(log.keys().workers())
        .query_async(&mut log.connection())
        .await
        .map_err(|source| Error::Redis { attempted: "list workers", source })?;
    let now = Utc::now().timestamp_millis();
    Ok(beats.into_iter().filter(|beat| now - beat < MAX_SILENCE_MS).count())
}
