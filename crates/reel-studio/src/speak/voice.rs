//! Speaks one line, and prepares it for a video: a fixed sample rate, no silence around it, no clicks.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::sample::{Sample, Type};
use ffmpeg_next::software::resampling;
use ffmpeg_next::{ChannelLayout, frame};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use crate::ffmpeg::start;
use crate::speak::kokoro::{Kokoro, language_of};
use crate::speak::piper::Piper;
use crate::speak::speech_api::SpeechApi;
use crate::speak::spoken::Spoken;
use crate::speak::words::{self, Group, Mark};
use crate::speak::{espeak_helper, languages, line_file, voice_output};
use crate::threads::{self, Stopped};
use crate::usage::{Meter, count_child};
use reel_scene::WordTime;

/// Sample rate of all sound up to the finished file.
pub const SAMPLE_RATE_HZ: u32 = 48_000;

/// Longest time for one line, which usually takes some hundredths of a second.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Largest sample that counts as silence at the ends of a line.
const SILENCE_THRESHOLD: u16 = 120;
/// Silence that stays at each end of a line, during which the sound fades in or out.
const FADE_MS: usize = 20;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} was not found: {set_up}", python.display())]
    NotSetUp { python: PathBuf, set_up: &'static str },
    #[error("the speech server {url} cannot be reached")]
    Unreachable { url: String, source: reqwest::Error },
    #[error("the speech server {url} refused with status {status}: {message}")]
    Refused { url: String, status: u16, message: String },
    #[error("the voice answered with {found}, expected a WAV of 16-bit samples")]
    Format { found: String },
    #[error("the voice answered with {found}, which cannot be the line")]
    Damaged { found: String },
    #[error("{} was not found: install it with `apt-get install espeak-ng`, or name it in ESPEAK_PROGRAM", program.display())]
    NotInstalled { program: PathBuf },
    #[error("{} cannot be run", program.display())]
    Run { program: PathBuf, source: io::Error },
    #[error("{} failed with {status}: {stderr}", program.display())]
    Failed { program: PathBuf, status: std::process::ExitStatus, stderr: String },
    #[error("the speech of a line did not end within {} s", TIMEOUT.as_secs())]
    TimedOut,
    #[error("the synthesiser gave no sound for a line of {characters} characters")]
    Silent { characters: usize },
    #[error("the sound cannot be resampled")]
    Resample(#[source] ffmpeg::Error),
    #[error("preparing a spoken line stopped unexpectedly")]
    Stopped(#[from] Stopped),
    #[error("cancelled")]
    Cancelled,
}

/// espeak-ng's amplitude, which leaves headroom: at the default of 100, resampling overshoots into clipping.
const ESPEAK_AMPLITUDE: u32 = 85;
/// The name under which packages install espeak-ng. Only then, its library is the one of the program.
const ESPEAK_PROGRAM: &str = "espeak-ng";

/// espeak-ng's variants of a voice for a video's second speaker and those after.
const OTHER_VARIANTS: [&str; 3] = ["f2", "m7", "f5"];

/// Default tempo of a voice.
pub const NORMAL_WORDS_PER_MINUTE: u32 = 165;

/// A speech synthesiser with its settings.
#[derive(Debug, Clone)]
pub enum Voice {
    Espeak(Espeak),
    Piper(Piper),
    Kokoro(Kokoro),
    Api(SpeechApi),
}

/// espeak-ng: small, fast and always available, but robotic.
#[derive(Debug, Clone)]
pub struct Espeak {
    pub program: PathBuf,
    /// A name from `espeak-ng --voices`.
    pub name: String,
    pub words_per_minute: u32,
}

impl Default for Espeak {
    fn default() -> Self {
        Self {
            program: ESPEAK_PROGRAM.into(),
            name: "en-us".to_owned(),
            words_per_minute: NORMAL_WORDS_PER_MINUTE,
        }
    }
}

impl Default for Voice {
    fn default() -> Self {
        Self::Espeak(Espeak::default())
    }
}

impl Voice {
    /// Returns the voice that speaks a language, given as a BCP 47 tag: this one where it does, or else espeak-ng's. A voice behind
    /// HTTP is taken to speak all languages.
    pub fn for_language(&self, tag: &str) -> Self {
        let (own, words_per_minute, program) = match self {
            Self::Api(_) => return self.clone(),
            // Its model is an American voice, unless the operator chose another, which then is the language of all scripts.
            Self::Piper(Piper { model: Some(_), .. }) => return self.clone(),
            Self::Piper(piper) => ("en", piper.words_per_minute, Espeak::default().program),
            Self::Kokoro(kokoro) => match kokoro.for_language(tag) {
                Some(kokoro) => return Self::Kokoro(kokoro),
                None => (language_of(kokoro.voice), kokoro.words_per_minute, Espeak::default().program),
            },
            Self::Espeak(espeak) => (espeak.name.as_str(), espeak.words_per_minute, espeak.program.clone()),
        };
        match languages::espeak_voice(tag).filter(|name| primary(name) != primary(own)) {
            Some(name) => Self::Espeak(Espeak { program, name: name.to_owned(), words_per_minute }),
            None => self.clone(),
        }
    }

    /// Returns the language that the voice reads, as the first part of a BCP 47 tag; empty where it is not known, as of a server.
    fn language(&self) -> &str {
        match self {
            Self::Espeak(espeak) => primary(&espeak.name),
            Self::Piper(Piper { model: None, .. }) => "en",
            Self::Kokoro(kokoro) => primary(language_of(kokoro.voice)),
            Self::Piper(_) | Self::Api(_) => "",
        }
    }

    /// Returns the voice of a video's other speakers, who are counted from 2; speaker 1 has this one. Of the same language, and as
    /// different as there are. Piper has one voice for all.
    pub fn for_speaker(&self, speaker: u8) -> Self {
        let Some(other) = usize::from(speaker).checked_sub(2) else { return self.clone() };
        match self {
            Self::Espeak(espeak) => {
                let name = espeak.name.split('+').next().unwrap_or_default();
                let variant = OTHER_VARIANTS[other % OTHER_VARIANTS.len()];
                Self::Espeak(Espeak { name: format!("{name}+{variant}"), ..espeak.clone() })
            }
            Self::Piper(_) => self.clone(),
            Self::Kokoro(kokoro) => Self::Kokoro(kokoro.for_speaker(other)),
            Self::Api(api) => Self::Api(api.for_speaker(other)),
        }
    }

    /// Returns the same voice at `tempo` times its speed.
    pub fn with_tempo(&self, tempo: f64) -> Self {
        let faster = |words_per_minute: u32| (f64::from(words_per_minute) * tempo).round() as u32;
        match self {
            Self::Espeak(espeak) => {
                Self::Espeak(Espeak { words_per_minute: faster(espeak.words_per_minute), ..espeak.clone() })
            }
            Self::Piper(piper) => Self::Piper(piper.at(faster(piper.words_per_minute))),
            Self::Kokoro(kokoro) => Self::Kokoro(kokoro.at(faster(kokoro.words_per_minute))),
            Self::Api(api) => {
                let mut api = api.clone();
                api.speed *= tempo;
                Self::Api(api)
            }
        }
    }
}

/// Returns the language of a tag, without region and script.
fn primary(tag: &str) -> &str {
    tag.split(['-', '_']).next().unwrap_or(tag)
}

/// Shows every setting that affects the sound; caches depend on it.
impl fmt::Display for Voice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Espeak(Espeak { name, words_per_minute, .. }) => {
                write!(f, "espeak-ng {name} at {words_per_minute} words a minute")
            }
            Self::Piper(Piper { model, words_per_minute, .. }) => {
                let model = model.as_ref().map_or("en_US-joe-medium".into(), |model| model.to_string_lossy());
                write!(f, "Piper {model} at {words_per_minute} words a minute")
            }
            Self::Kokoro(Kokoro { voice, words_per_minute, .. }) => {
                write!(f, "Kokoro {voice} at {words_per_minute} words a minute")
            }
            Self::Api(SpeechApi { url, model, voice, speed, .. }) => {
                write!(f, "{voice} of {model} at {url}, speed {speed}")
            }
        }
    }
}

/// Mono sound with 16-bit samples at [`SAMPLE_RATE_HZ`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pcm {
    pub samples: Vec<i16>,
}

impl Pcm {
    pub fn duration_ms(&self) -> u32 {
        (self.samples.len() as u64 * 1000 / u64::from(SAMPLE_RATE_HZ)) as u32
    }
}

/// A spoken line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpokenLine {
    pub sound: Pcm,
    /// The words of the line, in its order; their times never decrease, and lie within the sound.
    pub words: Vec<WordTime>,
}

impl SpokenLine {
    pub fn duration_ms(&self) -> u32 {
        self.sound.duration_ms()
    }
}

/// The output of a voice.
#[derive(Debug)]
pub(crate) struct Synthesised {
    pub rate: u32,
    pub samples: Vec<i16>,
    pub timing: Timing,
}

/// The times of words as a voice tells them; samples are counted from the beginning of its output.
#[derive(Debug)]
pub(crate) enum Timing {
    Unknown,
    /// The character that each word begins with, and its sample.
    Marks(Vec<(u32, u32)>),
    /// The number of sounds of each word that was said, and its sample.
    Groups(Vec<(u32, u32)>),
}

/// Speaks a line, and trims the silence around it. The synthesiser's process group is killed when the line is cancelled
/// or takes too long, or when the future is dropped.
pub async fn speak(voice: &Voice, line: &str, cancel: &CancellationToken) -> Result<SpokenLine, Error> {
    let reading = Spoken::of(line, voice.language());
    let answer = tokio::select! {
        () = cancel.cancelled() => return Err(Error::Cancelled),
        answer = synthesise(voice, &reading.text) => answer?,
    };
    threads::run(move || {
        let SpokenLine { sound, mut words } = prepare(&reading.text, &answer)?;
        // Several words may be read for one that is written: it begins with the first of them.
        words.iter_mut().for_each(|word| word.offset = reading.written(word.offset as usize) as u32);
        words.dedup_by_key(|word| word.offset);
        Ok(SpokenLine { sound, words })
    })
    .await?
}

/// Checks that the output of a voice can be the line, resamples it, trims its silence and times its words.
pub(crate) fn prepare(line: &str, answer: &Synthesised) -> Result<SpokenLine, Error> {
    let Synthesised { rate, samples, timing } = answer;
    voice_output::check(line, *rate, samples)?;
    let samples = resample(samples, *rate).map_err(Error::Resample)?;
    let (samples, trimmed) = trim_silence(samples);
    if samples.is_empty() {
        return Err(Error::Silent { characters: line.chars().count() });
    }
    let sound = Pcm { samples };
    let trimmed_ms = trimmed as f64 * 1000.0 / f64::from(SAMPLE_RATE_HZ);
    let in_ms = |sample: u32| f64::from(sample) * 1000.0 / f64::from(*rate) - trimmed_ms;
    let words = match timing {
        Timing::Unknown => words::estimate(line, &sound),
        Timing::Marks(marks) => {
            let marks = marks
                .iter()
                .map(|(character, sample)| Mark { character: *character as usize, ms: in_ms(*sample) });
            words::from_marks(line, &sound, &marks.collect::<Vec<_>>())
        }
        Timing::Groups(groups) => {
            let groups =
                groups.iter().map(|(sounds, sample)| Group { sounds: *sounds as usize, ms: in_ms(*sample) });
            words::from_groups(line, &sound, &groups.collect::<Vec<_>>())
        }
    };
    Ok(SpokenLine { sound, words })
}

async fn synthesise(voice: &Voice, line: &str) -> Result<Synthesised, Error> {
    match voice {
        Voice::Espeak(espeak) => in_time(espeak.synthesise(line)).await,
        // Their time begins with their turn.
        Voice::Piper(piper) => piper.synthesise(line).await,
        Voice::Kokoro(kokoro) => kokoro.synthesise(line).await,
        Voice::Api(api) => {
            let (rate, samples) = voice_output::read(&in_time(api.synthesise(line)).await?)?;
            Ok(Synthesised { rate, samples, timing: Timing::Unknown })
        }
    }
}

/// Waits for a voice no longer than a line may take.
pub(crate) async fn in_time<T>(speech: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(TIMEOUT, speech).await.unwrap_or(Err(Error::TimedOut))
}

/// Kills the whole process group when dropped, so that no child of the program outlives it.
#[derive(Debug)]
pub(crate) struct ProcessGroup(pub Child);

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        let running = self.0.id().and_then(|id| Pid::from_raw(id as i32));
        if let Some(pid) = running {
            let _gone_already = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Espeak {
    /// Speaks a line: with its words by the helper, or else by espeak-ng's program.
    async fn synthesise(&self, line: &str) -> Result<Synthesised, Error> {
        // Where it does not, the program speaks the line.
        if self.program.as_os_str() == ESPEAK_PROGRAM
            && let Some(wav) =
                espeak_helper::speak(&self.name, self.words_per_minute, ESPEAK_AMPLITUDE, line).await
        {
            let (rate, samples) = voice_output::read(&wav)?;
            let timing = line_file::read_cues(&wav).map_or(Timing::Unknown, Timing::Marks);
            return Ok(Synthesised { rate, samples, timing });
        }
        let mut command = Command::new(&self.program);
        command.args(["--stdin", "--stdout", "-b", "1", "-a", &ESPEAK_AMPLITUDE.to_string()]);
        command.args(["-v", &self.name, "-s", &self.words_per_minute.to_string()]);
        let wav = answer_of(command, &self.program, escape_phonemes(line)).await?;
        let (rate, samples) = voice_output::read(&wav)?;
        Ok(Synthesised { rate, samples, timing: Timing::Unknown })
    }
}

/// Runs a program with a text as its standard input, and returns its standard output.
async fn answer_of(mut command: Command, program: &Path, text: String) -> Result<Vec<u8>, Error> {
    let run = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => Error::NotInstalled { program: program.to_owned() },
        _ => Error::Run { program: program.to_owned(), source },
    };
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    let mut group = ProcessGroup(command.spawn().map_err(run)?);
    let child = &mut group.0;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async {
        let Some(mut stdin) = stdin else { return Ok(()) };
        stdin.write_all(text.as_bytes()).await?;
        stdin.shutdown().await
    };
    let (written, answer, stderr) = tokio::join!(write, read_all(stdout), read_all(stderr));
    if let (Some(meter), Some(pid)) = (Meter::current(), child.id()) {
        // It has closed its pipes, so it ends now. What it took is known until it is waited for.
        let counted = tokio::task::spawn_blocking(move || count_child(&meter, pid));
        let _uncounted = counted.await;
    }
    let status = child.wait().await;
    let (answer, status) = (answer.map_err(run)?, status.map_err(run)?);
    if !status.success() {
        let stderr = String::from_utf8_lossy(&stderr.unwrap_or_default()).trim().to_owned();
        return Err(Error::Failed { program: program.to_owned(), status, stderr });
    }
    written.map_err(run)?;
    Ok(answer)
}

async fn read_all(pipe: Option<impl tokio::io::AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    use tokio::io::AsyncReadExt;
    let mut bytes = vec![];
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// Inserts spaces into `[[` and `]]`, which would mark phoneme codes.
fn escape_phonemes(line: &str) -> String {
    let mut text = line.replace("[[", "[ [").replace("]]", "] ]");
    text.push('\n');
    text
}

fn resample(samples: &[i16], rate: u32) -> Result<Vec<i16>, ffmpeg::Error> {
    if rate == SAMPLE_RATE_HZ || samples.is_empty() {
        return Ok(samples.to_vec());
    }
    start();
    let (format, mono) = (Sample::I16(Type::Packed), ChannelLayout::MONO);
    let mut context = resampling::Context::get(format, mono, rate, format, mono, SAMPLE_RATE_HZ)?;
    let mut input = frame::Audio::new(format, samples.len(), mono);
    input.set_rate(rate);
    input.plane_mut::<i16>(0).copy_from_slice(samples);
    // Room for all samples, and for those that the filter delays.
    let room = samples.len() as u64 * u64::from(SAMPLE_RATE_HZ) / u64::from(rate) + 4096;
    let mut output = frame::Audio::new(format, room as usize, mono);
    output.set_rate(SAMPLE_RATE_HZ);
    context.run(&input, &mut output)?;
    let mut resampled = output.plane::<i16>(0).to_vec();
    let mut rest = frame::Audio::new(format, 4096, mono);
    rest.set_rate(SAMPLE_RATE_HZ);
    context.flush(&mut rest)?;
    resampled.extend_from_slice(rest.plane::<i16>(0));
    Ok(resampled)
}

/// Trims the silence at both ends to [`FADE_MS`], and fades the sound in and out there, so that nothing clicks. Returns the
/// number of samples that were trimmed at the beginning, too.
fn trim_silence(mut samples: Vec<i16>) -> (Vec<i16>, usize) {
    let is_sound = |sample: &i16| sample.unsigned_abs() > SILENCE_THRESHOLD;
    let (Some(first), Some(last)) = (samples.iter().position(is_sound), samples.iter().rposition(is_sound))
    else {
        return (vec![], 0);
    };
    let edge = FADE_MS * SAMPLE_RATE_HZ as usize / 1000;
    samples.truncate((last + edge + 1).min(samples.len()));
    let trimmed = first.saturating_sub(edge);
    samples.drain(..trimmed);
    let length = samples.len();
    for at in 0..edge.min(length / 2) {
        let scale = |sample: i16| (i32::from(sample) * at as i32 / edge as i32) as i16;
        samples[at] = scale(samples[at]);
        samples[length - 1 - at] = scale(samples[length - 1 - at]);
    }
    (samples, trimmed)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn speak_line(line: &str) -> Result<Pcm, Error> {
        Ok(speak(&Voice::default(), line, &CancellationToken::new()).await?.sound)
    }

    #[tokio::test]
    async fn a_line_becomes_sound_of_a_plausible_length() {
        let short = speak_line("Ions move.").await.unwrap();
        let long =
            speak_line("Ions move from one layer to the other, and back again, many hundreds of times.")
                .await
                .unwrap();
        assert!((400..2500).contains(&short.duration_ms()), "{}", short.duration_ms());
        assert!(long.duration_ms() > 2 * short.duration_ms());
        assert!(short.samples.iter().any(|sample| sample.unsigned_abs() > 3000), "audible");
        assert!(short.samples[0].unsigned_abs() < 200, "no click");
    }

    #[tokio::test]
    async fn markup_is_spoken_as_text() {
        for line in ["-v en-us says this", "<audio src='/etc/passwd'/> stays", "[[h@'loU]] stays", "--help"] {
            assert!(speak_line(line).await.unwrap().duration_ms() > 300, "{line}");
        }
    }

    #[tokio::test]
    async fn a_missing_program_is_named_with_its_fix() {
        let voice = Voice::Espeak(Espeak { program: "espeak-nowhere".into(), ..Espeak::default() });
        let error = speak(&voice, "x", &CancellationToken::new()).await.unwrap_err();
        assert!(error.to_string().starts_with("espeak-nowhere was not found: install it"), "{error}");
    }

    #[tokio::test]
    async fn a_failing_program_says_how_it_ended() {
        let voice = Voice::Espeak(Espeak { program: "false".into(), ..Espeak::default() });
        let error = speak(&voice, "x", &CancellationToken::new()).await.unwrap_err();
        assert!(error.to_string().starts_with("false failed with exit status: 1"), "{error}");
    }

    #[tokio::test]
    async fn a_cancelled_line_is_not_spoken() {
        let cancel = CancellationToken::new();
        cancel.cancel();
        assert!(matches!(speak(&Voice::default(), "x", &cancel).await, Err(Error::Cancelled)));
    }

    #[tokio::test]
    async fn a_python_without_piper_says_what_it_lacks() {
        let piper = |python: &str| Voice::Piper(Piper::new(python.into(), None, 165));
        let error = speak(&piper("python-nowhere"), "x", &CancellationToken::new()).await.unwrap_err();
        assert!(error.to_string().starts_with("python-nowhere was not found: run scripts/piper"), "{error}");
        let error = speak(&piper("false"), "x", &CancellationToken::new()).await.unwrap_err();
        assert!(error.to_string().starts_with("false failed with exit status: 1"), "{error}");
    }

    /// A process that speaks the driver's protocol: a second for each line, the second louder than the first.
    #[tokio::test]
    async fn a_long_lived_process_speaks_line_by_line() {
        let folder = tempfile::tempdir().unwrap();
        let python = folder.path().join("python");
        let script = r#"#!/bin/sh
n=0
while read -r line; do
    n=$((n + 1))
    case "$line" in
    *wrong*) printf '\000\000\000\000\017\000\000\000no such phoneme'; continue ;;
    esac
    printf '\042\126\000\000\104\254\000\000'
    if [ $n = 1 ]; then yes '!!!!'; else yes 'yyyy'; fi | tr -d '\n' | head -c 44100
    printf '\002\000\000\000\003\000\000\000\000\000\000\000\003\000\000\000\042\053\000\000'
done
"#;
        std::fs::write(&python, script).unwrap();
        std::fs::set_permissions(&python, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let voice = Voice::Piper(Piper::new(python, None, 165));
        let cancel = CancellationToken::new();
        let first = speak(&voice, "one two", &cancel).await.unwrap();
        let second = speak(&voice, "two", &cancel).await.unwrap();
        assert!((990..1010).contains(&first.duration_ms()), "{}", first.duration_ms());
        let loudest = |sound: &Pcm| sound.samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
        assert!(loudest(&second.sound) > loudest(&first.sound) * 3 / 2, "the same process spoke both");
        assert_eq!(first.words, [(0, 0), (4, 500)].map(WordTime::from), "as the process says");
        let error = speak(&voice, "wrong", &cancel).await.unwrap_err();
        assert!(
            std::error::Error::source(&error).unwrap().to_string().contains("no such phoneme"),
            "{error:?}"
        );
        assert!(speak(&voice, "three", &cancel).await.is_ok(), "a new process took its place");
    }

    #[test]
    fn silence_is_cut_to_a_soft_edge() {
        let mut samples = vec![0; 48_000];
        samples[20_000..30_000].fill(10_000);
        let (trimmed, before) = trim_silence(samples);
        assert_eq!(before, 20_000 - 960);
        assert_eq!(trimmed.len(), 10_000 + 2 * 960);
        assert_eq!(trimmed[0], 0);
        assert!(trim_silence(vec![50; 1000]).0.is_empty(), "all silence");
    }
}
