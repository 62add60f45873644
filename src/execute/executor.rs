//! Executes commands.

use std::sync::Arc;

use super::cache::StateCache;
use super::codec::{ContentCodec, DecodeError, EncodeError};
use crate::clock::Clock;
use crate::domain::job::{self, Job};
use crate::domain::{Aggregate, CommandOf, EventOf, Id, RejectionOf, State};
use crate::events::upcast::{self, Unreadable};
use crate::events::work::{Receipt, ScheduledWork, requester};
use crate::events::{
    Actor, AggregateKind, Append, Appended, Cause, Envelope, Error as LogError, Event, EventLog, Recorded,
    Tip,
};
use crate::ids::{AggregateId, AttemptToken, CommandId, EventId};
use crate::vault::{self, Vault};

/// Most decisions on one command. Another one follows each conflict, in which one writer succeeds, so this bounds the concurrent
/// writers of an aggregate.
const CONFLICT_TRIES: u32 = 32;

/// Size of the cache of states: some thousand usual jobs.
const CACHE_BYTES: usize = 64 << 20;

/// The reason why a command had no effect. `R` is the rejection of the decider, by default that of jobs.
#[derive(Debug, thiserror::Error)]
pub enum Error<R: std::error::Error + 'static = job::Rejection> {
    #[error(transparent)]
    Rejected(R),
    #[error("the event log failed")]
    Log(#[from] LogError),
    #[error("event {version} of {kind} {id} cannot be decoded")]
    Decode { kind: AggregateKind, id: AggregateId, version: u64, source: DecodeError },
    #[error("the content of an event cannot be encrypted")]
    Encrypt(#[source] vault::Error),
    #[error("a new {event_type} of {kind} {id} would not decode, so nothing was recorded")]
    Unreadable { kind: AggregateKind, id: AggregateId, event_type: &'static str, source: Unreadable },
    #[error("the personal texts of a new {event_type} of {kind} {id} cannot be encrypted")]
    Unencryptable { kind: AggregateKind, id: AggregateId, event_type: &'static str, source: EncodeError },
    #[error("{kind} {id} changed {tries} times while a command was being decided")]
    Contended { kind: AggregateKind, id: AggregateId, tries: u32 },
}

impl<R: std::error::Error> Error<R> {
    /// Returns `true` when a retry may work: a server was away or refused temporarily, and nothing is damaged.
    pub fn is_retryable(&self) -> bool {
        match self {
            Error::Log(error) => error.is_retryable(),
            Error::Encrypt(error) => error.is_retryable(),
            Error::Decode { source, .. } => source.is_retryable(),
            Error::Rejected(_)
            | Error::Unreadable { .. }
            | Error::Unencryptable { .. }
            | Error::Contended { .. } => false,
        }
    }
}

/// The origin of a command.
#[derive(Debug, Clone)]
pub struct Origin {
    pub command_id: CommandId,
    pub actor: Actor,
    /// `None` continues the trace of the aggregate's last event.
    pub trace: Option<Trace>,
    /// `None` means the aggregate's last event.
    pub causation_id: Option<EventId>,
}

impl Origin {
    /// Builds the origin of a new command, correlated with the aggregate's last event.
    pub fn new(actor: Actor) -> Self {
        Self { command_id: CommandId::new(), actor, trace: None, causation_id: None }
    }

    /// Builds the origin of an independent command: its own id correlates everything that follows from it.
    pub fn standalone(actor: Actor) -> Self {
        let origin = Self::new(actor);
        let correlation_id = origin.command_id.to_string();
        Self { trace: Some(Trace { correlation_id, traceparent: String::new() }), ..origin }
    }
}

/// Connects events to the request that caused them.
#[derive(Debug, Clone)]
pub struct Trace {
    pub correlation_id: String,
    /// W3C trace context.
    pub traceparent: String,
}

/// An aggregate's state, and the end of its history, which an append needs.
#[derive(Debug, Clone)]
pub struct Loaded<A> {
    pub state: Arc<A>,
    pub tip: Tip,
    /// Size of its events in memory, which bounds that of the state.
    weight_bytes: usize,
}

pub type LoadedJob = Loaded<Job>;

impl<A: Default> Default for Loaded<A> {
    fn default() -> Self {
        Self { state: Arc::default(), tip: Tip::default(), weight_bytes: 0 }
    }
}

impl<A: Aggregate> Loaded<A> {
    pub fn into_state(self) -> A {
        Arc::unwrap_or_clone(self.state)
    }

    fn after(mut self, envelope: &Envelope, event: A::Event, weight_bytes: usize) -> Self {
        let recorded = Recorded { version: envelope.version, recorded_at: envelope.recorded_at, event };
        self.state = Arc::new(Arc::unwrap_or_clone(self.state).evolve(&recorded));
        self.tip = envelope.tip();
        self.weight_bytes += weight_bytes;
        self
    }
}

#[derive(Debug)]
pub struct Executed<A> {
    pub loaded: Loaded<A>,
    /// Set when the command had been applied before.
    pub replayed: bool,
}

/// Executes commands of all kinds of aggregates. Cheap to clone; clones share the cache of states.
#[derive(Clone)]
pub struct Executor {
    log: EventLog,
    clock: Clock,
    codec: ContentCodec,
    cache: Arc<StateCache>,
}

impl Executor {
    pub fn new(log: EventLog, clock: Clock) -> Self {
        let cache = Arc::new(StateCache::new(CACHE_BYTES));
        Self { log, clock, codec: ContentCodec::default(), cache }
    }

    /// Encrypts and decrypts the content of events with the keys of their users.
    pub fn with_vault(self, vault: Vault) -> Self {
        Self { codec: ContentCodec::new(Some(vault)), ..self }
    }

    pub fn codec(&self) -> &ContentCodec {
        &self.codec
    }

    pub fn log(&self) -> &EventLog {
        &self.log
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Loads an aggregate's current state.
    pub async fn load<I: Id>(&self, id: I) -> Result<Loaded<State<I>>, Error<RejectionOf<I>>> {
        self.load_until(id, u64::MAX).await
    }

    /// Loads an aggregate's state at `version`.
    pub async fn load_until<I: Id>(
        &self,
        id: I,
        version: u64,
    ) -> Result<Loaded<State<I>>, Error<RejectionOf<I>>> {
        let mut loaded = Loaded::default();
        for envelope in self.log.history(id.aggregate(), 0).await? {
            if envelope.version > version {
                break;
            }
            let recorded = self.decode::<I>(&envelope).await?;
            loaded = loaded.after(&envelope, recorded.event, upcast::weight_bytes(&envelope.data));
        }
        Ok(loaded)
    }

    /// Decodes an envelope; the error names the aggregate and the version.
    pub async fn decode<I: Id>(
        &self,
        envelope: &Envelope,
    ) -> Result<Recorded<EventOf<I>>, Error<RejectionOf<I>>> {
        self.codec.decode(envelope).await.map_err(|source| Error::Decode {
            kind: envelope.aggregate,
            id: envelope.aggregate_id,
            version: envelope.version,
            source,
        })
    }

    /// Decides and appends, and retries on conflicts. The append also acknowledges `done`. A command id that was applied before
    /// has no effect, and is reported as replayed.
    pub async fn execute<I: Id>(
        &self,
        id: I,
        command: CommandOf<I>,
        origin: &Origin,
        done: Option<&Receipt>,
    ) -> Result<Executed<State<I>>, Error<RejectionOf<I>>> {
        self.execute_since(id, 0, command, origin, done).await
    }

    /// Executes a command like [`Self::execute`], on a state at `version` or later.
    pub async fn execute_since<I: Id>(
        &self,
        id: I,
        version: u64,
        command: CommandOf<I>,
        origin: &Origin,
        done: Option<&Receipt>,
    ) -> Result<Executed<State<I>>, Error<RejectionOf<I>>> {
        let cached =
            self.cache.take(id.aggregate()).filter(|cached: &Loaded<_>| cached.tip.version >= version);
        // A first command needs no load: if the aggregate exists, the append conflicts.
        let guess = cached.or_else(|| State::<I>::is_beginning(&command).then(Loaded::default));
        let mut is_current = guess.is_none();
        let mut loaded = match guess {
            Some(loaded) => loaded,
            None => self.load(id).await?,
        };
        for _ in 0..CONFLICT_TRIES {
            let decided = match loaded.state.decide(command.clone()) {
                Ok(events) => events,
                Err(_) if !is_current => {
                    loaded = self.load(id).await?;
                    is_current = true;
                    continue;
                }
                // A command that was applied before may be rejected now, but it succeeded then.
                Err(rejection) => match self.earlier_result(id, origin, done, &loaded).await? {
                    Some(executed) => return Ok(executed),
                    None => return Err(Error::Rejected(rejection)),
                },
            };
            // The guess may be stale: the command may have an effect on the current state.
            if decided.is_empty() && !is_current {
                loaded = self.load(id).await?;
                is_current = true;
                continue;
            }
            if decided.is_empty() && done.is_none() {
                self.keep(id, &loaded);
                return Ok(Executed { loaded, replayed: false });
            }
            match self.append(id, loaded, decided, origin, done).await {
                Ok(executed) => {
                    self.keep(id, &executed.loaded);
                    return Ok(executed);
                }
                Err(Error::Log(LogError::Conflict { .. })) => {
                    loaded = self.load(id).await?;
                    is_current = true;
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::Contended { kind: I::KIND, id: id.aggregate(), tries: CONFLICT_TRIES })
    }

    /// Acknowledges work that is obsolete.
    pub async fn dismiss<I: Id>(&self, id: I, done: &Receipt) -> Result<(), Error<RejectionOf<I>>> {
        let append = Append {
            aggregate_id: id.aggregate(),
            expected_version: 0,
            command_id: CommandId::of_attempt(done.token, "dismiss"),
            events: &[],
            work: &[],
            mark: None,
            done: Some(done),
        };
        match self.log.append(&append).await {
            // Another attempt has taken the work over.
            Ok(_) | Err(LogError::StaleAttempt) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn keep<I: Id>(&self, id: I, loaded: &Loaded<State<I>>) {
        if !loaded.state.is_settled() {
            self.cache.put(id.aggregate(), loaded.clone(), loaded.weight_bytes);
        }
    }

    async fn earlier_result<I: Id>(
        &self,
        id: I,
        origin: &Origin,
        done: Option<&Receipt>,
        loaded: &Loaded<State<I>>,
    ) -> Result<Option<Executed<State<I>>>, Error<RejectionOf<I>>> {
        if !self.log.was_applied(id.aggregate(), origin.command_id).await? {
            return Ok(None);
        }
        if let Some(done) = done {
            self.dismiss(id, done).await?;
        }
        Ok(Some(Executed { loaded: loaded.clone(), replayed: true }))
    }

    /// Appends all events or none. Folds the events as they decode.
    async fn append<I: Id>(
        &self,
        id: I,
        loaded: Loaded<State<I>>,
        decided: Vec<EventOf<I>>,
        origin: &Origin,
        done: Option<&Receipt>,
    ) -> Result<Executed<State<I>>, Error<RejectionOf<I>>> {
        let (mark, expected_version) = (State::<I>::mark(&decided), loaded.tip.version);
        let cause = self.cause(origin, &loaded.tip);
        let (mut after, mut work) = (loaded, vec![]);
        let mut envelopes = Vec::with_capacity(decided.len());
        for event in decided {
            let version = after.tip.version + 1;
            let user = after.state.user(&event);
            let encoded = self.codec.encode(id, version, user, &event).await;
            let (payload, encoded) = encoded.map_err(|error| not_encoded(id, &event, error))?;
            let envelope = Envelope::next(&after.tip, id, payload, &cause);
            after = after.after(&envelope, encoded.event, encoded.weight_bytes);
            work.extend(scheduled_work(&envelope, after.state.as_ref(), &event));
            envelopes.push(envelope);
        }
        let append = Append {
            aggregate_id: id.aggregate(),
            expected_version,
            command_id: origin.command_id,
            events: &envelopes,
            work: &work,
            mark,
            done,
        };
        match self.log.append(&append).await? {
            Appended::Now { .. } => Ok(Executed { loaded: after, replayed: false }),
            Appended::Earlier { .. } => Ok(Executed { loaded: self.load(id).await?, replayed: true }),
        }
    }

    fn cause(&self, origin: &Origin, tip: &Tip) -> Cause {
        let (correlation_id, traceparent) = match &origin.trace {
            Some(trace) => (trace.correlation_id.clone(), trace.traceparent.clone()),
            None => (tip.correlation_id.clone(), tip.traceparent.clone()),
        };
        Cause {
            command_id: origin.command_id,
            actor: origin.actor.clone(),
            causation_id: origin.causation_id.or(tip.event_id),
            correlation_id,
            traceparent,
            recorded_at: self.clock.now(),
        }
    }
}

fn not_encoded<I: Id>(id: I, event: &EventOf<I>, error: EncodeError) -> Error<RejectionOf<I>> {
    let (kind, id, event_type) = (I::KIND, id.aggregate(), event.type_name());
    match error {
        EncodeError::Unreadable(source) => Error::Unreadable { kind, id, event_type, source },
        EncodeError::Vault(source) => Error::Encrypt(source),
        source @ (EncodeError::Content(_) | EncodeError::NoUser) => {
            Error::Unencryptable { kind, id, event_type, source }
        }
    }
}

/// Returns the work that an event schedules; `state` is the one after it.
pub fn scheduled_work<A: Aggregate>(
    envelope: &Envelope,
    state: &A,
    event: &A::Event,
) -> Option<ScheduledWork> {
    state.schedule(event).map(|scheduled| ScheduledWork {
        item: scheduled.item,
        priority: scheduled.priority,
        token: AttemptToken::of_event(envelope.event_id),
        version: envelope.version,
        delay_ms: scheduled.delay_ms,
        requester: requester(scheduled.user_id),
        began_ms: scheduled.began_ms,
        deadline_ms: scheduled.deadline.map(|at| at.timestamp_millis()),
    })
}
