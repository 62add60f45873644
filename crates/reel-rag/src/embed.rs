//! Turns texts into vectors: a process in Python, which `scripts/setup-rag` installs, started when it is first needed.
//!
//! Nothing depends on it. One that hangs, ends, or answers what no vector can be is killed, and for a minute nobody waits for
//! another. It reads no variable of our environment, which holds secrets.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;

/// The model that `scripts/setup-rag` installs. An index with vectors of another one is refused.
pub const MODEL: &str = "all-MiniLM-L6-v2";
/// Numbers of a vector.
pub const DIMENSIONS: usize = 384;
const PROGRAM: &str = include_str!("embed.py");
/// Texts of one message to the process.
const MESSAGE_TEXTS: usize = 32;
/// The model reads no more of a text.
const MAX_CHARACTERS: usize = 1000;
/// A longer answer than any to `MESSAGE_TEXTS` texts.
const MAX_ANSWER_BYTES: u64 = 1 << 20;
/// The time after a failure in which the process is not started again.
const PAUSE: Duration = Duration::from_secs(60);
/// The largest distance of a vector's length from 1; its numbers are rounded.
const MAX_LENGTH_ERROR: f32 = 0.01;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot start {program}; run ./scripts/setup-rag, or leave RAG_ROOT unset", program = .program.display())]
    Start { program: PathBuf, source: std::io::Error },
    #[error("the embeddings process ended without an answer; run ./scripts/setup-rag again")]
    Ended,
    #[error("the embeddings process did not answer in {seconds} s")]
    TimedOut { seconds: f32 },
    #[error("the embeddings process answered {found}, but must answer {expected}")]
    Answer { found: String, expected: String },
    #[error("the embeddings process failed less than {} s ago", PAUSE.as_secs())]
    Paused,
}

/// Makes vectors, for one caller after the other.
pub struct Embedder {
    program: PathBuf,
    state: Mutex<State>,
}

enum State {
    Stopped,
    Running(Process),
    FailedAt(Instant),
}

/// Threads write to it and read from it, so that no pipe can hold a caller up.
struct Process {
    child: Child,
    messages: SyncSender<String>,
    lines: Receiver<String>,
}

#[derive(Deserialize)]
struct Head {
    model: String,
    dimensions: usize,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Embedder {
    /// `root` is the folder of the virtual environment.
    pub fn new(root: &Path) -> Self {
        Self { program: root.join("bin/python"), state: Mutex::new(State::Stopped) }
    }

    /// Returns a vector of length 1 for each text. Blocks: `timeout` is the longest time for the process to start, and for each 32
    /// texts.
    pub fn embed(&self, texts: &[String], timeout: Duration) -> Result<Vec<Vec<f32>>, Error> {
        if texts.is_empty() {
            return Ok(vec![]);
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let process = match std::mem::replace(&mut *state, State::Stopped) {
            State::Running(process) => Ok(process),
            State::FailedAt(failed_at) if failed_at.elapsed() < PAUSE => {
                *state = State::FailedAt(failed_at);
                return Err(Error::Paused);
            }
            State::FailedAt(_) | State::Stopped => Process::start(&self.program, timeout),
        };
        let embedded = process.and_then(|process| {
            let vectors = process.embed(texts, timeout)?;
            Ok((process, vectors))
        });
        match embedded {
            Ok((process, vectors)) => {
                *state = State::Running(process);
                Ok(vectors)
            }
            Err(error) => {
                *state = State::FailedAt(Instant::now());
                Err(error)
            }
        }
    }
}

impl Process {
    fn start(program: &Path, timeout: Duration) -> Result<Self, Error> {
        let cannot_start = |source| Error::Start { program: program.to_owned(), source };
        let mut command = Command::new(program);
        command.args(["-I", "-c", PROGRAM]).env_clear();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(cannot_start)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(cannot_start(std::io::Error::other("it has no pipes")));
        };
        let ((messages, received), (send, lines)) = (sync_channel(1), sync_channel(1));
        // Both end with the process.
        std::thread::spawn(move || write_messages(input, &received));
        std::thread::spawn(move || read_lines(output, &send));
        let process = Self { child, messages, lines };
        let line = process.line(timeout)?;
        let head = serde_json::from_str(&line).ok();
        match head.is_some_and(|head: Head| head.model == MODEL && head.dimensions == DIMENSIONS) {
            true => Ok(process),
            false => Err(unexpected(&line, format!("that it has {MODEL}, with {DIMENSIONS} dimensions"))),
        }
    }

    fn embed(&self, texts: &[String], timeout: Duration) -> Result<Vec<Vec<f32>>, Error> {
        let mut vectors = Vec::with_capacity(texts.len());
        for message in texts.chunks(MESSAGE_TEXTS) {
            vectors.extend(self.ask(message, timeout)?);
        }
        Ok(vectors)
    }

    fn ask(&self, texts: &[String], timeout: Duration) -> Result<Vec<Vec<f32>>, Error> {
        let texts: Vec<String> =
            texts.iter().map(|text| text.chars().take(MAX_CHARACTERS).collect()).collect();
        let message = serde_json::json!(texts).to_string();
        self.messages.send(message).map_err(|_| Error::Ended)?;
        let line = self.line(timeout)?;
        let vectors: Option<Vec<Vec<f32>>> = serde_json::from_str(&line).ok();
        match vectors
            .filter(|vectors| vectors.len() == texts.len() && vectors.iter().all(|vector| is_vector(vector)))
        {
            Some(vectors) => Ok(vectors),
            None => Err(unexpected(&line, format!("{} vectors of length 1", texts.len()))),
        }
    }

    fn line(&self, timeout: Duration) -> Result<String, Error> {
        self.lines.recv_timeout(timeout).map_err(|error| match error {
            mpsc::RecvTimeoutError::Timeout => Error::TimedOut { seconds: timeout.as_secs_f32() },
            mpsc::RecvTimeoutError::Disconnected => Error::Ended,
        })
    }
}

fn write_messages(mut input: ChildStdin, messages: &Receiver<String>) {
    while let Ok(message) = messages.recv() {
        if writeln!(input, "{message}").and_then(|()| input.flush()).is_err() {
            return;
        }
    }
}

/// Sends whole lines until the output ends or holds what is no answer: a line that is too long, or no text.
fn read_lines(output: ChildStdout, send: &SyncSender<String>) {
    let mut output = BufReader::new(output);
    loop {
        let mut line = String::new();
        let read = (&mut output).take(MAX_ANSWER_BYTES).read_line(&mut line);
        if read.is_err() || !line.ends_with('\n') || send.send(line).is_err() {
            return;
        }
    }
}

fn is_vector(vector: &[f32]) -> bool {
    let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
    vector.len() == DIMENSIONS && (length - 1.0).abs() < MAX_LENGTH_ERROR
}

fn unexpected(line: &str, expected: String) -> Error {
    Error::Answer { found: format!("`{}`", line.trim_end().chars().take(60).collect::<String>()), expected }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const HEAD: &str = r#"echo '{"model": "all-MiniLM-L6-v2", "dimensions": 384}'"#;

    /// Returns a virtual environment whose Python is a script of the shell.
    fn python(script: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("bin/python");
        fs::create_dir(folder.path().join("bin")).expect("a folder");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("a script");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it can be run");
        folder
    }

    fn texts() -> Vec<String> {
        vec!["a circle".to_owned(), "a square".to_owned()]
    }

    #[test]
    fn a_missing_process_says_how_to_install_it() {
        let embedder = Embedder::new(Path::new("/nowhere"));
        let error = embedder.embed(&texts(), Duration::from_secs(5)).expect_err("it is missing");
        assert!(error.to_string().contains("setup-rag"), "{error}");
        assert_eq!(embedder.embed(&[], Duration::from_secs(5)).ok(), Some(vec![]));
    }

    #[test]
    fn a_process_that_answers_with_vectors_stays() {
        let vector = format!("[1{}]", ", 0".repeat(DIMENSIONS - 1));
        // Each start is one line of the file.
        let script = format!(
            "echo started >> \"$0.starts\"\n{HEAD}\nwhile read -r line; do echo '[{vector}, {vector}]'; done"
        );
        let root = python(&script);
        let embedder = Embedder::new(root.path());
        for _ in 0..2 {
            let vectors = embedder.embed(&texts(), Duration::from_secs(30)).expect("vectors");
            assert_eq!((vectors.len(), vectors[1][0]), (2, 1.0));
        }
        let starts = fs::read_to_string(root.path().join("bin/python.starts")).expect("it started");
        assert_eq!(starts.lines().count(), 1);
    }

    #[test]
    fn a_process_that_hangs_dies_or_answers_rubbish_fails_and_is_left_alone_for_a_while() {
        let short = format!("[{}]", "[0.5, 0.5], [1, 0]");
        let zeros = format!("[0{}]", ", 0".repeat(DIMENSIONS - 1));
        for (script, expected) in [
            ("exec sleep 1000".to_owned(), "did not answer"),
            ("exit 1".to_owned(), "ended"),
            ("echo hello; exec sleep 1000".to_owned(), "answered `hello`"),
            (r#"echo '{"model": "another", "dimensions": 384}'; exec sleep 1000"#.to_owned(), "another"),
            // A line without an end.
            ("exec cat /dev/zero".to_owned(), "ended"),
            (format!("{HEAD}\nexec sleep 1000"), "did not answer"),
            (format!("{HEAD}\nread -r line; exit 0"), "ended"),
            (format!("{HEAD}\nread -r line; echo '[]'"), "answered `[]`"),
            (format!("{HEAD}\nread -r line; echo '{short}'"), "2 vectors"),
            (format!("{HEAD}\nread -r line; echo '[{zeros}, {zeros}]'"), "of length 1"),
            (format!("{HEAD}\nread -r line; echo '[NaN]'"), "answered `[NaN]`"),
        ] {
            let root = python(&script);
            let embedder = Embedder::new(root.path());
            let begun = Instant::now();
            // More than a pipe holds.
            let long = vec!["a long text ".repeat(90); 2 * MESSAGE_TEXTS];
            let texts = if script.ends_with("sleep 1000") { long } else { texts() };
            let error = embedder.embed(&texts, Duration::from_secs(2)).expect_err(&script).to_string();
            assert!(error.contains(expected), "{script}: {error}");
            assert!(begun.elapsed() < Duration::from_secs(30), "{script}");
            let again = embedder.embed(&texts, Duration::from_secs(2)).expect_err(&script);
            assert!(matches!(again, Error::Paused), "{script}: {again}");
        }
    }
}
