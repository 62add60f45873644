//! What an operator does by hand: look at what failed or is stuck, and decide what becomes of it.

use std::sync::Arc;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde_json::json;
use sqlx::PgPool;

use super::say;
use crate::app;
use crate::clock::Clock;
use crate::config::{
    ArchiveConfig, KeysConfig, MediaConfig, PostgresConfig, RedisConfig, Streams, process_environment,
};
use crate::consumers::rebuild;
use crate::domain::job::{self, Status};
use crate::domain::{CommandOf, Id, State};
use crate::events::archive::Archive;
use crate::events::{Actor, EventLog, Stage, TypedId, WorkQueue};
use crate::execute::{self, Executor, Origin};
use crate::ids::JobId;
use crate::postgres;
use crate::projections::rebuild::Rebuildable;
use crate::projections::{self, Sources};
use crate::storage::{StorageSettings, Stores};
use crate::telemetry::chain;
use crate::vault::Vault;

#[derive(Subcommand)]
pub enum DeadLetters {
    /// One line for each: when it failed, the job, the stage, the error, the user
    List,
    /// Everything about one, as JSON: the failure, the attempts, the events that led to it
    Show { job_id: JobId },
    /// Let the job begin again, at a stage or as late as its files allow
    Replay {
        job_id: JobId,
        /// initializing, planning or scenario_creation
        #[arg(long, value_name = "STAGE")]
        from: Option<String>,
    },
    /// Put the failure aside: the job stays failed and leaves this list
    Discard {
        job_id: JobId,
        /// Why; it is recorded
        #[arg(long)]
        reason: Option<String>,
    },
}

#[derive(Subcommand)]
pub enum Queues {
    /// How much work waits, is taken and is delayed, for each stage
    Show,
    /// Throw the queues away and build them again from the log; safe while workers run
    Rebuild,
}

/// Connects to the servers as a role does.
pub struct Operator {
    pub executor: Executor,
    pub queue: WorkQueue,
    pub streams: Streams,
}

impl Operator {
    /// With REDIS_URL alone. What users wrote stays sealed unless DATABASE_URL and REEL_MASTER_KEY are set, too.
    pub async fn connect() -> anyhow::Result<Self> {
        super::start_logs("warn")?;
        let redis = RedisConfig::from_environment(&process_environment)?;
        let streams = Streams::from_environment(&process_environment)?;
        let stored = stores().await?.archive;
        // Without the keys, archived events are read without looking at their signatures.
        let archive = match ["REEL_MASTER_KEY", "REEL_SIGNING_KEY"]
            .iter()
            .all(|name| process_environment(name).is_some())
        {
            true => {
                let keys = KeysConfig::from_environment(&process_environment)?.public_keys();
                Archive::stored_in(stored, keys)
            }
            false => Archive::unverified(stored),
        };
        let (log, queue) = app::connect_log(&redis, archive, &streams).await?;
        let mut executor = Executor::new(log, Clock::system());
        if ["DATABASE_URL", "REEL_MASTER_KEY"].iter().all(|name| process_environment(name).is_some()) {
            executor = executor.with_vault(vault(&connect_postgres().await?)?);
        }
        Ok(Self { executor, queue, streams })
    }

    /// With the read models; gives the connections to Postgres, too.
    pub async fn with_postgres() -> anyhow::Result<(Self, PgPool)> {
        let mut operator = Self::connect().await?;
        let pool = connect_postgres().await?;
        let vault = vault(&pool)?;
        vault.migrate().await?;
        operator.executor = operator.executor.with_vault(vault);
        Ok((operator, pool))
    }

    /// What read models are made of.
    pub fn sources(&self, pool: &PgPool) -> Sources {
        Sources {
            log: self.log().clone(),
            codec: self.executor.codec().clone(),
            pool: pool.clone(),
            status_kept_after_end: self.streams.retention.status_view,
        }
    }

    pub fn log(&self) -> &EventLog {
        self.executor.log()
    }

    /// Who is recorded as the cause of what is done here.
    pub fn actor(&self) -> Actor {
        let user = process_environment("USER").unwrap_or_else(|| "operator".to_owned());
        Actor::User(format!("operator {user}"))
    }

    pub async fn order<I: Id>(&self, id: I, command: CommandOf<I>) -> anyhow::Result<State<I>> {
        let origin = Origin::new(self.actor());
        match self.executor.execute(id, command, &origin, None).await {
            Ok(executed) => Ok(executed.loaded.into_state()),
            Err(execute::Error::Rejected(rejection)) => bail!("{} {id}: {rejection}", I::KIND),
            Err(error) => Err(error.into()),
        }
    }
}

/// The stores of the settings, without those that a role needs besides.
pub async fn stores() -> anyhow::Result<Stores> {
    let env = &process_environment;
    let settings = StorageSettings::from_environment(env)?;
    let (media, archive) =
        (MediaConfig::from_environment(env)?.root, ArchiveConfig::from_environment(env).root);
    // What failed must be seen while S3 is away, too.
    Ok(Stores::unchecked(&settings, &media, &archive).await)
}

/// All read models.
pub fn read_models(operator: &Operator, pool: &PgPool) -> Vec<Arc<dyn Rebuildable>> {
    projections::all(&operator.sources(pool))
}

pub async fn connect_postgres() -> anyhow::Result<PgPool> {
    Ok(postgres::connect(&PostgresConfig::from_environment(&process_environment)?.url).await?)
}

fn vault(pool: &PgPool) -> anyhow::Result<Vault> {
    Ok(Vault::new(pool.clone(), KeysConfig::from_environment(&process_environment)?.master))
}

pub async fn dead_letters(command: DeadLetters) -> anyhow::Result<()> {
    let operator = Operator::connect().await?;
    match command {
        DeadLetters::List => list(&operator).await,
        DeadLetters::Show { job_id } => show(&operator, job_id).await,
        DeadLetters::Replay { job_id, from } => {
            let from = from.as_deref().map(stage).transpose()?;
            let job = operator.order(job_id, job::Command::Reprocess { from }).await?;
            let stage = job.open_work.first().map(|item| item.stage).context("nothing was scheduled")?;
            say(format!("job {job_id} begins again at {stage}"))
        }
        DeadLetters::Discard { job_id, reason } => {
            operator.order(job_id, job::Command::Discard { reason }).await?;
            say(format!("job {job_id} stays failed, and is no dead letter any more"))
        }
    }
}

fn stage(name: &str) -> anyhow::Result<Stage> {
    let names = Stage::ALL.map(Stage::name).join(", ");
    Stage::parse(name).with_context(|| format!("there is no stage `{name}`; the stages are {names}"))
}

async fn list(operator: &Operator) -> anyhow::Result<()> {
    for (id, at_ms) in operator.queue.dead_letters().await? {
        let job_id = JobId::of(id);
        let at = DateTime::<Utc>::from_timestamp_millis(at_ms as i64).unwrap_or_default();
        let loaded = match operator.executor.load(job_id).await {
            Ok(loaded) => loaded,
            // The others can be shown all the same.
            Err(error @ execute::Error::Decode { .. }) if !error.is_retryable() => {
                say(format!("{}  {job_id}  {}", at.format("%Y-%m-%dT%H:%M:%SZ"), chain(&error)))?;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let Some((stage, failure)) = &loaded.state.failure else { continue };
        say(format!(
            "{}  {job_id}  {stage}  {}  {}  {}",
            at.format("%Y-%m-%dT%H:%M:%SZ"),
            failure.code,
            loaded.state.user_id,
            failure.message
        ))?;
    }
    Ok(())
}

async fn show(operator: &Operator, job_id: JobId) -> anyhow::Result<()> {
    let job = operator.executor.load(job_id).await?.into_state();
    if job.status == Status::Unknown {
        bail!("there is no job {job_id}");
    }
    let Some((stage, failure)) = &job.failure else { bail!("job {job_id} has not failed") };
    let attempts: Vec<_> = job
        .stages
        .iter()
        .map(|(stage, progress)| json!({ "stage": stage, "attempts": progress.attempts }))
        .collect();
    let events = operator.log().history(job_id.aggregate(), 0).await?;
    let letter = json!({
        "job_id": job_id,
        "user_id": job.user_id,
        "topic": job.request.as_ref().map(|request| &request.topic),
        "requested_at": job.requested_at,
        "failed_at": job.ended_at,
        "stage": stage,
        "error": failure,
        "is_discarded": job.is_discarded,
        "attempts": attempts,
        "events": events,
    });
    say(serde_json::to_string_pretty(&letter)?)
}

pub async fn queues(command: Queues) -> anyhow::Result<()> {
    let operator = Operator::connect().await?;
    match command {
        Queues::Show => {
            say(format!("{:<20}{:>10}{:>10}", "stage", "waiting", "taken"))?;
            for stage in Stage::ALL {
                let depth = operator.queue.depth(stage).await?;
                say(format!("{:<20}{:>10}{:>10}", stage.name(), depth.waiting, depth.taken))?;
            }
            say(format!("delayed: {}", operator.queue.delayed().await?))?;
            say(format!("open jobs: {}", operator.queue.open().await?))?;
            say(format!("dead letters: {}", operator.queue.dead_letters().await?.len()))
        }
        Queues::Rebuild => {
            for partition in operator.queue.keys().partitions() {
                let found = rebuild(&operator.executor, &operator.queue, partition).await?;
                say(format!(
                    "partition {partition}: {} open jobs, {} pieces of work, {} dead letters, {} unreadable jobs",
                    found.open_jobs, found.pieces, found.dead_letters, found.unreadable
                ))?;
            }
            Ok(())
        }
    }
}
