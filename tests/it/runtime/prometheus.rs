//! A real Prometheus that scrapes a system.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use reelstream::dev::free_port;
use serde_json::{Value, json};
use url::Url;

use crate::harness::System;

/// The rules that are delivered.
pub fn alerts() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/alerts.yml")
}

/// Debian's, which `scripts/tools` fetches.
pub struct Prometheus {
    process: Child,
    url: String,
}

impl Prometheus {
    /// Scrapes the system's API once a second, and follows the rules of a file.
    pub fn start(system: &System, rules: &Path) -> Self {
        let folder = system.servers.folder.path();
        let target = system.running.url.strip_prefix("http://").unwrap();
        let config = json!({
            "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
            "rule_files": [rules],
            "scrape_configs": [{ "job_name": "reelstream", "static_configs": [{ "targets": [target] }] }],
        });
        let file = folder.join("prometheus.yml");
        // JSON is YAML.
        std::fs::write(&file, config.to_string()).unwrap();
        let address = format!("127.0.0.1:{}", free_port().unwrap());
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("prometheus").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(["--enable-feature=exemplar-storage", "--log.level=warn"])
            .stdin(Stdio::null())
            .spawn()
            .expect("scripts/tools fetches prometheus, and prints the folder for the PATH");
        Self { process, url: format!("http://{address}") }
    }

    /// The data of an answer; `Err` with what it says went wrong.
    pub async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let url = Url::parse_with_params(&format!("{}/api/v1/{path}", self.url), parameters).unwrap();
        let answer = reqwest::get(url.as_str()).await.map_err(|error| error.to_string())?;
        let mut answer: Value = answer.json().await.map_err(|error| error.to_string())?;
        match answer["status"] == "success" {
            true => Ok(answer["data"].take()),
            false => Err(answer["error"].to_string()),
        }
    }

    /// The values of a query's series, with their labels.
    pub async fn query(&self, query: &str) -> Result<Vec<(Value, f64)>, String> {
        let data = self.ask("query", &[("query", query)]).await?;
        let series = data["result"].as_array().unwrap().iter();
        let value = |one: &Value| one["value"][1].as_str().unwrap().parse().unwrap();
        Ok(series.map(|one| (one["metric"].clone(), value(one))).collect())
    }

    /// The value of the query's first series; `None` while no series matches.
    pub async fn value(&self, query: &str) -> Option<f64> {
        self.query(query).await.ok()?.first().map(|(_, value)| *value)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _gone_already = self.process.kill();
        let _ended = self.process.wait();
    }
}
