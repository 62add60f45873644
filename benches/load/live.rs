//! Thousands of clients that watch jobs over WebSockets.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use futures_util::future::join_all;
use reelstream::ids::JobId;
use rustix::process::{Resource, getrlimit};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::Table;
use crate::harness::short_request;
use crate::processes::{Running, pretend};
use crate::report::{memory_of, quantile};

const JOBS: usize = 100;
const CLIENTS: usize = 5000;
/// Handles of this process that are not sockets of clients.
const OTHER_HANDLES: usize = 500;
/// Sockets that are opened at a time.
const OPENED_AT_ONCE: usize = 50;
/// Between two pieces of work of a job.
const PACE: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(60);

/// The part of a message that is looked at.
#[derive(Deserialize)]
struct Told {
    #[serde(rename = "type")]
    kind: String,
    version: u64,
    event: Option<ToldEvent>,
}

#[derive(Deserialize)]
struct ToldEvent {
    recorded_at: DateTime<Utc>,
}

struct Client {
    job: usize,
    socket: WebSocketStream<TcpStream>,
}

/// What one client got.
struct Received {
    job: usize,
    first: u64,
    last: u64,
    delays_ms: Vec<f64>,
}

pub async fn measure(table: &mut Table) {
    let handles = getrlimit(Resource::Nofile).current.map_or(usize::MAX, |limit| limit as usize);
    let clients = CLIENTS.min(handles.saturating_sub(OTHER_HANDLES));
    let running = Running::start(&["project"]).await;
    let (executor, system) = (running.executor().await, &running.system);
    let users: Vec<String> =
        (0..JOBS).map(|number| system.token(&format!("user_{number}"), "user")).collect();
    let jobs: Vec<String> = join_all(users.iter().map(|token| async move {
        let request = system.anonymous(reqwest::Method::POST, "/api/v1/videos/generate").bearer_auth(token);
        let answer: serde_json::Value =
            request.json(&short_request()).send().await.unwrap().json().await.unwrap();
        answer["job_id"].as_str().unwrap().to_owned()
    }))
    .await;
    let memory_before = memory_of(running.api.id(), "RssAnon");
    let opened = open_all(&running, clients, &jobs, &users).await;
    sleep(Duration::from_secs(1)).await;
    let each_kb = (memory_of(running.api.id(), "RssAnon") - memory_before) * 1e3 / clients as f64;
    let reading: JoinSet<Received> = opened.into_iter().map(receive).collect();

    let cpu_before = running.api.cpu_seconds();
    let began = std::time::Instant::now();
    let work = jobs.iter().enumerate().map(|(number, job_id)| {
        let (executor, job): (_, JobId) = (executor.clone(), job_id.parse().unwrap());
        async move {
            // Not all at the same moment.
            sleep(PACE * number as u32 / JOBS as u32).await;
            while pretend(&executor, job, |_| {}).await {
                sleep(PACE).await;
            }
            executor.load(job).await.unwrap().state.version
        }
    });
    let versions = work.collect::<JoinSet<_>>().join_all();
    let (_versions_in_any_order, received) = tokio::join!(versions, reading.join_all());
    let seconds = began.elapsed().as_secs_f64();
    let cpu = running.api.cpu_seconds() - cpu_before;
    let peak_kb = (memory_of(running.api.id(), "VmHWM") - memory_before) * 1e3 / clients as f64;
    for of_client in &received {
        let job: JobId = jobs[of_client.job].parse().unwrap();
        let version = executor.load(job).await.unwrap().state.version;
        assert_eq!(of_client.last, version, "the client has all events, from {} on", of_client.first);
    }
    let delays: Vec<f64> = received.into_iter().flat_map(|received| received.delays_ms).collect();
    let limited =
        if clients < CLIENTS { format!(" (no more for {handles} file handles)") } else { String::new() };
    table.row(
        &format!("{clients} WebSockets{limited} on {JOBS} jobs: messages a second, each received"),
        format!("{:.0}/s", delays.len() as f64 / seconds),
        "every event",
    );
    table.row("from recorded to received, p50", format!("{:.0} ms", quantile(&delays, 0.5)), "");
    table.row("the same, p99", format!("{:.0} ms", quantile(&delays, 0.99)), "under 200 ms");
    table.row("memory of the API process for one client that waits", format!("{each_kb:.0} kB"), "");
    table.row("the same at the peak, events on their way included", format!("{peak_kb:.0} kB"), "");
    table.row(
        "CPU time of the API process for one message",
        format!("{:.0} µs", cpu / delays.len() as f64 * 1e6),
        "",
    );
}

async fn open_all(running: &Running, clients: usize, jobs: &[String], users: &[String]) -> Vec<Client> {
    let turns = Arc::new(Semaphore::new(OPENED_AT_ONCE));
    let opening = (0..clients).map(|number| {
        let (turns, address, job) = (turns.clone(), running.address, number % JOBS);
        let mut request =
            format!("ws://{address}/api/v1/ws/jobs/{}", jobs[job]).into_client_request().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {}", users[job]).parse().unwrap());
        async move {
            let _turn = turns.acquire().await.unwrap();
            let stream = TcpStream::connect(address).await.unwrap();
            let config = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(0);
            let (socket, _) = client_async_with_config(request, stream, Some(config)).await.unwrap();
            Client { job, socket }
        }
    });
    opening.collect::<JoinSet<_>>().join_all().await
}

/// Reads to the end of the job, and checks that no event is missing or doubled.
async fn receive(mut client: Client) -> Received {
    let mut received = Received { job: client.job, first: 0, last: 0, delays_ms: vec![] };
    loop {
        let message = timeout(PATIENCE, client.socket.next()).await.expect("the server says something");
        let text = match message.unwrap().unwrap() {
            Message::Text(text) => text,
            Message::Close(frame) => {
                assert_eq!(u16::from(frame.unwrap().code), 1000, "the job has ended");
                return received;
            }
            _ping => continue,
        };
        let now = Utc::now();
        let told: Told = serde_json::from_str(&text).unwrap();
        match told.event {
            None => {
                assert_eq!((&*told.kind, received.last), ("snapshot", 0), "one snapshot, at the beginning");
                received.first = told.version;
            }
            Some(event) => {
                assert_eq!(told.version, received.last + 1, "no event is missing or doubled");
                received.delays_ms.push((now - event.recorded_at).as_seconds_f64() * 1e3);
            }
        }
        received.last = told.version;
    }
}
