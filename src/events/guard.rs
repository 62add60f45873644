//! Checks periodically that the server still meets the requirements of a source of truth.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::connection::Address;
use super::growth::{forget_served, forget_stopped, note_served};
use super::log::{Error, EventLog};
use crate::telemetry::host_name;

const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// The reason why a process must stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    #[error("redis may evict events: maxmemory-policy is {policy}, but must be noeviction")]
    Evicting { policy: String },
    #[error(
        "partition {partition} of the log ended at {seen}, and now ends at {head}: the log was lost or restored from an older copy"
    )]
    Lost { partition: u16, seen: u64, head: u64 },
    #[error(
        "the log has grown to {used} partitions, and this process serves {served}: restart it with the new streams.toml"
    )]
    Outgrown { served: u16, used: u16 },
}

/// Returns as soon as the server cannot be trusted; `None` when `stop` comes first. Meanwhile the process is noted as one that
/// serves the log, and follows its layout.
pub async fn watch(log: EventLog, address: Address, stop: CancellationToken) -> Option<Untrusted> {
    let mut seen = BTreeMap::new();
    let process = format!("{}:{}", host_name(), std::process::id());
    let _next_time = forget_stopped(&log).await;
    loop {
        match check(&log, &address, &process, &mut seen).await {
            Ok(None) => {}
            Ok(Some(untrusted)) => return Some(untrusted),
            // The server is down, which health reports.
            Err(error) => tracing::debug!(%error, "the server's settings cannot be read"),
        }
        tokio::select! {
            () = stop.cancelled() => {
                let _goes_by_itself = forget_served(&log, &process).await;
                return None;
            }
            () = tokio::time::sleep(CHECK_INTERVAL) => {}
        }
    }
}

async fn check(
    log: &EventLog,
    address: &Address,
    process: &str,
    seen: &mut BTreeMap<u16, u64>,
) -> Result<Option<Untrusted>, Error> {
    note_served(log, process).await?;
    match log.refresh_layout().await {
        Err(Error::Partitions { configured: served, used, .. }) => {
            return Ok(Some(Untrusted::Outgrown { served, used }));
        }
        refreshed => refreshed?,
    }
    for partition in log.keys().partitions() {
        let head = log.head(partition).await?;
        let before = seen.insert(partition, head).unwrap_or(0);
        if head < before {
            return Ok(Some(Untrusted::Lost { partition, seen: before, head }));
        }
    }
    let evicting = address.durability().await?.into_iter().find(|server| server.evicts());
    Ok(evicting.map(|server| Untrusted::Evicting { policy: server.maxmemory_policy }))
}
