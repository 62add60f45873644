//! `reel projections`: what an operator does about read models.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;

use super::operator::{Operator, read_models};
use super::say;
use crate::projections::halts;
use crate::projections::lag;
use crate::projections::rebuild::{self, Differences, Progress, ReadModel};

#[derive(Subcommand)]
pub enum Projections {
    /// One line for each: name, events behind, where it is halted
    List,
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
    /// Leave out, for good, the event that a projection is halted at; it is recorded in the log
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
        let names: Vec<&str> = models.iter().map(ReadModel::name).collect();
        let found = models.iter().find(|model| model.name() == name);
        found.with_context(|| format!("there is no projection `{name}`; there are {}", names.join(", ")))
    };
    match command {
        Projections::List => list(&operator, &models).await,
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
            let halts = halts::all(operator.log()).await?;
            let is_there =
                |halt: &&halts::Halt| (&halt.projection, halt.partition, halt.seq) == (&name, partition, seq);
            let halt = halts.iter().find(is_there).with_context(|| {
                format!("{name} is not halted there; only the event that a projection waits at can be skipped (`reel projections list`)")
            })?;
            halts::skip(&operator.executor, halt, &reason, operator.actor()).await?;
            say(format!("{name} leaves out event {seq} of partition {partition}"))
        }
    }
}

async fn list(operator: &Operator, models: &[ReadModel]) -> anyhow::Result<()> {
    let halts = halts::all(operator.log()).await?;
    for model in models {
        let behind = lag(operator.log(), model.served().as_ref()).await?;
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
    }
    Ok(())
}

async fn status(operator: &Operator, model: &ReadModel) -> anyhow::Result<()> {
    say(format!("{:<10}{:>10}{:>12}{:>12}", model.name(), "partition", "checkpoint", "head"))?;
    for partition in operator.log().keys().partitions() {
        let (at, head) = (model.served().checkpoint(partition).await?, operator.log().head(partition).await?);
        say(format!("{:<10}{partition:>10}{at:>12}{head:>12}", ""))?;
    }
    Ok(())
}

/// Shows how far it is while `work` goes on.
async fn with_bar<T, E, F: Future<Output = Result<T, E>>>(
    name: &str,
    work: impl FnOnce(Arc<watch::Sender<Option<Progress>>>) -> F,
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
