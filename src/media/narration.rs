//! Speaking a line with espeak-ng, and measuring it.

use std::io;
use std::path::PathBuf;
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

use super::ffmpeg::start;

/// Of all sound between here and the finished file.
pub const SAMPLE_RATE_HZ: u32 = 48_000;

/// A line takes a few hundredths of a second to speak; one that takes this long never ends.
const PATIENCE: Duration = Duration::from_secs(60);
/// What counts as silence at a line's ends.
const SILENCE: u16 = 120;
/// How much of it stays, and how long the sound takes to rise and fall there.
const EDGE_MS: usize = 20;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} was not found: install it with `apt-get install espeak-ng`, or name it in ESPEAK_PROGRAM", program.display())]
    NotInstalled { program: PathBuf },
    #[error("{} cannot be run", program.display())]
    Run { program: PathBuf, source: io::Error },
    #[error("{} failed with {status}: {stderr}", program.display())]
    Failed { program: PathBuf, status: std::process::ExitStatus, stderr: String },
    #[error("the speech of a line did not end within {} s", PATIENCE.as_secs())]
    TimedOut,
    #[error("the synthesiser gave no sound for {line:?}")]
    Silent { line: String },
    #[error("the sound cannot be resampled")]
    Resample(#[source] ffmpeg::Error),
    #[error("cancelled")]
    Cancelled,
}

#[derive(Debug, Clone)]
pub struct Voice {
    pub program: PathBuf,
    /// As `espeak-ng --voices` lists it.
    pub name: String,
    pub words_per_minute: u32,
}

impl Default for Voice {
    fn default() -> Self {
        Self { program: "espeak-ng".into(), name: "en-us".to_owned(), words_per_minute: 165 }
    }
}

/// Sound: mono, 16 bit, [`SAMPLE_RATE_HZ`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pcm {
    pub samples: Vec<i16>,
}

impl Pcm {
    pub fn duration_ms(&self) -> u32 {
        (self.samples.len() as u64 * 1000 / u64::from(SAMPLE_RATE_HZ)) as u32
    }
}

/// The line as sound, without silence around it. The synthesiser's process group is killed when the
/// line is cancelled, takes too long, or the future is dropped.
pub async fn speak(voice: &Voice, line: &str, cancel: &CancellationToken) -> Result<Pcm, Error> {
    let wav = tokio::select! {
        () = cancel.cancelled() => return Err(Error::Cancelled),
        () = tokio::time::sleep(PATIENCE) => return Err(Error::TimedOut),
        wav = synthesise(voice, line) => wav?,
    };
    let (rate, samples) = read_streamed_wav(&wav);
    let samples = resample(&samples, rate).map_err(Error::Resample)?;
    let samples = trimmed(samples);
    if samples.is_empty() {
        return Err(Error::Silent { line: line.to_owned() });
    }
    Ok(Pcm { samples })
}

/// Kills the whole group when dropped, so that nothing the program started outlives it.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        let running = self.0.id().and_then(|id| Pid::from_raw(id as i32));
        if let Some(pid) = running {
            let _gone_already = kill_process_group(pid, Signal::KILL);
        }
    }
}

async fn synthesise(voice: &Voice, line: &str) -> Result<Vec<u8>, Error> {
    let run = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => Error::NotInstalled { program: voice.program.clone() },
        _ => Error::Run { program: voice.program.clone(), source },
    };
    let mut command = Command::new(&voice.program);
    // Amplitude 85 leaves headroom: at the default of 100, resampling overshoots into clipping.
    command.args(["--stdin", "--stdout", "-b", "1", "-a", "85", "-v", &voice.name]);
    command.args(["-s", &voice.words_per_minute.to_string()]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    let mut group = Group(command.spawn().map_err(run)?);
    let child = &mut group.0;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let text = speakable(line);
    let write = async {
        let Some(mut stdin) = stdin else { return Ok(()) };
        stdin.write_all(text.as_bytes()).await?;
        stdin.shutdown().await
    };
    let (written, wav, complaint, status) =
        tokio::join!(write, read_all(stdout), read_all(stderr), child.wait());
    let (wav, status) = (wav.map_err(run)?, status.map_err(run)?);
    if !status.success() {
        let stderr = String::from_utf8_lossy(&complaint.unwrap_or_default()).trim().to_owned();
        return Err(Error::Failed { program: voice.program.clone(), status, stderr });
    }
    written.map_err(run)?;
    Ok(wav)
}

async fn read_all(pipe: Option<impl tokio::io::AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    use tokio::io::AsyncReadExt;
    let mut bytes = vec![];
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// `[[` begins phoneme codes; a blank between the brackets makes them text again.
fn speakable(line: &str) -> String {
    let mut text = line.replace("[[", "[ [").replace("]]", "] ]");
    text.push('\n');
    text
}

/// Rate and samples of a WAV whose length fields were written before the length was known: 16-bit
/// mono after the `data` header, to the end.
fn read_streamed_wav(wav: &[u8]) -> (u32, Vec<i16>) {
    let header = wav.windows(4).position(|window| window == b"data").map(|at| at + 8);
    let rate = wav.get(24..28).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
    let sound = header.and_then(|start| wav.get(start..)).unwrap_or_default();
    let samples = sound.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    (rate.unwrap_or(SAMPLE_RATE_HZ), samples)
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
    // Room for everything at once, and for what the filter holds back.
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

/// Cuts silence from both ends but for a short edge, and lets the sound rise and fall there, so that
/// nothing clicks.
fn trimmed(mut samples: Vec<i16>) -> Vec<i16> {
    let is_sound = |sample: &i16| sample.unsigned_abs() > SILENCE;
    let (Some(first), Some(last)) = (samples.iter().position(is_sound), samples.iter().rposition(is_sound))
    else {
        return vec![];
    };
    let edge = EDGE_MS * SAMPLE_RATE_HZ as usize / 1000;
    samples.truncate((last + edge + 1).min(samples.len()));
    samples.drain(..first.saturating_sub(edge));
    let length = samples.len();
    for at in 0..edge.min(length / 2) {
        let scale = |sample: i16| (i32::from(sample) * at as i32 / edge as i32) as i16;
        samples[at] = scale(samples[at]);
        samples[length - 1 - at] = scale(samples[length - 1 - at]);
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn spoken(line: &str) -> Result<Pcm, Error> {
        speak(&Voice::default(), line, &CancellationToken::new()).await
    }

    #[tokio::test]
    async fn a_line_becomes_sound_of_a_plausible_length() {
        let short = spoken("Ions move.").await.unwrap();
        let long = spoken("Ions move from one layer to the other, and back again, many hundreds of times.")
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
            assert!(spoken(line).await.unwrap().duration_ms() > 300, "{line}");
        }
    }

    #[tokio::test]
    async fn a_missing_program_is_named_with_its_cure() {
        let voice = Voice { program: "espeak-nowhere".into(), ..Voice::default() };
        let error = speak(&voice, "x", &CancellationToken::new()).await.unwrap_err();
        assert!(error.to_string().starts_with("espeak-nowhere was not found: install it"), "{error}");
    }

    #[tokio::test]
    async fn a_failing_program_says_how_it_ended() {
        let voice = Voice { program: "false".into(), ..Voice::default() };
        let error = speak(&voice, "x", &CancellationToken::new()).await.unwrap_err();
        assert!(error.to_string().starts_with("false failed with exit status: 1"), "{error}");
    }

    #[tokio::test]
    async fn a_cancelled_line_is_not_spoken() {
        let cancel = CancellationToken::new();
        cancel.cancel();
        assert!(matches!(speak(&Voice::default(), "x", &cancel).await, Err(Error::Cancelled)));
    }

    #[test]
    fn silence_is_cut_to_a_soft_edge() {
        let mut samples = vec![0; 48_000];
        samples[20_000..30_000].fill(10_000);
        let kept = trimmed(samples);
        assert_eq!(kept.len(), 10_000 + 2 * 960);
        assert_eq!(kept[0], 0);
        assert!(trimmed(vec![50; 1000]).is_empty(), "all silence");
    }
}
