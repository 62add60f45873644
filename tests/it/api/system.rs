//! How busy the system is, for machines and for people.

use std::time::Duration;

use reelstream::app::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{ALL_ROLES, System, error_of, eventually, short_request};

static API_AND_PROJECTOR: [Role; 2] = [Role::Api, Role::Projector];

async fn get(system: &System, path: &str) -> Value {
    let answer = system.get(path).await;
    assert_eq!(answer.status(), 200, "{path}");
    answer.json().await.unwrap()
}

// 000-6.4, 002-4.3
#[tokio::test]
async fn metrics_tell_depth_times_throughput_lag_and_what_the_machine_has_left() {
    let system = System::start(&ALL_ROLES).await;
    let empty = get(&system, "/api/v1/system/metrics").await;
    assert_eq!(
        (&empty["processing_times"]["total"], &empty["queue"]["open_jobs"]),
        (&Value::Null, &json!(0))
    );
    system.completed(&short_request()).await;
    system.read_models().await.caught_up().await;
    let mut metrics = Value::Null;
    eventually("the figures are of now", async || {
        metrics = get(&system, "/api/v1/system/metrics").await;
        metrics["processing_times"]["jobs"] == 1
    })
    .await;
    for stage in [
        "initializing",
        "planning",
        "scenario_creation",
        "code_generation",
        "rendering",
        "combining",
        "storage",
    ] {
        assert_eq!(
            metrics["queue"]["by_stage"][stage],
            json!({ "waiting": 0, "running": 0, "oldest_waiting_seconds": 0.0 })
        );
        let times = &metrics["processing_times"]["by_stage"][stage];
        let [p50, p99] = ["p50_seconds", "p99_seconds"].map(|name| times[name].as_f64().unwrap());
        assert!(p50 <= p99, "{stage}: {times}");
    }
    assert!(metrics["processing_times"]["total"]["p95_seconds"].as_f64().unwrap() > 0.1);
    assert_eq!(metrics["throughput"]["jobs_per_hour"], 1);
    assert_eq!(metrics["projection_lag"], json!({ "status": 0, "catalog": 0, "trail": 0, "library": 0 }));
    assert_eq!(metrics["workers"], 1);
    let resources = &metrics["resources"];
    for (used, whole) in
        [("memory_used_bytes", "memory_total_bytes"), ("disk_free_bytes", "disk_total_bytes")]
    {
        assert!(
            resources[used].as_u64().unwrap() > 0 && resources[used].as_u64() <= resources[whole].as_u64()
        );
    }
    for percent in ["cpu_usage_percent", "memory_usage_percent", "disk_usage_percent"] {
        assert!((0.0..=100.0).contains(&resources[percent].as_f64().unwrap()), "{percent}: {resources}");
    }
    system.running.stop().await;
}

#[tokio::test]
async fn the_queue_tells_what_waits_and_how_long() {
    let system = System::start(&API_AND_PROJECTOR).await;
    let idle = get(&system, "/api/v1/system/queue-status").await;
    assert_eq!((&idle["depth"], &idle["running"]), (&json!(0), &json!(0)));
    assert_eq!(idle["oldest_waiting_seconds"], 0.0);
    for priority in ["urgent", "low", "low"] {
        let body = json!({ "topic": "Ions", "script": "Ions move.", "priority": priority });
        system.generate(&body).await;
    }
    eventually("three jobs wait", async || get(&system, "/api/v1/system/queue-status").await["depth"] == 3)
        .await;
    let busy = get(&system, "/api/v1/system/queue-status").await;
    assert_eq!(busy["by_priority"], json!({ "urgent": 1, "low": 2 }));
    eventually("the oldest piece is told by its stage", async || {
        let metrics = get(&system, "/api/v1/system/metrics").await;
        let oldest =
            |stage: &str| metrics["queue"]["by_stage"][stage]["oldest_waiting_seconds"].as_f64().unwrap();
        (0.1..60.0).contains(&oldest("initializing")) && oldest("rendering") == 0.0
    })
    .await;
    assert!(busy["oldest_waiting_seconds"].as_f64().unwrap() < 60.0);
    for path in ["/api/v1/system/queue-status", "/api/v1/system/metrics"] {
        assert_eq!(error_of(system.anonymous(Method::GET, path).send().await.unwrap()).await.0, 401);
    }
    system.running.stop().await;
}

#[tokio::test]
async fn figures_are_found_once_for_all_who_ask() {
    let system = System::start(&API_AND_PROJECTOR).await;
    let asked = (0..40).map(|_| get(&system, "/api/v1/system/metrics"));
    let began = std::time::Instant::now();
    let answers = futures_util::future::join_all(asked).await;
    let mut times: Vec<&str> = answers.iter().map(|answer| answer["timestamp"].as_str().unwrap()).collect();
    times.dedup();
    let allowed = began.elapsed().as_secs() / Duration::from_secs(2).as_secs() + 2;
    assert!(times.len() as u64 <= allowed, "{times:?}");
    system.running.stop().await;
}
