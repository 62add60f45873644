//! The quality gate: decodes a finished video as a player would, and compares what it finds with the plan.

use std::collections::VecDeque;
use std::path::Path;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::sample::{Sample, Type};
use ffmpeg_next::{Packet, frame, media};

use crate::encode::h264::{self, Sequence};
use crate::ffmpeg::{extradata, read_packet, start};
use crate::layout;
use reel_scene::{Scene, SceneTimeline};

/// Largest offset between picture and sound at the beginning and at the end, in seconds.
const MAX_OFFSET_S: f64 = 0.040;
/// Largest luma range of a picture that counts as blank. A page's motif stays below it.
const MAX_BLANK_LUMA_RANGE: u8 = 24;
/// Lowest sample peak, relative to full scale, of a video that counts as audible.
const MIN_PEAK: f32 = 0.02;
/// Key frames by which a hold may exceed its step: one before, one after, and one for the pause.
const EXTRA_KEY_FRAMES: usize = 3;

/// Properties of a video, measured by decoding it.
#[derive(Debug, Clone, PartialEq)]
pub struct Findings {
    /// Pictures that decode without an error.
    pub pictures: u64,
    /// Video and audio packets that do not decode.
    pub damaged: u64,
    /// Seconds, like the three that follow.
    pub picture_start: f64,
    pub picture_end: f64,
    pub sound_start: f64,
    pub sound_end: f64,
    /// Timestamps of either stream that do not increase.
    pub disorder: u64,
    /// Sample peak, relative to full scale.
    pub peak: f32,
    /// Longest run of key frames in a single colour.
    pub blank_run: usize,
    /// Longest run of identical key frames.
    pub same_run: usize,
}

/// Bounds that the plan sets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Allowed {
    pub pictures: u64,
    /// The result of [`longest_hold_s`].
    pub longest_hold_s: f64,
    pub key_frame_interval_s: f64,
    /// The result of [`longest_animation_s`].
    pub longest_animation_s: f64,
}

/// Returns the longest time for which the plan holds one picture, in seconds: one line, and the lines after it that
/// reveal nothing; or a part of a line, where what it names appears with its word.
pub fn longest_hold_s<'a>(scenes: impl IntoIterator<Item = (&'a Scene, &'a SceneTimeline)>) -> f64 {
    let holds = scenes.into_iter().map(|(scene, timeline)| {
        let (split, split_timeline) = (layout::split_steps(scene), layout::split_timeline(scene, timeline));
        longest_hold_of_steps(scene, timeline).max(longest_hold_of_steps(&split, &split_timeline))
    });
    holds.fold(0.0, f64::max)
}

/// Returns the length of the longest scene whose pictures another program draws, in seconds. They may be of one colour.
pub fn longest_animation_s<'a>(scenes: impl IntoIterator<Item = (&'a Scene, &'a SceneTimeline)>) -> f64 {
    let animations = scenes.into_iter().filter(|(scene, _)| scene.manim().is_some());
    let seconds = animations.map(|(_, timeline)| timeline.duration_ms() as f64 / 1000.0);
    seconds.fold(0.0, f64::max)
}

fn longest_hold_of_steps(scene: &Scene, timeline: &SceneTimeline) -> f64 {
    let mut held = 0;
    let holds = scene.steps.iter().zip(&timeline.steps).map(|(step, timing)| {
        held = if step.reveals.is_empty() { held + timing.frames } else { timing.frames };
        f64::from(held) / f64::from(timeline.fps)
    });
    holds.fold(0.0, f64::max)
}

/// Decodes all pictures and all sound, and compares the key frames. H.264 has no checksums, so damage that still
/// decodes goes unnoticed.
pub fn inspect(video: &Path) -> Result<Findings, ffmpeg::Error> {
    start();
    let mut input = ffmpeg::format::input(video)?;
    let picture = input.streams().best(media::Type::Video).ok_or(ffmpeg::Error::StreamNotFound)?;
    let sound = input.streams().best(media::Type::Audio).ok_or(ffmpeg::Error::StreamNotFound)?;
    let mut pictures = Stream::new(&picture);
    let mut sounds = Stream::new(&sound);
    let mut picture_decoder = PictureDecoder::open(picture.parameters())?;
    let mut sound_decoder = ffmpeg::codec::Context::from_parameters(sound.parameters())?.decoder().audio()?;
    let (mut peak, mut damaged) = (0.0_f32, 0);
    while let Some(packet) = read_packet(&mut input)? {
        if packet.stream() == pictures.index {
            pictures.record(&packet);
            picture_decoder.send(&packet);
        } else if packet.stream() == sounds.index {
            sounds.record(&packet);
            damaged += u64::from(sound_decoder.send_packet(&packet).is_err());
            peak = peak.max(receive_peak(&mut sound_decoder)?);
        }
    }
    picture_decoder.finish();
    sound_decoder.send_eof()?;
    peak = peak.max(receive_peak(&mut sound_decoder)?);
    Ok(Findings {
        pictures: picture_decoder.pictures(),
        damaged: damaged + picture_decoder.damaged,
        picture_start: pictures.start(),
        picture_end: pictures.end(),
        sound_start: sounds.start(),
        sound_end: sounds.end(),
        disorder: pictures.disorder + sounds.disorder,
        peak,
        blank_run: picture_decoder.key_frames.longest_blank,
        same_run: picture_decoder.key_frames.longest_same,
    })
}

/// Returns a message for each fault that a viewer would notice.
pub fn find_faults(found: &Findings, allowed: &Allowed) -> Vec<String> {
    let mut faults = vec![];
    let mut expect = |holds: bool, message: String| {
        if !holds {
            faults.push(message);
        }
    };
    let (begin, end) =
        ((found.picture_start - found.sound_start).abs(), (found.picture_end - found.sound_end).abs());
    expect(found.damaged == 0, format!("{} pictures or pieces of sound are damaged", found.damaged));
    expect(found.disorder == 0, format!("{} timestamps do not rise", found.disorder));
    expect(
        found.pictures == allowed.pictures,
        format!("it has {} pictures, not {}", found.pictures, allowed.pictures),
    );
    expect(begin <= MAX_OFFSET_S, format!("picture and sound begin {:.0} ms apart", begin * 1000.0));
    expect(end <= MAX_OFFSET_S, format!("picture and sound end {:.0} ms apart", end * 1000.0));
    expect(
        found.peak >= MIN_PEAK,
        format!("its loudest sample is {:.4} of 1: nothing can be heard", found.peak),
    );
    let blank = 1 + (allowed.longest_animation_s / allowed.key_frame_interval_s).ceil() as usize;
    expect(found.blank_run <= blank, format!("{} key frames in a row show nothing", found.blank_run));
    let hold = (allowed.longest_hold_s / allowed.key_frame_interval_s).ceil() as usize + EXTRA_KEY_FRAMES;
    expect(
        found.same_run <= hold,
        format!("{} key frames in a row are the same, but the longest step explains {hold}", found.same_run),
    );
    faults
}

/// Tracks the timestamps of one stream.
struct Stream {
    index: usize,
    seconds: f64,
    first: Option<i64>,
    last: i64,
    end: i64,
    disorder: u64,
}

impl Stream {
    fn new(stream: &ffmpeg::format::stream::Stream<'_>) -> Self {
        let seconds = f64::from(stream.time_base());
        Self { index: stream.index(), seconds, first: None, last: i64::MIN, end: 0, disorder: 0 }
    }

    fn record(&mut self, packet: &Packet) {
        // AVI stores decoding timestamps only.
        let time = packet.pts().or(packet.dts()).unwrap_or(i64::MIN);
        self.disorder += u64::from(time <= self.last || packet.dts().is_some_and(|dts| dts > time));
        self.last = time;
        // Packets with negative timestamps only prime the decoder.
        if time >= 0 {
            self.first.get_or_insert(time);
        }
        self.end = self.end.max(time + packet.duration());
    }

    fn start(&self) -> f64 {
        self.first.unwrap_or(0) as f64 * self.seconds
    }

    fn end(&self) -> f64 {
        self.end as f64 * self.seconds
    }
}

/// Decodes the pictures strictly: damage is counted, never concealed.
struct PictureDecoder {
    decoder: ffmpeg::decoder::Video,
    repeats: Option<Repeats>,
    repeated: u64,
    sent: u64,
    decoded: u64,
    /// Numbers of the key frames sent but not received yet. The decoder's own flag does not serve: it may also mark a
    /// repeat of a key frame.
    keys: VecDeque<u64>,
    damaged: u64,
    key_frames: KeyFrameRuns,
}

impl PictureDecoder {
    fn open(parameters: ffmpeg::codec::Parameters) -> Result<Self, ffmpeg::Error> {
        let context = ffmpeg::codec::Context::from_parameters(parameters)?;
        let codec = ffmpeg::decoder::find(context.id()).ok_or(ffmpeg::Error::DecoderNotFound)?;
        // SAFETY: the context owns its headers and outlives the copy.
        let headers = unsafe {
            let raw = &*context.as_ptr();
            extradata(raw.extradata, raw.extradata_size)
        };
        let repeats =
            (codec.id() == ffmpeg::codec::Id::H264).then(|| Repeats::from_header(headers)).flatten();
        // Without its repeats the stream is an Annex B byte stream, which carries its headers in band.
        let mut context =
            if repeats.is_some() { ffmpeg::codec::Context::new_with_codec(codec) } else { context };
        // Zero means one thread per processor.
        context.set_threading(ffmpeg::codec::threading::Config { count: 0, ..Default::default() });
        let strict = ffmpeg::Dictionary::from_iter([("err_detect", "explode+crccheck+bitstream+buffer")]);
        let decoder = context.decoder().open_as_with(codec, strict)?.video()?;
        let (key_frames, keys) = (KeyFrameRuns::default(), VecDeque::new());
        Ok(Self { decoder, repeats, repeated: 0, sent: 0, decoded: 0, keys, damaged: 0, key_frames })
    }

    fn pictures(&self) -> u64 {
        self.decoded + self.repeated
    }

    fn send(&mut self, packet: &Packet) {
        match self.repeats.as_mut().map(|repeats| repeats.read(packet)) {
            None => self.decode(packet, packet.is_key()),
            Some(Ok(Some(picture))) => self.decode(&Packet::copy(&picture), packet.is_key()),
            Some(Ok(None)) => self.repeated += 1,
            Some(Err(_)) => self.damaged += 1,
        }
    }

    fn decode(&mut self, packet: &Packet, is_key: bool) {
        if is_key {
            self.keys.push_back(self.sent);
        }
        self.sent += 1;
        self.damaged += u64::from(self.decoder.send_packet(packet).is_err());
        self.receive();
    }

    fn finish(&mut self) {
        self.damaged += u64::from(self.decoder.send_eof().is_err());
        self.receive();
    }

    /// Receives all pictures that are ready.
    fn receive(&mut self) {
        let mut decoded = frame::Video::empty();
        loop {
            match self.decoder.receive_frame(&mut decoded) {
                Ok(()) => {
                    if self.keys.pop_front_if(|key| *key == self.decoded).is_some() {
                        self.key_frames.record(&decoded);
                    }
                    self.decoded += 1;
                }
                Err(ffmpeg::Error::Eof) => return,
                Err(ffmpeg::Error::Other { errno }) if errno == ffmpeg::error::EAGAIN => return,
                Err(_) => self.damaged += 1,
            }
        }
    }
}

/// Recognises the H.264 pictures of an MP4 that repeat the one before. A repeat has exactly one encoding, so comparing
/// bytes replaces decoding. The pictures between repeats are renumbered, as if there were no repeats.
struct Repeats {
    sequence: Sequence,
    header: Vec<u8>,
    /// `frame_num` of the previous picture as written.
    number: u32,
    /// `frame_num` of the previous picture without the repeats.
    renumbered: u32,
}

impl Repeats {
    /// Parses an `avcC` header; `None` for any other header, and for streams of other encoders.
    fn from_header(header: Vec<u8>) -> Option<Self> {
        let is_mp4 = header.first() == Some(&1);
        let parameters = is_mp4.then(|| h264::byte_stream(&[], Some(&header)).ok()).flatten()?;
        Some(Self { sequence: Sequence::parse(&parameters).ok()?, header, number: 0, renumbered: 0 })
    }

    /// Returns the picture as a byte stream, `None` for a repeat, or an error for a picture that is out of order.
    fn read(&mut self, packet: &Packet) -> Result<Option<Vec<u8>>, h264::Error> {
        let data = packet.data().unwrap_or_default();
        if packet.is_key() {
            (self.number, self.renumbered) = (0, 0);
            return h264::byte_stream(data, Some(&self.header)).map(Some);
        }
        let picture = h264::byte_stream(data, None)?;
        self.number = self.sequence.next(self.number);
        if picture == self.sequence.repeat(self.number) {
            return Ok(None);
        }
        if picture != self.sequence.set_frame_num(&picture, self.number)? {
            return Err(h264::Error::Unsupported("a picture out of order"));
        }
        self.renumbered = self.sequence.next(self.renumbered);
        self.sequence.set_frame_num(&picture, self.renumbered).map(Some)
    }
}

/// Counts runs of blank and of identical key frames.
#[derive(Default)]
struct KeyFrameRuns {
    last: Option<u64>,
    blank: usize,
    same: usize,
    longest_blank: usize,
    longest_same: usize,
}

impl KeyFrameRuns {
    fn record(&mut self, picture: &frame::Video) {
        let (width, stride) = (picture.width() as usize, picture.stride(0));
        let rows = || picture.data(0).chunks(stride).take(picture.height() as usize).map(|row| &row[..width]);
        let (mut least, mut most) = (u8::MAX, 0);
        let mut hash = blake3::Hasher::new();
        // Every fourth row suffices: a line of text is higher.
        for row in rows().step_by(4) {
            least = row.iter().copied().fold(least, u8::min);
            most = row.iter().copied().fold(most, u8::max);
            hash.update(row);
        }
        let look = u64::from_le_bytes(hash.finalize().as_bytes()[..8].try_into().unwrap_or_default());
        self.blank = if most.saturating_sub(least) <= MAX_BLANK_LUMA_RANGE { self.blank + 1 } else { 0 };
        self.same = if self.last == Some(look) { self.same + 1 } else { 1 };
        self.last = Some(look);
        self.longest_blank = self.longest_blank.max(self.blank);
        self.longest_same = self.longest_same.max(self.same);
    }
}

/// Receives the samples that the decoder has ready, and returns their peak.
fn receive_peak(sound_decoder: &mut ffmpeg::decoder::Audio) -> Result<f32, ffmpeg::Error> {
    let mut decoded = frame::Audio::empty();
    let mut peak = 0.0_f32;
    while sound_decoder.receive_frame(&mut decoded).is_ok() {
        if decoded.format() != Sample::F32(Type::Planar) {
            return Err(ffmpeg::Error::InvalidData);
        }
        peak = decoded.plane::<f32>(0).iter().fold(peak, |peak, sample| peak.max(sample.abs()));
    }
    Ok(peak)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_reported() {
        let sound = Findings {
            pictures: 300,
            picture_start: 0.0,
            picture_end: 10.0,
            sound_start: 0.0,
            sound_end: 10.01,
            damaged: 0,
            disorder: 0,
            peak: 0.4,
            blank_run: 1,
            same_run: 3,
        };
        let allowed = Allowed {
            pictures: 300,
            longest_hold_s: 4.0,
            key_frame_interval_s: 2.0,
            longest_animation_s: 0.0,
        };
        assert_eq!(find_faults(&sound, &allowed), Vec::<String>::new());
        // Code may draw a single colour for as long as its scene lasts.
        let one_colour = Findings { blank_run: 4, ..sound.clone() };
        let drawn = Allowed { longest_animation_s: 6.0, ..allowed };
        assert_eq!(find_faults(&one_colour, &drawn), Vec::<String>::new());
        assert_eq!(find_faults(&one_colour, &allowed).len(), 1);
        let broken = Findings {
            pictures: 299,
            picture_start: 0.1,
            sound_end: 9.0,
            damaged: 1,
            disorder: 2,
            peak: 0.0,
            blank_run: 4,
            same_run: 9,
            ..sound
        };
        assert_eq!(
            find_faults(&broken, &allowed),
            [
                "1 pictures or pieces of sound are damaged",
                "2 timestamps do not rise",
                "it has 299 pictures, not 300",
                "picture and sound begin 100 ms apart",
                "picture and sound end 1000 ms apart",
                "its loudest sample is 0.0000 of 1: nothing can be heard",
                "4 key frames in a row show nothing",
                "9 key frames in a row are the same, but the longest step explains 5",
            ]
        );
    }
}
