//! Compiles a scene's pages and rasterizes them.

use typst_layout::{Page, PagedDocument};
use typst_render::RenderOptions;

use super::Error;
use super::hand_drawn::{drawn_by_hand, is_hand_drawn};
use super::images::Images;
use super::world::compile_with;

/// A page as opaque RGBA pixels: rows from the top, 4 bytes per pixel.
#[derive(Debug, Clone)]
pub struct RgbaPage {
    pub width: usize,
    pub height: usize,
    pub rgba: Vec<u8>,
}

/// The compiled pages of a scene.
pub struct Pages {
    pub(crate) document: PagedDocument,
}

impl Pages {
    /// Compiles a scene's source.
    pub fn compile(source: &str, images: &Images) -> Result<Self, Error> {
        let document = compile_with(source, images)?;
        Ok(Self { document: if is_hand_drawn(&document) { drawn_by_hand(&document) } else { document } })
    }

    pub fn count(&self) -> usize {
        self.document.pages().len()
    }

    /// Rasterizes a page to `width` x `height` pixels. Any aspect ratio near the theme's works: the page's edge fills the rest.
    /// A page takes 8 MB at 1080p, so callers should hold few of them.
    pub fn rasterize(&self, page: usize, width: u32, height: u32) -> Result<RgbaPage, Error> {
        let missing = Error::Pages { found: self.count(), page };
        let page = self.document.pages().get(page).ok_or(missing)?;
        let scale = Self::pixels_per_point(page, width, height);
        let options = RenderOptions { pixel_per_pt: scale.into(), ..RenderOptions::default() };
        let pixmap = typst_render::render(page, &options);
        let (drawn_width, drawn_height) = (pixmap.width() as usize, pixmap.height() as usize);
        if (drawn_width, drawn_height) == (width as usize, height as usize) {
            return Ok(RgbaPage { width: drawn_width, height: drawn_height, rgba: pixmap.take() });
        }
        Ok(crop(pixmap.data(), drawn_width, drawn_height, width as usize, height as usize))
    }

    /// Returns the scale at which a page fills a picture.
    pub(crate) fn pixels_per_point(page: &Page, width: u32, height: u32) -> f64 {
        let size = page.frame.size();
        (f64::from(width) / size.x.to_pt()).max(f64::from(height) / size.y.to_pt())
    }
}

impl Drop for Pages {
    /// Evicts Typst's caches: another scene cannot use them, and memory must not grow with the length of a video.
    fn drop(&mut self) {
        comemo::evict(0);
    }
}

/// Compiles a source and rasterizes all of its pages.
#[cfg(test)]
pub fn pages(source: &str, width: u32, height: u32) -> Result<Vec<RgbaPage>, Error> {
    let pages = Pages::compile(source, &Images::default())?;
    (0..pages.count()).map(|page| pages.rasterize(page, width, height)).collect()
}

/// Crops to the target size. Rounding makes a page a few pixels larger or smaller; where it is smaller, its edge is repeated.
fn crop(rgba: &[u8], width: usize, height: usize, target_width: usize, target_height: usize) -> RgbaPage {
    let mut out = Vec::with_capacity(target_width * target_height * 4);
    for y in 0..target_height {
        let row = &rgba[y.min(height - 1) * width * 4..][..width * 4];
        let copied = target_width.min(width) * 4;
        out.extend_from_slice(&row[..copied]);
        for _ in width..target_width {
            out.extend_from_slice(&row[width * 4 - 4..]);
        }
    }
    RgbaPage { width: target_width, height: target_height, rgba: out }
}
