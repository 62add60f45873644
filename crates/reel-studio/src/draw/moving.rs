//! Finds in the layout what moves from one page of a scene to the next: terms of formulas, and highlights of code.

use typst::layout::{Frame, FrameItem, Ratio, Transform};
use typst::visualize::Geometry;

use super::step_motion::{Moving, StepMotion};
use crate::draw::highlight::HighlightMove;
use crate::draw::morph::{self, Term};
use crate::draw::picture::Rect;
use crate::layout::Pages;

/// Margin around a term, in pixels: the edges of glyphs are antialiased.
const TERM_MARGIN_PX: f64 = 2.0;

/// Marks of a page, in pixels.
#[derive(Default)]
struct Marks {
    /// Runs of glyphs.
    terms: Vec<Term>,
    /// Filled rectangles; the fill is their `look`.
    fills: Vec<Term>,
}

impl Pages {
    /// Fills in the moves of all steps, in pixels of pictures that are `width` wide.
    pub fn find_moves(&self, motions: &mut [StepMotion], width: u32) {
        // The last pages of the previous step and of the step before it.
        let (mut before, mut earlier) = (0, 0);
        for motion in motions {
            let after = before + 1;
            match &mut motion.moving {
                Moving::None | Moving::Strokes(_) => {}
                Moving::Terms(moves) => {
                    let [earlier, before, after] =
                        [earlier, before, after].map(|page| self.marks(page, width).terms);
                    *moves = morph::match_terms(
                        &terms_missing_in(&before, &earlier),
                        &terms_missing_in(&after, &before),
                    );
                }
                Moving::Highlight(highlight_move) => {
                    let [before, after] = [before, after].map(|page| self.marks(page, width).fills);
                    *highlight_move = find_highlight_move(
                        &terms_missing_in(&before, &after),
                        &terms_missing_in(&after, &before),
                    );
                }
            }
            (earlier, before) = (before, before + motion.pages as usize);
        }
    }

    fn marks(&self, page: usize, width: u32) -> Marks {
        let Some(page) = self.document.pages().get(page) else { return Marks::default() };
        let size = page.frame.size();
        let scale = f64::from(width) / size.x.to_pt();
        let height = (size.y.to_pt() * scale) as usize & !1;
        let mut marks = Marks::default();
        collect_marks(&page.frame, Transform::scale(Ratio::new(scale), Ratio::new(scale)), &mut marks);
        let is_on_page = |mark: &Term| mark.bounds.right <= width as usize && mark.bounds.bottom <= height;
        marks.terms.retain(is_on_page);
        marks.fills.retain(is_on_page);
        marks
    }
}

fn terms_missing_in(these: &[Term], others: &[Term]) -> Vec<Term> {
    these.iter().filter(|mark| !others.contains(mark)).cloned().collect()
}

/// Returns the move from the lines that lose their highlight to those that gain it; `None` unless it goes down.
fn find_highlight_move(gone: &[Term], new: &[Term]) -> Option<HighlightMove> {
    let fill = &gone.first()?.look;
    let all = |marks: &[Term]| {
        let lines = marks.iter().filter(|mark| mark.look == *fill).map(|mark| mark.bounds);
        lines.reduce(Rect::union)
    };
    let (from, to) = (all(gone)?, all(new)?);
    // The antialiased edges may overlap: the overlap belongs to the old bounds.
    let to = Rect { top: to.top.max(from.bottom), ..to };
    (from.top < to.top && to.top < to.bottom).then_some(HighlightMove { from, to })
}

fn collect_marks(frame: &Frame, transform: Transform, marks: &mut Marks) {
    for (at, item) in frame.items() {
        let here = transform.pre_concat(Transform::translate(at.x, at.y));
        match item {
            FrameItem::Group(group) => collect_marks(&group.frame, here.pre_concat(group.transform), marks),
            FrameItem::Text(run) => {
                let bounds = run.bbox();
                let corners = [bounds.min, bounds.max].map(|corner| to_pixels(corner.transform(here)));
                let glyphs: Vec<u16> = run.glyphs.iter().map(|glyph| glyph.id).collect();
                let size = (run.size.to_pt() * here.sx.get() * 10.0).round();
                let look = format!("{} {size} {glyphs:?}", run.font.info().family);
                marks.terms.push(Term { look, bounds: even_bounds(corners, TERM_MARGIN_PX) });
            }
            FrameItem::Shape(shape, _) => {
                let (Geometry::Rect(size), Some(fill)) = (&shape.geometry, &shape.fill) else { continue };
                let corners = [typst::layout::Point::zero(), size.to_point()];
                let corners = corners.map(|corner| to_pixels(corner.transform(here)));
                marks.fills.push(Term { look: format!("{fill:?}"), bounds: even_bounds(corners, 0.0) });
            }
            _ => {}
        }
    }
}

fn to_pixels(point: typst::layout::Point) -> (f64, f64) {
    (point.x.to_pt(), point.y.to_pt())
}

/// Returns the rectangle between two corners with a margin, extended to even pixels.
fn even_bounds([(left, top), (right, bottom)]: [(f64, f64); 2], room: f64) -> Rect {
    let from = |one: f64, other: f64| (one.min(other) - room).max(0.0) as usize & !1;
    let until = |one: f64, other: f64| ((one.max(other) + room).max(0.0) as usize + 1).next_multiple_of(2);
    Rect {
        left: from(left, right),
        top: from(top, bottom),
        right: until(left, right),
        bottom: until(top, bottom),
    }
}
