//! Postgres goes away, freezes, is killed and has no room: read models wait, and nothing is lost or done twice.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use reelstream::dev::{PrivatePostgres, free_port};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{ReadModels, System, eventually, folder, short_request};
use reelstream::app::Role;

static API_AND_PROJECTOR: [Role; 2] = [Role::Api, Role::Projector];

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid as i32).unwrap(), signal).unwrap();
}

/// The processes of a server and of its sessions.
fn family(parent: u32) -> Vec<u32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let children = std::fs::read_to_string(path).unwrap();
    std::iter::once(parent).chain(children.split_whitespace().map(|pid| pid.parse().unwrap())).collect()
}

async fn request_some(system: &System, count: usize) -> Vec<String> {
    let mut jobs = vec![];
    for _ in 0..count {
        jobs.push(system.generate(&short_request()).await);
    }
    jobs
}

async fn catch_up_and_verify(system: &System) -> ReadModels {
    let models = system.read_models().await;
    models.caught_up().await;
    models.verify().await;
    models
}

/// A PostgreSQL that can be taken away, and brought back on its port with what it had on disk.
pub struct Fragile {
    pub server: PrivatePostgres,
    port: u16,
    folder: TempDir,
}

impl Fragile {
    pub fn start() -> Self {
        let (folder, port) = (folder(), free_port().unwrap());
        Self { server: PrivatePostgres::start_on(folder.path(), port).unwrap(), port, folder }
    }

    async fn system(&self) -> System {
        let url = self.server.url("postgres");
        System::start_with(&API_AND_PROJECTOR, |config| config.postgres.url = url).await
    }

    pub fn stop(&self, how: Signal) {
        signal(self.server.pid(), how);
    }

    pub fn bring_back(&mut self) {
        // The old one must be gone before the new one takes its place.
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match PrivatePostgres::start_on(self.folder.path(), self.port) {
                Ok(server) => {
                    self.server = server;
                    return;
                }
                Err(error) => assert!(Instant::now() < deadline, "{error:?}"),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// How often the server has said these words.
    fn said(&self, words: &str) -> usize {
        std::fs::read_to_string(self.folder.path().join("postgres.log")).unwrap().matches(words).count()
    }
}

/// The status of PostgreSQL in the answer of the health endpoint.
async fn health(system: &System) -> String {
    let health: Value = system.get("/api/v1/system/health").await.json().await.unwrap();
    health["components"]["postgres"]["status"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_postgres_statuses_go_on_and_read_models_catch_up_later() {
    let mut postgres = Fragile::start();
    let system = postgres.system().await;
    let before = request_some(&system, 3).await;
    system.read_models().await.caught_up().await;
    postgres.stop(Signal::INT);
    eventually("postgres is down", async || health(&system).await == "unhealthy").await;
    assert_eq!(system.status(&before[0]).await["status"], "queued");
    // A user whose key is known goes on writing, and reads it.
    let during = request_some(&system, 2).await;
    let began = Instant::now();
    let status = system.status(&during[1]).await;
    assert_eq!((&status["version"], &status["topic"]), (&json!(3), &json!("Ions")));
    assert!(began.elapsed() < Duration::from_secs(5), "nobody waits for postgres: {:?}", began.elapsed());
    let answer = system.get("/api/v1/jobs").await;
    assert_eq!(answer.status(), 503, "what only postgres knows is out of reach");
    postgres.bring_back();
    let models = catch_up_and_verify(&system).await;
    assert_eq!(models.rows_of("catalog.jobs").await.len(), 5);
    system.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_in_the_middle_of_batches_loses_and_doubles_nothing() {
    let mut postgres = Fragile::start();
    let system = postgres.system().await;
    for round in 0..3 {
        {
            let requests = request_some(&system, 10 + round);
            let kill_after = tokio::time::sleep(Duration::from_millis(30 * (1 + round as u64)));
            tokio::select! {
                _ = requests => {}
                () = kill_after => {}
            }
        }
        // Commits are not flushed one by one: rows and checkpoint go back together.
        postgres.stop(Signal::QUIT);
        postgres.bring_back();
        request_some(&system, 3).await;
        catch_up_and_verify(&system).await;
    }
    system.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_frozen_for_a_while_is_waited_for() {
    let postgres = Fragile::start();
    let system = postgres.system().await;
    let jobs = request_some(&system, 3).await;
    let frozen = family(postgres.server.pid());
    frozen.iter().for_each(|pid| signal(*pid, Signal::STOP));
    for _ in 0..3 {
        request_some(&system, 1).await;
        let began = Instant::now();
        assert_eq!(system.status(&jobs[0]).await["status"], "queued");
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        eventually("the system has noticed", async || health(&system).await == "unhealthy").await;
    }
    frozen.iter().for_each(|pid| signal(*pid, Signal::CONT));
    let models = catch_up_and_verify(&system).await;
    assert_eq!(models.rows_of("catalog.jobs").await.len(), 6);
    system.running.stop().await;
}

/// How large files may become, for all processes of a server; asked for by the account that runs them.
fn limit_files(server: u32, bytes: &str) {
    for pid in family(server) {
        // A session may have ended meanwhile.
        let Ok(process) = std::fs::metadata(format!("/proc/{pid}")) else { continue };
        let mut prlimit = Command::new("prlimit");
        prlimit.args(["--pid", &pid.to_string(), &format!("--fsize={bytes}:unlimited")]);
        if rustix::process::geteuid().is_root() {
            prlimit.uid(process.uid()).gid(process.gid());
        }
        let output = prlimit.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() || said.contains("No such process"), "{said}");
    }
}

/// Files that cannot grow, as on a full disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_waited_out() {
    let postgres = Fragile::start();
    let system = postgres.system().await;
    request_some(&system, 2).await;
    let models = catch_up_and_verify(&system).await;
    // A table that is larger than a WAL segment, which must still be written.
    let grow = "alter table trail.events set (autovacuum_enabled = false);
                insert into trail.events select 99, n, gen_random_uuid(), 'job', gen_random_uuid(), 1, 'x', now(), 'x', 'x', repeat('x', 64)
                from generate_series(1, 110000) n;
                delete from trail.events where partition = 99";
    sqlx::raw_sql(grow).execute(&models.pool).await.unwrap();
    let size: i64 =
        sqlx::query_scalar("select pg_relation_size('trail.events')").fetch_one(&models.pool).await.unwrap();
    assert!(size > 17 << 20, "{size}");
    let server = postgres.server.pid();
    limit_files(server, &(17 << 20).to_string());
    request_some(&system, 120).await;
    // The projector has tried, and tried again.
    eventually("postgres has refused to grow", async || postgres.said("could not extend file") >= 3).await;
    let behind = reelstream::projections::lag(&models.log, &models.trail).await.unwrap();
    assert!(behind > 0, "the trail cannot grow");
    let halted = reelstream::projections::halts::all(&models.log).await.unwrap();
    assert!(halted.is_empty(), "it waits for room, which is no fault of an event: {halted:?}");
    limit_files(server, "unlimited");
    catch_up_and_verify(&system).await;
    system.running.stop().await;
}
