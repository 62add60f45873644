//! One of everything that a user can have, in every state that it can be in.

use std::collections::BTreeMap;
use std::time::Duration;

use reelstream::app::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Running, System, short_request};

static WORKER: [Role; 1] = [Role::Worker];
const BOUNDARY: &str = "belongings";

/// The things of `user_1`, by the names that paths have for their ids.
pub struct Belongings {
    pub ids: BTreeMap<&'static str, Vec<String>>,
}

impl Belongings {
    /// Makes them, with a worker that stops before this returns: what still waits goes on waiting. The system has an API and
    /// a projector.
    pub async fn make(system: &System) -> Self {
        let workers = Running::start(system.config.clone(), &WORKER).await;
        let completed = system.completed(&short_request()).await;
        let mut body = short_request();
        body["custom_config"] = json!({ "duration_seconds": 600 });
        let failed = system.generate(&body).await;
        let last = system.statuses_until_ended(&failed, Duration::from_secs(60)).await.pop().unwrap();
        assert_eq!(last["status"], "failed", "{last}");
        workers.stop().await;

        let (waiting, cancelled) =
            (system.generate(&short_request()).await, system.generate(&short_request()).await);
        let deleted = system.generate(&short_request()).await;
        for job in [&cancelled, &deleted] {
            let answer = system.post(&format!("/api/v1/jobs/{job}/cancel"), &json!({})).await;
            assert_eq!(answer.status(), 200);
        }
        let answer = system.request(Method::DELETE, &format!("/api/v1/jobs/{deleted}")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let batch = json!({ "jobs": [short_request(), short_request()] });
        let batch = created(system, "videos/batch", &batch).await["batch_id"].clone();
        let settings = json!({ "name": "Lectures", "quality": "low" });
        let configuration = created(system, "configurations", &settings).await["configuration_id"].clone();
        let ids = [
            ("job_id", vec![completed.clone(), failed, waiting, cancelled, deleted]),
            ("batch_id", vec![text(&batch)]),
            ("configuration_id", vec![text(&configuration)]),
            ("upload_id", vec![upload(system).await]),
            ("file", stream_files(system, &completed).await),
        ];
        system.read_models().await.caught_up().await;
        Self { ids: ids.into() }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

async fn created(system: &System, path: &str, body: &Value) -> Value {
    let answer = system.post(&format!("/api/v1/{path}"), body).await;
    let status = answer.status();
    let body: Value = answer.json().await.unwrap();
    assert_eq!(status, 201, "{body}");
    body
}

async fn upload(system: &System) -> String {
    let body = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"files\"; filename=\"ions.txt\"\r\n\r\nIons move.\r\n--{BOUNDARY}--\r\n"
    );
    let request = system.request(Method::POST, "/api/v1/uploads/content");
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let answer = request.header("Content-Type", kind).body(body).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    text(&answer.json::<Value>().await.unwrap()["uploads"][0]["upload_id"])
}

/// The names of the files of a job's stream, from its master playlist on.
async fn stream_files(system: &System, job: &str) -> Vec<String> {
    let mut names = vec!["master.m3u8".to_owned()];
    let mut read = 0;
    while let Some(playlist) = names.get(read).filter(|name| name.ends_with(".m3u8")) {
        let path = format!("/api/v1/videos/jobs/{job}/hls/{playlist}");
        let answer = system.get(&path).await;
        assert_eq!(answer.status(), 200, "{path}");
        for line in answer.text().await.unwrap().lines() {
            let is_new = !line.is_empty() && !line.starts_with('#') && !names.iter().any(|name| name == line);
            names.extend(is_new.then(|| line.to_owned()));
        }
        read += 1;
    }
    assert!(names.iter().any(|name| name.ends_with(".mp4")), "{names:?}");
    names
}
