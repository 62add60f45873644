//! One event that cannot be applied stops one aggregate, and nothing else.
//!
//! The reader that meets such an event records it (`decisions`), and passes over all later events of the aggregate.
//! Which aggregates an edition passes over, and from which event on, is kept beside its checkpoint and changes with it:
//! taking an aggregate up again applies exactly the events that were passed over. That is tried when a reader begins,
//! every five minutes, and when an operator asks for it.
//!
//! Many quarantines within a short time are a fault of this version and not of the events. Then the reader halts.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::decisions::{self, Decisions};
use super::runner::Stuck;
use super::{Batch, Error, Owner};
use crate::alerts;
use crate::events::{Actor, Envelope, EventLog};
use crate::execute::{DecodeError, Executor};
use crate::ids::AggregateId;
use crate::telemetry::chain;

/// Pause between two looks at what was decided.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Pause before quarantined aggregates are tried again without anybody asking.
const RETRY_EVERY: Duration = Duration::from_secs(300);
/// Aggregates of a partition that may be quarantined within [`SHORT_TIME`].
const MAX_IN_SHORT_TIME: usize = 100;
const SHORT_TIME: TimeDelta = TimeDelta::minutes(10);
/// A batch tells something about this version only when it has events of at least so many aggregates.
const MIN_AGGREGATES: usize = 20;

/// An aggregate that an edition passes over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quarantined {
    pub aggregate: String,
    pub aggregate_id: AggregateId,
    /// The first event that is passed over.
    pub seq: u64,
    pub version: u64,
    /// Why; holds nothing of the event's content.
    pub error: String,
    pub since: DateTime<Utc>,
}

/// The aggregates of one partition that an edition passes over.
pub type QuarantinedAggregates = BTreeMap<AggregateId, Quarantined>;

/// Whether an event is one of those that are passed over.
pub fn passes_over(quarantined: &QuarantinedAggregates, seq: u64, envelope: &Envelope) -> bool {
    quarantined.get(&envelope.aggregate_id).is_some_and(|first| seq >= first.seq)
}

/// Why an event cannot be applied, without a word of its content: it is recorded for ever.
pub fn describe(error: &Error) -> String {
    match error {
        Error::Decode { source: DecodeError::Shape(shape), .. }
        | Error::DecodeAny { source: DecodeError::Shape(shape), .. } => format!("{error}: {shape}"),
        Error::Decode { .. } | Error::DecodeAny { .. } | Error::History { .. } | Error::View(_) => {
            error.to_string()
        }
        Error::Postgres(sqlx::Error::Database(refusal)) => {
            let code = refusal.code().unwrap_or_default();
            format!("postgres refuses the rows that it leads to (SQLSTATE {code})")
        }
        Error::Postgres(_) => "postgres cannot take the rows that it leads to".to_owned(),
        other => other.to_string(),
    }
}

/// The quarantine of one reader: what it passes over in its partition of the served edition.
pub struct Quarantine {
    executor: Executor,
    projection: &'static str,
    partition: u16,
    decisions: Decisions,
    looked_at: Option<Instant>,
    tried_at: Option<Instant>,
    /// The batch in which an event could not be applied, to see how many of its aggregates are affected.
    suspect: Option<Suspect>,
}

struct Suspect {
    last_seq: u64,
    aggregates: usize,
    quarantined: usize,
}

impl Quarantine {
    pub fn new(executor: Executor, projection: &'static str, partition: u16) -> Self {
        Self {
            executor,
            projection,
            partition,
            decisions: Decisions::new(projection),
            looked_at: None,
            tried_at: None,
            suspect: None,
        }
    }

    pub fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    fn log(&self) -> &EventLog {
        self.executor.log()
    }

    /// Acts on what was decided, once a second: takes up what was released, and tries the others from time to time.
    pub async fn settle(&mut self, owner: &mut dyn Owner) -> Result<(), Error> {
        if self.looked_at.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return Ok(());
        }
        let is_first = self.looked_at.is_none();
        let skips = self.decisions.skips(self.partition);
        let has_news = self.decisions.refresh(&self.log().clone()).await?;
        // Without the event that is skipped now, the others may apply.
        let has_skips = has_news && self.decisions.skips(self.partition) != skips;
        let is_due = has_skips || self.tried_at.is_none_or(|at| at.elapsed() >= RETRY_EVERY);
        if is_due {
            self.tried_at = Some(Instant::now());
        }
        if is_first || is_due || has_news {
            self.take_up_some(owner, is_due).await?;
            note(self.log(), self.projection, self.partition, owner.quarantined()).await?;
        }
        self.looked_at = Some(Instant::now());
        Ok(())
    }

    /// Takes up what is not recorded as quarantined any more, and the others too when they are `due`.
    async fn take_up_some(&mut self, owner: &mut dyn Owner, is_due: bool) -> Result<(), Error> {
        let declared: BTreeMap<AggregateId, u64> =
            self.decisions.quarantined(self.partition).map(|(id, declared)| (id, declared.seq)).collect();
        let passed_over: Vec<Quarantined> = owner.quarantined().values().cloned().collect();
        for quarantined in passed_over {
            let (id, is_declared) =
                (quarantined.aggregate_id, declared.contains_key(&quarantined.aggregate_id));
            if is_declared && !is_due {
                continue;
            }
            match take_up(self.log(), owner, self.partition, &self.decisions, id).await {
                Ok(()) if is_declared => self.record_release(id).await?,
                Ok(()) => tracing::info!(projection = self.projection, %id, "an aggregate is taken up again"),
                Err(error) if error.is_retryable() => return Err(error),
                Err(error) if is_declared => {
                    tracing::debug!(projection = self.projection, %id, error = %chain(&error), "an aggregate stays quarantined");
                }
                Err(error) => self.record(&Quarantined { error: describe(&error), ..quarantined }).await?,
            }
        }
        for (id, seq) in declared {
            if owner.checkpoint() >= seq && !owner.quarantined().contains_key(&id) {
                self.record_release(id).await?;
            }
        }
        Ok(())
    }

    /// Quarantines the aggregate whose event cannot be applied. `false` when it is not known yet which one that is, when
    /// it is no single event's fault, or when there are too many.
    pub async fn isolate(&mut self, owner: &mut dyn Owner, stuck: &Stuck) -> Result<bool, Error> {
        let Some(batch) = stuck.batch.as_ref().filter(|_| stuck.error.is_about_one_aggregate()) else {
            return Ok(false);
        };
        // Read again, the batch may have grown: what was recorded is in the log, too.
        if self.suspect.as_ref().is_none_or(|suspect| suspect.last_seq <= owner.checkpoint()) {
            self.suspect = Some(Suspect::new(batch));
        }
        let Some((seq, event)) = find_culprit(&stuck.error, batch) else { return Ok(false) };
        if self.is_too_many().await? {
            return Ok(false);
        }
        let quarantined = Quarantined {
            aggregate: event.aggregate.name().to_owned(),
            aggregate_id: event.aggregate_id,
            seq,
            version: event.version,
            error: describe(&stuck.error),
            since: self.executor.clock().now(),
        };
        // Recorded first: what is passed over must never be unknown.
        if !self.decisions.quarantined(self.partition).any(|(id, _)| id == quarantined.aggregate_id) {
            self.record(&quarantined).await?;
        }
        owner.quarantine(quarantined).await?;
        if let Some(suspect) = &mut self.suspect {
            suspect.quarantined += 1;
        }
        note(self.log(), self.projection, self.partition, owner.quarantined()).await?;
        Ok(true)
    }

    /// Whether so many aggregates are affected that it looks like a fault of this version.
    pub async fn is_too_many(&mut self) -> Result<bool, Error> {
        self.decisions.refresh(&self.executor.log().clone()).await?;
        let since = self.executor.clock().now() - SHORT_TIME;
        let recent = self.decisions.count_quarantined_after(self.partition, since);
        Ok(recent >= MAX_IN_SHORT_TIME || self.suspect.as_ref().is_some_and(Suspect::is_mostly_affected))
    }

    async fn record(&mut self, quarantined: &Quarantined) -> Result<(), Error> {
        let Quarantined { aggregate_id, seq, version, error, .. } = quarantined;
        let code = alerts::Code::AggregateQuarantined;
        tracing::error!(alert = code.name(), projection = self.projection, partition = self.partition, %aggregate_id, seq,
                        version, error, "an aggregate is quarantined");
        let message = format!(
            "{} passes over {} {aggregate_id} from version {version} on: {error}",
            self.projection, quarantined.aggregate
        );
        let details = vec![
            ("projection", self.projection.to_owned()),
            ("partition", self.partition.to_string()),
            ("aggregate_id", aggregate_id.to_string()),
            ("seq", seq.to_string()),
        ];
        alerts::raise(code, message, details);
        let recorded =
            decisions::record_quarantine(&self.executor, self.projection, self.partition, quarantined).await;
        recorded.map_err(Error::Record)?;
        self.decisions.refresh(&self.executor.log().clone()).await?;
        Ok(())
    }

    async fn record_release(&mut self, id: AggregateId) -> Result<(), Error> {
        tracing::info!(projection = self.projection, %id, "an aggregate is taken up again");
        let (projection, partition) = (self.projection, self.partition);
        let reason = "its whole history applies now";
        decisions::record_release(&self.executor, projection, partition, id, reason, Actor::System)
            .await
            .map_err(Error::Record)?;
        self.decisions.refresh(&self.executor.log().clone()).await?;
        Ok(())
    }
}

impl Suspect {
    fn new(batch: &Batch) -> Self {
        let aggregates: std::collections::BTreeSet<AggregateId> =
            batch.events.iter().map(|(_, event)| event.aggregate_id).collect();
        Self { last_seq: batch.last_seq, aggregates: aggregates.len(), quarantined: 0 }
    }

    fn is_mostly_affected(&self) -> bool {
        self.aggregates >= MIN_AGGREGATES && (self.quarantined + 1) * 2 > self.aggregates
    }
}

/// The event of the batch that cannot be applied; `None` while several may be it.
pub fn find_culprit<'a>(error: &Error, batch: &'a Batch) -> Option<(u64, &'a Envelope)> {
    let of_aggregate = |id: AggregateId| {
        let mut events = batch.events.iter().filter(move |(_, event)| event.aggregate_id == id);
        let named = events.clone().find(|(_, event)| Some(event.version) == error.version());
        // An earlier event of the history is at fault: then none of them can be applied.
        named.or_else(|| events.next())
    };
    let found = match error.aggregate_id() {
        Some(id) => of_aggregate(id),
        None if batch.events.len() == 1 => batch.events.first(),
        None => None,
    };
    found.map(|(seq, event)| (*seq, event))
}

/// Applies the events of an aggregate that the edition has passed over, up to its checkpoint. Changes nothing when one of
/// them cannot be applied.
pub async fn take_up(
    log: &EventLog,
    owner: &mut dyn Owner,
    partition: u16,
    decisions: &Decisions,
    id: AggregateId,
) -> Result<(), Error> {
    let Some(first) = owner.quarantined().get(&id).cloned() else { return Ok(()) };
    let (skips, last_seq) = (decisions.skips(partition), owner.checkpoint());
    let of_history = |source| Error::History { aggregate_id: id, source };
    let seqs = log.listed(id).await.map_err(of_history)?;
    let history = log.history(id, first.version - 1).await.map_err(of_history)?;
    let events = seqs.into_iter().skip(first.version as usize - 1).zip(history);
    let events = events.filter(|(seq, _)| *seq <= last_seq && !skips.contains(seq)).collect();
    owner.apply(&Batch { partition, last_seq, events, released: Some(id), erased: vec![] }).await
}

/// Notes what a reader passes over, for health, metrics and operators.
async fn note(
    log: &EventLog,
    projection: &str,
    partition: u16,
    quarantined: &QuarantinedAggregates,
) -> Result<(), Error> {
    let field = format!("{projection}:{partition}");
    let mut command = redis::Cmd::new();
    if quarantined.is_empty() {
        command.arg("HDEL").arg(log.keys().quarantines()).arg(field);
    } else {
        let list: Vec<&Quarantined> = quarantined.values().collect();
        command.arg("HSET").arg(log.keys().quarantines()).arg(field).arg(serde_json::to_string(&list)?);
    }
    Ok(command.query_async(&mut log.connection()).await?)
}

/// All aggregates that projections pass over now: projection, partition, and the aggregate.
pub async fn all(log: &EventLog) -> Result<Vec<(String, u16, Quarantined)>, Error> {
    let noted: BTreeMap<String, String> =
        redis::cmd("HGETALL").arg(log.keys().quarantines()).query_async(&mut log.connection()).await?;
    let mut all = vec![];
    for (field, list) in noted {
        let Some((projection, partition)) = field.rsplit_once(':') else { continue };
        let Ok(partition) = partition.parse() else { continue };
        let list: Vec<Quarantined> = serde_json::from_str(&list)?;
        all.extend(list.into_iter().map(|quarantined| (projection.to_owned(), partition, quarantined)));
    }
    Ok(all)
}
