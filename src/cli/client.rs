//! A client of the HTTP API, with errors for people.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::ids::JobId;

/// Longer than the longest `?wait`.
const PATIENCE: Duration = Duration::from_secs(40);
/// More than any script that the API takes.
const SCRIPT_BYTES: u64 = 1 << 20;

pub struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Client {
    pub fn new(url: &str, token: &str) -> anyhow::Result<Self> {
        let http =
            reqwest::Client::builder().timeout(PATIENCE).build().context("cannot set up the HTTP client")?;
        Ok(Self { http, base: url.trim_end_matches('/').to_owned(), token: token.to_owned() })
    }

    pub async fn generate(&self, body: &Value) -> anyhow::Result<JobId> {
        let answer = self.ask(Method::POST, "/videos/generate", Some(body)).await?;
        let id = answer["job_id"].as_str().context("the API's answer has no job_id")?;
        id.parse().context("the API's job_id is no UUID")
    }

    pub async fn status(&self, job_id: JobId) -> anyhow::Result<Value> {
        self.ask(Method::GET, &format!("/videos/jobs/{job_id}/status"), None).await
    }

    /// The status once it differs from `version`, or as it is after a while.
    pub async fn changed_status(&self, job_id: JobId, version: u64) -> anyhow::Result<Option<Value>> {
        let url = format!("{}/api/v1/videos/jobs/{job_id}/status?wait=5", self.base);
        let request = self.http.get(url).bearer_auth(&self.token);
        let answer = self.send(request.header("If-None-Match", format!("\"v{version}\""))).await?;
        if answer.status() == StatusCode::NOT_MODIFIED { Ok(None) } else { read(answer).await.map(Some) }
    }

    pub async fn cancel(&self, job_id: JobId) -> anyhow::Result<Value> {
        self.ask(Method::POST, &format!("/jobs/{job_id}/cancel"), None).await
    }

    /// All events of a job, a part at a time.
    pub async fn events(&self, job_id: JobId) -> anyhow::Result<Vec<Value>> {
        let mut events = vec![];
        let mut from = Some(1);
        while let Some(version) = from {
            let path = format!("/jobs/{job_id}/events?from_version={version}");
            let mut answer = self.ask(Method::GET, &path, None).await?;
            match answer["events"].take() {
                Value::Array(part) => events.extend(part),
                _ => bail!("the API's answer has no events"),
            }
            from = answer["next_version"].as_u64();
        }
        Ok(events)
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let request =
            self.http.request(method, format!("{}/api/v1{path}", self.base)).bearer_auth(&self.token);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        read(self.send(request).await?).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<reqwest::Response> {
        request.send().await.map_err(|error| {
            if error.is_connect() {
                anyhow::anyhow!(
                    "no API answers at {}; start one with `reel dev`, or name another with --api",
                    self.base
                )
            } else {
                anyhow::Error::from(error)
            }
        })
    }
}

async fn read(answer: reqwest::Response) -> anyhow::Result<Value> {
    let status = answer.status();
    let body: Value =
        answer.json().await.with_context(|| format!("the API answered {status} without JSON"))?;
    if status.is_success() {
        return Ok(body);
    }
    let error = &body["error"];
    let mut message = error["message"].as_str().unwrap_or("no message").to_owned();
    for detail in error["details"].as_array().into_iter().flatten() {
        let place: Vec<&str> =
            detail["loc"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        message.push_str(&format!("; {} {}", place.join("."), detail["msg"].as_str().unwrap_or_default()));
    }
    bail!("the API answered {status}: {message}")
}

/// A script from a file, or from standard input when the path is `-`.
pub fn read_script(path: &Path) -> anyhow::Result<String> {
    let mut bytes = vec![];
    let read = if path == Path::new("-") {
        std::io::stdin().take(SCRIPT_BYTES + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(SCRIPT_BYTES + 1).read_to_end(&mut bytes))
    };
    read.with_context(|| format!("cannot read {}", path.display()))?;
    if bytes.len() as u64 > SCRIPT_BYTES {
        bail!(
            "{} is larger than {SCRIPT_BYTES} bytes; a script has at most 200,000 characters",
            path.display()
        );
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let byte = error.as_bytes()[at];
        anyhow::anyhow!("{} is not UTF-8 text: byte 0x{byte:02x} at offset {at}", path.display())
    })
}

/// The title that the script gives its video, else the file's name.
pub fn topic_of(script: &str, path: &Path) -> String {
    let request = reel_planner::Request {
        topic: "",
        context: None,
        script: Some(script),
        title: None,
        duration_ms: None,
    };
    let title =
        reel_planner::plan(&request).ok().map(|plan| plan.title).filter(|title| title.trim().len() >= 3);
    let name =
        || path.file_stem().map(|stem| stem.to_string_lossy().replace(['-', '_'], " ")).unwrap_or_default();
    let topic: String = title.unwrap_or_else(name).chars().take(500).collect();
    if topic.chars().count() < 3 { format!("Video {topic}") } else { topic }
}

pub fn request(topic: &str, script: &str, quality: Option<&str>, priority: Option<&str>) -> Value {
    let mut body = json!({ "topic": topic, "script": script });
    for (name, value) in [("quality", quality), ("priority", priority)] {
        if let Some(value) = value {
            body[name] = json!(value);
        }
    }
    body
}
