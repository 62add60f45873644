//! The common interface of the events of all kinds of aggregates.
//!
//! An event type is an enum of facts. It names its shapes ([`Event::STEPS`] brings old ones up to date), and declares of
//! every text in them whether it is public or personal ([`Event::texts`]): personal texts are encrypted with the user's
//! key before an event is recorded.

use std::fmt::{Debug, Display};
use std::hash::Hash;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::AggregateKind;
use crate::ids::{
    AggregateId, BatchId, ConfigurationsId, JobId, OperationsId, ProjectionId, UploadsId, UserId, WebhookId,
};

/// An id that implies the kind of its aggregate.
pub trait TypedId: Copy + Eq + Hash + Debug + Display + Send + Sync + 'static {
    const KIND: AggregateKind;

    fn aggregate(self) -> AggregateId;

    /// Converts an id without checking the kind; [`super::Envelope::id`] checks it.
    fn of(id: AggregateId) -> Self;
}

/// Declares the kinds of aggregates that ids imply.
macro_rules! typed_ids {
    ($($id:ident: $kind:ident),+ $(,)?) => {
        $(
            impl TypedId for $id {
                const KIND: AggregateKind = AggregateKind::$kind;

                fn aggregate(self) -> AggregateId {
                    AggregateId(self.0)
                }

                fn of(id: AggregateId) -> Self {
                    Self(id.0)
                }
            }
        )+
    };
}

typed_ids! {
    JobId: Job,
    BatchId: Batch,
    ProjectionId: Projection,
    UserId: User,
    UploadsId: Uploads,
    ConfigurationsId: Configurations,
    OperationsId: Operations,
    WebhookId: Webhook,
}

/// The events of one kind of aggregate. Serialised as `{"type": NAME, "data": {...}}`; of that, `data` is recorded.
pub trait Event: Clone + PartialEq + Debug + Serialize + DeserializeOwned + Send + Sync + 'static {
    type Id: TypedId;

    /// The names of all types. A name belongs to one kind of aggregate only.
    const TYPES: &'static [&'static str];

    /// The upcasters of all types.
    const STEPS: &'static [Step] = &[];

    /// The name in the envelope's `type` field.
    fn type_name(&self) -> &'static str;

    /// Declares every text of the event's data. A test walks all events and refuses a text that is not declared.
    fn texts(&self) -> &'static [Text];

    fn kind() -> AggregateKind {
        Self::Id::KIND
    }

    /// The number of a type's newest shape.
    fn current_schema(event_type: &str) -> u32 {
        1 + Self::STEPS.iter().filter(|step| step.event_type == event_type).count() as u32
    }
}

/// Turns the data of one shape into that of the next.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub event_type: &'static str,
    /// The schema number of the shape that it reads.
    pub from: u32,
    pub apply: fn(Value) -> Value,
}

/// A text in the data of an event, or all texts of a part of it, by its JSON pointer (RFC 6901).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// A text that no user wrote, and that does not derive from a user's words. Every reader of the log can read it, for ever.
    /// `*` stands for any index.
    Public(&'static str),
    /// A text that is encrypted with the key of the aggregate's user.
    Personal(&'static str, StandIn),
}

/// Replaces an encrypted personal part in the event's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StandIn {
    /// The text [`super::content::ENCRYPTED`].
    Text,
    EmptyList,
    /// Removes the field.
    Nothing,
}

/// A decoded event together with when it was recorded, which is all that folding needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded<E> {
    pub version: u64,
    pub recorded_at: DateTime<Utc>,
    pub event: E,
}

/// Joins lists of `N` texts in all, at compile time. Another number does not compile.
pub(super) const fn join_texts<const N: usize>(lists: &[&[Text]]) -> [Text; N] {
    let mut joined = [Text::Public(""); N];
    let (mut list, mut total) = (0, 0);
    while list < lists.len() {
        let mut index = 0;
        while index < lists[list].len() {
            joined[total] = lists[list][index];
            index += 1;
            total += 1;
        }
        list += 1;
    }
    assert!(total == N, "N is not the number of texts");
    joined
}
