//! Joins scenes into one video. Pictures are copied as they are; the narration of all scenes is
//! encoded as one stream, so that no scene begins with the silence an AAC stream begins with.

use std::path::{Path, PathBuf};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::context::{Input, Output};
use ffmpeg_next::{Dictionary, Packet, Rational, media};
use tokio_util::sync::CancellationToken;

use super::aac::{self, AacEncoder};
use super::ffmpeg::{create_mp4, is_disk_full, part_file, start, write_fast_start_header};
use super::timeline;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is nothing to combine")]
    NoScenes,
    #[error("cannot {attempted} of scene {}", scene + 1)]
    Scene { attempted: &'static str, scene: usize, source: ffmpeg::Error },
    #[error("scene {} has no video stream", scene + 1)]
    NoVideo { scene: usize },
    #[error("scene {} was encoded with other settings than the first", scene + 1)]
    Differs { scene: usize },
    #[error("the narration of scene {} cannot be read", scene + 1)]
    Narration { scene: usize, source: timeline::Error },
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

#[derive(Debug, Clone)]
pub struct ScenePart {
    /// As `encode_scene` wrote it.
    pub video: PathBuf,
    /// WAV, as long as the video.
    pub narration: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Combined {
    pub frames: u64,
    pub duration_ms: u64,
    pub bytes: u64,
}

const VIDEO: usize = 0;
const AUDIO: usize = 1;

/// Writes the video to `out`, which appears when it is whole. `on_progress` counts scenes.
pub fn combine(
    scenes: &[ScenePart],
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
        joiner.append(scene, source)?;
        on_progress(scene as u64 + 1, scenes.len() as u64);
    }
    let (frames, fps) = joiner.finish()?;
    let bytes = std::fs::metadata(&part).map_err(file)?.len();
    part.persist(out).map_err(|error| file(error.error))?;
    let duration_ms = frames * 1000 * fps.denominator() as u64 / fps.numerator() as u64;
    Ok(Combined { frames, duration_ms, bytes })
}

fn open(part: &ScenePart, scene: usize) -> Result<Input, Error> {
    ffmpeg::format::input(&part.video).map_err(|source| Error::Scene {
        attempted: "open the clip",
        scene,
        source,
    })
}

fn video_of(input: &Input, scene: usize) -> Result<ffmpeg::format::stream::Stream<'_>, Error> {
    input.streams().best(media::Type::Video).ok_or(Error::NoVideo { scene })
}

struct Joiner {
    output: Output,
    audio: AacEncoder,
    /// Frames per second.
    fps: Rational,
    /// The decoder's setup, which all scenes must share.
    setup: Vec<u8>,
    frames: u64,
}

impl Joiner {
    fn open(path: &Path, first: &Input, title: &str) -> Result<Self, Error> {
        let video = video_of(first, 0)?;
        let fps = video.avg_frame_rate();
        let mut output = create_mp4(path).map_err(at("open the video's file"))?;
        let audio = AacEncoder::open().map_err(at("open the AAC encoder"))?;
        let encoder = ffmpeg::encoder::find(video.parameters().id());
        let mut stream = output.add_stream(encoder).map_err(at("add the video stream"))?;
        stream.set_parameters(video.parameters());
        stream.set_time_base(fps.invert());
        stream.set_avg_frame_rate(fps);
        output.add_stream_with(audio.context()).map_err(at("add the audio stream"))?;
        let mut metadata = Dictionary::new();
        metadata.set("title", title);
        output.set_metadata(metadata);
        write_fast_start_header(&mut output).map_err(at("write the video's header"))?;
        Ok(Self { output, audio, fps, setup: decoder_setup(first, 0)?, frames: 0 })
    }

    fn append(&mut self, scene: usize, part: &ScenePart) -> Result<(), Error> {
        let narration =
            timeline::read_wav(&part.narration).map_err(|source| Error::Narration { scene, source })?;
        let packets = self.audio.push(&narration.samples).map_err(at("encode the narration"))?;
        self.write_audio(packets)?;
        let mut input = open(part, scene)?;
        if decoder_setup(&input, scene)? != self.setup {
            return Err(Error::Differs { scene });
        }
        let video = video_of(&input, scene)?.index();
        let mut packet = Packet::empty();
        loop {
            match packet.read(&mut input) {
                Ok(()) if packet.stream() == video => self.write_picture(&mut packet)?,
                Ok(()) => {}
                Err(ffmpeg::Error::Eof) => return Ok(()),
                Err(source) => return Err(Error::Scene { attempted: "read the clip", scene, source }),
            }
        }
    }

    /// Pictures come in the order in which they are shown, one every frame: counting them gives exact
    /// times, whatever the clip's own clock.
    fn write_picture(&mut self, packet: &mut Packet) -> Result<(), Error> {
        packet.set_pts(Some(self.frames as i64));
        packet.set_dts(Some(self.frames as i64));
        packet.set_duration(1);
        packet.set_position(-1);
        self.frames += 1;
        self.write(packet, VIDEO, self.fps.invert())
    }

    fn write_audio(&mut self, packets: Vec<Packet>) -> Result<(), Error> {
        packets.into_iter().try_for_each(|mut packet| self.write(&mut packet, AUDIO, aac::TIME_BASE))
    }

    fn write(&mut self, packet: &mut Packet, stream: usize, time_base: Rational) -> Result<(), Error> {
        let target = self.output.stream(stream).map_or(time_base, |stream| stream.time_base());
        packet.set_stream(stream);
        packet.rescale_ts(time_base, target);
        packet.write_interleaved(&mut self.output).map_err(at("write the video"))
    }

    fn finish(mut self) -> Result<(u64, Rational), Error> {
        let packets = self.audio.finish().map_err(at("encode the narration"))?;
        self.write_audio(packets)?;
        self.output.write_trailer().map_err(at("write the video's end"))?;
        Ok((self.frames, self.fps))
    }
}

/// Sequence and picture parameter sets of a clip.
fn decoder_setup(input: &Input, scene: usize) -> Result<Vec<u8>, Error> {
    let parameters = video_of(input, scene)?.parameters();
    // SAFETY: `parameters` owns the struct while it is read, and FFmpeg keeps `extradata_size` bytes
    // at `extradata`, or none when it is null.
    unsafe {
        let raw = &*parameters.as_ptr();
        if raw.extradata.is_null() {
            return Ok(vec![]);
        }
        Ok(std::slice::from_raw_parts(raw.extradata, raw.extradata_size as usize).to_vec())
    }
}
