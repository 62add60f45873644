//! The catalog: batches, and jobs with their stages, scenes, videos, failures, log lines and storage operations, as rows in
//! Postgres, and the hourly figures that analysts read.
//!
//! A job's rows are folded from its events (`rows`); what single events tell is added beside (`facts`); the rows of
//! batches follow from single events (`batches`). What is read at a time becomes a few set-based statements and a checkpoint in one transaction (`write`).

mod batches;
mod facts;
mod list;
mod queries;
mod rows;
mod write;

use std::collections::HashMap;

use async_trait::async_trait;
use sqlx::PgPool;

pub use batches::BatchRow;
pub use list::{JobFilter, JobPage, JobRow, Jobs, Order, Place, SortKey};
pub use queries::{LEVELS, LogLine, Waiting};
pub use rows::{CatalogJob, CodeAttemptRow, SceneRow, StageRow, VideoRow};

use super::history::Histories;
use super::quarantine::{Quarantined, QuarantinedAggregates};
use super::reader::{Reader, Viewer};
use super::rebuild::InTables;
use super::tables::{Session, Tables};
use super::{Batch, Error, Owner, Projection};
use crate::byte_lru::ByteLru;
use crate::events::EventLog;
use crate::events::job::RecordedJobEvent;
use crate::execute::ContentCodec;
use crate::ids::JobId;
use facts::Facts;

pub const NAME: &str = "catalog";

/// What the jobs weigh that an owner keeps folded, of one partition: those that are going on. Others are folded from their
/// history when one of their events comes.
const CACHE_BYTES: usize = 8 << 20;

/// Writes the catalog, and answers from it.
#[derive(Clone)]
pub struct Catalog {
    tables: Tables,
    histories: Histories,
}

impl Catalog {
    pub fn new(pool: PgPool, log: EventLog, codec: ContentCodec) -> Self {
        Self { tables: Tables::new(pool, NAME), histories: Histories::new(log, codec, NAME) }
    }

    /// The same, with the rows of a user's jobs alone.
    pub fn seen_by(&self, user: &str) -> Self {
        Self { tables: self.tables.seen_by(user), ..self.clone() }
    }

    /// A connection that shows what the viewer may see.
    pub async fn reader(&self) -> Result<Reader, Error> {
        Ok(self.tables.reader().await?)
    }

    /// The rows of a job, folded from its history up to and including `version`.
    pub async fn folded(&self, job_id: JobId, version: u64) -> Result<Option<CatalogJob>, Error> {
        self.fold_with(self.histories.codec(), job_id, version).await
    }

    /// The same, with `[sealed]` in the place of what users wrote.
    pub async fn folded_sealed(&self, job_id: JobId, version: u64) -> Result<Option<CatalogJob>, Error> {
        self.fold_with(&ContentCodec::default(), job_id, version).await
    }

    async fn fold_with(
        &self,
        codec: &ContentCodec,
        job_id: JobId,
        version: u64,
    ) -> Result<Option<CatalogJob>, Error> {
        let recorded = self.histories.read_with(codec, job_id, version).await?;
        let job: Option<CatalogJob> =
            recorded.iter().fold(None, |job, recorded| CatalogJob::evolve(job, job_id, recorded));
        // What is not in a table is hidden here.
        Ok(job.filter(|job| match self.tables.viewer() {
            Viewer::Everyone => true,
            Viewer::User(user) => job.view.user_id == *user,
        }))
    }
}

#[async_trait]
impl Projection for Catalog {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn checkpoint(&self, partition: u16) -> Result<u64, Error> {
        self.tables.checkpoint(partition).await
    }

    async fn quarantined(&self, partition: u16) -> Result<Vec<Quarantined>, Error> {
        self.tables.quarantined(partition).await
    }

    async fn own(&self, partition: u16) -> Result<Option<Box<dyn Owner>>, Error> {
        let session = self.tables.own(partition).await?;
        Ok(session.map(|session| {
            let known = ByteLru::new(CACHE_BYTES);
            Box::new(CatalogOwner { catalog: self.clone(), session, known }) as Box<dyn Owner>
        }))
    }
}

impl InTables for Catalog {
    fn tables(&self) -> &Tables {
        &self.tables
    }

    fn with_tables(&self, tables: Tables) -> Self {
        Self { tables, ..self.clone() }
    }
}

struct CatalogOwner {
    catalog: Catalog,
    session: Session,
    /// Jobs as they are stored.
    known: ByteLru<JobId, CatalogJob>,
}

impl CatalogOwner {
    /// The job as it was before an event. It is not kept any more: should the batch fail, it is folded again.
    async fn before(&mut self, job_id: JobId, version: u64) -> Result<Option<CatalogJob>, Error> {
        match self.known.take(&job_id) {
            Some(job) => Ok(Some(job)),
            None if version == 1 => Ok(None),
            None => {
                let mut job = self.catalog.folded(job_id, version - 1).await?;
                job.iter_mut().for_each(CatalogJob::set_stored);
                Ok(job)
            }
        }
    }

    async fn fold(
        &mut self,
        events: &[(JobId, RecordedJobEvent)],
    ) -> Result<(Vec<CatalogJob>, Facts), Error> {
        let mut facts = Facts::default();
        let mut jobs: HashMap<JobId, CatalogJob> = HashMap::new();
        for (job_id, recorded) in events {
            let before = match jobs.remove(job_id) {
                Some(job) => Some(job),
                None => self.before(*job_id, recorded.version).await?,
            };
            let status = before.as_ref().map(|job| job.view.status);
            let had_started = before.as_ref().is_some_and(|job| job.view.started_at.is_some());
            if let Some(after) = CatalogJob::evolve(before, *job_id, recorded) {
                facts.note(status, &after, had_started, recorded);
                jobs.insert(*job_id, after);
            }
        }
        Ok((jobs.into_values().collect(), facts))
    }
}

#[async_trait]
impl Owner for CatalogOwner {
    fn checkpoint(&self) -> u64 {
        self.session.checkpoint()
    }

    fn quarantined(&self) -> &QuarantinedAggregates {
        self.session.quarantined()
    }

    async fn quarantine(&mut self, quarantined: Quarantined) -> Result<(), Error> {
        self.known.take(&JobId(quarantined.aggregate_id.0));
        self.session.quarantine(quarantined).await
    }

    async fn apply(&mut self, batch: &Batch) -> Result<(), Error> {
        let events = batch.of_jobs(self.catalog.histories.codec()).await?;
        let (jobs, facts) = self.fold(&events).await?;
        let batches = batches::changes(batch, self.catalog.histories.codec()).await?;
        let mut transaction = self.session.begin(batch).await?;
        write::write(&mut transaction, batch.partition, &jobs, &facts).await?;
        write::erase_rows(&mut transaction, &batch.erased).await?;
        batches::write(&mut transaction, batch.partition, &batches).await?;
        batches::erase_rows(&mut transaction, &batch.erased).await?;
        transaction.commit().await?;
        self.session.committed(batch);
        for mut job in jobs {
            job.set_stored();
            // Ended jobs are rarely heard of again.
            if job.view.ended_at.is_none() {
                let weight_bytes = job.weight_bytes();
                self.known.put(job.view.job_id, job, weight_bytes);
            }
        }
        Ok(())
    }

    async fn renew(&mut self) -> Result<(), Error> {
        self.session.renew().await
    }

    async fn release(self: Box<Self>) -> Result<(), Error> {
        self.session.close().await
    }
}
