//! The alerts for Prometheus: their own tests, their metrics, and what the runbook says of each.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use reelstream::app::Role;

use crate::harness::System;

fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(file(path)).unwrap()
}

/// Debian's, which `scripts/tools` fetches.
fn promtool(arguments: &[&str]) -> String {
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(file("deploy/prometheus"));
    let output =
        command.output().expect("scripts/tools fetches promtool, and prints the folder for the PATH");
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    assert!(output.status.success(), "{said}");
    said
}

/// Words of the text that begin like a metric of ours.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("reel_")).map(str::to_owned).collect()
}

// 002-8.5
#[test]
fn alerts_fire_when_they_should_and_only_then() {
    let checked = promtool(&["check", "rules", "alerts.yml"]);
    assert!(checked.contains("17 rules found"), "{checked}");
    let tested = promtool(&["test", "rules", "alerts_test.yml"]);
    assert!(tested.contains("SUCCESS"), "{tested}");
}

#[test]
fn the_runbook_has_a_section_for_each_alert() {
    let (alerts, tests, runbook) = (
        read("deploy/prometheus/alerts.yml"),
        read("deploy/prometheus/alerts_test.yml"),
        read("docs/RUNBOOK.md"),
    );
    let after = |marker: &str| -> Vec<String> {
        let found = alerts.lines().filter_map(|line| line.trim().strip_prefix(marker));
        found.map(str::to_owned).collect()
    };
    let names = after("- alert: ");
    let urls = after("runbook_url: ");
    assert_eq!(names.len(), urls.len());
    for (name, url) in names.iter().zip(&urls) {
        assert_eq!(*url, format!("docs/RUNBOOK.md#{}", name.to_lowercase()));
        let section = runbook.split("\n## ").find(|section| section.lines().next() == Some(name.as_str()));
        let section = section.unwrap_or_else(|| panic!("docs/RUNBOOK.md has no section {name}"));
        for part in ["**Users**", "**Look", "**Do"] {
            let is_joined = part == "**Do" && section.contains("**Look and do**");
            assert!(section.contains(part) || is_joined, "{name} lacks {part}");
        }
        let fires = tests.contains(&format!("alertname: {name}\n        exp_alerts:"));
        assert!(fires, "alerts_test.yml does not make {name} fire");
    }
    let sections = runbook.matches("\n## ").count();
    assert_eq!(sections, names.len(), "a section is of no alert");
}

#[tokio::test]
async fn alerts_ask_for_metrics_that_the_api_serves() {
    let system = System::start_with(&[Role::Api], |_| {}).await;
    let request = system.anonymous(reqwest::Method::GET, "/metrics");
    let served = request.send().await.unwrap().text().await.unwrap();
    let wanted = metrics_in(&read("deploy/prometheus/alerts.yml"));
    assert!(wanted.len() >= 5, "{wanted:?}");
    for metric in wanted {
        let family = metric.strip_suffix("_count").unwrap_or(&metric);
        assert!(served.contains(&format!("# TYPE {family} ")), "{metric}");
    }
    system.running.stop().await;
}
