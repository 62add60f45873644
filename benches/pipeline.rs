//! One script to one video, on an otherwise idle machine: seconds of each stage, real-time factor,
//! memory, and how soon work begins. Prints a table and writes `docs/BENCHMARKS.md`.

#![allow(clippy::unwrap_used, dead_code)]

#[path = "../tests/it/harness.rs"]
mod harness;
mod report;

use std::fmt::Write;
use std::process::{Child, Command};
use std::time::Duration;

use chrono::{DateTime, Utc};
use harness::{ALL_ROLES, Servers, System, short_request};
use report::{median, memory_of};
use serde_json::{Value, json};

const SCRIPT: &str = include_str!("../tests/fixtures/scripts/event-sourcing.md");
const RUNS: usize = 3;
const PICK_UPS: usize = 20;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let report = runtime.block_on(measure());
    report::write_section("pipeline", &report);
}

async fn measure() -> String {
    let system = System::start_on(Servers::private(), &ALL_ROLES, |_| {}).await;
    let idle_api_mb = idle_api_megabytes(&system).await;
    let mut runs = vec![];
    for _ in 0..RUNS {
        runs.push(video(&system).await);
    }
    let peak_mb = own_memory("VmHWM");
    let mut pick_ups = vec![];
    for _ in 0..PICK_UPS {
        pick_ups.push(pick_up_ms(&system).await);
    }
    system.running.stop().await;
    report(&runs, peak_mb, idle_api_mb, &pick_ups)
}

struct Run {
    stages: Vec<(String, f64)>,
    seconds: f64,
    video_seconds: f64,
    megabytes: f64,
}

async fn video(system: &System) -> Run {
    // Nothing is taken from the run before.
    let _first_run = std::fs::remove_dir_all(system.media().join("cache"));
    let job_id =
        system.generate(&json!({ "topic": "Event sourcing", "script": SCRIPT, "quality": "high" })).await;
    let last = system.statuses_until_ended(&job_id, Duration::from_secs(600)).await.pop().unwrap();
    assert_eq!(last["status"], "completed", "{last}");
    let path = format!("/api/v1/videos/jobs/{job_id}/metadata");
    let metadata: Value = system.get(&path).await.json().await.unwrap();
    let stages = metadata["processing"]["stages"].as_array().unwrap();
    let stages = stages.iter().map(|stage| {
        (stage["name"].as_str().unwrap().to_owned(), stage["duration_seconds"].as_f64().unwrap())
    });
    Run {
        stages: stages.collect(),
        seconds: last["metrics"]["processing_time_seconds"].as_f64().unwrap(),
        video_seconds: last["video"]["duration"].as_f64().unwrap(),
        megabytes: last["video"]["file_size"].as_f64().unwrap() / 1e6,
    }
}

/// From the 201 in the client's hands to the recorded `StageStarted`, on an idle system.
async fn pick_up_ms(system: &System) -> f64 {
    let job_id = system.generate(&short_request()).await;
    let answered_at = Utc::now();
    system.statuses_until_ended(&job_id, Duration::from_secs(60)).await;
    let events = system.events(&job_id).await;
    let started = events.iter().find(|event| event["type"] == "StageStarted").unwrap();
    let started_at: DateTime<Utc> = started["recorded_at"].as_str().unwrap().parse().unwrap();
    // Work may begin before the answer has reached the client.
    ((started_at - answered_at).num_microseconds().unwrap() as f64 / 1000.0).max(0.0)
}

struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// Resident memory of an API process that serves nobody.
async fn idle_api_megabytes(system: &System) -> f64 {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let child = Command::new(env!("CARGO_BIN_EXE_reel"))
        .arg("serve")
        .env("REDIS_URL", &system.config.redis.url)
        .env("REEL_PREFIX", &system.config.redis.prefix)
        .env("DATABASE_URL", &system.config.postgres.url)
        .env("CLERK_ISSUER", &system.config.auth.issuer)
        .env("REEL_MASTER_KEY", harness::MASTER_KEY)
        .env("REEL_SIGNING_KEY", harness::MASTER_KEY)
        .env("ARCHIVE_ROOT", &system.config.archive.root)
        .env("MEDIA_ROOT", system.media())
        .env("REEL_BIND", format!("127.0.0.1:{port}"))
        .env("REEL_LOG", "error")
        .spawn();
    let child = Stopped(child.unwrap());
    harness::eventually("the API listens", async || {
        reqwest::get(format!("http://127.0.0.1:{port}/healthz")).await.is_ok()
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    memory_of(child.0.id(), "VmRSS")
}

fn own_memory(what: &str) -> f64 {
    memory_of(std::process::id(), what)
}

fn report(runs: &[Run], peak_mb: f64, idle_api_mb: f64, pick_ups: &[f64]) -> String {
    let mut text = String::new();
    let cores = std::thread::available_parallelism().unwrap();
    let seconds = median(runs.iter().map(|run| run.seconds).collect());
    let video_seconds = runs[0].video_seconds;
    writeln!(text, "## A script to a video\n\n`tests/fixtures/scripts/event-sourcing.md` at 1080p30 through the HTTP API, all roles in one process; medians of {RUNS} runs. Measured on {} with {cores} cores;\nrelease build; Redis with `appendfsync always`.\n", Utc::now().format("%Y-%m-%d")).unwrap();
    writeln!(text, "| stage | seconds |\n| --- | ---: |").unwrap();
    for (index, (name, _)) in runs[0].stages.iter().enumerate() {
        let of_stage = median(runs.iter().map(|run| run.stages[index].1).collect());
        writeln!(text, "| {name} | {of_stage:.2} |").unwrap();
    }
    writeln!(text, "| **all, first stage to last event** | **{seconds:.2}** |\n").unwrap();
    writeln!(text, "| figure | value | wanted |\n| --- | ---: | ---: |").unwrap();
    writeln!(text, "| length of the video | {video_seconds:.1} s | |").unwrap();
    writeln!(text, "| size of the video | {:.1} MB | |", runs[0].megabytes).unwrap();
    writeln!(text, "| real-time factor | {:.1} | at least 2 |", video_seconds / seconds).unwrap();
    writeln!(text, "| peak memory of the process (API, worker and projector) | {peak_mb:.0} MB | |").unwrap();
    writeln!(text, "| memory of an idle API process | {idle_api_mb:.0} MB | under 100 MB |").unwrap();
    let slowest = pick_ups.iter().copied().fold(0.0, f64::max);
    let typical = median(pick_ups.to_vec());
    writeln!(text, "| from 201 to `StageStarted`, median of {PICK_UPS} | {typical:.1} ms | under 50 ms |")
        .unwrap();
    writeln!(text, "| from 201 to `StageStarted`, slowest of {PICK_UPS} | {slowest:.1} ms | under 50 ms |")
        .unwrap();
    writeln!(text, "\nA value of 0.0 ms means that work had begun before the client had the answer.")
        .unwrap();
    text
}
