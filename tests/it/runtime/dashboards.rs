//! A real Prometheus scrapes a system that makes videos, and answers what dashboards and alerts ask.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use reel_models::scripted::{Received, Reply, Server};
use reelstream::config::ModelsConfig;
use serde_json::{Value, json};

use super::prometheus::{Prometheus, alerts};
use crate::harness::{ALL_ROLES, System, eventually, short_request};

/// Every query of every dashboard, with the dashboard and the panel.
fn dashboard_queries() -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy/grafana");
    let mut queries = vec![];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                let place = format!("{}, {}", dashboard["title"], panel["title"]);
                // As Grafana replaces it.
                let query = target["expr"].as_str().unwrap().replace("$__rate_interval", "1m");
                queries.push((place, query));
            }
        }
    }
    queries
}

fn answer(received: &Received) -> Reply {
    let (_, material) = received.prompt();
    let scene = json!({ "heading": "Clouds", "points": ["How they begin"] });
    Reply::Text(
        match material["task"].as_str() {
            Some("outline") => json!({ "title": "Rain", "language": "en", "opening": "This is about rain.",
            "scenes": [scene.clone(), scene.clone(), scene], "closing": "That is rain." }),
            _ => json!({ "title": "Clouds",
            "blocks": [{ "kind": "flow", "nodes": ["Sea", "Cloud"], "edges": [{ "from": 0, "to": 1 }] }],
            "steps": [{ "narration": "Water rises.", "reveals": [{ "block": 0 }] }] }),
        }
        .to_string(),
    )
}

/// A model, so that there are tokens and costs.
async fn models() -> (Server, ModelsConfig) {
    let server = Server::start(answer).await.unwrap();
    let settings = [
        ("PLANNER_MODEL", "openai/gpt-4o-mini"),
        ("OPENAI_BASE_URL", &server.url),
        ("OPENAI_API_KEY", "sk-test"),
    ];
    let config = ModelsConfig::from_environment(&|name| {
        settings.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    });
    (server, config.unwrap())
}

// 000-6.4, 001-7, 002-4.3
#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_dashboards_and_alerts_has_an_answer() {
    let (_server, models) = models().await;
    let system = System::start_with(&ALL_ROLES, |config| config.models = models).await;
    let prometheus = Prometheus::start(&system, &alerts());
    // Before any job, so that it sees the counters rise.
    eventually("Prometheus scrapes the system", async || {
        prometheus.value("count_over_time(up{job=\"reelstream\"}[1m]) > 1 and up == 1").await.is_some()
    })
    .await;
    let by_model = json!({ "topic": "Why it rains", "quality": "low" });
    let completed = system.completed(&by_model).await;
    system.completed(&short_request()).await;
    let cancelled = system.generate(&short_request()).await;
    let cancel = system.request(reqwest::Method::POST, &format!("/api/v1/jobs/{cancelled}/cancel"));
    assert_eq!(cancel.send().await.unwrap().status(), 200);
    let video = system.get(&format!("/api/v1/videos/jobs/{completed}/download")).await;
    assert!(video.bytes().await.unwrap().len() > 1000);
    system.read_models().await.caught_up().await;
    eventually("Prometheus sees what has ended", async || {
        let ended = "reel_jobs_ended_total{status=\"completed\"} == 2 and on () reel_jobs_ended_total{status=\"cancelled\"} == 1";
        let delivered = "rate(reel_delivered_files_total[1m]) > 0 or count_over_time(reel_delivered_files_total[1m]) > 1";
        prometheus.value(ended).await.is_some() && prometheus.value(delivered).await.is_some()
    })
    .await;

    let queries = dashboard_queries();
    assert!(queries.len() > 40, "{}", queries.len());
    let mut wrong = vec![];
    for (place, query) in queries {
        match prometheus.query(&query).await {
            Err(error) => wrong.push(format!("{place}: {query}: {error}")),
            Ok(series) if series.is_empty() => wrong.push(format!("{place}: {query}: no answer")),
            // Quantiles of what did not happen are no numbers; something did.
            Ok(series) if series.iter().all(|(_, value)| value.is_nan()) => {
                wrong.push(format!("{place}: {query}: {series:?}"));
            }
            Ok(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");

    let rules = prometheus.ask("rules", &[]).await.unwrap();
    let groups = rules["groups"].as_array().unwrap().iter();
    let rules: Vec<&Value> = groups.flat_map(|group| group["rules"].as_array().unwrap()).collect();
    assert!(rules.len() > 15, "{rules:?}");
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        prometheus.query(rule["query"].as_str().unwrap()).await.unwrap();
        // A busy machine may be degraded.
        assert!(rule["state"] != "firing" || rule["labels"]["severity"] != "critical", "{rule}");
    }
    traces_of_slow_observations(&prometheus).await;
    the_api_tells_the_same(&system, &prometheus).await;
    names_follow_the_conventions(&system).await;
    let stopping = tokio::task::spawn_blocking(move || drop(prometheus));
    stopping.await.unwrap();
    system.running.stop().await;
}

// 002-8.2
async fn traces_of_slow_observations(prometheus: &Prometheus) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let (start, end) = ((now - Duration::from_secs(600)).as_secs(), now.as_secs() + 60);
    for metric in
        ["reel_stage_duration_seconds", "reel_http_request_duration_seconds", "reel_append_duration_seconds"]
    {
        let parameters =
            [("query", format!("{metric}_bucket")), ("start", start.to_string()), ("end", end.to_string())];
        let parameters: Vec<_> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let found = prometheus.ask("query_exemplars", &parameters).await.unwrap();
        let traces: Vec<&Value> = found
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|series| series["exemplars"].as_array().unwrap())
            .map(|exemplar| &exemplar["labels"]["trace_id"])
            .collect();
        assert!(!traces.is_empty(), "{metric}");
        for trace in traces {
            let is_hex = |text: &str| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert!(trace.as_str().is_some_and(is_hex), "{trace}");
        }
    }
}

/// `/system/metrics` and Prometheus tell the same once nothing happens any more.
async fn the_api_tells_the_same(system: &System, prometheus: &Prometheus) {
    let queries = [
        ("jobs_ended", Some("completed"), "reel_jobs_ended_total{status=\"completed\"}"),
        ("jobs_ended", Some("cancelled"), "reel_jobs_ended_total{status=\"cancelled\"}"),
        ("estimated_jobs", None, "reel_estimated_jobs_total"),
        ("late_jobs", None, "reel_estimated_jobs_late_total"),
        ("appended_events", None, "reel_appended_events_total"),
        ("model_tokens", None, "sum(reel_model_tokens_total)"),
        ("model_cost_dollars", None, "sum(reel_model_cost_dollars_total)"),
    ];
    let mut told = Value::Null;
    let mut asked = vec![];
    eventually("both tell the same", async || {
        told = system.get("/api/v1/system/metrics").await.json().await.unwrap();
        asked.clear();
        for (field, part, query) in queries {
            let totals = &told["totals"][field];
            let told = part.map_or(totals, |part| &totals[part]).as_f64().unwrap();
            asked.push((query, told, prometheus.value(query).await.unwrap()));
        }
        asked.iter().all(|(_, told, asked)| (told - asked).abs() < 1e-9)
    })
    .await;
    assert_eq!(told["totals"]["estimated_jobs"], 2, "{asked:?}");
    assert!(told["totals"]["model_cost_dollars"].as_f64().unwrap() > 0.0, "{asked:?}");
    let appends = &told["totals"]["durations"]["append"];
    let mean = appends["total_seconds"].as_f64().unwrap() / appends["count"].as_f64().unwrap();
    assert!(mean < 5.0 && appends["percentiles"]["p50_seconds"].as_f64().unwrap() > 0.0, "{appends}");
    let counted = "sum(reel_append_duration_seconds_count)";
    assert!(prometheus.value(counted).await.unwrap() >= 20.0);
}

/// As Prometheus' own linter judges them.
async fn names_follow_the_conventions(system: &System) {
    let text = system.get("/metrics").await.text().await.unwrap();
    let mut linter = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut linter.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let output = linter.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    assert!(output.status.success() && said.is_empty(), "{said}");
}
