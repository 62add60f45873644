//! A highlight that goes from the lines it was on to the next: those it leaves go back to plain, those it reaches come in
//! as it passes over them.

use crate::draw::motion::{blend, eased, eased_at_both_ends};
use crate::draw::picture::{Picture, Rect};

/// Where the highlight was and where it goes, on the page before and the page after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passage {
    pub from: Rect,
    pub to: Rect,
}

impl Passage {
    /// The highlight's first row and the one behind its last, when it has gone a share of its way.
    fn rows(&self, gone: f64) -> (usize, usize) {
        let between = |from: usize, to: usize| {
            ((from as f64 + (to as f64 - from as f64) * gone).round().max(0.0) as usize) & !1
        };
        (between(self.from.top, self.to.top), between(self.from.bottom, self.to.bottom))
    }
}

/// From one picture to the next, with a highlight that goes down.
pub struct Highlight<'a> {
    from: &'a Picture,
    to: &'a Picture,
    passage: Passage,
    /// What else changes.
    bands: Vec<Rect>,
    frames: u32,
}

impl<'a> Highlight<'a> {
    /// Between two pictures of one size. After `frames` frames `to` is reached; the last of them equals it.
    pub fn new(from: &'a Picture, to: &'a Picture, passage: Passage, frames: u32) -> Self {
        let changes = from.changes(to, 2);
        let bands = changes.into_iter().flat_map(|band| outside(band, passage)).collect();
        Self { from, to, passage, bands, frames }
    }

    /// Draws frame `number`, from 1 to the number of frames, on a canvas that holds the frame before, or `from`.
    pub fn draw(&self, canvas: &mut Picture, number: u32) {
        let time = (f64::from(number) / f64::from(self.frames.max(1))).min(1.0);
        let share = eased(time);
        for band in &self.bands {
            blend(canvas, (self.from, self.to), *band, |_| share);
        }
        let (top, bottom) = self.passage.rows(eased_at_both_ends(time));
        let Passage { from: old, to: new } = self.passage;
        // What is left behind is plain, and what is not reached yet is as before.
        canvas.copy(self.to, old);
        canvas.copy(self.from, within(old, top, bottom));
        canvas.copy(self.from, new);
        canvas.copy(self.to, within(new, top, bottom));
        // Between the two there is nothing but the highlight, such as at the edge of the new place.
        let gap = Rect { left: new.left, right: new.right, top: old.bottom, bottom: new.top };
        if gap.top < gap.bottom {
            canvas.copy(self.to, gap);
            canvas.fill(self.to, new.top, within(gap, top, bottom));
        }
    }
}

/// The part of a place between two rows.
fn within(place: Rect, top: usize, bottom: usize) -> Rect {
    let (top, bottom) = (place.top.max(top), place.bottom.min(bottom));
    Rect { top, bottom: bottom.max(top), ..place }
}

/// The parts of a band above, between and below both places of a highlight, which are as wide as the band or wider.
fn outside(band: Rect, Passage { from, to }: Passage) -> Vec<Rect> {
    let rows = [(band.top, from.top), (from.bottom, to.top), (to.bottom, band.bottom)];
    let parts = rows.into_iter().map(|(top, bottom)| within(band, top, bottom));
    parts.filter(|part| part.top < part.bottom).collect()
}
