//! The events that are not about a job: what operators decide about read models and users.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::AggregateKind;
use crate::ids::AggregateId;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum SystemEvent {
    /// A projection leaves out one event for good: it could not be applied. Of the aggregate `projection`.
    EventSkipped { projection: String, partition: u16, seq: u64, reason: String },
    /// A projection passes over an aggregate from the event `seq` on, because one of its events cannot be applied. Of the
    /// aggregate `projection`.
    AggregateQuarantined {
        projection: String,
        partition: u16,
        aggregate: String,
        aggregate_id: AggregateId,
        seq: u64,
        version: u64,
        error: String,
    },
    /// A projection takes up an aggregate that it has passed over. Of the aggregate `projection`.
    AggregateReleased { projection: String, partition: u16, aggregate_id: AggregateId, reason: String },
    /// The key of a user's content was destroyed. Of the aggregate `user`, whose id is a digest of the user's.
    UserErased { keys: u64, jobs: u64 },
}

impl SystemEvent {
    pub fn type_name(&self) -> &'static str {
        match self {
            SystemEvent::EventSkipped { .. } => "EventSkipped",
            SystemEvent::AggregateQuarantined { .. } => "AggregateQuarantined",
            SystemEvent::AggregateReleased { .. } => "AggregateReleased",
            SystemEvent::UserErased { .. } => "UserErased",
        }
    }
}

/// The id of an aggregate that is known by a name: a projection, a user.
pub fn named(kind: AggregateKind, name: &str) -> AggregateId {
    let space = Uuid::new_v5(&Uuid::NAMESPACE_OID, kind.name().as_bytes());
    AggregateId(Uuid::new_v5(&space, name.as_bytes()))
}
