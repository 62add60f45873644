//! Redis goes away in every way that it can, and comes back.

use std::time::{Duration, Instant};

use redis::Value;
use reelstream::dev::{PrivateRedis, free_port};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use reelstream::app::Role;

use crate::harness::{ALL_ROLES, Running, System, error_of, eventually, folder, short_request};

/// A Redis that can be stopped, and started again on its port with what it had on disk.
struct Fragile {
    server: Option<PrivateRedis>,
    port: u16,
    folder: TempDir,
}

impl Fragile {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(settings: &[&str]) -> Self {
        let (folder, port) = (folder(), free_port().unwrap());
        let server = Some(PrivateRedis::start_on(folder.path(), port, settings).unwrap());
        Self { server, port, folder }
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn signal(&self, signal: Signal) {
        let pid = self.server.as_ref().unwrap().pid();
        kill_process(Pid::from_raw(pid as i32).unwrap(), signal).unwrap();
    }

    /// In good order, as an upgrade does it.
    fn stop(&mut self) {
        self.server = None;
    }

    fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.server = None;
    }

    fn start_again(&mut self) {
        self.server = Some(PrivateRedis::start_on(self.folder.path(), self.port, &[]).unwrap());
    }

    async fn ask(&self, command: &[&str]) -> Value {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        redis::Cmd::new().arg(command).query_async(&mut connection).await.unwrap()
    }
}

async fn system_on(url: String) -> System {
    System::start_with(&ALL_ROLES, |config| {
        config.redis.url = url;
        // What a lost connection left behind is taken over soon.
        config.streams.stages.values_mut().for_each(|stage| stage.lease = Duration::from_secs(3));
    })
    .await
}

/// Every job is completed, with one end and no stage done twice.
async fn all_complete(system: &System, jobs: &[String]) {
    for job_id in jobs {
        eventually("the job has ended", async || {
            let answer = system.get(&format!("/api/v1/videos/jobs/{job_id}/status")).await;
            answer.status() == 200
                && answer.json::<serde_json::Value>().await.unwrap()["status"] == "completed"
        })
        .await;
        let events = system.events(job_id).await;
        let count = |kind: &str| events.iter().filter(|event| event["type"] == kind).count();
        assert_eq!((count("JobCompleted"), count("StageCompleted")), (1, 7), "{events:#?}");
    }
}

/// The status answers soon, whatever it answers.
async fn status_answers(system: &System, job_id: &str) -> u16 {
    let asked = Instant::now();
    let answer = system.get(&format!("/api/v1/videos/jobs/{job_id}/status")).await;
    let status = answer.status().as_u16();
    assert!(asked.elapsed() < Duration::from_secs(8), "status took {:?}", asked.elapsed());
    if status != 200 {
        assert!(answer.headers().contains_key("retry-after"));
        assert_eq!(error_of(answer).await.1["error_code"], "SERVICE_UNAVAILABLE");
    }
    status
}

// 000-5.5
#[tokio::test]
async fn a_restart_and_a_crash_of_redis_lose_nothing() {
    let mut redis = Fragile::start();
    let system = system_on(redis.url()).await;
    let mut jobs = vec![];
    for crash in [false, true] {
        jobs.push(system.generate(&short_request()).await);
        eventually("it is under way", async || {
            system.status(jobs.last().unwrap()).await["progress"]["percentage"].as_f64().unwrap() > 5.0
        })
        .await;
        if crash {
            redis.kill()
        } else {
            redis.stop()
        }
        assert_eq!(status_answers(&system, &jobs[0]).await, 503);
        let refused = system.post("/api/v1/videos/generate", &short_request()).await;
        assert_eq!(error_of(refused).await.0, 503);
        redis.start_again();
        eventually("the API has found it again", async || status_answers(&system, &jobs[0]).await == 200)
            .await;
    }
    all_complete(&system, &jobs).await;
    system.running.stop().await;
}

#[tokio::test]
async fn cut_connections_do_no_harm() {
    let redis = Fragile::start();
    let system = system_on(redis.url()).await;
    let mut jobs = vec![];
    for _ in 0..3 {
        jobs.push(system.generate(&short_request()).await);
    }
    for _ in 0..15 {
        for kind in ["normal", "pubsub"] {
            redis.ask(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]).await;
        }
        eventually("the API is connected again", async || status_answers(&system, &jobs[0]).await == 200)
            .await;
    }
    all_complete(&system, &jobs).await;
    system.running.stop().await;
}

#[tokio::test]
async fn a_frozen_redis_holds_nobody_for_long() {
    let redis = Fragile::start();
    let system = system_on(redis.url()).await;
    let job_id = system.generate(&short_request()).await;
    redis.signal(Signal::STOP);
    assert_eq!(status_answers(&system, &job_id).await, 503);
    redis.signal(Signal::CONT);
    all_complete(&system, &[job_id]).await;
    system.running.stop().await;
}

/// Nothing is acknowledged from here on that the replica does not have.
async fn pause_until_replicated(primary: &Fragile) {
    primary.ask(&["CLIENT", "PAUSE", "10000", "WRITE"]).await;
    let info = async || match primary.ask(&["INFO", "replication"]).await {
        Value::BulkString(text) => String::from_utf8(text).unwrap(),
        other => panic!("{other:?}"),
    };
    eventually("the replica has all of it", async || {
        let info = info().await;
        let offset =
            info.lines().find_map(|line| line.strip_prefix("master_repl_offset:")).unwrap().trim().to_owned();
        info.lines().any(|line| line.starts_with("slave0:") && line.contains(&format!("offset={offset},")))
    })
    .await;
}

#[tokio::test]
async fn a_promoted_replica_is_found() {
    let mut first = Fragile::start();
    let replica_of = format!("127.0.0.1 {}", first.port);
    let second = Fragile::start_with(&["--replicaof", &replica_of]);
    let url = format!("redis://127.0.0.1:{},127.0.0.1:{}", first.port, second.port);
    let system = system_on(url).await;
    let job_id = system.generate(&short_request()).await;
    pause_until_replicated(&first).await;
    first.kill();
    second.ask(&["REPLICAOF", "NO", "ONE"]).await;
    eventually("the API has found the new primary", async || status_answers(&system, &job_id).await == 200)
        .await;
    let next = system.generate(&short_request()).await;
    all_complete(&system, &[job_id, next]).await;
    system.running.stop().await;
}

#[tokio::test]
async fn a_primary_that_becomes_a_replica_is_left() {
    let first = Fragile::start();
    let replica_of = format!("127.0.0.1 {}", first.port);
    let second = Fragile::start_with(&["--replicaof", &replica_of]);
    let url = format!("redis://127.0.0.1:{},127.0.0.1:{}", first.port, second.port);
    let system = system_on(url).await;
    let job_id = system.generate(&short_request()).await;
    pause_until_replicated(&first).await;
    // As Sentinel switches them: nobody is killed, only the roles change.
    second.ask(&["REPLICAOF", "NO", "ONE"]).await;
    first.ask(&["REPLICAOF", "127.0.0.1", &second.port.to_string()]).await;
    let mut next = None;
    eventually("new jobs go to the new primary", async || {
        let answer = system.post("/api/v1/videos/generate", &short_request()).await;
        if answer.status() == 201 {
            let body: serde_json::Value = answer.json().await.unwrap();
            next = body["job_id"].as_str().map(str::to_owned);
        }
        next.is_some()
    })
    .await;
    all_complete(&system, &[job_id, next.unwrap()]).await;
    system.running.stop().await;
}

#[tokio::test]
async fn out_of_memory_and_read_only_refuse_new_work_and_keep_the_old() {
    let redis = Fragile::start();
    let system = system_on(redis.url()).await;
    let job_id = system.generate(&short_request()).await;
    for (setting, bad, good) in [("maxmemory", "1mb", "0"), ("min-replicas-to-write", "1", "0")] {
        redis.ask(&["CONFIG", "SET", setting, bad]).await;
        let refused = system.post("/api/v1/videos/generate", &short_request()).await;
        assert_eq!(error_of(refused).await.0, 503, "{setting}");
        assert_eq!(status_answers(&system, &job_id).await, 200, "reading goes on: {setting}");
        redis.ask(&["CONFIG", "SET", setting, good]).await;
    }
    let next = system.generate(&short_request()).await;
    all_complete(&system, &[job_id, next]).await;
    system.running.stop().await;
}

async fn stops_loudly(system: System, reason: &str) {
    let error =
        tokio::time::timeout(Duration::from_secs(30), system.running.ended()).await.unwrap().unwrap_err();
    assert!(format!("{error:#}").contains(reason), "{error:#}");
}

#[tokio::test]
async fn an_evicting_policy_stops_the_process() {
    let redis = Fragile::start();
    let system = system_on(redis.url()).await;
    redis.ask(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    stops_loudly(system, "maxmemory-policy is allkeys-lru, but must be noeviction").await;
}

/// Waits until the guard has read the heads of the partitions: after those it asks for the settings of the server.
async fn until_the_guard_has_looked(redis: &Fragile) {
    redis.ask(&["CONFIG", "RESETSTAT"]).await;
    eventually("the guard has looked", async || match redis.ask(&["INFO", "commandstats"]).await {
        Value::BulkString(text) => String::from_utf8(text).unwrap().contains("cmdstat_config|get"),
        other => panic!("{other:?}"),
    })
    .await;
}

#[tokio::test]
async fn a_lost_log_stops_the_process() {
    let redis = Fragile::start();
    let system = system_on(redis.url()).await;
    let job_id = system.generate(&short_request()).await;
    all_complete(&system, &[job_id]).await;
    until_the_guard_has_looked(&redis).await;
    redis.ask(&["FLUSHALL"]).await;
    stops_loudly(system, "the log was lost or restored from an older copy").await;
}

#[tokio::test]
async fn a_projector_that_is_ahead_of_the_log_does_not_start() {
    let redis = Fragile::start();
    let system = system_on(redis.url()).await;
    let job_id = system.generate(&short_request()).await;
    all_complete(&system, std::slice::from_ref(&job_id)).await;
    eventually("the catalog knows the video", async || {
        system.get(&format!("/api/v1/videos/jobs/{job_id}/metadata")).await.status() == 200
    })
    .await;
    let (config, _servers) = (system.config.clone(), system.servers);
    system.running.stop().await;
    redis.ask(&["FLUSHALL"]).await;
    let again = Running::start(config, &[Role::Projector]).await;
    let error = tokio::time::timeout(Duration::from_secs(30), again.ended()).await.unwrap().unwrap_err();
    assert!(format!("{error:#}").contains("but the log ends at 0"), "{error:#}");
}
