//! The process that speaks lines with espeak-ng's library: `reel` itself, started with [`ARGUMENT`].
//!
//! In: the line, on standard input. Out: a WAV file with a cue point at each word. A fault of the library ends this process
//! alone. Where it cannot be used, lines are spoken by the program `espeak-ng`, and their words are timed by estimate.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::speak::voice::Error;
use crate::speak::{espeak_library, line_file};

/// First argument of the helper.
const ARGUMENT: &str = "speak-line";
/// Exit status of a failure, and of one that is the same for every line.
const FAILURE: u8 = 1;
const NO_LIBRARY: u8 = 3;
/// Longest line.
const MAX_LINE_BYTES: u64 = 1 << 20;

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
static HAS_FAILED: AtomicBool = AtomicBool::new(false);

/// Names the program that calls [`run`] first of all. Without it, words are timed by estimate.
pub fn set_program(program: PathBuf) {
    let _set_before = PROGRAM.set(program);
}

/// Returns the helper's program; `None` where there is none, or where it failed before.
pub(crate) fn program() -> Option<&'static Path> {
    PROGRAM.get().map(PathBuf::as_path).filter(|_| !HAS_FAILED.load(Ordering::Relaxed))
}

/// Remembers that the helper does not work here, such as without the library.
pub(crate) fn give_up() {
    HAS_FAILED.store(true, Ordering::Relaxed);
}

/// Returns `true` if the helper failed for want of the program or the library, so that it fails for every line.
pub(crate) fn is_missing(error: &Error) -> bool {
    match error {
        Error::NotInstalled { .. } | Error::Run { .. } => true,
        Error::Failed { status, .. } => status.code() == Some(NO_LIBRARY.into()),
        _ => false,
    }
}

/// Returns the helper's arguments.
pub(crate) fn arguments(voice: &str, words_per_minute: u32, volume: u32) -> [OsString; 4] {
    [ARGUMENT.into(), voice.into(), words_per_minute.to_string().into(), volume.to_string().into()]
}

/// Speaks a line and returns the exit status, if this process was started to do that; `None` for any other arguments.
pub fn run(mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    arguments.next().filter(|argument| argument == ARGUMENT)?;
    let mut next = || arguments.next().and_then(|argument| argument.into_string().ok());
    let (voice, words_per_minute, volume) = (next()?, next()?.parse().ok()?, next()?.parse().ok()?);
    Some(match speak(&voice, words_per_minute, volume) {
        Ok(()) => ExitCode::SUCCESS,
        Err((message, status)) => {
            let _unheard = writeln!(io::stderr(), "{message}");
            ExitCode::from(status)
        }
    })
}

/// Speaks the line of the standard input. An error is a message and the exit status.
fn speak(voice: &str, words_per_minute: u32, volume: u32) -> Result<(), (String, u8)> {
    let failed = |error: io::Error| (error.to_string(), FAILURE);
    let mut line = String::new();
    io::stdin().take(MAX_LINE_BYTES).read_to_string(&mut line).map_err(failed)?;
    let speech = espeak_library::speak(voice, words_per_minute, volume, &line).map_err(|error| {
        let is_missing = matches!(error, espeak_library::Error::Load(_));
        (error.to_string(), if is_missing { NO_LIBRARY } else { FAILURE })
    })?;
    io::stdout().write_all(&wav(&speech)).map_err(failed)
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
    fn other_arguments_are_for_the_program() {
        assert!(run(["render".into(), "a.md".into()].into_iter()).is_none());
        assert!(run([].into_iter()).is_none());
    }
}
