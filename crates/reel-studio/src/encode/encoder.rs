//! One scene as a clip: pictures that move when something new comes, and in an MP4 its narration as AAC.
//!
//! The cost follows what changes: only pictures that differ from the one before are encoded, all others are repeated
//! ([`crate::encode::picture_encoder`]). All scenes of a job have the same stream headers, which lets `combine` join them
//! without encoding pictures again.

use std::path::{Path, PathBuf};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::context::Output;
use ffmpeg_next::{Packet, Rational, packet};
use tokio_util::sync::CancellationToken;

use crate::draw::highlight::Highlight;
use crate::draw::morph::Morph;
use crate::draw::motion::Transition;
use crate::draw::picture::Picture;
use crate::draw::step_motion::{Moving, StepMotion};
use crate::encode::h264;
use crate::encode::hardware::Hardware;
use crate::encode::picture_encoder::{PictureEncoder, Unit};
use crate::encode::sound::{self, SoundTrack};
use crate::ffmpeg::{create, part_file, set_headers, write_header, write_packet};
use reel_scene::format::VideoCodec;
use reel_scene::{Leave, SceneTimeline};

/// Seconds between key frames.
pub const KEY_FRAME_EVERY_SECONDS: u32 = 2;
/// Seconds that something new takes to appear.
const ENTRANCE_SECONDS: f64 = 0.4;
/// Seconds that the scene takes to disappear.
const EXIT_SECONDS: f64 = 0.2;
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

pub(crate) fn at(attempted: &'static str) -> impl FnOnce(ffmpeg::Error) -> Error {
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
    /// The constant rate factor, on x264's scale; less is better and larger.
    pub crf: u32,
    /// Who encodes H.264; the processor itself without any.
    pub hardware: Option<Hardware>,
    /// Threads of one encoder; scenes are encoded side by side, so one is enough.
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

/// What a scene is made of.
#[derive(Clone, Copy)]
pub struct SceneParts<'a> {
    /// One for each step.
    pub motions: &'a [StepMotion],
    pub leave: Leave,
    pub timeline: &'a SceneTimeline,
    /// As long as the timeline; `None` for a clip without sound.
    pub sound: Option<&'a SoundTrack>,
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
    let SceneParts { motions, leave, timeline, sound } = parts;
    let needed = timeline.steps.len();
    if motions.len() != needed {
        return Err(Error::Motions { motions: motions.len(), needed }.into());
    }
    let file = |source| Error::File { path: out.to_owned(), source };
    let part = part_file(out).map_err(file)?;
    let mut film = Film { scene: SceneWriter::open(&part, settings, sound)?, timeline, on_frame, cancel };
    let blank = page(0)?;
    let mut shown = blank.clone();
    let mut next = 1;
    for (step, (timing, motion)) in timeline.steps.iter().zip(motions).enumerate() {
        let is_last = step + 1 == needed;
        let pages = motion.pages.max(1);
        let entrance_seconds = motion.moving.seconds().unwrap_or(ENTRANCE_SECONDS);
        let shots = Shots::of(timing.frames, (pages, entrance_seconds), settings.fps, is_last);
        let before = shown;
        shown = page(next)?;
        let frames = shots.entrance;
        match &motion.moving {
            Moving::Terms(moves) if !moves.is_empty() => {
                let morph = Morph::new(&before, &shown, moves, frames);
                film.draw(&before, frames, |canvas, number| morph.draw(canvas, number))?;
            }
            Moving::Highlight(Some(passage)) => {
                let highlight = Highlight::new(&before, &shown, *passage, frames);
                film.draw(&before, frames, |canvas, number| highlight.draw(canvas, number))?;
            }
            _ => film.change(&before, Transition::new(&before, &shown, motion.entrance, frames), frames)?,
        }
        for following in shots.grown_pages(pages) {
            shown = page(next + following)?;
            film.move_to(&shown)?;
            film.hold(shots.grown - 1)?;
        }
        next += pages;
        film.hold(shots.held)?;
        if is_last {
            film.change(&shown, Transition::leaving(&shown, &blank, leave, shots.exit), shots.exit)?;
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
    fn of(frames: u32, (pages, entrance_seconds): (u32, f64), fps: u32, is_last: bool) -> Self {
        let in_frames = |seconds: f64| (seconds * f64::from(fps)).round() as u32;
        let exit = if is_last { in_frames(EXIT_SECONDS).min(frames / 4) } else { 0 };
        let following = pages - 1;
        let entrance = in_frames(entrance_seconds).min((frames - exit) / 2).max(1).min(frames);
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
    fn change(&mut self, from: &Picture, transition: Transition<'_>, frames: u32) -> Result<(), Error> {
        if transition.is_still() && self.scene.frames > 0 {
            return self.hold(frames);
        }
        self.draw(from, frames, |canvas, number| transition.draw(canvas, number))
    }

    /// Frames that are drawn one over the other, the first over a picture.
    fn draw(&mut self, from: &Picture, frames: u32, draw: impl Fn(&mut Picture, u32)) -> Result<(), Error> {
        let mut canvas = from.clone();
        for number in 1..=frames {
            draw(&mut canvas, number);
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
    frames: u64,
}

impl SceneWriter {
    /// All of the sound is written first; the muxer interleaves it with the pictures that follow.
    fn open(path: &Path, settings: &EncodeSettings, sound: Option<&SoundTrack>) -> Result<Self, Error> {
        let format = settings.codec.of_clips();
        let mut output = create(path, format).map_err(at("open the scene's file"))?;
        let pictures = PictureEncoder::open(settings)?;
        let mut stream = output.add_stream_with(&pictures.encoder).map_err(at("add the video stream"))?;
        stream.set_time_base(pictures.time_base);
        stream.set_avg_frame_rate(pictures.time_base.invert());
        if !pictures.headers.is_empty() {
            set_headers(&mut stream, &pictures.headers).map_err(at("set the video stream's headers"))?;
        }
        if let Some(sound) = sound {
            output.add_stream_with(sound.context()).map_err(at("add the audio stream"))?;
        }
        write_header(&mut output, format).map_err(at("write the scene's header"))?;
        let mut writer = Self { output, pictures, frames: 0 };
        let mut packets = sound.into_iter().flat_map(SoundTrack::packets);
        packets.try_for_each(|packet| writer.write(packet, AUDIO, sound::TIME_BASE))?;
        Ok(writer)
    }

    fn write_picture(&mut self, picture: &Picture) -> Result<(), Error> {
        let unit = self.pictures.encode(picture)?;
        self.write_unit(&unit)
    }

    fn repeat_picture(&mut self) -> Result<(), Error> {
        let unit = self.pictures.repeat()?;
        self.write_unit(&unit)
    }

    fn write_unit(&mut self, unit: &Unit) -> Result<(), Error> {
        let mut packet = Packet::copy(&unit.bytes);
        packet.set_pts(Some(self.frames as i64));
        packet.set_dts(Some(self.frames as i64));
        packet.set_duration(1);
        if unit.is_key {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frames_of_a_step_are_all_used_once() {
        for frames in [1, 2, 3, 7, 20, 45, 90, 300] {
            for pages in [1, 2, 25] {
                for (fps, is_last) in [(30, false), (30, true), (60, false), (24, true)] {
                    let shots = Shots::of(frames, (pages, ENTRANCE_SECONDS), fps, is_last);
                    let grown = shots.grown_pages(pages).len() as u32 * shots.grown;
                    let used = shots.entrance + grown + shots.held + shots.exit;
                    // A step of a single frame has no room for its last page.
                    assert!(used == frames || frames < 3, "{frames} frames, {pages} pages: {shots:?}");
                }
            }
        }
    }

    #[test]
    fn motions_and_steps_must_match() {
        let out = tempfile::tempdir().unwrap();
        let timeline = SceneTimeline { fps: 30, frames: 0, steps: vec![] };
        let motions = [StepMotion::default()];
        let result: Result<_, Error> = encode_scene(
            |_| Ok(Picture::of([0; 3], 64, 64)),
            SceneParts { motions: &motions, leave: Leave::Fade, timeline: &timeline, sound: None },
            &EncodeSettings::new(64, 64, 30),
            &out.path().join("scene.mp4"),
            &mut |_, _| {},
            &CancellationToken::new(),
        );
        assert_eq!(result.unwrap_err().to_string(), "the scene has 1 motions, but its timeline needs 0");
    }
}
