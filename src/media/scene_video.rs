//! One scene from source and sound to its clips.

use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use super::encoder::{self, EncodeSettings, EncodedScene, SceneParts};
use super::images::Images;
use super::narration::Pcm;
use super::picture::Picture;
use super::sound::SoundTrack;
use super::typeset;
use crate::format::VideoCodec;
use crate::scene::{Scene, SceneTimeline};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Typeset(#[from] typeset::Error),
    #[error(transparent)]
    Encode(#[from] encoder::Error),
}

/// What a clip is made of.
#[derive(Debug, Clone, Copy)]
pub struct Material<'a> {
    pub scene: &'a Scene,
    /// What [`typeset::source`] made of the scene.
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
    let pages = typeset::Pages::of(source, images)?;
    let motions = typeset::motions(scene);
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
        let picture = |page: u32| -> Result<Picture, Error> {
            Ok(Picture::from_rgba(&pages.raster(page as usize, settings.width, settings.height)?))
        };
        let mut on_frame = |done: u64, _| on_frame(before * frames + done, total);
        encoder::encode_scene(picture, parts, settings, out, &mut on_frame, cancel)
    };
    (0..).zip(wanted).map(clip).collect()
}
