//! Worker processes of one machine.

use std::process::{Child, Stdio};

use chrono::{DateTime, TimeDelta, Utc};
use reelstream::app::Role;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::{System, eventually};

/// Ended when it is dropped.
struct Process(Child);

impl Process {
    fn start(system: &System) -> Self {
        let process = system
            .command()
            .arg("work")
            .env("CLERK_ISSUER", &system.config.auth.issuer)
            .env("ARCHIVE_ROOT", system.media().join("archive"))
            .env("MEDIA_ROOT", system.media())
            .env("MAX_CONCURRENT_RENDERS", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(process)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _waited = self.0.wait();
    }
}

/// When an attempt at a scene began and ended.
fn span(event: &Value) -> (DateTime<Utc>, DateTime<Utc>) {
    let end: DateTime<Utc> = event["recorded_at"].as_str().unwrap().parse().unwrap();
    (end - TimeDelta::milliseconds(event["data"]["wall_ms"].as_i64().unwrap()), end)
}

// 001-6.4
#[tokio::test(flavor = "multi_thread")]
async fn processes_of_one_machine_render_no_more_scenes_than_one_would() {
    let system = System::start(&[Role::Api, Role::Projector]).await;
    let mut processes: Vec<Process> = (0..3).map(|_| Process::start(&system)).collect();
    let page =
        |number| format!("# Page {number}\n\nThis is what page {number} is about. It says more, too.\n\n");
    let script: String = (1..=4).map(page).collect();
    let job_id = system.generate(&json!({ "topic": "Pages", "script": script, "quality": "low" })).await;
    eventually("a scene is rendered", async || {
        system.events(&job_id).await.iter().any(|event| event["type"] == "SceneRendered")
    })
    .await;
    // Whatever it holds is free at once.
    let pid = Pid::from_raw(processes[0].0.id() as i32).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    processes.remove(0);
    let last = system.statuses_until_ended(&job_id, std::time::Duration::from_secs(100)).await.pop().unwrap();
    assert_eq!(last["status"], "completed", "{last}");
    let events = system.events(&job_id).await;
    let rendered = events
        .iter()
        .filter(|event| event["type"] == "StageMeasured" && event["data"]["stage"] == "rendering");
    let mut spans: Vec<_> = rendered.map(span).collect();
    spans.sort();
    assert!(spans.len() >= 4, "{spans:?}");
    for pair in spans.windows(2) {
        // A recorded time has whole milliseconds.
        assert!(pair[1].0 + TimeDelta::milliseconds(3) >= pair[0].1, "two at a time: {pair:?}");
    }
    system.running.stop().await;
}
