use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, setrlimit};

use crate::command::{self, Files, PRLIMIT, SETPRIV};
use crate::error::{Error, Unavailable};
use crate::filter;

/// The folder that a program may write to, in memory.
pub const WORK: &str = "/work";

/// Bytes that are kept of a program's messages: the last ones, where an error is named.
const MAX_MESSAGE_BYTES: usize = 16 * 1024;
/// How often the deadline and the cancellation are looked at.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// Open files of a program.
const MAX_OPEN_FILES: u64 = 256;

/// A program, as the sandbox sees it.
#[derive(Debug, Clone, Copy)]
pub struct Program<'a> {
    /// The program's path inside, and its arguments.
    pub arguments: &'a [&'a str],
    /// Paths of this machine, and where they are inside, read-only.
    pub read_only: &'a [(PathBuf, String)],
    /// Files that exist inside only: their paths and contents.
    pub files: &'a [(&'a str, &'a [u8])],
    /// All variables of the program's environment, except `PWD`.
    pub environment: &'a [(&'a str, &'a str)],
    /// The standard input.
    pub input: &'a [u8],
}

#[derive(Debug, Clone)]
pub struct Limits {
    pub wall: Duration,
    /// Seconds of processor time.
    pub cpu_s: u64,
    /// Address space.
    pub memory_bytes: u64,
    /// Threads, the program's own included.
    pub threads: u32,
    /// The size of [`WORK`].
    pub work_bytes: u64,
    pub output_bytes: u64,
}

/// Confines programs. Exists only where that was tried.
#[derive(Debug, Clone)]
pub struct Sandbox {
    bwrap: PathBuf,
    filters: [Vec<u8>; 2],
}

/// The standard output of a program, up to the limit. A read beyond it fails.
pub struct Output<'a> {
    pipe: &'a mut dyn Read,
    left: u64,
    is_exceeded: bool,
}

impl Read for Output<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.pipe.read(buffer)?;
        match self.left.checked_sub(read as u64) {
            Some(left) => self.left = left,
            None => {
                self.is_exceeded = true;
                return Err(io::Error::other("the output is too long"));
            }
        }
        Ok(read)
    }
}

/// Counts the sandboxes of this process.
static NUMBER: AtomicU32 = AtomicU32::new(0);

impl Sandbox {
    /// Looks for what confines, and runs a program that does nothing.
    pub fn find() -> Result<Self, Unavailable> {
        Self::with_bwrap(Path::new("/usr/bin/bwrap"))
    }

    /// Does the same with another `bwrap`.
    pub fn with_bwrap(bwrap: &Path) -> Result<Self, Unavailable> {
        let needed =
            [(bwrap, "bubblewrap"), (Path::new(SETPRIV), "util-linux"), (Path::new(PRLIMIT), "util-linux")];
        for (program, package) in needed {
            if !program.is_file() {
                return Err(Unavailable::Program { program: program.to_owned(), package });
            }
        }
        let filters = filter::filters().map_err(|error| Unavailable::Filter { reason: error.to_string() })?;
        let sandbox = Self { bwrap: bwrap.to_owned(), filters };
        // The launcher itself, with nothing to launch: its version.
        let program = Program {
            arguments: &[PRLIMIT, "--version"],
            read_only: &[],
            files: &[],
            environment: &[],
            input: &[],
        };
        let limits = Limits {
            wall: Duration::from_secs(10),
            cpu_s: 5,
            memory_bytes: 256 << 20,
            threads: 4,
            work_bytes: 1 << 20,
            output_bytes: 4096,
        };
        let mut answer = String::new();
        match sandbox.run(&program, &limits, &|| false, |output| output.read_to_string(&mut answer)) {
            Ok(Ok(_)) if answer.contains("prlimit") => Ok(sandbox),
            Ok(_) => Err(unavailable("the program in it did not answer".to_owned())),
            Err(Error::NotConfined { reason }) => Err(unavailable(reason)),
            Err(error) => Err(unavailable(error.to_string())),
        }
    }

    /// Runs a program, and returns what `read` makes of its output, if the program succeeds. `is_cancelled` is asked often.
    ///
    /// Blocks until the program and everything in its sandbox has ended. A program whose output is not read to its end is
    /// killed, which is not an error: then what `read` returned says why.
    pub fn run<T>(
        &self,
        program: &Program<'_>,
        limits: &Limits,
        is_cancelled: &(dyn Fn() -> bool + Sync),
        read: impl FnOnce(&mut Output<'_>) -> T,
    ) -> Result<T, Error> {
        let mut child = self.start(program, limits).map_err(Error::Start)?;
        let (Some(mut stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(Error::Start(io::ErrorKind::BrokenPipe.into()));
        };
        let group = Pid::from_child(&child);
        let ending: Mutex<Option<Error>> = Mutex::new(None);
        let (finished, wait) = mpsc::channel::<()>();
        let deadline = Instant::now() + limits.wall;
        std::thread::scope(|threads| {
            let messages = threads.spawn(move || read_end(&mut stderr));
            let ending_of_watcher = &ending;
            let watcher = threads.spawn(move || {
                while wait.recv_timeout(CHECK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                    let error = match () {
                        () if is_cancelled() => Error::Cancelled,
                        () if Instant::now() >= deadline => Error::TimedOut { limit: limits.wall },
                        () => continue,
                    };
                    if let Ok(mut ending) = ending_of_watcher.lock() {
                        *ending = Some(error);
                    }
                    kill(group);
                    return;
                }
            });
            let mut output = Output { pipe: &mut stdout, left: limits.output_bytes, is_exceeded: false };
            let result = read(&mut output);
            let is_exceeded = output.is_exceeded;
            // Nobody reads on, so a program that still writes would wait for ever.
            let mut rest = [0; 1];
            let is_unread = is_exceeded || !matches!(stdout.read(&mut rest), Ok(0));
            if is_unread {
                kill(group);
                // Ends when the last process of the sandbox has.
                let _discarded = io::copy(&mut stdout, &mut io::sink());
            }
            let status = child.wait().map_err(Error::Start);
            drop(finished);
            let _joined = watcher.join();
            let messages = messages.join().unwrap_or_default();
            if let Some(error) = ending.lock().ok().and_then(|mut ending| ending.take()) {
                return Err(error);
            }
            if is_exceeded {
                return Err(Error::TooMuchOutput { limit: limits.output_bytes });
            }
            if is_unread {
                return Ok(result);
            }
            check_status(status?, messages, limits).map(|()| result)
        })
    }

    fn start(&self, program: &Program<'_>, limits: &Limits) -> io::Result<Child> {
        let filters = [in_memory(&self.filters[0])?, in_memory(&self.filters[1])?];
        let contents = program.files.iter().map(|(_, content)| in_memory(content));
        let contents = contents.collect::<io::Result<Vec<File>>>()?;
        let numbers: Vec<RawFd> = contents.iter().map(AsRawFd::as_raw_fd).collect();
        let files = Files { filters: [filters[0].as_raw_fd(), filters[1].as_raw_fd()], contents: &numbers };
        let is_root = rustix::process::geteuid().is_root();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let handed_over: Arc<[RawFd]> = files.filters.into_iter().chain(numbers.iter().copied()).collect();
        let (cpu_s, file_bytes) = (limits.cpu_s, limits.work_bytes);
        let mut command = Command::new(&self.bwrap);
        command
            .args(command::arguments(program, limits, &files, is_root, number))
            .env_clear()
            .stdin(Stdio::from(in_memory(program.input)?))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let prepare = move || {
            set_limits(cpu_s, file_bytes)?;
            hand_over(&handed_over)
        };
        // SAFETY: it runs in the child between fork and exec, and makes system calls only.
        unsafe { command.pre_exec(prepare) };
        command.spawn()
    }
}

fn unavailable(reason: String) -> Unavailable {
    Unavailable::Namespaces { reason, is_root: rustix::process::geteuid().is_root() }
}

fn kill(group: Pid) {
    // It may have ended already.
    let _ended = kill_process_group(group, Signal::KILL);
}

/// Puts bytes into a file without a name, to be read from its beginning.
fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("sandbox", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

/// Sets the limits that `bwrap` itself can live with; the others are set inside.
fn set_limits(cpu_s: u64, file_bytes: u64) -> io::Result<()> {
    let limits = [
        (Resource::Fsize, file_bytes, file_bytes),
        (Resource::Core, 0, 0),
        (Resource::Nofile, MAX_OPEN_FILES, MAX_OPEN_FILES),
        // The soft limit's signal says what happened; the hard one is for who ignores it.
        (Resource::Cpu, cpu_s, cpu_s + 1),
    ];
    for (resource, soft, hard) in limits {
        setrlimit(resource, Rlimit { current: Some(soft), maximum: Some(hard) })?;
    }
    Ok(())
}

/// Leaves the next program these files, and no others but the standard ones.
fn hand_over(files: &[RawFd]) -> io::Result<()> {
    // SAFETY: system calls on numbers of files of this process, which is about to become another program.
    unsafe {
        let flags = libc::CLOSE_RANGE_CLOEXEC as libc::c_int;
        if libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, flags) != 0 {
            return Err(io::Error::last_os_error());
        }
        for file in files {
            if libc::fcntl(*file, libc::F_SETFD, 0) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
    }
    Ok(())
}

/// Reads to the end, and returns the last bytes as text.
fn read_end(stderr: &mut dyn Read) -> String {
    let mut kept: Vec<u8> = vec![];
    let mut buffer = [0; 4096];
    while let Ok(read) = stderr.read(&mut buffer) {
        if read == 0 {
            break;
        }
        kept.extend(&buffer[..read]);
        if kept.len() > 2 * MAX_MESSAGE_BYTES {
            kept.drain(..kept.len() - MAX_MESSAGE_BYTES);
        }
    }
    let from = kept.len().saturating_sub(MAX_MESSAGE_BYTES);
    String::from_utf8_lossy(&kept[from..]).into_owned()
}

/// `bwrap` passes on the program's status, and a signal as 128 and its number.
fn check_status(status: ExitStatus, messages: String, limits: &Limits) -> Result<(), Error> {
    let signal = status.signal().or_else(|| status.code().filter(|code| *code > 128).map(|code| code - 128));
    match (signal, status.code()) {
        (Some(libc::SIGXCPU), _) => Err(Error::CpuTime { limit_s: limits.cpu_s }),
        (Some(signal), _) => Err(Error::Killed { signal, messages }),
        (None, Some(0)) => Ok(()),
        (None, _) if is_of_launcher(&messages) => {
            Err(Error::NotConfined { reason: messages.trim().to_owned() })
        }
        (None, status) => Err(Error::Failed { status: status.unwrap_or(-1), messages }),
    }
}

fn is_of_launcher(messages: &str) -> bool {
    ["bwrap: ", "setpriv: ", "prlimit: "].iter().any(|name| messages.starts_with(name))
}
