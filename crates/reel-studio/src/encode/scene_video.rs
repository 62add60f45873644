//! One scene from source and sound to its clips.

use std::path::PathBuf;
use std::sync::mpsc;

use tokio_util::sync::CancellationToken;

use crate::draw::picture::Picture;
use crate::encode::encoder::{self, EncodeSettings, EncodedScene, SceneParts};
use crate::encode::sound::SoundTrack;
use crate::layout;
use crate::layout::images::Images;
use crate::speak::narration::Pcm;
use crate::usage::metered;
use reel_scene::format::VideoCodec;
use reel_scene::{Scene, SceneTimeline};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Typeset(#[from] layout::Error),
    #[error(transparent)]
    Encode(#[from] encoder::Error),
}

/// What a clip is made of.
#[derive(Debug, Clone, Copy)]
pub struct Material<'a> {
    pub scene: &'a Scene,
    /// What [`layout::source`] made of the scene.
    pub source: &'a str,
    pub timeline: &'a SceneTimeline,
    pub narration: &'a Pcm,
    pub images: &'a Images,
}

/// A clip to make of the scene.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub settings: EncodeSettings,
    pub out: PathBuf,
}

/// Writes the scene's clips, one after the other; each appears when it is whole. The scene is laid out, and its sound
/// encoded, once for all of them. `on_frame` counts the frames of all. Blocks; looks at `cancel` for every frame.
pub fn render(
    material: Material<'_>,
    wanted: &[Wanted],
    on_frame: &mut dyn FnMut(u64, u64),
    cancel: &CancellationToken,
) -> Result<Vec<EncodedScene>, Error> {
    if wanted.is_empty() {
        return Ok(vec![]);
    }
    let Material { scene, source, timeline, narration, images } = material;
    let pages = layout::Pages::of(source, images)?;
    let motions = layout::motions(scene);
    let has_sound = |wanted: &&Wanted| wanted.settings.codec == VideoCodec::H264;
    let sound = match wanted.iter().find(has_sound) {
        Some(_) => Some(SoundTrack::encode(narration).map_err(encoder::at("encode the narration"))?),
        None => None,
    };
    let frames = u64::from(timeline.frames);
    let total = frames * wanted.len() as u64;
    let clip = |(before, Wanted { settings, out }): (u64, &Wanted)| {
        let sound = sound.as_ref().filter(|_| settings.codec == VideoCodec::H264);
        let mut motions = motions.clone();
        pages.find_moves(&mut motions, settings.width);
        let parts = SceneParts { motions: &motions, leave: scene.leave, timeline, sound };
        let mut on_frame = |done: u64, _| on_frame(before * frames + done, total);
        ahead(&pages, settings, |picture| {
            encoder::encode_scene(picture, parts, settings, out, &mut on_frame, cancel)
        })
    };
    (0..).zip(wanted).map(clip).collect()
}

/// Draws each page while the one before is encoded, and gives `encode` a function that takes them in order.
fn ahead<T>(
    pages: &layout::Pages,
    settings: &EncodeSettings,
    encode: impl FnOnce(&mut dyn FnMut(u32) -> Result<Picture, Error>) -> Result<T, Error>,
) -> Result<T, Error> {
    let EncodeSettings { width, height, .. } = *settings;
    std::thread::scope(|threads| {
        let (sender, receiver) = mpsc::sync_channel(0);
        threads.spawn(metered(move || {
            for page in 0..pages.count() {
                let picture = pages.raster(page, width, height).map(|rgba| Picture::from_rgba(&rgba));
                if sender.send((page, picture)).is_err() {
                    // Nobody wants any more.
                    return;
                }
            }
        }));
        encode(&mut |wanted| loop {
            match receiver.recv() {
                Ok((page, picture)) if page == wanted as usize => return Ok(picture?),
                Ok(_) => {}
                Err(mpsc::RecvError) => {
                    let (found, page) = (pages.count(), wanted as usize);
                    return Err(layout::Error::Pages { found, page }.into());
                }
            }
        })
    })
}
