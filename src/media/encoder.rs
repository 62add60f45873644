//! One scene as an MP4: H.264 pictures that move when something new comes, and its narration as AAC.
//!
//! The cost follows what changes. Only pictures that differ from the one before go through the encoder; a
//! picture that stays is repeated by a dozen bytes ([`h264`]), but for the key frame every two seconds, which
//! is encoded once for as long as the picture stays. All scenes of a job have the same stream headers, which
//! lets `combine` join them without encoding.

use std::path::{Path, PathBuf};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::format::context::Output;
use ffmpeg_next::{Dictionary, Packet, Rational, codec, color, encoder, frame, packet, picture};
use tokio_util::sync::CancellationToken;

use super::aac::{self, AacEncoder};
use super::ffmpeg::{
    create_mp4, extradata, is_disk_full, part_file, set_headers, write_fast_start_header, write_packet,
};
use super::h264::{self, Sequence};
use super::motion::Transition;
use super::narration::Pcm;
use super::picture::Picture;
use crate::scene::{Entrance, SceneTimeline};

/// Seconds between key frames.
pub const KEY_FRAME_EVERY_SECONDS: u32 = 2;
/// Seconds that something new takes to appear.
const ENTRANCE_SECONDS: f64 = 0.4;
/// Seconds that the scene takes to disappear.
const EXIT_SECONDS: f64 = 0.25;
/// Seconds that each of several pages of a step is shown.
const PAGE_SECONDS: f64 = 1.0 / 30.0;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {attempted}")]
    Ffmpeg { attempted: &'static str, source: ffmpeg::Error },
    #[error("cannot write {}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("the scene has {motions} motions, but its timeline needs {needed}")]
    Motions { motions: usize, needed: usize },
    #[error("the encoder's stream cannot be continued")]
    Stream(#[from] h264::Error),
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    pub fn is_disk_full(&self) -> bool {
        match self {
            Error::Ffmpeg { source, .. } => is_disk_full(source),
            Error::File { source, .. } => source.kind() == std::io::ErrorKind::StorageFull,
            Error::Motions { .. } | Error::Stream(_) | Error::Cancelled => false,
        }
    }
}

fn at(attempted: &'static str) -> impl FnOnce(ffmpeg::Error) -> Error {
    move |source| Error::Ffmpeg { attempted, source }
}

#[derive(Debug, Clone)]
pub struct EncodeSettings {
    /// Pixels, both even.
    pub width: u32,
    pub height: u32,
    /// Frames per second, constant.
    pub fps: u32,
    /// x264's constant rate factor; less is better and larger.
    pub crf: u32,
    /// Threads of one encoder; scenes are encoded side by side, so one is enough.
    pub threads: u32,
}

impl EncodeSettings {
    pub fn new(width: u32, height: u32, fps: u32) -> Self {
        Self { width, height, fps, crf: 22, threads: 1 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodedScene {
    pub frames: u64,
    pub bytes: u64,
}

/// How a step comes into the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StepMotion {
    /// From the page before to the step's first page.
    pub entrance: Entrance,
    /// Pages of the step itself that follow each other; the last of them stays. At least 1.
    pub pages: u32,
}

/// What a scene is made of.
#[derive(Debug, Clone, Copy)]
pub struct SceneParts<'a> {
    /// One for each step.
    pub motions: &'a [StepMotion],
    pub timeline: &'a SceneTimeline,
    /// As long as the timeline.
    pub narration: &'a Pcm,
}

/// Writes the scene to `out`, which appears when it is whole. `page` gives the pictures by number: first what
/// is there before the first step, then the pages of each step; it is asked in order, and may leave pages out.
/// The scene ends with its first picture, so that the next can begin with it. Blocks; looks at `cancel` for
/// every frame.
pub fn encode_scene<E: From<Error>>(
    mut page: impl FnMut(u32) -> Result<Picture, E>,
    parts: SceneParts<'_>,
    settings: &EncodeSettings,
    out: &Path,
    on_frame: &mut dyn FnMut(u64, u64),
    cancel: &CancellationToken,
) -> Result<EncodedScene, E> {
    let SceneParts { motions, timeline, narration } = parts;
    let needed = timeline.steps.len();
    if motions.len() != needed {
        return Err(Error::Motions { motions: motions.len(), needed }.into());
    }
    let file = |source| Error::File { path: out.to_owned(), source };
    let part = part_file(out).map_err(file)?;
    let mut film = Film { scene: SceneWriter::open(&part, settings)?, timeline, on_frame, cancel };
    film.scene.write_narration(narration)?;
    let blank = page(0)?;
    let mut shown = blank.clone();
    let mut next = 1;
    for (step, (timing, motion)) in timeline.steps.iter().zip(motions).enumerate() {
        let is_last = step + 1 == needed;
        let pages = motion.pages.max(1);
        let shots = Shots::of(timing.frames, pages, settings.fps, is_last);
        let before = shown;
        shown = page(next)?;
        film.transition(&before, &shown, motion.entrance, shots.entrance)?;
        for following in shots.grown_pages(pages) {
            shown = page(next + following)?;
            film.move_to(&shown)?;
            film.hold(shots.grown - 1)?;
        }
        next += pages;
        film.hold(shots.held)?;
        if is_last {
            film.transition(&shown, &blank, Entrance::Fade, shots.exit)?;
        }
    }
    let frames = film.scene.finish()?;
    let bytes = std::fs::metadata(&part).map_err(file)?.len();
    part.persist(out).map_err(|error| file(error.error))?;
    Ok(EncodedScene { frames, bytes })
}

/// How the frames of a step are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shots {
    /// Of the transition to the step's first page; the last of them shows it whole.
    entrance: u32,
    /// Of each page after the first, at least 1.
    grown: u32,
    /// Whether all pages after the first are shown, or only the last: the step is too short.
    all_pages: bool,
    /// That the last page stays.
    held: u32,
    /// Of the transition back to the empty page.
    exit: u32,
}

impl Shots {
    fn of(frames: u32, pages: u32, fps: u32, is_last: bool) -> Self {
        let in_frames = |seconds: f64| (seconds * f64::from(fps)).round() as u32;
        let exit = if is_last { in_frames(EXIT_SECONDS).min(frames / 4) } else { 0 };
        let following = pages - 1;
        let entrance = in_frames(ENTRANCE_SECONDS).min((frames - exit) / 2).max(1).min(frames);
        let room = frames.saturating_sub(exit + entrance);
        let grown = in_frames(PAGE_SECONDS).max(1);
        let (grown, all_pages) = match following {
            _ if following * grown <= room => (grown, true),
            _ if following <= room => (1, true),
            _ => (1, false),
        };
        let shown = if all_pages { following * grown } else { room.min(1) };
        Self { entrance, grown, all_pages, held: room - shown, exit }
    }

    /// The pages after a step's first that are shown, counted from it.
    fn grown_pages(&self, pages: u32) -> std::ops::Range<u32> {
        if self.all_pages { 1..pages } else { pages - 1..pages }
    }
}

/// A scene being written, with who watches.
struct Film<'a> {
    scene: SceneWriter,
    timeline: &'a SceneTimeline,
    on_frame: &'a mut dyn FnMut(u64, u64),
    cancel: &'a CancellationToken,
}

impl Film<'_> {
    fn transition(
        &mut self,
        from: &Picture,
        to: &Picture,
        entrance: Entrance,
        frames: u32,
    ) -> Result<(), Error> {
        let transition = Transition::new(from, to, entrance, frames);
        if transition.is_still() && self.scene.frames > 0 {
            return self.hold(frames);
        }
        let mut canvas = from.clone();
        for number in 1..=frames {
            transition.draw(&mut canvas, number);
            self.move_to(&canvas)?;
        }
        Ok(())
    }

    fn move_to(&mut self, picture: &Picture) -> Result<(), Error> {
        self.watch()?;
        self.scene.write_picture(picture)?;
        (self.on_frame)(self.scene.frames, u64::from(self.timeline.frames));
        Ok(())
    }

    fn hold(&mut self, frames: u32) -> Result<(), Error> {
        for _ in 0..frames {
            self.watch()?;
            self.scene.repeat_picture()?;
            (self.on_frame)(self.scene.frames, u64::from(self.timeline.frames));
        }
        Ok(())
    }

    fn watch(&self) -> Result<(), Error> {
        if self.cancel.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }
}

const VIDEO: usize = 0;
const AUDIO: usize = 1;

struct SceneWriter {
    output: Output,
    pictures: PictureEncoder,
    audio: AacEncoder,
    frames: u64,
}

impl SceneWriter {
    fn open(path: &Path, settings: &EncodeSettings) -> Result<Self, Error> {
        let mut output = create_mp4(path).map_err(at("open the scene's file"))?;
        let pictures = PictureEncoder::open(settings)?;
        let audio = AacEncoder::open().map_err(at("open the AAC encoder"))?;
        let mut stream = output.add_stream_with(&pictures.encoder).map_err(at("add the video stream"))?;
        stream.set_time_base(pictures.time_base);
        stream.set_avg_frame_rate(pictures.time_base.invert());
        set_headers(&mut stream, &pictures.headers).map_err(at("set the video stream's headers"))?;
        output.add_stream_with(audio.context()).map_err(at("add the audio stream"))?;
        write_fast_start_header(&mut output).map_err(at("write the scene's header"))?;
        Ok(Self { output, pictures, audio, frames: 0 })
    }

    /// All of it at once; the muxer interleaves it with the pictures that follow.
    fn write_narration(&mut self, narration: &Pcm) -> Result<(), Error> {
        let mut packets = self.audio.push(&narration.samples).map_err(at("encode the narration"))?;
        packets.extend(self.audio.finish().map_err(at("encode the narration"))?);
        packets.into_iter().try_for_each(|packet| self.write(packet, AUDIO, aac::TIME_BASE))
    }

    fn write_picture(&mut self, picture: &Picture) -> Result<(), Error> {
        let encoded = self.pictures.encode(picture)?;
        self.write_encoded(&encoded)
    }

    fn repeat_picture(&mut self) -> Result<(), Error> {
        let encoded = self.pictures.repeat()?;
        self.write_encoded(&encoded)
    }

    fn write_encoded(&mut self, access_unit: &[u8]) -> Result<(), Error> {
        let mut packet = Packet::copy(access_unit);
        packet.set_pts(Some(self.frames as i64));
        packet.set_dts(Some(self.frames as i64));
        packet.set_duration(1);
        if h264::is_idr(access_unit) {
            packet.set_flags(packet::Flags::KEY);
        }
        self.frames += 1;
        self.write(packet, VIDEO, self.pictures.time_base)
    }

    fn write(&mut self, mut packet: Packet, stream: usize, time_base: Rational) -> Result<(), Error> {
        write_packet(&mut self.output, &mut packet, stream, time_base).map_err(at("write the scene"))
    }

    fn finish(mut self) -> Result<u64, Error> {
        self.output.write_trailer().map_err(at("write the scene's end"))?;
        Ok(self.frames)
    }
}

/// H.264 pictures, one access unit (a byte stream) for each.
struct PictureEncoder {
    encoder: encoder::Video,
    sequence: Sequence,
    /// Parameter sets: the encoder's, and the one of repeats.
    headers: Vec<u8>,
    time_base: Rational,
    /// Pictures from one key frame to the next.
    key_frame_every: u32,
    since_key_frame: u32,
    /// Of the picture before.
    frame_num: u32,
    /// The picture before, as the encoder takes it.
    frame: frame::Video,
    /// The picture before as a key frame, when it has been needed.
    key_frame: Option<Vec<u8>>,
    sent: i64,
}

impl PictureEncoder {
    fn open(settings: &EncodeSettings) -> Result<Self, Error> {
        let encoder = open_h264(settings).map_err(at("open the H.264 encoder"))?;
        // SAFETY: the encoder owns its headers and outlives the copy.
        let own = unsafe {
            let raw = &*encoder.as_ptr();
            extradata(raw.extradata, raw.extradata_size)
        };
        let sequence = Sequence::parse(&own)?;
        let headers = [own, sequence.parameter_set()].concat();
        let key_frame_every = settings.fps * KEY_FRAME_EVERY_SECONDS;
        Ok(Self {
            encoder,
            sequence,
            headers,
            time_base: Rational(1, settings.fps as i32),
            key_frame_every,
            since_key_frame: key_frame_every,
            frame_num: 0,
            frame: frame::Video::new(Pixel::YUV420P, settings.width, settings.height),
            key_frame: None,
            sent: 0,
        })
    }

    fn encode(&mut self, picture: &Picture) -> Result<Vec<u8>, Error> {
        copy_to(picture, &mut self.frame);
        self.key_frame = None;
        if self.is_key_frame_due() {
            return self.encode_key_frame();
        }
        let encoded = self.send(picture::Type::None)?;
        self.count();
        Ok(self.sequence.set_frame_num(&encoded, self.frame_num)?)
    }

    /// The picture before, once more.
    fn repeat(&mut self) -> Result<Vec<u8>, Error> {
        if self.is_key_frame_due() {
            return self.encode_key_frame();
        }
        self.count();
        Ok(self.sequence.repeat(self.frame_num))
    }

    fn is_key_frame_due(&self) -> bool {
        self.since_key_frame >= self.key_frame_every
    }

    fn count(&mut self) {
        self.frame_num = self.sequence.next(self.frame_num);
        self.since_key_frame += 1;
    }

    fn encode_key_frame(&mut self) -> Result<Vec<u8>, Error> {
        let encoded = match self.key_frame.take() {
            Some(encoded) => encoded,
            None => self.send(picture::Type::I)?,
        };
        (self.frame_num, self.since_key_frame) = (0, 1);
        self.key_frame = Some(encoded.clone());
        Ok(encoded)
    }

    /// One picture in, one out: the encoder looks neither ahead nor back.
    fn send(&mut self, kind: picture::Type) -> Result<Vec<u8>, Error> {
        self.frame.set_kind(kind);
        self.frame.set_pts(Some(self.sent));
        self.sent += 1;
        self.encoder.send_frame(&self.frame).map_err(at("encode a picture"))?;
        let mut packet = Packet::empty();
        self.encoder.receive_packet(&mut packet).map_err(at("encode a picture"))?;
        Ok(packet.data().unwrap_or_default().to_vec())
    }
}

fn open_h264(settings: &EncodeSettings) -> Result<encoder::Video, ffmpeg::Error> {
    let codec = encoder::find_by_name("libx264").ok_or(ffmpeg::Error::EncoderNotFound)?;
    let mut context = codec::Context::new_with_codec(codec);
    context.set_flags(codec::Flags::GLOBAL_HEADER);
    let threads = settings.threads as usize;
    context.set_threading(codec::threading::Config { count: threads, ..Default::default() });
    let mut video = context.encoder().video()?;
    video.set_width(settings.width);
    video.set_height(settings.height);
    video.set_format(Pixel::YUV420P);
    video.set_time_base(Rational(1, settings.fps as i32));
    video.set_frame_rate(Some(Rational(settings.fps as i32, 1)));
    video.set_aspect_ratio(Rational(1, 1));
    // Key frames are asked for, one by one.
    video.set_gop(u32::from(u16::MAX));
    video.set_max_b_frames(0);
    video.set_colorspace(color::Space::BT709);
    video.set_color_range(color::Range::MPEG);
    video.set_color_primaries(color::Primaries::BT709);
    video.set_color_transfer_characteristic(color::TransferCharacteristic::BT709);
    let mut options = Dictionary::new();
    options.set("preset", "superfast");
    options.set("profile", "high");
    options.set("crf", &settings.crf.to_string());
    options.set("forced-idr", "1");
    // No lookahead and no analysis that pays only for moving pictures; one reference picture, the one that
    // repeats repeat; `stitchable` keeps the headers of all scenes the same.
    options.set(
        "x264-params",
        "ref=1:scenecut=0:rc-lookahead=0:sync-lookahead=0:mbtree=0:weightp=0:subme=1:me=dia:force-cfr=1:open-gop=0:stitchable=1:8x8dct=1",
    );
    video.open_as_with(codec, options)
}

fn copy_to(picture: &Picture, frame: &mut frame::Video) {
    for (index, (plane, width, _)) in picture.planes().into_iter().enumerate() {
        let stride = frame.stride(index);
        for (to, from) in frame.data_mut(index).chunks_mut(stride).zip(plane.chunks(width)) {
            to[..width].copy_from_slice(from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::picture::Rect;

    #[test]
    fn the_frames_of_a_step_are_all_used_once() {
        for frames in [1, 2, 3, 7, 20, 45, 90, 300] {
            for pages in [1, 2, 25] {
                for (fps, is_last) in [(30, false), (30, true), (60, false), (24, true)] {
                    let shots = Shots::of(frames, pages, fps, is_last);
                    let grown = shots.grown_pages(pages).len() as u32 * shots.grown;
                    let used = shots.entrance + grown + shots.held + shots.exit;
                    // A step of a single frame has no room for its last page.
                    assert!(used == frames || frames < 3, "{frames} frames, {pages} pages: {shots:?}");
                }
            }
        }
    }

    const SIZE: (usize, usize) = (320, 176);

    /// Pictures of a square that moves, then rests, again and again.
    fn film() -> Vec<(Picture, u32)> {
        let blank = Picture::of([250, 248, 240], SIZE.0, SIZE.1);
        let dark = Picture::of([20, 40, 120], SIZE.0, SIZE.1);
        let at = |left: usize| {
            let mut picture = blank.clone();
            picture.copy(&dark, Rect { left, top: 40, right: left + 60, bottom: 100 });
            picture
        };
        let rests = [0, 0, 0, 130, 0, 0, 45, 7, 0, 0, 0, 200];
        rests.into_iter().enumerate().map(|(step, rest)| (at(8 * step), rest)).collect()
    }

    fn settings() -> EncodeSettings {
        EncodeSettings::new(SIZE.0 as u32, SIZE.1 as u32, 30)
    }

    /// All pictures of a stream, as planes of bytes.
    fn decoded(headers: &[u8], units: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let codec = ffmpeg::decoder::find(codec::Id::H264).unwrap();
        let mut decoder = codec::Context::new_with_codec(codec).decoder().video().unwrap();
        let mut pictures = vec![];
        let mut take = |decoder: &mut ffmpeg::decoder::Video| {
            let mut picture = frame::Video::empty();
            while decoder.receive_frame(&mut picture).is_ok() {
                let plane = |index: usize| {
                    let (width, height) =
                        (picture.plane_width(index) as usize, picture.plane_height(index) as usize);
                    let rows = picture.data(index).chunks(picture.stride(index)).take(height);
                    rows.flat_map(|row| &row[..width]).copied().collect::<Vec<_>>()
                };
                pictures.push([plane(0), plane(1), plane(2)].concat());
            }
        };
        for (number, unit) in units.iter().enumerate() {
            let bytes = if number == 0 { [headers, unit].concat() } else { unit.clone() };
            decoder.send_packet(&Packet::copy(&bytes)).unwrap();
            take(&mut decoder);
        }
        decoder.send_eof().unwrap();
        take(&mut decoder);
        pictures
    }

    /// The access units of the film, with repeats; and how many repeats follow each picture.
    fn with_repeats() -> (Vec<u8>, Vec<Vec<u8>>) {
        crate::media::ffmpeg::start();
        let mut encoder = PictureEncoder::open(&settings()).unwrap();
        let mut units = vec![];
        for (picture, rest) in film() {
            units.push(encoder.encode(&picture).unwrap());
            units.extend((0..rest).map(|_| encoder.repeat().unwrap()));
        }
        (encoder.headers.clone(), units)
    }

    #[test]
    fn repeated_pictures_decode_bit_for_bit_like_a_plain_encode() {
        let (headers, units) = with_repeats();
        let pictures = decoded(&headers, &units);
        assert_eq!(pictures.len(), units.len(), "every picture is decoded");
        let repeats = units.iter().filter(|unit| unit.len() < 20).count();
        assert!(repeats > 350, "{repeats} of {} are repeats", units.len());
        // The same pictures through the encoder alone, with key frames at the same places and nothing between.
        let mut plain = PictureEncoder::open(&settings()).unwrap();
        let mut plain_units = vec![];
        let mut shown = vec![];
        let mut film = film().into_iter();
        let mut left = 0;
        for unit in &units {
            if left == 0 {
                let (picture, rest) = film.next().unwrap();
                copy_to(&picture, &mut plain.frame);
                left = rest + 1;
            }
            left -= 1;
            if unit.len() >= 20 && !shown_again(unit, &units, &plain_units) {
                let kind = if h264::is_idr(unit) { picture::Type::I } else { picture::Type::None };
                plain_units.push(plain.send(kind).unwrap());
            }
            shown.push(plain_units.len() - 1);
        }
        let plain_pictures = decoded(&[], &with_headers(&plain, plain_units));
        for (number, (picture, index)) in pictures.iter().zip(shown).enumerate() {
            assert!(*picture == plain_pictures[index], "picture {number} differs from the plain encode");
        }
    }

    /// Whether a key frame is the one before once more.
    fn shown_again(unit: &[u8], units: &[Vec<u8>], plain: &[Vec<u8>]) -> bool {
        let same = units.iter().filter(|other| other.as_slice() == unit).count() > 1;
        same && plain.last().is_some_and(|last| last.as_slice() == unit)
    }

    fn with_headers(encoder: &PictureEncoder, mut units: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        units[0] = [encoder.headers.as_slice(), &units[0]].concat();
        units
    }

    #[test]
    fn key_frames_come_every_two_seconds_and_decoding_can_begin_at_each() {
        let (headers, units) = with_repeats();
        let whole = decoded(&headers, &units);
        let keys: Vec<usize> =
            units.iter().enumerate().filter(|(_, unit)| h264::is_idr(unit)).map(|(at, _)| at).collect();
        assert_eq!(keys, (0..units.len()).step_by(60).collect::<Vec<_>>());
        for key in keys {
            let tail = decoded(&headers, &units[key..]);
            assert_eq!(tail.len(), units.len() - key);
            assert!(tail == whole[key..], "what is decoded from picture {key} on differs");
        }
    }

    #[test]
    fn the_same_pictures_give_the_same_bytes() {
        assert!(with_repeats() == with_repeats());
    }

    #[test]
    fn motions_and_steps_must_match() {
        let out = tempfile::tempdir().unwrap();
        let timeline = SceneTimeline { fps: 30, frames: 0, steps: vec![] };
        let narration = Pcm { samples: vec![] };
        let motions = [StepMotion::default()];
        let result: Result<_, Error> = encode_scene(
            |_| Ok(Picture::of([0; 3], 64, 64)),
            SceneParts { motions: &motions, timeline: &timeline, narration: &narration },
            &EncodeSettings::new(64, 64, 30),
            &out.path().join("scene.mp4"),
            &mut |_, _| {},
            &CancellationToken::new(),
        );
        assert_eq!(result.unwrap_err().to_string(), "the scene has 1 motions, but its timeline needs 0");
    }
}
