//! Read models against plain `COPY` of the same rows: same machine, same run, same servers.
//! `cargo bench --features chaos --bench projections [-- section…]`

#![allow(clippy::unwrap_used, dead_code)]

mod report;

use std::collections::{HashMap, VecDeque};
use std::fmt::Write;
use std::process::{Command as Process, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::Utc;
use futures_util::StreamExt;
use reelstream::clock::Clock;
use reelstream::consumers::rehearsal;
use reelstream::dev::{PrivatePostgres, PrivateRedis, free_port};
use reelstream::domain::job::{Command, Job, decide};
use reelstream::events::connection::Address;
use reelstream::events::doorbell::Doorbell;
use reelstream::events::job::{JobRequested, RecordedJobEvent, StageProgressed};
use reelstream::events::{
    Actor, Append, Cause, Envelope, EventLog, JobEvent, Keys, Stage, Tip, VideoRequest,
};
use reelstream::execute::{ContentCodec, Executor};
use reelstream::ids::{CommandId, EventId, JobId};
use reelstream::postgres::migrate;
use reelstream::projections::catalog::{Catalog, JobFilter, JobPage, Order, Place};
use reelstream::projections::status::StatusViews;
use reelstream::projections::trail::Trail;
use reelstream::projections::{self, Projection, feed, lag};
use reelstream::vault::{MasterKey, Vault};
use report::{median, quantile};
use sqlx::{AssertSqlSafe, PgPool};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const PARTITIONS: u16 = 8;
const BATCH: usize = 2000;
const KEY: &str = "cmVlbHN0cmVhbSB0ZXN0cywgMzIgYnl0ZXMgb2Yga2U=";
/// Jobs whose events come by turns.
const AT_A_TIME: usize = 64;

/// The same as in `reel`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let report = runtime.block_on(measure(&wanted));
    match wanted.is_empty() {
        true => report::write_section("projections", &report),
        false => println!("{report}"),
    }
}

async fn measure(wanted: &[String]) -> String {
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|section| section == name);
    let mut text = format!(
        "## Read models\n\nRedis and PostgreSQL on the same machine as the projector. A job has {} events; {AT_A_TIME} jobs go on at a time. Measured on {} with\n{} cores.\n\n| figure | value | wanted |\n| --- | ---: | ---: |\n",
        per_job(),
        Utc::now().format("%Y-%m-%d"),
        std::thread::available_parallelism().unwrap()
    );
    let mut row = |figure: &str, value: String, wanted: &str| {
        writeln!(text, "| {figure} | {value} | {wanted} |").unwrap();
        println!("{figure}: {value}");
    };
    if is_wanted("postgres") {
        let (mut speeds, mut ratios) = (vec![], vec![]);
        for _ in 0..3 {
            let (speed, ratio) = into_postgres(6_000).await;
            speeds.push(speed);
            ratios.push(ratio);
        }
        row(
            "events a second into Postgres, all read models together",
            format!("{:.0}", median(speeds)),
            "20,000",
        );
        row(
            "time of plain `COPY` of the same rows into the same tables, as a share of that",
            format!("{:.2}", median(ratios)),
            "",
        );
    }
    if is_wanted("status") {
        let mut speeds = vec![];
        for _ in 0..3 {
            speeds.push(into_views(10_000).await);
        }
        row("events a second into the status views in Redis", format!("{:.0}", median(speeds)), "60,000");
    }
    if is_wanted("replay") {
        let (read, fold) = replay().await;
        row("replay of one job of 200 events: read and decoded", format!("{read:.2} ms"), "3 ms");
        row("the same, folded into its state", format!("{fold:.2} ms"), "3 ms");
    }
    if is_wanted("listing") {
        let (typical, worst) = listing().await;
        row(
            "a page of jobs out of a million, median of all kinds of filters",
            format!("{typical:.1} ms"),
            "20 ms",
        );
        row("the slowest kind, p95", format!("{:.1} ms ({})", worst.0, worst.1), "20 ms");
    }
    if is_wanted("lag") {
        let (p50, p99) = lag_under_load(5_000, Duration::from_secs(10)).await;
        row("lag of the catalog at 5,000 events a second, p50", format!("{p50:.0} ms"), "");
        row("the same, p99", format!("{p99:.0} ms"), "100 ms");
    }
    if is_wanted("rebuild") {
        let (speed, memory) = rebuild_a_million().await;
        row(
            "events a second while a million are rebuilt (`reel projections rebuild catalog`)",
            format!("{speed:.0}"),
            "",
        );
        row("peak memory of that process", format!("{memory:.0} MB"), "200 MB");
    }
    text
}

struct World {
    redis: PrivateRedis,
    postgres: PrivatePostgres,
    pool: PgPool,
    log: EventLog,
    codec: ContentCodec,
    folder: TempDir,
}

impl World {
    async fn start() -> Self {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let settings = ["--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0"];
        let redis =
            PrivateRedis::start_on(&folder.path().join("redis"), free_port().unwrap(), &settings).unwrap();
        let postgres = PrivatePostgres::start(&folder.path().join("postgres")).unwrap();
        let pool = reelstream::postgres::connect(&postgres.url("postgres")).await.unwrap();
        migrate(&pool).await.unwrap();
        let connection = Address::parse(&redis.url()).unwrap().connect().await.unwrap();
        let log = EventLog::new(connection, Keys::new("reel", PARTITIONS));
        let codec = ContentCodec::new(Some(Vault::new(pool.clone(), MasterKey::parse(KEY).unwrap())));
        Self { redis, postgres, pool, log, codec, folder }
    }

    fn catalog(&self) -> Catalog {
        Catalog::new(self.pool.clone(), self.log.clone(), self.codec.clone())
    }

    fn trail(&self) -> Trail {
        Trail::new(self.pool.clone())
    }

    fn views(&self) -> StatusViews {
        StatusViews::new(self.log.clone(), self.codec.clone(), Duration::from_secs(3600))
    }

    /// Appends the histories of so many jobs, as they would come from workers.
    async fn fill(&self, jobs: usize) -> u64 {
        let template = template();
        let mut events = 0;
        let mut left = jobs;
        let mut writers = VecDeque::new();
        while left > 0 || !writers.is_empty() {
            while writers.len() < AT_A_TIME && left > 0 {
                writers.push_back(Written::new());
                left -= 1;
            }
            // All go on by one append, side by side.
            let mut appends = JoinSet::new();
            for mut job in writers.drain(..) {
                let (log, codec, template) = (self.log.clone(), self.codec.clone(), template.clone());
                appends.spawn(async move {
                    job.append(&log, &codec, &template).await;
                    job
                });
            }
            for job in appends.join_all().await {
                match job.next < template.len() {
                    true => writers.push_back(job),
                    false => events += job.tip.version,
                }
            }
        }
        events
    }
}

/// The history of a job of two scenes: the events of each append.
fn template() -> Arc<Vec<Vec<JobEvent>>> {
    let mut job = Job::default();
    let mut appends = vec![];
    let id = JobId::new();
    let request = VideoRequest {
        title: Some("A title".into()),
        ..VideoRequest::of_script("A topic of some length", "word ".repeat(300))
    };
    let mut command =
        Command::Request(JobRequested { user_id: "user_1".into(), request: request.into(), batch_id: None });
    loop {
        let events = decide(&job, command).unwrap();
        for event in &events {
            let version = job.version + 1;
            job = job.evolve(&RecordedJobEvent { version, recorded_at: Utc::now(), event: event.clone() });
        }
        if !events.is_empty() {
            appends.push(events);
        }
        let Some(item) = job.open_work.first().copied() else { break };
        command = match job.has_started(item.stage) {
            false => Command::StartWork(item),
            true => {
                let outcome = rehearsal::outcome((item.stage, item.scene), id, &job, 2);
                Command::FinishWork { item, outcome, scene_limit: 16 }
            }
        };
    }
    Arc::new(appends)
}

fn per_job() -> usize {
    template().iter().map(Vec::len).sum()
}

/// A job that is being written.
struct Written {
    id: JobId,
    user: String,
    next: usize,
    tip: Tip,
}

impl Written {
    fn new() -> Self {
        let id = JobId::new();
        let user = format!("user_{}", id.0.as_u128() % 1000);
        Self { id, user, next: 0, tip: Tip::default() }
    }

    async fn append(&mut self, log: &EventLog, codec: &ContentCodec, template: &[Vec<JobEvent>]) {
        let expected_version = self.tip.version;
        let mut events = vec![];
        for event in &template[self.next] {
            let mut event = event.clone();
            match &mut event {
                JobEvent::JobRequested(requested) => requested.user_id.clone_from(&self.user),
                JobEvent::JobCompleted { video_id, .. } => *video_id = self.id.0,
                _ => {}
            }
            events.push(self.envelope(codec, &event).await);
        }
        self.next += 1;
        append(log, self.id, expected_version, &events).await;
    }

    async fn envelope(&mut self, codec: &ContentCodec, event: &JobEvent) -> Envelope {
        let version = self.tip.version + 1;
        let (payload, _) = codec.encode(self.id, version, Some(&self.user), event).await.unwrap();
        let cause = Cause {
            command_id: CommandId::new(),
            actor: Actor::Worker("bench-1-0123456789abcdef".into()),
            causation_id: Some(EventId::new()),
            correlation_id: self.id.to_string(),
            traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into(),
            recorded_at: Utc::now(),
        };
        let envelope = Envelope::next(&self.tip, self.id, payload, &cause);
        self.tip = envelope.tip();
        envelope
    }
}

async fn append(log: &EventLog, id: JobId, expected_version: u64, events: &[Envelope]) {
    let append = Append {
        aggregate_id: id.aggregate(),
        expected_version,
        command_id: CommandId::new(),
        events,
        work: &[],
        mark: None,
        done: None,
    };
    log.append(&append).await.unwrap();
}

/// Applies everything, as the projector does: all projections and partitions side by side.
async fn project(log: &EventLog, projections: Vec<Arc<dyn Projection>>) {
    let mut readers = JoinSet::new();
    for projection in projections {
        for partition in log.keys().partitions() {
            let (log, projection) = (log.clone(), projection.clone());
            readers.spawn(async move {
                let mut owner = projection.own(partition).await.unwrap().unwrap();
                while feed(&log, owner.as_mut(), partition, &Default::default(), BATCH, u64::MAX)
                    .await
                    .unwrap()
                    > 0
                {}
                owner.release().await.unwrap();
            });
        }
    }
    readers.join_all().await;
}

/// Events a second, and how long a plain COPY of the same rows takes as a share of that.
async fn into_postgres(jobs: usize) -> (f64, f64) {
    let world = World::start().await;
    let events = world.fill(jobs).await;
    let began = Instant::now();
    project(&world.log, vec![Arc::new(world.catalog()), Arc::new(world.trail())]).await;
    let seconds = began.elapsed().as_secs_f64();
    let copied = copy_of_all_rows(&world.pool).await;
    println!("{events} events in {seconds:.2} s, COPY of their rows in {copied:.2} s");
    (events as f64 / seconds, copied / seconds)
}

/// Seconds that COPY takes to put the rows into empty tables with the same indexes.
async fn copy_of_all_rows(pool: &PgPool) -> f64 {
    let tables: Vec<(String, String)> = sqlx::query_as(
        "select schemaname::text, tablename::text from pg_tables where schemaname in ('catalog', 'trail') order by 1, 2",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let run = async |query: String| {
        sqlx::raw_sql(AssertSqlSafe(query)).execute(pool).await.unwrap();
    };
    run("create schema copied".into()).await;
    let mut seconds = 0.0;
    for (schema, table) in tables {
        let from = format!("{schema}.{table}");
        run(format!("create table copied.{schema}_{table} (like {from} including all)")).await;
        let mut connection = pool.acquire().await.unwrap();
        let mut out =
            connection.copy_out_raw(&format!("copy {from} to stdout (format binary)")).await.unwrap();
        let mut rows = vec![];
        while let Some(chunk) = out.next().await {
            rows.extend_from_slice(&chunk.unwrap());
        }
        drop(out);
        let began = Instant::now();
        let into = format!("copy copied.{schema}_{table} from stdin (format binary)");
        let mut copy = connection.copy_in_raw(&into).await.unwrap();
        copy.send(rows).await.unwrap();
        copy.finish().await.unwrap();
        seconds += began.elapsed().as_secs_f64();
    }
    seconds
}

async fn into_views(jobs: usize) -> f64 {
    let world = World::start().await;
    let events = world.fill(jobs).await;
    let began = Instant::now();
    project(&world.log, vec![Arc::new(world.views())]).await;
    events as f64 / began.elapsed().as_secs_f64()
}

/// Medians in ms.
async fn replay() -> (f64, f64) {
    let world = World::start().await;
    world.fill(500).await;
    let mut job = Written::new();
    let template = template();
    for _ in 0..template.len() {
        job.append(&world.log, &world.codec, &template).await;
    }
    while job.tip.version < 200 {
        let (before, progressed) = (
            job.tip.version,
            StageProgressed { stage: Stage::Rendering, scene: None, done: 1, total: 2, percentage: 85.0 },
        );
        let event = job.envelope(&world.codec, &JobEvent::StageProgressed(progressed)).await;
        append(&world.log, job.id, before, &[event]).await;
    }
    let (mut reads, mut folds) = (vec![], vec![]);
    let catalog = world.catalog();
    for _ in 0..200 {
        let began = Instant::now();
        let mut decoded = vec![];
        for envelope in world.log.history(job.id.aggregate(), 0).await.unwrap() {
            decoded.push(world.codec.decode::<JobEvent>(&envelope).await.unwrap());
        }
        assert_eq!(decoded.len(), 200);
        reads.push(began.elapsed().as_secs_f64() * 1e3);
        let began = Instant::now();
        catalog.folded(job.id, u64::MAX).await.unwrap().unwrap();
        folds.push(began.elapsed().as_secs_f64() * 1e3);
    }
    (median(reads), median(folds))
}

/// The median over all kinds of pages, and the slowest kind's p95 with its name.
async fn listing() -> (f64, (f64, String)) {
    let world = World::start().await;
    let fill = "insert into catalog.jobs
        select gen_random_uuid(), n % 8, 31, 'user_' || n % 1000, 'Topic number ' || n || ' about ' || md5(n::text), 'Title ' || n,
               (array['low', 'medium', 'high', 'ultra'])[1 + n % 4], (array['urgent', 'high', 'normal', 'low'])[1 + n % 4], 'mp4',
               (array['completed', 'completed', 'completed', 'failed', 'cancelled', 'queued', 'processing'])[1 + n % 7],
               100, 'storage', '{}', 2, 2, 0, t, t, t, t, null, null, null, null, null
        from (select n, timestamptz '2026-01-01' + n * interval '20 seconds' as t from generate_series(1, 1000000) n) rows;
        insert into catalog.user_jobs select user_id, status, priority, partition, count(*) from catalog.jobs group by 1, 2, 3, 4;
        vacuum analyze catalog.jobs";
    for query in fill.split(';') {
        sqlx::raw_sql(query).execute(&world.pool).await.unwrap();
    }
    let catalog = world.catalog();
    let own = |filter: JobFilter| JobFilter { user_id: Some("user_7".into()), ..filter };
    let status = JobFilter { status: Some("failed".into()), ..JobFilter::default() };
    let priority = JobFilter { priority: Some("urgent".into()), ..JobFilter::default() };
    let since = "2026-05-01T00:00:00Z".parse().unwrap();
    let range = JobFilter {
        created_after: Some(since),
        created_before: Some(since + chrono::TimeDelta::days(1)),
        ..JobFilter::default()
    };
    let words = JobFilter { q: Some("number 777777".into()), ..JobFilter::default() };
    let middle = Place { rank: 0, time: since, job_id: uuid::Uuid::nil() };
    let kinds: Vec<(&str, JobFilter, JobPage)> = vec![
        ("all", JobFilter::default(), JobPage::Offset(0)),
        ("all by status", status.clone(), JobPage::Offset(0)),
        ("all by priority", priority.clone(), JobPage::Offset(0)),
        ("all of a day", range.clone(), JobPage::Offset(0)),
        ("all with words", words.clone(), JobPage::Offset(0)),
        ("all, cursor in the middle", JobFilter::default(), JobPage::After(middle)),
        ("all by status, cursor in the middle", status.clone(), JobPage::After(middle)),
        ("one user's", own(JobFilter::default()), JobPage::Offset(0)),
        (
            "all with a common word",
            JobFilter { q: Some("topic".into()), ..JobFilter::default() },
            JobPage::Offset(0),
        ),
        ("one user's by status", own(status), JobPage::Offset(0)),
        ("one user's by priority", own(priority), JobPage::Offset(0)),
        ("one user's with words", own(words), JobPage::Offset(0)),
        ("one user's, page 40", own(JobFilter::default()), JobPage::Offset(780)),
    ];
    let mut all = vec![];
    let mut worst = (0.0, String::new());
    for (name, filter, page) in kinds {
        let mut times = vec![];
        for _ in 0..40 {
            let began = Instant::now();
            catalog.list(&filter, Order::default(), page, 20).await.unwrap();
            times.push(began.elapsed().as_secs_f64() * 1e3);
        }
        let slow = quantile(&times, 0.95);
        println!("  {name}: p50 {:.1} ms, p95 {slow:.1} ms", quantile(&times, 0.5));
        if slow > worst.0 {
            worst = (slow, name.to_owned());
        }
        all.extend(times);
    }
    (median(all), worst)
}

/// From an append's answer to the commit of its rows, in ms: p50 and p99.
async fn lag_under_load(events_per_second: u64, duration: Duration) -> (f64, f64) {
    let world = World::start().await;
    let stop = CancellationToken::new();
    let doorbell =
        Doorbell::listen(Address::parse(&world.redis.url()).unwrap(), world.log.keys(), stop.clone());
    let models: Vec<Arc<dyn Projection>> =
        vec![Arc::new(world.views()), Arc::new(world.catalog()), Arc::new(world.trail())];
    let executor = Executor::new(world.log.clone(), Clock::system());
    let running = tokio::spawn(projections::run(executor, doorbell, models, stop.clone()));
    let catalog = world.catalog();
    let waiting: Arc<Mutex<HashMap<JobId, (u64, Instant)>>> = Arc::default();
    let seen = watch_rows(world.pool.clone(), waiting.clone(), stop.clone());
    let template = template();
    let appends_per_second = events_per_second as f64 * template.len() as f64 / per_job() as f64;
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let began = Instant::now();
    let mut jobs: VecDeque<Written> = (0..AT_A_TIME).map(|_| Written::new()).collect();
    let mut appended = 0;
    let mut events = 0;
    while began.elapsed() < duration {
        ticks.tick().await;
        let due = (began.elapsed().as_secs_f64() * appends_per_second) as u64;
        let mut round = JoinSet::new();
        while appended < due {
            let Some(mut job) = jobs.pop_front() else { break };
            appended += 1;
            let (log, codec, template, waiting) =
                (world.log.clone(), world.codec.clone(), template.clone(), waiting.clone());
            round.spawn(async move {
                let before = job.tip.version;
                job.append(&log, &codec, &template).await;
                waiting.lock().unwrap().entry(job.id).or_insert((job.tip.version, Instant::now()));
                (job.tip.version - before, job)
            });
        }
        for (count, job) in round.join_all().await {
            events += count;
            jobs.push_back(if job.next < template.len() { job } else { Written::new() });
        }
    }
    println!("  {:.0} events a second were appended", events as f64 / began.elapsed().as_secs_f64());
    while lag(&world.log, &catalog).await.unwrap() > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    stop.cancel();
    running.await.unwrap().unwrap();
    let times = seen.await.unwrap();
    println!("  {} events were timed", times.len());
    (quantile(&times, 0.5), quantile(&times, 0.99))
}

/// Looks every few ms which of the awaited versions are there.
fn watch_rows(
    pool: PgPool,
    waiting: Arc<Mutex<HashMap<JobId, (u64, Instant)>>>,
    stop: CancellationToken,
) -> tokio::task::JoinHandle<Vec<f64>> {
    tokio::spawn(async move {
        let mut times = vec![];
        while !stop.is_cancelled() {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let asked: Vec<uuid::Uuid> = waiting.lock().unwrap().keys().take(100).map(|job| job.0).collect();
            let rows: Vec<(uuid::Uuid, i64)> =
                sqlx::query_as("select job_id, version from catalog.jobs where job_id = any($1)")
                    .bind(&asked)
                    .fetch_all(&pool)
                    .await
                    .unwrap();
            let mut waiting = waiting.lock().unwrap();
            for (id, version) in rows {
                let job = JobId(id);
                if waiting.get(&job).is_some_and(|(awaited, _)| version as u64 >= *awaited) {
                    times.push(waiting.remove(&job).unwrap().1.elapsed().as_secs_f64() * 1e3);
                }
            }
        }
        times
    })
}

/// Events a second, and peak memory in MB.
async fn rebuild_a_million() -> (f64, f64) {
    let world = World::start().await;
    let events = world.fill(1_000_000 / per_job() + 1).await;
    project(&world.log, vec![Arc::new(world.catalog())]).await;
    let began = Instant::now();
    let mut child = Process::new(env!("CARGO_BIN_EXE_reel"))
        .args(["projections", "rebuild", "catalog"])
        .env("REDIS_URL", world.redis.url())
        .env("DATABASE_URL", world.postgres.url("postgres"))
        .env("REEL_MASTER_KEY", KEY)
        .env("REEL_SIGNING_KEY", KEY)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut peak: f64 = 0.0;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if std::path::Path::new(&format!("/proc/{}/status", child.id())).exists() {
            let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
            let line = status.lines().find(|line| line.starts_with("VmHWM"));
            let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
            peak = peak.max(kilobytes.unwrap_or(0.0) * 1024.0 / 1e6);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(status.success());
    let seconds = began.elapsed().as_secs_f64();
    println!("  {events} events in {seconds:.1} s, with comparing and switching");
    (events as f64 / seconds, peak)
}
