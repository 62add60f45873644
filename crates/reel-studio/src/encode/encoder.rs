//! Encodes one scene as a clip: its pictures, and in an MP4 its narration as AAC.
//!
//! The cost is proportional to what changes: only pictures that differ from the previous one are encoded, and all others
//! are repeats ([`crate::encode::picture_encoder`]). All scenes of a job have the same stream headers, so `combine` joins
//! them without encoding pictures again.

use std::path::{Path, PathBuf};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::context::Output;
use ffmpeg_next::{Packet, Rational, packet};
use tokio_util::sync::CancellationToken;

use crate::draw::highlight::Highlight;
use crate::draw::morph::Morph;
use crate::draw::motion::Transition;
use crate::draw::pen::{Ink, Pen};
use crate::draw::picture::Picture;
use crate::draw::step_motion::{Moving, StepMotion};
use crate::encode::h264;
use crate::encode::hardware::Hardware;
use crate::encode::picture_encoder::{EncodedPicture, PictureEncoder};
use crate::encode::sound::{self, SoundTrack};
use crate::ffmpeg::{Index, create, part_file, set_headers, write_header, write_packet};
use reel_scene::format::{OutputFormat, VideoCodec};
use reel_scene::{Entrance, Leave, SceneTimeline};

/// Seconds from one key frame to the next.
pub const KEY_FRAME_INTERVAL_S: u32 = 2;
/// Seconds that new content takes to appear.
const ENTRANCE_S: f64 = 0.4;
/// Seconds that the scene takes to disappear.
const EXIT_S: f64 = 0.2;
/// Seconds for which each page of a step with several pages is shown.
const PAGE_S: f64 = 1.0 / 30.0;

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

/// Wraps an FFmpeg error with what was attempted, such as "open the scene's file".
pub(crate) fn failed_to(attempted: &'static str) -> impl FnOnce(ffmpeg::Error) -> Error {
    move |source| Error::Ffmpeg { attempted, source }
}

#[derive(Debug, Clone)]
pub struct EncodeSettings {
    pub codec: VideoCodec,
    /// Pixels, both even.
    pub width: u32,
    pub height: u32,
    /// Frames per second, constant.
    pub fps: u32,
    /// The constant rate factor on x264's scale: lower means better and larger.
    pub crf: u32,
    /// The graphics processor that encodes H.264; `None` for libx264.
    pub hardware: Option<Hardware>,
    /// Threads of one encoder. Scenes are encoded in parallel, so one suffices.
    pub threads: u32,
}

impl EncodeSettings {
    pub fn new(width: u32, height: u32, fps: u32) -> Self {
        Self { codec: VideoCodec::H264, width, height, fps, crf: 22, hardware: None, threads: 1 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodedScene {
    pub frames: u64,
    pub bytes: u64,
}

/// The parts of a scene.
#[derive(Clone, Copy)]
pub struct SceneParts<'a> {
    /// One motion for each step.
    pub motions: &'a [StepMotion],
    pub leave: Leave,
    pub timeline: &'a SceneTimeline,
    /// The sound, as long as the timeline; `None` for a clip without sound.
    pub sound: Option<&'a SoundTrack>,
    /// Where the scene's beginning goes as soon as it is encoded.
    pub beginning: Option<Beginning<'a>>,
}

/// Where to write the beginning of a scene, as a clip of its own, while the rest of the scene is encoded.
#[derive(Clone, Copy)]
pub struct Beginning<'a> {
    pub out: &'a Path,
    /// It ends before the first key frame after so many frames. A scene that ends there, or before, has no beginning.
    pub min_frames: u32,
    /// Called once the file is there.
    pub on_written: &'a (dyn Fn() + Sync),
}

/// Writes the scene to `out`, which appears when it is whole.
///
/// `page` returns a picture by number: 0 is the page before the first step, and the pages of each step follow. It is called
/// with rising numbers, some of which may be missing. The scene ends with its first picture, with which the next scene
/// begins. Blocks, and checks `cancel` once per frame.
pub fn encode_scene<E: From<Error>>(
    mut page: impl FnMut(u32) -> Result<Picture, E>,
    parts: SceneParts<'_>,
    settings: &EncodeSettings,
    out: &Path,
    on_frame: &mut dyn FnMut(u64, u64),
    cancel: &CancellationToken,
) -> Result<EncodedScene, E> {
    let SceneParts { motions, leave, timeline, sound, beginning } = parts;
    let needed = timeline.steps.len();
    if motions.len() != needed {
        return Err(Error::Motions { motions: motions.len(), needed }.into());
    }
    let file = |source| Error::File { path: out.to_owned(), source };
    let part = part_file(out).map_err(file)?;
    let beginning = beginning.map(|place| EncodedBeginning { place, sound, pictures: vec![] });
    let scene = SceneWriter::open(&part, settings, sound, beginning)?;
    let mut frames_out = FrameWriter { scene, timeline, on_frame, cancel };
    let blank = page(0)?;
    let mut shown = blank.clone();
    let mut next = 1;
    for (step, (timing, motion)) in timeline.steps.iter().zip(motions).enumerate() {
        let is_last = step + 1 == needed;
        let pages = motion.pages.max(1);
        let entrance_s = motion.moving.duration_s().unwrap_or(ENTRANCE_S);
        let split = StepFrames::split(timing.frames, (pages, entrance_s), settings.fps, is_last);
        let before = shown;
        shown = page(next)?;
        let frames = split.entrance;
        match &motion.moving {
            Moving::Terms(moves) if !moves.is_empty() => {
                let morph = Morph::new(&before, &shown, moves, frames);
                frames_out.write_drawn(&before, frames, |canvas, number| morph.draw(canvas, number))?;
            }
            Moving::Highlight(Some(highlight_move)) => {
                let highlight = Highlight::new(&before, &shown, *highlight_move, frames);
                frames_out.write_drawn(&before, frames, |canvas, number| highlight.draw(canvas, number))?;
            }
            Moving::Strokes(strokes) => {
                let ink = Ink::new(&before, &shown, strokes);
                let rest_frames = in_frames(ENTRANCE_S, settings.fps);
                let pictures = (&before, &shown);
                let pen = Pen::new(pictures, &ink, motion.entrance, (rest_frames, frames));
                match pen.is_static() && frames_out.scene.file.frames > 0 {
                    true => frames_out.repeat_frame(frames)?,
                    false => {
                        frames_out.write_drawn(&before, frames, |canvas, number| pen.draw(canvas, number))?
                    }
                }
            }
            _ => frames_out.write_transition(
                &before,
                Transition::new(&before, &shown, motion.entrance, frames),
                frames,
            )?,
        }
        for following in split.growth_pages(pages) {
            shown = page(next + following)?;
            frames_out.write_frame(&shown)?;
            frames_out.repeat_frame(split.frames_per_page - 1)?;
        }
        next += pages;
        frames_out.repeat_frame(split.hold)?;
        if is_last {
            frames_out.write_transition(
                &shown,
                Transition::exit(&shown, &blank, leave, split.exit),
                split.exit,
            )?;
        }
    }
    let frames = frames_out.scene.finish()?;
    let bytes = std::fs::metadata(&part).map_err(file)?.len();
    part.persist(out).map_err(|error| file(error.error))?;
    Ok(EncodedScene { frames, bytes })
}

/// The pictures of an animation that another program draws.
pub struct AnimationParts<'a> {
    /// The empty page, with which the scene begins and ends.
    pub blank: &'a Picture,
    pub leave: Leave,
    pub timeline: &'a SceneTimeline,
    /// The sound, as long as the timeline; `None` for a clip without sound.
    pub sound: Option<&'a SoundTrack>,
}

/// Returns the frames of a scene that shows an animation of this duration, with its entrance and its exit.
pub fn animation_frames(duration_ms: u32, fps: u32) -> u32 {
    let frames = (u64::from(duration_ms) * u64::from(fps)).div_ceil(1000) as u32;
    frames.saturating_add(2 * in_frames(EXIT_S, fps))
}

/// Writes the pictures of an animation to `out`, which appears when it is whole.
///
/// `draw` hands over each picture with the frames for which it stays, `None` for the last picture once more, until it has no more or
/// `false` is answered. The last picture stays until the scene ends; what is longer than the scene is left out. Blocks, and checks
/// `cancel` once per frame.
pub fn encode_animation<E: From<Error>>(
    draw: impl FnOnce(&mut dyn FnMut(Option<Picture>, u32) -> bool) -> Result<(), E>,
    parts: &AnimationParts<'_>,
    settings: &EncodeSettings,
    out: &Path,
    on_frame: &mut dyn FnMut(u64, u64),
    cancel: &CancellationToken,
) -> Result<EncodedScene, E> {
    let AnimationParts { blank, leave, timeline, sound } = *parts;
    let file = |source| Error::File { path: out.to_owned(), source };
    let part = part_file(out).map_err(file)?;
    let scene = SceneWriter::open(&part, settings, sound, None)?;
    let mut frames_out = FrameWriter { scene, timeline, on_frame, cancel };
    let edge = in_frames(EXIT_S, settings.fps).min(timeline.frames / 4);
    let mut left = timeline.frames - 2 * edge;
    let mut shown: Option<Picture> = None;
    let mut failed: Option<Error> = None;
    draw(&mut |picture, frames| {
        let written = match (picture, &shown) {
            (Some(picture), before) => {
                let written = match before {
                    None => {
                        let entrance = Transition::new(blank, &picture, Entrance::Fade, edge);
                        frames_out.write_transition(blank, entrance, edge)
                    }
                    Some(_) => Ok(()),
                };
                let frames = frames.min(left);
                left -= frames;
                let written = written.and_then(|()| match frames {
                    0 => Ok(()),
                    frames => {
                        frames_out.write_frame(&picture).and_then(|()| frames_out.repeat_frame(frames - 1))
                    }
                });
                shown = Some(picture);
                written
            }
            (None, Some(_)) => {
                let frames = frames.min(left);
                left -= frames;
                frames_out.repeat_frame(frames)
            }
            (None, None) => Ok(()),
        };
        failed = written.err();
        failed.is_none() && left > 0
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    let shown = match shown {
        Some(shown) => shown,
        None => {
            frames_out.write_transition(blank, Transition::new(blank, blank, Entrance::Fade, edge), edge)?;
            blank.clone()
        }
    };
    frames_out.repeat_frame(left)?;
    frames_out.write_transition(&shown, Transition::exit(&shown, blank, leave, edge), edge)?;
    let frames = frames_out.scene.finish()?;
    let bytes = std::fs::metadata(&part).map_err(file)?.len();
    part.persist(out).map_err(|error| file(error.error))?;
    Ok(EncodedScene { frames, bytes })
}

fn in_frames(seconds: f64, fps: u32) -> u32 {
    (seconds * f64::from(fps)).round() as u32
}

/// The division of a step's frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct StepFrames {
    /// Frames of the transition to the step's first page; the last of them shows the whole page.
    entrance: u32,
    /// Frames of each page after the first, at least 1.
    frames_per_page: u32,
    /// Set when all pages after the first are shown; in a step too short for that, only the last one is.
    all_pages: bool,
    /// Frames for which the last page stays.
    hold: u32,
    /// Frames of the transition back to the empty page.
    exit: u32,
}

impl StepFrames {
    fn split(frames: u32, (pages, entrance_s): (u32, f64), fps: u32, is_last: bool) -> Self {
        let in_frames = |seconds: f64| in_frames(seconds, fps);
        let exit = if is_last { in_frames(EXIT_S).min(frames / 4) } else { 0 };
        let following = pages - 1;
        let entrance = in_frames(entrance_s).min((frames - exit) / 2).max(1).min(frames);
        let room = frames.saturating_sub(exit + entrance);
        let frames_per_page = in_frames(PAGE_S).max(1);
        let (frames_per_page, all_pages) = match following {
            _ if following * frames_per_page <= room => (frames_per_page, true),
            _ if following <= room => (1, true),
            _ => (1, false),
        };
        let shown = if all_pages { following * frames_per_page } else { room.min(1) };
        Self { entrance, frames_per_page, all_pages, hold: room - shown, exit }
    }

    /// Returns the pages shown after a step's first page, counted from it.
    fn growth_pages(&self, pages: u32) -> std::ops::Range<u32> {
        if self.all_pages { 1..pages } else { pages - 1..pages }
    }
}

/// Writes frames, reports progress, and stops when it is cancelled.
struct FrameWriter<'a> {
    scene: SceneWriter<'a>,
    timeline: &'a SceneTimeline,
    on_frame: &'a mut dyn FnMut(u64, u64),
    cancel: &'a CancellationToken,
}

impl FrameWriter<'_> {
    fn write_transition(
        &mut self,
        from: &Picture,
        transition: Transition<'_>,
        frames: u32,
    ) -> Result<(), Error> {
        if transition.is_static() && self.scene.file.frames > 0 {
            return self.repeat_frame(frames);
        }
        self.write_drawn(from, frames, |canvas, number| transition.draw(canvas, number))
    }

    /// Writes frames that are each drawn over the previous one, the first over `from`.
    fn write_drawn(
        &mut self,
        from: &Picture,
        frames: u32,
        draw: impl Fn(&mut Picture, u32),
    ) -> Result<(), Error> {
        let mut canvas = from.clone();
        for number in 1..=frames {
            draw(&mut canvas, number);
            self.write_frame(&canvas)?;
        }
        Ok(())
    }

    fn write_frame(&mut self, picture: &Picture) -> Result<(), Error> {
        self.check_cancelled()?;
        self.scene.write_picture(picture)?;
        (self.on_frame)(self.scene.file.frames, u64::from(self.timeline.frames));
        Ok(())
    }

    fn repeat_frame(&mut self, frames: u32) -> Result<(), Error> {
        for _ in 0..frames {
            self.check_cancelled()?;
            self.scene.repeat_picture()?;
            (self.on_frame)(self.scene.file.frames, u64::from(self.timeline.frames));
        }
        Ok(())
    }

    fn check_cancelled(&self) -> Result<(), Error> {
        if self.cancel.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }
}

const VIDEO: usize = 0;
const AUDIO: usize = 1;

struct SceneWriter<'a> {
    file: ClipFile,
    pictures: PictureEncoder,
    format: OutputFormat,
    /// Until it is written.
    beginning: Option<EncodedBeginning<'a>>,
}

/// The pictures of a scene's beginning, as far as they are encoded.
struct EncodedBeginning<'a> {
    place: Beginning<'a>,
    sound: Option<&'a SoundTrack>,
    pictures: Vec<EncodedPicture>,
}

impl<'a> SceneWriter<'a> {
    fn open(
        path: &Path,
        settings: &EncodeSettings,
        sound: Option<&SoundTrack>,
        beginning: Option<EncodedBeginning<'a>>,
    ) -> Result<Self, Error> {
        let format = settings.codec.of_clips();
        let pictures = PictureEncoder::open(settings)?;
        Ok(Self { file: ClipFile::open(path, format, &pictures, sound)?, pictures, format, beginning })
    }

    fn write_picture(&mut self, picture: &Picture) -> Result<(), Error> {
        let encoded = self.pictures.encode(picture)?;
        self.write_encoded(encoded)
    }

    fn repeat_picture(&mut self) -> Result<(), Error> {
        let encoded = self.pictures.repeat()?;
        self.write_encoded(encoded)
    }

    fn write_encoded(&mut self, encoded: EncodedPicture) -> Result<(), Error> {
        self.file.write_picture(&encoded)?;
        let is_whole = |beginning: &EncodedBeginning<'_>| {
            encoded.is_key && beginning.pictures.len() >= beginning.place.min_frames as usize
        };
        if let Some(beginning) = self.beginning.take_if(|beginning| is_whole(beginning)) {
            beginning.write(self.format, &self.pictures)?;
        } else if let Some(beginning) = &mut self.beginning {
            beginning.pictures.push(encoded);
        }
        Ok(())
    }

    fn finish(self) -> Result<u64, Error> {
        self.file.finish()
    }
}

impl EncodedBeginning<'_> {
    fn write(self, format: OutputFormat, encoder: &PictureEncoder) -> Result<(), Error> {
        let Beginning { out, on_written, .. } = self.place;
        let failed = |source| Error::File { path: out.to_owned(), source };
        let part = part_file(out).map_err(failed)?;
        let mut file = ClipFile::open(&part, format, encoder, self.sound)?;
        self.pictures.iter().try_for_each(|picture| file.write_picture(picture))?;
        file.finish()?;
        part.persist(out).map_err(|error| failed(error.error))?;
        on_written();
        Ok(())
    }
}

/// A file with one video stream, and one audio stream if there is sound.
struct ClipFile {
    output: Output,
    /// Of the pictures.
    time_base: Rational,
    frames: u64,
}

impl ClipFile {
    /// Opens the file and writes all of the sound; the muxer interleaves it with the pictures that follow.
    fn open(
        path: &Path,
        format: OutputFormat,
        pictures: &PictureEncoder,
        sound: Option<&SoundTrack>,
    ) -> Result<Self, Error> {
        let mut output = create(path, format).map_err(failed_to("open the scene's file"))?;
        let mut stream =
            output.add_stream_with(&pictures.encoder).map_err(failed_to("add the video stream"))?;
        stream.set_time_base(pictures.time_base);
        stream.set_avg_frame_rate(pictures.time_base.invert());
        if !pictures.headers.is_empty() {
            set_headers(&mut stream, &pictures.headers)
                .map_err(failed_to("set the video stream's headers"))?;
        }
        if let Some(sound) = sound {
            output.add_stream_with(sound.context()).map_err(failed_to("add the audio stream"))?;
        }
        write_header(&mut output, format, Index::First).map_err(failed_to("write the scene's header"))?;
        let mut file = Self { output, time_base: pictures.time_base, frames: 0 };
        let mut packets = sound.into_iter().flat_map(SoundTrack::packets);
        packets.try_for_each(|packet| file.write(packet, AUDIO, sound::TIME_BASE))?;
        Ok(file)
    }

    fn write_picture(&mut self, encoded: &EncodedPicture) -> Result<(), Error> {
        let mut packet = Packet::copy(&encoded.bytes);
        packet.set_pts(Some(self.frames as i64));
        packet.set_dts(Some(self.frames as i64));
        packet.set_duration(1);
        if encoded.is_key {
            packet.set_flags(packet::Flags::KEY);
        }
        self.frames += 1;
        self.write(packet, VIDEO, self.time_base)
    }

    fn write(&mut self, mut packet: Packet, stream: usize, time_base: Rational) -> Result<(), Error> {
        write_packet(&mut self.output, &mut packet, stream, time_base).map_err(failed_to("write the scene"))
    }

    fn finish(mut self) -> Result<u64, Error> {
        self.output.write_trailer().map_err(failed_to("write the scene's end"))?;
        Ok(self.frames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frames_of_a_step_are_all_used_once() {
        for frames in [1, 2, 3, 7, 20, 45, 90, 300] {
            for pages in [1, 2, 25] {
                for (fps, is_last) in [(30, false), (30, true), (60, false), (24, true)] {
                    let split = StepFrames::split(frames, (pages, ENTRANCE_S), fps, is_last);
                    let frames_per_page = split.growth_pages(pages).len() as u32 * split.frames_per_page;
                    let used = split.entrance + frames_per_page + split.hold + split.exit;
                    // A step of a single frame has no room for its last page.
                    assert!(used == frames || frames < 3, "{frames} frames, {pages} pages: {split:?}");
                }
            }
        }
    }

    /// 000-2.3: an animation has all frames of its scene, whether it is shorter or longer than the narration.
    #[test]
    fn an_animation_fills_its_scene_exactly() {
        let out = tempfile::tempdir().unwrap();
        let path = out.path().join("scene.mp4");
        let timeline = SceneTimeline { fps: 30, frames: 60, steps: vec![] };
        let blank = Picture::filled([250; 3], 64, 64);
        for pictures in [0, 1, 10, 100] {
            let mut asked = 0;
            let draw = |show: &mut dyn FnMut(Option<Picture>, u32) -> bool| -> Result<(), Error> {
                for number in 0..pictures {
                    asked += 1;
                    let picture = Picture::filled([number as u8; 3], 64, 64);
                    if !show(Some(picture).filter(|_| number % 3 != 1), 1) {
                        break;
                    }
                }
                Ok(())
            };
            let parts =
                AnimationParts { blank: &blank, leave: Leave::Fade, timeline: &timeline, sound: None };
            let settings = EncodeSettings::new(64, 64, 30);
            let encoded =
                encode_animation(draw, &parts, &settings, &path, &mut |_, _| {}, &CancellationToken::new());
            assert_eq!(encoded.unwrap().frames, 60, "{pictures} pictures");
            assert_eq!(asked, pictures.min(48), "it asks for no more than there is room for");
        }
        assert_eq!(animation_frames(1001, 30), 31 + 12);
    }

    #[test]
    fn motions_and_steps_must_match() {
        let out = tempfile::tempdir().unwrap();
        let timeline = SceneTimeline { fps: 30, frames: 0, steps: vec![] };
        let motions = [StepMotion::default()];
        let result: Result<_, Error> = encode_scene(
            |_| Ok(Picture::filled([0; 3], 64, 64)),
            SceneParts {
                motions: &motions,
                leave: Leave::Fade,
                timeline: &timeline,
                sound: None,
                beginning: None,
            },
            &EncodeSettings::new(64, 64, 30),
            &out.path().join("scene.mp4"),
            &mut |_, _| {},
            &CancellationToken::new(),
        );
        assert_eq!(result.unwrap_err().to_string(), "the scene has 1 motions, but its timeline needs 0");
    }
}
