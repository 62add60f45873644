//! Operators' decisions about the running system: pause, drain, limits, log lines, partitions.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use reelstream::app::Role;
use reelstream::events::TypedId;
use reelstream::ids::{AggregateId, OperationsId};

use crate::harness::{ALL_ROLES, System, error_of, eventually, folder, short_request};

/// `reel operations …`: its output, and whether it did it.
fn operations(system: &System, arguments: &[&str]) -> (bool, String) {
    let output = system.reel(&[&["operations"], arguments].concat());
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[track_caller]
fn decide(system: &System, arguments: &[&str]) -> String {
    let (is_done, said) = operations(system, arguments);
    assert!(is_done, "{arguments:?}: {said}");
    said
}

async fn health_of_queue(system: &System) -> Value {
    let health: Value = system.get("/api/v1/system/health").await.json().await.unwrap();
    health["components"]["queue"].clone()
}

async fn metrics(system: &System) -> String {
    system.anonymous(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap()
}

async fn stage_of(system: &System, job_id: &str) -> String {
    system.status(job_id).await["current_stage"].as_str().unwrap_or_default().to_owned()
}

// 001-8: an operator stops one stage, everybody sees why, and work goes on where it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_paused_stage_takes_no_work_until_it_is_resumed_even_after_a_restart() {
    let mut system = System::start(&ALL_ROLES).await;
    decide(&system, &["pause", "rendering", "--reason", "the GPU is hot"]);
    eventually("health tells of the pause", async || {
        let queue = health_of_queue(&system).await;
        queue["status"] == "degraded"
            && queue["detail"].as_str().unwrap().contains("rendering is paused since")
    })
    .await;
    assert!(health_of_queue(&system).await["detail"].as_str().unwrap().contains("the GPU is hot"));
    assert!(metrics(&system).await.contains("reel_stage_paused{stage=\"rendering\"} 1"));
    let job_id = system.generate(&short_request()).await;
    let has_scenes = async |system: &System, event: &str| {
        system.events(&job_id).await.iter().any(|recorded| recorded["type"] == event)
    };
    eventually("the job waits for its scenes", async || has_scenes(&system, "SceneNarrated").await).await;
    system.stop_roles().await;
    // It holds from the first moment on.
    system.start_roles(&ALL_ROLES).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!has_scenes(&system, "SceneRendered").await, "{}", stage_of(&system, &job_id).await);
    let shown = decide(&system, &["show"]);
    assert!(shown.contains("rendering: paused since") && shown.contains("the GPU is hot"), "{shown}");
    decide(&system, &["resume", "rendering"]);
    let last = system.statuses_until_ended(&job_id, Duration::from_secs(60)).await.pop().unwrap();
    assert_eq!(last["status"], "completed", "{last}");
    assert!(metrics(&system).await.contains("reel_stage_paused{stage=\"rendering\"} 0"));
    let (is_done, said) = operations(&system, &["resume", "rendering"]);
    assert!(!is_done && said.contains("rendering is not paused"), "{said}");
    let (is_done, said) = operations(&system, &["pause", "render", "--reason", "typo"]);
    assert!(!is_done && said.contains("scenario_creation, code_generation, rendering"), "{said}");
    system.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_system_finishes_what_is_open_and_refuses_what_is_new() {
    let system = System::start(&ALL_ROLES).await;
    let body = short_request();
    let ask = || system.request(Method::POST, "/api/v1/videos/generate").json(&body);
    let first = ask().header("Idempotency-Key", "before").send().await.unwrap();
    let first: Value = first.json().await.unwrap();
    decide(&system, &["drain", "--reason", "new disks until ten"]);
    eventually("new jobs are refused", async || ask().send().await.unwrap().status() == 503).await;
    let refused = ask().send().await.unwrap();
    assert_eq!(refused.headers()["retry-after"], "60");
    let (status, body) = error_of(refused).await;
    assert_eq!((status, &body["error_code"]), (503, &json!("SERVICE_UNAVAILABLE")));
    assert!(body["message"].as_str().unwrap().contains("new disks until ten"), "{body}");
    let batch = json!({ "jobs": [short_request(), short_request()] });
    assert_eq!(system.post("/api/v1/videos/batch", &batch).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    // A client that repeats an accepted request gets its job.
    let again = ask().header("Idempotency-Key", "before").send().await.unwrap();
    assert!(again.status().is_success(), "{}", again.status());
    assert_eq!(again.json::<Value>().await.unwrap()["job_id"], first["job_id"]);
    let said = decide(&system, &["drain", "--reason", "new disks until ten", "--wait"]);
    assert!(said.trim_end().ends_with("0 jobs are open"), "{said}");
    let last = system.status(first["job_id"].as_str().unwrap()).await;
    assert_eq!(last["status"], "completed", "{last}");
    decide(&system, &["accept"]);
    eventually("new jobs are accepted", async || ask().send().await.unwrap().status().is_success()).await;
    system.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_an_operator_sets_holds_in_a_second_and_until_it_is_reset() {
    let system = System::start(&[Role::Api]).await;
    let ask = || system.request(Method::GET, "/api/v1/jobs").send();
    assert_eq!(ask().await.unwrap().status(), 200);
    decide(&system, &["set", "rate_limits.read", "1/2"]);
    eventually("the rate holds", async || ask().await.unwrap().status() == 429).await;
    decide(&system, &["reset", "rate_limits.read"]);
    eventually("the rate of streams.toml holds", async || {
        let mut answers = vec![];
        for _ in 0..4 {
            answers.push(ask().await.unwrap().status());
        }
        answers.iter().all(|status| *status == 200)
    })
    .await;
    decide(&system, &["set", "limits.open_jobs", "1"]);
    system.generate(&short_request()).await;
    eventually("the limit holds", async || {
        let answer = system.post("/api/v1/videos/generate", &short_request()).await;
        answer.status() == 503 && error_of(answer).await.1["details"]["limit"] == "limits.open_jobs"
    })
    .await;
    assert!(decide(&system, &["show"]).contains("limits.open_jobs: 1 (streams.toml: 10000)"));
    for (name, value, expected) in [
        ("limits.open_jobs", "0", "from 1 to 10000000"),
        ("rate_limits.read", "fast", "such as 50/500"),
        ("partitions", "3", "a setting that can change while processes run is one of limits.open_jobs"),
    ] {
        let (is_done, said) = operations(&system, &["set", name, value]);
        assert!(!is_done && said.contains(expected), "{said}");
    }
    system.running.stop().await;
}

/// A process of a role, and the lines that it logs.
struct Process {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Process {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).process_group(0).spawn().unwrap();
        let lines = Arc::new(Mutex::new(vec![]));
        let (stderr, kept) = (child.stderr.take().unwrap(), lines.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        Self { child, lines }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    async fn logs(&self, what: &str) {
        eventually(what, async || self.lines.lock().unwrap().iter().any(|line| line.contains(what))).await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

// 16.6: limits and the log filter change in a running process, and the log says who changed what.
#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_has_a_process_read_its_settings_again() {
    let system = System::start(&[Role::Api]).await;
    let folder = folder();
    let settings = folder.path().join("streams.toml");
    let write = |text: &str| {
        std::fs::write(&settings, format!("partitions = 8\n[audit]\nseal_seconds = 1\n{text}")).unwrap()
    };
    write("");
    let mut command = system.command();
    command
        .arg("project")
        .env("REEL_STREAMS", &settings)
        .env("MEDIA_ROOT", &system.config.media.root)
        .env("ARCHIVE_ROOT", &system.config.archive.root)
        .env("CLERK_ISSUER", &system.config.auth.issuer);
    let process = Process::start(&mut command);
    process.logs("started").await;
    write("[limits]\nopen_jobs = 77\n[rate_limits]\nread = { per_second = 5, burst = 9 }\n");
    process.signal(Signal::HUP);
    process.logs("streams.toml was read again settings=2").await;
    write("[limits]\nopen_jobs = 0\n");
    process.signal(Signal::HUP);
    process.logs("limits.open_jobs is 0, but must be from 1 to 10000000").await;
    write("[limits]\nopen_jobs = 78\n[retention]\nlog_hours = 9\n");
    process.signal(Signal::HUP);
    process.logs("other changes besides limits and rates").await;
    let log = system.log().await;
    let id = OperationsId::of_system();
    eventually("both reloads are recorded", async || log.version(id.aggregate()).await.unwrap() == 2).await;
    let recorded = log.history(id.aggregate(), 0).await.unwrap();
    let data: Value = serde_json::from_str(&recorded[0].data).unwrap();
    assert_eq!(
        data["changed"],
        json!([
            { "name": "limits.open_jobs", "before": "10000", "now": "77" },
            { "name": "rate_limits.read", "before": "50/500", "now": "5/9" },
        ])
    );
    let data: Value = serde_json::from_str(&recorded[1].data).unwrap();
    assert_eq!(data["changed"][0], json!({ "name": "limits.open_jobs", "before": "77", "now": "78" }));
    // The log filter, of all processes.
    assert!(!process.lines.lock().unwrap().iter().any(|line| line.contains("DEBUG")));
    decide(&system, &["log-filter", "info,reelstream=debug,sqlx=debug"]);
    process.logs("DEBUG").await;
    decide(&system, &["log-filter", "--reset"]);
    process.logs("the log filter was changed filter=\"info\"").await;
    let (is_done, said) = operations(&system, &["log-filter", "reelstream=[["]);
    assert!(!is_done && said.contains("is no log filter"), "{said}");
    system.running.stop().await;
}

// 16.10
#[tokio::test(flavor = "multi_thread")]
async fn a_log_grows_under_a_running_system_whose_videos_and_read_models_go_on() {
    let mut system = System::start_with(&ALL_ROLES, |config| config.streams.partitions = 2).await;
    let before = system.generate(&short_request()).await;
    system.statuses_until_ended(&before, Duration::from_secs(60)).await;
    system.stop_roles().await;
    system.config.streams.partitions = 12;
    system.start_roles(&ALL_ROLES).await;
    let said = decide(&system, &["show"]);
    assert!(said.contains("partitions: 2 (streams.toml has 12"), "{said}");
    let log = system.log().await;
    log.grow_within(Duration::from_millis(5)).await.unwrap();
    // Notes the growth, which is done.
    let (is_done, said) = operations(&system, &["grow-partitions"]);
    assert!(!is_done && said.contains("has 12 partitions already"), "{said}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut jobs = vec![];
    for _ in 0..4 {
        jobs.push(system.generate(&short_request()).await);
    }
    let partitions: Vec<u16> =
        jobs.iter().map(|job| log.keys().partition_of(AggregateId(job.parse().unwrap()))).collect();
    assert!(partitions.iter().any(|partition| *partition >= 2), "{partitions:?}");
    for job in &jobs {
        let last = system.statuses_until_ended(job, Duration::from_secs(120)).await.pop().unwrap();
        assert_eq!(last["status"], "completed", "{last}");
        assert!(!system.events(job).await.is_empty());
    }
    assert_eq!(system.status(&before).await["status"], "completed");
    let listed: Value = system.get("/api/v1/jobs").await.json().await.unwrap();
    assert_eq!(listed["jobs"].as_array().map(Vec::len), Some(5), "{listed}");
    let shown = decide(&system, &["show"]);
    assert!(shown.contains("12 for what is made from"), "{shown}");
    let models = system.read_models().await;
    models.caught_up().await;
    models.verify().await;
    system.running.stop().await;
}
