//! The servers of the tests. One Redis and one PostgreSQL serve a whole run; each test has a key prefix and a database
//! of its own there. A test that takes a server away, or reads its files, starts a private one.
//!
//! nextest runs each test in a process of its own, so no test can own these servers. The first test that needs them
//! starts a supervisor: this binary again, in a process group of its own. The supervisor stops the servers and removes
//! their folder as soon as the process of the run is gone, however it ended. The servers die with the supervisor.

use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, parent_id};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use reelstream::dev::{PrivatePostgres, PrivateRedis, free_port};
use reelstream::events::Keys;
use reelstream::postgres::migrate;
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use tempfile::TempDir;

/// The process whose end the supervisor waits for.
const RUN: &str = "REEL_TEST_RUN";
/// The folder of the servers that the supervisor starts.
const FOLDER: &str = "REEL_TEST_FOLDER";
/// The test that is the supervisor when [`RUN`] is set.
const SUPERVISOR: &str = "harness::servers::shared_servers_end_with_their_run";

/// A migrated database that nobody connects to; each test gets a copy.
const TEMPLATE: &str = "reel_template";
/// More than the roles of one system, and the test beside them, open.
const CONNECTIONS_OF_A_TEST: usize = 100;
const START_PATIENCE: Duration = Duration::from_secs(90);

/// A folder that the account of PostgreSQL can reach.
pub fn folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("reel-test-").tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    folder
}

/// The servers of one test.
pub struct Servers {
    pub redis_url: String,
    /// What all keys of the test begin with.
    pub prefix: String,
    pub database_url: String,
    /// For files of the test.
    pub folder: TempDir,
    _owned: Owned,
}

/// What goes when the test is done.
#[expect(dead_code, reason = "held, not used")]
enum Owned {
    Database(Database),
    Servers(PrivateRedis, PrivatePostgres),
}

impl Servers {
    /// A prefix and a migrated database on the servers of the run.
    pub async fn shared() -> Self {
        let database = Database::create(&shared().postgres_url).await;
        Self {
            redis_url: shared().redis_url.clone(),
            prefix: own_prefix(),
            database_url: database.url(),
            folder: folder(),
            _owned: Owned::Database(database),
        }
    }

    /// Servers that nobody else uses, as a new installation has them.
    pub fn private() -> Self {
        let folder = folder();
        let redis = PrivateRedis::start(&folder.path().join("redis")).unwrap();
        let postgres = PrivatePostgres::start(&folder.path().join("postgres")).unwrap();
        Self {
            redis_url: redis.url(),
            prefix: own_prefix(),
            database_url: postgres.url("postgres"),
            folder,
            _owned: Owned::Servers(redis, postgres),
        }
    }

    pub fn keys(&self, partitions: u16) -> Keys {
        Keys::new(&*self.prefix, partitions)
    }
}

/// The address of the run's Redis.
pub fn shared_redis() -> String {
    shared().redis_url.clone()
}

/// A prefix of keys that no other test has.
pub fn own_prefix() -> String {
    format!("test-{}", uuid::Uuid::now_v7().simple())
}

/// A copy of the template, dropped with its connections.
struct Database {
    server_url: String,
    name: String,
}

impl Database {
    async fn create(server_url: &str) -> Self {
        let name = format!("test_{}", uuid::Uuid::now_v7().simple());
        run_sql(server_url, format!("create database {name} template {TEMPLATE}")).await.unwrap();
        Self { server_url: server_url.to_owned(), name }
    }

    fn url(&self) -> String {
        format!("{}/{}", self.server_url, self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = run_sql(&self.server_url, format!("drop database {} with (force)", self.name));
        // The runtime of the test cannot be waited for from inside.
        let dropped = std::thread::scope(|scope| scope.spawn(|| block_on(drop)).join());
        if let Ok(Err(error)) = dropped {
            eprintln!("{} was not dropped: {error}", self.name);
        }
    }
}

/// Runs a statement for which the server itself is the subject.
async fn run_sql(server_url: &str, statement: String) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect(&format!("{server_url}/postgres")).await?;
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
    connection.close().await
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Where the servers of the run are.
#[derive(Clone, Serialize, Deserialize)]
struct Addresses {
    redis_url: String,
    /// Without a database.
    postgres_url: String,
}

fn shared() -> &'static Addresses {
    static SHARED: LazyLock<Addresses> = LazyLock::new(|| Run::current().servers());
    &SHARED
}

/// One run of tests.
struct Run {
    process: u32,
    folder: PathBuf,
}

impl Run {
    /// Under nextest, the run is the process that started this one; elsewhere it is this one.
    fn current() -> Self {
        let (process, id) = match std::env::var("NEXTEST_RUN_ID") {
            Ok(id) => (parent_id(), id),
            Err(_) => (std::process::id(), "alone".to_owned()),
        };
        Self { process, folder: std::env::temp_dir().join(format!("reel-test-run-{id}-{process}")) }
    }

    /// Starts the servers, unless another test of the run has.
    fn servers(&self) -> Addresses {
        std::fs::create_dir_all(&self.folder).unwrap();
        std::fs::set_permissions(&self.folder, PermissionsExt::from_mode(0o755)).unwrap();
        let lock = File::create(self.folder.join("lock")).unwrap();
        lock.lock().unwrap();
        match self.addresses() {
            Some(addresses) => addresses,
            None => self.start().1,
        }
    }

    fn addresses(&self) -> Option<Addresses> {
        let text = std::fs::read(self.folder.join("addresses.json")).ok()?;
        Some(serde_json::from_slice(&text).unwrap())
    }

    fn start(&self) -> (Child, Addresses) {
        // A program without this test would begin anew, and start another, for ever.
        assert!(
            std::env::var_os(RUN).is_none(),
            "only the program of the tests shares servers; use Servers::private"
        );
        let log = self.folder.join("supervisor.log");
        let output = File::create(&log).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", SUPERVISOR, "--nocapture"]);
        command.env(RUN, self.process.to_string()).env(FOLDER, &self.folder);
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        // A Ctrl-C at the terminal, and nextest when it ends a test, are for the tests alone.
        let mut supervisor = command.process_group(0).spawn().unwrap();
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            if let Some(addresses) = self.addresses() {
                return (supervisor, addresses);
            }
            let has_ended = supervisor.try_wait().unwrap().is_some();
            if has_ended || Instant::now() > deadline {
                panic!(
                    "the servers of the tests did not start: {}",
                    std::fs::read_to_string(&log).unwrap_or_default()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs the servers until the process of the run is gone.
    fn supervise(&self) {
        let redis = PrivateRedis::start(&self.folder.join("redis")).unwrap();
        let tests = std::thread::available_parallelism().map_or(8, usize::from);
        let connections = format!("max_connections={}", CONNECTIONS_OF_A_TEST * tests.max(2));
        // Its databases are gone with the run, so nothing has to survive a crash.
        let settings = [&*connections, "fsync=off", "full_page_writes=off", "max_wal_size=2GB"];
        let port = free_port().unwrap();
        let postgres = PrivatePostgres::start_with(&self.folder.join("postgres"), port, &settings).unwrap();
        block_on(create_template(&postgres)).unwrap();
        let postgres_url = postgres.url("").trim_end_matches('/').to_owned();
        let addresses = Addresses { redis_url: redis.url(), postgres_url };
        let part = self.folder.join("addresses.json.part");
        std::fs::write(&part, serde_json::to_vec(&addresses).unwrap()).unwrap();
        std::fs::rename(part, self.folder.join("addresses.json")).unwrap();
        while is_running(self.process) {
            std::thread::sleep(Duration::from_millis(100));
        }
        drop((redis, postgres));
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

async fn create_template(postgres: &PrivatePostgres) -> Result<(), Box<dyn std::error::Error>> {
    let server_url = postgres.url("").trim_end_matches('/').to_owned();
    run_sql(&server_url, format!("create database {TEMPLATE}")).await?;
    let template = PgPool::connect(&postgres.url(TEMPLATE)).await?;
    migrate(&template).await?;
    template.close().await;
    // A copy cannot be made while somebody, such as autovacuum, is connected.
    let settings = format!("alter database {TEMPLATE} with allow_connections false is_template true");
    run_sql(&server_url, settings).await?;
    Ok(())
}

/// A process that has ended and was not waited for does not run.
fn is_running(process: u32) -> bool {
    let Ok(text) = std::fs::read_to_string(format!("/proc/{process}/stat")) else { return false };
    let state = text.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    !matches!(state, Some('Z' | 'X') | None)
}

/// Servers of a run that is killed stop, and leave no files. The supervisor is this test, started with [`RUN`].
#[test]
fn shared_servers_end_with_their_run() {
    if let (Ok(process), Some(folder)) = (std::env::var(RUN), std::env::var_os(FOLDER)) {
        Run { process: process.parse().unwrap(), folder: folder.into() }.supervise();
        return;
    }
    let parent = folder();
    let mut process = Command::new("sleep").arg("600").spawn().unwrap();
    let run = Run { process: process.id(), folder: parent.path().join("run") };
    let addresses = run.servers();
    let ports = [&addresses.redis_url, &addresses.postgres_url].map(|url| port_of(url));
    assert!(ports.iter().all(|port| accepts(*port).is_ok()));
    let copied = block_on(async {
        let database = Database::create(&addresses.postgres_url).await;
        let mut connection = PgConnection::connect(&database.url()).await.unwrap();
        let jobs: i64 =
            sqlx::query_scalar("select count(*) from catalog.jobs").fetch_one(&mut connection).await.unwrap();
        jobs
    });
    assert_eq!(copied, 0, "the copy has its tables");
    process.kill().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while run.folder.exists() || ports.iter().any(|port| accepts(*port).is_ok()) {
        assert!(Instant::now() < deadline, "servers or files are left in {}", run.folder.display());
        std::thread::sleep(Duration::from_millis(20));
    }
    process.wait().unwrap();
}

fn port_of(url: &str) -> u16 {
    url.rsplit(':').next().unwrap().parse().unwrap()
}

fn accepts(port: u16) -> io::Result<std::net::TcpStream> {
    std::net::TcpStream::connect(("127.0.0.1", port))
}
