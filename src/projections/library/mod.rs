//! The library: what each user keeps here, uploads and stored configurations, as rows in Postgres.
//!
//! A user's uploads are one aggregate, and so are their configurations. `heads` says of each how much of it the rows hold:
//! a query that finds the rows behind folds the history instead, so that a client reads what it has just written.

mod queries;
mod write;

pub use queries::{Page, Slice};

use async_trait::async_trait;
use sqlx::PgPool;

use super::quarantine::{Quarantined, QuarantinedAggregates};
use super::rebuild::InTables;
use super::tables::{Session, Tables};
use super::{Batch, Error, Owner, Projection};
use crate::events::EventLog;
use crate::execute::ContentCodec;

pub const NAME: &str = "library";

/// Writes the library, and answers from it.
#[derive(Clone)]
pub struct Library {
    tables: Tables,
    log: EventLog,
    codec: ContentCodec,
}

impl Library {
    pub fn new(pool: PgPool, log: EventLog, codec: ContentCodec) -> Self {
        Self { tables: Tables::new(pool, NAME), log, codec }
    }

    /// The same, with the rows of a user alone.
    pub fn seen_by(&self, user: &str) -> Self {
        Self { tables: self.tables.seen_by(user), ..self.clone() }
    }
}

#[async_trait]
impl Projection for Library {
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
        let codec = self.codec.clone();
        Ok(session.map(|session| Box::new(LibraryOwner { session, codec }) as Box<dyn Owner>))
    }
}

impl InTables for Library {
    fn tables(&self) -> &Tables {
        &self.tables
    }

    fn with_tables(&self, tables: Tables) -> Self {
        Self { tables, ..self.clone() }
    }
}

struct LibraryOwner {
    session: Session,
    codec: ContentCodec,
}

#[async_trait]
impl Owner for LibraryOwner {
    fn checkpoint(&self) -> u64 {
        self.session.checkpoint()
    }

    fn quarantined(&self) -> &QuarantinedAggregates {
        self.session.quarantined()
    }

    async fn quarantine(&mut self, quarantined: Quarantined) -> Result<(), Error> {
        self.session.quarantine(quarantined).await
    }

    async fn apply(&mut self, batch: &Batch) -> Result<(), Error> {
        let changes = write::changes(batch, &self.codec).await?;
        let mut transaction = self.session.begin(batch).await?;
        write::write(&mut transaction, batch.partition, &changes).await?;
        write::erase(&mut transaction, &batch.erased).await?;
        transaction.commit().await?;
        self.session.committed(batch);
        Ok(())
    }

    async fn renew(&mut self) -> Result<(), Error> {
        self.session.renew().await
    }

    async fn release(self: Box<Self>) -> Result<(), Error> {
        self.session.close().await
    }
}
