//! `reel erase`: makes a user's content unreadable, for good.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Subcommand;

use super::operator::{Operator, read_models};
use super::say;
use super::unreadable::{self, Closed};
use crate::config::{MediaConfig, process_environment};
use crate::domain::job::Command;
use crate::domain::user;
use crate::events::EventLog;
use crate::execute::Origin;
use crate::ids::{JobId, UserId};
use crate::projections::catalog::Catalog;
use crate::projections::rebuild::Edition;
use crate::projections::trail::Trail;
use crate::projections::{Projection, lag};
use crate::storage::{LocalStorage, Workspaces};
use crate::vault::Vault;

/// How long to wait for a catalog that is behind.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Subcommand)]
pub enum Erase {
    /// Destroy the key of all that the user wrote, cancel their open jobs, remove their videos, and record it. Safe to
    /// run again.
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
    let catalog = Catalog::new(pool.clone(), operator.log().clone(), operator.executor.decoder().clone());
    let trail = Trail::new(pool.clone());
    let media = MediaConfig::from_environment(&process_environment)?.root;
    if !yes {
        bail!(
            "this destroys the content of {} jobs of {user_id} for good: topics, scripts, narration, code and videos; \
             say --yes to do it",
            catalog.jobs_of(&user_id).await?.len()
        );
    }
    let vault: &Vault = operator.executor.decoder().vault().expect("an operator with Postgres has a vault");
    let (mut keys, mut jobs) = (0, BTreeSet::new());
    loop {
        // First of all: from here on nobody can read it, whatever else fails.
        let destroyed = vault.destroy(&user_id).await?;
        keys += destroyed;
        wait_for(operator.log(), &catalog).await?;
        wait_for(operator.log(), &trail).await?;
        // An edition that nobody goes on filling would keep the words.
        for model in read_models(&operator, &pool) {
            model.discard(Edition::Next).await?;
        }
        // The trail knows those, too, whose request cannot be read.
        let mut of_user = catalog.jobs_of(&user_id).await?;
        of_user.extend(trail.jobs_requested_by(&user_id).await?);
        for job_id in of_user {
            if jobs.insert(job_id) {
                erase_job(&operator, &media, job_id).await?;
            }
        }
        // Work that was under way may have made another key, until its job was cancelled.
        if destroyed == 0 {
            break;
        }
    }
    Workspaces::new(&media).cache_of(&user_id).remove()?;
    let id = UserId::of_name(&user_id);
    let command = user::Command::NoteErasure { keys, jobs: jobs.len() as u64 };
    operator.executor.execute(id, command, &Origin::standalone(operator.actor()), None).await?;
    say(format!("{keys} keys destroyed, {} jobs erased; recorded as {id}", jobs.len()))
}

/// Waits until a read model knows all jobs.
async fn wait_for(log: &EventLog, model: &dyn Projection) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        let behind = lag(log, model).await?;
        if behind == 0 {
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            bail!(
                "the key is destroyed, but the {} is {behind} events behind, so the user's latest jobs are not known yet; \
                 run this again when it has caught up (`reel projections list`)",
                model.name()
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn erase_job(operator: &Operator, media: &Path, job_id: JobId) -> anyhow::Result<()> {
    if unreadable::close(operator, job_id, true).await? == Closed::Readable {
        if !operator.executor.load(job_id).await?.state.has_ended() {
            operator.order(job_id, Command::Cancel { reason: None }).await?;
        }
        operator.order(job_id, Command::EraseContent).await?;
    }
    LocalStorage::new(media).remove(job_id)?;
    Workspaces::new(media).of(job_id).remove()?;
    Ok(())
}
