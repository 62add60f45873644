//! A scene's pages, laid out and ready to be drawn.

use typst_layout::PagedDocument;
use typst_render::RenderOptions;

use super::Error;
use super::images::Images;
use super::world::compile_with;

/// A page as pixels: rows from the top, 4 bytes a pixel (red, green, blue, alpha), opaque.
#[derive(Debug, Clone)]
pub struct RgbaPage {
    pub width: usize,
    pub height: usize,
    pub rgba: Vec<u8>,
}

/// A scene's pages, laid out and ready to be drawn.
pub struct Pages {
    pub(crate) document: PagedDocument,
}

impl Pages {
    /// Compiles a scene's source.
    pub fn of(source: &str, images: &Images) -> Result<Self, Error> {
        Ok(Self { document: compile_with(source, images)? })
    }

    pub fn count(&self) -> usize {
        self.document.pages().len()
    }

    /// Rasters a page to `width` x `height` pixels. Any aspect ratio near the theme's works; what is left over
    /// shows the page's background. A page is 8 MB at 1080p, so keep less.
    pub fn raster(&self, page: usize, width: u32, height: u32) -> Result<RgbaPage, Error> {
        let missing = Error::Pages { found: self.count(), page };
        let page = self.document.pages().get(page).ok_or(missing)?;
        let size = page.frame.size();
        let pixels_a_point = (f64::from(width) / size.x.to_pt()).max(f64::from(height) / size.y.to_pt());
        let options = RenderOptions { pixel_per_pt: pixels_a_point.into(), ..RenderOptions::default() };
        let pixmap = typst_render::render(page, &options);
        let (drawn_width, drawn_height) = (pixmap.width() as usize, pixmap.height() as usize);
        if (drawn_width, drawn_height) == (width as usize, height as usize) {
            return Ok(RgbaPage { width: drawn_width, height: drawn_height, rgba: pixmap.take() });
        }
        Ok(crop(pixmap.data(), drawn_width, drawn_height, width as usize, height as usize))
    }
}

impl Drop for Pages {
    /// What one scene leaves in Typst's caches is of no use to another, and a long video must not take more memory than a
    /// short one.
    fn drop(&mut self) {
        comemo::evict(0);
    }
}

/// All pages of a source, drawn.
#[cfg(test)]
pub fn pages(source: &str, width: u32, height: u32) -> Result<Vec<RgbaPage>, Error> {
    let pages = Pages::of(source, &Images::default())?;
    (0..pages.count()).map(|page| pages.raster(page, width, height)).collect()
}

/// Cuts to the wanted size; rounding makes a page at most a few pixels larger, and where it is
/// smaller the edge is repeated.
fn crop(rgba: &[u8], width: usize, height: usize, wanted_width: usize, wanted_height: usize) -> RgbaPage {
    let mut out = Vec::with_capacity(wanted_width * wanted_height * 4);
    for y in 0..wanted_height {
        let row = &rgba[y.min(height - 1) * width * 4..][..width * 4];
        let kept = wanted_width.min(width) * 4;
        out.extend_from_slice(&row[..kept]);
        for _ in width..wanted_width {
            out.extend_from_slice(&row[width * 4 - 4..]);
        }
    }
    RgbaPage { width: wanted_width, height: wanted_height, rgba: out }
}
