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
    SystemEvent, content, upcast,
};
use crate::ids::{AggregateId, AttemptToken, CommandId, EventId, JobId};
use crate::vault::{self, Vault};

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
    #[error("event {version} of job {job} cannot be decoded")]
    Decode { job: JobId, version: u64, source: DecodeError },
    #[error("the content of an event cannot be sealed")]
    Seal(#[source] vault::Error),
    #[error("an event cannot be written as JSON")]
    Encode(#[from] serde_json::Error),
    #[error("job {job} changed {tries} times while a command was being decided")]
    Contended { job: JobId, tries: u32 },
}

impl Error {
    /// Whether a server was away or refused for now: nothing is damaged, and trying again may work.
    pub fn is_passing(&self) -> bool {
        match self {
            Error::Log(error) => error.is_passing(),
            Error::Seal(error) => error.is_passing(),
            Error::Decode { source, .. } => source.is_passing(),
            _ => false,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error(transparent)]
    Shape(#[from] upcast::Error),
    #[error("its content cannot be opened")]
    Vault(#[from] vault::Error),
    #[error("its content does not fit into it")]
    Content(#[from] serde_json::Error),
}

impl DecodeError {
    pub fn is_passing(&self) -> bool {
        matches!(self, DecodeError::Vault(error) if error.is_passing())
    }
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
    decoder: Decoder,
    kept: Arc<Mutex<LruCache<JobId, LoadedJob>>>,
}

/// Reads events, with the content that is sealed in them where there is a key to it.
#[derive(Clone, Default)]
pub struct Decoder {
    vault: Option<Vault>,
}

impl Decoder {
    /// `None` reads events without their sealed content, and writes new ones unsealed.
    pub fn new(vault: Option<Vault>) -> Self {
        Self { vault }
    }

    pub fn vault(&self) -> Option<&Vault> {
        self.vault.as_ref()
    }

    /// Decodes an envelope of a job, any schema.
    pub async fn decode(&self, envelope: &Envelope) -> Result<RecordedJobEvent, DecodeError> {
        let opened = self.open(envelope).await?;
        let data = opened.as_deref().unwrap_or(&envelope.data);
        let event = upcast::decode(&envelope.event_type, envelope.schema, data)?;
        Ok(RecordedJobEvent { version: envelope.version, recorded_at: envelope.recorded_at, event })
    }

    /// The data of an event with its content in place; `None` where nothing is sealed, or there is no key to it.
    pub async fn open(&self, envelope: &Envelope) -> Result<Option<String>, DecodeError> {
        let (Some(vault), Some(sealed)) = (&self.vault, content::sealed(&envelope.data)) else {
            return Ok(None);
        };
        match vault.open(sealed, &place(envelope)).await? {
            Some(taken) => Ok(Some(content::put_back(&envelope.data, &taken)?)),
            None => Ok(None),
        }
    }

    /// Seals the personal content of an event, if it has some and there is a vault. To be done before it is hashed.
    pub async fn seal(&self, user: &str, envelope: &mut Envelope) -> Result<(), Error> {
        let Some(vault) = &self.vault else { return Ok(()) };
        if let Some((data, taken)) = content::take(&envelope.event_type, &envelope.data)? {
            let key = vault.key_of(user).await.map_err(Error::Seal)?;
            let sealed = key.seal(&taken, &place(envelope)).map_err(Error::Seal)?;
            envelope.data = content::with_sealed(&data, &sealed);
        }
        Ok(())
    }
}

/// What ties sealed content to its event.
fn place(envelope: &Envelope) -> String {
    format!("{}:{}", envelope.aggregate_id, envelope.version)
}

/// Decodes an envelope of a job, any schema, without what is sealed in it.
pub fn decode(envelope: &Envelope) -> Result<RecordedJobEvent, upcast::Error> {
    let event = upcast::decode(&envelope.event_type, envelope.schema, &envelope.data)?;
    Ok(RecordedJobEvent { version: envelope.version, recorded_at: envelope.recorded_at, event })
}

impl Executor {
    pub fn new(log: EventLog, clock: Clock) -> Self {
        let kept = Arc::new(Mutex::new(LruCache::new(JOBS_KEPT)));
        Self { log, clock, decoder: Decoder::default(), kept }
    }

    /// Seals and opens the content of events with the keys of their users.
    pub fn with_vault(self, vault: Vault) -> Self {
        Self { decoder: Decoder::new(Some(vault)), ..self }
    }

    pub fn decoder(&self) -> &Decoder {
        &self.decoder
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
            let recorded = self.decode(&envelope).await?;
            loaded = loaded.after(&envelope, recorded.event);
        }
        Ok(loaded)
    }

    /// Decodes an envelope of a job; the error names the job and the version.
    pub async fn decode(&self, envelope: &Envelope) -> Result<RecordedJobEvent, Error> {
        let (job, version) = (JobId(envelope.aggregate_id.0), envelope.version);
        self.decoder.decode(envelope).await.map_err(|source| Error::Decode { job, version, source })
    }

    /// Records an event that is not about a job, after all that the aggregate's history holds.
    pub async fn record(
        &self,
        kind: AggregateKind,
        id: AggregateId,
        event: &SystemEvent,
        actor: Actor,
    ) -> Result<u64, Error> {
        let command_id = CommandId::new();
        for _ in 0..CONFLICT_TRIES {
            let last = self.log.history(id, 0).await?.pop();
            let data = serde_json::to_value(event)?["data"].to_string();
            let mut envelope = Envelope {
                event_id: EventId::new(),
                aggregate: kind,
                aggregate_id: id,
                version: last.as_ref().map_or(0, |last| last.version) + 1,
                event_type: event.type_name().to_owned(),
                schema: 1,
                recorded_at: self.clock.now(),
                command_id,
                causation_id: last.as_ref().map(|last| last.event_id),
                correlation_id: command_id.to_string(),
                actor: actor.clone(),
                traceparent: String::new(),
                prev_hash: last.map_or_else(|| CHAIN_START.to_owned(), |last| last.hash),
                hash: String::new(),
                data,
            };
            envelope.hash = envelope.compute_hash();
            let append = Append {
                aggregate_id: id,
                expected_version: envelope.version - 1,
                command_id,
                events: std::slice::from_ref(&envelope),
                work: &[],
                mark: None,
                done: None,
            };
            match self.log.append(&append).await {
                Ok(appended) => return Ok(appended.version()),
                Err(LogError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Contended { job: JobId(id.0), tries: CONFLICT_TRIES })
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
        let envelopes = self.seal(id, &loaded, &decided, origin).await?;
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

    /// Puts the events into envelopes, each with its content sealed, and chained to the one before.
    async fn seal(
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
        let user = match events.first() {
            Some(JobEvent::JobRequested(requested)) => &requested.user_id,
            _ => &loaded.job.user_id,
        };
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
            self.decoder.seal(user, &mut envelope).await?;
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
