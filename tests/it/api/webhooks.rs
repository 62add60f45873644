//! Who asked for it is told that a job has ended: signed, again and again until it is taken, and never a private network.

use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::Utc;
use reelstream::app::Role;
use reelstream::config::Config;
use reelstream::events::{AggregateKind, Envelope};
use reelstream::webhooks::TargetPolicy;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::{
    ALL_ROLES, MASTER_KEY, Running, System, WEBHOOK_SECRET, error_of, eventually, short_request,
};

static API: [Role; 1] = [Role::Api];
static WORKER: [Role; 1] = [Role::Worker];
static API_AND_WORKER: [Role; 2] = [Role::Api, Role::Worker];
static API_AND_PROJECTOR: [Role; 2] = [Role::Api, Role::Projector];

/// A message as it arrived.
#[derive(Debug, Clone)]
struct Received {
    path: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    body: String,
}

impl Received {
    fn header(&self, name: &str) -> &str {
        &self.headers.iter().find(|(other, _)| other == name).unwrap().1
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Answers as a test tells it to, the last way for ever.
struct Receiver {
    url: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    async fn start(answers: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}/hooks", listener.local_addr().unwrap());
        let received = Arc::new(Mutex::new(vec![]));
        let messages = received.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let message = read_message(&mut stream).await;
                let number = {
                    let mut messages = messages.lock().unwrap();
                    messages.push(message);
                    messages.len() - 1
                };
                let answer = answers.get(number).or(answers.last()).unwrap();
                let head = format!("HTTP/1.1 {answer}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
                let _sender_may_have_left = stream.write_all(head.as_bytes()).await;
            }
        });
        Self { url, received }
    }

    fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    async fn messages(&self, count: usize) -> Vec<Received> {
        eventually("the messages arrive", async || self.received().len() >= count).await;
        self.received()
    }
}

async fn read_message(stream: &mut tokio::net::TcpStream) -> Received {
    let mut bytes = vec![];
    loop {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).await.unwrap();
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            assert!(read > 0, "cut off: {text}");
            continue;
        };
        let mut lines = head.lines();
        let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
        let header =
            |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
        let headers: Vec<_> = lines.filter_map(header).collect();
        let length =
            headers.iter().find(|(name, _)| name == "content-length").map_or("0", |(_, length)| length);
        if body.len() == length.parse::<usize>().unwrap() {
            return Received { path, headers, body: body.to_owned() };
        }
    }
}

/// HMAC (RFC 2104) written out, so that the signature is checked by other means than it was made with.
fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    assert!(key.len() <= 64);
    let padded =
        |with: u8| -> Vec<u8> { (0..64).map(|index| key.get(index).copied().unwrap_or(0) ^ with).collect() };
    let hash = |bytes: Vec<u8>| digest::digest(&digest::SHA256, &bytes).as_ref().to_vec();
    let inner = hash([padded(0x36), message.to_vec()].concat());
    hash([padded(0x5c), inner].concat())
}

fn check_signature(message: &Received) {
    let (id, timestamp) = (message.header("webhook-id"), message.header("webhook-timestamp"));
    assert!(Utc::now().timestamp().abs_diff(timestamp.parse().unwrap()) < 60, "{timestamp}");
    let key = STANDARD.decode(WEBHOOK_SECRET.strip_prefix("whsec_").unwrap()).unwrap();
    let tag = hmac_sha256(&key, format!("{id}.{timestamp}.{}", message.body).as_bytes());
    assert_eq!(message.header("webhook-signature"), format!("v1,{}", STANDARD.encode(tag)));
    assert_eq!(message.header("content-type"), "application/json");
}

fn patient(config: &mut Config) {
    config.webhooks.policy = TargetPolicy { allows_private: true };
    config.webhooks.first_delay = Duration::from_millis(50);
}

fn request(url: &str) -> Value {
    let mut body = short_request();
    body["callback_url"] = url.into();
    body
}

/// A job that ends at once, without a worker.
async fn cancelled(system: &System, url: &str) -> String {
    let job_id = system.generate(&request(url)).await;
    let answer = system.post(&format!("/api/v1/jobs/{job_id}/cancel"), &json!({})).await;
    assert_eq!(answer.status(), 200);
    job_id
}

/// The events of all webhooks, in the order of their partition.
async fn webhook_events(system: &System) -> Vec<Envelope> {
    let (log, mut events) = (system.log().await, vec![]);
    for partition in log.keys().partitions() {
        let read = log.read(partition, 0, 10_000).await.unwrap();
        events.extend(
            read.into_iter()
                .map(|(_, event)| event)
                .filter(|event| event.aggregate == AggregateKind::Webhook),
        );
    }
    events
}

async fn types(system: &System) -> Vec<String> {
    webhook_events(system).await.into_iter().map(|event| event.event_type).collect()
}

async fn ended(system: &System) -> Vec<Envelope> {
    let is_end =
        |event: &Envelope| ["WebhookDelivered", "WebhookAbandoned"].contains(&event.event_type.as_str());
    eventually("the webhook ends", async || webhook_events(system).await.last().is_some_and(is_end)).await;
    webhook_events(system).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_is_told_of_every_end_with_a_signature_that_it_can_check() {
    let receiver = Receiver::start(&["204 No Content"]).await;
    let system = System::start_with(&ALL_ROLES, |config| {
        patient(config);
        config.webhooks.public_url = Some("https://api.example.com".into());
    })
    .await;
    let cancelled = cancelled(&system, &receiver.url).await;
    let first = receiver.messages(1).await.remove(0);
    check_signature(&first);
    let told = first.json();
    assert_eq!((&told["type"], &told["data"]["status"]), (&json!("job.cancelled"), &json!("cancelled")));
    assert_eq!((&told["data"]["job_id"], &told["data"]["video_url"]), (&json!(cancelled), &Value::Null));

    let completed = system.completed(&request(&receiver.url)).await;
    let second = receiver.messages(2).await.remove(1);
    check_signature(&second);
    assert_ne!(first.header("webhook-id"), second.header("webhook-id"));
    let told = second.json();
    assert_eq!(told["type"], "job.completed");
    let data = &told["data"];
    assert_eq!((&data["job_id"], &data["status"]), (&json!(completed), &json!("completed")));
    let status = system.status(&completed).await;
    for field in ["file_size", "duration", "width", "height"] {
        assert_eq!(data["video"][field], status["video"][field], "{field}");
    }
    for (field, kind) in
        [("video_url", "video/mp4"), ("download_url", "video/mp4"), ("thumbnail_url", "image/jpeg")]
    {
        let path = data[field].as_str().unwrap().strip_prefix("https://api.example.com").unwrap();
        let answer = system.get(path).await;
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["content-type"].to_str().unwrap()),
            (200, kind)
        );
    }
    let at = chrono::DateTime::parse_from_rfc3339(told["timestamp"].as_str().unwrap()).unwrap();
    assert!((Utc::now() - at.to_utc()).num_seconds() < 60, "{at}");

    // A job that names nobody tells nobody.
    system.completed(&short_request()).await;
    eventually("both are recorded", async || types(&system).await.len() == 4).await;
    assert_eq!(receiver.received().len(), 2);
    system.running.stop().await;
}

#[tokio::test]
async fn a_failed_job_tells_why() {
    let receiver = Receiver::start(&["200 OK"]).await;
    let system = System::start_with(&API_AND_WORKER, |config| {
        patient(config);
        config.media.espeak_program = "/nonexistent/espeak-ng".into();
        for stage in config.streams.stages.values_mut() {
            stage.attempts = 1;
        }
    })
    .await;
    let job_id = system.generate(&request(&receiver.url)).await;
    let told = receiver.messages(1).await[0].json();
    assert_eq!((&told["type"], &told["data"]["job_id"]), (&json!("job.failed"), &json!(job_id)));
    assert_eq!(told["data"]["error"]["error_stage"], "scenario_creation");
    assert!(told["data"]["error"]["error_code"].is_string(), "{told}");
    system.running.stop().await;
}

#[tokio::test]
async fn a_message_is_sent_again_until_it_is_taken_and_each_attempt_is_an_event() {
    let receiver = Receiver::start(&["500 Broken", "302 Found\r\nLocation: /elsewhere", "200 OK"]).await;
    let system = System::start_with(&API_AND_WORKER, patient).await;
    let job_id = cancelled(&system, &receiver.url).await;
    let events = ended(&system).await;
    let recorded: Vec<(&str, Value)> = events
        .iter()
        .map(|event| (event.event_type.as_str(), serde_json::from_str(&event.data).unwrap()))
        .collect();
    let failed = |attempt: u32, status: u16| json!({ "attempt": attempt, "failure": { "code": "refused", "http_status": status } });
    for ((event_type, mut data), expected) in recorded.into_iter().zip([
        (
            "WebhookRequested",
            json!({ "user_id": "user_1", "job_id": job_id, "notice": "job.cancelled", "url": "[sealed]" }),
        ),
        ("WebhookAttemptFailed", failed(1, 500)),
        ("WebhookAttemptFailed", failed(2, 302)),
        ("WebhookDelivered", json!({ "attempt": 3, "http_status": 200 })),
    ]) {
        let fields = data.as_object_mut().unwrap();
        for varying in ["sealed", "job_version", "retry_in_ms"] {
            fields.remove(varying);
        }
        assert_eq!((event_type, data), (expected.0, expected.1));
    }
    let messages = receiver.received();
    assert_eq!(messages.iter().map(|message| message.path.as_str()).collect::<Vec<_>>(), ["/hooks"; 3]);
    for message in &messages {
        check_signature(message);
        assert_eq!(message.header("webhook-id"), messages[0].header("webhook-id"));
        assert_eq!(message.body, messages[0].body);
    }
    system.running.stop().await;
}

#[tokio::test]
async fn a_message_that_nobody_takes_is_abandoned() {
    for (answer, attempts) in [(&["503 Away"], 3), (&["410 Gone"], 1)] {
        let receiver = Receiver::start(answer).await;
        let system = System::start_with(&API_AND_WORKER, |config| {
            patient(config);
            config.webhooks.max_attempts = 3;
        })
        .await;
        cancelled(&system, &receiver.url).await;
        let events = ended(&system).await;
        let last: Value = serde_json::from_str(&events.last().unwrap().data).unwrap();
        assert_eq!(last, json!({ "attempts": attempts, "reason": "failed" }));
        assert_eq!(receiver.received().len(), attempts);
        system.running.stop().await;
    }
}

async fn refusal(system: &System, body: &Value) -> (Value, Value) {
    let (status, error) = error_of(system.post("/api/v1/videos/generate", body).await).await;
    assert_eq!(status, 422, "{error}");
    let detail = error["details"][0].clone();
    (detail["loc"].clone(), detail["type"].clone())
}

#[tokio::test]
async fn a_receiver_in_a_private_network_is_refused_with_the_request() {
    let system = System::start(&API).await;
    for host in [
        "127.0.0.1",
        "169.254.169.254",
        "[::1]",
        "10.0.0.1",
        "192.168.0.1",
        "172.16.0.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "0",
        "[::ffff:127.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "[fd00::1]",
        "localhost",
        "LOCALHOST.",
        "x.localhost",
        "metadata.google.internal",
    ] {
        let (loc, kind) = refusal(&system, &request(&format!("http://{host}:8080/latest/meta-data"))).await;
        assert_eq!((loc, kind), (json!(["body", "callback_url"]), json!("private_address")), "{host}");
    }
    let long = format!("https://example.com/{}", "x".repeat(2000));
    for (url, expected) in [
        (json!("ftp://example.com"), "not_a_url"),
        (json!("example.com"), "not_a_url"),
        (json!("https://exam\u{0}ple.com"), "not_a_url"),
        (json!("https://user:pass@example.com"), "not_allowed"),
        (json!(long), "too_long"),
        (json!(7), "wrong_type"),
        (json!(["https://example.com"]), "wrong_type"),
    ] {
        let mut body = short_request();
        body["callback_url"] = url.clone();
        let (loc, kind) = refusal(&system, &body).await;
        assert_eq!((loc, kind), (json!(["body", "callback_url"]), json!(expected)), "{url:.60}");
        let (loc, _) = refusal(&system, &json!({ "configuration": body })).await;
        assert_eq!(loc, json!(["body", "configuration", "callback_url"]));
    }
    let answer =
        system.post("/api/v1/videos/generate", &request("https://app.example.com/hooks?job=1")).await;
    assert_eq!(answer.status(), 201);
    system.running.stop().await;
}

#[tokio::test]
async fn without_a_secret_nobody_can_ask_to_be_told() {
    let system = System::start_with(&API, |config| config.webhooks.secret = None).await;
    let (loc, kind) = refusal(&system, &request("https://app.example.com/hooks")).await;
    assert_eq!((loc, kind), (json!(["body", "callback_url"]), json!("not_available")));
    system.running.stop().await;
}

/// The request was accepted where private receivers are allowed; the worker does not allow them.
#[tokio::test]
async fn a_receiver_in_a_private_network_is_refused_again_when_it_is_asked() {
    let receiver = Receiver::start(&["200 OK"]).await;
    let system = System::start_with(&API, patient).await;
    let port = receiver.url.split(':').nth(2).unwrap().to_owned();
    cancelled(&system, &receiver.url).await;
    cancelled(&system, &format!("http://localhost:{port}")).await;
    let mut config = system.config.clone();
    config.webhooks.policy = TargetPolicy { allows_private: false };
    let worker = Running::start(config, &WORKER).await;
    eventually("both are abandoned", async || {
        types(&system).await.iter().filter(|event_type| *event_type == "WebhookAbandoned").count() == 2
    })
    .await;
    for event in
        webhook_events(&system).await.iter().filter(|event| event.event_type == "WebhookAttemptFailed")
    {
        let data: Value = serde_json::from_str(&event.data).unwrap();
        assert_eq!(data["failure"], json!({ "code": "private_address" }));
    }
    assert_eq!(receiver.received().len(), 0, "it was never asked");
    worker.stop().await;
    system.running.stop().await;
}

/// A worker as a process of its own, which can be killed.
fn spawn_worker(system: &System) -> Child {
    let config = &system.config;
    let streams = system.servers.folder.path().join("worker-streams.toml");
    std::fs::write(&streams, format!("partitions = {}\n", config.streams.partitions)).unwrap();
    Command::new(env!("CARGO_BIN_EXE_reel"))
        .arg("work")
        .env("REEL_STREAMS", &streams)
        .env("REDIS_URL", &config.redis.url)
        .env("REEL_PREFIX", &config.redis.prefix)
        .env("DATABASE_URL", &config.postgres.url)
        .env("CLERK_ISSUER", &config.auth.issuer)
        .env("REEL_MASTER_KEY", MASTER_KEY)
        .env("REEL_SIGNING_KEY", MASTER_KEY)
        .env("ARCHIVE_ROOT", &config.archive.root)
        .env("MEDIA_ROOT", &config.media.root)
        .env("WEBHOOK_SECRET", WEBHOOK_SECRET)
        .env("WEBHOOK_ALLOW_PRIVATE", "true")
        .env("WEBHOOK_RETRY_SECONDS", "1")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

// 000-5: what was recorded is done, whatever is killed.
#[tokio::test]
async fn a_worker_that_is_killed_between_two_attempts_loses_no_message() {
    let receiver = Receiver::start(&["500 Broken", "200 OK"]).await;
    let system = System::start_with(&API, patient).await;
    cancelled(&system, &receiver.url).await;
    let mut first = spawn_worker(&system);
    eventually("the first attempt has failed", async || types(&system).await.len() == 2).await;
    first.kill().unwrap();
    first.wait().unwrap();
    let killed = Instant::now();
    let before = receiver.received().len();
    let mut second = spawn_worker(&system);
    let events = ended(&system).await;
    assert_eq!(events.last().unwrap().event_type, "WebhookDelivered");
    let messages = receiver.received();
    assert!(
        messages.len() > before || before == 2,
        "{} of {before} after {:?}",
        messages.len(),
        killed.elapsed()
    );
    assert!(messages.iter().all(|message| message.header("webhook-id") == messages[0].header("webhook-id")));
    second.kill().unwrap();
    second.wait().unwrap();
    system.running.stop().await;
}

// 000-5
#[tokio::test]
async fn what_is_due_is_found_again_in_the_log() {
    let receiver = Receiver::start(&["500 Broken", "200 OK"]).await;
    let system = System::start_with(&API, |config| {
        patient(config);
        config.webhooks.first_delay = Duration::from_secs(3);
    })
    .await;
    cancelled(&system, &receiver.url).await;
    let worker = Running::start(system.config.clone(), &WORKER).await;
    eventually("the first attempt has failed", async || types(&system).await.len() == 2).await;
    worker.stop().await;
    let log = system.log().await;
    for partition in log.keys().partitions() {
        let keys =
            [log.keys().due(partition, "webhooks"), log.keys().process_checkpoint(partition, "webhooks")];
        redis::cmd("DEL").arg(&keys).query_async::<()>(&mut log.connection()).await.unwrap();
    }
    let worker = Running::start(system.config.clone(), &WORKER).await;
    assert_eq!(ended(&system).await.last().unwrap().event_type, "WebhookDelivered");
    worker.stop().await;
    system.running.stop().await;
}

// 000-5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_receiver_of_a_user_who_was_erased_is_forgotten() {
    let receiver = Receiver::start(&["500 Broken"]).await;
    let system = System::start_with(&API_AND_PROJECTOR, |config| {
        patient(config);
        config.webhooks.first_delay = Duration::from_secs(5);
    })
    .await;
    cancelled(&system, &receiver.url).await;
    let worker = Running::start(system.config.clone(), &WORKER).await;
    eventually("the first attempt has failed", async || types(&system).await.len() == 2).await;
    // It would know the user's key for a while.
    worker.stop().await;
    let models = system.read_models().await;
    models.caught_up().await;
    let rows = models.rows().await;
    assert!(!rows.is_empty() && rows.iter().all(|(_, row)| !row.to_string().contains("/hooks")), "{rows:?}");
    let erased = system.reel(&["erase", "user", "user_1", "--yes"]);
    assert!(erased.status.success(), "{}", String::from_utf8_lossy(&erased.stderr));
    let worker = Running::start(system.config.clone(), &WORKER).await;
    let events = ended(&system).await;
    let last: Value = serde_json::from_str(&events.last().unwrap().data).unwrap();
    assert_eq!(last, json!({ "attempts": 1, "reason": "erased" }));
    assert_eq!(receiver.received().len(), 1);
    worker.stop().await;
    system.running.stop().await;
}
