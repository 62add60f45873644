//! One scene as an MP4: H.264 pictures that fade from step to step, and its narration as AAC.
//!
//! Frames that do not change are sent to the encoder again by reference, without a copy; all
//! settings are chosen so that such a frame costs little and that every scene of a job has the same
//! stream headers, which lets `combine` join them without encoding.

use std::path::{Path, PathBuf};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::format::context::Output;
use ffmpeg_next::{Dictionary, Packet, Rational, codec, color, encoder, frame};
use tokio_util::sync::CancellationToken;

use super::aac::{self, AacEncoder};
use super::ffmpeg::{create_mp4, drain, is_disk_full, part_file, write_fast_start_header};
use super::narration::Pcm;
use super::picture::Picture;
use crate::scene::SceneTimeline;

/// Seconds between key frames.
const KEY_FRAME_EVERY_SECONDS: u32 = 2;
/// Seconds that something new takes to appear.
const FADE_SECONDS: f64 = 0.4;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {attempted}")]
    Ffmpeg { attempted: &'static str, source: ffmpeg::Error },
    #[error("cannot write {}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("the scene has {pictures} pictures, but its timeline needs {needed}")]
    Pictures { pictures: usize, needed: usize },
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    pub fn is_disk_full(&self) -> bool {
        match self {
            Error::Ffmpeg { source, .. } => is_disk_full(source),
            Error::File { source, .. } => source.kind() == std::io::ErrorKind::StorageFull,
            Error::Pictures { .. } | Error::Cancelled => false,
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
        Self { width, height, fps, crf: 20, threads: 1 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodedScene {
    pub frames: u64,
    pub bytes: u64,
}

/// Writes the scene to `out`, which appears when it is whole. `pictures` holds what is there before
/// the first step, then the picture of each step. Blocks; looks at `cancel` for every frame.
pub fn encode_scene(
    pictures: &[Picture],
    timeline: &SceneTimeline,
    narration: &Pcm,
    settings: &EncodeSettings,
    out: &Path,
    on_frame: &mut dyn FnMut(u64, u64),
    cancel: &CancellationToken,
) -> Result<EncodedScene, Error> {
    let needed = timeline.steps.len() + 1;
    if pictures.len() != needed {
        return Err(Error::Pictures { pictures: pictures.len(), needed });
    }
    let file = |source| Error::File { path: out.to_owned(), source };
    let part = part_file(out).map_err(file)?;
    let mut scene = SceneWriter::open(&part, settings)?;
    scene.write_narration(narration)?;
    let total = u64::from(timeline.frames);
    for shot in shots(timeline, settings.fps) {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        match shot {
            Shot::Fade { step, share } => {
                let blend = Picture::blend(&pictures[step], &pictures[step + 1], share);
                scene.write_picture(&mut to_frame(&blend))?;
                on_frame(scene.frames, total);
            }
            Shot::Hold { step, frames } => {
                let mut held = to_frame(&pictures[step + 1]);
                for _ in 0..frames {
                    if cancel.is_cancelled() {
                        return Err(Error::Cancelled);
                    }
                    scene.write_picture(&mut held)?;
                    on_frame(scene.frames, total);
                }
            }
        }
    }
    let frames = scene.finish()?;
    let bytes = std::fs::metadata(&part).map_err(file)?.len();
    part.persist(out).map_err(|error| file(error.error))?;
    Ok(EncodedScene { frames, bytes })
}

/// What the frames of a scene show.
#[derive(Debug, PartialEq, Eq)]
enum Shot {
    /// One frame between the picture before the step and the step's own; `share` of 256 is the new one's.
    Fade {
        step: usize,
        share: u32,
    },
    Hold {
        step: usize,
        frames: u32,
    },
}

fn shots(timeline: &SceneTimeline, fps: u32) -> Vec<Shot> {
    let fade = (FADE_SECONDS * f64::from(fps)).round() as u32;
    let mut shots = vec![];
    for (step, timing) in timeline.steps.iter().enumerate() {
        // The last frame of a fade would equal the held picture.
        let faded = fade.saturating_sub(1).min(timing.frames.saturating_sub(1));
        shots.extend((1..=faded).map(|frame| Shot::Fade { step, share: eased(frame, faded + 1) }));
        shots.push(Shot::Hold { step, frames: timing.frames - faded });
    }
    shots
}

/// Starts and ends gently: the smooth step 3t^2 - 2t^3, of 256.
fn eased(frame: u32, frames: u32) -> u32 {
    let t = f64::from(frame) / f64::from(frames);
    ((3.0 - 2.0 * t) * t * t * 256.0).round() as u32
}

struct SceneWriter {
    output: Output,
    video: encoder::Video,
    audio: AacEncoder,
    fps: Rational,
    frames: u64,
}

const VIDEO: usize = 0;
const AUDIO: usize = 1;

impl SceneWriter {
    fn open(path: &Path, settings: &EncodeSettings) -> Result<Self, Error> {
        let mut output = create_mp4(path).map_err(at("open the scene's file"))?;
        let video = open_h264(settings).map_err(at("open the H.264 encoder"))?;
        let audio = AacEncoder::open().map_err(at("open the AAC encoder"))?;
        let fps = Rational(1, settings.fps as i32);
        let mut stream = output.add_stream_with(&video).map_err(at("add the video stream"))?;
        stream.set_time_base(fps);
        stream.set_avg_frame_rate(Rational(settings.fps as i32, 1));
        output.add_stream_with(audio.context()).map_err(at("add the audio stream"))?;
        write_fast_start_header(&mut output).map_err(at("write the scene's header"))?;
        Ok(Self { output, video, audio, fps, frames: 0 })
    }

    /// All of it at once; the muxer interleaves it with the pictures that follow.
    fn write_narration(&mut self, narration: &Pcm) -> Result<(), Error> {
        let mut packets = self.audio.push(&narration.samples).map_err(at("encode the narration"))?;
        packets.extend(self.audio.finish().map_err(at("encode the narration"))?);
        packets.into_iter().try_for_each(|packet| self.write(packet, AUDIO, aac::TIME_BASE))
    }

    fn write_picture(&mut self, picture: &mut frame::Video) -> Result<(), Error> {
        picture.set_pts(Some(self.frames as i64));
        self.frames += 1;
        self.video.send_frame(picture).map_err(at("encode a picture"))?;
        self.write_ready_pictures()
    }

    fn write_ready_pictures(&mut self) -> Result<(), Error> {
        let packets = drain(|packet| self.video.receive_packet(packet)).map_err(at("encode a picture"))?;
        for mut packet in packets {
            packet.set_duration(1);
            self.write(packet, VIDEO, self.fps)?;
        }
        Ok(())
    }

    fn write(&mut self, mut packet: Packet, stream: usize, time_base: Rational) -> Result<(), Error> {
        let target = self.output.stream(stream).map_or(time_base, |stream| stream.time_base());
        packet.set_stream(stream);
        packet.rescale_ts(time_base, target);
        packet.write_interleaved(&mut self.output).map_err(at("write the scene"))
    }

    fn finish(mut self) -> Result<u64, Error> {
        self.video.send_eof().map_err(at("end the video stream"))?;
        self.write_ready_pictures()?;
        self.output.write_trailer().map_err(at("write the scene's end"))?;
        Ok(self.frames)
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
    video.set_gop(settings.fps * KEY_FRAME_EVERY_SECONDS);
    video.set_max_b_frames(0);
    video.set_colorspace(color::Space::BT709);
    video.set_color_range(color::Range::MPEG);
    video.set_color_primaries(color::Primaries::BT709);
    video.set_color_transfer_characteristic(color::TransferCharacteristic::BT709);
    let mut options = Dictionary::new();
    options.set("preset", "superfast");
    options.set("profile", "high");
    options.set("crf", &settings.crf.to_string());
    // No lookahead and no analysis that pays only for moving pictures; `stitchable` keeps the headers
    // of all scenes the same.
    options.set(
        "x264-params",
        "scenecut=0:rc-lookahead=0:sync-lookahead=0:mbtree=0:weightp=0:subme=1:me=dia:force-cfr=1:open-gop=0:stitchable=1:8x8dct=1",
    );
    video.open_as_with(codec, options)
}

fn to_frame(picture: &Picture) -> frame::Video {
    let mut frame = frame::Video::new(Pixel::YUV420P, picture.width as u32, picture.height as u32);
    let planes = [
        (&picture.luma, picture.width),
        (&picture.blue, picture.width / 2),
        (&picture.red, picture.width / 2),
    ];
    for (index, (plane, width)) in planes.into_iter().enumerate() {
        let stride = frame.stride(index);
        for (to, from) in frame.data_mut(index).chunks_mut(stride).zip(plane.chunks(width)) {
            to[..width].copy_from_slice(from);
        }
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::StepTiming;

    fn timeline(steps: &[u32]) -> SceneTimeline {
        let mut start_frame = 0;
        let steps: Vec<_> = steps
            .iter()
            .map(|frames| {
                let timing = StepTiming { start_frame, frames: *frames, speech_ms: 0 };
                start_frame += frames;
                timing
            })
            .collect();
        SceneTimeline { fps: 30, frames: start_frame, steps }
    }

    #[test]
    fn shots_fill_the_timeline_exactly() {
        for steps in [&[90, 45][..], &[1], &[5, 1, 12], &[300]] {
            let timeline = timeline(steps);
            let frames = shots(&timeline, 30).into_iter().map(|shot| match shot {
                Shot::Fade { .. } => 1,
                Shot::Hold { frames, .. } => frames,
            });
            assert_eq!(frames.sum::<u32>(), timeline.frames, "{steps:?}");
        }
    }

    #[test]
    fn a_fade_rises_from_nothing_to_nearly_all() {
        let shares: Vec<u32> = (1..12).map(|frame| eased(frame, 12)).collect();
        assert!(shares.is_sorted() && shares[0] > 0 && shares[10] < 256, "{shares:?}");
    }

    #[test]
    fn pictures_and_steps_must_match() {
        let out = tempfile::tempdir().unwrap();
        let result = encode_scene(
            &[],
            &timeline(&[10]),
            &Pcm { samples: vec![] },
            &EncodeSettings::new(64, 64, 30),
            &out.path().join("scene.mp4"),
            &mut |_, _| {},
            &CancellationToken::new(),
        );
        assert_eq!(result.unwrap_err().to_string(), "the scene has 0 pictures, but its timeline needs 2");
    }
}
