//! Backups and their restores: the drill, store by store, and what is refused.

mod bucket;
mod drill;
mod erased;
mod grown;
mod refused;
mod running;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reelstream::app::Role;
use reelstream::clock::Clock;
use reelstream::domain::job::Command;
use reelstream::events::{Actor, Envelope};
use reelstream::execute::{Executor, Origin};
use reelstream::ids::JobId;
use reelstream::vault::Vault;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::api::uploads::upload;
use crate::harness::{ALL_ROLES, ReadModels, Servers, System, files_under, short_request};

static API_AND_PROJECTOR: [Role; 2] = [Role::Api, Role::Projector];

const KEY: &str = "a-key-of-a-client";

/// A system with a finished video, an upload, a cancelled job, one that waits and one that was begun; only API and projector run.
struct Scene {
    system: System,
    done: String,
    waiting: String,
    begun: String,
    /// Databases and prefixes that take the place of lost ones.
    spare: Vec<Servers>,
}

/// What must be the same after a restore.
#[derive(PartialEq)]
struct Record {
    /// All events of each partition.
    log: BTreeMap<u16, Vec<(u64, Envelope)>>,
    /// The commands of each aggregate, with the versions after them.
    commands: BTreeMap<String, BTreeMap<String, u64>>,
    rows: Vec<(String, Value)>,
    files: BTreeMap<PathBuf, blake3::Hash>,
}

impl Scene {
    async fn new() -> Self {
        let mut system = System::start_with(&ALL_ROLES, |config| {
            config.streams.partitions = 2;
            // Only backups seal: what is sealed and lost is a subject of its own.
            config.streams.audit.seal_every = Duration::from_secs(3600);
        })
        .await;
        let done = system.completed(&short_request()).await;
        upload(&system, &[("notes.txt", b"Ions are atoms with a charge.".to_vec())]).await;
        system.read_models().await.caught_up().await;
        system.stop_roles().await;
        system.start_roles(&API_AND_PROJECTOR).await;
        let cancelled = system.generate(&short_request()).await;
        system.post(&format!("/api/v1/jobs/{cancelled}/cancel"), &json!({})).await;
        let waiting = request_with_key(&system).await;
        let begun = system.generate(&short_request()).await;
        begin(&system, &begun).await;
        system.read_models().await.caught_up().await;
        Self { system, done, waiting, begun, spare: vec![] }
    }

    /// The program, and what it said.
    fn reel(&self, arguments: &[&str]) -> (bool, String) {
        reel(&self.system, arguments)
    }

    /// Takes a backup, into a folder of this name.
    fn backup(&self, name: &str) -> String {
        let place = self.place(name);
        let (ok, said) = self.reel(&["backup", &place, "--files"]);
        assert!(ok, "{said}");
        place
    }

    fn place(&self, name: &str) -> String {
        self.system.servers.folder.path().join(name).display().to_string()
    }

    async fn record(&self) -> Record {
        self.system.read_models().await.caught_up().await;
        self.record_stopped().await
    }

    /// The same where no projector runs: the restore itself has filled the read models.
    async fn record_stopped(&self) -> Record {
        record(&self.system.read_models().await, self.system.media()).await
    }

    /// Redis is lost: an empty one is in its place.
    async fn lose_redis(&mut self) {
        let spare = Servers::shared().await;
        self.system.config.redis.prefix.clone_from(&spare.prefix);
        self.spare.push(spare);
    }

    async fn lose_postgres(&mut self) {
        let spare = Servers::shared().await;
        self.system.config.postgres.url.clone_from(&spare.database_url);
        self.spare.push(spare);
    }

    fn lose_files(&self) {
        std::fs::remove_dir_all(self.system.media()).unwrap();
    }

    /// The jobs that were under way are finished, and a client that repeats its request gets the job that it had.
    async fn goes_on(&mut self) {
        self.system.start_roles(&ALL_ROLES).await;
        assert_eq!(request_with_key(&self.system).await, self.waiting);
        for job_id in [&self.waiting, &self.begun] {
            let patience = Duration::from_secs(100);
            let last = self.system.statuses_until_ended(job_id, patience).await.pop().unwrap();
            assert_eq!(last["status"], "completed", "{last}");
        }
        let video = self.system.get(&format!("/api/v1/videos/jobs/{}/download", self.done)).await;
        assert_eq!(video.status(), 200);
        let models = self.system.read_models().await;
        models.caught_up().await;
        models.verify().await;
        let (ok, said) = self.reel(&["audit", "verify"]);
        assert!(ok, "{said}");
        self.system.stop_roles().await;
    }
}

fn reel(system: &System, arguments: &[&str]) -> (bool, String) {
    let output = system.reel(arguments);
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

async fn record(models: &ReadModels, media: &Path) -> Record {
    let (mut log, mut commands) = (BTreeMap::new(), BTreeMap::new());
    let keys = models.log.keys();
    for partition in keys.partitions() {
        let mut events = vec![];
        loop {
            let read = models.log.read(partition, events.len() as u64, 1000).await.unwrap();
            if read.is_empty() {
                break;
            }
            events.extend(read);
        }
        for (_, event) in &events {
            let mut all = redis::cmd("HGETALL");
            all.arg(keys.commands(event.aggregate_id));
            let of_aggregate = all.query_async(&mut models.log.connection()).await.unwrap();
            commands.insert(event.aggregate_id.to_string(), of_aggregate);
        }
        log.insert(partition, events);
    }
    let stored = files_under(media).into_iter().filter(|file| {
        let folder = file.iter().next().unwrap();
        folder == "users" || folder == "uploads"
    });
    let hash = |file: &PathBuf| blake3::hash(&std::fs::read(media.join(file)).unwrap());
    let files = stored.map(|file| (file.clone(), hash(&file))).collect();
    Record { log, commands, rows: models.rows().await, files }
}

/// Says what differs, instead of printing everything.
#[track_caller]
fn assert_same(is: &Record, was: &Record) {
    for (partition, events) in &was.log {
        let (is, was) = (&is.log[partition], events);
        assert_eq!(is.len(), was.len(), "events of partition {partition}");
        for (is, was) in is.iter().zip(was) {
            assert_eq!(is, was);
        }
    }
    assert_eq!(is.commands, was.commands);
    assert_eq!(is.files, was.files);
    assert_eq!(is.rows.len(), was.rows.len());
    for (is, was) in is.rows.iter().zip(&was.rows) {
        assert_eq!(is, was);
    }
}

async fn request_with_key(system: &System) -> String {
    let request = system.request(Method::POST, "/api/v1/videos/generate").header("Idempotency-Key", KEY);
    let answer = request.json(&short_request()).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let answer: Value = answer.json().await.unwrap();
    answer["job_id"].as_str().unwrap().to_owned()
}

/// Begins the job's first piece of work, as a worker does that dies then.
async fn begin(system: &System, job_id: &str) {
    let pool = PgPool::connect(&system.config.postgres.url).await.unwrap();
    let vault = Vault::new(pool, system.config.keys.master.clone());
    let executor = Executor::new(system.log().await, Clock::system()).with_vault(vault);
    let job_id: JobId = job_id.parse().unwrap();
    let job = executor.load(job_id).await.unwrap().into_state();
    let item = *job.open_work.first().unwrap();
    let origin = Origin::new(Actor::Worker("gone".into()));
    executor.execute(job_id, Command::StartWork(item), &origin, None).await.unwrap();
}
