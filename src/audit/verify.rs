//! Reads the log as Redis and the archive have it, and finds whatever is not as it was recorded.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use serde::Serialize;

use super::Error;
use super::seals::{Seal, Seals};
use crate::events::archive;
use crate::events::chain::Chain;
use crate::events::{CHAIN_START, Envelope, EventLog};
use crate::ids::{AggregateId, JobId};

/// Events read at a time.
const BATCH: usize = 1000;
/// Findings that are told in full.
const MOST_FINDINGS: usize = 200;

/// Something that is not as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub partition: u16,
    /// The sequence number at which it shows; `None` when it is about a whole history.
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

/// What a search has found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    pub events: u64,
    pub aggregates: u64,
    /// Seals that hold, and the sequence number of the last of them.
    pub seals: u64,
    pub sealed_up_to: u64,
    pub findings: Vec<Finding>,
    /// Further ones that are not told.
    pub more_findings: u64,
}

impl Report {
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    fn find(&mut self, finding: Finding) {
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(finding);
        } else {
            self.more_findings += 1;
        }
    }
}

/// What has been seen of one aggregate.
struct Seen {
    version: u64,
    hash: String,
    seqs: Vec<u64>,
}

/// The state of a search through one partition.
struct Search<'a> {
    partition: u16,
    report: Report,
    seen: BTreeMap<AggregateId, Seen>,
    chain: Chain,
    /// Whether all events up to here are there, so that the chain means something.
    is_whole: bool,
    seals: std::iter::Peekable<std::slice::Iter<'a, Seal>>,
    public_keys: &'a [String],
}

/// Searches a whole partition, archive and Redis, with the seals and the trail that stand against it. `public_keys`
/// are those whose signatures count, in hex.
pub async fn verify_partition(
    log: &EventLog,
    seals: &Seals,
    public_keys: &[String],
    partition: u16,
) -> Result<Report, Error> {
    let all = seals.all(partition).await?;
    let mut search = Search {
        partition,
        report: Report::default(),
        seen: BTreeMap::new(),
        chain: Chain::default(),
        is_whole: true,
        seals: all.iter().peekable(),
        public_keys,
    };
    let archived = search.archive(log, seals).await?;
    search.both(log, archived).await?;
    search.redis(log, seals, archived).await?;
    search.remaining_seals();
    search.histories(log).await?;
    search.report.aggregates = search.seen.len() as u64;
    search.report.findings.sort_by_key(|finding| finding.seq);
    Ok(search.report)
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

    /// Goes through the archive. Gives its last sequence number.
    async fn archive(&mut self, log: &EventLog, seals: &Seals) -> Result<u64, Error> {
        let Some(archive) = log.archive() else { return Ok(0) };
        if let Err(error) = archive::verify(archive, self.partition, self.public_keys).await {
            match error {
                archive::Error::Damaged { object, reason } => {
                    self.find(None, None, format!("archived {object}: {reason}"))
                }
                error => return Err(error.into()),
            }
        }
        let sealed = archive.sealed(self.partition).await?;
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
            let hashes = self.trail(seals, self.chain.seq, events.len()).await?;
            for (seq, envelope) in events {
                self.event(seq, &envelope, hashes.get(&seq));
            }
        }
        Ok(sealed)
    }

    /// Compares what Redis and the archive both have. Entries before the first one in Redis were taken out of it.
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

    /// Goes through what only Redis has.
    async fn redis(&mut self, log: &EventLog, seals: &Seals, archived: u64) -> Result<(), Error> {
        let mut from = archived + 1;
        let mut expected = archived + 1;
        loop {
            let entries = log.scan(self.partition, from, BATCH).await?;
            if entries.is_empty() {
                break;
            }
            let hashes = self.trail(seals, from - 1, BATCH).await?;
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
        let head = log.head(self.partition).await?;
        if head >= expected {
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

    /// Compares with the seal at this place, if there is one.
    fn seal(&mut self) {
        while let Some(seal) = self.seals.next_if(|seal| seal.seq <= self.chain.seq) {
            let at = Some(seal.seq);
            if !seal.is_signed_by_any(self.public_keys) {
                self.find(at, None, format!("the seal of {} is not signed with a known key", seal.signed_at));
            } else if seal.seq == self.chain.seq && seal.chain == self.chain.hash {
                self.report.seals += 1;
                self.report.sealed_up_to = seal.seq;
            } else if self.is_whole {
                let since = self.report.sealed_up_to;
                let what = format!(
                    "the events after {since} up to here are not those that were sealed on {}: the log was rewritten",
                    seal.signed_at.format("%Y-%m-%dT%H:%M:%SZ")
                );
                self.find(at, None, what);
                // Everything after it differs, too.
                self.is_whole = false;
            }
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

    /// Each history must list exactly the events that were seen.
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

    /// The hashes that the trail has of the events after `after`.
    async fn trail(&self, seals: &Seals, after: u64, count: usize) -> Result<HashMap<u64, String>, Error> {
        let rows: Vec<(i64, String)> = sqlx::query_as(
            "select seq, hash from trail.events where partition = $1 and seq > $2 and seq <= $3",
        )
        .bind(self.partition as i16)
        .bind(after as i64)
        .bind((after + count as u64) as i64)
        .fetch_all(seals.pool())
        .await?;
        Ok(rows.into_iter().map(|(seq, hash)| (seq as u64, hash)).collect())
    }
}

fn next_after(id: &str) -> Option<u64> {
    id.split_once('-')?.0.parse::<u64>().ok().map(|ms| ms + 1)
}

/// Searches the history of one job: its events, its chain, and the trail's hashes.
pub async fn verify_job(log: &EventLog, seals: &Seals, job: JobId) -> Result<Report, Error> {
    let id = job.aggregate();
    let partition = log.keys().partition_of(id);
    let mut search = Search {
        partition,
        report: Report { aggregates: 1, ..Report::default() },
        seen: BTreeMap::new(),
        chain: Chain::default(),
        is_whole: false,
        seals: [].iter().peekable(),
        public_keys: &[],
    };
    let recorded: Vec<(i64, i64, String)> = sqlx::query_as(
        "select version, seq, hash from trail.events where aggregate_id = $1 order by version",
    )
    .bind(id.0)
    .fetch_all(seals.pool())
    .await?;
    let listed = log.listed(id).await?;
    for (version, seq) in (1..).zip(&listed) {
        let of_trail = recorded.iter().find(|(of, ..)| *of == version as i64).map(|(.., hash)| hash);
        match log.read(partition, seq - 1, 1).await {
            Ok(events) if events.first().is_some_and(|(at, event)| at == seq && event.aggregate_id == id) => {
                search.event(*seq, &events[0].1, of_trail);
            }
            Ok(_) => search.find(
                Some(*seq),
                Some((id, version)),
                "another event is in its place: the order was changed",
            ),
            Err(error) if error.is_passing() => return Err(error.into()),
            Err(error) => search.find(
                Some(*seq),
                Some((id, version)),
                format!("the event is gone, or cannot be read: {error}"),
            ),
        }
    }
    for (version, seq, _) in recorded.iter().filter(|(version, ..)| *version as usize > listed.len()) {
        search.find(Some(*seq as u64), Some((id, *version as u64)), "the event is gone: the trail has it");
    }
    Ok(search.report)
}
