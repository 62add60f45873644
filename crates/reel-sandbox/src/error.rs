use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// The reason why no program can be confined here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    #[error("the sandbox needs `{program}`, which is not installed: install Debian's package `{package}`")]
    Program { program: PathBuf, package: &'static str },
    #[error(
        "the sandbox cannot create namespaces ({reason}): {}",
        match is_root {
            true => "give the container the right to (`--cap-add SYS_ADMIN --security-opt apparmor=unconfined`)",
            false => "let users create user namespaces (`sysctl user.max_user_namespaces=10000`, and on Ubuntu \
                      `sysctl kernel.apparmor_restrict_unprivileged_userns=0`), or run it as root",
        }
    )]
    Namespaces { reason: String, is_root: bool },
    #[error("the sandbox has no filter of system calls for this processor: {reason}")]
    Filter { reason: String },
}

/// The end of a program that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the sandbox cannot be started")]
    Start(#[source] io::Error),
    #[error("the sandbox cannot confine the program: {reason}")]
    NotConfined { reason: String },
    #[error("the program ran longer than {} s", limit.as_secs_f64())]
    TimedOut { limit: Duration },
    #[error("the program was cancelled")]
    Cancelled,
    #[error("the program used more than {limit_s} s of processor time")]
    CpuTime { limit_s: u64 },
    #[error("the program wrote more than {limit} bytes")]
    TooMuchOutput { limit: u64 },
    #[error("the program was killed by signal {signal}{}", after_colon(messages))]
    Killed { signal: i32, messages: String },
    #[error("the program failed with status {status}{}", after_colon(messages))]
    Failed { status: i32, messages: String },
}

impl Error {
    /// Returns the end of what the program wrote to its standard error; empty where that says nothing.
    pub fn messages(&self) -> &str {
        match self {
            Self::Killed { messages, .. } | Self::Failed { messages, .. } => messages,
            _ => "",
        }
    }
}

/// Returns the last line of a program's messages, which names the error in Python's, behind a colon.
fn after_colon(messages: &str) -> String {
    match messages.lines().rfind(|line| !line.trim().is_empty()) {
        Some(line) => format!(": {}", line.trim()),
        None => String::new(),
    }
}
