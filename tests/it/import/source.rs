//! A source of jobs: a Redis of its own, and a folder of files, as the Python backend leaves them.

use std::path::{Path, PathBuf};
use std::process::Output;

use redis::Cmd;
use reelstream::dev::PrivateRedis;
use reelstream::events::connection::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{System, connect, folder};

pub const CREATED: &str = "2025-03-04T05:06:07.123456";
pub const STARTED: &str = "2025-03-04T05:06:09";
pub const ENDED: &str = "2025-03-04T05:08:00";

pub struct SourceBackend {
    pub redis: PrivateRedis,
    pub folder: TempDir,
    pub connection: Connection,
}

/// The output and the report of a run.
pub struct Ran {
    pub output: Output,
    pub lines: Vec<Value>,
}

impl SourceBackend {
    pub async fn start() -> Self {
        let folder = folder();
        let redis = PrivateRedis::start(&folder.path().join("redis")).unwrap();
        std::fs::create_dir(folder.path().join("files")).unwrap();
        let connection = connect(&redis.url()).await;
        Self { redis, folder, connection }
    }

    pub fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    pub async fn run(&mut self, command: &mut Cmd) {
        command.query_async::<redis::Value>(&mut self.connection).await.unwrap();
    }

    pub async fn hash(&mut self, key: &str, fields: &[(&str, &[u8])]) {
        let mut command = redis::cmd("HSET");
        command.arg(key);
        for (name, value) in fields {
            command.arg(name).arg(*value);
        }
        self.run(&mut command).await;
    }

    /// A job as the backend writes it, with other fields in the place of some.
    pub async fn job(&mut self, id: &str, status: &str, others: &[(&str, &[u8])]) {
        let configuration = json!({
            "topic": format!("Ions of {id}"), "context": "How ions move in a battery.", "quality": "low",
            "enable_subtitles": true, "tags": ["Physics"],
        });
        let configuration = configuration.to_string();
        let usual: [(&str, &[u8]); 9] = [
            ("id", id.as_bytes()),
            ("user_id", b"user_1"),
            ("status", status.as_bytes()),
            ("priority", b"high"),
            ("configuration", configuration.as_bytes()),
            ("created_at", CREATED.as_bytes()),
            ("started_at", STARTED.as_bytes()),
            ("completed_at", ENDED.as_bytes()),
            ("progress", br#"{"percentage": 40, "current_stage": "rendering"}"#),
        ];
        self.hash(&format!("jobs:{id}"), &usual).await;
        if !others.is_empty() {
            self.hash(&format!("jobs:{id}"), others).await;
        }
        let mut listed = redis::cmd("SADD");
        self.run(listed.arg("user_jobs:user_1").arg(id)).await;
    }

    /// A completed job with its video in the folder.
    pub async fn completed(&mut self, id: &str) {
        let path = format!("{id}.mp4");
        write_video(&self.files().join(&path));
        self.job(id, "completed", &[("video_id", format!("v-{id}").as_bytes())]).await;
        let video = format!("videos:v-{id}");
        self.hash(&video, &[("job_id", id.as_bytes()), ("file_path", path.as_bytes())]).await;
    }

    /// Runs the import with the folder of files, and reads its report.
    pub fn import(&self, system: &System, more: &[&str]) -> Ran {
        let files = self.files().display().to_string();
        self.import_with(system, &[&["--files", files.as_str()], more].concat(), &[])
    }

    pub fn import_with(&self, system: &System, arguments: &[&str], env: &[(&str, String)]) -> Ran {
        let report = self.folder.path().join("report.jsonl");
        let _none_yet = std::fs::remove_file(&report);
        let (url, path) = (self.redis.url(), report.display().to_string());
        let own = ["import", "--from", url.as_str(), "--report", path.as_str()];
        let output = system.reel_with(&[&own, arguments].concat(), env);
        let text = std::fs::read_to_string(&report).unwrap_or_default();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Ran { output, lines }
    }
}

impl Ran {
    pub fn text(&self) -> String {
        let Output { stdout, stderr, .. } = &self.output;
        format!("{}{}", String::from_utf8_lossy(stdout), String::from_utf8_lossy(stderr))
    }

    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert!(self.output.status.success(), "{}", self.text());
        self
    }

    pub fn summary(&self) -> &Value {
        &self.lines.last().unwrap()["summary"]
    }

    /// The figures of a run: imported, submitted again, already there, skipped.
    #[track_caller]
    pub fn counted(&self, expected: [u64; 4]) {
        let names = ["imported", "resubmitted", "already_there", "skipped"];
        let found = names.map(|name| self.summary()[name].as_u64().unwrap());
        assert_eq!(found, expected, "{}", self.text());
    }

    pub fn line(&self, name: &str) -> &Value {
        self.lines
            .iter()
            .find(|line| line["name"] == name)
            .unwrap_or_else(|| panic!("{name}: {}", self.text()))
    }
}

/// Two seconds of pictures and sound.
pub fn write_video(path: &Path) {
    let made = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-f", "lavfi", "-i", "testsrc=size=320x180:rate=25", "-f", "lavfi"])
        .args(["-i", "sine=frequency=440", "-t", "2", "-c:v", "libx264", "-preset", "ultrafast"])
        .args(["-pix_fmt", "yuv420p", "-c:a", "aac", "-movflags", "+faststart"])
        .arg(path)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

pub fn write_picture(path: &Path) {
    let made = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-f", "lavfi", "-i", "testsrc=size=320x180", "-frames:v", "1"])
        .arg(path)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}
