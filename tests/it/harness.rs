//! A whole system for one test: servers, roles, an issuer, and a client of its API.

// The benchmarks include this file, too.
#[path = "servers.rs"]
pub mod servers;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reelstream::app::{App, Role};
use reelstream::config::{
    ApiConfig, ArchiveConfig, AuthConfig, ClerkConfig, Config, KeysConfig, MediaConfig, ModelsConfig,
    PostgresConfig, RagConfig, RateLimits, RedisConfig, Streams, UploadsConfig, WebhookConfig,
};
use reelstream::consumers::StageHandler;
use reelstream::dev::Issuer;
use reelstream::events::archive::Archive;
use reelstream::events::connection::{Address, Connection};
use reelstream::events::{EventLog, Keys};
use reelstream::execute::ContentCodec;
use reelstream::projections::catalog::Catalog;
use reelstream::projections::library::Library;
use reelstream::projections::rebuild::{self, Rebuildable};
use reelstream::projections::status::StatusViews;
use reelstream::projections::trail::Trail;
use reelstream::projections::{Projection, lag};
use reelstream::signing::SigningKey;
use reelstream::storage::StorageSettings;
use reelstream::vault::{MasterKey, Vault};
use reelstream::webhooks::Secret;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
// The bench of the pipeline uses this file, and not all of these.
#[allow(unused_imports)]
pub use servers::{Servers, folder, own_prefix, shared_redis};
use sqlx::PgPool;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const ALL_ROLES: [Role; 3] = [Role::Api, Role::Worker, Role::Projector];

pub const WEBHOOK_SECRET: &str = "whsec_cmVlbHN0cmVhbSB0ZXN0cywgMzIgYnl0ZXMgb2Yga2U=";

pub const MASTER_KEY: &str = "cmVlbHN0cmVhbSB0ZXN0cywgMzIgYnl0ZXMgb2Yga2U=";

/// A log of its own on the Redis of the run.
pub async fn log() -> EventLog {
    EventLog::new(connect(&shared_redis()).await, Keys::new(own_prefix(), 4))
}

pub async fn connect(redis_url: &str) -> Connection {
    Address::parse(redis_url).unwrap().connect().await.unwrap()
}

/// Roles that run until they are stopped or dropped.
pub struct Running {
    pub url: String,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    pub async fn start(config: Config, roles: &'static [Role]) -> Self {
        let stop = CancellationToken::new();
        let app = App::connect(config, stop.clone()).await.unwrap();
        Self::run(app, roles, stop).await
    }

    /// With other handlers than those that make videos: for benchmarks.
    #[allow(dead_code)]
    pub async fn start_with(
        config: Config,
        roles: &'static [Role],
        handlers: Vec<Arc<dyn StageHandler>>,
    ) -> Self {
        let stop = CancellationToken::new();
        let app = App::connect(config, stop.clone()).await.unwrap().with_handlers(handlers);
        Self::run(app, roles, stop).await
    }

    async fn run(app: App, roles: &'static [Role], stop: CancellationToken) -> Self {
        // PDFs are read by the program itself, which these tests are not.
        reel_pdf::set_program(env!("CARGO_BIN_EXE_reel").into());
        let (tell, bound) = oneshot::channel();
        let task = tokio::spawn(app.run(roles, stop.clone(), |address| {
            let _nobody_asks = tell.send(address);
        }));
        let url = match roles.contains(&Role::Api) {
            true => format!("http://{}", bound.await.unwrap()),
            false => String::new(),
        };
        Self { url, stop, task }
    }

    /// No role.
    fn none() -> Self {
        Self { url: String::new(), stop: CancellationToken::new(), task: tokio::spawn(async { Ok(()) }) }
    }

    /// How the roles ended, by themselves.
    pub async fn ended(self) -> anyhow::Result<()> {
        self.task.await.unwrap()
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

pub struct System {
    pub running: Running,
    pub issuer: Issuer,
    pub config: Config,
    pub servers: Servers,
    http: reqwest::Client,
}

impl System {
    pub async fn start(roles: &'static [Role]) -> Self {
        Self::start_with(roles, |_| {}).await
    }

    pub async fn start_with(roles: &'static [Role], change: impl FnOnce(&mut Config)) -> Self {
        Self::start_on(Servers::shared().await, roles, change).await
    }

    pub async fn start_on(
        servers: Servers,
        roles: &'static [Role],
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let issuer = Issuer::start(CancellationToken::new()).await.unwrap();
        let media = MediaConfig::from_environment(&|_| None).unwrap();
        let mut config = Config {
            redis: RedisConfig { url: servers.redis_url.clone(), prefix: servers.prefix.clone() },
            postgres: PostgresConfig { url: servers.database_url.clone() },
            api: ApiConfig::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            auth: AuthConfig {
                issuer: issuer.url(),
                jwks_url: format!("{}/.well-known/jwks.json", issuer.url()),
                authorized_parties: vec![],
            },
            clerk: ClerkConfig::default(),
            media: MediaConfig { root: servers.folder.path().join("media"), ..media },
            storage: StorageSettings::default(),
            uploads: UploadsConfig::from_environment(&|_| None).unwrap(),
            keys: KeysConfig {
                master: MasterKey::parse(MASTER_KEY).unwrap(),
                signing: SigningKey::parse(MASTER_KEY).unwrap(),
                trusted: vec![],
            },
            archive: ArchiveConfig::new(servers.folder.path().join("archive")),
            webhooks: WebhookConfig::new(Secret::parse(WEBHOOK_SECRET)),
            models: ModelsConfig::default(),
            rag: RagConfig { index: servers.folder.path().join("rag-index"), ..RagConfig::default() },
            // Tests and benchmarks send more than a person does.
            streams: Streams {
                rate_limits: RateLimits::NONE,
                ..Streams::from_environment(&|_| None).unwrap()
            },
        };
        change(&mut config);
        let running = Running::start(config.clone(), roles).await;
        Self { running, issuer, config, servers, http: reqwest::Client::new() }
    }

    /// Stops all roles. Nothing runs then, until [`Self::start_roles`].
    #[allow(dead_code)]
    pub async fn stop_roles(&mut self) {
        std::mem::replace(&mut self.running, Running::none()).stop().await;
    }

    /// Starts roles with the configuration as it is now, after [`Self::stop_roles`].
    #[allow(dead_code)]
    pub async fn start_roles(&mut self, roles: &'static [Role]) {
        self.running = Running::start(self.config.clone(), roles).await;
    }

    pub fn media(&self) -> &Path {
        &self.config.media.root
    }

    pub async fn log(&self) -> EventLog {
        let keys = Keys::new(self.config.redis.prefix.clone(), self.config.streams.partitions);
        let log = EventLog::open(connect(&self.config.redis.url).await, keys).await.unwrap();
        log.with_archive(self.archive())
    }

    pub fn archive(&self) -> Archive {
        Archive::new(&self.config.archive.root, self.config.keys.public_keys())
    }

    /// The program, with the system's settings in its environment.
    pub fn reel(&self, arguments: &[&str]) -> std::process::Output {
        self.reel_with(arguments, &[])
    }

    /// The same with more in its environment.
    pub fn reel_with(&self, arguments: &[&str], more: &[(&str, String)]) -> std::process::Output {
        self.command()
            .args(arguments)
            .env("ARCHIVE_ROOT", &self.config.archive.root)
            .env("MEDIA_ROOT", &self.config.media.root)
            .envs(more.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap()
    }

    /// The program with the system's servers and keys, but without its folders.
    pub fn command(&self) -> std::process::Command {
        let config = &self.config;
        let streams = self.servers.folder.path().join("streams.toml");
        let seal_seconds = config.streams.audit.seal_every.as_secs().max(1);
        let partitions = config.streams.partitions;
        let text = format!("partitions = {partitions}\n[audit]\nseal_seconds = {seal_seconds}\n");
        std::fs::write(&streams, text).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_reel"));
        command
            .env("REEL_STREAMS", &streams)
            .env("REDIS_URL", &config.redis.url)
            .env("REEL_PREFIX", &config.redis.prefix)
            .env("DATABASE_URL", &config.postgres.url)
            .env("REEL_MASTER_KEY", MASTER_KEY)
            .env("REEL_SIGNING_KEY", MASTER_KEY);
        command
    }

    pub async fn read_models(&self) -> ReadModels {
        let pool = PgPool::connect(&self.config.postgres.url).await.unwrap();
        let vault = Vault::new(pool.clone(), self.config.keys.master.clone());
        ReadModels::new(self.log().await, pool, ContentCodec::new(Some(vault)))
    }

    pub fn token(&self, user: &str, role: &str) -> String {
        self.issuer.sign(&self.issuer.claims(user, role, Duration::from_secs(600))).unwrap()
    }

    /// A request without a token.
    pub fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.running.url))
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth(self.token("user_1", "user"))
    }

    pub async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    /// Makes a video, and gives its job.
    pub async fn completed(&self, body: &Value) -> String {
        let job_id = self.generate(body).await;
        let last = self.statuses_until_ended(&job_id, Duration::from_secs(100)).await.pop().unwrap();
        assert_eq!(last["status"], "completed", "{last}");
        job_id
    }

    /// The warnings in a job's log, as JSON.
    pub async fn warnings(&self, job_id: &str) -> String {
        let logs: Value =
            self.get(&format!("/api/v1/jobs/{job_id}/logs?level=warning")).await.json().await.unwrap();
        logs.to_string()
    }

    pub async fn post(&self, path: &str, body: &Value) -> Response {
        self.request(Method::POST, path).json(body).send().await.unwrap()
    }

    pub async fn generate(&self, body: &Value) -> String {
        let answer = self.post("/api/v1/videos/generate", body).await;
        let status = answer.status();
        let body: Value = answer.json().await.unwrap();
        assert_eq!(status, 201, "{body}");
        body["job_id"].as_str().unwrap().to_owned()
    }

    pub async fn status(&self, job_id: &str) -> Value {
        let answer = self.get(&format!("/api/v1/videos/jobs/{job_id}/status")).await;
        assert_eq!(answer.status(), 200);
        answer.json().await.unwrap()
    }

    /// All statuses that a polling client sees until the job has ended.
    pub async fn statuses_until_ended(&self, job_id: &str, patience: Duration) -> Vec<Value> {
        let deadline = Instant::now() + patience;
        let mut seen: Vec<Value> = vec![];
        loop {
            assert!(Instant::now() < deadline, "the job did not end: {:?}", seen.last());
            let version = seen.last().map_or(0, |status| status["version"].as_u64().unwrap());
            let path = format!("/api/v1/videos/jobs/{job_id}/status?wait=5");
            let request = self.request(Method::GET, &path).header("If-None-Match", format!("\"v{version}\""));
            let answer = request.send().await.unwrap();
            if answer.status() == 304 {
                continue;
            }
            let status: Value = answer.json().await.unwrap();
            let has_ended =
                ["completed", "failed", "cancelled"].contains(&status["status"].as_str().unwrap());
            seen.push(status);
            if has_ended {
                return seen;
            }
        }
    }

    pub async fn events(&self, job_id: &str) -> Vec<Value> {
        let mut body: Value = self.get(&format!("/api/v1/jobs/{job_id}/events")).await.json().await.unwrap();
        match body["events"].take() {
            Value::Array(events) => events,
            other => panic!("no events: {other}"),
        }
    }
}

/// The read models of a log, to look at from outside.
pub struct ReadModels {
    pub log: EventLog,
    pub pool: PgPool,
    pub statuses: StatusViews,
    pub catalog: Catalog,
    pub library: Library,
    pub trail: Trail,
}

impl ReadModels {
    pub fn new(log: EventLog, pool: PgPool, codec: ContentCodec) -> Self {
        let kept = Duration::from_secs(3600);
        Self {
            statuses: StatusViews::new(log.clone(), codec.clone(), kept),
            catalog: Catalog::new(pool.clone(), log.clone(), codec.clone()),
            library: Library::new(pool.clone(), log.clone(), codec),
            trail: Trail::new(pool.clone()),
            log,
            pool,
        }
    }

    pub fn projections(&self) -> Vec<Arc<dyn Projection>> {
        self.models().into_iter().map(|model| model as Arc<dyn Projection>).collect()
    }

    pub fn models(&self) -> Vec<Arc<dyn Rebuildable>> {
        vec![
            Arc::new(self.statuses.clone()),
            Arc::new(self.catalog.clone()),
            Arc::new(self.library.clone()),
            Arc::new(self.trail.clone()),
        ]
    }

    pub fn model(&self, name: &str) -> Arc<dyn Rebuildable> {
        self.models().into_iter().find(|model| model.name() == name).unwrap()
    }

    pub async fn caught_up(&self) {
        for projection in self.projections() {
            eventually("the projections are at the head", async || {
                lag(&self.log, projection.as_ref()).await.unwrap() == 0
            })
            .await;
        }
    }

    /// Every row of every read model is what the log leads to.
    pub async fn verify(&self) {
        for model in self.models() {
            let differences = rebuild::verify(&self.log, &model, &watch::Sender::default()).await.unwrap();
            assert_eq!(differences.count, 0, "{}: {:#?}", model.name(), differences.shown);
        }
    }

    /// All rows of the catalog and the trail.
    pub async fn rows(&self) -> Vec<(String, Value)> {
        let mut all = vec![];
        let tables: Vec<String> = sqlx::query_scalar(
            "select schemaname || '.' || tablename from pg_tables
             where schemaname in ('catalog', 'library', 'trail') and tablename <> 'checkpoints' order by 1",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap();
        for table in tables {
            let query = format!("select to_jsonb(t) from {table} t order by to_jsonb(t)::text");
            let rows: Vec<Value> =
                sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_all(&self.pool).await.unwrap();
            all.extend(rows.into_iter().map(|row| (table.clone(), row)));
        }
        all
    }

    pub async fn rows_of(&self, table: &str) -> Vec<Value> {
        let rows = self.rows().await.into_iter();
        rows.filter(|(of, _)| of == table).map(|(_, row)| row).collect()
    }
}

/// A request for the shortest real video.
pub fn short_request() -> Value {
    json!({ "topic": "Ions", "script": "Ions move.", "quality": "low" })
}

pub async fn error_of(answer: Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    let mut body: Value = answer.json().await.unwrap();
    let error = body["error"].take();
    for field in ["message", "error_code", "timestamp", "path", "request_id"] {
        assert!(error[field].is_string(), "{field} is missing: {error}");
    }
    (status, error)
}

/// All files under a folder, relative to it, but for the locks of the workers.
pub fn files_under(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true if entry.file_name() == "render-slots" => {}
                true => folders.push(entry.path()),
                false => found.push(entry.path().strip_prefix(root).unwrap().to_owned()),
            }
        }
    }
    found.sort();
    found
}

/// Polls until `condition` holds; panics with `what` when it does not in time.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
