//! Effects outside of the log that follow from events: messages to others, the erasure of a user.
//!
//! An aggregate says in its events that something is to be done, and what became of it. The outbox follows the log, keeps
//! for each effect a set of the aggregates for which it is due (`events::due`), and carries it out when its time has come.
//! What carries it out records the result as an event of the same aggregate, which changes when the effect is due
//! next, or that it is not any more.
//!
//! Invariants:
//! - An effect whose event was appended is carried out at least once, whatever is killed: it stays due until an event says
//!   otherwise. It may be carried out twice, when a process is killed before it records the result.
//! - One process at a time carries out the effects of a partition, at most [`Effect::MAX_IN_FLIGHT`] of a kind at a time.
//!
//! Deliberately absent: commands for other aggregates, which are a process manager's, and the work of stages, which
//! has queues.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::domain::{EventOf, Id};
use crate::events::doorbell::{self, Doorbell};
use crate::events::due::DueSet;
use crate::events::process::Checkpoints;
use crate::events::{self, Envelope, Recorded};
use crate::execute::{self, Executor};
use crate::telemetry::chain;

/// Events read at a time.
const BATCH: usize = 500;
/// Pause after a server was away.
const PAUSE: Duration = Duration::from_secs(1);
/// How long an effect is put off that could not be carried out.
const POSTPONED_MS: i64 = 5000;
/// How often an owner says that it is there, and looks whether a bell was missed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// From one look at the log to the next, at least: most events lead to no effect.
const PACE: Duration = Duration::from_millis(50);
/// How long running effects may go on after the process was told to stop.
const DRAIN: Duration = Duration::from_millis(1500);

/// When an effect is due after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    At(DateTime<Utc>),
    /// Not any more.
    Never,
    /// As before.
    Unchanged,
}

/// What came of carrying out an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// An event says what came of it, and when it is due again.
    Recorded,
    /// There was nothing to do.
    Settled,
}

pub type NotCarriedOut = Box<dyn std::error::Error + Send + Sync>;

/// Something that is done outside of the log for aggregates of one kind.
#[async_trait]
pub trait Effect: Send + Sync + 'static {
    type Source: Id;

    /// Names its checkpoints and its due sets; never changes.
    const NAME: &'static str;
    const MAX_IN_FLIGHT: usize;

    /// Whether events of a type may change when the effect is due. Others are not decoded.
    fn reacts_to(&self, _event_type: &str) -> bool {
        true
    }

    /// When the effect is due after the event. Pure; what is sealed in the event is not there.
    fn due(&self, recorded: &Recorded<EventOf<Self::Source>>) -> Due;

    /// Carries out the effect, and records what came of it. An error means that a server was away: it is tried again.
    async fn carry_out(&self, id: Self::Source) -> Result<Carried, NotCarriedOut>;
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the event log failed")]
    Log(#[from] events::Error),
}

/// The outbox of one effect.
pub struct Outbox<E> {
    effect: E,
    executor: Executor,
    checkpoints: Checkpoints,
    due: DueSet,
}

/// An aggregate, the time at which its effect was due, in ms, and what came of it.
type Ended<I> = (I, i64, Result<Carried, NotCarriedOut>);

/// One partition at work.
struct InFlight<I> {
    running: JoinSet<Ended<I>>,
    ids: HashSet<I>,
}

impl<E: Effect> Outbox<E> {
    pub fn new(executor: Executor, effect: E) -> Self {
        let checkpoints = Checkpoints::new(executor.log().clone(), E::NAME);
        let due = DueSet::new(executor.log().clone(), E::NAME);
        Self { effect, executor, checkpoints, due }
    }

    /// Follows all partitions until `stop`.
    pub async fn run(self, doorbell: Doorbell, stop: CancellationToken) {
        let (outbox, mut partitions) = (Arc::new(self), JoinSet::new());
        for partition in outbox.executor.log().keys().partitions() {
            let bell = doorbell.partition(partition);
            partitions.spawn(outbox.clone().follow(partition, bell, stop.clone()));
        }
        while partitions.join_next().await.is_some() {}
    }

    async fn follow(self: Arc<Self>, partition: u16, mut bell: watch::Receiver<()>, stop: CancellationToken) {
        let mut in_flight = InFlight { running: JoinSet::new(), ids: HashSet::new() };
        while !stop.is_cancelled() {
            bell.borrow_and_update();
            let pace = tokio::time::sleep(PACE);
            let next = match self.clone().turn(partition, &mut in_flight).await {
                Ok(next) => next,
                Err(error) => {
                    tracing::warn!(effect = E::NAME, partition, error = %chain(&error), "an outbox waits");
                    PAUSE
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                _ = doorbell::rung(&mut bell) => {}
                () = tokio::time::sleep(next) => {}
                Some(ended) = in_flight.running.join_next() => self.conclude(partition, &mut in_flight.ids, ended).await,
            }
            pace.await;
        }
        let drained = async {
            while let Some(ended) = in_flight.running.join_next().await {
                self.conclude(partition, &mut in_flight.ids, ended).await;
            }
        };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::info!(effect = E::NAME, partition, "stopping: what was under way is done again");
        }
        if let Err(error) = self.checkpoints.release(partition).await {
            tracing::debug!(effect = E::NAME, partition, error = %chain(&error), "its place is free in a few seconds");
        }
    }

    /// Reads what is new, and begins what is due. Gives how long there is nothing to do.
    async fn turn(
        self: Arc<Self>,
        partition: u16,
        in_flight: &mut InFlight<E::Source>,
    ) -> Result<Duration, Error> {
        if !self.catch_up(partition).await? {
            return Ok(LOOK_EVERY);
        }
        let now = self.executor.clock().now().timestamp_millis();
        // Those under way are still listed.
        for (id, at) in self.due.first(partition, 2 * E::MAX_IN_FLIGHT).await? {
            let id = <E::Source as events::TypedId>::of(id);
            if at > now {
                return Ok(LOOK_EVERY.min(Duration::from_millis(at.abs_diff(now))));
            }
            if in_flight.running.len() >= E::MAX_IN_FLIGHT {
                break;
            }
            if in_flight.ids.insert(id) {
                let outbox = self.clone();
                in_flight.running.spawn(async move { (id, at, outbox.effect.carry_out(id).await) });
            }
        }
        Ok(LOOK_EVERY)
    }

    /// Notes what the events up to the partition's head make due. `false` while another process does.
    async fn catch_up(&self, partition: u16) -> Result<bool, Error> {
        let Some(began) = self.checkpoints.own(partition).await? else { return Ok(false) };
        let mut checkpoint = began;
        loop {
            let events = self.executor.log().read(partition, checkpoint, BATCH).await?;
            let Some((last, _)) = events.last() else { return Ok(true) };
            checkpoint = *last;
            for (_, envelope) in &events {
                self.note(partition, envelope).await?;
            }
            if !self.checkpoints.advance(partition, checkpoint).await? {
                return Ok(false);
            }
        }
    }

    async fn note(&self, partition: u16, envelope: &Envelope) -> Result<(), Error> {
        let Some(id) = envelope.id::<E::Source>() else { return Ok(()) };
        if !self.effect.reacts_to(&envelope.event_type) {
            return Ok(());
        }
        let due = match execute::decode(envelope) {
            Ok(recorded) => self.effect.due(&recorded),
            Err(error) => {
                tracing::error!(effect = E::NAME, %id, error = %chain(&error), "an event is left out");
                Due::Unchanged
            }
        };
        let id = events::TypedId::aggregate(id);
        match due {
            Due::At(at) => self.due.put(partition, id, at).await?,
            Due::Never => self.due.remove(partition, id).await?,
            Due::Unchanged => {}
        }
        Ok(())
    }

    async fn conclude(
        &self,
        partition: u16,
        ids: &mut HashSet<E::Source>,
        ended: Result<Ended<E::Source>, tokio::task::JoinError>,
    ) {
        let (id, at, carried) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                // Nobody knows which it was; all are looked at again.
                tracing::error!(effect = E::NAME, %error, "an effect stopped unexpectedly");
                ids.clear();
                return tokio::time::sleep(PAUSE).await;
            }
        };
        ids.remove(&id);
        let aggregate = events::TypedId::aggregate(id);
        let noted = match carried {
            // The event changes the set when it is read, which it is before anything is begun.
            Ok(Carried::Recorded) => Ok(()),
            Ok(Carried::Settled) => self.due.settle(partition, aggregate, at).await,
            Err(error) => {
                tracing::warn!(effect = E::NAME, %id, error = %chain(error.as_ref()), "an effect is put off");
                let until = self.executor.clock().now() + TimeDelta::milliseconds(POSTPONED_MS);
                self.due.put_off(partition, aggregate, until).await
            }
        };
        if let Err(error) = noted {
            tracing::warn!(effect = E::NAME, %id, error = %chain(&error), "an effect may be carried out again");
        }
    }
}
