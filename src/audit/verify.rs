//! Verifies the log in Redis and in the archive, and finds everything that is not as recorded.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::seals::{Seal, Seals};
use super::{Error, SealLog};
use crate::events::archive;
use crate::events::chain::Chain;
use crate::events::{CHAIN_START, Envelope, EventLog};
use crate::ids::{AggregateId, JobId};
use crate::projections::Projection;
use crate::projections::trail::Trail;

/// Events read at a time.
const BATCH: usize = 1000;
/// Most findings that are listed.
const MAX_FINDINGS: usize = 200;
/// Intervals of the notary for which an event may wait for its seal; at least [`MIN_SEAL_DELAY`].
const SEAL_INTERVALS: i32 = 2;
const MIN_SEAL_DELAY: TimeDelta = TimeDelta::minutes(2);

/// A difference from what was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub partition: u16,
    /// Sequence number of the difference; `None` for that of a whole history.
    pub seq: Option<u64>,
    pub aggregate_id: Option<AggregateId>,
    pub version: Option<u64>,
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition {}", self.partition)?;
        if let Some(seq) = self.seq {
            write!(f, ", event {seq}")?;
        }
        if let Some(id) = self.aggregate_id {
            write!(f, ", {id}")?;
        }
        if let Some(version) = self.version {
            write!(f, " version {version}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// The result of a verification.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    pub events: u64,
    pub aggregates: u64,
    /// Valid seals, and the sequence number of the last of them.
    pub seals: u64,
    pub sealed_up_to: u64,
    pub findings: Vec<Finding>,
    /// Further findings that are not listed.
    pub more_findings: u64,
}

impl Report {
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    fn find(&mut self, finding: Finding) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        } else {
            self.more_findings += 1;
        }
    }
}

/// The events seen of one aggregate.
struct Seen {
    version: u64,
    hash: String,
    seqs: Vec<u64>,
}

/// The evidence to compare the log with.
#[derive(Clone)]
pub struct Verifier {
    pub log: EventLog,
    pub trail: Trail,
    pub seals: Seals,
    pub seal_log: SealLog,
    /// Trusted public keys, in hex.
    pub public_keys: Vec<String>,
    /// Interval of the notary's seals.
    pub seal_every: Duration,
    /// Late seals up to this time are explained, and no findings.
    pub gaps_known_until: Option<DateTime<Utc>>,
}

/// The state of the verification of one partition.
struct Search<'a> {
    partition: u16,
    trail: &'a Trail,
    public_keys: &'a [String],
    /// Longest time that an event may wait for its seal.
    max_seal_delay: TimeDelta,
    gaps_known_until: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    /// Sequence number of the last event that the trail must have.
    trail_checkpoint: u64,
    /// Times of the oldest and the newest event after the last seal.
    unsealed: Option<(DateTime<Utc>, DateTime<Utc>)>,
    report: Report,
    seen: BTreeMap<AggregateId, Seen>,
    chain: Chain,
    /// Set when no event up to here is missing, so that the chain is meaningful.
    is_whole: bool,
    /// Sequence number of the last event that was looked at.
    read_up_to: u64,
    seals: std::iter::Peekable<std::vec::IntoIter<Seal>>,
}

impl Verifier {
    /// Verifies a whole partition in the archive and in Redis against the seals, `seals.log` and the trail.
    pub async fn verify_partition(&self, partition: u16, now: DateTime<Utc>) -> Result<Report, Error> {
        let mut search = Search {
            partition,
            trail: &self.trail,
            public_keys: &self.public_keys,
            max_seal_delay: self.max_seal_delay(),
            gaps_known_until: self.gaps_known_until,
            now,
            // Before the log is read, which goes on meanwhile.
            trail_checkpoint: self.trail.checkpoint(partition).await?,
            unsealed: None,
            report: Report::default(),
            seen: BTreeMap::new(),
            chain: Chain::default(),
            is_whole: true,
            read_up_to: 0,
            seals: vec![].into_iter().peekable(),
        };
        search.seals = search.collect_seals(self).await?.into_iter().peekable();
        let archived = search.archive(&self.log).await?;
        search.both(&self.log, archived).await?;
        search.redis(&self.log, archived).await?;
        search.remaining_seals();
        search.unsealed_end();
        search.histories(&self.log).await?;
        search.report.aggregates = search.seen.len() as u64;
        search.report.findings.sort_by_key(|finding| finding.seq);
        Ok(search.report)
    }

    /// Longest time that an event may wait for its seal.
    fn max_seal_delay(&self) -> TimeDelta {
        let interval = TimeDelta::from_std(self.seal_every).unwrap_or(TimeDelta::MAX);
        interval.checked_mul(SEAL_INTERVALS).unwrap_or(TimeDelta::MAX).max(MIN_SEAL_DELAY)
    }
}

impl Search<'_> {
    fn find(&mut self, seq: Option<u64>, event: Option<(AggregateId, u64)>, what: impl Into<String>) {
        let (aggregate_id, version) = event.unzip();
        self.report.find(Finding {
            partition: self.partition,
            seq,
            aggregate_id,
            version,
            what: what.into(),
        });
    }

    /// Compares the seals in Postgres with those in the file, and returns all of them in order.
    async fn collect_seals(&mut self, verifier: &Verifier) -> Result<Vec<Seal>, Error> {
        let mut seals = verifier.seals.all(self.partition).await?;
        let written = match verifier.seal_log.all(self.partition).await {
            Ok(written) => written,
            Err(error @ Error::DamagedSealLog { .. }) => {
                self.find(None, None, error.to_string());
                vec![]
            }
            Err(error) => return Err(error),
        };
        let mut before = None;
        for seal in &seals {
            if !seal.follows(before) {
                let what = format!(
                    "the seal of {} does not follow the one before it: a seal was removed, or made anew",
                    shown(seal.signed_at)
                );
                self.find(Some(seal.seq), None, what);
            }
            before = Some(seal);
        }
        let is_due =
            |seal: &&Seal| seal.previous.is_some() && self.now - seal.signed_at > self.max_seal_delay;
        let unwritten: Vec<&Seal> =
            seals.iter().filter(is_due).filter(|seal| !written.contains(seal)).collect();
        if let Some(first) = unwritten.first() {
            let what = format!(
                "{} seals are in audit_seals, but not in {}, beginning with that of {}: the file was changed, or is \
                 another machine's",
                unwritten.len(),
                verifier.seal_log.path().display(),
                shown(first.signed_at)
            );
            self.find(Some(first.seq), None, what);
        }
        let gone: Vec<Seal> = written.into_iter().filter(|seal| !seals.contains(seal)).collect();
        for seal in gone {
            let at = shown(seal.signed_at);
            if seal.is_signed_by_any(self.public_keys) {
                let what = format!("the seal of {at} is in seals.log, but gone from audit_seals");
                self.find(Some(seal.seq), None, what);
                seals.push(seal);
            } else {
                let what = format!("the seal of {at} in seals.log is not signed with a known key");
                self.find(Some(seal.seq), None, what);
            }
        }
        seals.sort_by_key(|seal| (seal.seq, seal.signed_at));
        Ok(seals)
    }

    /// Verifies the archive, and returns its last sequence number.
    async fn archive(&mut self, log: &EventLog) -> Result<u64, Error> {
        let Some(archive) = log.archive() else { return Ok(0) };
        if let Err(error) = archive::verify(archive, self.partition, self.public_keys).await {
            match error {
                archive::Error::Damaged { object, reason } => {
                    self.find(None, None, format!("archived {object}: {reason}"))
                }
                error => return Err(error.into()),
            }
        }
        let sealed = match archive.manifests(self.partition).await {
            Ok(manifests) => {
                self.manifests(&manifests);
                manifests.last().map_or(0, |manifest| manifest.last)
            }
            // It was told already. What is in Redis can still be searched.
            Err(archive::Error::Damaged { .. }) => {
                let trimmed = archive::trimmed_up_to(log, self.partition).await?;
                self.is_whole = self.is_whole && trimmed == 0;
                return Ok(trimmed);
            }
            Err(error) => return Err(error.into()),
        };
        while self.chain.seq < sealed {
            let events = match archive.read(self.partition, self.chain.seq, BATCH).await {
                Ok(events) if !events.is_empty() => events,
                Ok(_) => break,
                Err(archive::Error::Damaged { .. }) => {
                    self.is_whole = false;
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            let hashes = self.hashes(self.chain.seq, events.len()).await?;
            for (seq, envelope) in events {
                self.event(seq, &envelope, hashes.get(&seq));
            }
        }
        Ok(sealed)
    }

    /// Checks that a manifest and a seal at the same sequence number sign the same chain.
    fn manifests(&mut self, manifests: &[archive::Manifest]) {
        let seals: HashMap<u64, String> = self.seals.clone().map(|seal| (seal.seq, seal.chain)).collect();
        for manifest in manifests {
            if seals.get(&manifest.last).is_some_and(|chain| *chain != manifest.chain_after) {
                let what = "the archived segment that ends here has another chain than the seal";
                self.find(Some(manifest.last), None, what);
            }
        }
    }

    /// Compares the events that both Redis and the archive have. Earlier entries were trimmed from Redis.
    async fn both(&mut self, log: &EventLog, archived: u64) -> Result<(), Error> {
        let Some(archive) = log.archive().filter(|_| archived > 0) else { return Ok(()) };
        let mut from = archive::trimmed_up_to(log, self.partition).await? + 1;
        while from <= archived {
            let sealed = match archive.read(self.partition, from - 1, BATCH).await {
                Ok(sealed) if !sealed.is_empty() => sealed,
                // It was told already that the archive is damaged.
                Ok(_) | Err(archive::Error::Damaged { .. }) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let entries: HashMap<String, Result<Envelope, String>> =
                log.scan(self.partition, from, sealed.len()).await?.into_iter().collect();
            for (seq, envelope) in sealed {
                let event = Some((envelope.aggregate_id, envelope.version));
                match entries.get(&format!("{seq}-0")) {
                    Some(Ok(entry)) if *entry == envelope => {}
                    Some(_) => {
                        self.find(Some(seq), event, "the event was edited in redis: the archive has another")
                    }
                    None => self.find(Some(seq), event, "the event is gone from redis: the archive has it"),
                }
                from = seq + 1;
            }
        }
        Ok(())
    }

    /// Verifies the events that only Redis has.
    async fn redis(&mut self, log: &EventLog, archived: u64) -> Result<(), Error> {
        let mut from = archived + 1;
        let mut expected = archived + 1;
        loop {
            let entries = log.scan(self.partition, from, BATCH).await?;
            if entries.is_empty() {
                break;
            }
            let hashes = self.hashes(from - 1, BATCH).await?;
            for (id, entry) in entries {
                let Some(seq) = id.strip_suffix("-0").and_then(|seq| seq.parse::<u64>().ok()) else {
                    self.find(
                        None,
                        None,
                        format!("the entry {id} has no place: nothing that was recorded has such an id"),
                    );
                    from = next_after(&id).unwrap_or(from + 1);
                    continue;
                };
                from = seq + 1;
                if seq > expected {
                    self.is_whole = false;
                    self.missing(expected, seq - 1);
                }
                expected = seq + 1;
                match entry {
                    Ok(envelope) => self.event(seq, &envelope, hashes.get(&seq)),
                    Err(reason) => {
                        self.is_whole = false;
                        self.find(Some(seq), None, format!("the entry cannot be read: {reason}"));
                    }
                }
            }
        }
        self.read_up_to = expected - 1;
        let head = log.head(self.partition).await?;
        // An entry that exists by now was appended while the log was read.
        if head >= expected && !is_there(log, self.partition, expected).await? {
            self.is_whole = false;
            self.missing(expected, head);
        }
        Ok(())
    }

    fn missing(&mut self, first: u64, last: u64) {
        for seq in first..=last {
            self.find(Some(seq), None, "the entry is gone from the log");
        }
    }

    fn event(&mut self, seq: u64, envelope: &Envelope, recorded: Option<&String>) {
        let (id, version) = (envelope.aggregate_id, envelope.version);
        let event = Some((id, version));
        self.report.events += 1;
        if envelope.compute_hash() != envelope.hash {
            self.find(Some(seq), event, "the event was edited: its hash is not that of its content");
        } else if recorded.is_some_and(|recorded| *recorded != envelope.hash) {
            self.find(Some(seq), event, "the event was replaced: the trail has another hash in its place");
        }
        if recorded.is_none() && seq <= self.trail_checkpoint {
            let what =
                format!("its row is gone from the trail, which has read up to {}", self.trail_checkpoint);
            self.find(Some(seq), event, what);
        }
        let at = envelope.recorded_at;
        self.unsealed =
            Some(self.unsealed.map_or((at, at), |(oldest, newest)| (oldest.min(at), newest.max(at))));
        let (before, hash) =
            self.seen.get(&id).map_or((0, CHAIN_START.to_owned()), |seen| (seen.version, seen.hash.clone()));
        if version != before + 1 {
            let what = match version > before {
                true => format!("versions {} to {} are missing before it", before + 1, version - 1),
                false => {
                    format!("it comes after version {before}: it was inserted, or the order was changed")
                }
            };
            self.find(Some(seq), event, what);
        } else if envelope.prev_hash != hash {
            self.find(Some(seq), event, "the chain is broken: it does not follow the event before it");
        }
        let seen = self.seen.entry(id).or_insert(Seen { version: 0, hash: String::new(), seqs: vec![] });
        seen.version = version.max(before);
        seen.hash.clone_from(&envelope.hash);
        seen.seqs.push(seq);
        self.chain.extend(&envelope.hash);
        self.seal();
    }

    /// Compares the chain with the seal at this sequence number, if there is one.
    fn seal(&mut self) {
        while let Some(seal) = self.seals.next_if(|seal| seal.seq <= self.chain.seq) {
            let at = Some(seal.seq);
            if !seal.is_signed_by_any(self.public_keys) {
                let what = format!("the seal of {} is not signed with a known key", shown(seal.signed_at));
                self.find(at, None, what);
            } else if seal.seq == self.chain.seq && seal.chain == self.chain.hash {
                self.times(&seal);
                self.report.seals += 1;
                self.report.sealed_up_to = seal.seq;
            } else if self.is_whole {
                let since = self.report.sealed_up_to;
                let what = format!(
                    "the events after {since} up to here are not those that were sealed on {}: the log was rewritten",
                    shown(seal.signed_at)
                );
                self.find(at, None, what);
                // Everything after it differs, too.
                self.is_whole = false;
            }
        }
    }

    /// Compares the time of a seal with the times of its events.
    fn times(&mut self, seal: &Seal) {
        let Some((oldest, newest)) = self.unsealed.take() else { return };
        let (max_delay, since) = (self.max_seal_delay, self.report.sealed_up_to + 1);
        let is_known = self.gaps_known_until.is_some_and(|until| seal.signed_at <= until);
        if seal.signed_at - oldest > max_delay && !is_known {
            let what = format!(
                "the events from {since} on were recorded from {} on, but sealed only on {}: until then nothing \
                 protected them",
                shown(oldest),
                shown(seal.signed_at)
            );
            self.find(Some(seal.seq), None, what);
        }
        if newest - seal.signed_at > max_delay {
            let what = format!(
                "the seal of {} covers an event that was recorded later, on {}",
                shown(seal.signed_at),
                shown(newest)
            );
            self.find(Some(seal.seq), None, what);
        }
    }

    /// Checks that seals reach up to about now.
    fn unsealed_end(&mut self) {
        let Some((oldest, _)) = self.unsealed.filter(|_| self.is_whole) else { return };
        if self.now - oldest > self.max_seal_delay {
            let (since, last) = (self.report.sealed_up_to + 1, self.chain.seq);
            let what = format!(
                "the events from {since} to {last} have no seal, though they were recorded from {} on",
                shown(oldest)
            );
            self.find(Some(since), None, what);
        }
    }

    fn remaining_seals(&mut self) {
        if let Some(seal) = self.seals.clone().last()
            && self.is_whole
        {
            let what = format!("the log ends at {}, but {} events were sealed", self.chain.seq, seal.seq);
            self.find(Some(seal.seq), None, what);
        }
    }

    /// Checks that each history lists exactly the events seen.
    async fn histories(&mut self, log: &EventLog) -> Result<(), Error> {
        let mut found = vec![];
        for (id, seen) in &self.seen {
            let listed = log.listed(*id).await?;
            if listed == seen.seqs {
                continue;
            }
            let is_seen: BTreeSet<&u64> = seen.seqs.iter().collect();
            let is_listed: BTreeSet<&u64> = listed.iter().collect();
            for (version, seq) in (1..).zip(&listed).filter(|(_, seq)| !is_seen.contains(seq)) {
                if *seq > self.read_up_to && is_there(log, self.partition, *seq).await? {
                    continue;
                }
                let what = format!("the event is gone: the history lists it as entry {seq}");
                found.push((*id, version, Some(*seq), what));
            }
            for seq in seen.seqs.iter().filter(|seq| !is_listed.contains(seq)) {
                let version = listed.len() as u64 + 1;
                let what = format!("entry {seq} is not in the history's list: it was inserted");
                found.push((*id, version, Some(*seq), what));
            }
            if is_seen == is_listed {
                let at = listed.iter().zip(&seen.seqs).take_while(|(a, b)| a == b).count();
                let what = "the history's list has another order than the log".to_owned();
                found.push((*id, at as u64 + 1, listed.get(at).copied(), what));
            }
        }
        for (id, version, seq, what) in found {
            self.find(seq, Some((id, version)), what);
        }
        Ok(())
    }

    /// Reads the trail's hashes of the events after `after`.
    async fn hashes(&self, after: u64, count: usize) -> Result<HashMap<u64, String>, Error> {
        Ok(self.trail.hashes(self.partition, after, count).await?.into_iter().collect())
    }
}

/// Returns `true` when a partition has an entry of this number.
async fn is_there(log: &EventLog, partition: u16, seq: u64) -> Result<bool, Error> {
    let found = log.scan(partition, seq, 1).await?;
    Ok(found.first().is_some_and(|(id, _)| *id == format!("{seq}-0")))
}

fn shown(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn next_after(id: &str) -> Option<u64> {
    id.split_once('-')?.0.parse::<u64>().ok().map(|ms| ms + 1)
}

/// Verifies the history of one job: its events, its chain, and the trail's hashes.
pub async fn verify_job(log: &EventLog, trail: &Trail, job: JobId) -> Result<Report, Error> {
    let id = job.aggregate();
    let partition = log.keys().partition_of(id);
    let mut search = Search {
        partition,
        trail,
        // Before the rows are read, which go on meanwhile.
        trail_checkpoint: trail.checkpoint(partition).await?,
        public_keys: &[],
        max_seal_delay: TimeDelta::MAX,
        gaps_known_until: None,
        now: DateTime::UNIX_EPOCH,
        unsealed: None,
        report: Report { aggregates: 1, ..Report::default() },
        seen: BTreeMap::new(),
        chain: Chain::default(),
        is_whole: false,
        read_up_to: 0,
        seals: vec![].into_iter().peekable(),
    };
    let recorded = trail.hashes_of(id.0).await?;
    let listed = log.listed(id).await?;
    for (version, seq) in (1..).zip(&listed) {
        let of_trail = recorded.iter().find(|(of, ..)| *of == version).map(|(.., hash)| hash);
        match log.read(partition, seq - 1, 1).await {
            Ok(events) if events.first().is_some_and(|(at, event)| at == seq && event.aggregate_id == id) => {
                search.event(*seq, &events[0].1, of_trail);
            }
            Ok(_) => search.find(
                Some(*seq),
                Some((id, version)),
                "another event is in its place: the order was changed",
            ),
            Err(error) if error.is_retryable() => return Err(error.into()),
            Err(error) => search.find(
                Some(*seq),
                Some((id, version)),
                format!("the event is gone, or cannot be read: {error}"),
            ),
        }
    }
    for (version, seq, _) in recorded.iter().filter(|(version, ..)| *version as usize > listed.len()) {
        search.find(Some(*seq), Some((id, *version)), "the event is gone: the trail has it");
    }
    Ok(search.report)
}
