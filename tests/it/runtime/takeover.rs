//! Workers that die or fall asleep in the middle of their work.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reelstream::app::Role;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::{Running, System};

static API_AND_PROJECTOR: [Role; 2] = [Role::Api, Role::Projector];
static WORKER: [Role; 1] = [Role::Worker];
const LEASE: Duration = Duration::from_secs(3);

/// A worker as a process of its own, with the system's servers and a short lease.
struct Process(Child);

impl Process {
    fn start(system: &System) -> Self {
        let streams = system.servers.folder.path().join("streams.toml");
        let stages = system.config.streams.stages.keys();
        let settings: String = stages.map(|stage| format!("[stages.{stage}]\nlease_seconds = 3\n")).collect();
        std::fs::write(&streams, settings).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_reel"))
            .arg("work")
            .env("REDIS_URL", &system.config.redis.url)
            .env("REEL_PREFIX", &system.config.redis.prefix)
            .env("DATABASE_URL", &system.config.postgres.url)
            .env("CLERK_ISSUER", &system.config.auth.issuer)
            .env("REEL_MASTER_KEY", crate::harness::MASTER_KEY)
            .env("REEL_SIGNING_KEY", crate::harness::MASTER_KEY)
            .env("MEDIA_ROOT", system.media())
            .env("REEL_STREAMS", streams)
            .env("REEL_LOG", "info")
            .stderr(Stdio::piped())
            .spawn();
        Self(child.unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.0.id() as i32).unwrap(), signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

async fn rendering_job(system: &System) -> String {
    let script = std::fs::read_to_string("tests/fixtures/scripts/pythagoras.txt").unwrap();
    let job_id = system.generate(&json!({"topic": "Pythagoras", "script": script, "quality": "low"})).await;
    crate::harness::eventually("rendering has begun", async || {
        system.status(&job_id).await["progress"]["current_stage"] == "rendering"
    })
    .await;
    job_id
}

async fn completes(system: &System, job_id: &str) -> Vec<Value> {
    let statuses = system.statuses_until_ended(job_id, Duration::from_secs(240)).await;
    let last = statuses.last().unwrap();
    assert_eq!(last["status"], "completed", "{last}");
    system.events(job_id).await
}

fn check_nothing_twice(events: &[Value]) {
    let mut results: BTreeMap<String, usize> = BTreeMap::new();
    for event in events {
        let kind = event["type"].as_str().unwrap();
        if ["SceneRendered", "SceneCodeGenerated", "StageStarted", "StageCompleted", "JobCompleted"]
            .contains(&kind)
        {
            *results
                .entry(format!("{kind} {} {}", event["data"]["scene"], event["data"]["stage"]))
                .or_default() += 1;
        }
    }
    assert!(results.values().all(|count| *count == 1), "{results:?}");
    assert!(events.iter().map(|event| event["version"].as_u64().unwrap()).eq(1..=events.len() as u64));
    let percentages: Vec<f64> =
        events.iter().filter_map(|event| event["data"]["percentage"].as_f64()).collect();
    assert!(percentages.is_sorted(), "{percentages:?}");
}

fn lost(events: &[Value]) -> usize {
    let is_lost =
        |event: &&Value| event["type"] == "StageFailed" && event["data"]["error"]["code"] == "WORKER_LOST";
    events.iter().filter(is_lost).count()
}

async fn start() -> System {
    System::start_with(&API_AND_PROJECTOR, |config| {
        config.streams.stages.values_mut().for_each(|settings| settings.lease = LEASE);
    })
    .await
}

// 001-4.4
#[tokio::test]
async fn the_work_of_a_killed_worker_is_done_by_another() {
    let system = start().await;
    let worker = Process::start(&system);
    let job_id = rendering_job(&system).await;
    worker.signal(Signal::KILL);
    let other = Running::start(system.config.clone(), &WORKER).await;
    let events = completes(&system, &job_id).await;
    assert!(lost(&events) > 0, "the loss is recorded");
    check_nothing_twice(&events);
    assert!(system.status(&job_id).await.get("version").is_some());
    other.stop().await;
    system.running.stop().await;
}

#[tokio::test]
async fn a_worker_that_was_asleep_finds_its_results_refused() {
    let system = start().await;
    let mut sleeper = Process::start(&system);
    let job_id = rendering_job(&system).await;
    sleeper.signal(Signal::STOP);
    let other = Running::start(system.config.clone(), &WORKER).await;
    let events = completes(&system, &job_id).await;
    assert!(lost(&events) > 0);
    check_nothing_twice(&events);

    let said = BufReader::new(sleeper.0.stderr.take().unwrap());
    sleeper.signal(Signal::CONT);
    let refused = said.lines().map_while(Result::ok).find(|line| {
        ["a newer attempt has taken over", "nothing to do", "stopped: cancelled, or taken over"]
            .iter()
            .any(|words| line.contains(words))
    });
    assert!(refused.is_some(), "the sleeper noticed");
    assert_eq!(system.events(&job_id).await, events, "and recorded nothing");
    other.stop().await;
    system.running.stop().await;
}
