//! The crash suite: the roles run as processes of their own, and they and Redis are killed and frozen, at named
//! points and at random, while jobs go through. Then the whole log is checked.
//!
//! `REEL_SEED` repeats the choices of another run; `REEL_CHAOS_JOBS` and `REEL_CHAOS_KILLS` make a longer one
//! (`./scripts/chaos`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reelstream::audit::{SealLog, Seals, Verifier};
use reelstream::crash;
use reelstream::dev::{Issuer, PrivatePostgres, PrivateRedis, free_port};
use reelstream::domain::job::{Job, Status};
use reelstream::events::archive::Archive;
use reelstream::events::connection::Address;
use reelstream::events::{CHAIN_START, Envelope, EventLog, JobEvent, Keys, Stage, WorkQueue};
use reelstream::execute::{self, ContentCodec};
use reelstream::ids::JobId;
use reelstream::signing::SigningKey;
use reelstream::vault::{MasterKey, Vault};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::harness::{MASTER_KEY, ReadModels, eventually, folder, short_request};
use crate::log::model::{Random, seed};

const PARTITIONS: u16 = 8;
/// Scenes of every pretended plan.
const SCENES: usize = 2;
const CLIENTS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(400);

fn count_from(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_nothing_is_done_twice() {
    torment(Programs::only_this_version()).await;
}

/// 16.8: an upgrade while jobs are in flight. Processes of two versions work on one log, in any mixture.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the program of another version: ./scripts/upgrade-test"]
async fn nothing_is_lost_while_another_version_is_replaced_by_this_one() {
    let (first, last) = (other_version(), this_version());
    torment(Programs { first, last }).await;
}

/// 16.8: a downgrade, when events of this version are in the log.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the program of another version: ./scripts/upgrade-test"]
async fn nothing_is_lost_while_this_version_is_replaced_by_another_one() {
    let (first, last) = (this_version(), other_version());
    torment(Programs { first, last }).await;
}

/// The versions of the program: who starts first, and who is left in the end. In between, each start is of either.
struct Programs {
    first: PathBuf,
    last: PathBuf,
}

impl Programs {
    fn only_this_version() -> Self {
        Self { first: this_version(), last: this_version() }
    }
}

fn this_version() -> PathBuf {
    env!("CARGO_BIN_EXE_reel").into()
}

fn other_version() -> PathBuf {
    let path = std::env::var_os("REEL_OTHER_VERSION");
    path.expect("REEL_OTHER_VERSION names the program of another version; see scripts/upgrade-test").into()
}

async fn torment(programs: Programs) {
    let seed = seed();
    println!("REEL_SEED={seed}");
    let (jobs, kills) = (count_from("REEL_CHAOS_JOBS", 200), count_from("REEL_CHAOS_KILLS", 50));
    let mut stage = Theatre::start(seed, programs).await;
    let clients = stage.clients();
    let extra = jobs.saturating_sub(200) + 5 * kills.saturating_sub(50);
    let patience = PATIENCE + Duration::from_millis(400 * extra as u64);
    stage.torment(kills, patience, || clients.accepted.lock().unwrap().len() >= jobs).await;
    let accepted = clients.stop(|| stage.revive()).await;
    assert!(accepted.len() >= jobs);
    stage.calm_down().await;
    stage.wait_until_all_ended(&accepted).await;
    println!("{} kills and freezes, points hit: {:?}", stage.kills, stage.points_hit());
    println!("starts: {:?}", stage.starts);
    for point in crash::POINTS {
        assert!(stage.points_hit().contains(point), "the crash point {point} was never reached");
    }
    stage.check(&accepted).await;
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    Api,
    Worker,
    Projector,
}

impl Role {
    fn command(self) -> &'static str {
        match self {
            Role::Api => "serve",
            Role::Worker => "work",
            Role::Projector => "project",
        }
    }

    /// Whether a process of this role passes the point.
    fn passes(self, point: &str) -> bool {
        match point.split('.').next() {
            Some("projection") => self == Role::Projector,
            Some("generate") => self == Role::Api,
            _ => self == Role::Worker,
        }
    }
}

struct Actor {
    role: Role,
    child: Child,
    /// Until when it is frozen.
    frozen: Option<Instant>,
}

/// All processes of one run.
struct Theatre {
    programs: Programs,
    /// Starts of processes of each version.
    starts: BTreeMap<PathBuf, usize>,
    random: Random,
    redis: Option<PrivateRedis>,
    redis_port: u16,
    redis_frozen: Option<Instant>,
    api_port: u16,
    postgres: PrivatePostgres,
    issuer: Issuer,
    actors: Vec<Actor>,
    /// Points that no process has died at yet.
    points_left: Vec<&'static str>,
    armed: usize,
    kills: usize,
    folder: TempDir,
}

impl Theatre {
    async fn start(seed: u64, programs: Programs) -> Self {
        let folder = folder();
        let redis_port = free_port().unwrap();
        let redis = Some(PrivateRedis::start_on(&folder.path().join("redis"), redis_port, &[]).unwrap());
        let postgres = PrivatePostgres::start(&folder.path().join("postgres")).unwrap();
        let issuer = Issuer::start(CancellationToken::new()).await.unwrap();
        let settings: String = Stage::ALL
            .iter()
            .map(|stage| format!("[stages.{stage}]\nlease_seconds = 2\nattempts = 100\nconcurrency = 4\n"))
            .collect();
        // Clients that ask again at once are refused by those that are there, not by a limit.
        let limits: String = ["address", "read", "write", "generate", "live"]
            .iter()
            .map(|of| format!("[rate_limits.{of}]\nper_second = 0\nburst = 0\n"))
            .collect();
        let settings = format!("{limits}[audit]\nseal_seconds = 1\nsegment_events = 50\n{settings}");
        std::fs::write(folder.path().join("streams.toml"), settings).unwrap();
        let first = programs.first.clone();
        let mut theatre = Self {
            programs,
            starts: BTreeMap::new(),
            random: Random::new(seed),
            redis,
            redis_port,
            redis_frozen: None,
            api_port: free_port().unwrap(),
            postgres,
            issuer,
            actors: vec![],
            points_left: crash::POINTS.to_vec(),
            armed: 0,
            kills: 0,
            folder,
        };
        for role in [Role::Api, Role::Worker, Role::Worker, Role::Projector] {
            let actor = theatre.spawn(&first, role, None);
            theatre.actors.push(actor);
        }
        theatre
    }

    fn stderr(&self) -> PathBuf {
        self.folder.path().join("stderr.log")
    }

    fn redis_url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.redis_port)
    }

    fn spawn(&mut self, program: &Path, role: Role, crash_at: Option<String>) -> Actor {
        *self.starts.entry(program.to_owned()).or_default() += 1;
        let said = std::fs::File::options().create(true).append(true).open(self.stderr()).unwrap();
        let mut command = Command::new(program);
        command
            .arg(role.command())
            .env("REDIS_URL", self.redis_url())
            .env("DATABASE_URL", self.postgres.url("postgres"))
            .env("CLERK_ISSUER", self.issuer.url())
            .env("REEL_MASTER_KEY", MASTER_KEY)
            .env("ARCHIVE_ROOT", self.folder.path().join("archive"))
            .env("REEL_SIGNING_KEY", MASTER_KEY)
            .env("MEDIA_ROOT", self.folder.path().join("media"))
            .env("REEL_STREAMS", self.folder.path().join("streams.toml"))
            .env("REEL_BIND", format!("127.0.0.1:{}", self.api_port))
            .env("REEL_REHEARSAL", format!("{SCENES},40,60"))
            .env("REEL_LOG", "warn")
            .stderr(Stdio::from(said));
        if let Some(crash_at) = crash_at {
            command.env("REEL_CRASH_AT", crash_at);
        }
        Actor { role, child: command.spawn().unwrap(), frozen: None }
    }

    /// The next life of a process, which may end at a named point.
    fn respawn(&mut self, index: usize) {
        let role = self.actors[index].role;
        let left: Vec<&str> = self.points_left.iter().copied().filter(|point| role.passes(point)).collect();
        let all: Vec<&str> = crash::POINTS.into_iter().filter(|point| role.passes(point)).collect();
        let choices = if left.is_empty() { all } else { left };
        self.armed += 1;
        let point = choices[self.armed % choices.len()];
        // Rarely passed points are not waited for.
        let rare = point.starts_with("takeover") || point.starts_with("release");
        let pass = 1 + if rare { 0 } else { self.random.below(12) };
        let programs = [&self.programs.first, &self.programs.last];
        let program = programs[self.random.below(2) as usize].clone();
        self.actors[index] = self.spawn(&program, role, Some(format!("{point}:{pass}")));
    }

    fn points_hit(&self) -> BTreeSet<String> {
        let said = std::fs::read_to_string(self.stderr()).unwrap_or_default();
        said.lines().filter_map(|line| line.strip_prefix("crash point ")).map(str::to_owned).collect()
    }

    /// Kills and freezes until there was enough of it: jobs, kills, and every named point. Clients go on all the while.
    async fn torment(&mut self, kills: usize, patience: Duration, are_enough: impl Fn() -> bool) {
        let deadline = Instant::now() + patience;
        while !are_enough() || self.kills < kills || !self.points_left.is_empty() {
            assert!(
                Instant::now() < deadline,
                "not in time: {} kills, points left {:?}, enough jobs: {}",
                self.kills,
                self.points_left,
                are_enough()
            );
            self.revive();
            match self.random.below(16) {
                0..=4 => self.signal_someone(Signal::KILL),
                5..=7 => self.signal_someone(Signal::STOP),
                8 => self.kill_redis(),
                9 => self.freeze_redis(),
                _ => {}
            }
            let pause = 50 + self.random.below(250);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    fn signal_someone(&mut self, signal: Signal) {
        let index = self.random.below(self.actors.len() as u64) as usize;
        let frozen_for = Duration::from_millis(500 + self.random.below(3500));
        let actor = &mut self.actors[index];
        if actor.frozen.is_some() {
            return;
        }
        send(actor.child.id(), signal);
        if signal == Signal::STOP {
            actor.frozen = Some(Instant::now() + frozen_for);
        }
        self.kills += 1;
    }

    fn kill_redis(&mut self) {
        if let Some(redis) = self.redis.take() {
            send(redis.pid(), Signal::KILL);
            self.redis_frozen = None;
            drop(redis);
            let place = self.folder.path().join("redis");
            self.redis = Some(PrivateRedis::start_on(&place, self.redis_port, &[]).unwrap());
            self.kills += 1;
        }
    }

    fn freeze_redis(&mut self) {
        if let Some(redis) = self.redis.as_ref().filter(|_| self.redis_frozen.is_none()) {
            send(redis.pid(), Signal::STOP);
            self.redis_frozen = Some(Instant::now() + Duration::from_millis(600));
            self.kills += 1;
        }
    }

    /// Wakes whoever has been frozen long enough, and starts whoever has died.
    fn revive(&mut self) {
        let now = Instant::now();
        if self.redis_frozen.is_some_and(|until| until < now) {
            send(self.redis.as_ref().unwrap().pid(), Signal::CONT);
            self.redis_frozen = None;
        }
        for index in 0..self.actors.len() {
            let actor = &mut self.actors[index];
            if actor.frozen.is_some_and(|until| until < now) {
                send(actor.child.id(), Signal::CONT);
                actor.frozen = None;
            }
            if actor.child.try_wait().unwrap().is_some() {
                let hit = self.points_hit();
                let before = self.points_left.len();
                self.points_left.retain(|point| !hit.contains(*point));
                self.kills += before - self.points_left.len();
                self.respawn(index);
            }
        }
    }

    /// Ends all torment: everybody runs, and nobody dies any more.
    async fn calm_down(&mut self) {
        if self.redis_frozen.take().is_some() {
            send(self.redis.as_ref().unwrap().pid(), Signal::CONT);
        }
        for index in 0..self.actors.len() {
            let role = self.actors[index].role;
            let _gone = self.actors[index].child.kill();
            let _status = self.actors[index].child.wait();
            let last = self.programs.last.clone();
            self.actors[index] = self.spawn(&last, role, None);
        }
        let port = self.api_port;
        crate::harness::eventually("the API listens", async || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        })
        .await;
    }

    async fn log(&self) -> EventLog {
        let address = Address::parse(&self.redis_url()).unwrap();
        EventLog::new(address.connect().await.unwrap(), Keys::new("reel", PARTITIONS))
    }

    async fn wait_until_all_ended(&self, accepted: &BTreeSet<JobId>) {
        let queue = WorkQueue::new(&self.log().await);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let open = queue.open().await.unwrap();
            if open == 0 {
                return;
            }
            assert!(Instant::now() < deadline, "{open} of {} jobs have not ended", accepted.len());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn clients(&self) -> Clients {
        let token =
            self.issuer.sign(&self.issuer.claims("user_1", "user", Duration::from_secs(3600))).unwrap();
        Clients::start(format!("http://127.0.0.1:{}", self.api_port), token)
    }

    async fn check(&self, accepted: &BTreeSet<JobId>) {
        let log = self.log().await;
        let histories = read_all(&log).await;
        let known: BTreeSet<JobId> = histories.keys().copied().collect();
        assert!(known.is_superset(accepted), "an acknowledged job was lost");
        assert_eq!(known.len(), accepted.len(), "a request was recorded twice");
        let mut statuses = BTreeMap::new();
        for (job_id, history) in &histories {
            *statuses.entry(check_history(*job_id, history)).or_insert(0) += 1;
        }
        println!("{} events, {statuses:?}", histories.values().map(Vec::len).sum::<usize>());
        let queue = WorkQueue::new(&log);
        for stage in Stage::ALL {
            let depth = queue.depth(stage).await.unwrap();
            assert_eq!((depth.waiting, depth.taken), (0, 0), "work of {stage} is left over");
        }
        assert_eq!(queue.delayed().await.unwrap(), 0);
        self.check_projections(&log).await;
    }

    /// The read models equal what is folded from the log, all rows of all tables.
    async fn check_projections(&self, log: &EventLog) {
        let pool = sqlx::PgPool::connect(&self.postgres.url("postgres")).await.unwrap();
        let vault = Vault::new(pool.clone(), MasterKey::parse(MASTER_KEY).unwrap());
        let models = ReadModels::new(log.clone(), pool, ContentCodec::new(Some(vault)));
        models.caught_up().await;
        models.verify().await;
        self.check_seals(log, &models).await;
    }

    /// What was sealed and archived while everybody was killed is what the log holds.
    async fn check_seals(&self, log: &EventLog, models: &ReadModels) {
        let root = self.folder.path().join("archive");
        let keys = vec![SigningKey::parse(MASTER_KEY).unwrap().public_key()];
        let log = log.clone().with_archive(Archive::new(&root, keys.clone()));
        let verifier = Verifier {
            log: log.clone(),
            trail: models.trail.clone(),
            seals: Seals::new(models.pool.clone()),
            seal_log: SealLog::new(&root.join("seals.log")),
            public_keys: keys,
            // The process that seals is killed, too, so seals come late.
            seal_every: 2 * PATIENCE,
            gaps_known_until: None,
        };
        // Who was killed while it archived a partition keeps others from that for a while.
        eventually("a partition is archived", async || {
            let mut archived = 0;
            for partition in log.keys().partitions() {
                archived += log.archive().unwrap().last_archived(partition).await.unwrap();
            }
            archived > 0
        })
        .await;
        let (mut seals, mut archived) = (0, 0);
        for partition in log.keys().partitions() {
            let report = verifier.verify_partition(partition, chrono::Utc::now()).await.unwrap();
            assert!(report.is_clean(), "{:#?}", report.findings);
            seals += report.seals;
            archived += log.archive().unwrap().last_archived(partition).await.unwrap();
        }
        println!("{seals} seals hold, {archived} events are archived");
        assert!(seals > 0 && archived > 0);
    }
}

impl Drop for Theatre {
    fn drop(&mut self) {
        for actor in &mut self.actors {
            let _ended = actor.child.kill().and_then(|()| actor.child.wait());
        }
        if let Some(redis) = self.redis.as_ref().filter(|_| self.redis_frozen.is_some()) {
            send(redis.pid(), Signal::CONT);
        }
        if std::thread::panicking() {
            let said = std::fs::read_to_string(self.stderr()).unwrap_or_default();
            let lines: Vec<&str> = said.lines().rev().take(60).collect();
            println!("the processes said at last:");
            lines.into_iter().rev().for_each(|line| println!("{line}"));
        }
    }
}

fn send(pid: u32, signal: Signal) {
    // It may have died by itself.
    let _gone = kill_process(Pid::from_raw(pid as i32).unwrap(), signal);
}

async fn read_all(log: &EventLog) -> BTreeMap<JobId, Vec<Envelope>> {
    let mut histories: BTreeMap<JobId, Vec<Envelope>> = BTreeMap::new();
    for partition in log.keys().partitions() {
        let mut after = 0;
        loop {
            // read() refuses gaps in the sequence.
            let events = log.read(partition, after, 500).await.unwrap();
            let Some((last, _)) = events.last() else { break };
            after = *last;
            for (_, event) in events {
                histories.entry(JobId(event.aggregate_id.0)).or_default().push(event);
            }
        }
        assert_eq!(log.head(partition).await.unwrap(), after);
    }
    histories
}

/// One job: versions, chain, one end, no result twice.
fn check_history(job_id: JobId, history: &[Envelope]) -> String {
    let mut previous = CHAIN_START;
    let mut job = Job::default();
    let mut results: BTreeMap<String, usize> = BTreeMap::new();
    let mut ends = 0;
    for (version, envelope) in (1..).zip(history) {
        assert_eq!(envelope.version, version, "job {job_id}");
        assert_eq!(envelope.prev_hash, previous, "job {job_id}");
        assert_eq!(envelope.compute_hash(), envelope.hash, "job {job_id}");
        previous = &envelope.hash;
        let recorded = execute::decode(envelope).unwrap();
        let result = match &recorded.event {
            JobEvent::StageStarted { stage, .. } => Some(format!("started {stage}")),
            JobEvent::StageCompleted { stage, .. } => Some(format!("completed {stage}")),
            JobEvent::SceneCodeGenerated { scene, .. } => Some(format!("code {scene}")),
            JobEvent::SceneRendered { scene, .. } => Some(format!("rendered {scene}")),
            JobEvent::ScenePlanned { scene, .. } => Some(format!("planned {scene}")),
            JobEvent::JobCompleted { .. } | JobEvent::JobFailed { .. } | JobEvent::JobCancelled { .. } => {
                ends += 1;
                None
            }
            _ => None,
        };
        if let Some(result) = result {
            *results.entry(result).or_default() += 1;
        }
        assert!(!job.has_ended(), "job {job_id}: version {version} comes after the end");
        job = job.evolve(&recorded);
    }
    let types: Vec<&str> = history.iter().map(|event| event.event_type.as_str()).collect();
    assert_eq!(ends, 1, "job {job_id} has ended once: {types:?}");
    assert!(job.has_ended(), "nothing comes after the end: {types:?}");
    assert!(results.values().all(|count| *count == 1), "job {job_id}: {results:?}");
    if job.status == Status::Completed {
        let expected = 2 * Stage::ALL.len() + 3 * SCENES;
        assert_eq!(results.len(), expected, "job {job_id}: {results:?}");
    }
    format!("{:?}", job.status)
}

/// Clients who ask for jobs, each under an idempotency key, until they get an answer; and again, until they are
/// stopped.
struct Clients {
    accepted: Arc<Mutex<BTreeSet<JobId>>>,
    enough: CancellationToken,
    running: JoinSet<()>,
}

impl Clients {
    fn start(url: String, token: String) -> Self {
        let accepted = Arc::<Mutex<BTreeSet<JobId>>>::default();
        let enough = CancellationToken::new();
        let mut running = JoinSet::new();
        for client in 0..CLIENTS {
            let (url, token, accepted, enough) =
                (url.clone(), token.clone(), accepted.clone(), enough.clone());
            running.spawn(async move {
                let http = reqwest::Client::builder().timeout(Duration::from_secs(8)).build().unwrap();
                for number in (client..).step_by(CLIENTS).take_while(|_| !enough.is_cancelled()) {
                    let job_id = ask(&http, &url, &token, &format!("key-{number}")).await;
                    if number % 10 == 0 {
                        cancel(&http, &url, &token, job_id).await;
                    }
                    accepted.lock().unwrap().insert(job_id);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            });
        }
        Self { accepted, enough, running }
    }

    /// Lets every client get its last answer. `meanwhile` keeps alive who must answer.
    async fn stop(mut self, mut meanwhile: impl FnMut()) -> BTreeSet<JobId> {
        self.enough.cancel();
        let deadline = Instant::now() + PATIENCE;
        while !self.running.is_empty() {
            assert!(Instant::now() < deadline, "{} clients got no answer", self.running.len());
            meanwhile();
            tokio::select! {
                ended = self.running.join_next() => ended.into_iter().for_each(|ended| ended.unwrap()),
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
        }
        self.accepted.lock().unwrap().clone()
    }
}

/// Until the API says 201.
async fn ask(http: &reqwest::Client, url: &str, token: &str, key: &str) -> JobId {
    loop {
        let request = http.post(format!("{url}/api/v1/videos/generate")).bearer_auth(token);
        let answer = request.header("Idempotency-Key", key).json(&short_request()).send().await;
        match answer {
            Ok(answer) if answer.status() == 201 => {
                if let Ok(body) = answer.json::<Value>().await {
                    return body["job_id"].as_str().unwrap().parse().unwrap();
                }
            }
            Ok(answer) => assert!(answer.status().is_server_error(), "{}", answer.status()),
            Err(_gone) => {}
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Until the API says that the job has ended, by this or otherwise.
async fn cancel(http: &reqwest::Client, url: &str, token: &str, job_id: JobId) {
    loop {
        let request = http.post(format!("{url}/api/v1/jobs/{job_id}/cancel")).bearer_auth(token);
        match request.send().await {
            Ok(answer) if [200, 409].contains(&answer.status().as_u16()) => return,
            Ok(answer) => assert!(answer.status().is_server_error(), "{}", answer.status()),
            Err(_gone) => {}
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[test]
fn every_point_has_a_role_that_passes_it() {
    for point in crash::POINTS {
        assert!([Role::Api, Role::Worker, Role::Projector].iter().any(|role| role.passes(point)), "{point}");
    }
    assert!(Path::new(env!("CARGO_BIN_EXE_reel")).exists());
}
