//! Moves a highlight from one group of lines to the next. Lines that it leaves turn plain, and lines that it reaches
//! appear as it passes over them.

use crate::draw::motion::{blend, ease_in_out, ease_out};
use crate::draw::picture::{Picture, Rect};

/// Bounds of the highlight on the page before and on the page after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HighlightMove {
    pub from: Rect,
    pub to: Rect,
}

impl HighlightMove {
    /// Returns the highlight's first row and the row after its last, at a fraction of the way.
    fn rows(&self, fraction: f64) -> (usize, usize) {
        let between = |from: usize, to: usize| {
            ((from as f64 + (to as f64 - from as f64) * fraction).round().max(0.0) as usize) & !1
        };
        (between(self.from.top, self.to.top), between(self.from.bottom, self.to.bottom))
    }
}

/// A transition between two pictures in which the highlight moves down.
pub struct Highlight<'a> {
    from: &'a Picture,
    to: &'a Picture,
    highlight_move: HighlightMove,
    /// Everything else that changes.
    bands: Vec<Rect>,
    frames: u32,
}

impl<'a> Highlight<'a> {
    /// Takes two pictures of the same size. Frame number `frames` equals `to`.
    pub fn new(from: &'a Picture, to: &'a Picture, highlight_move: HighlightMove, frames: u32) -> Self {
        let changes = from.changes(to, 2);
        let bands = changes.into_iter().flat_map(|band| bands_outside(band, highlight_move)).collect();
        Self { from, to, highlight_move, bands, frames }
    }

    /// Draws frame `number`, from 1 to the number of frames, on a canvas that holds the frame before, or `from`.
    pub fn draw(&self, canvas: &mut Picture, number: u32) {
        let time = (f64::from(number) / f64::from(self.frames.max(1))).min(1.0);
        let share = ease_out(time);
        for band in &self.bands {
            blend(canvas, (self.from, self.to), *band, |_| share);
        }
        let (top, bottom) = self.highlight_move.rows(ease_in_out(time));
        let HighlightMove { from: old, to: new } = self.highlight_move;
        // Lines behind the highlight are plain; lines ahead of it are as before.
        canvas.copy(self.to, old);
        canvas.copy(self.from, clip_rows(old, top, bottom));
        canvas.copy(self.from, new);
        canvas.copy(self.to, clip_rows(new, top, bottom));
        // Between the two bounds there is nothing but the highlight, such as its edge.
        let gap = Rect { left: new.left, right: new.right, top: old.bottom, bottom: new.top };
        if gap.top < gap.bottom {
            canvas.copy(self.to, gap);
            canvas.fill(self.to, new.top, clip_rows(gap, top, bottom));
        }
    }
}

/// Clips a rectangle to the rows from `top` to `bottom`.
fn clip_rows(rect: Rect, top: usize, bottom: usize) -> Rect {
    let (top, bottom) = (rect.top.max(top), rect.bottom.min(bottom));
    Rect { top, bottom: bottom.max(top), ..rect }
}

/// Returns the parts of a band above, between and below both bounds of a highlight. The bounds are at least as wide as
/// the band.
fn bands_outside(band: Rect, HighlightMove { from, to }: HighlightMove) -> Vec<Rect> {
    let rows = [(band.top, from.top), (from.bottom, to.top), (to.bottom, band.bottom)];
    let parts = rows.into_iter().map(|(top, bottom)| clip_rows(band, top, bottom));
    parts.filter(|part| part.top < part.bottom).collect()
}
