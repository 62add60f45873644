//! `reel audit`: proving what happened to a job, or to all of them.

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::operator::Operator;
use super::say;
use crate::audit::{self, Report, SealLog, Seals, Verifier, verify_job};
use crate::config::{ArchiveConfig, KeysConfig, process_environment};
use crate::events::{Envelope, EventLog};
use crate::ids::JobId;
use crate::projections::catalog::Catalog;
use crate::projections::trail::Trail;

#[derive(Subcommand)]
pub enum Audit {
    /// The events of a job as they are recorded, one JSON object a line
    History { job_id: JobId },
    /// What the job was at a version or a time, as JSON
    State {
        job_id: JobId,
        /// A version, such as 12, or a time, such as 2026-11-21T10:00:00Z [default: now]
        #[arg(long)]
        at: Option<String>,
    },
    /// What changed between two versions or times, one line for each value
    Diff {
        job_id: JobId,
        /// A version or a time
        #[arg(long)]
        from: String,
        /// A version or a time
        #[arg(long)]
        to: String,
    },
    /// Search a job, or without one the whole log and archive, for anything that is not as it was recorded; exit
    /// status 1 when there is something
    Verify {
        job_id: Option<JobId>,
        /// Seals that were made late, such as after an outage, are known and explained up to this time
        #[arg(long, value_name = "TIME", conflicts_with = "job_id")]
        gaps_known_until: Option<DateTime<Utc>>,
    },
    /// Put seals of seals.log back that the database lacks, such as after it was restored from a backup
    RestoreSeals,
    /// Everything that somebody else needs in order to verify a job, as JSON: its events, and the seals and public keys
    Export { job_id: JobId },
}

pub async fn audit(command: Audit) -> anyhow::Result<()> {
    let (operator, pool) = Operator::with_postgres().await?;
    let log = operator.log();
    let catalog = Catalog::new(pool.clone(), log.clone(), operator.executor.codec().clone());
    match command {
        Audit::History { job_id } => {
            history(log, job_id).await?.iter().try_for_each(|event| say(serde_json::to_string(event)?))
        }
        Audit::State { job_id, at } => {
            let version = version_at(&history(log, job_id).await?, at.as_deref().unwrap_or("now"))?;
            let state = state_of(&catalog, job_id, version).await?;
            say(serde_json::to_string_pretty(&state)?)
        }
        Audit::Diff { job_id, from, to } => {
            let events = history(log, job_id).await?;
            let from = state_of(&catalog, job_id, version_at(&events, &from)?).await?;
            let to = state_of(&catalog, job_id, version_at(&events, &to)?).await?;
            let mut lines = vec![];
            changes("", &from, &to, &mut lines);
            lines.into_iter().try_for_each(say)
        }
        Audit::Verify { job_id: Some(job_id), .. } => {
            history(log, job_id).await?;
            let report = verify_job(log, &Trail::new(pool), job_id).await?;
            tell(&[report])
        }
        Audit::Verify { job_id: None, gaps_known_until } => {
            let verifier = Verifier {
                log: log.clone(),
                trail: Trail::new(pool.clone()),
                seals: Seals::new(pool),
                seal_log: SealLog::new(&ArchiveConfig::from_environment(&process_environment).seals_log),
                public_keys: KeysConfig::from_environment(&process_environment)?.public_keys(),
                seal_every: operator.streams.audit.seal_every,
                gaps_known_until,
            };
            let mut reports = vec![];
            for partition in log.keys().partitions() {
                reports.push(verifier.verify_partition(partition, Utc::now()).await?);
            }
            tell(&reports)
        }
        Audit::RestoreSeals => restore_seals(log, &Seals::new(pool)).await,
        Audit::Export { job_id } => {
            let proof = export(log, &pool, job_id).await?;
            say(serde_json::to_string_pretty(&proof)?)
        }
    }
}

async fn history(log: &EventLog, job_id: JobId) -> anyhow::Result<Vec<Envelope>> {
    let events = log.history(job_id.aggregate(), 0).await?;
    if events.is_empty() {
        bail!("there is no job {job_id}");
    }
    Ok(events)
}

/// The version that a number, a time or `now` means: of a time, the last one that was recorded by then.
fn version_at(events: &[Envelope], at: &str) -> anyhow::Result<u64> {
    let last = events.len() as u64;
    if at == "now" {
        return Ok(last);
    }
    if let Ok(version) = at.parse::<u64>() {
        if (1..=last).contains(&version) {
            return Ok(version);
        }
        bail!("there is no version {version}; the job has versions 1 to {last}");
    }
    let time = DateTime::parse_from_rfc3339(at)
        .with_context(|| format!("`{at}` is neither a version nor a time such as 2026-11-21T10:00:00Z"))?
        .with_timezone(&Utc);
    let version = audit::version_at(events, time);
    if version == 0 {
        bail!("the job did not exist at {at}; it was requested at {}", events[0].recorded_at);
    }
    Ok(version)
}

async fn state_of(catalog: &Catalog, job_id: JobId, version: u64) -> anyhow::Result<Value> {
    let folded = catalog.folded(job_id, version).await?;
    Ok(folded.context("the job has no state: its first event is not a request")?.to_json())
}

/// One line for each value that differs: its path, what it was, what it is.
fn changes(path: &str, from: &Value, to: &Value, lines: &mut Vec<String>) {
    let at = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (from, to) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let of = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                changes(&at(key), &of(a), &of(b), lines);
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for index in 0..a.len().max(b.len()) {
                let of = |list: &[Value]| list.get(index).cloned().unwrap_or_default();
                changes(&at(&index.to_string()), &of(a), &of(b), lines);
            }
        }
        (a, b) if a == b => {}
        (a, b) => lines.push(format!("{path}: {a} -> {b}")),
    }
}

fn tell(reports: &[Report]) -> anyhow::Result<()> {
    for finding in reports.iter().flat_map(|report| &report.findings) {
        say(finding)?;
    }
    let sum = |value: fn(&Report) -> u64| reports.iter().map(value).sum::<u64>();
    let more = sum(|report| report.more_findings);
    if more > 0 {
        say(format!("and {more} more"))?;
    }
    let checked = format!(
        "{} events of {} histories, {} seals",
        sum(|report| report.events),
        sum(|report| report.aggregates),
        sum(|report| report.seals)
    );
    if reports.iter().all(Report::is_clean) {
        return say(format!("all is as it was recorded: {checked}"));
    }
    let found = sum(|report| report.findings.len() as u64) + more;
    bail!("{found} findings in {checked}")
}

/// Adds the seals of the file that are signed and that the database lacks.
async fn restore_seals(log: &EventLog, seals: &Seals) -> anyhow::Result<()> {
    let seal_log = SealLog::new(&ArchiveConfig::from_environment(&process_environment).seals_log);
    let keys = KeysConfig::from_environment(&process_environment)?.public_keys();
    for partition in log.keys().partitions() {
        let there = seals.all(partition).await?;
        let mut restored = 0;
        for seal in seal_log.all(partition).await?.iter().filter(|seal| !there.contains(seal)) {
            if !seal.is_signed_by_any(&keys) {
                say(format!(
                    "partition {partition}: the seal at {} is not signed with a known key",
                    seal.seq
                ))?;
            } else if seals.add(seal).await? {
                restored += 1;
            } else {
                say(format!("partition {partition}: the seal at {} has another one in its place", seal.seq))?;
            }
        }
        say(format!("partition {partition}: {restored} seals are back"))?;
    }
    say("`reel audit verify` compares them with the log")
}

async fn export(log: &EventLog, pool: &PgPool, job_id: JobId) -> anyhow::Result<Value> {
    let keys = KeysConfig::from_environment(&process_environment)?;
    let events = history(log, job_id).await?;
    let exported_at = Utc::now();
    let head = events.last().map(|event| event.hash.clone()).unwrap_or_default();
    let statement =
        format!("reelstream history 1 {job_id} {} {head} {}", events.len(), exported_at.to_rfc3339());
    let partition = log.keys().partition_of(job_id.aggregate());
    let recorded: Vec<Value> = events.iter().map(recorded).collect();
    Ok(json!({
        "job_id": job_id,
        "partition": partition,
        "fields": Envelope::FIELDS,
        "events": recorded,
        "sequence_numbers": log.listed(job_id.aggregate()).await?,
        "seals": Seals::new(pool.clone()).all(partition).await?,
        "statement": statement,
        "signature": keys.signing.sign(&statement),
        "public_keys": keys.public_keys(),
    }))
}

/// The values of an event as its hash covers them, in the order of their names.
fn recorded(event: &Envelope) -> Value {
    let mut values = vec![];
    event.each_value(|_, value| values.push(String::from_utf8_lossy(value).into_owned()));
    json!(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_by_path() {
        let mut lines = vec![];
        let (from, to) =
            (json!({"a": 1, "b": {"c": [1, 2]}, "d": 0}), json!({"a": 1, "b": {"c": [1, 3, 4]}, "e": "x"}));
        changes("", &from, &to, &mut lines);
        assert_eq!(lines, ["b.c.1: 2 -> 3", "b.c.2: null -> 4", "d: 0 -> null", "e: null -> \"x\""]);
    }
}
