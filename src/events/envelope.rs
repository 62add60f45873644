//! The envelope around every event: identity, order, origin, and the hash chain.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};
use uuid::Uuid;

use super::event::TypedId;
use crate::ids::{AggregateId, CommandId, EventId};

/// The kind of an aggregate, as in the `aggregate` field.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, IntoStaticStr, EnumString, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum AggregateKind {
    Job,
    /// Jobs that were requested together.
    Batch,
    /// A read model; its events are decisions of operators.
    Projection,
    /// A user; its events record erasures.
    User,
    /// The files that a user has uploaded.
    Uploads,
    /// The configurations that a user has stored.
    Configurations,
    /// A message to a receiver that a user named.
    Webhook,
    /// The whole system; its events are decisions of operators.
    Operations,
}

/// The author of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "id", rename_all = "snake_case")]
pub enum Actor {
    User(String),
    /// A worker process, by its consumer name.
    Worker(String),
    System,
}

/// A recorded event. `data` is the recorded text byte for byte, because the hash covers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    pub event_id: EventId,
    pub aggregate: AggregateKind,
    pub aggregate_id: AggregateId,
    /// Version of the aggregate, from 1 and without gaps.
    pub version: u64,
    pub event_type: String,
    /// Schema number of `data`, from 1.
    pub schema: u32,
    pub recorded_at: DateTime<Utc>,
    pub command_id: CommandId,
    /// The event that led to this one.
    pub causation_id: Option<EventId>,
    /// Equal for all events that one request caused.
    pub correlation_id: String,
    pub actor: Actor,
    /// W3C trace context.
    pub traceparent: String,
    /// Hash of the aggregate's previous event; 64 zeros for the first one.
    pub prev_hash: String,
    /// BLAKE3 over `prev_hash` and all other fields, in hex.
    pub hash: String,
    /// The payload, JSON.
    pub data: String,
}

/// `prev_hash` of an aggregate's first event.
pub const CHAIN_START: &str = "0000000000000000000000000000000000000000000000000000000000000000";

impl AggregateKind {
    pub fn name(self) -> &'static str {
        self.into()
    }

    pub fn parse(name: &str) -> Option<Self> {
        name.parse().ok()
    }
}

impl std::fmt::Display for AggregateKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The end of an aggregate's history, which its next event must follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tip {
    /// 0 before the first event.
    pub version: u64,
    pub hash: String,
    pub event_id: Option<EventId>,
    pub correlation_id: String,
    pub traceparent: String,
}

impl Default for Tip {
    fn default() -> Self {
        Self {
            version: 0,
            hash: CHAIN_START.to_owned(),
            event_id: None,
            correlation_id: String::new(),
            traceparent: String::new(),
        }
    }
}

/// The common fields of the events of one command.
#[derive(Debug, Clone)]
pub struct Cause {
    pub command_id: CommandId,
    pub actor: Actor,
    pub causation_id: Option<EventId>,
    pub correlation_id: String,
    pub traceparent: String,
    pub recorded_at: DateTime<Utc>,
}

/// An event's payload in its recorded form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    pub event_type: &'static str,
    pub schema: u32,
    pub data: String,
}

impl Actor {
    /// `user:ID`, `worker:NAME` or `system`.
    pub fn to_field(&self) -> String {
        match self {
            Actor::User(id) => format!("user:{id}"),
            Actor::Worker(name) => format!("worker:{name}"),
            Actor::System => "system".to_owned(),
        }
    }

    pub fn parse(field: &str) -> Option<Self> {
        match field.split_once(':') {
            Some(("user", id)) => Some(Actor::User(id.to_owned())),
            Some(("worker", name)) => Some(Actor::Worker(name.to_owned())),
            None if field == "system" => Some(Actor::System),
            _ => None,
        }
    }
}

/// Formats a time as in the log: UTC, microseconds, `Z`.
pub fn time_field(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

impl Envelope {
    /// Names of the envelope's fields, in the order in which they are hashed and shown.
    pub const FIELDS: [&'static str; 15] = [
        "event_id",
        "aggregate",
        "aggregate_id",
        "version",
        "type",
        "schema",
        "recorded_at",
        "command_id",
        "causation_id",
        "correlation_id",
        "actor",
        "traceparent",
        "prev_hash",
        "hash",
        "data",
    ];

    /// Names of the fields of a stream entry. Fields that readers filter by are separate; the rest is in [`Self::META`], because
    /// each further field costs the server as much as the event itself. The order never changes, so that Redis stores the
    /// names once for a whole stream node.
    pub const STORED: [&'static str; 7] =
        ["event_id", "aggregate_id", "version", "type", "schema", "meta", "data"];

    /// Names of the values in the field `meta`, a JSON array of texts in this order.
    pub const META: [&'static str; 9] = [
        "aggregate",
        "recorded_at",
        "command_id",
        "causation_id",
        "correlation_id",
        "actor",
        "traceparent",
        "prev_hash",
        "hash",
    ];

    /// Passes the values of [`Self::STORED`] to a function, in their order.
    pub fn each_stored(&self, mut take: impl FnMut(&[u8])) {
        let mut meta = Vec::with_capacity(480);
        self.each_value(|name, value| {
            if Self::META.contains(&name) {
                meta.push(if meta.is_empty() { b'[' } else { b',' });
                let text = std::str::from_utf8(value).expect("all values are text");
                serde_json::to_writer(&mut meta, text).expect("a text is written to memory");
                return;
            }
            // The last of all fields, so `meta` is whole by now.
            if name == "data" {
                meta.push(b']');
                take(&meta);
            }
            take(value);
        });
    }

    /// Passes the values of [`Self::FIELDS`] to a function, in their order. They are built on the stack: this runs twice for every
    /// appended event.
    pub fn each_value(&self, mut take: impl FnMut(&'static str, &[u8])) {
        let mut buffer = Uuid::encode_buffer();
        let mut id = |id: Uuid| -> [u8; 36] {
            *id.hyphenated().encode_lower(&mut buffer).as_bytes().first_chunk().expect("36 characters")
        };
        let mut number = itoa::Buffer::new();
        take("event_id", &id(self.event_id.0));
        take("aggregate", self.aggregate.name().as_bytes());
        take("aggregate_id", &id(self.aggregate_id.0));
        take("version", number.format(self.version).as_bytes());
        take("type", self.event_type.as_bytes());
        take("schema", number.format(self.schema).as_bytes());
        take("recorded_at", time_field(self.recorded_at).as_bytes());
        take("command_id", &id(self.command_id.0));
        match self.causation_id {
            Some(causation) => take("causation_id", &id(causation.0)),
            None => take("causation_id", b""),
        }
        take("correlation_id", self.correlation_id.as_bytes());
        take("actor", self.actor.to_field().as_bytes());
        take("traceparent", self.traceparent.as_bytes());
        take("prev_hash", self.prev_hash.as_bytes());
        take("hash", self.hash.as_bytes());
        take("data", self.data.as_bytes());
    }

    /// Builds the envelope of the event that follows `tip`, chained to it. No other function builds one for a new event.
    pub fn next<I: TypedId>(tip: &Tip, id: I, payload: Payload, cause: &Cause) -> Self {
        let mut envelope = Self {
            event_id: EventId::new(),
            aggregate: I::KIND,
            aggregate_id: id.aggregate(),
            version: tip.version + 1,
            event_type: payload.event_type.to_owned(),
            schema: payload.schema,
            recorded_at: cause.recorded_at,
            command_id: cause.command_id,
            causation_id: cause.causation_id,
            correlation_id: cause.correlation_id.clone(),
            actor: cause.actor.clone(),
            traceparent: cause.traceparent.clone(),
            prev_hash: tip.hash.clone(),
            hash: String::new(),
            data: payload.data,
        };
        envelope.hash = envelope.compute_hash();
        envelope
    }

    /// Returns the tip that the aggregate's next event must follow.
    pub fn tip(&self) -> Tip {
        Tip {
            version: self.version,
            hash: self.hash.clone(),
            event_id: Some(self.event_id),
            correlation_id: self.correlation_id.clone(),
            traceparent: self.traceparent.clone(),
        }
    }

    /// Returns the aggregate's id, if it is of that kind.
    pub fn id<I: TypedId>(&self) -> Option<I> {
        (self.aggregate == I::KIND).then(|| I::of(self.aggregate_id))
    }

    /// Computes the value of `hash`. Each field is preceded by its length, so that no two envelopes have the same input.
    pub fn compute_hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        self.each_value(|name, value| {
            if name != "hash" {
                hasher.update(&(value.len() as u64).to_le_bytes());
                hasher.update(value);
            }
        });
        hasher.finalize().to_hex().to_string()
    }
}

/// Formats the envelope as JSON, for the API and the command line, with `data` as an object.
impl Serialize for Envelope {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::{Error, SerializeStruct};
        let data: serde_json::Value = serde_json::from_str(&self.data).map_err(S::Error::custom)?;
        let mut out = serializer.serialize_struct("Envelope", Self::FIELDS.len())?;
        out.serialize_field("event_id", &self.event_id)?;
        out.serialize_field("aggregate", &self.aggregate)?;
        out.serialize_field("aggregate_id", &self.aggregate_id)?;
        out.serialize_field("version", &self.version)?;
        out.serialize_field("type", &self.event_type)?;
        out.serialize_field("schema", &self.schema)?;
        out.serialize_field("recorded_at", &time_field(self.recorded_at))?;
        out.serialize_field("command_id", &self.command_id)?;
        out.serialize_field("causation_id", &self.causation_id)?;
        out.serialize_field("correlation_id", &self.correlation_id)?;
        out.serialize_field("actor", &self.actor)?;
        out.serialize_field("traceparent", &self.traceparent)?;
        out.serialize_field("prev_hash", &self.prev_hash)?;
        out.serialize_field("hash", &self.hash)?;
        out.serialize_field("data", &data)?;
        out.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> Envelope {
        Envelope {
            event_id: EventId::new(),
            aggregate: AggregateKind::Job,
            aggregate_id: crate::ids::JobId::new().aggregate(),
            version: 1,
            event_type: "JobQueued".into(),
            schema: 1,
            recorded_at: Utc::now(),
            command_id: CommandId::new(),
            causation_id: None,
            correlation_id: "c".into(),
            actor: Actor::User("u".into()),
            traceparent: String::new(),
            prev_hash: CHAIN_START.into(),
            hash: String::new(),
            data: r#"{"priority":"high"}"#.into(),
        }
    }

    #[test]
    fn the_hash_covers_every_other_field() {
        let original = envelope();
        let hash = original.compute_hash();
        let changes: [fn(&mut Envelope); 5] = [
            |e| e.version = 2,
            |e| e.data.push(' '),
            |e| e.actor = Actor::System,
            |e| e.prev_hash = "1".repeat(64),
            |e| {
                // Moving a character from one field to the next must show.
                e.correlation_id = String::new();
                e.traceparent = "c".into();
            },
        ];
        for change in changes {
            let mut changed = original.clone();
            change(&mut changed);
            assert_ne!(changed.compute_hash(), hash);
        }
        let mut sealed = original.clone();
        sealed.hash = hash.clone();
        assert_eq!(sealed.compute_hash(), hash, "the hash does not cover itself");
    }

    #[test]
    fn values_are_handed_out_in_the_order_of_their_names() {
        let mut names = vec![];
        envelope().each_value(|name, _| names.push(name));
        assert_eq!(names, Envelope::FIELDS);
    }

    #[test]
    fn a_stored_entry_has_the_named_fields() {
        let envelope = envelope();
        let mut stored = vec![];
        envelope.each_stored(|value| stored.push(String::from_utf8(value.to_vec()).unwrap()));
        assert_eq!(stored.len(), Envelope::STORED.len());
        assert_eq!(stored[3..5], ["JobQueued", "1"]);
        let meta: Vec<String> = serde_json::from_str(&stored[5]).unwrap();
        assert_eq!(meta.len(), Envelope::META.len());
        assert_eq!((meta[0].as_str(), meta[5].as_str()), ("job", "user:u"));
        assert_eq!(stored[6], envelope.data);
    }

    #[test]
    fn actors_round_trip() {
        for actor in [Actor::User("user:1".into()), Actor::Worker("w".into()), Actor::System] {
            assert_eq!(Actor::parse(&actor.to_field()), Some(actor));
        }
        assert_eq!(Actor::parse("robot:1"), None);
    }
}
