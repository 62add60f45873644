//! A private PostgreSQL. It refuses to run as root, so a root user runs it as `postgres`, who then
//! owns its folder.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use super::server::{Error, ServerProcess, free_port};

const USER: &str = "postgres";
const PACKAGE: &str = "postgresql";
/// Where Debian keeps the programs of each version.
const DEBIAN_FOLDER: &str = "/usr/lib/postgresql";

pub struct PrivatePostgres {
    server: ServerProcess,
    port: u16,
}

/// Whom to run the server as; `None` when we are not root.
#[derive(Clone, Copy)]
struct Account {
    uid: u32,
    gid: u32,
}

impl PrivatePostgres {
    /// Starts a server whose data is in `folder`; a new folder gets a new cluster. Reachable through
    /// loopback only, by the superuser `postgres` without a password.
    pub fn start(folder: &Path) -> Result<Self, Error> {
        let port = free_port().map_err(|source| Error::Folder { path: folder.to_owned(), source })?;
        Self::start_on(folder, port)
    }

    /// The same on a given port.
    pub fn start_on(folder: &Path, port: u16) -> Result<Self, Error> {
        Self::start_with(folder, port, &[])
    }

    /// Starts a server on a given port, with more settings, such as `["fsync=off"]`.
    pub fn start_with(folder: &Path, port: u16, settings: &[&str]) -> Result<Self, Error> {
        let account = account()?;
        let folder = &reachable(folder, account);
        let prepare = |source| Error::Folder { path: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(prepare)?;
        if let Some(account) = account {
            chown(folder, Some(account.uid), Some(account.gid)).map_err(prepare)?;
        }
        std::fs::set_permissions(folder, PermissionsExt::from_mode(0o700)).map_err(prepare)?;
        let cluster = folder.join("cluster");
        if !cluster.join("PG_VERSION").exists() {
            initialise(&cluster, account)?;
        }
        let mut command = command("postgres", account);
        command.arg("-D").arg(&cluster).args(["-p", &port.to_string()]);
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
        command.args(["-c", "max_connections=200"]);
        command.args(settings.iter().flat_map(|setting| ["-c", setting]));
        let is_ready = || accepts(port, account);
        let log = folder.join("postgres.log");
        // SIGINT is its fast shutdown: sessions are cut, data is flushed.
        let server = ServerProcess::start(command, PACKAGE, Signal::INT, &log, is_ready)?;
        Ok(Self { server, port })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// The address of a database; `postgres` always exists.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port)
    }
}

fn account() -> Result<Option<Account>, Error> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let passwd = PathBuf::from("/etc/passwd");
    let text = std::fs::read_to_string(&passwd).map_err(|source| Error::Folder { path: passwd, source })?;
    let entry = text.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == USER);
    let ids = entry.and_then(|fields| Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?)));
    let (uid, gid) = ids.ok_or(Error::NotInstalled { program: "postgres".to_owned(), package: PACKAGE })?;
    Ok(Some(Account { uid, gid }))
}

/// The folder itself, or one in its stead where the account cannot reach it: a root user's home is
/// closed to others. The stand-in is always the same for the same folder.
fn reachable(folder: &Path, account: Option<Account>) -> PathBuf {
    let is_open =
        |above: &Path| std::fs::metadata(above).is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0);
    if account.is_none() || folder.ancestors().skip(1).all(|above| !above.exists() || is_open(above)) {
        return folder.to_owned();
    }
    let digest = blake3::hash(folder.as_os_str().as_encoded_bytes()).to_hex();
    PathBuf::from(format!("/var/tmp/reelstream-postgres-{}", &digest[..16]))
}

/// The newest installed version's program, or whatever the path holds.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir(DEBIAN_FOLDER).into_iter().flatten().flatten();
    let newest = versions.max_by_key(|entry| entry.file_name().to_string_lossy().parse::<u32>().unwrap_or(0));
    let path = newest.map(|entry| entry.path().join("bin").join(name)).filter(|path| path.exists());
    path.unwrap_or_else(|| PathBuf::from(name))
}

fn command(name: &str, account: Option<Account>) -> Command {
    let mut command = Command::new(program(name));
    // The caller's folder may be closed to the account that runs it.
    command.current_dir("/");
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    command
}

fn initialise(cluster: &Path, account: Option<Account>) -> Result<(), Error> {
    let mut initdb = command("initdb", account);
    initdb.arg("-D").arg(cluster).args(["-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"]);
    let output = initdb.output().map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => {
            Error::NotInstalled { program: "initdb".to_owned(), package: PACKAGE }
        }
        _ => Error::Start { program: "initdb".to_owned(), source },
    })?;
    if output.status.success() {
        return Ok(());
    }
    let output = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Setup { what: format!("initdb in {}", cluster.display()), output })
}

fn accepts(port: u16, account: Option<Account>) -> bool {
    let mut pg_isready = command("pg_isready", account);
    pg_isready.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
    pg_isready.status().is_ok_and(|status| status.success())
}
