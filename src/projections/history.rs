//! The history of one job as a projection applies it: decoded, and without the events that it skips.

use super::decisions::DecisionsCache;
use super::{Error, decode};
use crate::events::job::RecordedJobEvent;
use crate::events::{AggregateKind, EventLog};
use crate::execute::ContentCodec;
use crate::ids::JobId;

/// Reads histories for one projection. Cheap to clone.
#[derive(Clone)]
pub struct Histories {
    log: EventLog,
    codec: ContentCodec,
    decisions: DecisionsCache,
}

impl Histories {
    pub fn new(log: EventLog, codec: ContentCodec, projection: &'static str) -> Self {
        let decisions = DecisionsCache::new(log.clone(), projection);
        Self { log, codec, decisions }
    }

    pub fn codec(&self) -> &ContentCodec {
        &self.codec
    }

    pub fn decisions(&self) -> &DecisionsCache {
        &self.decisions
    }

    /// The events of a job up to and including `version`; none for the id of anything else.
    pub async fn read(&self, job_id: JobId, version: u64) -> Result<Vec<RecordedJobEvent>, Error> {
        self.read_with(&self.codec, job_id, version).await
    }

    /// The same, decoded with another codec.
    pub async fn read_with(
        &self,
        codec: &ContentCodec,
        job_id: JobId,
        version: u64,
    ) -> Result<Vec<RecordedJobEvent>, Error> {
        let id = job_id.aggregate();
        let of_history = |source| Error::History { aggregate_id: id, source };
        let envelopes = async { self.log.history(id, 0).await.map_err(of_history) };
        let (envelopes, decisions) = tokio::try_join!(envelopes, self.decisions.get())?;
        if envelopes.first().is_some_and(|first| first.aggregate != AggregateKind::Job) {
            return Ok(vec![]);
        }
        let skips = decisions.skips(self.log.keys().partition_of(id));
        let seqs = match skips.is_empty() {
            true => vec![],
            false => self.log.listed(id).await.map_err(of_history)?,
        };
        let is_skipped = |version: u64| seqs.get(version as usize - 1).is_some_and(|seq| skips.contains(seq));
        let mut recorded = vec![];
        for envelope in envelopes {
            if envelope.version <= version && !is_skipped(envelope.version) {
                recorded.push(decode(codec, &envelope).await?);
            }
        }
        Ok(recorded)
    }
}
