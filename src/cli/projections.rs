//! `reel projections`: what an operator does about read models.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;
use uuid::Uuid;

use super::operator::{Operator, read_models};
use super::say;
use crate::erasure::unreadable::{self, Closed};
use crate::ids::{AggregateId, JobId};
use crate::projections::decisions::{self, Decisions};
use crate::projections::quarantine::{self, Quarantined};
use crate::projections::rebuild::{self, Differences, Progress, Progresses, Rebuildable};
use crate::projections::{halts, lag};

/// How long to wait for a projector to take an aggregate up.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Subcommand)]
pub enum Projections {
    /// One line for each: name, events behind, where it is halted, and what it passes over
    List,
    /// The aggregates that one passes over, as JSON: from which event on, since when, and why
    Show { name: String },
    /// The checkpoints of each partition
    Status { name: Option<String> },
    /// Fill another edition from the log beside the one that is served, compare, and switch; goes on where an
    /// interrupted one has got to
    Rebuild {
        name: String,
        /// Forget what an interrupted rebuild has done
        #[arg(long)]
        restart: bool,
    },
    /// Fold the log and list every row that is not what it leads to; exit status 1 when there are some
    Verify { name: String },
    /// Take up an aggregate that a projection passes over, once its events can be applied; it is recorded in the log
    Release {
        name: String,
        /// As `list` shows it, such as a job id
        aggregate_id: Uuid,
        /// Why; it is recorded
        #[arg(long, default_value = "released by an operator")]
        reason: String,
    },
    /// End an open job whose events this version cannot read, so that it counts as open no more
    Close { job_id: JobId },
    /// Leave out one event for good: the one that a projection is halted at, or one of an aggregate that it passes over;
    /// it is recorded in the log
    Skip {
        name: String,
        partition: u16,
        /// The event's sequence number, as `list` shows it
        seq: u64,
        /// Why; it is recorded
        #[arg(long)]
        reason: String,
    },
}

pub async fn projections(command: Projections) -> anyhow::Result<()> {
    let (operator, pool) = Operator::with_postgres().await?;
    let (log, models) = (operator.log(), read_models(&operator, &pool));
    let find = |name: &str| {
        let names: Vec<&str> = models.iter().map(|model| model.name()).collect();
        let found = models.iter().find(|model| model.name() == name);
        found.with_context(|| format!("there is no projection `{name}`; there are {}", names.join(", ")))
    };
    match command {
        Projections::List => list(&operator, &models).await,
        Projections::Show { name } => show_quarantined(&operator, find(&name)?).await,
        Projections::Release { name, aggregate_id, reason } => {
            release(&operator, find(&name)?, AggregateId(aggregate_id), &reason).await
        }
        Projections::Close { job_id } => {
            match unreadable::close(&operator.executor, &operator.queue, &operator.actor(), job_id, false)
                .await?
            {
                Closed::Now => say(format!("job {job_id} is cancelled")),
                Closed::Before => say(format!("job {job_id} is not open")),
                Closed::Readable => bail!(
                    "the events of job {job_id} can be read, so it can be cancelled as any other: `reel cancel {job_id}`"
                ),
            }
        }
        Projections::Status { name: Some(name) } => status(&operator, find(&name)?).await,
        Projections::Status { name: None } => {
            for model in &models {
                status(&operator, model).await?;
            }
            Ok(())
        }
        Projections::Rebuild { name, restart } => {
            let model = find(&name)?;
            let differences =
                with_bar(
                    &name,
                    |progress| async move { rebuild::rebuild(log, model, restart, &progress).await },
                )
                .await?;
            tell(&differences)?;
            say(format!("{name} was rebuilt; {} rows had been other than the log says", differences.count))
        }
        Projections::Verify { name } => {
            let model = find(&name)?;
            let differences =
                with_bar(&name, |progress| async move { rebuild::verify(log, model, &progress).await })
                    .await?;
            tell(&differences)?;
            if differences.count > 0 {
                bail!(
                    "{name}: {} rows are not what the log says; `reel projections rebuild {name}` mends that",
                    differences.count
                );
            }
            say(format!("{name} is what the log says"))
        }
        Projections::Skip { name, partition, seq, reason } => {
            find(&name)?;
            if !may_be_skipped(&operator, &name, partition, seq).await? {
                bail!(
                    "{name} is not halted there, and does not pass over that event; only such an event can be skipped \
                     (`reel projections list`)"
                );
            }
            let place = (partition, seq);
            decisions::record_skip(&operator.executor, &name, place, &reason, operator.actor()).await?;
            say(format!("{name} leaves out event {seq} of partition {partition}"))
        }
    }
}

async fn list(operator: &Operator, models: &[Arc<dyn Rebuildable>]) -> anyhow::Result<()> {
    let halts = halts::all(operator.log()).await?;
    let quarantined = quarantine::all(operator.log()).await?;
    for model in models {
        let behind = lag(operator.log(), model.as_ref()).await?;
        say(format!("{:<10}{behind:>10} events behind", model.name()))?;
        for halt in halts.iter().filter(|halt| halt.projection == model.name()) {
            say(format!(
                "  halted since {} at event {} of partition {}: {}",
                halt.since.format("%Y-%m-%dT%H:%M:%SZ"),
                halt.seq,
                halt.partition,
                halt.error
            ))?;
        }
        for (_, partition, of) in quarantined.iter().filter(|(projection, ..)| projection == model.name()) {
            say(format!(
                "  passes over {} {} since {}, from event {} of partition {partition} on: {}",
                of.aggregate,
                of.aggregate_id,
                of.since.format("%Y-%m-%dT%H:%M:%SZ"),
                of.seq,
                of.error
            ))?;
        }
    }
    Ok(())
}

async fn show_quarantined(operator: &Operator, model: &Arc<dyn Rebuildable>) -> anyhow::Result<()> {
    let mut all: Vec<Quarantined> = vec![];
    for partition in operator.log().keys().partitions() {
        all.extend(model.quarantined(partition).await?);
    }
    say(serde_json::to_string_pretty(&all)?)
}

/// Whether a projection is halted at an event, or passes over its aggregate.
async fn may_be_skipped(operator: &Operator, name: &str, partition: u16, seq: u64) -> anyhow::Result<bool> {
    let halts = halts::all(operator.log()).await?;
    if halts.iter().any(|halt| (halt.projection.as_str(), halt.partition, halt.seq) == (name, partition, seq))
    {
        return Ok(true);
    }
    let quarantined = quarantine::all(operator.log()).await?;
    let event = operator.log().read(partition, seq.saturating_sub(1), 1).await?.pop();
    Ok(event.is_some_and(|(_, event)| {
        quarantined
            .iter()
            .any(|(projection, _, of)| projection == name && of.aggregate_id == event.aggregate_id)
    }))
}

/// Records the release, and waits until a projector has acted on it.
async fn release(
    operator: &Operator,
    model: &Arc<dyn Rebuildable>,
    id: AggregateId,
    reason: &str,
) -> anyhow::Result<()> {
    let (log, name) = (operator.log(), model.name());
    let partition = log.keys().partition_of(id);
    let is_passed_over = async || -> anyhow::Result<bool> {
        Ok(model.quarantined(partition).await?.iter().any(|of| of.aggregate_id == id))
    };
    if !is_passed_over().await? {
        bail!("{name} does not pass over {id} (`reel projections list`)");
    }
    decisions::record_release(&operator.executor, name, partition, id, reason, operator.actor()).await?;
    let began = Instant::now();
    let mut decisions = Decisions::new(name);
    while is_passed_over().await? {
        decisions.refresh(log).await?;
        if let Some((_, declared)) = decisions.quarantined(partition).find(|(of, _)| *of == id) {
            bail!("{name} still cannot apply the events of {id}: {}", declared.error);
        }
        if began.elapsed() > RELEASE_TIMEOUT {
            bail!("the release is recorded, but no projector has acted on it; is one running?");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    say(format!("{name} has taken up {id}"))
}

async fn status(operator: &Operator, model: &Arc<dyn Rebuildable>) -> anyhow::Result<()> {
    say(format!("{:<10}{:>10}{:>12}{:>12}", model.name(), "partition", "checkpoint", "head"))?;
    for partition in operator.log().keys().partitions() {
        let (at, head) = (model.checkpoint(partition).await?, operator.log().head(partition).await?);
        say(format!("{:<10}{partition:>10}{at:>12}{head:>12}", ""))?;
    }
    Ok(())
}

/// Shows how far it is while `work` goes on.
async fn with_bar<T, E, F: Future<Output = Result<T, E>>>(
    name: &str,
    work: impl FnOnce(Arc<Progresses>) -> F,
) -> Result<T, E> {
    let (tell, mut progress) = watch::channel(None);
    let style = ProgressStyle::with_template("{msg} [{bar:40}] {pos}/{len} events, {prefix}")
        .expect("a valid template");
    let bar = ProgressBar::new(0).with_style(style.progress_chars("=> ")).with_message(name.to_owned());
    let working = work(Arc::new(tell));
    tokio::pin!(working);
    let done = loop {
        tokio::select! {
            done = &mut working => break done,
            Ok(()) = progress.changed() => {
                if let Some(progress) = *progress.borrow_and_update() {
                    show(&bar, &progress);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    };
    bar.finish_and_clear();
    done
}

fn show(bar: &ProgressBar, progress: &Progress) {
    bar.set_length(progress.wanted);
    bar.set_position(progress.applied);
    let left = progress.seconds_left().map_or_else(String::new, |seconds| format!(", {seconds:.0} s left"));
    bar.set_prefix(format!("{:.0} a second{left}", progress.events_per_second));
}

fn tell(differences: &Differences) -> anyhow::Result<()> {
    for difference in &differences.shown {
        say(format!("{} {}", difference.table, difference.key))?;
        match (difference.served.as_object(), difference.expected.as_object()) {
            (Some(served), Some(expected)) => {
                for (column, value) in
                    served.iter().filter(|(column, value)| expected.get(*column) != Some(*value))
                {
                    let should = expected.get(column).cloned().unwrap_or_default();
                    say(format!("  {column}: is {value}, the log says {should}"))?;
                }
            }
            (None, _) => say("  is missing")?,
            (_, None) => say("  should not be there")?,
        }
    }
    if differences.count > differences.shown.len() as u64 {
        say(format!("and {} more", differences.count - differences.shown.len() as u64))?;
    }
    Ok(())
}
