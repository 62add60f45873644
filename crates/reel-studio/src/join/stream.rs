//! A scene's part of an HTTP Live Stream (RFC 8216): fragmented MP4 (ISO/IEC 14496-12, section 8.8), with the times that the
//! scene has in the video.
//!
//! Nothing is encoded again. Segments begin at key frames, and every scene begins one, so that a scene can be streamed as
//! soon as it is rendered. Put one after the other, the parts of all scenes are the stream of the video.

use std::path::{Path, PathBuf};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::context::Output;
use ffmpeg_next::{Dictionary, Packet, Rational, ffi, media};

use crate::encode::sound::{self, AAC_FRAME_SAMPLES};
use crate::ffmpeg::{create, extradata, part_file, read_packet, start};
use crate::mp4_boxes::boxes_of;
use crate::speak::voice::SAMPLE_RATE_HZ;
use reel_scene::format::OutputFormat;

/// Seconds of a segment at least, but for the last one of a scene; with a key frame every two seconds, never four.
pub const SEGMENT_SECONDS: u32 = 2;
const VIDEO: usize = 0;
const AUDIO: usize = 1;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {attempted}")]
    Ffmpeg { attempted: &'static str, source: ffmpeg::Error },
    #[error("cannot use {}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("the stream of the scene has {found} fragments, but {expected} were written")]
    Fragments { found: usize, expected: usize },
}

fn at(attempted: &'static str) -> impl FnOnce(ffmpeg::Error) -> Error {
    move |source| Error::Ffmpeg { attempted, source }
}

/// Where a scene is in its video.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Frames of all scenes before it.
    pub first_frame: u64,
    pub is_last: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub frames: u32,
    pub bytes: u64,
}

/// Describes the file of [`write`]: the decoder's setup, and the segments right behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenePart {
    /// As RFC 6381 names them.
    pub codecs: String,
    pub setup_bytes: u64,
    pub segments: Vec<Segment>,
}

/// AAC frames that last as long as so many pictures, to the nearest.
pub(super) fn sound_frames(pictures: u64, fps: Rational) -> u64 {
    let samples = pictures * u64::from(SAMPLE_RATE_HZ) * fps.denominator() as u64;
    let a_frame = AAC_FRAME_SAMPLES * fps.numerator() as u64;
    (samples + a_frame / 2) / a_frame
}

/// Writes the stream of a scene to `out`, which appears when it is whole. `clip` is an MP4 that `encode_scene` wrote.
pub fn write(clip: &Path, position: Position, out: &Path) -> Result<ScenePart, Error> {
    start();
    let file = |source| Error::File { path: out.to_owned(), source };
    let mut input = ffmpeg::format::input(clip).map_err(at("open the clip"))?;
    let index = |kind| input.streams().best(kind).ok_or(ffmpeg::Error::StreamNotFound);
    let (video, audio) = (index(media::Type::Video), index(media::Type::Audio));
    let (video, audio) =
        (video.map_err(at("find the pictures"))?.index(), audio.map_err(at("find the sound"))?.index());
    let part = part_file(out).map_err(file)?;
    let mut output = create(&part, OutputFormat::Mp4).map_err(at("open the stream's file"))?;
    let (fps, codecs) = add_streams(&input, [video, audio], &mut output)?;
    write_header(&mut output, position)?;
    let (mut pictures, mut sounds) = (vec![], vec![]);
    while let Some(packet) = read_packet(&mut input).map_err(at("read the clip"))? {
        match packet.stream() {
            stream if stream == video => pictures.push(packet),
            stream if stream == audio => sounds.push(packet),
            _ => {}
        }
    }
    let segments = cut(
        pictures.iter().map(Packet::is_key),
        SEGMENT_SECONDS * fps.numerator() as u32 / fps.denominator() as u32,
    );
    let mut writer = Writer {
        output,
        fps,
        next_frame: position.first_frame,
        sounds: Sounds::of(sounds, position, pictures.len() as u64, fps),
    };
    let mut pictures = pictures.into_iter();
    for frames in &segments {
        let own: Vec<Packet> = pictures.by_ref().take(*frames as usize).collect();
        writer.write_segment(own, pictures.len() == 0)?;
    }
    writer.output.write_trailer().map_err(at("write the stream's end"))?;
    drop(writer);
    let (setup_bytes, fragments) = fragment_sizes(&part).map_err(file)?;
    if fragments.len() != segments.len() {
        return Err(Error::Fragments { found: fragments.len(), expected: segments.len() });
    }
    let segments = segments.into_iter().zip(fragments).map(|(frames, bytes)| Segment { frames, bytes });
    let segments = segments.collect();
    part.persist(out).map_err(|error| file(error.error))?;
    Ok(ScenePart { codecs, setup_bytes, segments })
}

fn add_streams(
    input: &ffmpeg::format::context::Input,
    streams: [usize; 2],
    output: &mut Output,
) -> Result<(Rational, String), Error> {
    let (mut fps, mut codecs) = (Rational(1, 1), String::new());
    for index in streams {
        let Some(stream) = input.stream(index) else { continue };
        let mut parameters = stream.parameters();
        let encoder = ffmpeg::encoder::find(parameters.id());
        let is_video = parameters.medium() == media::Type::Video;
        if is_video {
            fps = stream.avg_frame_rate();
            // SAFETY: `parameters` owns the struct, and what it points to, while it is read.
            let header = unsafe {
                let raw = &*parameters.as_mut_ptr();
                extradata(raw.extradata, raw.extradata_size)
            };
            // Profile, compatibility and level stand behind the version (ISO/IEC 14496-15, section 5.3.3.1).
            let profile: String = header.iter().skip(1).take(3).map(|byte| format!("{byte:02x}")).collect();
            codecs = format!("avc1.{profile},mp4a.40.2");
        }
        // SAFETY: as above. The rate is that of the clip, which the file would name; a scene and its beginning have the same setup.
        unsafe { (*parameters.as_mut_ptr()).bit_rate = 0 };
        let mut copy = output.add_stream(encoder).map_err(at("add a stream"))?;
        copy.set_parameters(parameters);
        copy.set_time_base(if is_video { fps.invert() } else { sound::TIME_BASE });
        if is_video {
            copy.set_avg_frame_rate(fps);
        }
    }
    Ok((fps, codecs))
}

fn write_header(output: &mut Output, position: Position) -> Result<(), Error> {
    let mut options = Dictionary::new();
    options.set("movflags", "+frag_custom+empty_moov+default_base_moof+frag_discont+skip_trailer");
    // Times are those of the video: nothing may shift them.
    options.set("use_editlist", "0");
    options.set("avoid_negative_ts", "disabled");
    // Fragments of later scenes have higher numbers, since a fragment has one frame at least.
    options.set("fragment_index", &(position.first_frame + 1).to_string());
    output.write_header_with(options).map(|_unused| ()).map_err(at("write the stream's header"))
}

/// Frames of each segment. Segments begin at key frames, and have `min_frames` or more, but for the last.
fn cut(are_keys: impl Iterator<Item = bool>, min_frames: u32) -> Vec<u32> {
    let mut segments: Vec<u32> = vec![];
    for is_key in are_keys {
        match segments.last_mut() {
            Some(frames) if !is_key || *frames < min_frames => *frames += 1,
            _ => segments.push(1),
        }
    }
    segments
}

/// A scene's AAC frames with their numbers in the video, in order.
struct Sounds(std::iter::Peekable<std::vec::IntoIter<(u64, Packet)>>);

impl Sounds {
    /// A scene ends where the next begins, so it may have one frame more than it needs; its first frame only leads the
    /// decoder in, and takes the place of the last frame of the scene before. The very first has none before it.
    fn of(sounds: Vec<Packet>, position: Position, pictures: u64, fps: Rational) -> Self {
        let first = sound_frames(position.first_frame, fps);
        let end =
            if position.is_last { u64::MAX } else { sound_frames(position.first_frame + pictures, fps) };
        let numbered = (first..end).zip(sounds).skip_while(|(number, _)| *number == 0);
        Self(numbered.collect::<Vec<_>>().into_iter().peekable())
    }
}

struct Writer {
    output: Output,
    fps: Rational,
    next_frame: u64,
    sounds: Sounds,
}

impl Writer {
    /// Writes the pictures with the sound that belongs to them; the last segment of a scene has all that is left of it.
    fn write_segment(&mut self, pictures: Vec<Packet>, is_last: bool) -> Result<(), Error> {
        for mut picture in pictures {
            let time = self.next_frame as i64;
            self.write(&mut picture, VIDEO, (time, 1), self.fps.invert())?;
            self.next_frame += 1;
        }
        let end = if is_last { u64::MAX } else { sound_frames(self.next_frame, self.fps) };
        while let Some((number, mut sound)) = self.sounds.0.next_if(|(number, _)| *number < end) {
            let length = AAC_FRAME_SAMPLES as i64;
            self.write(&mut sound, AUDIO, ((number as i64 - 1) * length, length), sound::TIME_BASE)?;
        }
        self.end_fragment()
    }

    fn write(
        &mut self,
        packet: &mut Packet,
        stream: usize,
        (time, duration): (i64, i64),
        time_base: Rational,
    ) -> Result<(), Error> {
        packet.set_pts(Some(time));
        packet.set_dts(Some(time));
        packet.set_duration(duration);
        packet.set_position(-1);
        packet.set_stream(stream);
        let target = self.output.stream(stream).map_or(time_base, |stream| stream.time_base());
        packet.rescale_ts(time_base, target);
        packet.write(&mut self.output).map(|_unused| ()).map_err(at("write a segment"))
    }

    fn end_fragment(&mut self) -> Result<(), Error> {
        // SAFETY: the context is open; a null packet makes the muxer write the fragment it holds.
        let code = unsafe { ffi::av_write_frame(self.output.as_mut_ptr(), std::ptr::null_mut()) };
        if code < 0 { Err(at("write a segment")(ffmpeg::Error::from(code))) } else { Ok(()) }
    }
}

/// Bytes in front of the first fragment, and of each fragment (`moof` and the `mdat` behind it).
fn fragment_sizes(file: &Path) -> std::io::Result<(u64, Vec<u64>)> {
    let mut file = std::fs::File::open(file)?;
    let length = file.metadata()?.len();
    let (mut setup, mut fragments) = (0, vec![]);
    for found in boxes_of(&mut file, length) {
        let found = found?;
        match (&found.name, fragments.last_mut()) {
            (b"moof", _) => fragments.push(found.bytes()),
            (_, Some(fragment)) => *fragment += found.bytes(),
            (_, None) => setup += found.bytes(),
        }
    }
    Ok((setup, fragments))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut_at(keys: &[usize], frames: usize) -> Vec<u32> {
        cut((0..frames).map(|frame| keys.contains(&frame)), 4)
    }

    #[test]
    fn segments_begin_at_key_frames_and_are_long_enough() {
        assert_eq!(cut_at(&[0, 2, 4, 6, 8], 9), [4, 4, 1]);
        assert_eq!(cut_at(&[0, 3, 6], 9), [6, 3], "the key frame at 3 comes too early");
        assert_eq!(cut_at(&[0], 9), [9]);
        assert_eq!(cut_at(&[], 3), [3]);
        assert!(cut_at(&[], 0).is_empty());
    }

    #[test]
    fn sound_follows_the_pictures_to_the_nearest_frame() {
        let fps = Rational(30, 1);
        assert_eq!(sound_frames(0, fps), 0);
        // 1,600 samples a picture.
        assert_eq!(sound_frames(1, fps), 2);
        assert_eq!(sound_frames(16, fps), 25);
        assert_eq!(sound_frames(30 * 3600, fps), 168_750);
    }
}
