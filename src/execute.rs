//! Load, fold, decide, append: the one way in which a command changes a job.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;

use crate::clock::Clock;
use crate::domain::job::{self, Command, Job, Rejection};
use crate::events::job::{RecordedJobEvent, WorkItem};
use crate::events::work::{Receipt, ScheduledWork, requester};
use crate::events::{
    Actor, AggregateKind, Append, Appended, CHAIN_START, Envelope, Error as LogError, EventLog, JobEvent,
    upcast,
};
use crate::ids::{AttemptToken, CommandId, EventId, JobId};

/// How often a decision is made again because somebody else appended first. Each round one writer
/// gets through, so this bounds the writers that may meet at one job.
const CONFLICT_TRIES: u32 = 32;

/// Jobs that a process keeps folded. What is kept may be out of date, which costs a load, never a wrong event.
const JOBS_KEPT: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

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
    /// `None` goes on with what the job's last event says.
    pub trace: Option<Trace>,
    /// `None` means the job's last event.
    pub causation_id: Option<EventId>,
}

/// What ties events to the request that led to them.
#[derive(Debug, Clone)]
pub struct Trace {
    pub correlation_id: String,
    /// W3C trace context.
    pub traceparent: String,
}

/// A job with what an append needs to know of its history.
#[derive(Debug, Clone)]
pub struct LoadedJob {
    pub job: Arc<Job>,
    pub last_hash: String,
    pub correlation_id: String,
    pub traceparent: String,
    pub last_event_id: Option<EventId>,
}

impl Default for LoadedJob {
    fn default() -> Self {
        Self {
            job: Arc::default(),
            last_hash: CHAIN_START.to_owned(),
            correlation_id: String::new(),
            traceparent: String::new(),
            last_event_id: None,
        }
    }
}

impl LoadedJob {
    pub fn into_job(self) -> Job {
        Arc::unwrap_or_clone(self.job)
    }

    fn after(mut self, envelope: &Envelope, event: JobEvent) -> Self {
        let recorded =
            RecordedJobEvent { version: envelope.version, recorded_at: envelope.recorded_at, event };
        self.job = Arc::new(Arc::unwrap_or_clone(self.job).evolve(&recorded));
        self.last_hash.clone_from(&envelope.hash);
        self.correlation_id.clone_from(&envelope.correlation_id);
        self.traceparent.clone_from(&envelope.traceparent);
        self.last_event_id = Some(envelope.event_id);
        self
    }
}

#[derive(Debug)]
pub struct Executed {
    pub loaded: LoadedJob,
    /// Whether the command had been applied before.
    pub replayed: bool,
}

/// Cheap to clone; clones share the jobs that they keep.
#[derive(Clone)]
pub struct Executor {
    log: EventLog,
    clock: Clock,
    kept: Arc<Mutex<LruCache<JobId, LoadedJob>>>,
}

/// Decodes an envelope of a job, any schema.
pub fn decode(envelope: &Envelope) -> Result<RecordedJobEvent, upcast::Error> {
    let event = upcast::decode(&envelope.event_type, envelope.schema, &envelope.data)?;
    Ok(RecordedJobEvent { version: envelope.version, recorded_at: envelope.recorded_at, event })
}

impl Executor {
    pub fn new(log: EventLog, clock: Clock) -> Self {
        Self { log, clock, kept: Arc::new(Mutex::new(LruCache::new(JOBS_KEPT))) }
    }

    pub fn log(&self) -> &EventLog {
        &self.log
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The job as the log has it now.
    pub async fn load(&self, id: JobId) -> Result<LoadedJob, Error> {
        let mut loaded = LoadedJob::default();
        for envelope in self.log.history(id.aggregate(), 0).await? {
            let recorded = self.decode(&envelope)?;
            loaded = loaded.after(&envelope, recorded.event);
        }
        Ok(loaded)
    }

    /// Decodes an envelope of this log; the error names the history and the version.
    pub fn decode(&self, envelope: &Envelope) -> Result<RecordedJobEvent, LogError> {
        decode(envelope).map_err(|source| LogError::Upcast {
            stream: self.log.keys().history(envelope.aggregate_id),
            version: envelope.version,
            source,
        })
    }

    /// Takes out what is kept of the job: while it is being changed there is one copy of it.
    fn take_kept(&self, id: JobId) -> Option<LoadedJob> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop(&id)
    }

    fn keep(&self, id: JobId, loaded: &LoadedJob) {
        if !loaded.job.has_ended() {
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).put(id, loaded.clone());
        }
    }

    /// Decides and appends, again and again when another writer was faster. `done` is acknowledged
    /// with the append. A command id that was applied before changes nothing and is reported as such.
    pub async fn execute(
        &self,
        id: JobId,
        command: Command,
        origin: &Origin,
        done: Option<&Receipt>,
    ) -> Result<Executed, Error> {
        self.execute_since(id, 0, command, origin, done).await
    }

    /// Like [`Self::execute`], on a job that is known to have reached `version`: an older copy will not do.
    pub async fn execute_since(
        &self,
        id: JobId,
        version: u64,
        command: Command,
        origin: &Origin,
        done: Option<&Receipt>,
    ) -> Result<Executed, Error> {
        let kept = self.take_kept(id).filter(|loaded| loaded.job.version >= version);
        // A request is for a job that nobody knows, or the append says so.
        let new = || matches!(command, Command::Request(_)).then(LoadedJob::default);
        let guess = kept.or_else(new);
        let mut is_current = guess.is_none();
        let mut loaded = match guess {
            Some(loaded) => loaded,
            None => self.load(id).await?,
        };
        for _ in 0..CONFLICT_TRIES {
            let decided = match job::decide(&loaded.job, command.clone()) {
                Ok(events) => events,
                Err(_) if !is_current => {
                    loaded = self.load(id).await?;
                    is_current = true;
                    continue;
                }
                // An applied command is rejected when it is decided again, but it was not refused.
                Err(rejection) => match self.earlier_result(id, origin, done, &loaded).await? {
                    Some(executed) => return Ok(executed),
                    None => return Err(rejection.into()),
                },
            };
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
        Err(Error::Contended { job: id, tries: CONFLICT_TRIES })
    }

    /// Acknowledges work that has nothing to do any more.
    pub async fn dismiss(&self, id: JobId, done: &Receipt) -> Result<(), Error> {
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
            // The work was taken over: what is left of it is somebody else's.
            Ok(_) | Err(LogError::StaleAttempt) => Ok(()),
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
        if let Some(done) = done {
            self.dismiss(id, done).await?;
        }
        Ok(Some(Executed { loaded: loaded.clone(), replayed: true }))
    }

    async fn append(
        &self,
        id: JobId,
        loaded: LoadedJob,
        decided: Vec<JobEvent>,
        origin: &Origin,
        done: Option<&Receipt>,
    ) -> Result<Executed, Error> {
        let envelopes = self.seal(id, &loaded, &decided, origin)?;
        let (mark, expected_version) = (job::mark(&decided), loaded.job.version);
        let mut after = loaded;
        let mut work = vec![];
        for (envelope, event) in envelopes.iter().zip(decided) {
            let scheduled = job::scheduled_work(&event);
            after = after.after(envelope, event);
            work.extend(scheduled.map(|scheduled| scheduled_by(envelope, &after.job, scheduled)));
        }
        let appended = self
            .log
            .append(&Append {
                aggregate_id: id.aggregate(),
                expected_version,
                command_id: origin.command_id,
                events: &envelopes,
                work: &work,
                mark,
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
        let going_on = || Trace {
            correlation_id: loaded.correlation_id.clone(),
            traceparent: loaded.traceparent.clone(),
        };
        let trace = origin.trace.clone().unwrap_or_else(going_on);
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
                correlation_id: trace.correlation_id.clone(),
                actor: origin.actor.clone(),
                traceparent: trace.traceparent.clone(),
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

/// The work that a job's event schedules, and after how many ms.
pub fn scheduled_by(envelope: &Envelope, job: &Job, (item, delay_ms): (WorkItem, u64)) -> ScheduledWork {
    ScheduledWork {
        item,
        priority: job.request.as_ref().map(|request| request.priority).unwrap_or_default(),
        token: AttemptToken::of_event(envelope.event_id),
        version: envelope.version,
        delay_ms,
        requester: requester(&job.user_id),
    }
}
