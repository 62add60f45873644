//! What moves from one page of a scene to the next, found in the layout: the terms of formulas, and the highlight of code.

use typst::layout::{Frame, FrameItem, Ratio, Transform};
use typst::visualize::Geometry;

use super::step_motion::{Moving, StepMotion};
use crate::draw::highlight::Passage;
use crate::draw::morph::{self, Term};
use crate::draw::picture::Rect;
use crate::layout::Pages;

/// Room around a term, in pixels: glyphs are softened at their edges.
const AROUND_TERM: f64 = 2.0;

/// What stands on a page, in pixels.
#[derive(Default)]
struct Marks {
    /// Runs of glyphs.
    terms: Vec<Term>,
    /// Filled rectangles; they look like their fill.
    fills: Vec<Term>,
}

impl Pages {
    /// For steps in which something moves on the way to their first page: what, in pixels of pictures of a width.
    pub fn find_moves(&self, motions: &mut [StepMotion], width: u32) {
        // The last pages of the step before and of the one before that.
        let (mut before, mut earlier) = (0, 0);
        for motion in motions {
            let after = before + 1;
            match &mut motion.moving {
                Moving::Nothing => {}
                Moving::Terms(moves) => {
                    let [earlier, before, after] =
                        [earlier, before, after].map(|page| self.marks(page, width).terms);
                    *moves = morph::moves(&only_in(&before, &earlier), &only_in(&after, &before));
                }
                Moving::Highlight(passage) => {
                    let [before, after] = [before, after].map(|page| self.marks(page, width).fills);
                    *passage = passage_of(&only_in(&before, &after), &only_in(&after, &before));
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
        collect(&page.frame, Transform::scale(Ratio::new(scale), Ratio::new(scale)), &mut marks);
        let is_on_page = |mark: &Term| mark.place.right <= width as usize && mark.place.bottom <= height;
        marks.terms.retain(is_on_page);
        marks.fills.retain(is_on_page);
        marks
    }
}

fn only_in(these: &[Term], others: &[Term]) -> Vec<Term> {
    these.iter().filter(|mark| !others.contains(mark)).cloned().collect()
}

/// From the lines that are not lit any longer to those that are now: a highlight that goes down.
fn passage_of(gone: &[Term], new: &[Term]) -> Option<Passage> {
    let fill = &gone.first()?.look;
    let all = |marks: &[Term]| {
        let lines = marks.iter().filter(|mark| mark.look == *fill).map(|mark| mark.place);
        lines.reduce(Rect::union)
    };
    let (from, to) = (all(gone)?, all(new)?);
    // Where the two overlap by the softness of their edges, the edge is the old one's.
    let to = Rect { top: to.top.max(from.bottom), ..to };
    (from.top < to.top && to.top < to.bottom).then_some(Passage { from, to })
}

fn collect(frame: &Frame, transform: Transform, marks: &mut Marks) {
    for (at, item) in frame.items() {
        let here = transform.pre_concat(Transform::translate(at.x, at.y));
        match item {
            FrameItem::Group(group) => collect(&group.frame, here.pre_concat(group.transform), marks),
            FrameItem::Text(run) => {
                let bounds = run.bbox();
                let corners = [bounds.min, bounds.max].map(|corner| pixels(corner.transform(here)));
                let glyphs: Vec<u16> = run.glyphs.iter().map(|glyph| glyph.id).collect();
                let size = (run.size.to_pt() * here.sx.get() * 10.0).round();
                let look = format!("{} {size} {glyphs:?}", run.font.info().family);
                marks.terms.push(Term { look, place: around(corners, AROUND_TERM) });
            }
            FrameItem::Shape(shape, _) => {
                let (Geometry::Rect(size), Some(fill)) = (&shape.geometry, &shape.fill) else { continue };
                let corners = [typst::layout::Point::zero(), size.to_point()];
                let corners = corners.map(|corner| pixels(corner.transform(here)));
                marks.fills.push(Term { look: format!("{fill:?}"), place: around(corners, 0.0) });
            }
            _ => {}
        }
    }
}

fn pixels(point: typst::layout::Point) -> (f64, f64) {
    (point.x.to_pt(), point.y.to_pt())
}

/// The even pixels of a place between two corners, and some around it.
fn around([(left, top), (right, bottom)]: [(f64, f64); 2], room: f64) -> Rect {
    let from = |one: f64, other: f64| (one.min(other) - room).max(0.0) as usize & !1;
    let until = |one: f64, other: f64| ((one.max(other) + room).max(0.0) as usize + 1).next_multiple_of(2);
    Rect {
        left: from(left, right),
        top: from(top, bottom),
        right: until(left, right),
        bottom: until(top, bottom),
    }
}
