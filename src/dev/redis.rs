//! A private Redis with every write flushed before it is acknowledged.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use super::server::{Error, ServerProcess, free_port};

pub struct PrivateRedis {
    server: ServerProcess,
    port: u16,
}

impl PrivateRedis {
    /// Starts a server whose data is in `folder`; what was there is served again.
    pub fn start(folder: &Path) -> Result<Self, Error> {
        let port = free_port().map_err(|source| Error::Folder { path: folder.to_owned(), source })?;
        Self::start_on(folder, port, &[])
    }

    /// Starts a server on a given port, with more settings, such as `["--replicaof", "127.0.0.1 6379"]`.
    pub fn start_on(folder: &Path, port: u16, settings: &[&str]) -> Result<Self, Error> {
        let prepare = |source| Error::Folder { path: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(prepare)?;
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--daemonize", "no"]);
        command.args(["--maxmemory-policy", "noeviction"]).arg("--dir").arg(folder);
        command.args(settings);
        let is_ready = || is_loaded(port);
        let server =
            ServerProcess::start(command, "redis-server", Signal::TERM, &folder.join("redis.log"), is_ready)?;
        Ok(Self { server, port })
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> u32 {
        self.server.pid()
    }
}

/// A server that is still reading its file answers PING with an error.
fn is_loaded(port: u16) -> bool {
    use std::io::{Read, Write};
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut answer = [0; 5];
    stream.write_all(b"PING\r\n").is_ok() && stream.read_exact(&mut answer).is_ok() && &answer == b"+PONG"
}
