//! `reel backup` and `reel restore`: a copy of everything that cannot be made again, and the way back.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};
use chrono::SecondsFormat;
use clap::{Args, ValueEnum};
use sqlx::PgPool;

use super::operator::{self, Operator};
use super::say;
use crate::app;
use crate::audit::{Notary, SealLog, Seals};
use crate::backup::{self, Part, Place, Plan, Restored, Source, Target};
use crate::config::{ArchiveConfig, KeysConfig, MediaConfig, RedisConfig, process_environment};
use crate::erasure::Erasure;
use crate::erasure::register::Register;
use crate::postgres;
use crate::storage::S3Settings;

/// The scheme of a bucket.
const S3_SCHEME: &str = "s3://";

#[derive(Args)]
pub struct Backup {
    /// An empty folder, or s3://BUCKET/PREFIX
    place: String,
    /// Copy videos and uploads, too; else they are only compared with the log where they are
    #[arg(long)]
    files: bool,
}

#[derive(Args)]
pub struct Restore {
    /// The folder of a backup, or s3://BUCKET/PREFIX
    place: String,
    /// Only verify the backup, and say what would be restored. The tables of an empty database are made
    #[arg(long)]
    dry_run: bool,
    /// Restore what one store has lost, beside a log that is there
    #[arg(long, value_name = "PART")]
    only: Option<Only>,
    /// Go on with a restore that was interrupted
    #[arg(long, conflicts_with = "only")]
    resume: bool,
    /// Restore although events that were sealed are nowhere any more
    #[arg(long)]
    accept_loss: bool,
    /// Restore although the register of erasures is lost: users who were erased after the backup become readable again
    #[arg(long)]
    erasures_unknown: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Only {
    /// Keys of users' content, and seals: what PostgreSQL alone knows
    Keys,
    /// Videos and uploads that are missing or damaged
    Files,
}

pub async fn backup(arguments: Backup) -> anyhow::Result<()> {
    let began = Instant::now();
    let place = open(&arguments.place).await?;
    let (operator, pool) = Operator::with_postgres().await?;
    let stores = operator::stores().await?;
    let source = Source {
        log: operator.log().clone(),
        address: app::address(&RedisConfig::from_environment(&process_environment)?)?,
        vault: operator.executor.codec().vault().context("there is no vault")?.clone(),
        notary: notary(&operator, &pool)?,
        register: Register::new(stores.archive.clone()),
        files: stores.files,
        segment_events: operator.streams.audit.segment_events,
        temporary: MediaConfig::from_environment(&process_environment)?.root.join("incoming"),
    };
    let taken = backup::take(&source, &place, arguments.files).await?;
    let manifest = &taken.manifest;
    let events: u64 = manifest.partitions.iter().map(|cut| cut.seq).sum();
    say(format!("{events} events in {} partitions", manifest.partitions.len()))?;
    for part in &manifest.parts {
        say(format!("{}: {} rows", part.name, part.rows))?;
    }
    let done = if manifest.files.are_copied { "copied" } else { "compared with the log, not copied" };
    say(format!("{} stored files, {} bytes: {done}", manifest.files.files, manifest.files.bytes))?;
    for id in &taken.unreadable {
        say(format!("unreadable: the events of {id} are in the backup, its files are not"))?;
    }
    for fault in &taken.faults {
        say(format!("{:<10}{}", fault.what, fault.key))?;
    }
    let as_of = manifest.taken_at.to_rfc3339_opts(SecondsFormat::Secs, true);
    say(format!(
        "the backup of {as_of} is in {}; it took {:.1} s",
        place.name,
        began.elapsed().as_secs_f64()
    ))?;
    match taken.faults.len() + taken.unreadable.len() {
        0 => Ok(()),
        faults => bail!("the backup is complete but for {faults} files or jobs, as listed above"),
    }
}

pub async fn restore(arguments: Restore) -> anyhow::Result<()> {
    let began = Instant::now();
    let place = open(&arguments.place).await?;
    postgres::migrate(&operator::connect_postgres().await?).await?;
    let (operator, pool) = Operator::with_postgres().await?;
    let target = target(operator, &pool).await?;
    let part = match arguments.only {
        None => Part::All,
        Some(Only::Keys) => Part::Keys,
        Some(Only::Files) => Part::Files,
    };
    let plan = Plan::make(&place, &target, part, arguments.resume).await?;
    describe(&plan, began)?;
    let checked = plan.check(arguments.accept_loss, arguments.erasures_unknown);
    if arguments.dry_run {
        checked?;
        return say("nothing was changed");
    }
    checked?;
    let restored = target.restore(&place, &plan).await?;
    tell(&restored)?;
    say(format!("the restore took {:.1} s in all", began.elapsed().as_secs_f64()))?;
    finish(&restored)
}

/// Opens a folder, or a part of a bucket, at the endpoint and with the credentials of the environment.
async fn open(place: &str) -> anyhow::Result<Place> {
    let Some(bucket) = place.strip_prefix(S3_SCHEME) else { return Ok(Place::folder(Path::new(place))) };
    let (bucket, prefix) = bucket.split_once('/').unwrap_or((bucket, ""));
    let prefix = Some(prefix.trim_matches('/')).filter(|prefix| !prefix.is_empty());
    Ok(Place::bucket(&S3Settings::of_bucket(&process_environment, bucket)?, prefix).await)
}

fn notary(operator: &Operator, pool: &PgPool) -> anyhow::Result<Notary> {
    let keys = KeysConfig::from_environment(&process_environment)?;
    Ok(Notary {
        log: operator.log().clone(),
        seals: Seals::new(pool.clone()),
        seal_log: SealLog::new(&ArchiveConfig::from_environment(&process_environment).seals_log),
        public_keys: keys.public_keys(),
        key: keys.signing,
    })
}

async fn target(operator: Operator, pool: &PgPool) -> anyhow::Result<Target> {
    let media = MediaConfig::from_environment(&process_environment)?.root;
    let (stores, sources) = (operator::stores().await?, operator.sources(pool));
    let executor = operator.executor.clone();
    Ok(Target {
        notary: notary(&operator, pool)?,
        seal_every: operator.streams.audit.seal_every,
        register: Register::new(stores.archive.clone()),
        files: stores.files.clone(),
        temporary: media.join("incoming"),
        erasure: Erasure::new(executor, &sources, &media, stores, operator.actor()),
        sources,
        queue: operator.queue,
        executor: operator.executor,
    })
}

/// Says what a backup holds, and what its restore means here.
fn describe(plan: &Plan, began: Instant) -> anyhow::Result<()> {
    let manifest = &plan.manifest;
    let as_of = manifest.taken_at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let took = began.elapsed().as_secs_f64();
    say(format!(
        "the backup of {as_of}, made by reel {}, is whole; verified in {took:.1} s",
        manifest.version
    ))?;
    for end in plan.ends.iter().filter(|_| plan.part == Part::All) {
        let beyond = end.restored - end.backup.max(end.present);
        let there = if end.present > 0 { format!(", {} are there", end.present) } else { String::new() };
        say(format!(
            "partition {}: {} events{there}, {beyond} newer ones in the archive",
            end.partition, end.backup
        ))?;
    }
    let copied = if manifest.files.are_copied { "in the backup" } else { "listed, but not in the backup" };
    say(format!(
        "{} keys of users' content, {} seals, {} idempotency keys and promises, {} stored files {copied}",
        plan.keys.len(),
        plan.seals.len(),
        plan.expiring.len(),
        plan.files.len()
    ))?;
    for user in &plan.erased {
        say(format!("erased after the backup, and erased again: {user}"))?;
    }
    if !plan.ahead.is_empty() {
        say(format!("ahead of what is restored, and filled anew: {}", plan.ahead.join(", ")))?;
    }
    for lost in &plan.lost {
        let sealed_at = lost.sealed_at.to_rfc3339_opts(SecondsFormat::Secs, true);
        say(format!(
            "lost: events {} to {} of partition {}, sealed until {sealed_at}",
            lost.first, lost.last, lost.partition
        ))?;
    }
    Ok(())
}

fn tell(restored: &Restored) -> anyhow::Result<()> {
    for step in &restored.steps {
        say(format!("{:>8.1} s  {}", step.took.as_secs_f64(), step.what))?;
    }
    for fault in &restored.files.missing {
        say(format!("{:<10}{}", fault.what, fault.key))?;
    }
    for key in &restored.refused_keys {
        say(format!(
            "key {} of user {} is not restored: the user has another key, made since. What the old key encrypted stays unreadable",
            key.key_id, key.user_id
        ))?;
    }
    restored.left.iter().try_for_each(say)?;
    restored.reports.iter().flat_map(|report| &report.findings).try_for_each(say)
}

/// Succeeds when everything is as it was.
fn finish(restored: &Restored) -> anyhow::Result<()> {
    let (missing, keys) = (restored.files.missing.len(), restored.refused_keys.len());
    let findings: usize = restored.reports.iter().map(|report| report.findings.len()).sum();
    if missing + keys + findings + restored.left.len() > 0 {
        bail!(
            "the restore is done, but not everything is as it was: {missing} files, {keys} keys, {findings} findings, {} more, as listed above",
            restored.left.len()
        );
    }
    let events: u64 = restored.reports.iter().map(|report| report.events).sum();
    let seals: u64 = restored.reports.iter().map(|report| report.seals).sum();
    match restored.reports.is_empty() {
        true => Ok(()),
        false => say(format!(
            "every one of {events} events is as it was recorded, and {seals} seals hold; start the roles"
        )),
    }
}
