//! Seals what was appended since the last seal, again and again.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use tokio_util::sync::CancellationToken;

use super::Error;
use super::seals::{Seal, Seals};
use crate::events::EventLog;
use crate::events::chain::Chain;
use crate::signing::SigningKey;
use crate::telemetry::chain;

/// Events read at a time.
const BATCH: usize = 1000;

/// Seals every partition each `interval`, until `stop`. What it refuses to seal is logged, and tried again: the seal
/// that is missing says so to whoever verifies.
pub async fn run(log: EventLog, seals: Seals, key: SigningKey, interval: Duration, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
        }
        for partition in log.keys().partitions() {
            if let Err(error) = seal_partition(&log, &seals, &key, partition, Utc::now()).await {
                match error.is_passing() {
                    true => tracing::warn!(partition, error = %chain(&error), "the log is sealed later"),
                    false => tracing::error!(partition, error = %chain(&error), "the log cannot be sealed"),
                }
            }
        }
    }
}

/// Seals what a partition has beyond its last seal. `None` when that is nothing.
pub async fn seal_partition(
    log: &EventLog,
    seals: &Seals,
    key: &SigningKey,
    partition: u16,
    now: DateTime<Utc>,
) -> Result<Option<Seal>, Error> {
    let mut chain = match seals.last(partition).await? {
        Some(seal) => Chain { seq: seal.seq, hash: seal.chain },
        None => Chain::default(),
    };
    let before = chain.seq;
    loop {
        let events = log.read(partition, chain.seq, BATCH).await?;
        if events.is_empty() {
            break;
        }
        for (seq, envelope) in events {
            if envelope.compute_hash() != envelope.hash {
                return Err(Error::Tampered { partition, seq });
            }
            chain.extend(&envelope.hash);
        }
    }
    if chain.seq == before {
        return Ok(None);
    }
    // As Postgres keeps it.
    let seal = Seal::sign(partition, &chain, now.trunc_subsecs(6), key);
    seals.keep(&seal).await?;
    Ok(Some(seal))
}
