//! The events of a read model: what operators decided about it.

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};

use super::event::Event;
use super::event::Text::{self, Public};
use crate::ids::{AggregateId, ProjectionId};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, VariantNames)]
#[serde(tag = "type", content = "data")]
pub enum ProjectionEvent {
    /// A projection leaves out one event for good: it could not be applied.
    EventSkipped { projection: String, partition: u16, seq: u64, reason: String },
    /// A projection passes over an aggregate from the event `seq` on, because one of its events cannot be applied.
    AggregateQuarantined {
        projection: String,
        partition: u16,
        aggregate: String,
        aggregate_id: AggregateId,
        seq: u64,
        version: u64,
        error: String,
    },
    /// A projection takes up an aggregate that it has passed over.
    AggregateReleased { projection: String, partition: u16, aggregate_id: AggregateId, reason: String },
}

impl Event for ProjectionEvent {
    type Id = ProjectionId;

    const TYPES: &'static [&'static str] = Self::VARIANTS;

    fn type_name(&self) -> &'static str {
        self.into()
    }

    fn texts(&self) -> &'static [Text] {
        match self {
            // The reason is an operator's, and part of the audit trail.
            ProjectionEvent::EventSkipped { .. } => &[Public("/projection"), Public("/reason")],
            // There is no user whose key could seal the error, so it must not quote what an event says.
            ProjectionEvent::AggregateQuarantined { .. } => {
                &[Public("/projection"), Public("/aggregate"), Public("/aggregate_id"), Public("/error")]
            }
            ProjectionEvent::AggregateReleased { .. } => {
                &[Public("/projection"), Public("/aggregate_id"), Public("/reason")]
            }
        }
    }
}
