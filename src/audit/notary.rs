//! Seals what was appended since the last seal, again and again.
//!
//! The notary signs only what follows a seal that it trusts: one that is signed, and that `seals.log` has, too. So whoever
//! writes to both databases cannot have a forged log signed by deleting seals, or by adding one without the key.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use tokio_util::sync::CancellationToken;

use super::{Error, Seal, SealLog, Seals};
use crate::events::EventLog;
use crate::events::chain::Chain;
use crate::signing::SigningKey;
use crate::telemetry::chain;

/// Events read at a time.
const BATCH: usize = 1000;

#[derive(Clone)]
pub struct Notary {
    pub log: EventLog,
    pub seals: Seals,
    pub seal_log: SealLog,
    pub key: SigningKey,
    /// Those whose signatures count, in hex; that of `key` among them.
    pub public_keys: Vec<String>,
}

impl Notary {
    /// Seals every partition each `interval`, until `stop`. A partition that cannot be sealed is logged and tried again:
    /// whoever verifies finds events without a seal.
    pub async fn run(self, interval: Duration, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(interval) => {}
            }
            for partition in self.log.keys().partitions() {
                if let Err(error) = self.seal_partition(partition, Utc::now()).await {
                    match error.is_retryable() {
                        true => tracing::warn!(partition, error = %chain(&error), "the log is sealed later"),
                        false => {
                            tracing::error!(partition, error = %chain(&error), "the log cannot be sealed")
                        }
                    }
                }
            }
        }
    }

    /// Seals what a partition has beyond its last seal. `None` when that is nothing, or another notary was faster.
    pub async fn seal_partition(&self, partition: u16, now: DateTime<Utc>) -> Result<Option<Seal>, Error> {
        let last = self.trusted_last(partition).await?;
        let mut chain = match &last {
            Some(seal) => Chain { seq: seal.seq, hash: seal.chain.clone() },
            None => Chain::default(),
        };
        let before = chain.seq;
        loop {
            let events = self.log.read(partition, chain.seq, BATCH).await?;
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
        let seal = Seal::sign(partition, &chain, now.trunc_subsecs(6), last.as_ref(), &self.key);
        if !self.seals.add(&seal).await? {
            return Ok(None);
        }
        self.seal_log.append(std::slice::from_ref(&seal)).await?;
        Ok(Some(seal))
    }

    /// The last seal, if it is genuine and the file has it. Appends to the file what was not written there yet.
    async fn trusted_last(&self, partition: u16) -> Result<Option<Seal>, Error> {
        let written = self.seal_log.last(partition).await?;
        let seals = self.seals.from(partition, written.as_ref().map_or(0, |seal| seal.seq)).await?;
        let untrusted = |seal: &Seal, reason| Error::Untrusted { partition, seq: seal.seq, reason };
        let mut before: Option<&Seal> = None;
        for seal in &seals {
            if !seal.is_signed_by_any(&self.public_keys) {
                return Err(untrusted(seal, "is not signed with a known key"));
            }
            let is_first_after_file = before.is_none() && written.is_some();
            if !is_first_after_file && !seal.follows(before) {
                return Err(untrusted(seal, "does not follow the one before it"));
            }
            before = Some(seal);
        }
        let new = match &written {
            None => &seals[..],
            Some(written) if seals.first() == Some(written) => &seals[1..],
            Some(written) => return Err(untrusted(written, "is in seals.log, and gone from audit_seals")),
        };
        if !new.is_empty() {
            tracing::warn!(partition, seals = new.len(), "seals that seals.log did not have are added to it");
            self.seal_log.append(new).await?;
        }
        Ok(seals.last().cloned())
    }
}
