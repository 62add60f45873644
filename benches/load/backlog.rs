//! Many requests: how fast they are accepted, alone and while many jobs wait, and how fast a status comes meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reelstream::events::WorkQueue;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::Table;
use crate::http::{Connection, Load, Requests, get, post, saturate, send_steadily};
use crate::processes::Running;
use crate::report::quantile;

const CONNECTIONS: usize = 50;
const JOBS: usize = 1380;
const USERS: usize = 20;
const ACCEPT_SECONDS: Duration = Duration::from_secs(4);
const POLL_SECONDS: Duration = Duration::from_secs(10);
const POLLS_PER_SECOND: usize = 200;

pub async fn measure(table: &mut Table) {
    accept_idle(table).await;
    under_load(table).await;
}

/// Requests for short videos, no two alike, of some users by turns.
fn generate(running: &Running) -> Requests {
    let tokens: Vec<String> =
        (0..USERS).map(|number| running.system.token(&format!("user_{number}"), "user")).collect();
    Arc::new(move |number| {
        let script = format!("Ions move, and this is number {number}.");
        let body = json!({ "topic": "Ions", "script": script, "quality": "low" });
        post("/api/v1/videos/generate", &tokens[number % USERS], &body)
    })
}

/// Without a worker.
async fn accept_idle(table: &mut Table) {
    let running = Running::start(&["project"]).await;
    running.flush_every_second().await;
    let cpu_before = running.api.cpu_seconds();
    let load = saturate(running.address, CONNECTIONS, ACCEPT_SECONDS, generate(&running), 201).await;
    let cpu = running.api.cpu_seconds() - cpu_before;
    let open = WorkQueue::new(&running.system.log().await).open().await.unwrap();
    assert_eq!(open as usize, load.times_ms.len(), "every request that was accepted is a job");
    table.row(
        &format!(
            "requests for videos accepted and appended (AOF `everysec`), {CONNECTIONS} connections, no worker"
        ),
        format!("{:.0}/s", load.per_second),
        "at least 2,000/s",
    );
    table.row("the same, p50", ms(quantile(&load.times_ms, 0.5)), "");
    table.row("the same, p99", ms(quantile(&load.times_ms, 0.99)), "under 50 ms");
    let each = cpu / load.times_ms.len() as f64 * 1e3;
    table.row("CPU time of the API process for one", ms(each), "");
}

/// With a worker that makes the videos.
async fn under_load(table: &mut Table) {
    let running = Running::start(&["work", "project"]).await;
    running.flush_every_second().await;
    let requests = generate(&running);
    let (job_ids, first) = request_many(&running, &requests).await;
    table.row(&format!("{JOBS} requests for videos at once, with a worker"), format!("{first:.0}/s"), "");
    let offset = requests.clone();
    let more: Requests = Arc::new(move |number| offset(number + JOBS));
    let accepted = saturate(running.address, CONNECTIONS, ACCEPT_SECONDS, more, 201).await;
    let slots = std::thread::available_parallelism().unwrap().get() + 1;
    let most_wanted = format!("at most {}", 2 * slots);
    let mut row = |figure: &str, value, wanted| {
        table.row(&format!("while {JOBS} jobs wait and videos are made: {figure}"), value, wanted);
    };
    row("accepted", format!("{:.0}/s", accepted.per_second), "at least 1,500/s");
    row("accepted, p99", ms(quantile(&accepted.times_ms, 0.99)), "");
    let polls = tokio::spawn(poll(&running, &job_ids));
    let pool = PgPool::connect(&running.system.config.postgres.url).await.unwrap();
    let (mut most_begun, done_before, began) = (0, counts(&pool).await.done(), Instant::now());
    while !polls.is_finished() {
        most_begun = most_begun.max(counts(&pool).await.begun());
        sleep(Duration::from_millis(200)).await;
    }
    let polled = polls.await.unwrap();
    let counts = counts(&pool).await;
    let done = (counts.done() - done_before) as f64 / began.elapsed().as_secs_f64();
    assert!(done > 0.0, "videos are made meanwhile: {counts:?}");
    assert_eq!(counts.0.get("failed"), None, "{counts:?}");
    row(
        &format!("status, {POLLS_PER_SECOND} requests a second, p50"),
        ms(quantile(&polled.times_ms, 0.5)),
        "",
    );
    row("the same, p99", ms(quantile(&polled.times_ms, 0.99)), "under 10 ms");
    row(
        &format!("jobs begun and not done at a time, at most ({slots} slots)"),
        most_begun.to_string(),
        &most_wanted,
    );
    row("videos a second", format!("{done:.1}"), "");
}

fn ms(value: f64) -> String {
    format!("{value:.1} ms")
}

/// Requests all jobs. Returns their ids, and how many were accepted in a second.
async fn request_many(running: &Running, requests: &Requests) -> (Vec<String>, f64) {
    let began = Instant::now();
    let address = running.address;
    let clients = (0..CONNECTIONS).map(|first| {
        let requests = requests.clone();
        async move {
            let mut connection = Connection::open(address).await;
            let mut ids = vec![];
            for number in (first..JOBS).step_by(CONNECTIONS) {
                let answer = connection.send(&requests(number)).await;
                assert_eq!(answer.status, 201);
                let body: Value = serde_json::from_slice(answer.body).unwrap();
                ids.push(body["job_id"].as_str().unwrap().to_owned());
            }
            ids
        }
    });
    let ids = clients.collect::<JoinSet<_>>().join_all().await.concat();
    (ids, JOBS as f64 / began.elapsed().as_secs_f64())
}

/// Polls the statuses of all jobs by turns.
fn poll(running: &Running, job_ids: &[String]) -> impl Future<Output = Load> + use<> {
    let token = running.system.token("admin_1", "admin");
    let requests: Vec<_> =
        job_ids.iter().map(|id| get(&format!("/api/v1/videos/jobs/{id}/status"), &token, "")).collect();
    let requests: Requests = Arc::new(move |number| requests[number % requests.len()].clone());
    send_steadily(running.address, POLLS_PER_SECOND, POLL_SECONDS, requests, 200)
}

/// Jobs by status, as the catalog has them.
#[derive(Debug)]
struct Counts(BTreeMap<String, i64>);

impl Counts {
    fn of(&self, status: &str) -> i64 {
        self.0.get(status).copied().unwrap_or(0)
    }

    fn begun(&self) -> i64 {
        self.of("processing")
    }

    fn done(&self) -> i64 {
        self.of("completed")
    }
}

async fn counts(pool: &PgPool) -> Counts {
    let query = sqlx::query_as("select status, count(*) from catalog.jobs group by status");
    let rows: Vec<(String, i64)> = query.fetch_all(pool).await.unwrap();
    Counts(rows.into_iter().collect())
}
