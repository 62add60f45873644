//! Figures over time, for analysts without SQL.

use reelstream::app::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{ALL_ROLES, System, error_of, short_request};

static API: [Role; 1] = [Role::Api];

const KINDS: [&str; 5] = ["throughput", "stages", "failures", "storage", "latency"];

async fn ask(system: &System, role: &str, path: &str) -> reqwest::Response {
    let request = system.anonymous(Method::GET, &format!("/api/v1/analytics/{path}"));
    request.bearer_auth(system.token("analyst_1", role)).send().await.unwrap()
}

async fn rows(system: &System, path: &str) -> Vec<Value> {
    let answer = ask(system, "analyst", path).await;
    assert_eq!(answer.status(), 200, "{path}");
    let mut body: Value = answer.json().await.unwrap();
    assert_eq!(body["truncated"], false);
    match body["rows"].take() {
        Value::Array(rows) => rows,
        other => panic!("no rows: {other}"),
    }
}

// 002-4.3
#[tokio::test]
async fn analysts_read_what_their_views_hold_and_nobody_else_does() {
    let system = System::start(&ALL_ROLES).await;
    system.completed(&short_request()).await;
    // The voice cannot speak so short a text for so long.
    let body = json!({ "topic": "Ions", "script": "Ions move.", "quality": "low",
                       "custom_config": { "duration_seconds": 600 } });
    let failing = system.generate(&body).await;
    system.statuses_until_ended(&failing, std::time::Duration::from_secs(100)).await;
    system.read_models().await.caught_up().await;
    for bucket in ["minute", "hour", "day", "week"] {
        let query = format!("bucket={bucket}");
        let sum =
            |rows: &[Value], field: &str| rows.iter().map(|row| row[field].as_f64().unwrap()).sum::<f64>();
        let jobs = rows(&system, &format!("throughput?{query}")).await;
        for (field, expected) in [("requested", 2.0), ("started", 2.0), ("completed", 1.0), ("failed", 1.0)] {
            assert_eq!(sum(&jobs, field), expected, "{bucket} {field}: {jobs:?}");
        }
        assert!(sum(&jobs, "video_seconds") > 0.5 && sum(&jobs, "video_bytes") > 1000.0);
        let stages = rows(&system, &format!("stages?{query}")).await;
        assert_eq!(
            sum(&stages, "completed"),
            9.0,
            "seven of one, and the first two of the other: {stages:?}"
        );
        assert_eq!(sum(&stages, "failed"), 1.0);
        let failures = rows(&system, &format!("failures?{query}")).await;
        assert_eq!(failures.len(), 1, "{failures:?}");
        assert_eq!(failures[0]["error_code"], "DURATION_OUT_OF_REACH");
        let stored = rows(&system, &format!("storage?{query}")).await;
        assert_eq!((sum(&stored, "uploads"), &stored[0]["target"]), (1.0, &json!("local")));
        let latency = rows(&system, &format!("latency?{query}")).await;
        let measures: Vec<&str> = latency.iter().map(|row| row["measure"].as_str().unwrap()).collect();
        assert!(
            measures.contains(&"queue")
                && measures.contains(&"processing")
                && measures.contains(&"rendering")
        );
    }
    let past = rows(&system, "throughput?from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z").await;
    assert!(past.is_empty());
    for kind in KINDS {
        for role in ["user", "auditor"] {
            assert_eq!(error_of(ask(&system, role, kind).await).await.0, 403, "{kind} {role}");
        }
        assert_eq!(ask(&system, "admin", kind).await.status(), 200);
        let text = ask(&system, "analyst", kind).await.text().await.unwrap();
        assert!(!text.contains("Ions"), "no words of users: {text}");
    }
    system.running.stop().await;
}

// 002-8.3
#[tokio::test]
async fn a_period_is_checked_and_bounded() {
    let system = System::start(&API).await;
    for (query, loc) in [
        ("from=yesterday", vec!["from"]),
        ("bucket=year&from=1", vec!["from", "bucket"]),
        ("bucket=minute&from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z", vec!["bucket"]),
        ("from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", vec!["from"]),
        ("bucket='%3B%20drop%20table%20x&to=%00", vec!["bucket", "to"]),
    ] {
        for kind in KINDS {
            let (status, error) = error_of(ask(&system, "analyst", &format!("{kind}?{query}")).await).await;
            assert_eq!((status, &error["error_code"]), (422, &json!("VALIDATION_ERROR")), "{query}");
            let details = error["details"].as_array().unwrap();
            let mut named: Vec<&str> =
                details.iter().map(|detail| detail["loc"][1].as_str().unwrap()).collect();
            let mut expected = loc.clone();
            named.sort_unstable();
            expected.sort_unstable();
            assert_eq!(named, expected, "{query}");
        }
    }
    assert_eq!(error_of(ask(&system, "analyst", "users").await).await.0, 404);
    system.running.stop().await;
}
