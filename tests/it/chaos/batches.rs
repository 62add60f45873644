//! A process that is killed right after it has recorded a batch, before it requested any of the jobs.

use std::process::{Child, Command};

use reelstream::app::Role;
use reelstream::dev::free_port;
use reelstream::ids::JobId;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{MASTER_KEY, System, eventually};

static PROJECTOR: [Role; 1] = [Role::Projector];

/// The API as a process of its own, which ends with the test.
struct Serving {
    child: Child,
    url: String,
}

impl Serving {
    async fn start(system: &System, crash_at: Option<&str>) -> Self {
        let (config, port) = (&system.config, free_port().unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_reel"));
        command
            .arg("serve")
            .env("REDIS_URL", &config.redis.url)
            .env("REEL_PREFIX", &config.redis.prefix)
            .env("DATABASE_URL", &config.postgres.url)
            .env("CLERK_ISSUER", system.issuer.url())
            .env("REEL_MASTER_KEY", MASTER_KEY)
            .env("REEL_SIGNING_KEY", MASTER_KEY)
            .env("ARCHIVE_ROOT", &config.archive.root)
            .env("MEDIA_ROOT", &config.media.root)
            .env("REEL_BIND", format!("127.0.0.1:{port}"))
            .env("REEL_LOG", "warn");
        if let Some(point) = crash_at {
            command.env("REEL_CRASH_AT", format!("{point}:1"));
        }
        let serving = Self { child: command.spawn().unwrap(), url: format!("http://127.0.0.1:{port}") };
        let healthy = format!("{}/healthz", serving.url);
        eventually("the API listens", async || reqwest::get(&healthy).await.is_ok()).await;
        serving
    }

    async fn post(&self, system: &System, body: &Value) -> reqwest::Result<reqwest::Response> {
        let request =
            reqwest::Client::new().request(Method::POST, format!("{}/api/v1/videos/batch", self.url));
        let request = request.bearer_auth(system.token("user_1", "user")).header("Idempotency-Key", "key");
        request.json(body).send().await
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

// 000-5, 002-10.1
#[tokio::test(flavor = "multi_thread")]
async fn the_jobs_of_a_batch_come_into_being_though_its_process_is_killed() {
    let system = System::start(&PROJECTOR).await;
    let job = json!({ "topic": "Ions", "script": "Ions move.", "quality": "low" });
    let body = json!({ "jobs": vec![job; 10] });
    let mut dying = Serving::start(&system, Some("batch.accepted")).await;
    assert!(dying.post(&system, &body).await.is_err(), "it dies before it answers");
    assert!(!dying.child.wait().unwrap().success());

    let alive = Serving::start(&system, None).await;
    let log = system.log().await;
    // The jobs are there without anybody asking again; whoever does gets the same batch.
    eventually("all jobs are requested", async || {
        let mut jobs = 0;
        for partition in log.keys().partitions() {
            let events = log.read(partition, 0, 1000).await.unwrap();
            jobs += events.iter().filter(|(_, event)| event.event_type == "JobRequested").count();
        }
        jobs == 10
    })
    .await;
    let again = alive.post(&system, &body).await.unwrap();
    assert_eq!(
        (again.status().as_u16(), again.headers()["idempotent-replayed"].to_str().unwrap()),
        (201, "true")
    );
    let again: Value = again.json().await.unwrap();
    for job_id in again["job_ids"].as_array().unwrap() {
        let job_id: JobId = job_id.as_str().unwrap().parse().unwrap();
        assert_eq!(log.history(job_id.aggregate(), 0).await.unwrap().len(), 3, "requested once");
    }
    system.running.stop().await;
}
