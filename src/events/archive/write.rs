//! Writes segments, trims archived events from Redis, verifies segments, and restores a log from them.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use redis::Script;

use super::segment::Writer;
use super::{Archive, Error, Manifest};
use crate::events::chain::Chain;
use crate::events::{Envelope, EventLog};
use crate::ids::AggregateId;
use crate::signing::{SigningKey, is_signed};
use crate::storage::{self, Content, Key, Mode};

/// Events read at a time.
const BATCH: usize = 1000;
/// Expiry of the lease on a partition. Its owner renews it before each segment.
const LEASE: Duration = Duration::from_secs(10);
/// Longest wait for the lease: longer than a killed owner's lease lasts.
const LEASE_TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    pub segments: u64,
    pub events: u64,
    pub bytes: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// Number of trimmed events.
    pub events: u64,
    /// Sequence number of the last one; 0 when none was ever trimmed.
    pub up_to: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restored {
    pub events: u64,
}

/// Archives the events of a partition after its last segment, in segments of `events`; a smaller rest only when `all` is set.
///
/// A lease in Redis lets one process at a time archive a partition; [`Error::Busy`] when another one keeps it. The lease only
/// saves work. The fence is the manifest, which is created once: a process that has lost its lease cannot add a second
/// segment at the same position.
pub async fn write_segments(
    log: &EventLog,
    archive: &Archive,
    partition: u16,
    events: u64,
    all: bool,
    key: &SigningKey,
) -> Result<Written, Error> {
    let mut lease: Option<Lease> = None;
    let outcome = write_with_lease(log, archive, partition, events, all, key, &mut lease).await;
    // Released after a failure, too, so that nobody has to wait until it expires.
    let released = match lease {
        Some(lease) => lease.release().await,
        None => Ok(()),
    };
    // The first error says more than a failed release of the lease.
    let done = outcome?;
    released.map(|()| done)
}

async fn write_with_lease(
    log: &EventLog,
    archive: &Archive,
    partition: u16,
    events: u64,
    all: bool,
    key: &SigningKey,
    lease: &mut Option<Lease>,
) -> Result<Written, Error> {
    let mut done = Written::default();
    loop {
        let last = archive.manifests(partition).await?.last().cloned();
        let from = last.as_ref().map_or(0, |manifest| manifest.last);
        let unarchived = log.head(partition).await.map_err(log_failed)?.saturating_sub(from);
        if unarchived == 0 || (unarchived < events && !all) {
            break;
        }
        match lease {
            None => {
                *lease = Some(Lease::take(log, partition).await?);
                // The previous owner of the lease may have archived these events.
                continue;
            }
            Some(lease) => lease.renew().await?,
        }
        match write_segment(log, archive, partition, last, events.min(unarchived), key).await {
            Ok(manifest) => {
                done.segments += 1;
                done.events += manifest.last + 1 - manifest.first;
                done.bytes += manifest.bytes;
            }
            // A process whose lease had expired was faster.
            Err(Error::Storage(storage::Error::Exists(_))) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// A lease on the archive of a partition: a key with a token that only its owner knows.
struct Lease {
    log: EventLog,
    key: String,
    token: String,
    partition: u16,
}

impl Lease {
    async fn take(log: &EventLog, partition: u16) -> Result<Self, Error> {
        let token = uuid::Uuid::new_v4().to_string();
        let lease = Self { log: log.clone(), key: log.keys().archive_owner(partition), token, partition };
        let began = Instant::now();
        loop {
            let mut set = redis::cmd("SET");
            set.arg(&lease.key).arg(&lease.token).arg("NX").arg("PX").arg(LEASE.as_millis() as u64);
            let taken: Option<String> = set.query_async(&mut log.connection()).await.map_err(lease_failed)?;
            match taken {
                Some(_) => return Ok(lease),
                None if began.elapsed() > LEASE_TIMEOUT => return Err(Error::Busy { partition }),
                None => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    async fn renew(&self) -> Result<(), Error> {
        match self.if_owner("return redis.call('PEXPIRE', KEYS[1], ARGV[2])").await? {
            0 => Err(Error::Busy { partition: self.partition }),
            _ => Ok(()),
        }
    }

    async fn release(self) -> Result<(), Error> {
        self.if_owner("return redis.call('DEL', KEYS[1])").await.map(|_| ())
    }

    async fn if_owner(&self, action: &str) -> Result<u64, Error> {
        let script = format!("if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end {action}");
        let script = Script::new(&script);
        let mut call = script.key(&self.key);
        call.arg(&self.token).arg(LEASE.as_millis() as u64);
        call.invoke_async(&mut self.log.connection()).await.map_err(lease_failed)
    }
}

fn lease_failed(source: redis::RedisError) -> Error {
    Error::Redis { attempted: "take or renew the lease on the archive of a partition", source }
}

async fn write_segment(
    log: &EventLog,
    archive: &Archive,
    partition: u16,
    previous: Option<Manifest>,
    events: u64,
    key: &SigningKey,
) -> Result<Manifest, Error> {
    let chain = previous.as_ref().map_or_else(Chain::default, |manifest| Chain {
        seq: manifest.last,
        hash: manifest.chain_after.clone(),
    });
    let mut writer = Writer::new(chain);
    while writer.count() < events {
        let count = BATCH.min((events - writer.count()) as usize);
        let read = log.read(partition, writer.chain.seq, count).await.map_err(log_failed)?;
        if read.is_empty() {
            let reason = "it is gone from the log";
            return Err(Error::Unarchivable { partition, seq: writer.chain.seq + 1, reason });
        }
        for (seq, envelope) in &read {
            // Tampered events must not be archived.
            if envelope.compute_hash() != envelope.hash {
                let reason = "its hash is not that of its content";
                return Err(Error::Unarchivable { partition, seq: *seq, reason });
            }
            writer.push(envelope)?;
        }
    }
    let previous = previous.map(|manifest| manifest.digest()).transpose()?.unwrap_or_default();
    let (data, mut manifest) = writer.finish(partition, previous)?;
    manifest.key_id = key.key_id();
    manifest.signature = key.sign(&manifest.statement()?);
    match archive.storage.put(&manifest.data_key()?, Content::Bytes(data), Mode::Create).await {
        // The same bytes, of an attempt that was interrupted.
        Err(storage::Error::Exists(_)) => archive.data(&manifest).await.map(|_| ())?,
        stored => stored.map(|_| ())?,
    }
    // Once the manifest is there, the segment is.
    let content = Content::Bytes(serde_json::to_vec(&manifest)?);
    archive.storage.put(&manifest.key()?, content, Mode::Create).await?;
    remove_orphans(archive, &manifest).await?;
    Ok(manifest)
}

/// Copies the events of a partition up to `until` to another archive that nobody else writes to, in segments of `events` and a last
/// one with the rest. Goes on after the last segment that is there.
pub async fn copy(
    log: &EventLog,
    target: &Archive,
    partition: u16,
    until: u64,
    events: u64,
    key: &SigningKey,
) -> Result<Written, Error> {
    let mut last = target.manifests(partition).await?.last().cloned();
    let mut done = Written::default();
    loop {
        let left = until.saturating_sub(last.as_ref().map_or(0, |manifest| manifest.last));
        if left == 0 {
            return Ok(done);
        }
        let manifest = write_segment(log, target, partition, last, events.min(left), key).await?;
        done.segments += 1;
        done.events += manifest.last + 1 - manifest.first;
        done.bytes += manifest.bytes;
        last = Some(manifest);
    }
}

/// Removes data without a manifest, left by interrupted attempts at a segment that now has one.
async fn remove_orphans(archive: &Archive, manifest: &Manifest) -> Result<(), Error> {
    let (data, place) = (manifest.data_key()?, manifest.key()?);
    let place = place.as_str().trim_end_matches(".json");
    let is_orphan =
        |key: &Key| *key != data && key.as_str().starts_with(place) && key.as_str().ends_with(".zst");
    for entry in archive.storage.list(&super::segment::folder(manifest.partition)?).await? {
        if is_orphan(&entry.key) {
            archive.storage.delete(&entry.key).await?;
        }
    }
    Ok(())
}

/// Takes whole segments out of Redis: those of which every event is at most `limit` (what all projections have
/// read), was recorded before `older_than`, and belongs to no job that is still open. Each is read back first. Open jobs
/// that are quarantined hold nothing back: they do not go on until somebody fixes the cause, and can be read from the
/// archive then.
pub async fn trim(
    log: &EventLog,
    archive: &Archive,
    partition: u16,
    limit: u64,
    older_than: DateTime<Utc>,
    quarantined: &HashSet<AggregateId>,
) -> Result<Trimmed, Error> {
    let limit = limit.min(before_open_jobs(log, partition, quarantined).await?);
    let manifests = archive.manifests(partition).await?;
    let first = first_in_redis(log, partition).await?;
    // Nothing is in the stream of a partition that is empty, or trimmed to its end.
    let head = log.head(partition).await.map_err(log_failed)?;
    let mut trimmed = Trimmed { events: 0, up_to: first.saturating_sub(1).min(head) };
    let is_due = |manifest: &&Manifest| manifest.last <= limit && manifest.last_recorded_at < older_than;
    for manifest in manifests.iter().take_while(is_due).filter(|manifest| manifest.last >= first) {
        archive.data(manifest).await?;
        let removed: u64 = redis::cmd("XTRIM")
            .arg(log.keys().log(partition))
            .arg("MINID")
            .arg(format!("{}-0", manifest.last + 1))
            .query_async(&mut log.connection())
            .await
            .map_err(|source| Error::Redis { attempted: "trim the log", source })?;
        trimmed.events += removed;
        trimmed.up_to = manifest.last;
    }
    Ok(trimmed)
}

/// Returns the sequence number before the first event of any open job that is not quarantined.
async fn before_open_jobs(
    log: &EventLog,
    partition: u16,
    quarantined: &HashSet<AggregateId>,
) -> Result<u64, Error> {
    let failed = |source| Error::Redis { attempted: "list open jobs", source };
    let mut connection = log.connection();
    let open: Vec<String> = redis::cmd("SMEMBERS")
        .arg(log.keys().open(partition))
        .query_async(&mut connection)
        .await
        .map_err(failed)?;
    let mut limit = u64::MAX;
    let open = open.iter().filter_map(|id| uuid::Uuid::parse_str(id).ok().map(AggregateId));
    for id in open.filter(|id| !quarantined.contains(id)) {
        let history = log.keys().history(id);
        let first: Option<u64> =
            redis::cmd("LINDEX").arg(history).arg(0).query_async(&mut connection).await.map_err(failed)?;
        limit = limit.min(first.unwrap_or(1).saturating_sub(1));
    }
    Ok(limit)
}

/// Returns the last sequence number that was trimmed from Redis, or 0.
pub async fn trimmed_up_to(log: &EventLog, partition: u16) -> Result<u64, Error> {
    let head = log.head(partition).await.map_err(log_failed)?;
    Ok(first_in_redis(log, partition).await?.saturating_sub(1).min(head))
}

async fn first_in_redis(log: &EventLog, partition: u16) -> Result<u64, Error> {
    let entries = log.scan(partition, 0, 1).await.map_err(log_failed)?;
    let first = entries.first().and_then(|(id, _)| id.strip_suffix("-0")?.parse().ok());
    Ok(first.unwrap_or(u64::MAX))
}

/// Checks all segments of a partition: checksums, hash chains, the chain of manifests, and, with the public keys that
/// may have signed them, signatures. Returns the number of events.
pub async fn verify(archive: &Archive, partition: u16, public_keys: &[String]) -> Result<u64, Error> {
    let (mut chain, mut previous) = (Chain::default(), String::new());
    for manifest in archive.manifests(partition).await?.iter() {
        let name = manifest.key()?;
        let damaged = |reason: &str| Error::Damaged { object: name.to_string(), reason: reason.to_owned() };
        if manifest.first != chain.seq + 1
            || manifest.chain_before != chain.hash
            || manifest.previous != previous
        {
            return Err(damaged("it does not follow the segment before it"));
        }
        let statement = manifest.statement()?;
        if !public_keys.iter().any(|key| is_signed(key, &statement, &manifest.signature)) {
            return Err(damaged("it is not signed with a known key"));
        }
        let data = archive.data(manifest).await?;
        for block in &manifest.blocks {
            let frame = data.get(block.offset as usize..(block.offset + block.bytes) as usize);
            let frame = frame.ok_or_else(|| damaged("a block lies outside the data"))?;
            for (_, envelope) in super::segment::read_block(frame, block, &manifest.data_key()?)? {
                chain.extend(&envelope.hash);
            }
        }
        if chain.seq != manifest.last || chain.hash != manifest.chain_after {
            return Err(damaged("its events are not those that were archived"));
        }
        previous = manifest.digest()?;
    }
    Ok(chain.seq)
}

/// Puts what a partition's archive holds beyond the end of its log back into Redis, with the histories and the
/// commands. An interrupted restore goes on where it was. Queues and views are built again by those who need them.
pub async fn restore(log: &EventLog, archive: &Archive, partition: u16) -> Result<Restored, Error> {
    let last_archived = archive.last_archived(partition).await?;
    if let Some(layout) = archive.layout().await? {
        log.take_over_layout(&layout).await.map_err(log_failed)?;
    }
    let mut at = log.head(partition).await.map_err(log_failed)?;
    if at > last_archived {
        return Err(Error::Occupied(format!(
            "partition {partition} goes to {at}, the archive to {last_archived}"
        )));
    }
    if at > 0 {
        let there = log.read(partition, at - 1, 1).await.map_err(log_failed)?;
        let archived = archive.read(partition, at - 1, 1).await?;
        if there != archived {
            return Err(Error::Occupied(format!("event {at} of partition {partition} is another one")));
        }
    }
    let script = Script::new(include_str!("../lua/restore.lua"));
    let mut restored = Restored::default();
    while at < last_archived {
        let events = archive.read(partition, at, super::segment::BLOCK).await?;
        let Some((last, _)) = events.last() else { break };
        put_back(log, &script, partition, &events).await?;
        restored.events += events.len() as u64;
        at = *last;
    }
    Ok(restored)
}

async fn put_back(
    log: &EventLog,
    script: &Script,
    partition: u16,
    events: &[(u64, Envelope)],
) -> Result<(), Error> {
    let keys = log.keys();
    let mut call = script.key(keys.log(partition));
    call.key(keys.head(partition));
    for (seq, envelope) in events {
        let expected = keys.partition_of(envelope.aggregate_id);
        if expected != partition {
            let reason = format!(
                "event {seq} of partition {partition} belongs to partition {expected} by the layout {}",
                keys.layout().text()
            );
            return Err(Error::Damaged { object: "the layout".to_owned(), reason });
        }
        call.key(keys.history(envelope.aggregate_id)).key(keys.commands(envelope.aggregate_id));
        call.arg(*seq).arg(envelope.command_id.to_string());
        envelope.each_stored(|value| {
            call.arg(value);
        });
    }
    let restored = call.invoke_async(&mut log.connection()).await;
    restored.map_err(|source| Error::Redis { attempted: "take restored events", source })
}

fn log_failed(error: crate::events::Error) -> Error {
    Error::Log(Box::new(error))
}
