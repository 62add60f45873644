//! The event log and the runtime against raw Redis: same machine, same run, same payload, same flushing.
//! `cargo bench --features chaos --bench log [-- section…]`

#![allow(clippy::unwrap_used, dead_code)]

mod report;

use std::fmt::Write;
use std::process::Command as Process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::Utc;
use reelstream::clock::Clock;
use reelstream::config::{MediaConfig, Streams};
use reelstream::consumers::rehearsal::{Rehearsal, handlers};
use reelstream::consumers::{StageError, StageHandler, Task, Worker};
use reelstream::dev::{PrivateRedis, free_port};
use reelstream::domain::job::{Command, Outcome};
use reelstream::events::connection::Address;
use reelstream::events::doorbell::Doorbell;
use reelstream::events::job::{JobRequested, WorkItem};
use reelstream::events::queue::Consumer;
use reelstream::events::work::{ScheduledWork, requester};
use reelstream::events::{
    Actor, AggregateKind, Append, CHAIN_START, Envelope, EventLog, Keys, Lane, Mark, Priority, Stage,
    VideoRequest, WorkQueue,
};
use reelstream::execute::{Executor, Origin};
use reelstream::ids::{AttemptToken, CommandId, EventId, JobId};
use reelstream::storage::Stores;
use report::{median, memory_of, quantile};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const RUNS: usize = 5;
const CLIENTS: usize = 50;
const PARTITIONS: u16 = 8;

/// The same as in `reel`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let report = runtime.block_on(measure(&wanted));
    match wanted.is_empty() {
        true => report::write_section("log", &report),
        false => println!("{report}"),
    }
}

async fn measure(wanted: &[String]) -> String {
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|section| section == name);
    let mut text = String::from(
        "## The log and the runtime\n\nAgainst raw Redis on the same server in the same run: AOF on, `appendfsync everysec`, no AOF rewrite meanwhile, the same payload;\nmedians of 5. Clients, worker and Redis share the machine's processors.\n\n| figure | value | wanted |\n| --- | ---: | ---: |\n",
    );
    let mut row = |name: &str, value: String, wanted: &str| {
        println!("{name}: {value} (wanted: {wanted})");
        writeln!(text, "| {name} | {value} | {wanted} |").unwrap();
    };
    if is_wanted("append") {
        let (mut raw, mut single, mut batched) = (vec![], vec![], vec![]);
        for _ in 0..RUNS {
            raw.push(raw_xadd());
            single.push(appends(40_000, 1).await);
            batched.push(appends(8_000, 20).await);
        }
        let (raw, single, batched) = (median(raw), median(single), median(batched));
        row("XADD of one event by `redis-benchmark`, 50 clients, no pipelining", per_second(raw), "");
        row("append of one event, 50 concurrent clients", per_second(single), "");
        row("ratio of the two", format!("{:.2}", single / raw), "at least 0.5");
        row(
            "events in appends of 20, 50 concurrent clients",
            per_second(batched * 20.0),
            "at least 100,000/s",
        );
    }
    if is_wanted("stage") {
        let mut rates = vec![];
        for _ in 0..RUNS {
            rates.push(one_stage(30_000).await);
        }
        row("one stage alone, job in to job done", per_second(median(rates)), "at least 15,000/s");
    }
    if is_wanted("jobs") {
        let mut rates = vec![];
        let mut bytes = vec![];
        let mut events = 0.0;
        for _ in 0..RUNS {
            let run = whole_jobs(4_000).await;
            rates.push(run.rate);
            bytes.push(run.bytes_per_job);
            events = run.events_per_job;
        }
        row(
            &format!("whole jobs through 7 no-op stages, {events:.0} events each"),
            per_second(median(rates)),
            "at least 1,500/s",
        );
        row("Redis memory of a finished job", format!("{:.0} bytes", median(bytes)), "");
    }
    if is_wanted("pickup") {
        let delays = pick_ups(0, 500).await.delays;
        row("pick-up on an idle system, p50", ms(quantile(&delays, 0.5)), "");
        row("pick-up on an idle system, p99", ms(quantile(&delays, 0.99)), "under 3 ms");
    }
    if is_wanted("backlog") {
        let run = pick_ups(100_000, 500).await;
        row("pick-up of an urgent job while 100,000 wait, p50", ms(quantile(&run.delays, 0.5)), "");
        row(
            "pick-up of an urgent job while 100,000 wait, p99",
            ms(quantile(&run.delays, 0.99)),
            "under 20 ms",
        );
        row(
            "memory growth of the worker over the idle one",
            format!("{:.0} MB", run.growth_mb),
            "under 50 MB",
        );
        row("commands over 10 ms in `SLOWLOG`", run.slow.to_string(), "0");
    }
    text
}

fn per_second(rate: f64) -> String {
    let rate = rate.round() as u64;
    let mut text = rate.to_string();
    for at in [3, 7, 11] {
        if text.len() > at {
            text.insert(text.len() - at, ',');
        }
    }
    format!("{text}/s")
}

fn ms(value: f64) -> String {
    format!("{value:.2} ms")
}

struct Server {
    redis: PrivateRedis,
    folder: TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = [
            "--appendfsync",
            "everysec",
            "--slowlog-log-slower-than",
            "10000",
            "--auto-aof-rewrite-percentage",
            "0",
        ];
        let redis = PrivateRedis::start_on(folder.path(), free_port().unwrap(), &settings).unwrap();
        Self { redis, folder }
    }

    fn address(&self) -> Address {
        Address::parse(&self.redis.url()).unwrap()
    }

    async fn log(&self) -> EventLog {
        EventLog::new(self.address().connect().await.unwrap(), Keys::new("bench", PARTITIONS))
    }
}

fn envelope(job: JobId, version: u64, prev_hash: &str) -> Envelope {
    let mut envelope = Envelope {
        event_id: EventId::new(),
        aggregate: AggregateKind::Job,
        aggregate_id: job.aggregate(),
        version,
        event_type: "StageCompleted".into(),
        schema: 1,
        recorded_at: Utc::now(),
        command_id: CommandId::new(),
        causation_id: Some(EventId::new()),
        correlation_id: job.to_string(),
        actor: Actor::Worker("bench-1-0123456789abcdef".into()),
        traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into(),
        prev_hash: prev_hash.to_owned(),
        hash: String::new(),
        data: r#"{"stage":"rendering","percentage":90.0}"#.into(),
    };
    envelope.hash = envelope.compute_hash();
    envelope
}

/// The same entry, added by Redis's own benchmark.
fn raw_xadd() -> f64 {
    let server = Server::start();
    let event = envelope(JobId::new(), 1, CHAIN_START);
    let mut command = Process::new("redis-benchmark");
    command.args([
        "-p",
        &server.redis.port().to_string(),
        "-c",
        &CLIENTS.to_string(),
        "-n",
        "200000",
        "--csv",
    ]);
    command.args(["XADD", "raw", "*"]);
    let mut names = Envelope::STORED.iter();
    event.each_stored(|value| {
        command.args([names.next().unwrap(), std::str::from_utf8(value).unwrap()]);
    });
    let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
    // "test","rps",… in the first line, the figures in the second.
    let figures: Vec<&str> = output.lines().last().unwrap().rsplit("\",\"").collect();
    let rps = figures[6];
    rps.trim_matches('"').parse().unwrap()
}

/// Appends a second, of so many events each, to jobs of their own.
async fn appends(count: usize, events: usize) -> f64 {
    let server = Server::start();
    let log = server.log().await;
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let log = log.clone();
        clients.spawn(async move {
            for _ in 0..count / CLIENTS {
                let job = JobId::new();
                let mut prev = CHAIN_START.to_owned();
                let mut batch = Vec::with_capacity(events);
                for version in 1..=events as u64 {
                    let event = envelope(job, version, &prev);
                    prev.clone_from(&event.hash);
                    batch.push(event);
                }
                let append = Append {
                    aggregate_id: job.aggregate(),
                    expected_version: 0,
                    command_id: CommandId::new(),
                    events: &batch,
                    work: &[],
                    mark: None,
                    done: None,
                };
                log.append(&append).await.unwrap();
            }
        });
    }
    clients.join_all().await;
    (count / CLIENTS * CLIENTS) as f64 / began.elapsed().as_secs_f64()
}

/// Jobs a second that are appended with one event and one piece of work, taken, and ended by an append of one
/// event that acknowledges it.
async fn one_stage(count: usize) -> f64 {
    let server = Server::start();
    let log = server.log().await;
    let queue = WorkQueue::new(&log);
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let log = log.clone();
        clients.spawn(async move {
            for _ in 0..count / CLIENTS {
                add_job(&log).await;
            }
        });
    }
    let done = Arc::new(AtomicU64::new(0));
    let total = (count / CLIENTS * CLIENTS) as u64;
    for partition in 0..PARTITIONS {
        let (log, queue, done) = (log.clone(), queue.clone(), done.clone());
        clients.spawn(async move {
            let consumer =
                Consumer { stage: Stage::Initializing, group: "bench".into(), name: format!("c{partition}") };
            while done.load(Ordering::Relaxed) < total {
                let taken = queue.take(partition, Lane::Normal, &consumer, 64).await.unwrap();
                if taken.work.is_empty() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    continue;
                }
                let ended = taken.work.into_iter().map(|work| end_job(&log, work));
                done.fetch_add(ended.len() as u64, Ordering::Relaxed);
                futures_util::future::join_all(ended).await;
            }
        });
    }
    clients.join_all().await;
    total as f64 / began.elapsed().as_secs_f64()
}

async fn add_job(log: &EventLog) {
    let job = JobId::new();
    let event = envelope(job, 1, CHAIN_START);
    let work = ScheduledWork {
        item: WorkItem { stage: Stage::Initializing, scene: None, attempt: 1 },
        priority: Priority::Normal,
        token: AttemptToken::of_event(event.event_id),
        version: 1,
        delay_ms: 0,
        requester: requester("user_1"),
        began_ms: 0,
        deadline_ms: None,
    };
    let append = Append {
        aggregate_id: job.aggregate(),
        expected_version: 0,
        command_id: CommandId::new(),
        events: &[event],
        work: &[work],
        mark: Some(Mark::Open),
        done: None,
    };
    log.append(&append).await.unwrap();
}

async fn end_job(log: &EventLog, work: reelstream::events::work::TakenWork) {
    let event = envelope(work.job_id(), 2, CHAIN_START);
    let append = Append {
        aggregate_id: work.aggregate_id,
        expected_version: 1,
        command_id: CommandId::of_attempt(work.receipt.token, "finish"),
        events: &[event],
        work: &[],
        mark: Some(Mark::Closed),
        done: Some(&work.receipt),
    };
    log.append(&append).await.unwrap();
}

fn worker(server: &Server, log: &EventLog, slots: usize, stop: &CancellationToken) -> (Worker, Executor) {
    let mut streams = Streams::from_environment(&|_| None).unwrap();
    streams.stages.values_mut().for_each(|stage| stage.concurrency = slots);
    let media = MediaConfig::from_environment(&|_| None).unwrap();
    let executor = Executor::new(log.clone(), Clock::system());
    let root = server.folder.path().to_owned();
    let media = MediaConfig { root, max_concurrent_renders: slots, ..media };
    let doorbell = Doorbell::listen(server.address(), log.keys(), stop.clone());
    let stores = Stores::local(&media.root, &media.root);
    let worker = Worker::new(executor.clone(), doorbell, streams, &media, stores);
    (worker, executor)
}

async fn request(executor: &Executor, job: JobId, priority: Priority) {
    let request = VideoRequest { priority, ..VideoRequest::of_script("Ions", "Ions move.") };
    let command =
        Command::Request(JobRequested { user_id: "user_1".into(), request: request.into(), batch_id: None });
    let origin = Origin {
        command_id: CommandId(job.0),
        actor: Actor::User("user_1".into()),
        trace: None,
        causation_id: None,
    };
    executor.execute(job, command, &origin, None).await.unwrap();
}

/// So many jobs, requested by all clients together.
async fn request_many(executor: &Executor, count: usize) {
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let executor = executor.clone();
        clients.spawn(async move {
            for _ in 0..count / CLIENTS {
                request(&executor, JobId::new(), Priority::Normal).await;
            }
        });
    }
    clients.join_all().await;
}

struct WholeJobs {
    rate: f64,
    bytes_per_job: f64,
    events_per_job: f64,
}

/// Jobs through the real worker, with stages that do nothing, from the first request to the last end.
async fn whole_jobs(count: usize) -> WholeJobs {
    let server = Server::start();
    let log = server.log().await;
    let stop = CancellationToken::new();
    let (worker, executor) = worker(&server, &log, 64, &stop);
    let queue = WorkQueue::new(&log);
    let before = used_memory(&server).await;
    let working = tokio::spawn(worker.run(handlers(Rehearsal::default()), stop.clone()));
    let began = Instant::now();
    request_many(&executor, count).await;
    while queue.open().await.unwrap() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    stop.cancel();
    working.await.unwrap();
    let total = (count / CLIENTS * CLIENTS) as f64;
    let mut events = 0;
    for partition in 0..PARTITIONS {
        events += log.head(partition).await.unwrap();
    }
    let bytes_per_job = (used_memory(&server).await - before) / total;
    WholeJobs { rate: total / seconds, bytes_per_job, events_per_job: events as f64 / total }
}

async fn used_memory(server: &Server) -> f64 {
    let mut connection = server.address().connect().await.unwrap();
    let info: String = redis::cmd("INFO").arg("memory").query_async(&mut connection).await.unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
    line.trim().parse().unwrap()
}

/// The first stage, which says when it was begun for whom.
struct Begun {
    tell: mpsc::UnboundedSender<(JobId, Instant)>,
    takes: Duration,
}

#[async_trait]
impl StageHandler for Begun {
    fn stage(&self) -> Stage {
        Stage::Initializing
    }

    async fn run(&self, task: &Task) -> Result<Outcome, StageError> {
        self.tell.send((task.job_id, Instant::now())).unwrap();
        tokio::time::sleep(self.takes).await;
        Ok(Outcome::Initialized)
    }
}

struct PickUps {
    /// From before the append to the handler's first instruction, in ms.
    delays: Vec<f64>,
    growth_mb: f64,
    slow: u64,
}

async fn pick_ups(backlog: usize, count: usize) -> PickUps {
    let server = Server::start();
    let log = server.log().await;
    let stop = CancellationToken::new();
    let (worker, executor) = worker(&server, &log, 8, &stop);
    request_many(&executor, backlog).await;
    let memory_before = memory_of(std::process::id(), "VmRSS");
    let (tell, mut begun) = mpsc::unbounded_channel();
    let takes = if backlog > 0 { Duration::from_millis(5) } else { Duration::ZERO };
    let working = tokio::spawn(worker.run(vec![Arc::new(Begun { tell, takes })], stop.clone()));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let asked: Arc<Mutex<std::collections::HashMap<JobId, Instant>>> = Arc::default();
    let mut delays = vec![];
    for _ in 0..count {
        let job = JobId::new();
        asked.lock().unwrap().insert(job, Instant::now());
        request(&executor, job, Priority::Urgent).await;
        loop {
            let (started, at) = begun.recv().await.unwrap();
            if started == job {
                let since = asked.lock().unwrap()[&job];
                delays.push(at.duration_since(since).as_secs_f64() * 1e3);
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let growth_mb = memory_of(std::process::id(), "VmRSS") - memory_before;
    stop.cancel();
    working.await.unwrap();
    let mut connection = server.address().connect().await.unwrap();
    let slow: u64 = redis::cmd("SLOWLOG").arg("LEN").query_async(&mut connection).await.unwrap();
    PickUps { delays, growth_mb, slow }
}
