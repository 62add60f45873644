//! Renders one scene, from source and narration to its clips.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::draw::picture::Picture;
use crate::draw::step_motion::StepMotion;
use crate::encode::encoder::{self, AnimationParts, Beginning, EncodeSettings, EncodedScene, SceneParts};
use crate::encode::sound::SoundTrack;
use crate::layout::images::Images;
use crate::layout::{self, RgbaPage};
use crate::speak::voice::Pcm;
use crate::usage::metered;
use reel_manim::{Engine, Timing, frame_of};
use reel_scene::format::VideoCodec;
use reel_scene::look::Look;
use reel_scene::{Animation, Leave, Scene, SceneTimeline, Step};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Typeset(#[from] layout::Error),
    #[error(transparent)]
    Encode(#[from] encoder::Error),
}

#[derive(Debug, thiserror::Error)]
pub enum AnimationError {
    /// The animation cannot be drawn. A page of ours can stand for it.
    #[error(transparent)]
    Draw(#[from] reel_manim::Error),
    #[error(transparent)]
    Typeset(#[from] layout::Error),
    #[error(transparent)]
    Encode(#[from] encoder::Error),
}

/// The input of a clip.
#[derive(Debug, Clone, Copy)]
pub struct Material<'a> {
    pub scene: &'a Scene,
    /// The result of [`layout::source`] for the scene.
    pub source: &'a str,
    pub timeline: &'a SceneTimeline,
    pub narration: &'a Pcm,
    pub images: &'a Images,
}

/// The input of a clip that shows an animation.
#[derive(Debug, Clone, Copy)]
pub struct AnimationMaterial<'a> {
    pub engine: &'a Engine,
    pub animation: &'a Animation,
    /// The code of the animation, as [`reel_manim::code_of`] returns it.
    pub code: &'a str,
    pub look: &'a Look,
    pub leave: Leave,
    pub timeline: &'a SceneTimeline,
    pub narration: &'a Pcm,
}

/// The longest time in which one animation may be drawn.
const MAX_DRAWING_TIME: Duration = Duration::from_secs(600);

/// A clip to write.
#[derive(Debug, Clone)]
pub struct ClipOutput {
    pub settings: EncodeSettings,
    pub out: PathBuf,
}

/// The beginning of a clip to write while the rest is encoded.
pub struct ClipBeginning<'a> {
    pub out: PathBuf,
    /// As in [`Beginning`].
    pub min_frames: u32,
    /// Called once the file is there, on the thread that encodes the clip.
    pub on_written: Box<dyn Fn() + Sync + 'a>,
}

/// Writes the scene's clips one after the other; each appears when it is whole. Lays out the scene and encodes its sound once
/// for all clips. `on_frame` receives the frames done and the total of all clips. Blocks, and checks `cancel` once per frame.
pub fn render(
    material: Material<'_>,
    outputs: &[ClipOutput],
    on_frame: &mut dyn FnMut(u64, u64),
    cancel: &CancellationToken,
) -> Result<Vec<EncodedScene>, Error> {
    if outputs.is_empty() {
        return Ok(vec![]);
    }
    let prepared = Prepared::new(material, outputs)?;
    let frames = u64::from(material.timeline.frames);
    let total = frames * outputs.len() as u64;
    let clip = |(before, output): (u64, &ClipOutput)| {
        prepared.write(output, None, &mut |done, _| on_frame(before * frames + done, total), cancel)
    };
    (0..).zip(outputs).map(clip).collect()
}

/// Writes the scene's clips side by side, as [`render`] does otherwise, and the beginning of each as soon as it is encoded: a viewer
/// waits for the scene. `beginnings` are those of `outputs`, in their order; `None` for a clip that nobody waits for.
pub fn render_with_beginnings(
    material: Material<'_>,
    outputs: &[ClipOutput],
    beginnings: &[Option<ClipBeginning<'_>>],
    on_frame: &mut dyn FnMut(u64, u64),
    cancel: &CancellationToken,
) -> Result<Vec<EncodedScene>, Error> {
    if outputs.is_empty() {
        return Ok(vec![]);
    }
    let prepared = &Prepared::new(material, outputs)?;
    let total = u64::from(material.timeline.frames) * outputs.len() as u64;
    std::thread::scope(|threads| {
        let (sender, frames) = mpsc::channel();
        let beginnings = beginnings.iter().map(Option::as_ref).chain(std::iter::repeat(None));
        let clip = |(output, beginning)| {
            let sender = sender.clone();
            threads.spawn(metered(move || {
                // The receiver outlives the clips.
                let mut on_frame = |_, _| sender.send(()).unwrap_or_default();
                prepared.write(output, beginning, &mut on_frame, cancel)
            }))
        };
        let clips: Vec<_> = outputs.iter().zip(beginnings).map(clip).collect();
        drop(sender);
        for (done, ()) in (1..).zip(frames) {
            on_frame(done, total);
        }
        let join = |clip: ScopedJoinHandle<'_, Result<EncodedScene, Error>>| {
            clip.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        clips.into_iter().map(join).collect()
    })
}

/// A scene that is laid out, with its sound.
struct Prepared<'a> {
    pages: layout::Pages,
    motions: Vec<StepMotion>,
    leave: Leave,
    timeline: Cow<'a, SceneTimeline>,
    sound: Option<SoundTrack>,
}

impl<'a> Prepared<'a> {
    fn new(material: Material<'a>, outputs: &[ClipOutput]) -> Result<Self, Error> {
        let Material { scene, source, timeline, narration, images } = material;
        let pages = layout::Pages::compile(source, images)?;
        // A source that another version wrote may have pages for whole steps only.
        let count =
            |motions: &[StepMotion]| motions.iter().map(|motion| motion.pages as usize).sum::<usize>();
        let (motions, timeline) = match layout::motions(scene) {
            motions if count(&motions) < pages.count() => {
                (motions, Cow::Owned(layout::split_timeline(scene, timeline)))
            }
            _ => (layout::motions_of_steps(scene), Cow::Borrowed(timeline)),
        };
        let has_sound = |output: &ClipOutput| output.settings.codec == VideoCodec::H264;
        let sound = match outputs.iter().any(has_sound) {
            true => Some(SoundTrack::encode(narration).map_err(encoder::failed_to("encode the narration"))?),
            false => None,
        };
        Ok(Self { pages, motions, leave: scene.leave, timeline, sound })
    }

    fn write(
        &self,
        ClipOutput { settings, out }: &ClipOutput,
        beginning: Option<&ClipBeginning<'_>>,
        on_frame: &mut dyn FnMut(u64, u64),
        cancel: &CancellationToken,
    ) -> Result<EncodedScene, Error> {
        let sound = self.sound.as_ref().filter(|_| settings.codec == VideoCodec::H264);
        let mut motions = self.motions.clone();
        self.pages.find_moves(&mut motions, settings.width);
        self.pages.find_strokes(&mut motions, (settings.width, settings.height));
        let beginning = beginning.map(|ClipBeginning { out, min_frames, on_written }| Beginning {
            out,
            min_frames: *min_frames,
            on_written,
        });
        let parts =
            SceneParts { motions: &motions, leave: self.leave, timeline: &self.timeline, sound, beginning };
        rasterize_ahead(&self.pages, settings, |picture| {
            encoder::encode_scene(picture, parts, settings, out, on_frame, cancel)
        })
    }
}

/// Writes the clips of an animation one after the other: Manim draws the frames of each in its size, and they are encoded as any
/// others. Returns the clips, and where the time of Manim went. `on_frame` and `cancel` as in [`render`].
pub fn render_animation(
    material: AnimationMaterial<'_>,
    outputs: &[ClipOutput],
    on_frame: &mut dyn FnMut(u64, u64),
    cancel: &CancellationToken,
) -> Result<Vec<(EncodedScene, Timing)>, AnimationError> {
    let AnimationMaterial { engine, animation, code, look, leave, timeline, narration } = material;
    let has_sound = |output: &&ClipOutput| output.settings.codec == VideoCodec::H264;
    let sound = match outputs.iter().find(has_sound) {
        Some(_) => Some(SoundTrack::encode(narration).map_err(encoder::failed_to("encode the narration"))?),
        None => None,
    };
    let frames = u64::from(timeline.frames);
    let total = frames * outputs.len() as u64;
    // The page that native scenes begin and end with.
    let empty = Scene { steps: vec![Step::new("-", vec![])], ..Scene::default() };
    let empty = layout::Pages::compile(&layout::source(&empty, look), &Images::default())?;
    let clip = |(before, ClipOutput { settings, out }): (u64, &ClipOutput)| {
        let (width, height) = (settings.width, settings.height);
        let blank = Picture::from_rgba(&empty.rasterize(0, width, height)?);
        let sound = sound.as_ref().filter(|_| settings.codec == VideoCodec::H264);
        let parts = AnimationParts { blank: &blank, leave, timeline, sound };
        let frame = frame_of(animation, look, (width, height), settings.fps);
        let mut timing = None;
        let draw = |show: &mut dyn FnMut(Option<Picture>, u32) -> bool| {
            let mut on_picture = |drawn: reel_manim::Picture<'_>| {
                let picture = (!drawn.is_same).then(|| {
                    let (width, height) = (width as usize, height as usize);
                    Picture::from_rgba(&RgbaPage { width, height, rgba: drawn.pixels.to_vec() })
                });
                show(picture, drawn.frames)
            };
            let is_cancelled = || cancel.is_cancelled();
            timing = Some(engine.render(code, frame, MAX_DRAWING_TIME, &is_cancelled, &mut on_picture)?);
            Ok::<(), AnimationError>(())
        };
        let mut on_frame = |done: u64, _| on_frame(before * frames + done, total);
        let encoded = encoder::encode_animation(draw, &parts, settings, out, &mut on_frame, cancel)?;
        Ok((encoded, timing.unwrap_or(Timing { frames: 0, import_s: 0.0, scene_s: 0.0 })))
    };
    (0..).zip(outputs).map(clip).collect()
}

/// Rasterizes each page while the previous one is encoded. `encode` receives a function that returns pages by rising numbers.
fn rasterize_ahead<T>(
    pages: &layout::Pages,
    settings: &EncodeSettings,
    encode: impl FnOnce(&mut dyn FnMut(u32) -> Result<Picture, Error>) -> Result<T, Error>,
) -> Result<T, Error> {
    let EncodeSettings { width, height, .. } = *settings;
    std::thread::scope(|threads| {
        let (sender, receiver) = mpsc::sync_channel(0);
        threads.spawn(metered(move || {
            for page in 0..pages.count() {
                let picture = pages.rasterize(page, width, height).map(|rgba| Picture::from_rgba(&rgba));
                if sender.send((page, picture)).is_err() {
                    // The encoder has stopped.
                    return;
                }
            }
        }));
        encode(&mut |number| loop {
            match receiver.recv() {
                Ok((page, picture)) if page == number as usize => return Ok(picture?),
                Ok(_) => {}
                Err(mpsc::RecvError) => {
                    let (found, page) = (pages.count(), number as usize);
                    return Err(layout::Error::Pages { found, page }.into());
                }
            }
        })
    })
}
