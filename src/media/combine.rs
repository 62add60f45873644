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
use ffmpeg_next::{Dictionary, Packet, Rational, codec, media, packet};
use tokio_util::sync::CancellationToken;

use super::aac;
use super::captions::{Caption, Chapter};
use super::ffmpeg::{
    create_mp4, extradata, is_disk_full, part_file, set_headers, start, write_fast_start_header, write_packet,
};
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
const CAPTIONS: usize = 2;
const MILLISECONDS: Rational = Rational(1, 1000);
/// How captions are shown unless the player knows better (3GPP TS 26.245, section 5.16): in the middle below, white,
/// 18 pixels, in the first of one font.
const TEXT_STYLE: [u8; 48] = *b"\0\0\0\0\x01\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x12\xff\xff\xff\xff\0\0\0\x12ftab\0\x01\0\x01\x05Serif";

/// What a file tells of itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Labels<'a> {
    pub title: &'a str,
    pub chapters: &'a [Chapter],
    /// A track of captions, where there are any.
    pub captions: &'a [Caption],
}

/// Writes the video of `scenes`, as `encode_scene` wrote them, to `out`, which appears when it is whole. `on_progress` counts scenes.
pub fn combine(
    scenes: &[PathBuf],
    labels: Labels<'_>,
    out: &Path,
    on_progress: &mut dyn FnMut(u64, u64),
    cancel: &CancellationToken,
) -> Result<Combined, Error> {
    start();
    let first = open(scenes.first().ok_or(Error::NoScenes)?, 0)?;
    let file = |source| Error::File { path: out.to_owned(), source };
    let part = part_file(out).map_err(file)?;
    let mut joiner = Joiner::open(&part, &first, labels)?;
    drop(first);
    for (scene, source) in scenes.iter().enumerate() {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        joiner.append(scene, source, scene + 1 == scenes.len())?;
        on_progress(scene as u64 + 1, scenes.len() as u64);
    }
    joiner.write_captions(labels.captions)?;
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
    fn open(path: &Path, first: &Input, labels: Labels<'_>) -> Result<Self, Error> {
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
        if !labels.captions.is_empty() {
            let mut track = output.add_stream(codec::Id::MOV_TEXT).map_err(at("add the captions"))?;
            let mut parameters = codec::Parameters::new();
            parameters.set_medium(media::Type::Subtitle);
            parameters.set_id(codec::Id::MOV_TEXT);
            track.set_parameters(parameters);
            track.set_time_base(MILLISECONDS);
            set_headers(&mut track, &TEXT_STYLE).map_err(at("set the style of the captions"))?;
        }
        for (id, chapter) in (0..).zip(labels.chapters) {
            let (start, end) = (chapter.start_ms as i64, chapter.end_ms as i64);
            output.add_chapter(id, MILLISECONDS, start, end, &chapter.title).map_err(at("add a chapter"))?;
        }
        let mut metadata = Dictionary::new();
        metadata.set("title", labels.title);
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

    /// Each is its length in bytes, and the text (3GPP TS 26.245, section 5.17).
    fn write_captions(&mut self, captions: &[Caption]) -> Result<(), Error> {
        for caption in captions {
            let length = u16::try_from(caption.text.len()).unwrap_or(u16::MAX);
            let text = &caption.text.as_bytes()[..usize::from(length)];
            let mut packet = Packet::copy(&[&length.to_be_bytes(), text].concat());
            packet.set_flags(packet::Flags::KEY);
            let duration = caption.end_ms - caption.start_ms;
            self.write(&mut packet, CAPTIONS, caption.start_ms as i64, duration as i64, MILLISECONDS)?;
        }
        Ok(())
    }

    fn write(
        &mut self,
        packet: &mut Packet,
        stream: usize,
        time: i64,
        duration: i64,
        time_base: Rational,
    ) -> Result<(), Error> {
        packet.set_pts(Some(time));
        packet.set_dts(Some(time));
        packet.set_duration(duration);
        write_packet(&mut self.output, packet, stream, time_base).map_err(at("write the video"))
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
