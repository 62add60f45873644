//! Heartbeats: each worker process periodically writes the time under its consumer name.

use std::time::Duration;

use chrono::Utc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::events::{Error, EventLog};
use crate::telemetry::host_name;

const BEAT_INTERVAL: Duration = Duration::from_secs(2);
/// Age of the last heartbeat after which a worker counts as stopped.
const MAX_SILENCE_MS: i64 = 10_000;

/// Returns a consumer name that no other process start has: host, process id and a UUID.
pub(super) fn consumer_name() -> String {
    format!("{}-{}-{}", host_name(), std::process::id(), Uuid::now_v7().simple())
}

/// Returns the host in a consumer name. The host may itself hold hyphens.
fn host_of(consumer: &str) -> Option<&str> {
    consumer.rsplitn(3, '-').nth(2)
}

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
    Ok(running_consumers(log).await?.len())
}

/// Returns the number of running worker processes on this host.
pub async fn running_workers_here(log: &EventLog) -> Result<usize, Error> {
    let host = host_name();
    let consumers = running_consumers(log).await?;
    Ok(consumers.iter().filter(|consumer| host_of(consumer) == Some(host.as_str())).count())
}

async fn running_consumers(log: &EventLog) -> Result<Vec<String>, Error> {
    let beats: Vec<(String, i64)> = redis::cmd("HGETALL")
        .arg(log.keys().workers())
        .query_async(&mut log.connection())
        .await
        .map_err(|source| Error::Redis { attempted: "list workers", source })?;
    let now = Utc::now().timestamp_millis();
    Ok(beats
        .into_iter()
        .filter(|(_, beat)| now - beat < MAX_SILENCE_MS)
        .map(|(consumer, _)| consumer)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_consumer_may_hold_hyphens() {
        assert_eq!(host_of(&consumer_name()), Some(host_name().as_str()));
        assert_eq!(host_of("worker-6b7f-x2x9d-1-0190a7"), Some("worker-6b7f-x2x9d"));
        assert_eq!(host_of("nothing"), None);
    }
}
