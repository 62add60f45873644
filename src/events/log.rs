//! The event log on Redis Streams: append, read one aggregate, read one partition, take work.

use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use redis::aio::ConnectionManager;
use redis::{Script, Value};
use uuid::Uuid;

use super::envelope::{Actor, AggregateKind, Envelope};
use super::keys::Keys;
use super::upcast;
use super::work::{Receipt, ScheduledWork, TakenWork, attempt_field};
use super::{Priority, Stage};
use crate::ids::{AggregateId, AttemptToken, CommandId, EventId};

/// How often an append with an unknown outcome (a lost connection, a timeout) is repeated under its
/// command id before the caller is told.
const APPEND_TRIES: u32 = 5;

/// Entries of one stream that one call takes over.
const CLAIMED_AT_A_TIME: usize = 16;

/// Pieces of delayed work that one call releases.
const RELEASED_AT_A_TIME: usize = 100;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("redis did not {attempted}")]
    Redis { attempted: &'static str, source: redis::RedisError },
    #[error("version conflict: expected version {expected}, the aggregate is at {current}")]
    Conflict { expected: u64, current: u64 },
    #[error("the attempt is no longer the current one, so its result is refused")]
    StaleAttempt,
    #[error("entry {id} of {stream} cannot be read: {reason}")]
    Undecodable { stream: String, id: String, reason: String },
    #[error("gap in {stream}: expected entry {expected}-0, found {found}")]
    Gap { stream: String, expected: u64, found: String },
    #[error("cannot decode an event of {stream}")]
    Upcast { stream: String, source: upcast::Error },
}

/// One atomic append. `events` may be empty, which only acknowledges.
#[derive(Debug)]
pub struct Append<'a> {
    pub aggregate_id: AggregateId,
    pub expected_version: u64,
    pub command_id: CommandId,
    pub events: &'a [Envelope],
    pub work: &'a [ScheduledWork],
    /// The work that led to this append; acknowledged if its attempt is still the current one.
    pub done: Option<&'a Receipt>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    Now {
        version: u64,
    },
    /// The command had been applied before; nothing was written.
    Earlier {
        version: u64,
    },
}

impl Appended {
    /// The aggregate's version after the command.
    pub fn version(self) -> u64 {
        match self {
            Appended::Now { version } | Appended::Earlier { version } => version,
        }
    }
}

/// A cheap handle; clones share one multiplexed connection.
#[derive(Clone)]
pub struct EventLog {
    connection: ConnectionManager,
    keys: Arc<Keys>,
    scripts: Arc<Scripts>,
}

struct Scripts {
    append: Script,
    history: Script,
    take: Script,
    hand_back: Script,
    claim_idle: Script,
    release_due: Script,
}

impl EventLog {
    pub fn new(connection: ConnectionManager, keys: Keys) -> Self {
        let scripts = Scripts {
            append: Script::new(include_str!("append.lua")),
            history: Script::new(include_str!("history.lua")),
            take: Script::new(include_str!("take.lua")),
            hand_back: Script::new(include_str!("hand_back.lua")),
            claim_idle: Script::new(include_str!("claim_idle.lua")),
            release_due: Script::new(include_str!("release_due.lua")),
        };
        Self { connection, keys: Arc::new(keys), scripts: Arc::new(scripts) }
    }

    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The shared connection, for the views that live beside the log.
    pub fn connection(&self) -> ConnectionManager {
        self.connection.clone()
    }

    /// Appends all events or none. An unknown outcome is settled by repeating under the same command
    /// id; a second call with an applied command id writes nothing and says so.
    pub async fn append(&self, append: &Append<'_>) -> Result<Appended, Error> {
        let mut tried = 1;
        loop {
            match self.append_once(append).await {
                Err(Error::Redis { source, .. }) if tried < APPEND_TRIES && is_outcome_unknown(&source) => {
                    tracing::warn!(error = %source, command_id = %append.command_id, "append has an unknown outcome, repeating it");
                    tokio::time::sleep(Duration::from_millis(50 << tried)).await;
                    tried += 1;
                }
                settled => return settled,
            }
        }
    }

    async fn append_once(&self, append: &Append<'_>) -> Result<Appended, Error> {
        let id = append.aggregate_id;
        let partition = self.keys.partition_of(id);
        let mut call = self.scripts.append.prepare_invoke();
        call.key(self.keys.log(partition)).key(self.keys.head(partition)).key(self.keys.history(id));
        call.key(self.keys.commands(id)).key(self.keys.attempts(id));
        call.key(append.done.map_or_else(|| self.keys.log(partition), |done| done.stream.clone()));
        call.key(self.keys.delayed(partition));
        for work in append.work {
            call.key(self.keys.work(partition, work.item.stage, work.priority));
        }
        call.arg(append.expected_version).arg(append.command_id.to_string()).arg(self.keys.doorbell());
        call.arg(append.events.len()).arg(Envelope::FIELDS.len()).arg(append.work.len());
        match append.done {
            Some(done) => {
                call.arg(&done.group).arg(&done.entry_id).arg(&done.attempt_field).arg(done.token.to_string())
            }
            None => call.arg("").arg("").arg("").arg(""),
        };
        call.arg(partition).arg(&Envelope::FIELDS[..]);
        for event in append.events {
            call.arg(&event.field_values()[..]);
        }
        for work in append.work {
            let scene = work.item.scene.map(|scene| scene.to_string()).unwrap_or_default();
            call.arg(work.item.stage.name()).arg(attempt_field(work.item.stage, work.item.scene));
            call.arg(work.token.to_string())
                .arg(id.to_string())
                .arg(work.version)
                .arg(scene)
                .arg(work.delay_ms);
        }
        let mut connection = self.connection.clone();
        let reply: (String, u64) = call
            .invoke_async(&mut connection)
            .await
            .map_err(|source| Error::Redis { attempted: "append events", source })?;
        match (reply.0.as_str(), reply.1) {
            ("appended", version) => Ok(Appended::Now { version }),
            ("duplicate", version) => Ok(Appended::Earlier { version }),
            ("conflict", current) => Err(Error::Conflict { expected: append.expected_version, current }),
            _ => Err(Error::StaleAttempt),
        }
    }

    /// An aggregate's events after `after_version`, in order; empty for an unknown aggregate.
    pub async fn history(&self, id: AggregateId, after_version: u64) -> Result<Vec<Envelope>, Error> {
        let partition = self.keys.partition_of(id);
        let stream = self.keys.log(partition);
        let mut connection = self.connection.clone();
        let mut call = self.scripts.history.key(&stream);
        let entries: Vec<Value> = call
            .key(self.keys.history(id))
            .arg(after_version)
            .invoke_async(&mut connection)
            .await
            .map_err(|source| Error::Redis { attempted: "read a history", source })?;
        let mut events = Vec::with_capacity(entries.len());
        for (expected, entry) in (after_version + 1..).zip(entries) {
            let (entry_id, envelope) = parse_entry(&stream, entry)?;
            if envelope.aggregate_id != id || envelope.version != expected {
                let reason = format!("it stands for version {expected} of {id}, but holds another event");
                return Err(Error::Undecodable { stream, id: entry_id, reason });
            }
            events.push(envelope);
        }
        Ok(events)
    }

    /// An aggregate's version; 0 when unknown.
    pub async fn version(&self, id: AggregateId) -> Result<u64, Error> {
        redis::cmd("LLEN")
            .arg(self.keys.history(id))
            .query_async(&mut self.connection.clone())
            .await
            .map_err(|source| Error::Redis { attempted: "read a version", source })
    }

    /// Whether the aggregate has already applied the command.
    pub async fn was_applied(&self, id: AggregateId, command_id: CommandId) -> Result<bool, Error> {
        redis::cmd("HEXISTS")
            .arg(self.keys.commands(id))
            .arg(command_id.to_string())
            .query_async(&mut self.connection.clone())
            .await
            .map_err(|source| Error::Redis { attempted: "look up a command", source })
    }

    /// Up to `count` events of a partition after sequence number `after`, in order and without a gap.
    pub async fn read(
        &self,
        partition: u16,
        after: u64,
        count: usize,
    ) -> Result<Vec<(u64, Envelope)>, Error> {
        let stream = self.keys.log(partition);
        let entries: Vec<Value> = redis::cmd("XRANGE")
            .arg(&stream)
            .arg(format!("({after}-0"))
            .arg("+")
            .arg("COUNT")
            .arg(count)
            .query_async(&mut self.connection.clone())
            .await
            .map_err(|source| Error::Redis { attempted: "read a partition", source })?;
        let mut events = Vec::with_capacity(entries.len());
        for (expected, entry) in (after + 1..).zip(entries) {
            let (id, envelope) = parse_entry(&stream, entry)?;
            if id.strip_suffix("-0").and_then(|seq| seq.parse().ok()) != Some(expected) {
                return Err(Error::Gap { stream, expected, found: id });
            }
            events.push((expected, envelope));
        }
        Ok(events)
    }

    /// The last sequence number of a partition; 0 when it is empty.
    pub async fn head(&self, partition: u16) -> Result<u64, Error> {
        let head: Option<u64> = redis::cmd("GET")
            .arg(self.keys.head(partition))
            .query_async(&mut self.connection.clone())
            .await
            .map_err(|source| Error::Redis { attempted: "read a partition's head", source })?;
        Ok(head.unwrap_or(0))
    }

    /// Takes up to `count` pieces of a stage's work in one partition, the most urgent first. They
    /// stay in the group's pending list until an append acknowledges them.
    pub async fn take(
        &self,
        partition: u16,
        stage: Stage,
        group: &str,
        consumer: &str,
        count: usize,
    ) -> Result<Vec<TakenWork>, Error> {
        let arguments = [group.to_owned(), consumer.to_owned(), count.to_string()];
        self.entries_of_stage(&self.scripts.take, "hand out work", partition, stage, &arguments).await
    }

    /// Takes over work whose worker has not renewed its lease, a bounded number at a time.
    pub async fn claim_idle(
        &self,
        partition: u16,
        stage: Stage,
        group: &str,
        consumer: &str,
        lease: Duration,
    ) -> Result<Vec<TakenWork>, Error> {
        let (lease, most) = (lease.as_millis().to_string(), CLAIMED_AT_A_TIME.to_string());
        let arguments = [group.to_owned(), consumer.to_owned(), lease, most];
        self.entries_of_stage(&self.scripts.claim_idle, "hand over lost work", partition, stage, &arguments)
            .await
    }

    /// Work entries that a script gives this consumer. Its keys are the stage's streams, most urgent
    /// first; its first argument is the group.
    async fn entries_of_stage(
        &self,
        script: &Script,
        attempted: &'static str,
        partition: u16,
        stage: Stage,
        arguments: &[String],
    ) -> Result<Vec<TakenWork>, Error> {
        let streams = Priority::ALL.map(|priority| self.keys.work(partition, stage, priority));
        let mut call = script.prepare_invoke();
        for stream in &streams {
            call.key(stream);
        }
        let entries: Vec<TakenEntry> = call
            .arg(arguments)
            .invoke_async(&mut self.connection.clone())
            .await
            .map_err(|source| Error::Redis { attempted, source })?;
        entries
            .into_iter()
            .map(|(index, entry_id, fields)| {
                parse_work(&streams[index - 1], &arguments[0], stage, entry_id, &fields)
            })
            .collect()
    }

    /// Says that the work is still being done. Work that ended meanwhile is left alone.
    pub async fn renew(&self, receipt: &Receipt, consumer: &str) -> Result<(), Error> {
        let _claimed: Value = redis::cmd("XCLAIM")
            .arg(&receipt.stream)
            .arg(&receipt.group)
            .arg(consumer)
            .arg(0)
            .arg(&receipt.entry_id)
            .arg("JUSTID")
            .query_async(&mut self.connection.clone())
            .await
            .map_err(|source| Error::Redis { attempted: "renew a lease", source })?;
        Ok(())
    }

    /// Puts delayed work that is due on its stage's stream, a bounded number at a time.
    pub async fn release_due(&self, partition: u16) -> Result<u64, Error> {
        self.scripts
            .release_due
            .key(self.keys.delayed(partition))
            .arg(self.keys.doorbell())
            .arg(partition)
            .arg(RELEASED_AT_A_TIME)
            .invoke_async(&mut self.connection.clone())
            .await
            .map_err(|source| Error::Redis { attempted: "release delayed work", source })
    }

    /// Puts taken work back on its stream for somebody else, if its attempt is still the current one.
    pub async fn hand_back(&self, work: &TakenWork) -> Result<(), Error> {
        let mut call = self.scripts.hand_back.key(&work.receipt.stream);
        call.key(self.keys.attempts(work.aggregate_id));
        call.arg(&work.receipt.group).arg(&work.receipt.entry_id);
        call.arg(&work.receipt.attempt_field).arg(work.receipt.token.to_string());
        call.invoke_async(&mut self.connection.clone())
            .await
            .map_err(|source| Error::Redis { attempted: "take work back", source })
    }

    /// Pieces of a stage's work that nobody has finished, over all partitions and priorities.
    pub async fn queued(&self, stage: Stage) -> Result<u64, Error> {
        let mut total = 0;
        for partition in self.keys.partitions() {
            let mut pipeline = redis::pipe();
            for priority in Priority::ALL {
                pipeline.cmd("XLEN").arg(self.keys.work(partition, stage, priority));
            }
            let lengths: Vec<u64> = pipeline
                .query_async(&mut self.connection.clone())
                .await
                .map_err(|source| Error::Redis { attempted: "count queued work", source })?;
            total += lengths.iter().sum::<u64>();
        }
        Ok(total)
    }
}

/// Whether the server may have applied the command although no answer came.
fn is_outcome_unknown(error: &redis::RedisError) -> bool {
    error.is_timeout()
        || error.is_io_error()
        || error.is_connection_dropped()
        || error.is_connection_refusal()
}

fn parse_entry(stream: &str, entry: Value) -> Result<(String, Envelope), Error> {
    let undecodable = |id: &str, reason: &str| Error::Undecodable {
        stream: stream.to_owned(),
        id: id.to_owned(),
        reason: reason.to_owned(),
    };
    let (id, fields): (String, Vec<String>) = redis::from_redis_value(entry)
        .map_err(|_| undecodable("?", "it is missing, or not made of text fields"))?;
    let envelope = parse_envelope(&fields).map_err(|reason| undecodable(&id, &reason))?;
    Ok((id, envelope))
}

/// Reads `name, value, name, value…`; unknown names are skipped, so that a newer writer may add some.
fn parse_envelope(fields: &[String]) -> Result<Envelope, String> {
    let field = |name: &str| {
        let pair = fields.chunks_exact(2).find(|pair| pair[0] == name);
        pair.map(|pair| pair[1].as_str()).ok_or_else(|| format!("field {name} is missing"))
    };
    let uuid = |name: &str| Uuid::parse_str(field(name)?).map_err(|error| format!("field {name}: {error}"));
    let number = |name: &str| field(name)?.parse::<u64>().map_err(|error| format!("field {name}: {error}"));
    let causation = field("causation_id")?;
    Ok(Envelope {
        event_id: EventId(uuid("event_id")?),
        aggregate: AggregateKind::parse(field("aggregate")?).ok_or("field aggregate: unknown kind")?,
        aggregate_id: AggregateId(uuid("aggregate_id")?),
        version: number("version")?,
        event_type: field("type")?.to_owned(),
        schema: u32::try_from(number("schema")?).map_err(|error| format!("field schema: {error}"))?,
        recorded_at: DateTime::parse_from_rfc3339(field("recorded_at")?)
            .map_err(|error| format!("field recorded_at: {error}"))?
            .to_utc(),
        command_id: CommandId(uuid("command_id")?),
        causation_id: if causation.is_empty() { None } else { Some(EventId(uuid("causation_id")?)) },
        correlation_id: field("correlation_id")?.to_owned(),
        actor: Actor::parse(field("actor")?).ok_or("field actor: neither user, worker nor system")?,
        traceparent: field("traceparent")?.to_owned(),
        prev_hash: field("prev_hash")?.to_owned(),
        hash: field("hash")?.to_owned(),
        data: field("data")?.to_owned(),
    })
}

/// Index of the stream (from 1), entry id, fields.
type TakenEntry = (usize, String, Vec<String>);

fn parse_work(
    stream: &str,
    group: &str,
    stage: Stage,
    entry_id: String,
    fields: &[String],
) -> Result<TakenWork, Error> {
    let field = |name: &str| fields.chunks_exact(2).find(|pair| pair[0] == name).map(|pair| pair[1].as_str());
    let parsed = (|| {
        let aggregate_id = AggregateId(Uuid::parse_str(field("aggregate_id")?).ok()?);
        let token = AttemptToken(Uuid::parse_str(field("token")?).ok()?);
        let version = field("version")?.parse().ok()?;
        let scene = match field("scene")? {
            "" => None,
            number => Some(number.parse().ok()?),
        };
        Some((aggregate_id, token, version, scene))
    })();
    let Some((aggregate_id, token, version, scene)) = parsed else {
        let reason = format!("not a work pointer: {fields:?}");
        return Err(Error::Undecodable { stream: stream.to_owned(), id: entry_id, reason });
    };
    let receipt = Receipt {
        stream: stream.to_owned(),
        group: group.to_owned(),
        entry_id,
        attempt_field: attempt_field(stage, scene),
        token,
    };
    Ok(TakenWork { aggregate_id, stage, scene, version, receipt })
}
