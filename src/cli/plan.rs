//! `reel plan`: how a script is divided over pages, and why.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use super::say;
use reel_planner::{Plan, Request};

#[derive(Args)]
pub struct PlanScript {
    /// A script in Markdown or plain text
    file: PathBuf,
    /// Say of each page which composition was chosen, what in the text asks for it, and what else was possible
    #[arg(long)]
    why: bool,
    /// Seconds that the video should last, from 30 to 600: of a script that takes longer, a part is said
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(30..=600))]
    duration: Option<u64>,
}

pub fn plan(arguments: &PlanScript) -> anyhow::Result<()> {
    let plan = plan_file(&arguments.file, arguments.duration.map(|seconds| seconds * 1000))?;
    say(shown(&plan, arguments.why))
}

fn plan_file(file: &Path, duration_ms: Option<u64>) -> anyhow::Result<Plan> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    plan_text(file, &text, duration_ms)
}

/// Plans the script of a file. Without a topic, a script without a title gets one made of its own words.
pub(super) fn plan_text(file: &Path, text: &str, duration_ms: Option<u64>) -> anyhow::Result<Plan> {
    let request = Request { topic: "", context: None, script: Some(text), title: None, duration_ms };
    reel_planner::plan(&request).with_context(|| format!("{} cannot be planned", file.display()))
}

fn shown(plan: &Plan, why: bool) -> String {
    let mut text = format!("{} ({} scenes)", plan.title, plan.scenes.len());
    if plan.omitted_sentences > 0 {
        let _ = write!(text, "; {} sentences are left out", plan.omitted_sentences);
    }
    for (number, scene) in plan.scenes.iter().enumerate() {
        let reason = plan.reasons.iter().find(|reason| reason.scene == number);
        let composition = reason.map_or("card", |reason| reason.composition);
        let _ = write!(text, "\n{:>3}  {composition:<14} {}", number + 1, scene.title);
        for step in &scene.steps {
            let _ = write!(text, "\n         {}", step.narration);
        }
        if let Some(reason) = reason.filter(|_| why) {
            let _ = write!(text, "\n       because: {}", reason.why);
            let others = reason.rejected.iter().map(|(name, cost)| format!("{name} ({cost})"));
            let others: Vec<String> = others.collect();
            if !others.is_empty() {
                let _ = write!(text, "\n       dearer on the whole: {}", others.join(", "));
            }
        }
    }
    text
}
