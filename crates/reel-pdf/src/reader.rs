//! Starts the confined process, and waits for its answer.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::helper::{ARGUMENT, CUT, ENCRYPTED, NO_PAGES, NOT_CONFINED};

/// Bytes that a PDF may have.
pub const MAX_PDF_BYTES: u64 = 64 * 1024 * 1024;
/// Longer than the processor time that a helper may take, for when the processors are busy.
const TIMEOUT: Duration = Duration::from_secs(30);

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Names the program that calls [`run`](crate::run) first of all. Without it, no PDF is read.
pub fn set_program(program: PathBuf) {
    let _set_before = PROGRAM.set(program);
}

/// The text of a PDF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// In the order of the pages; empty when the pages are pictures.
    pub text: String,
    /// Set when there is more.
    pub is_cut: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is to blame, and a retry does not help.
    #[error("it takes more than {MAX_PDF_BYTES} bytes")]
    TooLarge,
    #[error("it has no pages that can be read")]
    NoPages,
    #[error("it needs a password")]
    Encrypted,
    #[error("reading it takes more time or memory than is allowed, or fails")]
    Killed,
    /// The machine is to blame.
    #[error("the process that reads PDFs cannot be confined here: Linux with seccomp is needed")]
    NotConfined,
    #[error("the process that reads PDFs cannot be started")]
    Start(#[source] io::Error),
}

impl Error {
    /// Tells whether the file is the cause, and not the machine.
    pub fn is_fault_of_file(&self) -> bool {
        !matches!(self, Error::NotConfined | Error::Start(_))
    }
}

/// A PDF to read.
#[derive(Debug)]
pub enum Pdf<'a> {
    Bytes(&'a [u8]),
    /// Read from where it stands, by the confined process alone.
    File(File),
}

impl Pdf<'_> {
    fn size_bytes(&self) -> io::Result<u64> {
        match self {
            Pdf::Bytes(bytes) => Ok(bytes.len() as u64),
            Pdf::File(file) => Ok(file.metadata()?.len()),
        }
    }
}

/// Reads the text of a PDF, of which no more than `max_bytes` are returned. The process is killed when the future is dropped.
pub async fn read_text(pdf: Pdf<'_>, max_bytes: usize) -> Result<Text, Error> {
    if pdf.size_bytes().map_err(Error::Start)? > MAX_PDF_BYTES {
        return Err(Error::TooLarge);
    }
    let program = PROGRAM.get().ok_or(Error::NotConfined)?;
    let mut command = Command::new(program);
    command.arg(ARGUMENT).arg(max_bytes.to_string());
    let (status, answer) = exchange(command, pdf, max_bytes + 1, TIMEOUT).await?;
    interpret(status, &answer)
}

fn interpret(status: ExitStatus, answer: &[u8]) -> Result<Text, Error> {
    match (status.code(), answer.split_first()) {
        (Some(0), Some((mark, text))) => {
            let text = std::str::from_utf8(text).map_err(|_| Error::Killed)?;
            Ok(Text { text: text.to_owned(), is_cut: *mark == CUT })
        }
        (Some(code), _) if code == i32::from(NOT_CONFINED) => Err(Error::NotConfined),
        (Some(code), _) if code == i32::from(NO_PAGES) => Err(Error::NoPages),
        (Some(code), _) if code == i32::from(ENCRYPTED) => Err(Error::Encrypted),
        _ => Err(Error::Killed),
    }
}

/// Runs a helper to its end, with a file as its input, and returns its answer. One that is too slow or says too much is killed.
async fn exchange(
    mut command: Command,
    pdf: Pdf<'_>,
    max_answer_bytes: usize,
    timeout: Duration,
) -> Result<(ExitStatus, Vec<u8>), Error> {
    let (stdin, bytes) = match pdf {
        Pdf::Bytes(bytes) => (Stdio::piped(), bytes),
        Pdf::File(file) => (file.into(), &[][..]),
    };
    command
        .env_clear()
        .current_dir("/")
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    let mut helper = Helper(command.spawn().map_err(Error::Start)?);
    let mut answer = vec![];
    let finished = tokio::time::timeout(timeout, helper.converse(bytes, max_answer_bytes, &mut answer)).await;
    match finished {
        Ok(status) => Ok((status.map_err(Error::Start)?, answer)),
        Err(_) => Err(Error::Killed),
    }
}

/// Killed with its group when it is dropped.
struct Helper(Child);

impl Helper {
    async fn converse(
        &mut self,
        pdf: &[u8],
        max_bytes: usize,
        answer: &mut Vec<u8>,
    ) -> io::Result<ExitStatus> {
        let (stdin, stdout) = (self.0.stdin.take(), self.0.stdout.take());
        let stdout = stdout.ok_or(io::ErrorKind::BrokenPipe)?;
        let write = async move {
            if let Some(mut stdin) = stdin {
                // It may end before it has read everything; its exit status says why.
                let _ended_early = stdin.write_all(pdf).await;
            }
        };
        let mut output = stdout.take(max_bytes as u64 + 1);
        let read = async {
            output.read_to_end(answer).await?;
            if answer.len() > max_bytes {
                // It may not read any more: its end lets the other half end, too.
                self.kill();
                answer.clear();
            }
            io::Result::Ok(())
        };
        let ((), read) = tokio::join!(write, read);
        read?;
        self.0.wait().await
    }

    fn kill(&self) {
        let group = self.0.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(group) = group {
            let _ended_already = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    async fn run(script: &str, timeout: Duration) -> Result<(ExitStatus, Vec<u8>), Error> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        exchange(command, Pdf::Bytes(&[b' '; 200_000]), 1000, timeout).await
    }

    #[tokio::test]
    async fn without_a_program_nothing_is_read() {
        let refused = read_text(Pdf::Bytes(b"%PDF-1.7"), 1000).await.unwrap_err();
        assert!(matches!(refused, Error::NotConfined) && !refused.is_fault_of_file());
    }

    #[tokio::test]
    async fn the_exit_status_says_why_there_is_no_text() {
        for (script, expected) in [
            ("exit 3", "the process that reads PDFs cannot be confined here: Linux with seccomp is needed"),
            ("exit 4", "it has no pages that can be read"),
            ("exit 5", "it needs a password"),
            ("exit 0", "reading it takes more time or memory than is allowed, or fails"),
            ("printf Wtext; exit 101", "reading it takes more time or memory than is allowed, or fails"),
            ("printf 'W\\377'", "reading it takes more time or memory than is allowed, or fails"),
            ("printf Wtext; kill -9 $$", "reading it takes more time or memory than is allowed, or fails"),
        ] {
            let (status, answer) = run(script, TIMEOUT).await.unwrap();
            assert_eq!(interpret(status, &answer).unwrap_err().to_string(), expected, "{script}");
        }
        let (status, answer) = run("printf Ctext", TIMEOUT).await.unwrap();
        assert_eq!(interpret(status, &answer).unwrap(), Text { text: "text".to_owned(), is_cut: true });
    }

    #[tokio::test]
    async fn a_helper_that_says_too_much_is_killed() {
        let (status, answer) = run("while :; do echo and so on; done", TIMEOUT).await.unwrap();
        assert_eq!((status.signal(), answer.len()), (Some(9), 0));
    }

    #[tokio::test]
    async fn a_helper_that_does_not_answer_is_killed_with_its_group() {
        let folder = std::env::temp_dir().join(format!("reel-pdf-group-{}", std::process::id()));
        let script = format!("(sleep 2; touch {}) & sleep 60", folder.display());
        let ended = run(&script, Duration::from_millis(300)).await;
        assert!(matches!(ended, Err(Error::Killed)), "{ended:?}");
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(!folder.exists(), "its child goes on");
    }

    #[tokio::test]
    async fn a_helper_that_ends_before_it_has_read_everything_is_no_error() {
        let (status, answer) = run("printf ' early'", TIMEOUT).await.unwrap();
        assert!(status.success());
        assert_eq!(answer, b" early");
    }
}
