//! Load, fold, decide, append: the one way in which a command changes a job.

use crate::clock::Clock;
use crate::domain::job::{self, Command, Job, Rejection};
use crate::events::job::RecordedJobEvent;
use crate::events::work::{Receipt, ScheduledWork};
use crate::events::{
    Actor, AggregateKind, Append, Appended, CHAIN_START, Envelope, Error as LogError, EventLog, JobEvent,
    upcast,
};
use crate::ids::{AttemptToken, CommandId, EventId, JobId};

/// How often a decision is made again because somebody else appended first. Each round one writer
/// gets through, so this bounds the writers that may meet at one job.
const CONFLICT_TRIES: u32 = 32;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Rejected(#[from] Rejection),
    #[error("the event log failed")]
    Log(#[from] LogError),
    #[error("an event cannot be written as JSON")]
    Encode(#[from] serde_json::Error),
    #[error("job {job} changed {tries} times while a command was being decided")]
    Contended { job: JobId, tries: u32 },
}

/// Where a command comes from.
#[derive(Debug, Clone)]
pub struct Origin {
    pub command_id: CommandId,
    pub actor: Actor,
    pub correlation_id: String,
    pub traceparent: String,
    pub causation_id: Option<EventId>,
}

/// A job with what an append needs to know of its history.
#[derive(Debug, Clone)]
pub struct LoadedJob {
    pub job: Job,
    pub last_hash: String,
    pub correlation_id: String,
    pub traceparent: String,
    pub last_event_id: Option<EventId>,
}

#[derive(Debug)]
pub struct Executed {
    pub loaded: LoadedJob,
    /// Whether the command had been applied before.
    pub replayed: bool,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Executor {
    log: EventLog,
    clock: Clock,
}

/// Decodes an envelope of a job, any schema.
pub fn decode(envelope: &Envelope) -> Result<RecordedJobEvent, upcast::Error> {
    let event = upcast::decode(&envelope.event_type, envelope.schema, &envelope.data)?;
    Ok(RecordedJobEvent { version: envelope.version, recorded_at: envelope.recorded_at, event })
}

impl Executor {
    pub fn new(log: EventLog, clock: Clock) -> Self {
        Self { log, clock }
    }

    pub fn log(&self) -> &EventLog {
        &self.log
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub async fn load(&self, id: JobId) -> Result<LoadedJob, Error> {
        let unknown = LoadedJob {
            job: Job::default(),
            last_hash: CHAIN_START.to_owned(),
            correlation_id: String::new(),
            traceparent: String::new(),
            last_event_id: None,
        };
        self.log
            .history(id.aggregate(), 0)
            .await?
            .iter()
            .try_fold(unknown, |loaded, envelope| self.fold(loaded, envelope))
    }

    fn fold(&self, loaded: LoadedJob, envelope: &Envelope) -> Result<LoadedJob, Error> {
        let recorded = decode(envelope).map_err(|source| {
            let stream = self.log.keys().history(envelope.aggregate_id);
            LogError::Upcast { stream, source }
        })?;
        Ok(LoadedJob {
            job: loaded.job.evolve(&recorded),
            last_hash: envelope.hash.clone(),
            correlation_id: envelope.correlation_id.clone(),
            traceparent: envelope.traceparent.clone(),
            last_event_id: Some(envelope.event_id),
        })
    }

    /// Decides and appends, again and again when another writer was faster. `done` is acknowledged
    /// with the append. A rejection leaves everything as it was.
    pub async fn execute(
        &self,
        id: JobId,
        command: Command,
        origin: &Origin,
        done: Option<&Receipt>,
    ) -> Result<Executed, Error> {
        let loaded = self.load(id).await?;
        self.execute_on(id, loaded, command, origin, done).await
    }

    /// Like [`Self::execute`], for a caller that has loaded the job already: `loaded` may be out of
    /// date, which shows as a conflict and costs one more load.
    pub async fn execute_on(
        &self,
        id: JobId,
        mut loaded: LoadedJob,
        command: Command,
        origin: &Origin,
        done: Option<&Receipt>,
    ) -> Result<Executed, Error> {
        for _ in 0..CONFLICT_TRIES {
            let decided = match job::decide(&loaded.job, command.clone()) {
                Ok(events) => events,
                // An applied command is rejected when it is decided again, but it was not refused.
                Err(rejection) => match self.earlier_result(id, origin, done, &loaded).await? {
                    Some(executed) => return Ok(executed),
                    None => return Err(rejection.into()),
                },
            };
            if decided.is_empty() && done.is_none() {
                return Ok(Executed { loaded, replayed: false });
            }
            match self.append(id, &loaded, decided, origin, done).await {
                Ok(executed) => return Ok(executed),
                Err(Error::Log(LogError::Conflict { .. })) => loaded = self.load(id).await?,
                Err(error) => return Err(error),
            }
        }
        Err(Error::Contended { job: id, tries: CONFLICT_TRIES })
    }

    /// Acknowledges work that has nothing to do any more.
    pub async fn dismiss(&self, id: JobId, done: &Receipt) -> Result<(), Error> {
        let version = self.log.version(id.aggregate()).await?;
        let append = Append {
            aggregate_id: id.aggregate(),
            expected_version: version,
            command_id: CommandId::of_attempt(done.token, "dismiss"),
            events: &[],
            work: &[],
            done: Some(done),
        };
        match self.log.append(&append).await {
            // The work was taken over or the job went on: what is left of it is somebody else's.
            Ok(_) | Err(LogError::StaleAttempt | LogError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn earlier_result(
        &self,
        id: JobId,
        origin: &Origin,
        done: Option<&Receipt>,
        loaded: &LoadedJob,
    ) -> Result<Option<Executed>, Error> {
        if !self.log.was_applied(id.aggregate(), origin.command_id).await? {
            return Ok(None);
        }
        let executed = self.append(id, loaded, vec![], origin, done).await?;
        Ok(Some(executed))
    }

    async fn append(
        &self,
        id: JobId,
        loaded: &LoadedJob,
        decided: Vec<JobEvent>,
        origin: &Origin,
        done: Option<&Receipt>,
    ) -> Result<Executed, Error> {
        let envelopes = self.seal(id, loaded, &decided, origin)?;
        let mut after = loaded.clone();
        for envelope in &envelopes {
            after = self.fold(after, envelope)?;
        }
        let work = scheduled(&after.job, &envelopes, &decided);
        let appended = self
            .log
            .append(&Append {
                aggregate_id: id.aggregate(),
                expected_version: loaded.job.version,
                command_id: origin.command_id,
                events: &envelopes,
                work: &work,
                done,
            })
            .await?;
        match appended {
            Appended::Now { .. } => Ok(Executed { loaded: after, replayed: false }),
            Appended::Earlier { .. } => Ok(Executed { loaded: self.load(id).await?, replayed: true }),
        }
    }

    /// Puts the events into envelopes, each chained to the one before.
    fn seal(
        &self,
        id: JobId,
        loaded: &LoadedJob,
        events: &[JobEvent],
        origin: &Origin,
    ) -> Result<Vec<Envelope>, Error> {
        let now = self.clock.now();
        let mut prev_hash = loaded.last_hash.clone();
        let mut envelopes = Vec::with_capacity(events.len());
        for (version, event) in (loaded.job.version + 1..).zip(events) {
            let mut envelope = Envelope {
                event_id: EventId::new(),
                aggregate: AggregateKind::Job,
                aggregate_id: id.aggregate(),
                version,
                event_type: event.type_name().to_owned(),
                schema: upcast::current_schema(event.type_name()),
                recorded_at: now,
                command_id: origin.command_id,
                causation_id: origin.causation_id.or(loaded.last_event_id),
                correlation_id: origin.correlation_id.clone(),
                actor: origin.actor.clone(),
                traceparent: origin.traceparent.clone(),
                prev_hash,
                hash: String::new(),
                data: upcast::encode(event)?,
            };
            envelope.hash = envelope.compute_hash();
            prev_hash = envelope.hash.clone();
            envelopes.push(envelope);
        }
        Ok(envelopes)
    }
}

fn scheduled(job: &Job, envelopes: &[Envelope], events: &[JobEvent]) -> Vec<ScheduledWork> {
    let priority = job.request.as_ref().map(|request| request.priority).unwrap_or_default();
    let work = |(envelope, event): (&Envelope, &JobEvent)| {
        let (item, delay_ms) = job::scheduled_work(event)?;
        let token = AttemptToken::of_event(envelope.event_id);
        Some(ScheduledWork { item, priority, token, version: envelope.version, delay_ms })
    };
    envelopes.iter().zip(events).filter_map(work).collect()
}
