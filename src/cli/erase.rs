//! `reel erase`: makes a user's content unreadable, for good.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Subcommand;
use sqlx::PgPool;

use super::operator::{Operator, read_models};
use super::say;
use super::unreadable::{self, Closed};
use crate::app;
use crate::config::{MediaConfig, RedisConfig, process_environment};
use crate::domain::job::Command;
use crate::domain::{batch, configurations, uploads, user};
use crate::events::{Actor, EventLog, TypedId};
use crate::execute::Origin;
use crate::ids::{AggregateId, BatchId, ConfigurationsId, JobId, UploadsId, UserId};
use crate::projections::catalog::Catalog;
use crate::projections::library::Library;
use crate::projections::rebuild::Edition;
use crate::projections::status::StatusViews;
use crate::projections::trail::Trail;
use crate::projections::{self, Projection};
use crate::storage::{Prefix, Storage, Workspaces};
use crate::telemetry::chain;

/// How long to wait for read models that are behind.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long to wait for Redis to write its files anew.
const REWRITE_PATIENCE: Duration = Duration::from_secs(120);
/// Events read at a time.
const BATCH: usize = 1000;

#[derive(Subcommand)]
pub enum Erase {
    /// Destroy the key of all that the user wrote, cancel their open jobs, remove their files, record it, and clean the
    /// servers' disks. Safe to run again.
    User {
        /// As the issuer of session tokens names the user
        user_id: String,
        /// There is no way back
        #[arg(long)]
        yes: bool,
    },
}

pub async fn erase(command: Erase) -> anyhow::Result<()> {
    let Erase::User { user_id, yes } = command;
    let (operator, pool) = Operator::with_postgres().await?;
    let erasure = Erasure::new(operator, pool, user_id)?;
    if !yes {
        bail!(
            "this destroys the content of {} jobs of {} for good: topics, scripts, narration, code and videos; uploads and \
             configurations, too; say --yes to do it",
            erasure.jobs().await?.len(),
            erasure.user_id
        );
    }
    let jobs = erasure.erase().await?;
    let mut left = jobs.failed;
    left.extend(erasure.wait_for_read_models(&jobs.erased, &jobs.batches).await?);
    left.extend(erasure.clean_disks().await);
    // What was running for the user may have added a last result before it stopped.
    erasure.workspaces.cache_of(&erasure.user_id).clear().await?;
    if left.is_empty() {
        return say(
            "the servers' files hold nothing of it any more, except PostgreSQL's write-ahead log, until it is overwritten, \
             and backups (docs/AUDIT.md)",
        );
    }
    left.iter().try_for_each(say)?;
    bail!(
        "the content cannot be read any more, but traces are left, as listed above: mend the cause and run this again"
    )
}

/// One user's content, on its way out.
struct Erasure {
    operator: Operator,
    pool: PgPool,
    user_id: String,
    catalog: Catalog,
    library: Library,
    statuses: StatusViews,
    trail: Trail,
    storage: Storage,
    workspaces: Workspaces,
}

#[derive(Default)]
struct Jobs {
    erased: BTreeSet<JobId>,
    batches: BTreeSet<BatchId>,
    /// Why others were not, a line each; and what else was not.
    failed: Vec<String>,
}

impl Erasure {
    fn new(operator: Operator, pool: PgPool, user_id: String) -> anyhow::Result<Self> {
        let media = MediaConfig::from_environment(&process_environment)?.root;
        let (log, codec) = (operator.log().clone(), operator.executor.codec().clone());
        let kept = operator.streams.retention.status_view;
        Ok(Self {
            catalog: Catalog::new(pool.clone(), log.clone(), codec.clone()),
            library: Library::new(pool.clone(), log.clone(), codec.clone()),
            statuses: StatusViews::new(log, codec, kept),
            trail: Trail::new(pool.clone()),
            storage: Storage::local(&media),
            workspaces: Workspaces::new(&media),
            operator,
            pool,
            user_id,
        })
    }

    fn log(&self) -> &EventLog {
        self.operator.log()
    }

    /// Destroys keys, erases jobs and files, and records it.
    async fn erase(&self) -> anyhow::Result<Jobs> {
        let vault = self.operator.executor.codec().vault().context("there is no vault")?;
        let (mut keys, mut jobs, mut tried) = (0, Jobs::default(), BTreeSet::new());
        loop {
            // First of all: from here on nobody can read it, whatever else fails.
            let destroyed = vault.destroy(&self.user_id).await?;
            keys += destroyed;
            // An edition that nobody goes on filling would keep the words.
            for model in read_models(&self.operator, &self.pool) {
                model.discard(Edition::Next).await?;
            }
            for job_id in self.jobs().await? {
                if !tried.insert(job_id) {
                    continue;
                }
                match self.erase_job(job_id).await {
                    Ok(()) => {
                        jobs.erased.insert(job_id);
                    }
                    Err(error) => jobs.failed.push(format!("job {job_id} is not erased: {error:#}")),
                }
            }
            // After their jobs: a batch brings no job into being whose words are gone.
            for batch_id in self.batches().await? {
                match self.operator.order(batch_id, batch::Command::EraseContent).await {
                    Ok(_) => drop(jobs.batches.insert(batch_id)),
                    Err(error) => jobs.failed.push(format!("batch {batch_id} is not erased: {error:#}")),
                }
            }
            jobs.failed.extend(self.erase_library().await);
            // Work that was under way may have made another key, until its job was cancelled.
            if destroyed == 0 {
                break;
            }
            jobs.failed.clear();
        }
        self.workspaces.cache_of(&self.user_id).clear().await?;
        let id = UserId::of_name(&self.user_id);
        let command = user::Command::NoteErasure { keys, jobs: jobs.erased.len() as u64 };
        let origin = Origin::standalone(self.operator.actor());
        self.operator.executor.execute(id, command, &origin, None).await?;
        say(format!("{keys} keys destroyed, {} jobs erased; recorded as {id}", jobs.erased.len()))?;
        Ok(jobs)
    }

    async fn jobs(&self) -> anyhow::Result<BTreeSet<JobId>> {
        self.requested("JobRequested", self.catalog.jobs_of(&self.user_id).await?).await
    }

    async fn batches(&self) -> anyhow::Result<BTreeSet<BatchId>> {
        self.requested("BatchRequested", self.catalog.batches_of(&self.user_id).await?).await
    }

    /// The user's jobs or batches, which begin with an event of the type. Beside those that the catalog lists, asks the
    /// trail, which no event can halt, and reads the log on from where either read model is: one that is halted hides
    /// nothing.
    async fn requested<I: TypedId + Ord>(
        &self,
        event_type: &str,
        listed: Vec<I>,
    ) -> anyhow::Result<BTreeSet<I>> {
        let mut found: BTreeSet<I> = listed.into_iter().collect();
        let actor = Actor::User(self.user_id.clone());
        found.extend(self.trail.requested_by::<I>(&self.user_id).await?);
        for partition in self.log().keys().partitions() {
            let mut at =
                self.catalog.checkpoint(partition).await?.min(self.trail.checkpoint(partition).await?);
            loop {
                let events = self.log().read(partition, at, BATCH).await?;
                let Some((last, _)) = events.last() else { break };
                at = *last;
                let requested = events
                    .iter()
                    .filter(|(_, event)| event.event_type == event_type && event.actor == actor)
                    .filter_map(|(_, event)| event.id::<I>());
                found.extend(requested);
            }
        }
        Ok(found)
    }

    /// Erases what the user keeps: uploads with their bytes, and configurations. Returns a line for each that is not.
    async fn erase_library(&self) -> Vec<String> {
        let files = self.storage.delete_prefix(&Prefix::of_uploads(&self.user_id)).await;
        let uploads = self.operator.order(UploadsId::of_user(&self.user_id), uploads::Command::Erase).await;
        let id = ConfigurationsId::of_user(&self.user_id);
        let configurations = self.operator.order(id, configurations::Command::Erase).await;
        let lines = [
            files.err().map(|error| format!("uploaded files are not removed: {}", chain(&error))),
            uploads.err().map(|error| format!("the uploads are not erased: {error:#}")),
            configurations.err().map(|error| format!("the configurations are not erased: {error:#}")),
        ];
        lines.into_iter().flatten().collect()
    }

    async fn erase_job(&self, job_id: JobId) -> anyhow::Result<()> {
        // Files need no event to be read.
        self.storage.delete_prefix(&Prefix::of_video(job_id)).await?;
        if unreadable::close(&self.operator, job_id, true).await? == Closed::Readable {
            if !self.operator.executor.load(job_id).await?.state.has_ended() {
                self.operator.order(job_id, Command::Cancel { reason: None }).await?;
            }
            self.operator.order(job_id, Command::EraseContent).await?;
        }
        // Once more: work may have ended meanwhile.
        self.storage.delete_prefix(&Prefix::of_video(job_id)).await?;
        self.workspaces.of(job_id).remove().await?;
        Ok(())
    }

    /// Waits until the rows of the jobs, of the batches and of what the user keeps say that they are erased. Returns a line
    /// for each that does not in time; those of other partitions are not waited for.
    async fn wait_for_read_models(
        &self,
        jobs: &BTreeSet<JobId>,
        batches: &BTreeSet<BatchId>,
    ) -> anyhow::Result<Vec<String>> {
        let keys = self.log().keys();
        let kept = [
            AggregateId(UploadsId::of_user(&self.user_id).0),
            AggregateId(ConfigurationsId::of_user(&self.user_id).0),
        ];
        let ids = jobs.iter().map(|job| job.aggregate()).chain(batches.iter().map(|batch| batch.aggregate()));
        let partitions: BTreeSet<u16> = ids.chain(kept).map(|id| keys.partition_of(id)).collect();
        let models: [&dyn Projection; 3] = [&self.catalog, &self.library, &self.statuses];
        let (began, mut behind) = (Instant::now(), vec![]);
        for partition in partitions {
            let head = self.log().head(partition).await?;
            for model in models {
                loop {
                    let checkpoint = model.checkpoint(partition).await?;
                    if checkpoint >= head {
                        break;
                    }
                    if began.elapsed() > PATIENCE {
                        behind.push(format!(
                            "{} holds rows of partition {partition} from before: it is at event {checkpoint} of {head} \
                             (`reel projections list`)",
                            model.name()
                        ));
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        Ok(behind)
    }

    /// Has the servers write their files anew, without old versions of what they hold. Returns a line for each that
    /// does not.
    async fn clean_disks(&self) -> Vec<String> {
        let mut left = vec![];
        let rewritten = async {
            let address = app::address(&RedisConfig::from_environment(&process_environment)?)?;
            anyhow::Ok(address.rewrite_files(REWRITE_PATIENCE).await?)
        };
        match rewritten.await {
            Ok(0) => {}
            Ok(silent) => left.push(format!("{silent} redis servers do not answer, and keep their files")),
            Err(error) => left.push(format!("redis has not written its files anew: {error:#}")),
        }
        match projections::compact(&self.pool).await {
            Ok(tables) => left.extend(
                tables
                    .into_iter()
                    .map(|(table, error)| format!("postgres keeps old rows of {table} on disk: {error}")),
            ),
            Err(error) => left.push(format!("postgres keeps old rows on disk: {}", chain(&error))),
        }
        let vault = self.operator.executor.codec().vault();
        if let Some(Err(error)) =
            futures_util::future::OptionFuture::from(vault.map(|vault| vault.compact())).await
        {
            left.push(format!("postgres keeps destroyed keys on disk, wrapped: {}", chain(&error)));
        }
        left
    }
}
