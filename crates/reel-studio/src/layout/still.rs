//! The picture of a scene's end, as a file.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use reel_scene::Scene;
use reel_scene::look::Look;

use super::images::Images;
use super::{Error, Pages, source};

#[derive(Debug, thiserror::Error)]
pub enum StillError {
    #[error("it cannot be typeset")]
    Layout(#[from] Error),
    #[error("its still cannot be written")]
    Png(#[from] image::ImageError),
}

/// Draws the page that stays at the end of a scene, as a PNG of the look's shape within `size`.
pub fn still(scene: &Scene, look: &Look, images: &Images, size: (u32, u32)) -> Result<Vec<u8>, StillError> {
    let (width, height) = look.aspect.dimensions(size);
    let pages = Pages::compile(&source(scene, look), images)?;
    let page = pages.rasterize(pages.count().saturating_sub(1), width, height)?;
    let mut png = vec![];
    let encoder = PngEncoder::new_with_quality(&mut png, CompressionType::Fast, FilterType::Sub);
    encoder.write_image(&page.rgba, width, height, ExtendedColorType::Rgba8)?;
    Ok(png)
}
