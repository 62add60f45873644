//! Decisions of operators about the running system. Each is an event, and all processes follow it within two seconds.

use std::time::Duration;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use clap::Subcommand;

use super::operator::Operator;
use super::say;
use crate::config::Tunable;
use crate::domain::operations::{Command, Decision, Operations as Decided};
use crate::events::{Growth, Layout, Stage};
use crate::execute::{self, Origin};
use crate::ids::OperationsId;
use crate::telemetry;

const MAX_REASON_CHARS: usize = 300;
const LOOK_AGAIN: Duration = Duration::from_millis(500);

#[derive(Subcommand)]
pub enum Operations {
    /// Show the decisions that hold now, and the log's partitions
    Show,
    /// Let workers take no more work of a stage; what they have taken, they finish
    Pause {
        /// initializing, planning, scenario_creation, code_generation, rendering, combining or storage
        #[arg(value_parser = stage)]
        stage: Stage,
        /// Why; it is recorded, and shown in /system/health
        #[arg(long, value_parser = reason)]
        reason: String,
    },
    /// Let workers take work of a stage again
    Resume {
        #[arg(value_parser = stage)]
        stage: Stage,
    },
    /// Accept no new jobs, and finish those that are open
    Drain {
        /// Why; it is recorded, and told to whoever asks for a video
        #[arg(long, value_parser = reason)]
        reason: String,
        /// Return when no job is open
        #[arg(long)]
        wait: bool,
    },
    /// Accept new jobs again
    Accept,
    /// Give a limit or a rate of streams.toml another value, in all processes and until it is reset
    Set {
        /// Such as limits.open_jobs or rate_limits.write
        #[arg(value_parser = setting)]
        name: Tunable,
        /// As in streams.toml; a rate as requests a second and burst, such as 50/500
        value: String,
    },
    /// Give a limit or a rate the value of streams.toml again
    Reset {
        #[arg(value_parser = setting)]
        name: Tunable,
    },
    /// Let processes write other log lines, such as info,reelstream::consumers=debug
    LogFilter {
        #[arg(required_unless_present = "reset")]
        filter: Option<String>,
        /// Write those that they were started to write
        #[arg(long, conflicts_with = "filter")]
        reset: bool,
    },
    /// Use all partitions of streams.toml for new jobs. First restart every process with the higher number
    GrowPartitions,
}

fn stage(text: &str) -> Result<Stage, String> {
    let names = || Stage::ALL.iter().map(|stage| stage.name()).collect::<Vec<_>>().join(", ");
    Stage::parse(text).ok_or_else(|| format!("a stage is one of {}", names()))
}

fn setting(text: &str) -> Result<Tunable, String> {
    let names = || Tunable::ALL.iter().map(|tunable| tunable.name()).collect::<Vec<_>>().join(", ");
    Tunable::parse(text)
        .ok_or_else(|| format!("a setting that can change while processes run is one of {}", names()))
}

fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text.is_empty() || text.chars().count() > MAX_REASON_CHARS || text.chars().any(char::is_control) {
        true => Err(format!("a reason is one line of 1 to {MAX_REASON_CHARS} characters")),
        false => Ok(text.to_owned()),
    }
}

pub async fn operations(command: Operations) -> anyhow::Result<()> {
    let operator = Operator::connect().await?;
    let decide = async |command| decide(&operator, command).await;
    match command {
        Operations::Show => show(&operator).await,
        Operations::Pause { stage, reason } => {
            decide(Command::Pause { stage, reason }).await?;
            say(format!("{stage} is paused; `reel operations resume {stage}` ends it"))
        }
        Operations::Resume { stage } => {
            decide(Command::Resume { stage }).await?;
            say(format!("work of {stage} is taken again"))
        }
        Operations::Drain { reason, wait } => {
            decide(Command::StartDrain { reason }).await?;
            say("no new jobs are accepted; `reel operations accept` ends it")?;
            if wait { until_empty(&operator).await } else { Ok(()) }
        }
        Operations::Accept => {
            decide(Command::EndDrain).await?;
            say("new jobs are accepted again")
        }
        Operations::Set { name, value } => {
            name.set(&mut operator.streams.clone(), &value)?;
            decide(Command::Set { name: name.name().to_owned(), value: value.clone() }).await?;
            say(format!("{} is {value} in all processes; `reel operations reset {0}` ends it", name.name()))
        }
        Operations::Reset { name } => {
            decide(Command::Reset { name: name.name().to_owned() }).await?;
            say(format!("{} has the value of streams.toml again", name.name()))
        }
        Operations::LogFilter { filter: Some(filter), .. } => {
            telemetry::check_filter(&filter)
                .map_err(|reason| anyhow::anyhow!("`{filter}` is no log filter: {reason}"))?;
            decide(Command::SetLogFilter { filter }).await?;
            say("the log filter holds in all processes; `reel operations log-filter --reset` ends it")
        }
        Operations::LogFilter { filter: None, .. } => {
            decide(Command::ResetLogFilter).await?;
            say("processes write the log lines that they were started to write")
        }
        Operations::GrowPartitions => grow(&operator).await,
    }
}

async fn decide(operator: &Operator, command: Command) -> anyhow::Result<()> {
    let origin = Origin::standalone(operator.actor());
    match operator.executor.execute(OperationsId::of_system(), command, &origin, None).await {
        Ok(_) => Ok(()),
        Err(execute::Error::Rejected(rejection)) => Err(rejection.into()),
        Err(error) => Err(error.into()),
    }
}

async fn show(operator: &Operator) -> anyhow::Result<()> {
    let Decided { paused, drain, settings, log_filter, growths: _ } =
        operator.executor.load(OperationsId::of_system()).await?.into_state();
    let since = |Decision { reason, since }: &Decision| {
        format!("since {}: {reason}", since.format("%Y-%m-%dT%H:%M:%SZ"))
    };
    match &drain {
        Some(drain) => say(format!("new jobs: none are accepted {}", since(drain)))?,
        None => say("new jobs: accepted")?,
    }
    for (stage, pause) in &paused {
        say(format!("{stage}: paused {}", since(pause)))?;
    }
    for (name, value) in &settings {
        let own =
            Tunable::parse(name).map_or("unknown here".to_owned(), |tunable| tunable.get(&operator.streams));
        say(format!("{name}: {value} (streams.toml: {own})"))?;
    }
    if let Some(filter) = log_filter {
        say(format!("log filter: {filter}"))?;
    }
    say(partitions(&operator.log().keys().layout(), operator.streams.partitions))
}

fn partitions(layout: &Layout, served: u16) -> String {
    let mut text = format!("partitions: {}", layout.begun_with);
    for Growth { from_ms, partitions } in &layout.grown {
        let from = time(*from_ms).format("%Y-%m-%dT%H:%M:%SZ");
        text += &format!(", {partitions} for what is made from {from} on");
    }
    if served > layout.partitions() {
        text += &format!(" (streams.toml has {served}: `reel operations grow-partitions` uses them)");
    }
    text
}

fn time(ms: u64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms as i64).unwrap_or_default()
}

async fn until_empty(operator: &Operator) -> anyhow::Result<()> {
    let mut told = None;
    loop {
        let open = operator.queue.open().await?;
        if told != Some(open) {
            say(format!("{open} jobs are open"))?;
            told = Some(open);
        }
        if open == 0 {
            return Ok(());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn grow(operator: &Operator) -> anyhow::Result<()> {
    let grown = operator.log().grow().await;
    let layout = operator.log().keys().layout();
    // A growth may have been interrupted before it was recorded.
    if let Some(archive) = operator.log().archive() {
        archive.write_layout(&layout).await.context("the archive does not take the layout; try again")?;
    }
    for (before, Growth { from_ms, partitions }) in layout.grown.iter().enumerate() {
        let command =
            Command::NoteGrowth { number: before as u64 + 1, partitions: *partitions, from: time(*from_ms) };
        decide(operator, command).await?;
    }
    let Some(last) = grown?.grown.pop() else { bail!("the log has not grown") };
    say(format!(
        "jobs that are requested from {} on use {} partitions; those before stay where they are",
        time(last.from_ms).format("%Y-%m-%dT%H:%M:%SZ"),
        last.partitions
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_stage_no_setting_and_no_reason_is_refused_with_those_that_are() {
        assert!(stage("render").unwrap_err().contains("rendering"));
        assert_eq!(stage("rendering").unwrap(), Stage::Rendering);
        assert!(setting("limits.jobs").unwrap_err().contains("limits.open_jobs"));
        for bad in ["", "  ", "two\nlines", &"x".repeat(MAX_REASON_CHARS + 1)] {
            assert!(reason(bad).is_err(), "{bad}");
        }
        assert_eq!(reason(" new disks ").unwrap(), "new disks");
    }

    #[test]
    fn the_partitions_are_told_with_the_time_from_which_they_hold() {
        assert_eq!(partitions(&Layout::of(8), 8), "partitions: 8");
        assert!(partitions(&Layout::of(8), 16).contains("streams.toml has 16"));
        let grown =
            Layout { generation: 1, begun_with: 8, grown: vec![Growth { from_ms: 1_000, partitions: 16 }] };
        assert_eq!(partitions(&grown, 16), "partitions: 8, 16 for what is made from 1970-01-01T00:00:01Z on");
    }
}
