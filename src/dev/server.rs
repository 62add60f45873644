//! A server as a child process: started on a free port, waited for, stopped with its parent.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use uuid::Uuid;

const START_PATIENCE: Duration = Duration::from_secs(30);
const STOP_PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{program} was not found: install it with `apt-get install {package}`")]
    NotInstalled { program: String, package: &'static str },
    #[error("{program} cannot be started")]
    Start { program: String, source: io::Error },
    #[error("{program} did not get ready within {} s; its log is {}", START_PATIENCE.as_secs(), log.display())]
    NotReady { program: String, log: PathBuf },
    #[error("{program} stopped while starting ({status}); its log ends with: {tail}")]
    Stopped { program: String, status: std::process::ExitStatus, tail: String },
    #[error("{what} failed: {output}")]
    Setup { what: String, output: String },
    #[error("cannot prepare {}", path.display())]
    Folder { path: PathBuf, source: io::Error },
}

/// Below the ports that the system gives to outgoing connections (32768 and up): a server that is started again
/// on its port must not find it taken by somebody's connection.
const PORTS: std::ops::Range<u16> = 12_000..32_000;
const PORT_TRIES: usize = 100;

/// A port that was free a moment ago. Somebody else may take it first; starting then fails and says so.
pub fn free_port() -> io::Result<u16> {
    let mut taken = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..PORT_TRIES {
        let chance = Uuid::new_v4().as_u128() % PORTS.len() as u128;
        let port = PORTS.start + chance as u16;
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(port),
            Err(error) => taken = error,
        }
    }
    Err(taken)
}

/// Stopped when dropped: asked first, killed after a while.
pub struct ServerProcess {
    child: Child,
    stop_signal: Signal,
}

impl ServerProcess {
    /// Starts `command` with its output in `log`, and waits until `is_ready`.
    pub fn start(
        mut command: Command,
        package: &'static str,
        stop_signal: Signal,
        log: &Path,
        is_ready: impl Fn() -> bool,
    ) -> Result<Self, Error> {
        let program = command.get_program().to_string_lossy().into_owned();
        let folder = |source| Error::Folder { path: log.to_owned(), source };
        let output = std::fs::File::create(log).map_err(folder)?;
        command.stdin(Stdio::null()).stdout(output.try_clone().map_err(folder)?).stderr(output);
        // Its own process group: a Ctrl-C at the terminal is for us, who then stop it in good order.
        command.process_group(0);
        die_with_parent(&mut command, stop_signal);
        let child = command.spawn().map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::NotInstalled { program: program.clone(), package },
            _ => Error::Start { program: program.clone(), source },
        })?;
        let mut server = Self { child, stop_signal };
        let deadline = Instant::now() + START_PATIENCE;
        while !is_ready() {
            if let Ok(Some(status)) = server.child.try_wait() {
                return Err(Error::Stopped { program, status, tail: tail(log) });
            }
            if Instant::now() > deadline {
                return Err(Error::NotReady { program, log: log.to_owned() });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.child.id() as i32) {
            let _gone_already = kill_process(pid, self.stop_signal);
        }
        let deadline = Instant::now() + STOP_PATIENCE;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _gone_already = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The child is killed when this thread's process dies, even by SIGKILL.
fn die_with_parent(command: &mut Command, signal: Signal) {
    // SAFETY: between fork and exec only prctl is called, which is async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(signal)).map_err(io::Error::from)
        });
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}
