//! The only wiring: builds the parts of a process, runs its roles, drains them.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use async_trait::async_trait;
use chrono::Utc;
use salvo::conn::Acceptor;
use salvo::conn::TcpListener;
use salvo::fuse::FuseConfig;
use salvo::prelude::{Listener, Server};
use sqlx::PgPool;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::alerts;
use crate::api::{self, Admission, ApiState, Live, Reception, Verifier};
use crate::audit::{Notary, SealLog, Seals};
use crate::clerk;
use crate::clock::Clock;
use crate::config::{
    ApiConfig, ClerkConfig, Config, ConnectionLimits, RedisConfig, Streams, WebhookConfig, needs_restart,
    process_environment, without_credentials,
};
use crate::consumers::batches::{BatchEnds, BatchJobs};
use crate::consumers::callbacks::{Deliveries, JobEnds};
use crate::consumers::outbox::Outbox;
use crate::consumers::process_manager::Process;
use crate::consumers::retrieval::PastJobs;
use crate::consumers::sidecars::Sidecars;
use crate::consumers::{self, StageHandler, Worker};
use crate::controls::Controls;
use crate::domain::operations;
use crate::erasure::Erasure;
use crate::erasure::on_request::RequestedErasures;
use crate::events::archive::{self, Archive};
use crate::events::connection::{Address, Durability};
use crate::events::counters;
use crate::events::doorbell::Doorbell;
use crate::events::guard;
use crate::events::{Actor, EventLog, Keys, WorkQueue};
use crate::execute::{Executor, Origin};
use crate::ids::{JobId, OperationsId};
use crate::postgres;
use crate::projections::catalog::Catalog;
use crate::projections::library::Library;
use crate::projections::status::StatusViews;
use crate::projections::trail::Trail;
use crate::projections::{self, Projection, Sources};
use crate::retention::Retention;
use crate::signing::SigningKey;
use crate::storage::{Stores, Workspaces};
use crate::telemetry::{chain, host_name};
use crate::vault::Vault;
use crate::webhooks;

/// How long requests may go on after the process was told to stop.
const API_DRAIN: Duration = Duration::from_secs(2);

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Api,
    Worker,
    Projector,
}

/// The parts that the roles share.
pub struct App {
    config: Config,
    address: Address,
    executor: Executor,
    doorbell: Doorbell,
    durability: Durability,
    statuses: StatusViews,
    catalog: Catalog,
    stores: Stores,
    handlers: Vec<Arc<dyn StageHandler>>,
    pool: PgPool,
    controls: Controls,
}

impl App {
    /// Connects to the servers and checks that they can hold what is entrusted to them.
    pub async fn connect(config: Config, stop: CancellationToken) -> anyhow::Result<Self> {
        let address = address(&config.redis)?;
        let stores = open_stores(&config).await?;
        let archive = Archive::stored_in(stores.archive.clone(), config.keys.public_keys());
        let log = connect(&address, &config.redis, &config.streams).await?.with_archive(archive);
        let durability = durability(&address).await?;
        let doorbell = Doorbell::listen(address.clone(), log.keys(), stop);
        let pool = postgres::connect(&config.postgres.url).await?;
        postgres::migrate(&pool).await?;
        let vault = Vault::new(pool.clone(), config.keys.master.clone());
        vault.migrate().await?;
        let executor = Executor::new(log.clone(), Clock::system()).with_vault(vault);
        let controls = Controls::new(config.streams.clone());
        let known = controls.refresh(&executor).await;
        known.context("what operators have decided cannot be read")?;
        let codec = executor.codec().clone();
        let catalog = Catalog::new(pool.clone(), log.clone(), codec.clone());
        let past = Arc::new(PastVideos(catalog.clone()));
        let handlers = consumers::handlers(&config, &stores, &executor, past);
        let handlers = handlers.context("cannot set up the client of language models")?;
        Ok(Self {
            address,
            executor,
            doorbell,
            durability,
            statuses: StatusViews::new(log, codec, config.streams.retention.status_view),
            catalog,
            handlers,
            stores,
            pool,
            config,
            controls,
        })
    }

    /// Other handlers than those that make videos.
    pub fn with_handlers(self, handlers: Vec<Arc<dyn StageHandler>>) -> Self {
        Self { handlers, ..self }
    }

    /// For who reads streams.toml again.
    pub fn reloader(&self) -> Reloader {
        Reloader { executor: self.executor.clone(), controls: self.controls.clone() }
    }

    fn log(&self) -> &EventLog {
        self.executor.log()
    }

    fn sources(&self) -> Sources {
        Sources {
            log: self.log().clone(),
            codec: self.executor.codec().clone(),
            pool: self.pool.clone(),
            status_kept_after_end: self.config.streams.retention.status_view,
        }
    }

    fn projections(&self) -> Vec<Arc<dyn Projection>> {
        projections::all(&self.sources()).into_iter().map(|model| model as Arc<dyn Projection>).collect()
    }

    /// Runs the roles until `stop`, then drains them. `bound` is told the API's address. Stops by itself, with
    /// an error, when the server has lost events or may lose them.
    pub async fn run(
        self,
        roles: &[Role],
        stop: CancellationToken,
        bound: impl FnOnce(SocketAddr),
    ) -> anyhow::Result<()> {
        let running = TaskTracker::new();
        let (fail, mut failed) = mpsc::channel::<anyhow::Error>(2);
        let (guarded, guarding, ended) = (
            guard::watch(self.log().clone(), self.address.clone(), stop.clone()),
            fail.clone(),
            stop.clone(),
        );
        running.spawn(async move {
            if let Some(untrusted) = guarded.await {
                let _told_already = guarding.try_send(untrusted.into());
                ended.cancel();
            }
        });
        running.spawn(self.controls.clone().follow(self.executor.clone(), stop.clone()));
        running.spawn(counters::publish(self.log().clone(), &api::metrics::FAMILIES, stop.clone()));
        if let Some(sink) = self.alert_sink()? {
            running.spawn(sink.run(stop.clone()));
        }
        if roles.contains(&Role::Projector) {
            let projections = self.projections();
            let (executor, doorbell) = (self.executor.clone(), self.doorbell.clone());
            let ended = stop.clone();
            running.spawn(async move {
                if let Err(error) = projections::run(executor, doorbell, projections, ended.clone()).await {
                    let _told_already = fail.try_send(error.into());
                    ended.cancel();
                }
            });
        }
        if roles.contains(&Role::Projector) {
            running.spawn(self.notary().run(self.config.streams.audit.seal_every, stop.clone()));
            running.spawn(self.keep_archive(stop.clone()));
            running.spawn(self.retention().run(stop.clone()));
            // They follow the log, too.
            let (executor, doorbell) = (self.executor.clone(), self.doorbell.clone());
            running.spawn(Process::new(executor.clone(), BatchJobs).run(doorbell.clone(), stop.clone()));
            running.spawn(Process::new(executor, BatchEnds).run(doorbell, stop.clone()));
        }
        if roles.contains(&Role::Worker) {
            running.spawn(self.worker().run(self.handlers.clone(), stop.clone()));
            let erasures = Outbox::new(self.executor.clone(), self.erasures());
            running.spawn(erasures.run(self.doorbell.clone(), stop.clone()));
            let sidecars = Outbox::new(self.executor.clone(), self.sidecars());
            running.spawn(sidecars.run(self.doorbell.clone(), stop.clone()));
            let job_ends = Process::new(self.executor.clone(), JobEnds);
            running.spawn(job_ends.run(self.doorbell.clone(), stop.clone()));
            if let Some(deliveries) = Deliveries::new(self.executor.clone(), &self.config.webhooks) {
                let deliveries = deliveries.context("cannot set up the sender of webhooks")?;
                let outbox = Outbox::new(self.executor.clone(), deliveries);
                running.spawn(outbox.run(self.doorbell.clone(), stop.clone()));
            }
        }
        if roles.contains(&Role::Api) {
            let state = Arc::new(self.api_state(stop.clone())?);
            let (server, service) = self.api(&state).await?;
            let address = server.holdings().iter().find_map(|holding| holding.local_addr.clone().into_std());
            bound(address.context("the API has no address")?);
            let handle = server.handle();
            running.spawn(async move { server.serve(service).await });
            let stop = stop.clone();
            running.spawn(async move {
                stop.cancelled().await;
                handle.stop_graceful(API_DRAIN);
                // The server has let go of its sockets.
                let _too_slow = tokio::time::timeout(API_DRAIN, state.live.drained()).await;
            });
        }
        running.close();
        running.wait().await;
        match failed.try_recv() {
            Ok(error) => Err(error.context("this process stopped because the event log cannot be trusted")),
            Err(_none) => Ok(()),
        }
    }

    /// Tells an operator of alerts, where they want it.
    fn alert_sink(&self) -> anyhow::Result<Option<alerts::Sink>> {
        let WebhookConfig { secret, alerts, .. } = &self.config.webhooks;
        let (Some(secret), Some(receiver)) = (secret, alerts) else { return Ok(None) };
        let sender = webhooks::Sender::new(secret.clone(), receiver.policy);
        let sender = sender.context("cannot set up the sender of alerts")?;
        Ok(Some(alerts::Sink::new(sender, receiver.url.clone())))
    }

    fn notary(&self) -> Notary {
        Notary {
            log: self.log().clone(),
            seals: Seals::new(self.pool.clone()),
            seal_log: SealLog::new(&self.config.archive.seals_log),
            key: self.config.keys.signing.clone(),
            public_keys: self.config.keys.public_keys(),
        }
    }

    fn retention(&self) -> Retention {
        Retention {
            executor: self.executor.clone(),
            catalog: self.catalog.clone(),
            stores: self.stores.clone(),
            deleted_files_kept: self.config.streams.retention.deleted_files,
            partial_streams_kept: self.config.streams.retention.partial_stream,
            videos_kept: self.config.streams.retention.video,
            log_lines_kept: self.config.streams.retention.log_line,
        }
    }

    /// Seals whole segments and takes old ones out of Redis, again and again.
    fn keep_archive(&self, stop: CancellationToken) -> impl Future<Output = ()> + Send + use<> {
        let (log, projections) = (self.log().clone(), self.projections());
        let (streams, key) = (self.config.streams.clone(), self.config.keys.signing.clone());
        async move {
            let mut written = None;
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(streams.audit.seal_every) => {}
                }
                let layout = log.keys().layout();
                if let Some(archive) = log.archive().filter(|_| written != Some(layout.generation)) {
                    match archive.write_layout(&layout).await {
                        Ok(()) => written = Some(layout.generation),
                        Err(error) => {
                            tracing::warn!(error = chain(&error), "the archive has no layout of the log yet")
                        }
                    }
                }
                for partition in log.keys().partitions() {
                    if let Err(error) = archive_partition(&log, &projections, &streams, &key, partition).await
                    {
                        let code = alerts::Code::ArchiveNotWritten;
                        tracing::error!(
                            alert = code.name(),
                            partition,
                            "the archive is not kept up: {error:#}"
                        );
                        let message =
                            format!("the archive of partition {partition} is not kept up: {error:#}");
                        alerts::raise(code, message, vec![("partition", partition.to_string())]);
                    }
                }
            }
        }
    }

    fn erasures(&self) -> RequestedErasures {
        let (executor, media) = (self.executor.clone(), &self.config.media.root);
        let stores = self.stores.clone();
        let erasure = Erasure::new(executor.clone(), &self.sources(), media, stores, Actor::System);
        RequestedErasures { executor, erasure }
    }

    fn sidecars(&self) -> Sidecars {
        let workspaces = Workspaces::new(&self.config.media.root, &self.stores);
        let settings = self.config.streams.sidecars;
        Sidecars::new(self.executor.clone(), self.stores.clone(), workspaces, settings)
    }

    fn worker(&self) -> Worker {
        let (executor, doorbell) = (self.executor.clone(), self.doorbell.clone());
        let (streams, media) = (self.config.streams.clone(), &self.config.media);
        Worker::new(executor, doorbell, streams, media, self.stores.clone())
            .with_controls(self.controls.clone())
    }

    fn api_state(&self, stop: CancellationToken) -> anyhow::Result<ApiState> {
        let reception = Reception::new(
            &self.config.media,
            self.stores.files.clone(),
            &self.config.uploads,
            self.controls.clone(),
            self.executor.clone(),
        );
        reception.sweep_incoming().context("uploads that were left unfinished cannot be removed")?;
        let codec = self.executor.codec().clone();
        let ClerkConfig { secret_key, api_url, .. } = &self.config.clerk;
        let clerk = secret_key.clone().map(|key| clerk::Client::new(api_url, key)).transpose();
        let clerk = clerk.context("cannot set up the client of Clerk's API")?;
        let forecasts = api::Forecasts::new(
            self.log().clone(),
            self.catalog.clone(),
            self.config.streams.clone(),
            &self.config.media,
        );
        Ok(ApiState {
            config: self.config.api.clone(),
            executor: self.executor.clone(),
            admission: Admission::default(),
            queue: WorkQueue::new(self.log()),
            workspaces: Workspaces::new(&self.config.media.root, &self.stores),
            doorbell: self.doorbell.clone(),
            status_bodies: api::StatusBodies::default(),
            statuses: self.statuses.clone(),
            catalog: self.catalog.clone(),
            library: Library::new(self.pool.clone(), self.log().clone(), codec),
            trail: Trail::new(self.pool.clone()),
            projections: self.projections(),
            pool: self.pool.clone(),
            stores: self.stores.clone(),
            reception,
            media: self.config.media.clone(),
            webhooks: self.config.webhooks.clone(),
            models: self.config.models.clone(),
            clerk: clerk.clone(),
            clerk_webhook_secret: self.config.clerk.webhook_secret.clone(),
            streams: self.config.streams.clone(),
            controls: self.controls.clone(),
            durability: self.durability.clone(),
            examinations: api::Examinations::default(),
            watched: api::WatchedJobs::default(),
            live: Live::new(
                self.log().clone(),
                self.executor.codec().clone(),
                self.statuses.clone(),
                self.doorbell.clone(),
                forecasts.clone(),
                &self.config.streams,
                stop,
            ),
            figures: api::Figures::default(),
            forecasts,
        })
    }

    async fn api(
        &self,
        state: &Arc<ApiState>,
    ) -> anyhow::Result<(Server<impl Acceptor + use<>>, salvo::Service)> {
        let bind = self.config.api.bind;
        let acceptor = TcpListener::new(bind)
            .try_bind()
            .await
            .with_context(|| format!("cannot listen on {bind}; is another process using that port?"))?;
        let mut verifier =
            Verifier::new(self.config.auth.clone()).context("cannot set up the token verifier")?;
        let clerk = state.clerk.clone();
        if let Some(clerk) = clerk.filter(|_| self.config.clerk.fetches_roles) {
            verifier = verifier.with_roles_from(clerk);
        }
        Ok((bounded(Server::new(acceptor), &self.config.api), api::service(state.clone(), &verifier)))
    }
}

/// The server, with limits on what one client may hold of it.
fn bounded<A: Acceptor + Send>(server: Server<A>, config: &ApiConfig) -> Server<A> {
    let ConnectionLimits { header, body, idle, max_connections } = config.connections;
    let timeouts = FuseConfig::default()
        .with_http1_header_timeout(header)
        .with_request_body_timeout(body)
        .with_connection_idle_timeout(idle)
        .with_write_stall_timeout(idle);
    server.fuse_config(timeouts).max_connections(max_connections)
}

/// Seals the whole segments of a partition, and takes those out of Redis that need not be there any more.
pub async fn archive_partition(
    log: &EventLog,
    projections: &[Arc<dyn Projection>],
    streams: &Streams,
    key: &SigningKey,
    partition: u16,
) -> anyhow::Result<(archive::Written, archive::Trimmed)> {
    let archive = log.archive().context("the log has no archive")?;
    let sealed =
        archive::write_segments(log, archive, partition, streams.audit.segment_events, false, key).await?;
    let (mut read_by_all, mut quarantined) = (u64::MAX, HashSet::new());
    for projection in projections {
        read_by_all = read_by_all.min(projection.checkpoint(partition).await?);
        let passed_over = projection.quarantined(partition).await?;
        quarantined.extend(passed_over.into_iter().map(|passed_over| passed_over.aggregate_id));
    }
    let older_than = Utc::now() - streams.retention.log;
    let trimmed = archive::trim(log, archive, partition, read_by_all, older_than, &quarantined).await?;
    Ok((sealed, trimmed))
}

/// Opens the stores that the settings name, and checks that they can be written.
pub async fn open_stores(config: &Config) -> anyhow::Result<Stores> {
    let root = &config.media.root;
    std::fs::create_dir_all(root)
        .with_context(|| format!("MEDIA_ROOT {} cannot be created", root.display()))?;
    let opened = Stores::open(&config.storage, root, &config.archive.root).await;
    opened.context("the storage cannot be used (VIDEO_STORAGE_MODE, S3_BUCKET)")
}

pub fn address(config: &RedisConfig) -> anyhow::Result<Address> {
    Address::parse(&config.url).with_context(|| {
        format!(
            "REDIS_URL `{}` is no redis address; redis://127.0.0.1:6379 is one",
            without_credentials(&config.url)
        )
    })
}

/// The log, if it may be used with these settings.
pub async fn connect(address: &Address, redis: &RedisConfig, streams: &Streams) -> anyhow::Result<EventLog> {
    let connection = address
        .connect()
        .await
        .with_context(|| format!("redis at {} does not answer", without_credentials(&redis.url)))?;
    let keys = Keys::new(redis.prefix.clone(), streams.partitions);
    Ok(EventLog::open(connection, keys).await?)
}

/// The log and the queues beside it, for a command of an operator.
pub async fn connect_log(
    redis: &RedisConfig,
    archive: Archive,
    streams: &Streams,
) -> anyhow::Result<(EventLog, WorkQueue)> {
    let log = connect(&address(redis)?, redis, streams).await?.with_archive(archive);
    let queue = WorkQueue::new(&log);
    Ok((log, queue))
}

/// What all servers promise at least. Refuses those that may throw events away.
async fn durability(address: &Address) -> anyhow::Result<Durability> {
    let servers = address.durability().await?;
    for server in &servers {
        if server.evicts() {
            bail!(
                "redis may evict events: maxmemory-policy is {}, but must be noeviction",
                server.maxmemory_policy
            );
        }
    }
    let weakest = servers.iter().find(|server| server.warning().is_some()).or(servers.first());
    let weakest = weakest.context("no redis server tells its settings")?.clone();
    if let Some(warning) = weakest.warning() {
        tracing::warn!("{warning}");
    }
    Ok(weakest)
}

/// Receives SIGHUP from now on, which would end the process without a receiver. What comes before somebody asks is kept.
pub fn hangups() -> anyhow::Result<Signal> {
    Ok(signal(SignalKind::hangup())?)
}

/// Reads streams.toml again, and records what it changes.
pub struct Reloader {
    executor: Executor,
    controls: Controls,
}

impl Reloader {
    /// Reloads at each of the [`hangups`] until `stop`.
    pub async fn on_hangup(self, mut hangups: Signal, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = hangups.recv() => {}
            }
            if let Err(error) = self.reload().await {
                tracing::error!(
                    "streams.toml was not read again, and the settings stay as they are: {error:#}"
                );
            }
        }
    }

    async fn reload(&self) -> anyhow::Result<()> {
        let read = Streams::from_environment(&process_environment)?;
        if needs_restart(&self.controls.own_streams(), &read) {
            tracing::warn!(
                "streams.toml has other changes besides limits and rates; they hold from the next start on"
            );
        }
        let changed = self.controls.reload(read);
        tracing::warn!(settings = changed.len(), "streams.toml was read again");
        let process = format!("{}:{}", host_name(), std::process::id());
        let command = operations::Command::NoteReload { process, changed };
        let origin = Origin::standalone(Actor::System);
        let recorded = self.executor.execute(OperationsId::of_system(), command, &origin, None).await;
        recorded.map(drop).context("the settings hold, but that is not recorded")
    }
}

/// Cancelled by Ctrl-C or SIGTERM.
pub fn stop_on_signals() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        token.cancel();
    });
    Ok(stop)
}

/// The videos that a user has made, as the catalog knows them.
struct PastVideos(Catalog);

#[async_trait]
impl PastJobs for PastVideos {
    async fn completed_of(&self, user_id: &str, max_jobs: usize) -> Vec<JobId> {
        match self.0.seen_by(user_id).newest_completed_of(user_id, max_jobs as i64).await {
            Ok(jobs) => jobs,
            Err(error) => {
                tracing::warn!(error = chain(&error), "a plan is made without the user's earlier videos");
                vec![]
            }
        }
    }
}
