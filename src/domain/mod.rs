//! What may happen: pure functions from state and command to events, and from events to state.
//!
//! No I/O, no clock and no randomness in here: `now` and new ids come in with the command. Fan-out
//! over scenes, fan-in, and what comes next are decided here, never in a worker.
//!
//! Each folder or file is one aggregate: a state that implements [`Aggregate`]. An aggregate decides about itself only;
//! what spans several is a process manager (`consumers::process_manager`).

use std::fmt::Debug;

use chrono::{DateTime, Utc};

use crate::events::job::WorkItem;
use crate::events::{Event, Mark, Priority, Recorded, TypedId};

pub mod batch;
pub mod configurations;
pub mod job;
pub mod operations;
pub mod projection;
pub mod uploads;
pub mod user;
pub mod webhook;

/// The state of one kind of aggregate, folded from its events, and its rules. The default is the state before the first
/// event.
pub trait Aggregate: Clone + Default + Debug + Send + Sync + 'static {
    type Event: Event;
    type Command: Clone + Debug + Send + Sync + 'static;
    type Rejection: std::error::Error + Send + Sync + 'static;

    /// The events that `command` leads to. An empty list means that there is nothing to record.
    fn decide(&self, command: Self::Command) -> Result<Vec<Self::Event>, Self::Rejection>;

    /// The state after one more event.
    fn evolve(self, recorded: &Recorded<Self::Event>) -> Self;

    /// Whether the command is for an aggregate without a history, as far as its sender knows. Spares the look for one.
    fn is_beginning(_command: &Self::Command) -> bool {
        false
    }

    /// The user whose key seals the personal texts of `event`, which comes next; `None` where it can have none.
    fn user<'a>(&'a self, _event: &'a Self::Event) -> Option<&'a str> {
        None
    }

    /// What the events make of the aggregate, as queues and operators need to know it; `None` when nothing changes.
    fn mark(_events: &[Self::Event]) -> Option<Mark> {
        None
    }

    /// The work that an event, already folded, schedules.
    fn schedule(&self, _event: &Self::Event) -> Option<Scheduled<'_>> {
        None
    }

    /// Whether hardly any commands will follow, so that the state is not worth keeping in memory.
    fn is_settled(&self) -> bool {
        false
    }
}

/// An id that says to which aggregate it belongs.
pub trait Id: TypedId {
    type Aggregate: Aggregate<Event: Event<Id = Self>>;
}

/// The state behind an id.
pub type State<I> = <I as Id>::Aggregate;
/// The events of the aggregate behind an id.
pub type EventOf<I> = <State<I> as Aggregate>::Event;
/// What can be asked of the aggregate behind an id.
pub type CommandOf<I> = <State<I> as Aggregate>::Command;
/// Why the aggregate behind an id refuses a command.
pub type RejectionOf<I> = <State<I> as Aggregate>::Rejection;

/// Work that an event schedules, for whom, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheduled<'a> {
    pub item: WorkItem,
    pub delay_ms: u64,
    pub priority: Priority,
    pub user_id: &'a str,
    /// When the aggregate began, or was requested while it has not begun, in ms since 1970.
    pub began_ms: i64,
    /// When somebody who watches needs its result.
    pub deadline: Option<DateTime<Utc>>,
}
