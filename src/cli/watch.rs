//! Shows a job's progress until it ends: a bar on a terminal, lines elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::bail;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use super::client::Client;
use crate::ids::JobId;

/// The last status of a job that completed; an error with what went wrong for any other end.
pub async fn until_ended(client: &Client, job_id: JobId) -> anyhow::Result<Value> {
    let display = Display::new();
    let mut version = 0;
    loop {
        let Some(status) = client.changed_status(job_id, version).await? else { continue };
        version = status["version"].as_u64().unwrap_or(version);
        let progress = &status["progress"];
        let percentage = progress["percentage"].as_f64().unwrap_or(0.0);
        display.show(percentage, progress["stage_description"].as_str().unwrap_or_default());
        match status["status"].as_str() {
            Some("completed") => {
                display.finish();
                return Ok(status);
            }
            Some("failed" | "cancelled") => {
                display.finish();
                bail!("{}", explain(&status));
            }
            _ => {}
        }
    }
}

fn explain(status: &Value) -> String {
    let error = &status["error"];
    let text = |name: &str| error[name].as_str();
    let mut message = format!(
        "the job failed while {}: {} ({})",
        text("error_stage").unwrap_or("running"),
        text("error_message").unwrap_or("no reason was recorded"),
        text("error_code").unwrap_or("UNKNOWN"),
    );
    if let Some(suggestion) = text("recovery_suggestion") {
        message.push_str(&format!("; {suggestion}"));
    }
    message
}

enum Display {
    Bar(ProgressBar),
    /// The last line printed, so that nothing is said twice.
    Lines(std::cell::RefCell<String>),
}

impl Display {
    fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Display::Lines(std::cell::RefCell::default());
        }
        let bar = ProgressBar::with_draw_target(Some(1000), ProgressDrawTarget::stderr_with_hz(10));
        let template = "  {spinner} [{bar:32}] {prefix:>4}  {msg}  {elapsed:.dim}";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("=> "));
        bar.enable_steady_tick(Duration::from_millis(120));
        Display::Bar(bar)
    }

    fn show(&self, percentage: f64, message: &str) {
        let percent = format!("{percentage:.0}%");
        match self {
            Display::Bar(bar) => {
                bar.set_position((percentage * 10.0) as u64);
                bar.set_prefix(percent);
                bar.set_message(message.to_owned());
            }
            Display::Lines(last) => {
                let line = format!("  {percent:>4}  {message}");
                if *last.borrow() != line {
                    eprintln!("{line}");
                    last.replace(line);
                }
            }
        }
    }

    fn finish(&self) {
        if let Display::Bar(bar) = self {
            bar.finish();
        }
    }
}
