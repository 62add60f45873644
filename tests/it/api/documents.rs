//! The OpenAPI document, and the pages that show it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reelstream::api::{Access, openapi, routes};
use reelstream::app::Role;
use reqwest::Method;
use serde_json::{Value, json};

use super::schema::{faults, resolve};
use crate::harness::{ALL_ROLES, System, error_of, short_request};

static API: [Role; 1] = [Role::Api];

/// Every operation, with its method and path.
fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let of_path = |(path, item): (&String, &'_ Value)| -> Vec<(String, String)> {
        let methods = item.as_object().unwrap().keys();
        methods.map(|method| (method.clone(), path.clone())).collect()
    };
    let names: Vec<(String, String)> = paths.iter().flat_map(of_path).collect();
    names
        .into_iter()
        .map(|(method, path)| {
            let operation = &document["paths"][&path][&method];
            (method, path, operation)
        })
        .collect()
}

/// A response, through its reference if it is one.
fn response<'a>(document: &'a Value, response: &'a Value) -> &'a Value {
    response["$ref"].as_str().map_or(response, |reference| resolve(document, reference).unwrap())
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                found.insert(reference.clone());
            }
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

// 002-7.3, 002-7.4
#[test]
fn the_document_is_complete() {
    let document = openapi();
    let mut ids = BTreeMap::new();
    for (method, path, operation) in operations(&document) {
        let name = format!("{method} {path}");
        let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{name} has no operationId"));
        assert_eq!(ids.insert(id.to_owned(), name.clone()), None, "{id} occurs twice");
        for field in ["summary", "description"] {
            assert!(operation[field].as_str().is_some_and(|text| !text.is_empty()), "{name} has no {field}");
        }
        let known: Vec<&Value> =
            document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
        assert!(operation["tags"].as_array().unwrap().iter().all(|tag| known.contains(&tag)), "{name}: tags");
    }
    let mut all = BTreeSet::new();
    references(&document, &mut all);
    assert!(all.len() > 30);
    for reference in &all {
        assert!(resolve(&document, reference).is_some(), "{reference} leads nowhere");
    }
    for (name, _) in document["components"]["schemas"].as_object().unwrap() {
        assert!(!name.contains('.'), "{name} is a path of this program");
        let is_used = all.contains(&format!("#/components/schemas/{name}"));
        assert!(is_used, "nothing refers to the schema {name}");
    }
    let routes = routes();
    let documented = routes.iter().filter(|route| {
        let prefix = if route.is_versioned { "/api/v1" } else { "" };
        let item = &document["paths"][format!("{prefix}/{}", route.path)];
        !item[route.method.as_str().to_ascii_lowercase()].is_null()
    });
    let pages = ["openapi.json", "docs", "docs/{file}", "redoc"];
    let expected = routes.iter().filter(|route| !pages.contains(&route.path)).count();
    assert_eq!(documented.count(), expected, "every route but the pages is documented");
}

// 002-7.4, 002-8.1
#[test]
fn every_answer_has_an_example_of_its_schema_and_every_error_is_told() {
    let document = openapi();
    let by_path: BTreeMap<(String, String), Access> = routes()
        .into_iter()
        .map(|route| {
            let prefix = if route.is_versioned { "/api/v1" } else { "" };
            let method = route.method.as_str().to_ascii_lowercase();
            ((method, format!("{prefix}/{}", route.path)), route.access)
        })
        .collect();
    for (method, path, operation) in operations(&document) {
        let name = format!("{method} {path}");
        let responses = operation["responses"].as_object().unwrap();
        let statuses: Vec<&str> = responses.keys().map(String::as_str).collect();
        for (status, given) in responses {
            let given = response(&document, given);
            assert!(given["description"].as_str().is_some_and(|text| !text.is_empty()), "{name} {status}");
            assert!(!given["headers"]["X-Request-Id"].is_null(), "{name} {status}");
            let content = given["content"].as_object();
            if method == "head" || ["101", "204", "304"].contains(&status.as_str()) {
                assert!(content.is_none(), "{name} {status} has no body");
                continue;
            }
            let content = content.unwrap_or_else(|| panic!("{name} {status} has no content"));
            for (media_type, body) in content {
                let example = &body["example"];
                assert!(!example.is_null(), "{name} {status} {media_type} has no example");
                let found = faults(&document, &body["schema"], example);
                assert!(found.is_empty(), "{name} {status}: {found:#?}");
            }
        }
        let access = by_path[&(method.clone(), path.clone())];
        let mut expected = vec!["429"];
        if access == Access::Public {
            assert_eq!(operation["security"], json!([]), "{name}");
        } else {
            assert_eq!(operation["security"], json!([{ "bearer": [] }]), "{name}");
            expected.extend(["401", "503"]);
        }
        if !matches!(access, Access::Public | Access::User) {
            expected.push("403");
        }
        if path.contains('{') {
            expected.push("404");
        }
        if !operation["requestBody"].is_null() {
            expected.extend(["400", "408", "413"]);
            // A signed message is taken or not as a whole, whatever it says that it is.
            if operation["operationId"] != "receive_clerk_webhook" {
                expected.extend(["415", "422"]);
            }
        }
        for status in expected {
            assert!(statuses.contains(&status), "{name} does not tell of {status}: {statuses:?}");
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let is_opaque = parameter["name"] == "cursor" || parameter["name"] == "actor";
            assert!(is_opaque || !parameter["example"].is_null(), "{name}: {parameter}");
            let found = faults(&document, &parameter["schema"], &parameter["example"]);
            assert!(is_opaque || found.is_empty(), "{name}: {found:?}");
        }
    }
}

/// The schema of an operation's success.
fn success<'a>(document: &'a Value, id: &str) -> &'a Value {
    let all = operations(document);
    let (.., operation) = all.iter().find(|(.., operation)| operation["operationId"] == id).unwrap();
    let responses = operation["responses"].as_object().unwrap();
    let (_, given) = responses.iter().find(|(status, _)| status.starts_with('2')).unwrap();
    &given["content"]["application/json"]["schema"]
}

#[track_caller]
fn assert_fits(document: &Value, id: &str, answer: &Value) {
    let found = faults(document, success(document, id), answer);
    assert!(found.is_empty(), "{id}: {found:#?}\n{answer:#}");
}

// 002-7.5
#[tokio::test]
async fn what_is_answered_is_what_the_document_says() {
    let document = openapi();
    let system = System::start(&ALL_ROLES).await;
    let accepted: Value =
        system.post("/api/v1/videos/generate", &short_request()).await.json().await.unwrap();
    assert_fits(&document, "generate_video", &accepted);
    let done = accepted["job_id"].as_str().unwrap().to_owned();
    system.statuses_until_ended(&done, Duration::from_secs(100)).await;
    let mut body = short_request();
    body["custom_config"] = json!({ "duration_seconds": 600 });
    let failed = system.generate(&body).await;
    system.statuses_until_ended(&failed, Duration::from_secs(100)).await;
    system.read_models().await.caught_up().await;
    let get = async |path: &str| -> Value {
        let request = system.anonymous(Method::GET, path).bearer_auth(system.token("admin_1", "admin"));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().await.unwrap()
    };
    for job in [&done, &failed] {
        for (id, path) in [
            ("get_job", format!("jobs/{job}")),
            ("get_job_status", format!("videos/jobs/{job}/status")),
            ("list_scenes", format!("videos/jobs/{job}/scenes")),
            ("list_job_events", format!("jobs/{job}/events")),
            ("list_job_logs", format!("jobs/{job}/logs")),
            ("list_recorded_events", format!("audit/jobs/{job}/events")),
            ("get_state_at", format!("audit/jobs/{job}/state")),
            ("verify_job", format!("audit/jobs/{job}/verify")),
        ] {
            assert_fits(&document, id, &get(&format!("/api/v1/{path}")).await);
        }
    }
    for (id, path) in [
        ("get_video_metadata", format!("videos/jobs/{done}/metadata")),
        ("get_video_url", format!("videos/jobs/{done}/video-url")),
        ("list_all_jobs", "system/jobs".to_owned()),
        ("get_me", "auth/me".to_owned()),
        ("get_health", "system/health".to_owned()),
        ("get_metrics", "system/metrics".to_owned()),
        ("get_queue_status", "system/queue-status".to_owned()),
        ("list_trail", "audit/events".to_owned()),
        ("get_throughput", "analytics/throughput".to_owned()),
        ("get_stages", "analytics/stages".to_owned()),
        ("get_failures", "analytics/failures".to_owned()),
        ("get_storage", "analytics/storage".to_owned()),
        ("get_latency", "analytics/latency".to_owned()),
    ] {
        assert_fits(&document, id, &get(&format!("/api/v1/{path}")).await);
    }
    let served: Value = get("/openapi.json").await;
    assert_eq!(served, document);
    system.running.stop().await;
}

// 002-7.1, 002-7.2
#[tokio::test]
async fn the_pages_load_nothing_from_elsewhere() {
    let system = System::start(&API).await;
    let get = async |path: &str| system.anonymous(Method::GET, path).send().await.unwrap();
    for page in ["/docs", "/redoc"] {
        let answer = get(page).await;
        assert_eq!(answer.status(), 200, "{page}");
        let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self';"), "{policy}");
        assert!(!policy.contains("http") && !policy.contains('*'), "{policy}");
        let html = answer.text().await.unwrap();
        assert!(!html.contains("http:") && !html.contains("https:") && !html.contains("<script>"), "{html}");
        let loaded: Vec<&str> =
            html.split(['"', '\n']).filter(|part| part.starts_with('/') && part.len() > 1).collect();
        assert!(loaded.len() >= 2, "{html}");
        for path in loaded {
            let asset = get(path).await;
            assert_eq!(asset.status(), 200, "{path}");
            let etag = asset.headers()["etag"].clone();
            let kind = asset.headers()["content-type"].to_str().unwrap().to_owned();
            assert!(kind.starts_with(if path.ends_with(".css") { "text/css" } else { "text/javascript" }));
            let is_packed = asset.headers().get("content-encoding").is_some_and(|coding| coding == "gzip");
            let bytes = asset.bytes().await.unwrap();
            assert_eq!(is_packed, bytes.starts_with(&[0x1f, 0x8b]), "{path}");
            let again =
                system.anonymous(Method::GET, path).header("If-None-Match", etag).send().await.unwrap();
            assert_eq!(again.status(), 304, "{path}");
        }
    }
    for path in ["/docs/%2e%2e%2fREADME.md", "/docs/nothing.js"] {
        assert_eq!(error_of(get(path).await).await.0, 404, "{path}");
    }
    system.running.stop().await;
}

/// The programs of a language in docs/API.md.
fn programs(language: &str) -> Vec<String> {
    let guide = include_str!("../../../docs/API.md");
    let fence = format!("```{language} runnable\n");
    let blocks = guide.split(fence.as_str()).skip(1);
    blocks.map(|rest| rest.split("\n```").next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_programs_of_the_guide_make_videos() {
    let system = System::start(&ALL_ROLES).await;
    let token = system.token("user_guide", "user");
    for (language, program, arguments, gives_file) in [
        ("sh", "sh", ["-c"].as_slice(), true),
        ("js", "node", &["--input-type=module", "-e"], false),
        ("python", "python3", &["-c"], true),
    ] {
        let texts = programs(language);
        assert_eq!(texts.len(), 1, "{language}");
        let out = system.servers.folder.path().join(format!("{language}.mp4"));
        let mut command = tokio::process::Command::new(program);
        command
            .args(arguments)
            .arg(&texts[0])
            .env("REEL_API_URL", &system.running.url)
            .env("REEL_TOKEN", &token);
        let ended = command.env("OUT", &out).kill_on_drop(true).output();
        let ended = tokio::time::timeout(Duration::from_secs(120), ended).await.expect("it ends").unwrap();
        let said =
            String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{language}: {said}");
        assert!(said.contains("100"), "{language} tells the progress: {said}");
        if gives_file {
            let video = std::fs::read(&out).unwrap();
            assert_eq!(&video[4..8], b"ftyp", "{language} has an MP4");
        } else {
            assert!(said.contains("/stream"), "{said}");
        }
    }
    system.running.stop().await;
}
