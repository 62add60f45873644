//! The processes that are measured: `reel` in its roles, a route that does nothing, and nginx.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use reelstream::app::Role;
use reelstream::clock::Clock;
use reelstream::consumers::rehearsal;
use reelstream::dev::free_port;
use reelstream::domain::job::{Command as JobCommand, Job, Outcome};
use reelstream::events::Actor;
use reelstream::execute::{Executor, Origin};
use reelstream::ids::JobId;
use reelstream::vault::Vault;
use salvo::conn::{Acceptor, Listener, TcpListener};
use salvo::{Router, handler};

use crate::harness::{MASTER_KEY, Servers, System, connect, eventually};

/// Set where this program is to be the server of [`say_hello`].
pub const HELLO: &str = "REEL_BENCH_HELLO";

/// Limits that no bench meets.
const LIMITS: &str = "[limits]\nopen_jobs = 1000000\nopen_jobs_per_user = 1000000\nopen_requests_mib = 100000\n\
                      open_requests_mib_per_user = 100000\n";

static NO_ROLES: [Role; 0] = [];

/// A process that is killed when it is dropped.
pub struct Process(Child);

impl Process {
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Seconds of processors that the process has used, from `/proc` (proc(5)), which counts hundredths.
    pub fn cpu_seconds(&self) -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        let after_name: Vec<&str> = text.rsplit_once(") ").unwrap().1.split(' ').collect();
        let ticks = |index: usize| after_name[index].parse::<f64>().unwrap();
        (ticks(11) + ticks(12)) / 100.0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// An API with private servers, and other roles beside it.
///
/// The order matters: what comes first is stopped first, and the servers come last.
pub struct Running {
    pub api: Process,
    _others: Vec<Process>,
    pub address: SocketAddr,
    pub system: System,
}

impl Running {
    /// `others` are among `work` and `project`.
    pub async fn start(others: &[&str]) -> Self {
        let mut system = System::start_on(Servers::private(), &NO_ROLES, |_| {}).await;
        let streams = system.servers.folder.path().join("streams.toml");
        std::fs::write(&streams, LIMITS).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
        let start = |role: &str| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_reel"));
            command
                .arg(role)
                .env("REDIS_URL", &system.config.redis.url)
                .env("REEL_PREFIX", &system.config.redis.prefix)
                .env("DATABASE_URL", &system.config.postgres.url)
                .env("CLERK_ISSUER", &system.config.auth.issuer)
                .env("REEL_MASTER_KEY", MASTER_KEY)
                .env("REEL_SIGNING_KEY", MASTER_KEY)
                .env("ARCHIVE_ROOT", &system.config.archive.root)
                .env("MEDIA_ROOT", system.media())
                .env("REEL_STREAMS", &streams)
                .env("REEL_BIND", address.to_string())
                .env("RATE_LIMIT_REQUESTS", "0")
                .env("RATE_LIMIT_PER_USER", "0")
                .env("REEL_LOG", "error");
            Process(command.spawn().unwrap())
        };
        let api = start("serve");
        let others = others.iter().map(|role| start(role)).collect();
        system.running.url = format!("http://{address}");
        eventually("the API listens", async || {
            reqwest::get(format!("http://{address}/healthz")).await.is_ok()
        })
        .await;
        Self { api, _others: others, address, system }
    }

    /// Lets Redis flush once a second instead of before every answer.
    pub async fn flush_every_second(&self) {
        let mut redis = connect(&self.system.config.redis.url).await;
        let mut command = redis::cmd("CONFIG");
        command.arg("SET").arg("appendfsync").arg("everysec");
        command.query_async::<()>(&mut redis).await.unwrap();
    }

    /// A worker's part, for jobs that only pretend to be made.
    pub async fn executor(&self) -> Executor {
        let models = self.system.read_models().await;
        let vault = Vault::new(models.pool.clone(), self.system.config.keys.master.clone());
        Executor::new(models.log, Clock::system()).with_vault(vault)
    }
}

/// Does the next open piece of work of a job, with the outcome that `change` makes of a pretended one. Returns `false`
/// when none is open.
pub async fn pretend(executor: &Executor, job: JobId, change: impl FnOnce(&mut Outcome)) -> bool {
    let state: Job = executor.load(job).await.unwrap().into_state();
    let Some(item) = state.open_work.first().copied() else { return false };
    let origin = || Origin::new(Actor::Worker("bench".into()));
    let started = executor.execute(job, JobCommand::StartWork(item), &origin(), None).await.unwrap();
    let state = started.loaded.into_state();
    let mut outcome = rehearsal::outcome((item.stage, item.scene), job, &state, 3);
    change(&mut outcome);
    let finish = JobCommand::FinishWork { item, outcome, scene_limit: 16 };
    executor.execute(job, finish, &origin(), None).await.unwrap();
    true
}

/// This program again, as a server with one route that does nothing.
pub fn start_hello() -> (Process, SocketAddr) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let child = command.env(HELLO, "1").stdout(Stdio::piped()).spawn();
    let mut process = Process(child.unwrap());
    let mut line = String::new();
    BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (process, line.trim().parse().unwrap())
}

pub async fn say_hello() {
    #[handler]
    async fn hello() -> &'static str {
        "Hello"
    }
    let acceptor = TcpListener::new("127.0.0.1:0").bind().await;
    println!("{}", acceptor.holdings()[0].local_addr.clone().into_std().unwrap());
    salvo::Server::new(acceptor).serve(Router::with_path("hello").get(hello)).await;
}

/// nginx with one process, which serves a folder; `None` where it is not installed.
pub async fn start_nginx(root: &Path, folder: &Path) -> Option<(Process, SocketAddr)> {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
    let (root, folder) = (root.display(), folder.display());
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {folder};\n"))
        .concat();
    let settings = format!(
        "daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;\nevents {{}}\n\
         http {{ access_log off; sendfile on; tcp_nopush on;\n{temporary}\
         server {{ listen {address}; root {root}; }} }}\n"
    );
    let file = format!("{folder}/nginx.conf");
    std::fs::write(&file, settings).unwrap();
    let mut command = Command::new("nginx");
    command.args(["-e", &format!("{folder}/nginx.log"), "-c", &file]);
    let process = Process(command.spawn().ok()?);
    eventually("nginx listens", async || tokio::net::TcpStream::connect(address).await.is_ok()).await;
    Some((process, address))
}
