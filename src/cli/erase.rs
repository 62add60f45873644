//! `reel erase`: makes a user's content unreadable, for good.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Subcommand;
use sqlx::PgPool;

use super::operator::{self, Operator};
use super::say;
use crate::app;
use crate::config::{MediaConfig, RedisConfig, process_environment};
use crate::erasure::{Erased, Erasure};
use crate::events::TypedId;
use crate::ids::{BatchId, ConfigurationsId, JobId, UploadsId};
use crate::projections::{self, Projection};
use crate::telemetry::chain;

/// How long to wait for read models that are behind.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long to wait for Redis to write its files anew.
const REWRITE_PATIENCE: Duration = Duration::from_secs(120);

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
    let order = Order::new(operator, pool).await?;
    if !yes {
        bail!(
            "this destroys the content of {} jobs of {} for good: topics, scripts, narration, code and videos; uploads and \
             configurations, too; say --yes to do it",
            order.erasure.jobs(&user_id).await?.len(),
            user_id
        );
    }
    let erased = order.erase(&user_id).await?;
    let mut left = erased.failed;
    left.extend(order.wait_for_read_models(&user_id, &erased.jobs, &erased.batches).await?);
    left.extend(order.clean_disks().await);
    // What was running for the user may have added a last result before it stopped.
    order.erasure.workspaces.cache_of(&user_id).clear().await?;
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

/// The erasure of one user, as an operator does it.
struct Order {
    operator: Operator,
    pool: PgPool,
    erasure: Erasure,
}

impl Order {
    async fn new(operator: Operator, pool: PgPool) -> anyhow::Result<Self> {
        let media = MediaConfig::from_environment(&process_environment)?.root;
        let sources = operator.sources(&pool);
        let stores = operator::stores().await?;
        let erasure = Erasure::new(operator.executor.clone(), &sources, &media, stores, operator.actor());
        Ok(Self { operator, pool, erasure })
    }

    async fn erase(&self, user_id: &str) -> anyhow::Result<Erased> {
        let erased = self.erasure.erase(user_id).await?;
        let id = self.erasure.record(user_id, &erased).await?;
        say(format!("{} keys destroyed, {} jobs erased; recorded as {id}", erased.keys, erased.jobs.len()))?;
        Ok(erased)
    }

    /// Waits until the rows of the jobs, of the batches and of what the user keeps say that they are erased. Returns a line
    /// for each that does not in time; those of other partitions are not waited for.
    async fn wait_for_read_models(
        &self,
        user_id: &str,
        jobs: &BTreeSet<JobId>,
        batches: &BTreeSet<BatchId>,
    ) -> anyhow::Result<Vec<String>> {
        let log = self.erasure.log();
        let keys = log.keys();
        let ids = jobs.iter().map(|job| job.aggregate()).chain(batches.iter().map(|batch| batch.aggregate()));
        let kept = [UploadsId::of_user(user_id).aggregate(), ConfigurationsId::of_user(user_id).aggregate()];
        let partitions: BTreeSet<u16> = ids.chain(kept).map(|id| keys.partition_of(id)).collect();
        let models: [&dyn Projection; 3] =
            [&self.erasure.catalog, &self.erasure.library, &self.erasure.statuses];
        let (began, mut behind) = (Instant::now(), vec![]);
        for partition in partitions {
            let head = log.head(partition).await?;
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
