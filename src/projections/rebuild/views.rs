//! Editions of the status views in Redis: numbers, and a field of each view's hash for each number.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::{BATCH, Difference, Differences, Edition, Error, Filling, Rebuildable};
use crate::events::{AggregateKind, Envelope, Event, EventLog, JobEvent};
use crate::ids::{AggregateId, JobId};
use crate::projections::Projection;
use crate::projections::quarantine::Quarantined;
use crate::projections::status::{StatusView, StatusViews};

/// Documents of an old edition that one call removes.
const REMOVED_AT_A_TIME: usize = 500;

#[async_trait]
impl Rebuildable for StatusViews {
    fn beside(&self, edition: Edition) -> Option<Arc<dyn Projection>> {
        match edition {
            Edition::Next => Some(Arc::new(self.next())),
            Edition::Check => None,
        }
    }

    async fn prepare(&self, edition: Edition, restart: bool) -> Result<(), Error> {
        if edition == Edition::Next {
            for partition in self.log().keys().partitions() {
                self.prepare_next(partition, restart).await?;
            }
        }
        Ok(())
    }

    /// Folds each job's history, and compares at the version that the served view claims to have.
    async fn compare(&self, filling: &mut Filling<'_>) -> Result<Differences, Error> {
        self.histories().decisions().refresh().await?;
        let mut differences = Differences::default();
        for partition in filling.log.keys().partitions() {
            let until = self.checkpoint(partition).await?;
            let passed_over = PassedOver::read(self, partition).await?;
            let mut after = 0;
            while after < until {
                let events = filling.log.read(partition, after, BATCH).await?;
                let Some((last, _)) = events.last() else { break };
                after = *last;
                for job_id in first_events(&events, until) {
                    let compared = compare_view(self, job_id, passed_over.get(job_id)).await?;
                    let Some((served, expected)) = compared else { continue };
                    differences.count += 1;
                    let key = serde_json::json!({ "job_id": job_id });
                    differences.push(Difference { table: "views".to_owned(), key, served, expected });
                }
            }
        }
        Ok(differences)
    }

    /// One partition after the other. Then removes what the old edition held: erased words would stay readable there.
    async fn switch(&self, filling: &mut Filling<'_>) -> Result<(), Error> {
        for partition in filling.log.keys().partitions() {
            let old = self.served(partition).await?;
            while !StatusViews::switch(self, partition).await? {
                filling.fill().await?;
            }
            // From now on it is for others to fill.
            filling.release(partition).await?;
            if self.served(partition).await? != old {
                remove_documents(filling.log, self, partition, old).await?;
            }
        }
        Ok(())
    }

    async fn discard(&self, edition: Edition) -> Result<(), Error> {
        if edition == Edition::Next {
            for partition in self.log().keys().partitions() {
                if let Some(given_up) = self.give_up_next(partition).await? {
                    remove_documents(self.log(), self, partition, given_up).await?;
                }
            }
        }
        Ok(())
    }

    async fn clear(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// The jobs that begin in these events, none past `until`.
fn first_events(events: &[(u64, Envelope)], until: u64) -> impl Iterator<Item = JobId> {
    let is_first = move |(seq, event): &&(u64, Envelope)| {
        *seq <= until && event.version == 1 && event.aggregate == AggregateKind::Job
    };
    events.iter().filter(is_first).map(|(_, event)| JobId(event.aggregate_id.0))
}

/// Removes all documents of an edition of a partition, a bounded number at a time.
async fn remove_documents(
    log: &EventLog,
    views: &StatusViews,
    partition: u16,
    edition: u64,
) -> Result<(), Error> {
    let mut after = 0;
    loop {
        let events = log.read(partition, after, BATCH).await?;
        let Some((last, _)) = events.last() else { return Ok(()) };
        after = *last;
        let jobs: Vec<JobId> = first_events(&events, u64::MAX).collect();
        for jobs in jobs.chunks(REMOVED_AT_A_TIME) {
            views.remove_documents(edition, jobs).await?;
        }
    }
}

/// The quarantined jobs of a partition, and whether their content was erased since.
struct PassedOver(BTreeMap<AggregateId, (Quarantined, bool)>);

impl PassedOver {
    async fn read(views: &StatusViews, partition: u16) -> Result<Self, Error> {
        let mut all = BTreeMap::new();
        for quarantined in views.quarantined(partition).await? {
            let id = quarantined.aggregate_id;
            let history = views.log().history(id, quarantined.version - 1).await?;
            let erasure = (JobEvent::ContentErased {}).type_name();
            let is_erased = history.iter().any(|event| event.event_type == erasure);
            all.insert(id, (quarantined, is_erased));
        }
        Ok(Self(all))
    }

    fn get(&self, job_id: JobId) -> Option<&(Quarantined, bool)> {
        self.0.get(&job_id.aggregate())
    }
}

/// The view as it is served, and as it should be; `None` when both are the same.
async fn compare_view(
    views: &StatusViews,
    job_id: JobId,
    passed_over: Option<&(Quarantined, bool)>,
) -> Result<Option<(Value, Value)>, Error> {
    let last = passed_over.map_or(u64::MAX, |(quarantined, _)| quarantined.version - 1);
    let fold = async |version: u64| -> Result<Option<StatusView>, Error> {
        let mut view = views.folded(job_id, version.min(last)).await?;
        if passed_over.is_some_and(|(_, is_erased)| *is_erased) {
            view.iter_mut().for_each(StatusView::erase_words);
        }
        Ok(view)
    };
    let json = |view: &StatusView| serde_json::to_value(view).map_err(crate::projections::Error::from);
    let Some(stored) = views.stored(job_id).await? else {
        // Views of ended jobs go after a while; others must be there.
        let expected = fold(u64::MAX).await?.filter(|view| view.ended_at.is_none());
        return expected.map(|view| Ok((Value::Null, json(&view)?))).transpose();
    };
    match fold(stored.version).await? {
        Some(expected) if expected == stored => Ok(None),
        expected => {
            let expected = expected.as_ref().map(json).transpose()?.unwrap_or_default();
            Ok(Some((json(&stored)?, expected)))
        }
    }
}
