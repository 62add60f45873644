//! Processes that speak lines with espeak-ng's library: `reel` itself, started with [`ARGUMENT`].
//!
//! A process waits for the next line when it has answered one, because starting it takes longer than most lines. Each line is
//! spoken by a copy of the process that has spoken nothing yet: the library remembers the end of a line, and would speak the
//! same line a little differently after another one. A fault of the library ends that copy alone. A request on the standard
//! input is four numbers (bytes of the voice's name, words a minute, volume, bytes of the line), the name and the line; an
//! answer on the standard output is a status, the bytes that follow, and a WAV file with a cue point at each word, or a message.
//! Numbers are 32 bits, little-endian. Where the library cannot be used, lines are spoken by the program `espeak-ng`, and
//! their words are timed by estimate.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::process::{Pid, Signal, WaitOptions};

use crate::speak::{espeak_library, line_file};
use crate::usage::{ChildUsage, Meter};

/// First argument of the helper.
const ARGUMENT: &str = "speak-line";
/// Status of a line that was spoken, of one that was not, and of a library that is missing.
const SPOKEN: u32 = 0;
const FAILED: u32 = 1;
const NO_LIBRARY: u32 = 3;
/// Longest name of a voice, line and answer.
const MAX_VOICE_BYTES: u32 = 256;
const MAX_LINE_BYTES: u32 = 1 << 20;
const MAX_ANSWER_BYTES: u32 = 64 << 20;
/// Processes that wait for lines.
const MAX_IDLE: usize = 4;

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
static HAS_FAILED: AtomicBool = AtomicBool::new(false);
static IDLE: Mutex<Vec<Helper>> = Mutex::new(vec![]);

/// Names the program that calls [`run`] first of all. Without it, words are timed by estimate.
pub fn set_program(program: PathBuf) {
    let _set_before = PROGRAM.set(program);
}

/// Returns the helper's program; `None` if none is set, or if the library is missing.
fn program() -> Option<&'static Path> {
    PROGRAM.get().map(PathBuf::as_path).filter(|_| !HAS_FAILED.load(Ordering::Relaxed))
}

/// Speaks a line and returns a WAV file with a cue point at each word; `None` where that cannot be done. The process is killed
/// when the future is dropped.
pub(crate) async fn speak(voice: &str, words_per_minute: u32, volume: u32, line: &str) -> Option<Vec<u8>> {
    let program = program()?;
    let request = request(voice, words_per_minute, volume, line)?;
    let waiting = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let mut helper = match waiting {
        Some(helper) => helper,
        None => tokio::task::spawn_blocking(move || Helper::start(program)).await.ok()?.ok()?,
    };
    let mut guard = KillOnDrop(Some(helper.child.clone()));
    let before = helper.usage();
    let exchange = tokio::task::spawn_blocking(move || {
        let answer = helper.exchange(&request);
        (helper, answer)
    });
    let (helper, answer) = exchange.await.ok()?;
    guard.0 = None;
    // Without an answer the process has ended, and is forgotten.
    let (status, answer) = answer.ok()?;
    if let (Some(meter), Some(after)) = (Meter::current(), helper.usage()) {
        after.count_since(before, &meter);
    }
    if status == NO_LIBRARY {
        HAS_FAILED.store(true, Ordering::Relaxed);
        return None;
    }
    let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
    if idle.len() < MAX_IDLE {
        idle.push(helper);
    }
    drop(idle);
    (status == SPOKEN).then_some(answer)
}

/// A process that speaks one line after the other. Ends when it is dropped.
struct Helper {
    child: SharedChild,
    stdin: ChildStdin,
    stdout: ChildStdout,
}

/// `None` once it has been waited for: only until then its number is its own.
type SharedChild = Arc<Mutex<Option<Child>>>;

impl Helper {
    fn start(program: &Path) -> io::Result<Self> {
        let mut command = Command::new(program);
        command
            .arg(ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0);
        let mut child = command.spawn()?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        Ok(Self { child: Arc::new(Mutex::new(Some(child))), stdin, stdout })
    }

    fn usage(&self) -> Option<ChildUsage> {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.as_ref().and_then(|child| ChildUsage::of(child.id()))
    }

    /// Sends a request, and waits for status and answer.
    fn exchange(&mut self, request: &[u8]) -> io::Result<(u32, Vec<u8>)> {
        self.stdin.write_all(request)?;
        self.stdin.flush()?;
        let [status, length] = read_numbers(&mut self.stdout)?;
        if length > MAX_ANSWER_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut answer = vec![0; length as usize];
        self.stdout.read_exact(&mut answer)?;
        Ok((status, answer))
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ended_already = child.kill();
            let _unknown = child.wait();
        }
    }
}

/// Ends a process whose answer nobody waits for any more.
struct KillOnDrop(Option<SharedChild>);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let Some(child) = self.0.take() else { return };
        if let Some(child) = child.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            let _ended_already = child.kill();
        }
    }
}

fn request(voice: &str, words_per_minute: u32, volume: u32, line: &str) -> Option<Vec<u8>> {
    let bytes = |text: &str, most: u32| u32::try_from(text.len()).ok().filter(|bytes| *bytes <= most);
    let numbers = [bytes(voice, MAX_VOICE_BYTES)?, words_per_minute, volume, bytes(line, MAX_LINE_BYTES)?];
    let mut request: Vec<u8> = numbers.into_iter().flat_map(u32::to_le_bytes).collect();
    request.extend(voice.as_bytes());
    request.extend(line.as_bytes());
    Some(request)
}

fn read_numbers<const COUNT: usize>(input: &mut impl Read) -> io::Result<[u32; COUNT]> {
    let mut numbers = [0; COUNT];
    for number in &mut numbers {
        let mut bytes = [0; 4];
        input.read_exact(&mut bytes)?;
        *number = u32::from_le_bytes(bytes);
    }
    Ok(numbers)
}

fn read_text(input: &mut impl Read, bytes: u32, most: u32) -> io::Result<String> {
    if bytes > most {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut text = vec![0; bytes as usize];
    input.read_exact(&mut text)?;
    String::from_utf8(text).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Speaks the lines of the standard input until it ends, if this process was started to do that; `None` for any other
/// arguments. The process must have no threads yet.
pub fn run(mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    arguments.next().filter(|argument| argument == ARGUMENT)?;
    // Like the stages: requests are answered first.
    let _runs_like_all_others = rustix::process::nice(NICENESS);
    // Whoever asked has gone when the pipes end.
    let _ends_with_its_input = serve(&mut io::stdin().lock(), &mut io::stdout().lock(), speak_in_a_copy);
    Some(ExitCode::SUCCESS)
}

/// How much less of a busy processor it gets than others, as `nice(2)` counts it.
const NICENESS: i32 = 5;

/// A line to speak.
struct Request {
    voice: String,
    words_per_minute: u32,
    volume: u32,
    line: String,
}

/// A status, and a WAV file or a message.
type Answer = (u32, Vec<u8>);

fn serve(
    input: &mut impl Read,
    output: &mut impl Write,
    speak: impl Fn(&Request) -> io::Result<Answer>,
) -> io::Result<()> {
    loop {
        let [voice, words_per_minute, volume, line] = read_numbers(input)?;
        let voice = read_text(input, voice, MAX_VOICE_BYTES)?;
        let line = read_text(input, line, MAX_LINE_BYTES)?;
        let (status, answer) = speak(&Request { voice, words_per_minute, volume, line })?;
        output.write_all(&status.to_le_bytes())?;
        output.write_all(&u32::try_from(answer.len()).unwrap_or(u32::MAX).to_le_bytes())?;
        output.write_all(&answer)?;
        output.flush()?;
    }
}

fn speak_here(request: &Request) -> Answer {
    let Request { voice, words_per_minute, volume, line } = request;
    match espeak_library::speak(voice, *words_per_minute, *volume, line) {
        Ok(speech) => (SPOKEN, wav(&speech)),
        Err(error) => not_spoken(&error),
    }
}

fn not_spoken(error: &espeak_library::Error) -> Answer {
    let status = if matches!(error, espeak_library::Error::Load(_)) { NO_LIBRARY } else { FAILED };
    (status, error.to_string().into_bytes())
}

/// Speaks a line in a copy of this process, and waits until that ends.
fn speak_in_a_copy(request: &Request) -> io::Result<Answer> {
    if let Err(error) = espeak_library::start_once() {
        return Ok(not_spoken(&error));
    }
    let (mut from_copy, mut to_parent) = io::pipe()?;
    // SAFETY: this process has one thread, so the copy has everything that it needs, and no lock is held by a thread that
    // the copy lacks.
    let copy = unsafe { libc::fork() };
    if copy == 0 {
        // The copy goes with this process: whoever ends that waits for no answer.
        let _unless_refused = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        let (status, answer) = speak_here(request);
        let written = to_parent.write_all(&status.to_le_bytes()).and_then(|()| to_parent.write_all(&answer));
        // SAFETY: ends the process without running what its parent will run when it ends.
        unsafe { libc::_exit(i32::from(written.is_err())) };
    }
    let copy = Pid::from_raw(copy).ok_or_else(io::Error::last_os_error)?;
    drop(to_parent);
    let mut answer = vec![];
    let read = from_copy.by_ref().take(u64::from(MAX_ANSWER_BYTES)).read_to_end(&mut answer);
    drop(from_copy);
    rustix::process::waitpid(Some(copy), WaitOptions::empty())?;
    read?;
    let Some((status, answer)) = answer.split_first_chunk() else {
        return Ok((FAILED, b"espeak-ng's library ended the process".to_vec()));
    };
    Ok((u32::from_le_bytes(*status), answer.to_vec()))
}

/// Returns a WAV file with a cue point at each word.
pub(crate) fn wav(speech: &espeak_library::Speech) -> Vec<u8> {
    let bytes = speech.samples.len() as u32 * 2;
    let mut wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    wav.extend(speech.rate.to_le_bytes());
    wav.extend((speech.rate * 2).to_le_bytes());
    wav.extend(b"\x02\0\x10\0data");
    wav.extend(bytes.to_le_bytes());
    wav.extend(speech.samples.iter().flat_map(|sample| sample.to_le_bytes()));
    line_file::add_cues(&mut wav, &speech.words);
    wav
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speak::voice_output;

    #[test]
    fn its_output_is_a_sound_with_the_places_of_the_words() {
        let words = vec![(0, 0), (5, 1200)];
        let speech = espeak_library::Speech { rate: 22_050, samples: vec![300; 2205], words: words.clone() };
        let wav = wav(&speech);
        assert_eq!(voice_output::read(&wav).unwrap(), (22_050, speech.samples));
        assert_eq!(line_file::read_cues(&wav), Some(words));
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&path, &wav).unwrap();
        let read = hound::WavReader::open(&path).unwrap();
        assert_eq!(read.duration(), 2205, "other programs read it");
    }

    #[test]
    fn lines_are_spoken_one_after_the_other_until_the_input_ends() {
        let mut input = request("en-us", 165, 85, "Ions move.").unwrap();
        input.extend(request("no such voice", 165, 85, "Ions move.").unwrap());
        input.extend(request("de", 165, 85, "Ionen wandern.").unwrap());
        let mut output = vec![];
        assert_eq!(
            serve(&mut &input[..], &mut output, |request| Ok(speak_here(request))).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
        let mut rest = &output[..];
        for expected in [SPOKEN, FAILED, SPOKEN] {
            let [status, length] = read_numbers(&mut rest).unwrap();
            assert_eq!(status, expected);
            let (answer, behind) = rest.split_at(length as usize);
            assert_eq!(line_file::read_cues(answer).is_some_and(|cues| cues.len() >= 2), status == SPOKEN);
            rest = behind;
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn damaged_requests_end_the_helper() {
        for input in [&[0xff; 64][..], b"", b"\x01\0\0\0\xa5\0\0\0\x55\0\0\0\x01\0\0\0\xff\xff"] {
            assert!(serve(&mut &*input, &mut vec![], |_| unreachable!("no line was read")).is_err());
        }
        assert!(request(&"v".repeat(1000), 1, 1, "").is_none());
    }

    /// Starts a program that does not do what it should.
    fn started(script: &str) -> (tempfile::TempDir, Helper) {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("helper");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let helper = Helper::start(&program).unwrap();
        (folder, helper)
    }

    #[test]
    fn a_program_that_answers_with_anything_else_is_an_error() {
        let request = request("en-us", 165, 85, "Ions move.").unwrap();
        // It ends, it breaks off in the middle, and it promises more than a line can be.
        for script in [
            "exit 0",
            "printf '\\0\\0\\0\\0\\011\\0\\0\\0abc'",
            "printf '\\0\\0\\0\\0\\377\\377\\377\\377'; cat > /dev/null",
        ] {
            let (_folder, mut helper) = started(script);
            assert!(helper.exchange(&request).is_err(), "{script}");
        }
    }

    #[test]
    fn a_program_that_does_not_answer_ends_when_nobody_waits_for_it() {
        let (_folder, mut helper) = started("exec sleep 600");
        let guard = KillOnDrop(Some(helper.child.clone()));
        let request = request("en-us", 165, 85, "Ions move.").unwrap();
        let exchange = std::thread::spawn(move || helper.exchange(&request).is_err());
        drop(guard);
        assert!(exchange.join().unwrap());
    }

    #[test]
    fn other_arguments_are_for_the_program() {
        assert!(run(["render".into(), "a.md".into()].into_iter()).is_none());
        assert!(run([].into_iter()).is_none());
    }
}
