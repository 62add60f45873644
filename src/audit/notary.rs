//! Periodically seals the events appended since the last seal.
//!
//! The notary only continues a trusted seal: one that is signed, and that `seals.log` has too. So an attacker with access to both
//! databases cannot get a forged log signed by deleting seals, or by adding one without the key.

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
    /// Trusted public keys, in hex, including that of `key`.
    pub public_keys: Vec<String>,
}

impl Notary {
    /// Seals every partition each `interval`, until `stop`. Logs and retries a partition that cannot be sealed; a verification
    /// finds events without a seal.
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

    /// Seals the events of a partition after its last seal. `None` when there are none, or another notary was faster.
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

    /// Returns the last seal, if it is trusted. Appends seals that the file lacks.
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
