//! The event log on Redis Streams: append, read one aggregate, read one partition.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use chrono::DateTime;
use redis::{Script, Value};
use uuid::Uuid;

use super::archive::{Archive, Error as ArchiveError};
use super::committer::{CommitOutcome, Committer, Prepared};
use super::connection::Connection;
use super::envelope::{Actor, AggregateKind, Envelope};
use super::growth::{self, SERVING_S};
use super::keys::Keys;
use super::layout::MAX_AHEAD_MS;
use super::versions::Versions;
use super::work::{Receipt, ScheduledWork};
use crate::ids::{AggregateId, CommandId, EventId};
use crate::telemetry::metrics::Family;
use crate::telemetry::traces;

/// Events of a page. Events vary from a byte to 2 MB, so pages are small.
const PAGE: usize = 250;
/// Data that one read returns, exceeded by a page at most. Every follower of a partition holds this much, several times over
/// while it decodes it.
const MAX_READ_BYTES: usize = 4 << 20;

/// From a twentieth of a millisecond, which an append to an idle server on the same machine takes.
const APPEND_BUCKETS_S: [f64; 12] =
    [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5];

/// How appends end; see [`EventLog::append`].
pub const APPEND_OUTCOMES: [&str; 6] = ["appended", "duplicate", "conflict", "stale", "ahead", "failed"];

pub static APPEND_SECONDS: Family = Family::durations(
    "reel_append_duration_seconds",
    "Appends to the event log, with the time that they waited for others, by how they ended.",
    &["outcome"],
    &APPEND_BUCKETS_S,
);
pub static APPENDED_EVENTS: Family =
    Family::counter("reel_appended_events_total", "Events that were appended to the log.", &[]);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("redis did not {attempted}")]
    Redis { attempted: &'static str, source: redis::RedisError },
    #[error("version conflict: expected version {expected}, the aggregate is at {current}")]
    Conflict { expected: u64, current: u64 },
    #[error("the attempt is no longer the current one, so its result is refused")]
    StaleAttempt,
    #[error("the append script answered `{answer}`, which is not one of its answers")]
    Protocol { answer: String },
    #[error("nothing was appended: the log is ahead of its head ({reason})")]
    AheadOfHead { reason: String },
    #[error(
        "streams.toml: partitions is {configured}, but the log under the prefix `{prefix}` has {used} and data in them: an aggregate's \
         partition follows from their number, so its history would not be found. Set partitions to {used} or more, or begin a new log \
         with another REEL_PREFIX"
    )]
    Partitions { prefix: String, configured: u16, used: u16 },
    #[error(
        "the log has {used} partitions already: set partitions in streams.toml to more than that, restart all processes, and try again"
    )]
    NotMore { used: u16 },
    #[error(
        "the log cannot grow to {partitions} partitions yet: {process} serves {served}. Restart it with the new streams.toml, or wait \
         {SERVING_S} s if it has stopped"
    )]
    NotServed { process: String, served: u16, partitions: u16 },
    #[error("somebody else changed the layout of the log at the same time; try again")]
    LayoutChanged,
    #[error("{key} in redis, the layout of the log, cannot be read: {reason}")]
    Layout { key: String, reason: String },
    #[error("the log has grown; the layout of generation {fence} is the oldest with which it takes appends")]
    OldLayout { fence: u64 },
    #[error(
        "the id {id} is of a time more than {} s after redis's: the clock of this machine, or of redis's, is wrong",
        MAX_AHEAD_MS / 1000
    )]
    ClockAhead { id: AggregateId },
    #[error("the process is stopping, so nothing is appended any more")]
    Stopping,
    #[error("entry {id} of {stream} cannot be read: {reason}")]
    Undecodable { stream: String, id: String, reason: String },
    #[error("the archive failed")]
    Archive(#[source] Box<ArchiveError>),
    #[error("gap in {stream}: expected entry {expected}-0, found {found}")]
    Gap { stream: String, expected: u64, found: String },
}

/// An atomic append. Without events, it only acknowledges work.
#[derive(Debug)]
pub struct Append<'a> {
    pub aggregate_id: AggregateId,
    pub expected_version: u64,
    pub command_id: CommandId,
    pub events: &'a [Envelope],
    pub work: &'a [ScheduledWork],
    /// The aggregate's new mark; `None` when the events do not change it.
    pub mark: Option<Mark>,
    /// The work whose result this is. It is acknowledged if its attempt is still the current one.
    pub done: Option<&'a Receipt>,
}

/// The state of an aggregate as queues and operators see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It has work now, or will have some.
    Open,
    /// It has ended, and no attempt at its work is current.
    Closed,
    /// It has failed, and waits for an operator.
    Dead,
}

impl Error {
    /// Returns `true` when a retry may work: a server was away or refused temporarily, and nothing is damaged.
    pub fn is_retryable(&self) -> bool {
        match self {
            Error::Redis { .. } | Error::OldLayout { .. } => true,
            // An unreadable folder may come back; damage does not heal.
            Error::Archive(error) => {
                matches!(error.as_ref(), ArchiveError::Storage(error) if error.is_retryable())
            }
            Error::Conflict { .. }
            | Error::StaleAttempt
            | Error::Protocol { .. }
            | Error::AheadOfHead { .. }
            | Error::Partitions { .. }
            | Error::NotMore { .. }
            | Error::NotServed { .. }
            | Error::LayoutChanged
            | Error::Layout { .. }
            | Error::ClockAhead { .. }
            | Error::Stopping
            | Error::Undecodable { .. }
            | Error::Gap { .. } => false,
        }
    }
}

impl Mark {
    pub(super) fn name(self) -> &'static str {
        match self {
            Mark::Open => "open",
            Mark::Closed => "closed",
            Mark::Dead => "dead",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    Now {
        version: u64,
    },
    /// The command was applied before; nothing was written.
    Earlier {
        version: u64,
    },
}

impl Appended {
    /// Returns the aggregate's version after the command.
    pub fn version(self) -> u64 {
        match self {
            Appended::Now { version } | Appended::Earlier { version } => version,
        }
    }
}

/// `ending` is `None` for an append that failed.
fn measure_append(append: &Append<'_>, began: Instant, ending: Option<CommitOutcome>) {
    let trace_id = || append.events.first().and_then(|event| traces::trace_id(&event.traceparent));
    let outcome = ending.map_or("failed", CommitOutcome::word);
    APPEND_SECONDS.with(&[outcome]).observe_traced(began.elapsed(), trace_id);
    if ending == Some(CommitOutcome::Appended) {
        APPENDED_EVENTS.with(&[]).add(append.events.len() as u64);
    }
}

/// The event log. Cheap to clone; clones share one multiplexed connection, and one committer for each partition.
#[derive(Clone)]
pub struct EventLog {
    connection: Connection,
    keys: Arc<Keys>,
    history: Arc<Script>,
    committers: Arc<[Committer]>,
    versions: Versions,
    archive: Option<Archive>,
}

impl EventLog {
    /// Opens the log under these keys, if they have at least as many partitions. Those beyond the log's own stay empty until
    /// it grows ([`Self::grow`]). A log without events may change the number.
    pub async fn open(mut connection: Connection, keys: Keys) -> Result<Self, Error> {
        growth::begin(&mut connection, &keys).await?;
        Ok(Self::new(connection, keys))
    }

    /// Must be called within a Tokio runtime: a task commits the appends of each partition.
    pub fn new(connection: Connection, keys: Keys) -> Self {
        let keys = Arc::new(keys);
        let committers =
            keys.partitions().map(|partition| Committer::start(connection.clone(), keys.clone(), partition));
        let history = Arc::new(Script::new(include_str!("lua/history.lua")));
        let versions = Versions::new(connection.clone(), keys.clone());
        Self { committers: committers.collect(), connection, history, keys, versions, archive: None }
    }

    /// Reads events that were trimmed from Redis from an archive.
    pub fn with_archive(self, archive: Archive) -> Self {
        Self { archive: Some(archive), ..self }
    }

    pub fn archive(&self) -> Option<&Archive> {
        self.archive.as_ref()
    }

    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Returns the shared connection, for views and queues.
    pub fn connection(&self) -> Connection {
        self.connection.clone()
    }

    /// Appends all events or none. A call with an unknown outcome is repeated under the same command id. A second call with an
    /// applied command id writes nothing, and reports so.
    ///
    /// Concurrent appends to one partition share a round trip.
    pub async fn append(&self, append: &Append<'_>) -> Result<Appended, Error> {
        let began = Instant::now();
        let committed = loop {
            match self.commit(append).await {
                // Nothing was written.
                Err(Error::OldLayout { fence }) => growth::catch_up(self, fence).await?,
                committed => break committed,
            }
        };
        measure_append(append, began, committed.as_ref().ok().map(|(ending, _)| *ending));
        let (ending, version) = committed?;
        match ending {
            CommitOutcome::Appended => Ok(Appended::Now { version }),
            CommitOutcome::Duplicate => Ok(Appended::Earlier { version }),
            CommitOutcome::Conflict => {
                Err(Error::Conflict { expected: append.expected_version, current: version })
            }
            CommitOutcome::Stale => Err(Error::StaleAttempt),
            CommitOutcome::Ahead => Err(Error::ClockAhead { id: append.aggregate_id }),
        }
    }

    async fn commit(&self, append: &Append<'_>) -> Result<(CommitOutcome, u64), Error> {
        let (partition, prepared) = loop {
            let layout = self.keys.layout();
            let partition = layout.partition_of(append.aggregate_id);
            let prepared = Prepared::new(&self.keys, &layout, partition, append);
            // Else its keys may be of another partition.
            if self.keys.layout().generation == layout.generation {
                break (partition, prepared);
            }
        };
        self.committers[usize::from(partition)].commit(prepared).await
    }

    /// Returns an aggregate's events after `after_version`, in order; none for an unknown aggregate.
    pub async fn history(&self, id: AggregateId, after_version: u64) -> Result<Vec<Envelope>, Error> {
        self.history_until(id, after_version, -1).await
    }

    /// Returns at most `limit` of an aggregate's events after `after_version`, in order.
    pub async fn history_page(
        &self,
        id: AggregateId,
        after_version: u64,
        limit: u64,
    ) -> Result<Vec<Envelope>, Error> {
        if limit == 0 {
            return Ok(vec![]);
        }
        self.history_until(id, after_version, (after_version + limit - 1) as i64).await
    }

    /// Reads the list of sequence numbers up to `last_index`; -1 stands for its end.
    async fn history_until(
        &self,
        id: AggregateId,
        after_version: u64,
        last_index: i64,
    ) -> Result<Vec<Envelope>, Error> {
        let partition = self.keys.partition_of(id);
        let stream = self.keys.log(partition);
        let mut connection = self.connection.clone();
        let mut call = self.history.key(&stream);
        let entries: Vec<Value> = call
            .key(self.keys.history(id))
            .arg(after_version)
            .arg(last_index)
            .invoke_async(&mut connection)
            .await
            .map_err(|source| Error::Redis { attempted: "read a history", source })?;
        let mut events = Vec::with_capacity(entries.len());
        for (expected, entry) in (after_version + 1..).zip(entries) {
            let (entry_id, envelope) = match entry {
                // It was trimmed from Redis.
                Value::Int(seq) => (format!("{seq}-0"), self.read_archived(partition, seq as u64).await?),
                entry => parse_entry(&stream, entry)?,
            };
            if envelope.aggregate_id != id || envelope.version != expected {
                let reason = format!("it stands for version {expected} of {id}, but holds another event");
                return Err(Error::Undecodable { stream, id: entry_id, reason });
            }
            events.push(envelope);
        }
        Ok(events)
    }

    async fn read_archived(&self, partition: u16, seq: u64) -> Result<Envelope, Error> {
        let events = self.read_archive(partition, seq - 1, 1).await?;
        let found = events.into_iter().next().map(|(_, envelope)| envelope);
        found.ok_or_else(|| Error::Undecodable {
            stream: self.keys.log(partition),
            id: format!("{seq}-0"),
            reason: "it is gone from the log, and not in the archive".to_owned(),
        })
    }

    async fn read_archive(
        &self,
        partition: u16,
        after: u64,
        count: usize,
    ) -> Result<Vec<(u64, Envelope)>, Error> {
        match &self.archive {
            Some(archive) => {
                archive.read(partition, after, count).await.map_err(|error| Error::Archive(Box::new(error)))
            }
            None => Ok(vec![]),
        }
    }

    /// Returns an aggregate's version; 0 when it is unknown.
    pub async fn version(&self, id: AggregateId) -> Result<u64, Error> {
        self.versions.of(id).await.map_err(|source| Error::Redis { attempted: "read a version", source })
    }

    /// Checks that the server answers.
    pub async fn ping(&self) -> Result<(), Error> {
        redis::cmd("PING")
            .query_async(&mut self.connection.clone())
            .await
            .map_err(|source| Error::Redis { attempted: "answer a ping", source })
    }

    /// Returns `true` when the aggregate has already applied the command.
    pub async fn was_applied(&self, id: AggregateId, command_id: CommandId) -> Result<bool, Error> {
        redis::cmd("HEXISTS")
            .arg(self.keys.commands(id))
            .arg(command_id.to_string())
            .query_async(&mut self.connection.clone())
            .await
            .map_err(|source| Error::Redis { attempted: "look up a command", source })
    }

    /// Reads at most `count` events of a partition after sequence number `after`, in order and without a gap. Returns fewer when
    /// they are large, and those before a gap or an unreadable entry; an error when there are none before it.
    pub async fn read(
        &self,
        partition: u16,
        after: u64,
        count: usize,
    ) -> Result<Vec<(u64, Envelope)>, Error> {
        let gap = match self.read_redis(partition, after, count).await {
            Err(gap @ Error::Gap { .. }) => gap,
            Ok(events)
                if events.is_empty() && self.archive.is_some() && self.head(partition).await? > after =>
            {
                // An append was concurrent, or all events were trimmed from Redis.
                match self.read_redis(partition, after, count).await {
                    Err(gap @ Error::Gap { .. }) => gap,
                    Ok(events) if events.is_empty() => {
                        let (stream, found) = (self.keys.log(partition), "nothing".to_owned());
                        Error::Gap { stream, expected: after + 1, found }
                    }
                    read => return read,
                }
            }
            read => return read,
        };
        let events = self.read_archive(partition, after, count).await?;
        if events.is_empty() { Err(gap) } else { Ok(events) }
    }

    async fn read_redis(
        &self,
        partition: u16,
        after: u64,
        count: usize,
    ) -> Result<Vec<(u64, Envelope)>, Error> {
        let mut events = vec![];
        let mut read_bytes = 0;
        while events.len() < count && read_bytes < MAX_READ_BYTES {
            let wanted = PAGE.min(count - events.len());
            let page = self.read_page(partition, after + events.len() as u64, wanted).await;
            let page = match page {
                Ok(page) => page,
                Err(error) if events.is_empty() => return Err(error),
                Err(_met_next_time) => break,
            };
            let is_last = page.len() < wanted;
            read_bytes += page.iter().map(|(_, envelope)| envelope.data.len()).sum::<usize>();
            events.extend(page);
            if is_last {
                break;
            }
        }
        Ok(events)
    }

    async fn read_page(
        &self,
        partition: u16,
        after: u64,
        count: usize,
    ) -> Result<Vec<(u64, Envelope)>, Error> {
        let stream = self.keys.log(partition);
        let entries = self.range(partition, after + 1, count).await?;
        let entries = entries.into_iter().map(|entry| parse_entry(&stream, entry));
        let mut events = Vec::with_capacity(entries.len());
        for (expected, entry) in (after + 1..).zip(entries) {
            let read = entry.and_then(|(found, envelope)| match found == format!("{expected}-0") {
                true => Ok((expected, envelope)),
                false => Err(Error::Gap { stream: stream.clone(), expected, found }),
            });
            match read {
                Ok(event) => events.push(event),
                Err(error) if events.is_empty() => return Err(error),
                Err(_met_next_time) => break,
            }
        }
        Ok(events)
    }

    /// Reads the entries of a partition in Redis from sequence number `from` on, even damaged ones: the id, and the event or the
    /// reason why it cannot be read.
    pub async fn scan(
        &self,
        partition: u16,
        from: u64,
        count: usize,
    ) -> Result<Vec<(String, Result<Envelope, String>)>, Error> {
        let entries = self.range(partition, from, count).await?;
        let read = |entry| match take_entry(entry) {
            Some((id, fields)) => (id, parse_envelope(fields)),
            None => ("?".to_owned(), Err("it is not made of text fields".to_owned())),
        };
        Ok(entries.into_iter().map(read).collect())
    }

    /// Reads at most `count` raw entries of a partition, from sequence number `from` on.
    async fn range(&self, partition: u16, from: u64, count: usize) -> Result<Vec<Value>, Error> {
        redis::cmd("XRANGE")
            .arg(self.keys.log(partition))
            .arg(format!("{from}-0"))
            .arg("+")
            .arg("COUNT")
            .arg(count)
            .query_async(&mut self.connection.clone())
            .await
            .map_err(|source| Error::Redis { attempted: "read a partition", source })
    }

    /// Returns the sequence numbers of an aggregate's history, in the order of its versions.
    pub async fn listed(&self, id: AggregateId) -> Result<Vec<u64>, Error> {
        redis::cmd("LRANGE")
            .arg(self.keys.history(id))
            .arg(0)
            .arg(-1)
            .query_async(&mut self.connection.clone())
            .await
            .map_err(|source| Error::Redis { attempted: "read a history", source })
    }

    /// Returns the last sequence number of a partition; 0 when it is empty.
    pub async fn head(&self, partition: u16) -> Result<u64, Error> {
        let head: Option<u64> = redis::cmd("GET")
            .arg(self.keys.head(partition))
            .query_async(&mut self.connection.clone())
            .await
            .map_err(|source| Error::Redis { attempted: "read a partition's head", source })?;
        Ok(head.unwrap_or(0))
    }
}

/// Parses an entry of XRANGE: its id, and alternating names and values.
fn parse_entry(stream: &str, entry: Value) -> Result<(String, Envelope), Error> {
    let undecodable = |id: &str, reason: &str| Error::Undecodable {
        stream: stream.to_owned(),
        id: id.to_owned(),
        reason: reason.to_owned(),
    };
    let (id, fields) =
        take_entry(entry).ok_or_else(|| undecodable("?", "it is missing, or not made of text fields"))?;
    let envelope = parse_envelope(fields).map_err(|reason| undecodable(&id, &reason))?;
    Ok((id, envelope))
}

/// Moves the texts out of a reply without copying: a log has millions of them.
fn take_entry(entry: Value) -> Option<(String, Vec<String>)> {
    let text = |value| match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    };
    let Value::Array(parts) = entry else { return None };
    let [id, Value::Array(fields)] = <[Value; 2]>::try_from(parts).ok()? else { return None };
    Some((text(id)?, fields.into_iter().map(text).collect::<Option<_>>()?))
}

/// Parses alternating names and values. Unknown names are skipped, so that newer writers may add some. In the first logs, the
/// content of `meta` was in separate fields.
fn parse_envelope(fields: Vec<String>) -> Result<Envelope, String> {
    let names = fields.iter().step_by(2);
    if names.eq(Envelope::STORED.iter()) {
        return parse_values(fields.into_iter().skip(1).step_by(2).collect());
    }
    let own = |name: &str| fields.chunks_exact(2).find(|pair| pair[0] == name).map(|pair| pair[1].as_str());
    let meta = own("meta").map(parse_meta).transpose()?.unwrap_or_default();
    let field = |name: &str| {
        let in_meta = || {
            let at = Envelope::META.iter().position(|known| *known == name)?;
            meta.get(at).map(|value| value.to_string())
        };
        own(name).map(str::to_owned).or_else(in_meta).ok_or_else(|| format!("field {name} is missing"))
    };
    let stored = ["event_id", "aggregate_id", "version", "type", "schema", "data"].map(field);
    let meta: Vec<Cow<str>> =
        Envelope::META.iter().map(|name| field(name).map(Cow::from)).collect::<Result<_, _>>()?;
    let [event_id, aggregate_id, version, event_type, schema, data] = stored;
    parse_texts([event_id?, aggregate_id?, version?, event_type?, schema?, data?], &meta)
}

/// Parses the values of [`Envelope::STORED`], in their order.
pub(super) fn parse_values(values: Vec<String>) -> Result<Envelope, String> {
    let count = values.len();
    let values = <[String; Envelope::STORED.len()]>::try_from(values);
    let values =
        values.map_err(|_| format!("it has {count} values instead of {}", Envelope::STORED.len()))?;
    let [event_id, aggregate_id, version, event_type, schema, meta, data] = values;
    parse_texts([event_id, aggregate_id, version, event_type, schema, data], &parse_meta(&meta)?)
}

fn parse_meta(text: &str) -> Result<Vec<Cow<'_, str>>, String> {
    serde_json::from_str(text).map_err(|error| format!("field meta: {error}"))
}

fn parse_texts(stored: [String; 6], meta: &[Cow<'_, str>]) -> Result<Envelope, String> {
    let [event_id, aggregate_id, version, event_type, schema, data] = stored;
    let [
        aggregate,
        recorded_at,
        command_id,
        causation_id,
        correlation_id,
        actor,
        traceparent,
        prev_hash,
        hash,
    ] = meta
    else {
        return Err(format!("field meta has {} values instead of {}", meta.len(), Envelope::META.len()));
    };
    let uuid = |name, text: &str| Uuid::parse_str(text).map_err(|error| format!("field {name}: {error}"));
    let number = |name, text: &str| text.parse::<u64>().map_err(|error| format!("field {name}: {error}"));
    Ok(Envelope {
        event_id: EventId(uuid("event_id", &event_id)?),
        aggregate: AggregateKind::parse(aggregate).ok_or_else(|| {
            let kind: String = aggregate.chars().take(40).collect();
            format!("field aggregate: this version knows no `{kind}`; a newer version may have written it")
        })?,
        aggregate_id: AggregateId(uuid("aggregate_id", &aggregate_id)?),
        version: number("version", &version)?,
        event_type,
        schema: u32::try_from(number("schema", &schema)?)
            .map_err(|error| format!("field schema: {error}"))?,
        recorded_at: DateTime::parse_from_rfc3339(recorded_at)
            .map_err(|error| format!("field recorded_at: {error}"))?
            .to_utc(),
        command_id: CommandId(uuid("command_id", command_id)?),
        causation_id: match causation_id.as_ref() {
            "" => None,
            text => Some(EventId(uuid("causation_id", text)?)),
        },
        correlation_id: correlation_id.to_string(),
        actor: Actor::parse(actor).ok_or("field actor: neither user, worker nor system")?,
        traceparent: traceparent.to_string(),
        prev_hash: prev_hash.to_string(),
        hash: hash.to_string(),
        data,
    })
}

/// Reads an entry as a server may answer with it; then what is read is written and read again.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn reread_entry(fields: Vec<String>) -> Option<(Envelope, Envelope)> {
    let text = |text: String| Value::BulkString(text.into_bytes());
    let fields = fields.into_iter().map(text).collect();
    let entry = Value::Array(vec![Value::BulkString(b"1-0".to_vec()), Value::Array(fields)]);
    let (_, envelope) = parse_entry("fuzzed", entry).ok()?;
    let mut values = vec![];
    envelope.each_stored(|value| values.push(String::from_utf8_lossy(value).into_owned()));
    let again = parse_values(values).expect("what was read is written so that it can be read");
    Some((envelope, again))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::JobId;

    #[test]
    fn an_entry_of_the_first_logs_reads_like_one_of_today() {
        let mut envelope = Envelope {
            event_id: EventId::new(),
            aggregate: AggregateKind::Job,
            aggregate_id: JobId::new().aggregate(),
            version: 3,
            event_type: "JobQueued".into(),
            schema: 1,
            recorded_at: DateTime::from_timestamp_micros(1_763_000_000_123_456).unwrap(),
            command_id: CommandId::new(),
            causation_id: None,
            correlation_id: "with \"quotes\"".into(),
            actor: Actor::Worker("w".into()),
            traceparent: String::new(),
            prev_hash: "0".repeat(64),
            hash: String::new(),
            data: r#"{"priority":"high"}"#.into(),
        };
        envelope.hash = envelope.compute_hash();
        let mut first = vec![];
        envelope.each_value(|name, value| {
            first.extend([name.to_owned(), String::from_utf8(value.to_vec()).unwrap()]);
        });
        let mut values = vec![];
        envelope.each_stored(|value| values.push(String::from_utf8(value.to_vec()).unwrap()));
        let today: Vec<String> = Envelope::STORED
            .iter()
            .zip(values)
            .flat_map(|(name, value)| [(*name).to_owned(), value])
            .collect();
        assert_eq!(parse_envelope(first).as_ref(), Ok(&envelope));
        assert_eq!(parse_envelope(today.clone()).as_ref(), Ok(&envelope));
        assert_eq!(parse_envelope(today[2..].to_vec()), Err("field event_id is missing".to_owned()));
        let with_another = [today.clone(), vec!["new".into(), "x".into()]].concat();
        assert_eq!(parse_envelope(with_another).as_ref(), Ok(&envelope), "a newer writer may add fields");
    }
}
