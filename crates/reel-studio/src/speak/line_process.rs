//! A voice that is a Python program: one process speaks line by line, because it takes seconds to start.
//!
//! It reads one JSON object a line. For each it answers with the sample rate and the length in bytes (two unsigned 32-bit
//! numbers, little-endian), and then 16-bit mono samples; at a rate of 0, what went wrong. After them come the number of words
//! that were said, and for each the number of its sounds and the sample at which it begins.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::speak::voice::{Error, ProcessGroup, Synthesised, Timing, in_time};
use crate::threads;
use crate::turns::Turns;
use crate::usage::{ChildUsage, Meter};

/// Largest answer. A minute of speech at 24 kHz takes 2.9 MB.
const MAX_ANSWER_BYTES: u32 = 64 << 20;
/// Most words of an answer.
const MAX_ANSWER_WORDS: u32 = 1 << 16;

/// Bytes kept from the end of what a program writes to its standard error.
const MAX_MESSAGE_BYTES: usize = 4096;

/// A program that speaks, and its process while there is one.
#[derive(Debug)]
pub(crate) struct LineProcess {
    /// A Python interpreter with what the program imports.
    pub python: PathBuf,
    /// The source of the program.
    pub program: &'static str,
    pub arguments: Vec<OsString>,
    /// The remedy for a missing interpreter, such as "run scripts/piper".
    pub set_up: &'static str,
    /// One line at a time: the program uses all processors.
    turns: Arc<Turns>,
    process: Mutex<Option<Process>>,
}

impl LineProcess {
    pub fn new(
        python: PathBuf,
        program: &'static str,
        arguments: Vec<OsString>,
        set_up: &'static str,
    ) -> Self {
        Self { python, program, arguments, set_up, turns: Arc::default(), process: Mutex::default() }
    }

    /// Speaks what a request says, when its turn has come: the lines of first scenes come before those of later ones.
    pub async fn speak(&self, request: &Value) -> Result<Synthesised, Error> {
        let _turn = self.turns.take(threads::urgency().unwrap_or_default()).await;
        in_time(self.speak_now(request)).await
    }

    async fn speak_now(&self, request: &Value) -> Result<Synthesised, Error> {
        let mut slot = self.process.lock().await;
        // The process returns to its slot only after a complete answer; otherwise it is killed.
        let mut process = match slot.take() {
            Some(process) => process,
            None => self.start()?,
        };
        let pid = process.group.0.id();
        let before = pid.and_then(ChildUsage::of);
        match process.speak(request).await {
            Ok(spoken) => {
                if let (Some(meter), Some(after)) = (Meter::current(), pid.and_then(ChildUsage::of)) {
                    after.count_since(before, &meter);
                }
                *slot = Some(process);
                Ok(spoken)
            }
            Err(source) => Err(self.explain(process, source).await),
        }
    }

    fn start(&self) -> Result<Process, Error> {
        let mut command = Command::new(&self.python);
        command.arg("-c").arg(self.program).args(&self.arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(|source| self.run_error(source))?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
            return Err(self.run_error(std::io::ErrorKind::BrokenPipe.into()));
        };
        let messages = tokio::spawn(last_messages(stderr));
        Ok(Process { group: ProcessGroup(child), stdin, stdout: BufReader::new(stdout), messages })
    }

    fn run_error(&self, source: std::io::Error) -> Error {
        match source.kind() {
            std::io::ErrorKind::NotFound => {
                Error::NotSetUp { python: self.python.clone(), set_up: self.set_up }
            }
            _ => Error::Run { program: self.python.clone(), source },
        }
    }

    /// Builds the error of a failed process from its exit status and standard error.
    async fn explain(&self, mut process: Process, source: std::io::Error) -> Error {
        if source.kind() == std::io::ErrorKind::InvalidData {
            return Error::Run { program: self.python.clone(), source };
        }
        let child: &mut Child = &mut process.group.0;
        // Its pipes close shortly before its exit status is available.
        let ended = async { (process.messages.await.unwrap_or_default(), child.wait().await) };
        match tokio::time::timeout(Duration::from_secs(2), ended).await {
            Ok((messages, Ok(status))) => {
                let stderr = messages.trim().lines().last().unwrap_or_default().to_owned();
                Error::Failed { program: self.python.clone(), status, stderr }
            }
            _ => Error::Run { program: self.python.clone(), source },
        }
    }
}

/// Reads the standard error of a process to its end, so that the process never waits for a reader. Returns the end of it.
async fn last_messages(mut stderr: ChildStderr) -> String {
    let (mut last, mut chunk) = (vec![], [0; MAX_MESSAGE_BYTES]);
    while let Ok(count @ 1..) = stderr.read(&mut chunk).await {
        last.extend_from_slice(&chunk[..count]);
        last.drain(..last.len().saturating_sub(MAX_MESSAGE_BYTES));
    }
    String::from_utf8_lossy(&last).into_owned()
}

#[derive(Debug)]
struct Process {
    group: ProcessGroup,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// Ends with the process.
    messages: JoinHandle<String>,
}

impl Process {
    async fn speak(&mut self, request: &Value) -> std::io::Result<Synthesised> {
        let request = format!("{request}\n");
        self.stdin.write_all(request.as_bytes()).await?;
        self.stdin.flush().await?;
        let (rate, length) = (self.stdout.read_u32_le().await?, self.stdout.read_u32_le().await?);
        let invalid = |message: String| std::io::Error::new(std::io::ErrorKind::InvalidData, message);
        if length > MAX_ANSWER_BYTES {
            return Err(invalid(format!("it answered with {length} bytes, more than {MAX_ANSWER_BYTES}")));
        }
        let mut bytes = vec![0; length as usize];
        self.stdout.read_exact(&mut bytes).await?;
        if rate == 0 {
            return Err(invalid(String::from_utf8_lossy(&bytes).into_owned()));
        }
        let samples = bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        let count = self.stdout.read_u32_le().await?;
        if count > MAX_ANSWER_WORDS {
            return Err(invalid(format!("it answered with {count} words, more than {MAX_ANSWER_WORDS}")));
        }
        let mut words = Vec::with_capacity(count as usize);
        for _ in 0..count {
            words.push((self.stdout.read_u32_le().await?, self.stdout.read_u32_le().await?));
        }
        let timing = if words.is_empty() { Timing::Unknown } else { Timing::Groups(words) };
        Ok(Synthesised { rate, samples, timing })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_json::json;

    use super::*;

    /// A program that warns on each line, at more length than a pipe holds, and that fails at the line "fail".
    #[tokio::test]
    async fn a_program_that_warns_much_goes_on_speaking_and_its_last_words_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let python = folder.path().join("python");
        let script = r#"#!/bin/sh
while read -r line; do
    head -c 300000 /dev/zero | tr '\0' 'w' >&2
    case "$line" in *fail*) echo >&2; echo 'no model' >&2; exit 3 ;; esac
    printf '\042\126\000\000\004\000\000\000abcd\000\000\000\000'
done
"#;
        std::fs::write(&python, script).unwrap();
        std::fs::set_permissions(&python, PermissionsExt::from_mode(0o755)).unwrap();
        let process = LineProcess::new(python, "", vec![], "");
        for _ in 0..3 {
            let spoken = process.speak(&json!({ "text": "one" })).await.unwrap();
            assert_eq!((spoken.rate, spoken.samples.len()), (22_050, 2));
        }
        match process.speak(&json!({ "text": "fail" })).await {
            Err(Error::Failed { status, stderr, .. }) => {
                assert_eq!((status.code(), stderr.as_str()), (Some(3), "no model"))
            }
            other => panic!("{other:?}"),
        }
    }
}
