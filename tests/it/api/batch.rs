//! Batches: all jobs or none, each on its own way.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reelstream::app::{App, Role};
use reelstream::clock::Clock;
use reelstream::consumers::rehearsal::{self, Rehearsal};
use reelstream::consumers::{StageError, StageHandler, Task};
use reelstream::domain::batch::Command;
use reelstream::domain::job::Outcome;
use reelstream::error_codes::ErrorCode;
use reelstream::events::{Actor, Priority, Stage, TypedId, VideoRequest};
use reelstream::execute::{Executor, Origin};
use reelstream::ids::{BatchId, JobId};
use reelstream::projections::rebuild;
use reelstream::vault::Vault;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::{Running, System, error_of, eventually};

static API: [Role; 1] = [Role::Api];
static PROJECTOR: [Role; 1] = [Role::Projector];
static API_AND_PROJECTOR: [Role; 2] = [Role::Api, Role::Projector];

const BATCH: &str = "/api/v1/videos/batch";

/// Pretends to make videos, but for those about something doomed.
struct Picky(Arc<dyn StageHandler>);

#[async_trait]
impl StageHandler for Picky {
    fn stage(&self) -> Stage {
        self.0.stage()
    }

    async fn run(&self, task: &Task) -> Result<Outcome, StageError> {
        match task.request()?.topic.contains("doomed") && self.stage() == Stage::Planning {
            true => Err(StageError::terminal(ErrorCode::RehearsedFailure, "it was doomed")),
            false => self.0.run(task).await,
        }
    }
}

/// A worker that pretends.
struct Pretender {
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Pretender {
    async fn start(system: &System) -> Self {
        let stop = CancellationToken::new();
        let handlers = rehearsal::handlers(Rehearsal { scenes: 2, ..Rehearsal::default() });
        let handlers = handlers.into_iter().map(|handler| Arc::new(Picky(handler)) as Arc<dyn StageHandler>);
        let app = App::connect(system.config.clone(), stop.clone()).await.unwrap();
        let app = app.with_handlers(handlers.collect());
        let task = tokio::spawn(app.run(&[Role::Worker], stop.clone(), |_| {}));
        Self { stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

fn job(topic: &str) -> Value {
    json!({ "topic": topic, "script": "Ions move.", "quality": "low" })
}

fn jobs(count: usize) -> Value {
    json!({ "jobs": vec![job("Ions"); count] })
}

async fn accepted(system: &System, body: &Value) -> Value {
    let answer = system.post(BATCH, body).await;
    let status = answer.status();
    let body: Value = answer.json().await.unwrap();
    assert_eq!(status, 201, "{body}");
    body
}

async fn batch(system: &System, batch_id: &str) -> Value {
    let answer = system.get(&format!("{BATCH}/{batch_id}")).await;
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap()
}

fn batch_id(answer: &Value) -> BatchId {
    text(answer, "batch_id").parse().unwrap()
}

fn job_ids(answer: &Value) -> Vec<JobId> {
    answer["job_ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().parse().unwrap()).collect()
}

/// The types of a batch's events but those that every batch begins with.
async fn later_events(system: &System, id: BatchId) -> Vec<String> {
    let history = system.log().await.history(id.aggregate(), 0).await.unwrap();
    let first = ["BatchRequested", "BatchJobRequested"];
    history.into_iter().map(|event| event.event_type).filter(|of| !first.contains(&of.as_str())).collect()
}

async fn as_user(system: &System, user: &str, role: &str, path: &str) -> Response {
    system.anonymous(Method::GET, path).bearer_auth(system.token(user, role)).send().await.unwrap()
}

async fn is_log_empty(system: &System) -> bool {
    let log = system.log().await;
    for partition in log.keys().partitions() {
        if log.head(partition).await.unwrap() > 0 {
            return false;
        }
    }
    true
}

// 002-10.1, 002-10.3, 002-10.4, 002-10.5
#[tokio::test]
async fn a_batch_is_made_whole_and_a_job_that_fails_touches_no_other() {
    let system = System::start(&API_AND_PROJECTOR).await;
    let mut third = job("Metals");
    third["priority"] = json!("urgent");
    let body = json!({ "jobs": [job("Ions"), job("A doomed idea"), third, { "configuration": job("Salts") }],
                       "batch_priority": "high", "batch_name": "Chemistry" });
    let answer = system.post(BATCH, &body).await;
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let first: Value = answer.json().await.unwrap();
    let (id, ids) = (batch_id(&first), job_ids(&first));
    assert_eq!(location, format!("{BATCH}/{id}"));
    assert_eq!((&first["total_jobs"], &first["batch_priority"]), (&json!(4), &json!("high")));
    assert_eq!((&first["batch_name"], &first["status_summary"]["queued"]), (&json!("Chemistry"), &json!(4)));
    assert!(first["created_at"].is_string() && first["estimated_completion"].is_string(), "{first}");
    let mut priorities = vec![];
    for job_id in &ids {
        let status = system.status(&job_id.to_string()).await;
        assert_eq!(text(&status, "batch_id"), id.to_string());
        priorities.push(text(&status, "priority").to_owned());
    }
    assert_eq!(priorities, ["high", "high", "urgent", "high"]);
    let queued = batch(&system, &id.to_string()).await;
    assert_eq!((&queued["status"], &queued["progress"]["percentage"]), (&json!("queued"), &json!(0.0)));

    let worker = Pretender::start(&system).await;
    eventually("all have ended", async || batch(&system, &id.to_string()).await["completed_at"].is_string())
        .await;
    let ended = batch(&system, &id.to_string()).await;
    for (field, value) in first.as_object().unwrap() {
        if !["status_summary", "estimated_completion"].contains(&field.as_str()) {
            assert_eq!(&ended[field], value, "{field}");
        }
    }
    assert_eq!(ended["status"], "completed");
    assert_eq!(
        ended["status_summary"],
        json!({ "queued": 0, "processing": 0, "completed": 3, "failed": 1, "cancelled": 0 })
    );
    assert_eq!(ended["progress"]["percentage"], 100.0);
    let statuses: Vec<&str> =
        ended["jobs"].as_array().unwrap().iter().map(|job| text(job, "status")).collect();
    assert_eq!(statuses, ["completed", "failed", "completed", "completed"]);
    assert_eq!(ended["jobs"][1]["error_code"], "REHEARSED_FAILURE");
    let usage = &ended["resource_usage"];
    assert_eq!((&usage["video_seconds"], &usage["video_bytes"]), (&json!(3.0), &json!(3)));
    assert!(usage["processing_time_seconds"].as_f64().unwrap() >= 0.0 && usage["retries"] == 0, "{usage}");

    eventually("the batch knows", async || later_events(&system, id).await.len() == 5).await;
    let models = system.read_models().await;
    models.caught_up().await;
    let row = &models.rows_of("catalog.batches").await[0];
    assert_eq!((&row["completed"], &row["failed"], &row["video_ms"]), (&json!(3), &json!(1), &json!(3000)));
    let list: Value =
        system.get(&format!("/api/v1/jobs?batch_id={id}&sort=created_at")).await.json().await.unwrap();
    assert_eq!(list["total_count"], 4);

    // An operator lets the failed one begin again: it fails once more.
    let path = format!("/api/v1/system/jobs/{}/reprocess", ids[1]);
    let admin = system.anonymous(Method::POST, &path).bearer_auth(system.token("boss", "admin"));
    assert_eq!(admin.send().await.unwrap().status(), 200);
    eventually("the batch has ended again", async || later_events(&system, id).await.len() == 8).await;
    assert_eq!(later_events(&system, id).await[5..], ["BatchJobReopened", "BatchJobEnded", "BatchCompleted"]);
    worker.stop().await;

    models.caught_up().await;
    models.verify().await;
    let rows = models.rows().await;
    for model in models.models() {
        let differences =
            rebuild::rebuild(&models.log, &model, false, &watch::Sender::default()).await.unwrap();
        assert_eq!(differences.count, 0, "{}: {:#?}", model.name(), differences.shown);
    }
    assert!(models.rows().await == rows, "a rebuild leads to the same rows");
    let audited = as_user(&system, "a", "auditor", &format!("/api/v1/audit/jobs/{id}/verify")).await;
    let audited: Value = audited.json().await.unwrap();
    assert_eq!((&audited["valid"], &audited["events"]), (&json!(true), &json!(13)));
    system.running.stop().await;
}

#[tokio::test]
async fn another_users_batch_looks_like_one_that_does_not_exist() {
    let system = System::start(&API).await;
    let id = batch_id(&accepted(&system, &jobs(1)).await);
    for prefix in ["/api/v1", ""] {
        let path = format!("{prefix}/videos/batch/{id}");
        assert_eq!(as_user(&system, "user_1", "user", &path).await.status(), 200);
        assert_eq!(as_user(&system, "boss", "admin", &path).await.status(), 200);
    }
    let mut answers = vec![];
    for id in [id.to_string(), BatchId::new().to_string(), "nonsense".into(), "%00".into()] {
        let (status, mut error) =
            error_of(as_user(&system, "user_2", "user", &format!("{BATCH}/{id}")).await).await;
        for own in ["timestamp", "path", "request_id"] {
            error.as_object_mut().unwrap().remove(own);
        }
        answers.push((status, error));
    }
    assert!(answers.iter().all(|answer| answer.0 == 404 && *answer == answers[0]), "{answers:?}");
    // A job is no batch, and a batch is no job.
    let job_id = job_ids(&accepted(&system, &jobs(1)).await)[0];
    assert_eq!(as_user(&system, "user_1", "user", &format!("{BATCH}/{job_id}")).await.status(), 404);
    for path in ["jobs/ID", "videos/jobs/ID/status", "videos/jobs/ID/download", "audit/jobs/ID/state"] {
        let path = format!("/api/v1/{}", path.replace("ID", &id.to_string()));
        assert_eq!(as_user(&system, "boss", "admin", &path).await.status(), 404, "{path}");
    }
    system.running.stop().await;
}

// 002-10.1, 002-8.3
#[tokio::test]
async fn what_is_wrong_with_a_batch_refuses_all_of_it() {
    let system = System::start(&API).await;
    let (status, error) = error_of(system.post(BATCH, &jobs(51)).await).await;
    assert_eq!((status, &error["error_code"]), (422, &json!("VALIDATION_ERROR")));
    assert_eq!(error["details"]["max_batch_size"], 50);
    assert_eq!(error["details"]["suggested_batches"], 2);
    assert_eq!(error["details"]["errors"][0]["loc"], json!(["body", "jobs"]));

    let mut bad = jobs(5);
    bad["jobs"][3]["topic"] = json!("x");
    bad["jobs"][4]["topic"] = json!("Ions\0");
    let (status, error) = error_of(system.post(BATCH, &bad).await).await;
    assert_eq!(status, 422);
    let places: Vec<&Value> =
        error["details"].as_array().unwrap().iter().map(|fault| &fault["loc"]).collect();
    assert_eq!(places, [&json!(["body", "jobs", "3", "topic"]), &json!(["body", "jobs", "4", "topic"])]);

    let raw = async |body: String| {
        let request = system.request(Method::POST, BATCH).header("Content-Type", "application/json");
        error_of(request.body(body).send().await.unwrap()).await
    };
    let deep = format!("{{\"jobs\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(raw(deep).await.0, 422);
    assert_eq!(raw("{\"jobs\": [".into()).await.0, 400);
    assert_eq!(raw(format!("{{\"jobs\": [{}1]}}", "1,".repeat(1_000_000))).await.0, 422);
    assert_eq!(raw("{\"jobs\": [{\"topic\": \"\\ud800abc\", \"script\": \"x\"}]}".into()).await.0, 422);
    assert_eq!(raw(format!("{{\"batch_name\": \"{}\"}}", "x".repeat(10 << 20))).await.0, 413);
    let form = system.request(Method::POST, BATCH).header("Content-Type", "text/plain").body("x");
    assert_eq!(error_of(form.send().await.unwrap()).await.0, 415);
    assert!(is_log_empty(&system).await, "nothing of them is recorded");
    system.running.stop().await;
}

// H5
#[tokio::test]
async fn limits_hold_for_the_batch_as_a_whole() {
    let system = System::start_with(&API, |config| {
        config.streams.limits.open_jobs_per_user = 3;
        config.streams.limits.open_urgent_jobs_per_user = 1;
        config.streams.limits.open_jobs = 5;
    })
    .await;
    let (status, error) = error_of(system.post(BATCH, &jobs(4)).await).await;
    assert_eq!((status, &error["details"]["limit"]), (429, &json!("limits.open_jobs_per_user")));
    let mut urgent = jobs(2);
    urgent["batch_priority"] = json!("urgent");
    let (status, error) = error_of(system.post(BATCH, &urgent).await).await;
    assert_eq!((status, &error["details"]["limit"]), (429, &json!("limits.open_urgent_jobs_per_user")));
    assert!(is_log_empty(&system).await, "all or none");

    let with_key =
        || system.request(Method::POST, BATCH).header("Idempotency-Key", "k").json(&jobs(3)).send();
    assert_eq!(with_key().await.unwrap().status(), 201);
    assert_eq!(error_of(system.post("/api/v1/videos/generate", &job("Ions")).await).await.0, 429);
    assert_eq!(with_key().await.unwrap().status(), 201, "what was accepted stays accepted");
    let other = system.anonymous(Method::POST, BATCH).bearer_auth(system.token("user_2", "user"));
    let refused = other.json(&jobs(3)).send().await.unwrap();
    assert!(refused.headers().contains_key("retry-after"));
    let (status, error) = error_of(refused).await;
    assert_eq!((status, &error["error_code"]), (503, &json!("OVERLOADED")));
    system.running.stop().await;
}

#[tokio::test]
async fn a_repeated_batch_gets_the_first_answer() {
    let system = System::start(&API).await;
    let send = async |path: &str, key: &str, body: &Value| {
        system.request(Method::POST, path).header("Idempotency-Key", key).json(body).send().await.unwrap()
    };
    let first = send(BATCH, "key", &jobs(3)).await;
    assert!(!first.headers().contains_key("idempotent-replayed"));
    let first: Value = first.json().await.unwrap();
    let second = send(BATCH, "key", &jobs(3)).await;
    assert_eq!(second.headers()["idempotent-replayed"], "true");
    assert_eq!(second.json::<Value>().await.unwrap(), first);
    assert_eq!(error_of(send(BATCH, "key", &jobs(2)).await).await.1["error_code"], "IDEMPOTENCY_KEY_REUSED");
    // The same body at the other endpoint, which there is not valid, and a valid one.
    assert_eq!(send("/api/v1/videos/generate", "key", &job("Ions")).await.status(), 422);
    for job_id in job_ids(&first) {
        assert_eq!(system.events(&job_id.to_string()).await.len(), 3, "requested once");
    }

    let body = jobs(4);
    let race = futures_util::future::join_all((0..8).map(|_| send(BATCH, "race", &body))).await;
    let mut batches = BTreeSet::new();
    for answer in race {
        assert_eq!(answer.status(), 201);
        batches.insert(answer.json::<Value>().await.unwrap().to_string());
    }
    assert_eq!(batches.len(), 1, "{batches:?}");
    system.running.stop().await;
}

async fn executor(system: &System) -> Executor {
    let pool = PgPool::connect(&system.config.postgres.url).await.unwrap();
    let vault = Vault::new(pool, system.config.keys.master.clone());
    Executor::new(system.log().await, Clock::system()).with_vault(vault)
}

/// Records a batch as a process does that dies before it requests any of the jobs.
async fn half_made(system: &System, jobs: usize) -> BatchId {
    let batch_id = BatchId::new();
    let command = Command::Request {
        batch_id,
        user_id: "user_1".into(),
        name: Some("Halfmade words".into()),
        priority: Priority::Low,
        requests: vec![VideoRequest::of_script("Halfmade ions", "They move."); jobs],
    };
    let origin = Origin::standalone(Actor::User("user_1".into()));
    executor(system).await.execute(batch_id, command, &origin, None).await.unwrap();
    batch_id
}

// 000-5, 002-10.1
#[tokio::test]
async fn a_batch_whose_process_died_right_after_it_was_recorded_gets_its_jobs() {
    let system = System::start(&API).await;
    let id = half_made(&system, 20).await;
    let waiting = batch(&system, &id.to_string()).await;
    assert_eq!(
        (&waiting["status_summary"]["queued"], &waiting["jobs"][7]["status"]),
        (&json!(20), &json!("queued"))
    );
    let projector = Running::start(system.config.clone(), &PROJECTOR).await;
    let log = system.log().await;
    for job_id in job_ids(&waiting) {
        eventually("the job is requested", async || log.version(job_id.aggregate()).await.unwrap() > 0).await;
        let history = log.history(job_id.aggregate(), 0).await.unwrap();
        assert_eq!((history.len(), &history[0].actor), (3, &Actor::User("user_1".into())), "requested once");
        assert_eq!(text(&system.status(&job_id.to_string()).await, "topic"), "Halfmade ions");
    }
    projector.stop().await;
    system.running.stop().await;
}

// M5
#[tokio::test(flavor = "multi_thread")]
async fn no_word_of_a_batch_is_left_when_its_user_is_erased() {
    let system = System::start(&API_AND_PROJECTOR).await;
    let body = json!({ "jobs": [{ "topic": "Vrulmtopic", "script": "Vrulmscript.", "title": "Vrulmtitle",
                                  "description": "Vrulmdescription", "tags": ["vrulmtag"] }], "batch_name": "Vrulmname" });
    let answer = accepted(&system, &body).await;
    let (id, job_id) = (batch_id(&answer), job_ids(&answer)[0]);
    let models = system.read_models().await;
    models.caught_up().await;
    let rows = async || {
        let rows = models.rows().await.into_iter().map(|(table, row)| format!("{table} {row}\n"));
        rows.collect::<String>().to_lowercase()
    };
    let before = rows().await;
    for word in ["vrulmname", "vrulmtitle", "vrulmdescription", "vrulmtag"] {
        assert!(before.contains(word), "{word}");
    }
    let status = system.status(&job_id.to_string()).await;
    assert_eq!((&status["title"], &status["tags"]), (&json!("Vrulmtitle"), &json!(["vrulmtag"])));
    assert_eq!(status["description"], "Vrulmdescription");

    let erased = system.reel(&["erase", "user", "user_1", "--yes"]);
    assert!(erased.status.success(), "{erased:?}");
    models.caught_up().await;
    assert!(!rows().await.contains("vrulm"));
    let log = system.log().await;
    for aggregate_id in [id.aggregate(), job_id.aggregate()] {
        for event in log.history(aggregate_id, 0).await.unwrap() {
            assert!(!event.data.to_lowercase().contains("vrulm"), "{event:?}");
        }
    }
    let after = batch(&system, &id.to_string()).await;
    assert_eq!((&after["batch_name"], &after["jobs"][0]["topic"]), (&Value::Null, &json!("[erased]")));
    let status = system.status(&job_id.to_string()).await;
    assert_eq!(
        (&status["title"], &status["description"], &status["tags"]),
        (&Value::Null, &Value::Null, &json!([]))
    );
    models.verify().await;
    system.running.stop().await;
}

// M5
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_erased_before_its_jobs_are_there_gets_none() {
    let system = System::start(&API).await;
    let id = half_made(&system, 2).await;
    // The trail tells whose batch it is only once a projector has run; the log tells it before.
    let erased = system.reel(&["erase", "user", "user_1", "--yes"]);
    let said = String::from_utf8_lossy(&erased.stdout).into_owned();
    assert!(said.contains("1 keys destroyed, 0 jobs erased"), "{said}");
    assert_eq!(later_events(&system, id).await, ["BatchContentErased"]);
    let projector = Running::start(system.config.clone(), &PROJECTOR).await;
    // A batch of another user after it in the same partition shows that the process has come past it.
    let log = system.log().await;
    let partition = log.keys().partition_of(id.aggregate());
    let models = system.read_models().await;
    models.caught_up().await;
    eventually("the process has read the batch", async || {
        let key = log.keys().process_checkpoint(partition, "batch_jobs");
        let seq: Option<u64> = redis::cmd("GET").arg(key).query_async(&mut log.connection()).await.unwrap();
        seq == Some(log.head(partition).await.unwrap())
    })
    .await;
    let version = async |index| log.version(JobId::of_batch(id, index).aggregate()).await.unwrap();
    assert_eq!((version(0).await, version(1).await), (0, 0));
    projector.stop().await;
    system.running.stop().await;
}

/// The largest batch that fits, which is one append.
#[tokio::test]
async fn fifty_long_scripts_are_one_batch() {
    let system = System::start(&API).await;
    let long = json!({ "topic": "Ions", "script": "Ions move. ".repeat(14_000), "quality": "low" });
    let began = std::time::Instant::now();
    let answer = accepted(&system, &json!({ "jobs": vec![long; 50] })).await;
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    let ids = job_ids(&answer);
    assert_eq!(ids.len(), 50);
    for job_id in [ids[0], ids[49]] {
        assert_eq!(text(&system.status(&job_id.to_string()).await, "status"), "queued");
    }
    system.running.stop().await;
}
