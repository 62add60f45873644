//! Process managers: an event of one aggregate leads to commands for others.
//!
//! An aggregate only writes to itself. A process manager reads the log from its own checkpoints, and sends commands whose ids
//! derive from the event that caused them. An event may be delivered more than once, because a process was killed before it
//! advanced its checkpoint, or lost its ownership. The commands of the second delivery were applied before, and have no
//! effect.
//!
//! Invariants:
//! - [`ProcessManager::react`] is pure: the same event leads to the same orders, in the same order. Ids of aggregates that
//!   it brings into being follow from the event (`JobId::of_event`).
//! - A command that is rejected, or an aggregate that cannot be read, stops nothing else. Only a server that is away does,
//!   until it is back.
//!
//! Deliberately absent: a state of its own. What a process has to remember is the state of an aggregate.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::domain::{CommandOf, EventOf, Id, State};
use crate::events::doorbell::{self, Doorbell};
use crate::events::process::Checkpoints;
use crate::events::{self, Actor, Envelope, TypedId};
use crate::execute::{self, Executor, Origin, Trace};
use crate::ids::{AggregateId, CommandId, EventId};
use crate::telemetry::chain;

/// Events read at a time.
const BATCH: usize = 500;
/// Pause between two looks at a partition: what is appended meanwhile is read at once, and not entry by entry.
const PACE: Duration = Duration::from_millis(200);
/// Pause while a server is away.
const PAUSE: Duration = Duration::from_secs(1);

/// Decides which commands follow from the events of one kind of aggregate.
pub trait ProcessManager: Send + Sync + 'static {
    /// Id type of the aggregates whose events it handles.
    type Source: Id;

    /// Name of its checkpoints and commands. It must never change.
    const NAME: &'static str;

    /// Says that `react` looks at the state of the aggregate. Otherwise it is not folded, and [`Happened::state`] is empty.
    const NEEDS_STATE: bool = true;

    /// Returns `true` for types of events that can lead to commands. Other events are not decoded.
    fn reacts_to(&self, event_type: &str) -> bool;

    /// Returns `true` when the first event of a history, without its encrypted content, says that nothing in it can lead to
    /// anything. Spares the folding of those histories.
    fn is_indifferent_to(&self, _first: &EventOf<Self::Source>) -> bool {
        false
    }

    /// Returns the commands that an event leads to.
    fn react(&self, happened: &Happened<Self::Source>) -> Vec<Order>;
}

/// An event, and the state of its aggregate right after it.
#[derive(Debug)]
pub struct Happened<I: Id> {
    pub id: I,
    pub event_id: EventId,
    pub event: EventOf<I>,
    pub state: Arc<State<I>>,
}

/// A command for an aggregate of any kind.
pub struct Order {
    addressed: Box<dyn Deliver>,
    command_id: Option<CommandId>,
    actor: Actor,
}

impl Order {
    /// A command of the system's, with an id that follows from the event.
    pub fn new<I: Id>(id: I, command: CommandOf<I>) -> Self {
        Self { addressed: Box::new(Addressed { id, command }), command_id: None, actor: Actor::System }
    }

    /// The same in the name of `actor` and under an id of its own, for a command that others send, too.
    pub fn sent_as(self, command_id: CommandId, actor: Actor) -> Self {
        Self { command_id: Some(command_id), actor, ..self }
    }
}

struct Addressed<I: Id> {
    id: I,
    command: CommandOf<I>,
}

#[async_trait]
trait Deliver: Send + Sync {
    fn aggregate_id(&self) -> AggregateId;

    async fn deliver(&self, executor: &Executor, origin: &Origin) -> Result<(), NotDelivered>;
}

enum NotDelivered {
    /// A retry may deliver it.
    Yet(Box<dyn std::error::Error + Send + Sync>),
    /// The aggregate rejects it.
    Refused(Box<dyn std::error::Error + Send + Sync>),
    /// The aggregate cannot be read or written.
    Never(Box<dyn std::error::Error + Send + Sync>),
}

#[async_trait]
impl<I: Id> Deliver for Addressed<I> {
    fn aggregate_id(&self) -> AggregateId {
        self.id.aggregate()
    }

    async fn deliver(&self, executor: &Executor, origin: &Origin) -> Result<(), NotDelivered> {
        match executor.execute(self.id, self.command.clone(), origin, None).await {
            Ok(_) => Ok(()),
            Err(execute::Error::Rejected(rejection)) => Err(NotDelivered::Refused(rejection.into())),
            Err(error @ execute::Error::Contended { .. }) => Err(NotDelivered::Yet(error.into())),
            Err(error) if error.is_retryable() => Err(NotDelivered::Yet(error.into())),
            Err(error) => Err(NotDelivered::Never(error.into())),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the event log failed")]
    Log(#[from] events::Error),
    #[error("the aggregate of an event cannot be loaded for the moment")]
    Load(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("order {index} of event {event_id} was not delivered")]
    Order { event_id: EventId, index: usize, source: Box<dyn std::error::Error + Send + Sync> },
    #[error(
        "process {name} has read partition {partition} to {checkpoint}, but the log ends at {head}: \
         the log was lost or restored from an older copy"
    )]
    AheadOfLog { name: &'static str, partition: u16, checkpoint: u64, head: u64 },
}

/// Runs a process manager.
pub struct Process<M> {
    manager: M,
    executor: Executor,
    checkpoints: Checkpoints,
}

impl<M: ProcessManager> Process<M> {
    pub fn new(executor: Executor, manager: M) -> Self {
        let checkpoints = Checkpoints::new(executor.log().clone(), M::NAME);
        Self { manager, executor, checkpoints }
    }

    /// Follows all partitions until `stop`.
    pub async fn run(self, doorbell: Doorbell, stop: CancellationToken) {
        let (process, readers) = (Arc::new(self), TaskTracker::new());
        for partition in process.executor.log().keys().partitions() {
            let (process, bell, stop) = (process.clone(), doorbell.partition(partition), stop.clone());
            readers.spawn(async move { process.follow(partition, bell, stop).await });
        }
        readers.close();
        readers.wait().await;
    }

    async fn follow(&self, partition: u16, mut bell: watch::Receiver<()>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            bell.borrow_and_update();
            let caught_up = tokio::select! {
                () = stop.cancelled() => break,
                caught_up = self.catch_up(partition) => caught_up,
            };
            let pause = async {
                match caught_up {
                    Ok(_) => {
                        tokio::time::sleep(PACE).await;
                        doorbell::rung(&mut bell).await;
                    }
                    Err(error) => {
                        tracing::warn!(process = M::NAME, partition, error = %chain(&error), "a process waits");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = pause => {}
            }
        }
        if let Err(error) = self.checkpoints.release(partition).await {
            tracing::debug!(process = M::NAME, partition, error = %chain(&error), "its place is free in a few seconds");
        }
    }

    /// Handles all events of a partition up to its head, and returns their number. `None` while another process owns it.
    pub async fn catch_up(&self, partition: u16) -> Result<Option<u64>, Error> {
        let Some(mut checkpoint) = self.checkpoints.own(partition).await? else { return Ok(None) };
        let began = checkpoint;
        loop {
            let events = self.executor.log().read(partition, checkpoint, BATCH).await?;
            let Some((last, _)) = events.last() else { break };
            let last = *last;
            for (seq, envelope) in events {
                let is_dealt_with = self.deal_with(&envelope).await?;
                checkpoint = seq;
                let moves = is_dealt_with || seq == last;
                if moves && !self.checkpoints.advance(partition, seq).await? {
                    return Ok(None);
                }
            }
        }
        let head = self.executor.log().head(partition).await?;
        if head < checkpoint {
            return Err(Error::AheadOfLog { name: M::NAME, partition, checkpoint, head });
        }
        Ok(Some(checkpoint - began))
    }

    /// Handles an event, and returns `true` when it led to commands.
    async fn deal_with(&self, envelope: &Envelope) -> Result<bool, Error> {
        let Some(id) = envelope.id::<M::Source>() else { return Ok(false) };
        if !self.manager.reacts_to(&envelope.event_type) {
            return Ok(false);
        }
        if M::NEEDS_STATE && self.is_indifferent(id).await? {
            return Ok(false);
        }
        let Some(happened) = self.happened(id, envelope).await? else { return Ok(false) };
        let orders = self.manager.react(&happened);
        let led_to_something = !orders.is_empty();
        for (index, order) in orders.into_iter().enumerate() {
            self.deliver(envelope, index, order).await?;
        }
        Ok(led_to_something)
    }

    async fn is_indifferent(&self, id: M::Source) -> Result<bool, Error> {
        let first = self.executor.log().history_page(id.aggregate(), 0, 1).await?;
        let first = first.first().and_then(|first| execute::decode(first).ok());
        Ok(first.is_some_and(|first| self.manager.is_indifferent_to(&first.event)))
    }

    /// Loads the state of an event's aggregate; `None` when it cannot be read, which must not stop the others.
    async fn happened(
        &self,
        id: M::Source,
        envelope: &Envelope,
    ) -> Result<Option<Happened<M::Source>>, Error> {
        let read = async {
            let recorded = self.executor.decode::<M::Source>(envelope).await?;
            let state = match M::NEEDS_STATE {
                true => self.executor.load_until(id, envelope.version).await?.state,
                false => Arc::default(),
            };
            Ok(Happened { id, event_id: envelope.event_id, event: recorded.event, state })
        };
        let read: Result<_, execute::Error<_>> = read.await;
        match read {
            Ok(happened) => Ok(Some(happened)),
            Err(error) if error.is_retryable() => Err(Error::Load(error.into())),
            Err(error) => {
                tracing::error!(process = M::NAME, %id, error = %chain(&error), "an event is left out");
                Ok(None)
            }
        }
    }

    async fn deliver(&self, envelope: &Envelope, index: usize, order: Order) -> Result<(), Error> {
        let event_id = envelope.event_id;
        if let Some(command_id) = order.command_id
            && self.executor.log().was_applied(order.addressed.aggregate_id(), command_id).await?
        {
            return Ok(());
        }
        let trace = Trace {
            correlation_id: envelope.correlation_id.clone(),
            traceparent: envelope.traceparent.clone(),
        };
        let origin = Origin {
            command_id: order.command_id.unwrap_or(CommandId::of_reaction(event_id, M::NAME, index)),
            actor: order.actor,
            trace: Some(trace),
            causation_id: Some(event_id),
        };
        match order.addressed.deliver(&self.executor, &origin).await {
            Ok(()) => Ok(()),
            Err(NotDelivered::Yet(source)) => Err(Error::Order { event_id, index, source }),
            Err(NotDelivered::Refused(rejection)) => {
                tracing::info!(process = M::NAME, %event_id, index, reason = %rejection, "an order was refused");
                Ok(())
            }
            Err(NotDelivered::Never(error)) => {
                tracing::error!(process = M::NAME, %event_id, index, error = %chain(error.as_ref()), "an order is left out");
                Ok(())
            }
        }
    }
}
