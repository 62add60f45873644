//! Joins scenes into one video, without encoding pictures again.
//!
//! MP4 and MOV copy the AAC frames of the clips. A frame has 1024 samples, and no scene is a whole number of frames long. So
//! each scene's sound begins at the nearest frame, at most 11 ms off, and the offsets do not add up. Scenes begin and end in
//! silence, so nothing audible is cut. The first frame of a scene, which only primes the decoder, replaces the last frame of
//! the scene before. WebM and AVI take no AAC: they encode the narration of all scenes as one sound.

use std::path::{Path, PathBuf};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::context::{Input, Output};
use ffmpeg_next::format::stream::Stream;
use ffmpeg_next::{Dictionary, Packet, Rational, codec, media, packet};
use tokio_util::sync::CancellationToken;

use crate::encode::h264;
use crate::encode::sound::{self, AAC_FRAME_SAMPLES, SoundCodec, SoundEncoder};
use crate::ffmpeg::{
    Index, create, extradata, part_file, read_packet, set_headers, start, write_header, write_packet,
};
use crate::join::captions::Caption;
use crate::join::labels::Labels;
use crate::join::{stream, streamable};
use crate::speak::{languages, timeline};
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
    #[error("the video cannot be one file with its stream")]
    Streamable(#[from] streamable::Error),
    #[error("cancelled")]
    Cancelled,
}

/// Wraps an FFmpeg error with what was attempted, such as "write the video".
fn failed_to(attempted: &'static str) -> impl FnOnce(ffmpeg::Error) -> Error {
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
/// Default style of the captions (3GPP TS 26.245, section 5.16): centred at the bottom, white, 18 pixels, one font.
const TEXT_STYLE: [u8; 48] = *b"\0\0\0\0\x01\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x12\xff\xff\xff\xff\0\0\0\x12ftab\0\x01\0\x01\x05Serif";

/// The files of a video's scenes, one clip and one sound for each, and one part of the stream where there is one.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// Clips from `encode_scene`, with the codec of the format.
    pub clips: &'a [PathBuf],
    /// WAV files from `timeline::write_wav`.
    pub sounds: &'a [PathBuf],
    /// Files from `stream::write`, in MP4. The video has them inside, so that it serves its stream, too.
    pub streams: &'a [PathBuf],
    pub format: OutputFormat,
}

/// Writes the video to `out`, which appears when it is whole. `on_progress` receives the scenes done and their total.
pub fn combine(
    parts: Parts<'_>,
    labels: &Labels,
    out: &Path,
    on_progress: &mut dyn FnMut(u64, u64),
    cancel: &CancellationToken,
) -> Result<Combined, Error> {
    start();
    let first = open(parts.clips.first().ok_or(Error::NoScenes)?, 0)?;
    let file = |source| Error::File { path: out.to_owned(), source };
    let part = part_file(out).map_err(file)?;
    let mut joiner = Joiner::open(&part, &first, parts, labels)?;
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
        joiner.write_captions(&labels.captions)?;
    }
    let (frames, fps) = joiner.finish()?;
    let part = match parts.streams {
        [] => part,
        streams => {
            let streamable = part_file(out).map_err(file)?;
            streamable::write(&part, streams, &streamable)?;
            streamable
        }
    };
    let bytes = std::fs::metadata(&part).map_err(file)?.len();
    part.persist(out).map_err(|error| file(error.error))?;
    let duration_ms = frames * 1000 * fps.denominator() as u64 / fps.numerator() as u64;
    Ok(Combined { frames, duration_ms, bytes })
}

fn open(scene_file: &Path, scene: usize) -> Result<Input, Error> {
    let cannot = |source| Error::Scene { attempted: "open the clip", scene, source };
    ffmpeg::format::input(scene_file).map_err(cannot)
}

fn video_stream(input: &Input, scene: usize) -> Result<Stream<'_>, Error> {
    input.streams().best(media::Type::Video).ok_or(Error::NoStream { kind: "video", scene })
}

fn audio_stream(input: &Input, scene: usize) -> Result<Stream<'_>, Error> {
    input.streams().best(media::Type::Audio).ok_or(Error::NoStream { kind: "audio", scene })
}

struct Joiner {
    output: Output,
    /// Frames per second.
    fps: Rational,
    /// The decoder's parameter sets, which all scenes must share.
    parameter_sets: Vec<u8>,
    format: OutputFormat,
    has_captions: bool,
    frames: u64,
    sound: Sound,
}

/// The source of the sound.
enum Sound {
    /// Copied from the clips; the number of AAC frames written.
    Copied(u64),
    /// Encoded from the narration; the first samples are skipped, to make up for the decoder's priming samples.
    Encoded { encoder: SoundEncoder, priming_samples: usize },
}

impl Sound {
    fn open(format: OutputFormat) -> Result<Self, ffmpeg::Error> {
        let codec = match format {
            OutputFormat::Mp4 | OutputFormat::Mov => return Ok(Sound::Copied(0)),
            OutputFormat::Webm => SoundCodec::Opus,
            OutputFormat::Avi => SoundCodec::Mp3,
        };
        let encoder = SoundEncoder::open(codec)?;
        // WebM stores the decoder's delay. AVI does not; every scene begins with enough silence to skip.
        let priming_samples = if format == OutputFormat::Avi { encoder.delay() } else { 0 };
        Ok(Sound::Encoded { encoder, priming_samples })
    }
}

impl Joiner {
    fn open(path: &Path, first: &Input, parts: Parts<'_>, labels: &Labels) -> Result<Self, Error> {
        let format = parts.format;
        let video = video_stream(first, 0)?;
        let fps = video.avg_frame_rate();
        let parameter_sets = read_parameter_sets(first, 0)?;
        let mut output = create(path, format).map_err(failed_to("open the video's file"))?;
        let mut copy = output.add_stream(find_encoder(&video)).map_err(failed_to("add the pictures"))?;
        copy.set_parameters(copy_parameters(&video));
        copy.set_time_base(fps.invert());
        copy.set_avg_frame_rate(fps);
        if format == OutputFormat::Avi {
            set_headers(&mut copy, &[]).map_err(failed_to("set the video stream's headers"))?;
        }
        let sound = Sound::open(format).map_err(failed_to("open the sound's encoder"))?;
        match &sound {
            Sound::Copied(_) => {
                let audio = audio_stream(first, 0)?;
                let mut copy = output.add_stream(find_encoder(&audio)).map_err(failed_to("add the sound"))?;
                copy.set_parameters(copy_parameters(&audio));
                copy.set_time_base(sound::TIME_BASE);
                copy.set_metadata(language_of(labels));
            }
            Sound::Encoded { encoder, .. } => {
                let mut sound =
                    output.add_stream_with(encoder.context()).map_err(failed_to("add the sound"))?;
                sound.set_metadata(language_of(labels));
            }
        }
        let has_captions = !labels.captions.is_empty() && matches!(sound, Sound::Copied(_));
        if has_captions {
            let mut track = output.add_stream(codec::Id::MOV_TEXT).map_err(failed_to("add the captions"))?;
            let mut parameters = codec::Parameters::new();
            parameters.set_medium(media::Type::Subtitle);
            parameters.set_id(codec::Id::MOV_TEXT);
            track.set_parameters(parameters);
            track.set_time_base(MILLISECONDS);
            track.set_metadata(language_of(labels));
            set_headers(&mut track, &TEXT_STYLE).map_err(failed_to("set the style of the captions"))?;
        }
        for (id, chapter) in (0..).zip(&labels.chapters) {
            let (start, end) = (chapter.start_ms as i64, chapter.end_ms as i64);
            output
                .add_chapter(id, MILLISECONDS, start, end, &chapter.title)
                .map_err(failed_to("add a chapter"))?;
        }
        let mut metadata = Dictionary::new();
        metadata.set("title", &labels.title);
        output.set_metadata(metadata);
        // A file that is written once more gets its index in front then.
        let index = if parts.streams.is_empty() { Index::First } else { Index::Last };
        write_header(&mut output, format, index).map_err(failed_to("write the video's header"))?;
        Ok(Self { output, fps, parameter_sets, format, has_captions, frames: 0, sound })
    }

    fn append(
        &mut self,
        scene: usize,
        (clip, narration): (&Path, &Path),
        is_last: bool,
    ) -> Result<(), Error> {
        let mut input = open(clip, scene)?;
        if read_parameter_sets(&input, scene)? != self.parameter_sets {
            return Err(Error::Differs { scene });
        }
        // The muxer interleaves, so it does not matter which stream is written first.
        self.append_narration(scene, narration, is_last)?;
        let video = video_stream(&input, scene)?.index();
        let audio = match self.sound {
            Sound::Copied(_) => Some(audio_stream(&input, scene)?.index()),
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
        self.copy_audio(sounds, is_last)
    }

    /// Copies the scene's audio frames up to the start of the next scene, or all of the last scene.
    fn copy_audio(&mut self, sounds: Vec<Packet>, is_last: bool) -> Result<(), Error> {
        let end = self.audio_frames_due();
        let Sound::Copied(written) = self.sound else { return Ok(()) };
        let own = if is_last { sounds.len() } else { end.saturating_sub(written) as usize };
        for (number, mut sound) in (written..).zip(sounds.into_iter().take(own)) {
            // The very first frame has a negative timestamp: it primes the decoder.
            let length = AAC_FRAME_SAMPLES as i64;
            let time = (number as i64 - 1) * length;
            self.write(&mut sound, AUDIO, time, length, sound::TIME_BASE)?;
            self.sound = Sound::Copied(number + 1);
        }
        Ok(())
    }

    fn append_narration(&mut self, scene: usize, narration: &Path, is_last: bool) -> Result<(), Error> {
        let Sound::Encoded { encoder, priming_samples } = &mut self.sound else { return Ok(()) };
        let sound = timeline::read_wav(narration).map_err(|source| Error::Sound { scene, source })?;
        let skipped = (*priming_samples).min(sound.samples.len());
        *priming_samples -= skipped;
        let mut packets =
            encoder.push(&sound.samples[skipped..]).map_err(failed_to("encode the narration"))?;
        if is_last {
            packets.extend(encoder.finish().map_err(failed_to("encode the narration"))?);
        }
        packets.iter_mut().try_for_each(|packet| {
            write_packet(&mut self.output, packet, AUDIO, sound::TIME_BASE)
                .map_err(failed_to("write the video"))
        })
    }

    /// Returns the number of AAC frames that last as long as the pictures so far, rounded to nearest.
    fn audio_frames_due(&self) -> u64 {
        stream::sound_frames(self.frames, self.fps)
    }

    /// Writes a picture. Pictures arrive in display order at a constant rate, so their number gives an exact timestamp,
    /// independent of the clip's time base.
    fn write_picture(&mut self, scene: usize, mut packet: Packet) -> Result<(), Error> {
        let time = self.frames as i64;
        self.frames += 1;
        if self.format == OutputFormat::Avi {
            let headers = packet.is_key().then_some(self.parameter_sets.as_slice());
            let bytes = h264::byte_stream(packet.data().unwrap_or_default(), headers)
                .map_err(|source| Error::Pictures { scene, source })?;
            let mut packed = Packet::copy(&bytes);
            packed.set_flags(packet.flags());
            packet = packed;
        }
        self.write(&mut packet, VIDEO, time, 1, self.fps.invert())
    }

    /// Writes captions, each as its length in bytes and its text (3GPP TS 26.245, section 5.17).
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
        write_packet(&mut self.output, packet, stream, time_base).map_err(failed_to("write the video"))
    }

    fn finish(mut self) -> Result<(u64, Rational), Error> {
        self.output.write_trailer().map_err(failed_to("write the video's end"))?;
        Ok((self.frames, self.fps))
    }
}

/// Returns the metadata of a track in the language of the labels.
fn language_of(labels: &Labels) -> Dictionary<'static> {
    let mut metadata = Dictionary::new();
    metadata.set("language", languages::iso_639_2(&labels.language));
    metadata
}

fn find_encoder(stream: &Stream<'_>) -> Option<ffmpeg::Codec> {
    ffmpeg::encoder::find(stream.parameters().id())
}

/// Copies a stream's parameters without its codec tag, which depends on the container.
fn copy_parameters(stream: &Stream<'_>) -> codec::Parameters {
    let mut parameters = stream.parameters();
    // SAFETY: `parameters` owns the struct.
    unsafe {
        (*parameters.as_mut_ptr()).codec_tag = 0;
    }
    parameters
}

/// Reads the sequence and picture parameter sets of a clip.
fn read_parameter_sets(input: &Input, scene: usize) -> Result<Vec<u8>, Error> {
    let parameters = video_stream(input, scene)?.parameters();
    // SAFETY: `parameters` owns the struct, and what it points to, while it is read.
    unsafe {
        let raw = &*parameters.as_ptr();
        Ok(extradata(raw.extradata, raw.extradata_size))
    }
}
