//! One scene from source and sound to a clip.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::encoder::{self, EncodeSettings, EncodedScene, SceneParts};
use super::images::Images;
use super::narration::Pcm;
use super::picture::Picture;
use super::typeset;
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

/// Writes the scene's clip to `out`, which appears when it is whole. Blocks; looks at `cancel` for every frame.
pub fn render(
    material: Material<'_>,
    settings: &EncodeSettings,
    out: &Path,
    on_frame: &mut dyn FnMut(u64, u64),
    cancel: &CancellationToken,
) -> Result<EncodedScene, Error> {
    let Material { scene, source, timeline, narration, images } = material;
    let pages = typeset::Pages::of(source, images)?;
    let motions = typeset::motions(scene);
    let parts = SceneParts { motions: &motions, timeline, narration };
    let picture = |page: u32| -> Result<Picture, Error> {
        Ok(Picture::from_rgba(&pages.raster(page as usize, settings.width, settings.height)?))
    };
    encoder::encode_scene(picture, parts, settings, out, on_frame, cancel)
}
