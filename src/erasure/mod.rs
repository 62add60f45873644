//! Makes what a user wrote unreadable, for good: destroys their keys, cancels their open jobs, removes their files, and
//! records it. Safe to do again.
//!
//! `reel erase` does it for an operator, who also has the servers' disks cleaned. [`on_request`] does it when the user asks
//! for it, as Clerk's `user.deleted` does: the wish is an event first (`ErasureRequested`), so that nothing loses it.

pub mod on_request;
pub mod register;
pub mod unreadable;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::domain::{batch, configurations, job, uploads, user};
use crate::events::{self, Actor, EventLog, TypedId, WorkQueue};
use crate::execute::{self, Executor, Origin};
use crate::ids::{BatchId, ConfigurationsId, JobId, UploadsId, UserId};
use crate::projections::catalog::Catalog;
use crate::projections::library::Library;
use crate::projections::rebuild::{Edition, Rebuildable};
use crate::projections::status::StatusViews;
use crate::projections::trail::Trail;
use crate::projections::{self, Projection, Sources};
use crate::storage::{self, Prefix, Stores, Workspaces};
use crate::telemetry::chain;
use crate::vault;
use register::Register;
use unreadable::Closed;

/// Events read at a time.
const BATCH: usize = 1000;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no vault: without DATABASE_URL and REEL_MASTER_KEY, nothing is sealed")]
    NoVault,
    #[error("the user's keys cannot be destroyed")]
    Vault(#[from] vault::Error),
    #[error("the event log failed")]
    Log(#[from] events::Error),
    #[error("a read model cannot be asked")]
    ReadModel(#[from] projections::Error),
    #[error("an unfinished edition of a read model cannot be discarded")]
    Edition(#[from] projections::rebuild::Error),
    #[error("the erasure cannot be recorded")]
    Record(#[from] execute::Error<std::convert::Infallible>),
    #[error("a command for one of the user's jobs failed")]
    Job(#[from] execute::Error),
    #[error("a job that cannot be read cannot be closed")]
    Close(#[from] unreadable::Error),
    #[error("stored files cannot be removed")]
    Storage(#[from] storage::Error),
    #[error("the erasure cannot be noted outside of the databases")]
    Register(#[from] register::Error),
    #[error("the folder of a job cannot be removed")]
    Workspace(#[from] std::io::Error),
}

/// What the erasure of a user came to.
#[derive(Debug, Default)]
pub struct Erased {
    pub keys: u64,
    pub jobs: BTreeSet<JobId>,
    pub batches: BTreeSet<BatchId>,
    /// Why others were not erased, a line each; and what else was not.
    pub failed: Vec<String>,
}

/// Erases users. Cheap to clone.
#[derive(Clone)]
pub struct Erasure {
    executor: Executor,
    queue: WorkQueue,
    /// Who is recorded as the cause.
    actor: Actor,
    pub catalog: Catalog,
    pub library: Library,
    pub statuses: StatusViews,
    trail: Trail,
    read_models: Vec<Arc<dyn Rebuildable>>,
    stores: Stores,
    register: Register,
    pub workspaces: Workspaces,
}

impl Erasure {
    pub fn new(
        executor: Executor,
        sources: &Sources,
        media_root: &Path,
        stores: Stores,
        actor: Actor,
    ) -> Self {
        let Sources { log, codec, pool, status_kept_after_end } = sources.clone();
        Self {
            queue: WorkQueue::new(&log),
            actor,
            catalog: Catalog::new(pool.clone(), log.clone(), codec.clone()),
            library: Library::new(pool.clone(), log.clone(), codec.clone()),
            statuses: StatusViews::new(log, codec, status_kept_after_end),
            trail: Trail::new(pool),
            read_models: projections::all(sources),
            workspaces: Workspaces::new(media_root, &stores),
            register: Register::new(stores.archive.clone()),
            stores,
            executor,
        }
    }

    pub fn log(&self) -> &EventLog {
        self.executor.log()
    }

    /// Destroys keys, erases jobs and what the user keeps, and removes files.
    pub async fn erase(&self, user_id: &str) -> Result<Erased, Error> {
        let vault = self.executor.codec().vault().ok_or(Error::NoVault)?;
        let (mut erased, mut tried) = (Erased::default(), BTreeSet::new());
        loop {
            // First of all: from here on nobody can read it, whatever else fails.
            let destroyed = vault.destroy(user_id).await?;
            erased.keys += destroyed;
            // An edition that nobody goes on filling would keep the words.
            for model in &self.read_models {
                model.discard(Edition::Next).await?;
            }
            for job_id in self.jobs(user_id).await? {
                if !tried.insert(job_id) {
                    continue;
                }
                match self.erase_job(user_id, job_id).await {
                    Ok(()) => {
                        erased.jobs.insert(job_id);
                    }
                    Err(error) => {
                        erased.failed.push(format!("job {job_id} is not erased: {}", chain(&error)))
                    }
                }
            }
            // After their jobs: a batch brings no job into being whose words are gone.
            for batch_id in self.batches(user_id).await? {
                let origin = Origin::new(self.actor.clone());
                match self.executor.execute(batch_id, batch::Command::EraseContent, &origin, None).await {
                    Ok(_) => drop(erased.batches.insert(batch_id)),
                    Err(error) => {
                        erased.failed.push(format!("batch {batch_id} is not erased: {}", chain(&error)))
                    }
                }
            }
            let mut kept = self.erase_library(user_id).await;
            kept.extend(self.note(user_id).await.err().map(|error| {
                format!("a restore of an older backup would bring the words back: {}", chain(&error))
            }));
            // Work that was under way may have made another key, until its job was cancelled.
            if destroyed == 0 {
                // All of it was tried again each time, so that the last time counts.
                erased.failed.extend(kept);
                break;
            }
        }
        self.workspaces.cache_of(user_id).clear().await?;
        Ok(erased)
    }

    /// Enters the user into the register, which a restore of an older backup reads.
    async fn note(&self, user_id: &str) -> Result<(), Error> {
        let vault = self.executor.codec().vault().ok_or(Error::NoVault)?;
        let destroyed = vault.destroyed_keys_of(user_id).await?;
        let erased_at = self.executor.clock().now();
        Ok(self.register.note(user_id, &destroyed, erased_at).await?)
    }

    /// Records what was erased. Gives the id of the aggregate that says so.
    pub async fn record(&self, user_id: &str, erased: &Erased) -> Result<UserId, Error> {
        let id = UserId::of_name(user_id);
        let command = user::Command::NoteErasure { keys: erased.keys, jobs: erased.jobs.len() as u64 };
        self.executor.execute(id, command, &Origin::standalone(self.actor.clone()), None).await?;
        Ok(id)
    }

    pub async fn jobs(&self, user_id: &str) -> Result<BTreeSet<JobId>, Error> {
        let listed = self.catalog.jobs_of(user_id).await?;
        self.requested(&["JobRequested", "JobImported"], user_id, listed).await
    }

    async fn batches(&self, user_id: &str) -> Result<BTreeSet<BatchId>, Error> {
        let listed = self.catalog.batches_of(user_id).await?;
        self.requested(&["BatchRequested"], user_id, listed).await
    }

    /// Finds the user's jobs or batches, which begin with an event of these types. Beside those that the catalog lists, asks
    /// the trail, which no event can halt, and reads the log on from where either read model is: one that is halted hides
    /// nothing.
    async fn requested<I: TypedId + Ord>(
        &self,
        event_types: &[&str],
        user_id: &str,
        listed: Vec<I>,
    ) -> Result<BTreeSet<I>, Error> {
        let mut found: BTreeSet<I> = listed.into_iter().collect();
        let actor = Actor::User(user_id.to_owned());
        found.extend(self.trail.requested_by::<I>(user_id).await?);
        for partition in self.log().keys().partitions() {
            let mut at =
                self.catalog.checkpoint(partition).await?.min(self.trail.checkpoint(partition).await?);
            loop {
                let events = self.log().read(partition, at, BATCH).await?;
                let Some((last, _)) = events.last() else { break };
                at = *last;
                let requested = events
                    .iter()
                    .filter(|(_, event)| {
                        event_types.contains(&event.event_type.as_str()) && event.actor == actor
                    })
                    .filter_map(|(_, event)| event.id::<I>());
                found.extend(requested);
            }
        }
        Ok(found)
    }

    /// Erases what the user keeps: uploads with their bytes, and configurations. Returns a line for each that is not.
    async fn erase_library(&self, user_id: &str) -> Vec<String> {
        let origin = Origin::new(self.actor.clone());
        let files = self.stores.files.delete_prefix(&Prefix::of_uploads(user_id)).await;
        let id = UploadsId::of_user(user_id);
        let uploads = self.executor.execute(id, uploads::Command::Erase, &origin, None).await;
        let origin = Origin::new(self.actor.clone());
        let id = ConfigurationsId::of_user(user_id);
        let configurations = self.executor.execute(id, configurations::Command::Erase, &origin, None).await;
        let lines = [
            files.err().map(|error| format!("uploaded files are not removed: {}", chain(&error))),
            uploads.err().map(|error| format!("the uploads are not erased: {}", chain(&error))),
            configurations.err().map(|error| format!("the configurations are not erased: {}", chain(&error))),
        ];
        lines.into_iter().flatten().collect()
    }

    async fn erase_job(&self, user_id: &str, job_id: JobId) -> Result<(), Error> {
        // Files need no event to be read.
        self.stores.delete_job(user_id, job_id).await?;
        let closed = unreadable::close(&self.executor, &self.queue, &self.actor, job_id, true).await?;
        if closed == Closed::Readable {
            if !self.executor.load(job_id).await?.state.has_ended() {
                self.order(job_id, job::Command::Cancel { reason: None }).await?;
            }
            self.order(job_id, job::Command::EraseContent).await?;
        }
        // Once more: work may have ended meanwhile.
        self.stores.delete_job(user_id, job_id).await?;
        let workspace = self.workspaces.of(job_id);
        workspace.remove().await?;
        workspace.remove_artifacts().await?;
        Ok(())
    }

    async fn order(&self, job_id: JobId, command: job::Command) -> Result<(), Error> {
        self.executor.execute(job_id, command, &Origin::new(self.actor.clone()), None).await?;
        Ok(())
    }
}
