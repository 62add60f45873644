//! Every alert, caused on purpose in a running system, and ended as the runbook says.
//!
//! The rules are those that are delivered; only their times are shorter, because nobody waits for half an hour here.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reelstream::app::Role;
use reelstream::clock::Clock;
use reelstream::dev::free_port;
use reelstream::domain::job::Command;
use reelstream::events::job::JobRequested;
use reelstream::events::{Actor, EventLog, VideoRequest};
use reelstream::execute::{Executor, Origin};
use reelstream::ids::JobId;
use rustix::process::Signal;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::alert_webhook::Panics;
use super::prometheus::{Prometheus, alerts};
use crate::harness::{Running, System, eventually, short_request};
use crate::projections::postgres_outages::Fragile;
use crate::projections::quarantine::{append_job, requested};
use crate::projections::read_models::damage;

static WORKER: [Role; 1] = [Role::Worker];
static PROJECTOR: [Role; 1] = [Role::Projector];

/// The delivered rules with shorter times. Every time that they have must be named here.
fn hastened_rules(system: &System) -> PathBuf {
    let mut rules = std::fs::read_to_string(alerts()).unwrap();
    for (time, shorter) in [
        ("for: 1m\n", "for: 1s\n"),
        ("for: 5m\n", "for: 2s\n"),
        ("for: 15m\n", "for: 3s\n"),
        ("[2m]", "[5s]"),
        ("[5m]", "[8s]"),
        ("[10m]", "[10s]"),
        ("[15m:1m]", "[6s:1s]"),
        ("[30m]", "[12s]"),
        ("[1h]", "[16s]"),
        ("[6h]", "[20s]"),
        ("_oldest_seconds) > 1800", "_oldest_seconds) > 3"),
    ] {
        assert!(rules.contains(time), "{time}");
        rules = rules.replace(time, shorter);
    }
    let is_long = |line: &&str| line.contains("m]") || line.contains("h]") || line.ends_with("m");
    let long: Vec<&str> =
        rules.lines().filter(|line| line.contains("for:") || line.contains('[')).filter(is_long).collect();
    assert!(long.is_empty(), "{long:?}");
    let file = system.servers.folder.path().join("alerts.yml");
    std::fs::write(&file, rules).unwrap();
    file
}

/// The alerts that fire now.
async fn firing(prometheus: &Prometheus) -> BTreeSet<String> {
    let Ok(data) = prometheus.ask("alerts", &[]).await else { return BTreeSet::new() };
    let alerts = data["alerts"].as_array().unwrap().iter();
    let firing = alerts.filter(|alert| alert["state"] == "firing");
    firing.map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned()).collect()
}

async fn fire(prometheus: &Prometheus, names: &[&str]) {
    for name in names {
        eventually(&format!("{name} fires"), async || {
            firing(prometheus).await.contains(&format!("Reelstream{name}"))
        })
        .await;
    }
}

async fn end(prometheus: &Prometheus, names: &[&str]) {
    for name in names {
        eventually(&format!("{name} ends"), async || {
            !firing(prometheus).await.contains(&format!("Reelstream{name}"))
        })
        .await;
    }
}

async fn scraped(prometheus: &Prometheus) {
    eventually("Prometheus scrapes the system", async || prometheus.value("up == 1").await.is_some()).await;
}

async fn stop(prometheus: Prometheus) {
    tokio::task::spawn_blocking(move || drop(prometheus)).await.unwrap();
}

/// `reel …`, which must succeed: its output.
#[track_caller]
fn reel(system: &System, arguments: &[&str]) -> String {
    let output = system.reel(arguments);
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

/// Requests jobs, faster than the API takes them, until it is dropped.
fn request_many(log: EventLog) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let executor = Executor::new(log, Clock::system());
        loop {
            let request = VideoRequest::of_script("Ions", "Ions move.");
            let requested =
                JobRequested { user_id: "user_1".into(), request: request.into(), batch_id: None };
            let origin = Origin::standalone(Actor::User("user_1".into()));
            let many = (0..8).map(|_| {
                let command = Command::Request(requested.clone());
                executor.execute(JobId::new(), command, &origin, None)
            });
            let done = futures_util::future::join_all(many).await;
            assert!(done.iter().all(Result::is_ok));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }))
}

// 16, "Done when"; 002-8.5
#[tokio::test(flavor = "multi_thread")]
async fn alerts_of_the_pipeline_fire_for_their_causes_and_end_as_the_runbook_says() {
    let system = System::start(&[Role::Api]).await;
    let prometheus = Prometheus::start(&system, &hastened_rules(&system));
    scraped(&prometheus).await;
    let projector = Running::start(system.config.clone(), &PROJECTOR).await;

    // Nobody works.
    let job_id = system.generate(&short_request()).await;
    fire(&prometheus, &["QueueStuck", "QueueOld", "ComponentDegraded"]).await;
    assert!(
        reel(&system, &["queues", "show"])
            .lines()
            .any(|line| line.starts_with("initializing") && line.contains(" 1 "))
    );
    let worker = Running::start(system.config.clone(), &WORKER).await;
    system.statuses_until_ended(&job_id, Duration::from_secs(60)).await;
    end(&prometheus, &["QueueStuck", "QueueOld"]).await;

    // An operator forgets a pause.
    reel(&system, &["operations", "pause", "rendering", "--reason", "the GPU is hot"]);
    let is_paused = "reel_stage_paused{stage=\"rendering\"} == 1";
    eventually("the pause is seen", async || prometheus.value(is_paused).await.is_some()).await;
    // Each process looks once a second.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let job_id = system.generate(&short_request()).await;
    fire(&prometheus, &["ComponentDegraded", "QueueStuck"]).await;
    assert!(reel(&system, &["operations", "show"]).contains("the GPU is hot"));
    reel(&system, &["operations", "resume", "rendering"]);
    system.statuses_until_ended(&job_id, Duration::from_secs(60)).await;
    end(&prometheus, &["QueueStuck"]).await;
    worker.stop().await;

    // A new version fails at every job.
    let faulty = Running::start_with(system.config.clone(), &WORKER, vec![Arc::new(Panics)]).await;
    for _ in 0..14 {
        system.generate(&short_request()).await;
    }
    fire(&prometheus, &["CriticalError", "ErrorBudgetBurnsFast", "ErrorBudgetBurnsSlowly"]).await;
    let letters = reel(&system, &["dead-letters", "list"]);
    assert_eq!(letters.lines().count(), 14, "{letters}");
    assert!(letters.contains("INTERNAL_ERROR"), "{letters}");
    faulty.stop().await;
    let worker = Running::start(system.config.clone(), &WORKER).await;
    let failed = letters.split_whitespace().nth(1).unwrap();
    reel(&system, &["dead-letters", "replay", failed]);
    eventually("the replayed job is completed", async || {
        system.status(failed).await["status"] == "completed"
    })
    .await;
    end(&prometheus, &["CriticalError", "ErrorBudgetBurnsFast", "ErrorBudgetBurnsSlowly"]).await;
    worker.stop().await;

    // More comes than is done, and no projector runs.
    projector.stop().await;
    let many = request_many(system.log().await);
    fire(&prometheus, &["QueueGrows", "ProjectionBehind"]).await;
    drop(many);
    let projector = Running::start(system.config.clone(), &PROJECTOR).await;
    end(&prometheus, &["QueueGrows", "ProjectionBehind"]).await;
    stop(prometheus).await;
    projector.stop().await;
    system.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_of_read_models_and_servers_fire_for_their_causes_and_end_as_the_runbook_says() {
    let mut postgres = Fragile::start();
    let (url, port) = (postgres.server.url("postgres"), free_port().unwrap());
    let mut system = System::start_with(&[Role::Api], |config| {
        config.postgres.url = url;
        // Where Prometheus asks, after a restart, too.
        config.api.bind = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    })
    .await;
    let prometheus = Prometheus::start(&system, &hastened_rules(&system));
    scraped(&prometheus).await;
    let projector = Running::start(system.config.clone(), &PROJECTOR).await;
    let log = system.log().await;

    // An event of one job that no version can read.
    let unreadable =
        append_job(&log, "user_1", &[requested("user_1", "Ions"), ("JobVanished", 1, "{}".into())]).await;
    fire(&prometheus, &["ProjectionQuarantined", "CriticalError"]).await;
    let partition = log.keys().partition_of(reelstream::ids::AggregateId(unreadable.0)).to_string();
    for name in ["catalog", "status"] {
        let shown = reel(&system, &["projections", "show", name]);
        assert!(shown.contains(&unreadable.to_string()), "{shown}");
        let passed_over = reelstream::projections::quarantine::all(&log).await.unwrap();
        let seq = passed_over.iter().find(|(of, ..)| of == name).unwrap().2.seq.to_string();
        reel(&system, &["projections", "skip", name, &partition, &seq, "--reason", "a broken tool wrote it"]);
    }
    end(&prometheus, &["ProjectionQuarantined", "CriticalError"]).await;

    // The log itself is damaged.
    let seq = damage(&system, 3).await.to_string();
    fire(&prometheus, &["ProjectionHalted"]).await;
    assert!(reel(&system, &["projections", "list"]).contains(&format!("event {seq}")));
    for name in ["catalog", "library", "status", "trail"] {
        reel(&system, &["projections", "skip", name, "3", &seq, "--reason", "a broken tool wrote it"]);
    }
    end(&prometheus, &["ProjectionHalted"]).await;

    // PostgreSQL goes away, and with it what only it knows.
    postgres.stop(Signal::INT);
    let asking = CancellationToken::new();
    let (http, jobs, token) = (
        reqwest::Client::new(),
        format!("{}/api/v1/jobs", system.running.url),
        system.token("user_1", "user"),
    );
    let asks = asking.clone();
    let clients = tokio::spawn(async move {
        while !asks.is_cancelled() {
            let _away = http.get(&jobs).bearer_auth(&token).send().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    fire(&prometheus, &["ApiErrors", "ComponentUnhealthy"]).await;
    let health: Value = system.get("/api/v1/system/health").await.json().await.unwrap();
    assert_eq!(health["components"]["postgres"]["status"], "unhealthy");
    postgres.bring_back();
    end(&prometheus, &["ApiErrors", "ComponentUnhealthy"]).await;
    asking.cancel();
    clients.await.unwrap();

    // No API process runs.
    system.stop_roles().await;
    fire(&prometheus, &["ApiAway"]).await;
    system.start_roles(&[Role::Api]).await;
    end(&prometheus, &["ApiAway"]).await;
    stop(prometheus).await;
    projector.stop().await;
    system.running.stop().await;
}

/// An alert that is new is caused above, too.
#[test]
fn every_alert_is_caused() {
    let rules = std::fs::read_to_string(alerts()).unwrap();
    let here = include_str!("alert_causes.rs");
    for name in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: Reelstream")) {
        let fires = here
            .lines()
            .any(|line| line.contains("fire(&prometheus") && line.contains(&format!("\"{name}\"")));
        assert!(fires, "nothing causes {name}");
    }
}
