//! Joins scenes into one video. Pictures are copied as they are.
//!
//! In MP4 and MOV sound is copied, too; by AAC frames of 1024 samples, of which no scene has a whole
//! number: each scene begins at the frame nearest to it, at most 11 ms away, and never further, however many
//! scenes there are. A scene begins and ends in silence, so that nothing is cut; the first frame of each,
//! which only leads the decoder in, takes the place of the last of the scene before. WebM and AVI, which take no AAC,
//! have the narration of all scenes encoded as one sound.

use std::path::{Path, PathBuf};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::context::{Input, Output};
use ffmpeg_next::format::stream::Stream;
use ffmpeg_next::{Dictionary, Packet, Rational, codec, media, packet};
use tokio_util::sync::CancellationToken;

use crate::encode::h264;
use crate::encode::sound::{self, AAC_FRAME_SAMPLES, SoundCodec, SoundEncoder};
use crate::ffmpeg::{
    create, extradata, part_file, read_packet, set_headers, start, write_header, write_packet,
};
use crate::join::captions::{Caption, Chapter};
use crate::join::stream;
use crate::speak::timeline;
use reel_scene::format::OutputFormat;

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
    #[error("the narration of scene {} cannot be read", scene + 1)]
    Sound { scene: usize, source: timeline::Error },
    #[error("the pictures of scene {} cannot be packed anew", scene + 1)]
    Pictures { scene: usize, source: h264::Error },
    #[error("cannot {attempted}")]
    Output { attempted: &'static str, source: ffmpeg::Error },
    #[error("cannot write {}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("cancelled")]
    Cancelled,
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

/// What a video is joined of: one of each for every scene.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// As `encode_scene` wrote them, with the codec of the format.
    pub clips: &'a [PathBuf],
    /// WAV files, as `timeline::write_wav` wrote them.
    pub sounds: &'a [PathBuf],
    pub format: OutputFormat,
}

/// Writes the video to `out`, which appears when it is whole. `on_progress` counts scenes.
pub fn combine(
    parts: Parts<'_>,
    labels: Labels<'_>,
    out: &Path,
    on_progress: &mut dyn FnMut(u64, u64),
    cancel: &CancellationToken,
) -> Result<Combined, Error> {
    start();
    let first = open(parts.clips.first().ok_or(Error::NoScenes)?, 0)?;
    let file = |source| Error::File { path: out.to_owned(), source };
    let part = part_file(out).map_err(file)?;
    let mut joiner = Joiner::open(&part, &first, parts.format, labels)?;
    drop(first);
    let scenes = parts.clips.len();
    for (scene, (clip, sound)) in parts.clips.iter().zip(parts.sounds).enumerate() {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        joiner.append(scene, (clip, sound), scene + 1 == scenes)?;
        on_progress(scene as u64 + 1, scenes as u64);
    }
    if joiner.has_captions {
        joiner.write_captions(labels.captions)?;
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
    format: OutputFormat,
    has_captions: bool,
    frames: u64,
    sound: Sound,
}

/// Where sound comes from.
enum Sound {
    /// From the clips; the number of AAC frames written.
    Copied(u64),
    /// From the narration; samples still to be left out, since the decoder adds as many.
    Encoded { encoder: SoundEncoder, early: usize },
}

impl Sound {
    fn of(format: OutputFormat) -> Result<Self, ffmpeg::Error> {
        let codec = match format {
            OutputFormat::Mp4 | OutputFormat::Mov => return Ok(Sound::Copied(0)),
            OutputFormat::Webm => SoundCodec::Opus,
            OutputFormat::Avi => SoundCodec::Mp3,
        };
        let encoder = SoundEncoder::open(codec)?;
        // WebM tells a decoder's delay; AVI does not, and every scene begins with silence enough.
        let early = if format == OutputFormat::Avi { encoder.delay() } else { 0 };
        Ok(Sound::Encoded { encoder, early })
    }
}

impl Joiner {
    fn open(path: &Path, first: &Input, format: OutputFormat, labels: Labels<'_>) -> Result<Self, Error> {
        let video = video_of(first, 0)?;
        let fps = video.avg_frame_rate();
        let setup = decoder_setup(first, 0)?;
        let mut output = create(path, format).map_err(at("open the video's file"))?;
        let mut copy = output.add_stream(encoder_of(&video)).map_err(at("add the pictures"))?;
        copy.set_parameters(parameters(&video));
        copy.set_time_base(fps.invert());
        copy.set_avg_frame_rate(fps);
        if format == OutputFormat::Avi {
            set_headers(&mut copy, &[]).map_err(at("set the video stream's headers"))?;
        }
        let sound = Sound::of(format).map_err(at("open the sound's encoder"))?;
        match &sound {
            Sound::Copied(_) => {
                let audio = audio_of(first, 0)?;
                let mut copy = output.add_stream(encoder_of(&audio)).map_err(at("add the sound"))?;
                copy.set_parameters(parameters(&audio));
                copy.set_time_base(sound::TIME_BASE);
            }
            Sound::Encoded { encoder, .. } => {
                output.add_stream_with(encoder.context()).map_err(at("add the sound"))?;
            }
        }
        let has_captions = !labels.captions.is_empty() && matches!(sound, Sound::Copied(_));
        if has_captions {
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
        write_header(&mut output, format).map_err(at("write the video's header"))?;
        Ok(Self { output, fps, setup, format, has_captions, frames: 0, sound })
    }

    fn append(
        &mut self,
        scene: usize,
        (clip, narration): (&Path, &Path),
        is_last: bool,
    ) -> Result<(), Error> {
        let mut input = open(clip, scene)?;
        if decoder_setup(&input, scene)? != self.setup {
            return Err(Error::Differs { scene });
        }
        // Pictures and sound wait in the muxer for each other, so whichever comes first waits.
        self.append_narration(scene, narration, is_last)?;
        let video = video_of(&input, scene)?.index();
        let audio = match self.sound {
            Sound::Copied(_) => Some(audio_of(&input, scene)?.index()),
            Sound::Encoded { .. } => None,
        };
        let mut sounds = vec![];
        let cannot = |source| Error::Scene { attempted: "read the clip", scene, source };
        while let Some(packet) = read_packet(&mut input).map_err(cannot)? {
            if packet.stream() == video {
                self.write_picture(scene, packet)?;
            } else if Some(packet.stream()) == audio {
                sounds.push(packet);
            }
        }
        self.copy_sounds(sounds, is_last)
    }

    /// The scene's own frames, up to where the next begins; the last scene has no next.
    fn copy_sounds(&mut self, sounds: Vec<Packet>, is_last: bool) -> Result<(), Error> {
        let end = self.sound_frames();
        let Sound::Copied(written) = self.sound else { return Ok(()) };
        let own = if is_last { sounds.len() } else { end.saturating_sub(written) as usize };
        for (number, mut sound) in (written..).zip(sounds.into_iter().take(own)) {
            // The first frame of all stands before the beginning: it is what a decoder needs to begin.
            let length = AAC_FRAME_SAMPLES as i64;
            let time = (number as i64 - 1) * length;
            self.write(&mut sound, AUDIO, time, length, sound::TIME_BASE)?;
            self.sound = Sound::Copied(number + 1);
        }
        Ok(())
    }

    fn append_narration(&mut self, scene: usize, narration: &Path, is_last: bool) -> Result<(), Error> {
        let Sound::Encoded { encoder, early } = &mut self.sound else { return Ok(()) };
        let sound = timeline::read_wav(narration).map_err(|source| Error::Sound { scene, source })?;
        let skipped = (*early).min(sound.samples.len());
        *early -= skipped;
        let mut packets = encoder.push(&sound.samples[skipped..]).map_err(at("encode the narration"))?;
        if is_last {
            packets.extend(encoder.finish().map_err(at("encode the narration"))?);
        }
        packets.iter_mut().try_for_each(|packet| {
            write_packet(&mut self.output, packet, AUDIO, sound::TIME_BASE).map_err(at("write the video"))
        })
    }

    /// AAC frames that last as long as the pictures so far, to the nearest.
    fn sound_frames(&self) -> u64 {
        stream::sound_frames(self.frames, self.fps)
    }

    /// Pictures come in the order in which they are shown, one every frame: counting them gives exact
    /// times, whatever the clip's own clock.
    fn write_picture(&mut self, scene: usize, mut packet: Packet) -> Result<(), Error> {
        let time = self.frames as i64;
        self.frames += 1;
        if self.format == OutputFormat::Avi {
            let headers = packet.is_key().then_some(self.setup.as_slice());
            let bytes = h264::byte_stream(packet.data().unwrap_or_default(), headers)
                .map_err(|source| Error::Pictures { scene, source })?;
            let mut packed = Packet::copy(&bytes);
            packed.set_flags(packet.flags());
            packet = packed;
        }
        self.write(&mut packet, VIDEO, time, 1, self.fps.invert())
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

fn encoder_of(stream: &Stream<'_>) -> Option<ffmpeg::Codec> {
    ffmpeg::encoder::find(stream.parameters().id())
}

/// A stream's parameters for a container of another kind, which has its own name for the codec.
fn parameters(stream: &Stream<'_>) -> codec::Parameters {
    let mut parameters = stream.parameters();
    // SAFETY: `parameters` owns the struct.
    unsafe {
        (*parameters.as_mut_ptr()).codec_tag = 0;
    }
    parameters
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
