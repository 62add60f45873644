//! Joins scenes into one video, without encoding anything again.
//!
//! Pictures are copied as they are. Sound is copied by AAC frames of 1024 samples, of which no scene has a whole
//! number: each scene begins at the frame nearest to it, at most 11 ms away, and never further, however many
//! scenes there are. A scene begins and ends in silence, so that nothing is cut; the first frame of each,
//! which only leads the decoder in, takes the place of the last of the scene before.

use std::path::{Path, PathBuf};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::context::{Input, Output};
use ffmpeg_next::format::stream::Stream;
use ffmpeg_next::{Dictionary, Packet, Rational, media};
use tokio_util::sync::CancellationToken;

use super::aac;
use super::ffmpeg::{create_mp4, extradata, is_disk_full, part_file, start, write_fast_start_header};
use super::narration::SAMPLE_RATE_HZ;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is nothing to combine")]
    NoScenes,
    #[error("cannot {attempted} of scene {}", scene + 1)]
    Scene { attempted: &'static str, scene: usize, source: ffmpeg::Error },
    #[error("scene {} has no {kind} stream", scene + 1)]
    NoStream { kind: &'static str, scene: usize },
    #[error("scene {} was encoded with other settings than the first", scene + 1)]
    Differs { scene: usize },
    #[error("cannot {attempted}")]
    Output { attempted: &'static str, source: ffmpeg::Error },
    #[error("cannot write {}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    pub fn is_disk_full(&self) -> bool {
        match self {
            Error::Output { source, .. } => is_disk_full(source),
            Error::File { source, .. } => source.kind() == std::io::ErrorKind::StorageFull,
            _ => false,
        }
    }
}

fn at(attempted: &'static str) -> impl FnOnce(ffmpeg::Error) -> Error {
    move |source| Error::Output { attempted, source }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Combined {
    pub frames: u64,
    pub duration_ms: u64,
    pub bytes: u64,
}

const VIDEO: usize = 0;
const AUDIO: usize = 1;

/// Writes the video of `scenes`, as `encode_scene` wrote them, to `out`, which appears when it is whole. `on_progress` counts scenes.
pub fn combine(
    scenes: &[PathBuf],
    title: &str,
    out: &Path,
    on_progress: &mut dyn FnMut(u64, u64),
    cancel: &CancellationToken,
) -> Result<Combined, Error> {
    start();
    let first = open(scenes.first().ok_or(Error::NoScenes)?, 0)?;
    let file = |source| Error::File { path: out.to_owned(), source };
    let part = part_file(out).map_err(file)?;
    let mut joiner = Joiner::open(&part, &first, title)?;
    drop(first);
    for (scene, source) in scenes.iter().enumerate() {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        joiner.append(scene, source, scene + 1 == scenes.len())?;
        on_progress(scene as u64 + 1, scenes.len() as u64);
    }
    let (frames, fps) = joiner.finish()?;
    let bytes = std::fs::metadata(&part).map_err(file)?.len();
    part.persist(out).map_err(|error| file(error.error))?;
    let duration_ms = frames * 1000 * fps.denominator() as u64 / fps.numerator() as u64;
    Ok(Combined { frames, duration_ms, bytes })
}

fn open(scene_file: &Path, scene: usize) -> Result<Input, Error> {
    let cannot = |source| Error::Scene { attempted: "open the clip", scene, source };
    ffmpeg::format::input(scene_file).map_err(cannot)
}

fn video_of(input: &Input, scene: usize) -> Result<Stream<'_>, Error> {
    input.streams().best(media::Type::Video).ok_or(Error::NoStream { kind: "video", scene })
}

fn audio_of(input: &Input, scene: usize) -> Result<Stream<'_>, Error> {
    input.streams().best(media::Type::Audio).ok_or(Error::NoStream { kind: "audio", scene })
}

struct Joiner {
    output: Output,
    /// Frames per second.
    fps: Rational,
    /// The decoder's setup, which all scenes must share.
    setup: Vec<u8>,
    frames: u64,
    /// AAC frames.
    sounds: u64,
}

impl Joiner {
    fn open(path: &Path, first: &Input, title: &str) -> Result<Self, Error> {
        let (video, audio) = (video_of(first, 0)?, audio_of(first, 0)?);
        let fps = video.avg_frame_rate();
        let mut output = create_mp4(path).map_err(at("open the video's file"))?;
        for (stream, time_base) in [(video, fps.invert()), (audio, aac::TIME_BASE)] {
            let encoder = ffmpeg::encoder::find(stream.parameters().id());
            let mut copy = output.add_stream(encoder).map_err(at("add a stream"))?;
            copy.set_parameters(stream.parameters());
            copy.set_time_base(time_base);
            if time_base == fps.invert() {
                copy.set_avg_frame_rate(fps);
            }
        }
        let mut metadata = Dictionary::new();
        metadata.set("title", title);
        output.set_metadata(metadata);
        write_fast_start_header(&mut output).map_err(at("write the video's header"))?;
        Ok(Self { output, fps, setup: decoder_setup(first, 0)?, frames: 0, sounds: 0 })
    }

    fn append(&mut self, scene: usize, part: &Path, is_last: bool) -> Result<(), Error> {
        let mut input = open(part, scene)?;
        if decoder_setup(&input, scene)? != self.setup {
            return Err(Error::Differs { scene });
        }
        let (video, audio) = (video_of(&input, scene)?.index(), audio_of(&input, scene)?.index());
        let mut sounds = vec![];
        let mut packet = Packet::empty();
        loop {
            match packet.read(&mut input) {
                Ok(()) if packet.stream() == video => self.write_picture(&mut packet)?,
                Ok(()) if packet.stream() == audio => sounds.push(packet.clone()),
                Ok(()) => {}
                Err(ffmpeg::Error::Eof) => break,
                Err(source) => return Err(Error::Scene { attempted: "read the clip", scene, source }),
            }
        }
        // The scene's own frames, up to where the next begins; the last scene has no next.
        let end = self.sound_frames();
        let own = if is_last { sounds.len() } else { end.saturating_sub(self.sounds) as usize };
        sounds.into_iter().take(own).try_for_each(|sound| self.write_sound(sound))
    }

    /// AAC frames that last as long as the pictures so far, to the nearest.
    fn sound_frames(&self) -> u64 {
        let samples = self.frames * u64::from(SAMPLE_RATE_HZ) * self.fps.denominator() as u64;
        let a_frame = aac::FRAME_SAMPLES * self.fps.numerator() as u64;
        (samples + a_frame / 2) / a_frame
    }

    /// Pictures come in the order in which they are shown, one every frame: counting them gives exact
    /// times, whatever the clip's own clock.
    fn write_picture(&mut self, packet: &mut Packet) -> Result<(), Error> {
        let time = self.frames as i64;
        self.frames += 1;
        self.write(packet, VIDEO, time, 1, self.fps.invert())
    }

    /// The first frame of all stands before the beginning: it is what a decoder needs to begin.
    fn write_sound(&mut self, mut packet: Packet) -> Result<(), Error> {
        let length = aac::FRAME_SAMPLES as i64;
        let time = (self.sounds as i64 - 1) * length;
        self.sounds += 1;
        self.write(&mut packet, AUDIO, time, length, aac::TIME_BASE)
    }

    fn write(
        &mut self,
        packet: &mut Packet,
        stream: usize,
        time: i64,
        duration: i64,
        time_base: Rational,
    ) -> Result<(), Error> {
        let target = self.output.stream(stream).map_or(time_base, |stream| stream.time_base());
        packet.set_stream(stream);
        packet.set_pts(Some(time));
        packet.set_dts(Some(time));
        packet.set_duration(duration);
        packet.set_position(-1);
        packet.rescale_ts(time_base, target);
        packet.write_interleaved(&mut self.output).map_err(at("write the video"))
    }

    fn finish(mut self) -> Result<(u64, Rational), Error> {
        self.output.write_trailer().map_err(at("write the video's end"))?;
        Ok((self.frames, self.fps))
    }
}

/// Sequence and picture parameter sets of a clip.
fn decoder_setup(input: &Input, scene: usize) -> Result<Vec<u8>, Error> {
    let parameters = video_of(input, scene)?.parameters();
    // SAFETY: `parameters` owns the struct, and what it points to, while it is read.
    unsafe {
        let raw = &*parameters.as_ptr();
        Ok(extradata(raw.extradata, raw.extradata_size))
    }
}
