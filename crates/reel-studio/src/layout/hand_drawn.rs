//! Bends the lines of a page as a hand draws them.
//!
//! One smooth field moves all shapes, by a few points and depending on nothing but the place. So a shape looks the same on every
//! page, lines that meet go on meeting, and what grows does not tremble.

use std::f64::consts::TAU;

use typst::ecow::EcoVec;
use typst::layout::{Abs, Frame, FrameItem, GroupItem, Point, Size, Transform};
use typst::model::Document;
use typst::visualize::{Curve, CurveItem, Geometry, LineCap, LineJoin, Shape};
use typst_layout::{Page, PagedDocument};

/// The keyword that the theme gives a document whose lines are drawn by hand.
const KEYWORD: &str = "hand-drawn";
/// Waves of the field: how far they move a line, and their length, in points.
const WAVES: [(f64, f64); 3] = [(3.2, 610.0), (1.4, 173.0), (0.5, 57.0)];
/// Length of the straight pieces of a bent line.
const PIECE_PT: f64 = 8.0;
const MAX_PIECES: usize = 400;
/// A filled shape without an outline that takes more than this share of the page's width or height is its ground.
const GROUND: f64 = 0.9;

/// Returns `true` when the lines of a document are drawn by hand.
pub(crate) fn is_hand_drawn(document: &PagedDocument) -> bool {
    document.info().keywords.iter().any(|keyword| keyword == KEYWORD)
}

/// Bends the lines of all pages.
pub(super) fn drawn_by_hand(document: &PagedDocument) -> PagedDocument {
    let pages: EcoVec<Page> = document
        .pages()
        .iter()
        .map(|page| {
            let bend = Bend { page: page.frame.size() };
            Page { frame: bend.frame(&page.frame, Transform::identity()), ..page.clone() }
        })
        .collect();
    PagedDocument::new(pages, document.info().clone())
}

struct Bend {
    page: Size,
}

impl Bend {
    fn frame(&self, frame: &Frame, transform: Transform) -> Frame {
        let mut bent = Frame::new(frame.size(), frame.kind());
        if frame.has_baseline() {
            bent.set_baseline(frame.baseline());
        }
        for (at, item) in frame.items() {
            let here = transform.pre_concat(Transform::translate(at.x, at.y));
            let item = match item {
                FrameItem::Group(group) => {
                    let frame = self.frame(&group.frame, here.pre_concat(group.transform));
                    FrameItem::Group(GroupItem { frame, ..group.clone() })
                }
                FrameItem::Shape(shape, span) if !self.is_ground(shape) => {
                    FrameItem::Shape(bent_shape(shape, here), *span)
                }
                other => other.clone(),
            };
            bent.push(*at, item);
        }
        bent
    }

    fn is_ground(&self, shape: &Shape) -> bool {
        let size = shape.bbox(false).size();
        shape.stroke.is_none() && (size.x > self.page.x * GROUND || size.y > self.page.y * GROUND)
    }
}

/// Bends a shape at a place of the page. Where the place cannot be undone, as at a scale of 0, the shape stays as it is.
fn bent_shape(shape: &Shape, place: Transform) -> Shape {
    let Some(back) = place.invert() else { return shape.clone() };
    let bend = |point: Point| bent_point(point.transform(place)).transform(back);
    let curve = match &shape.geometry {
        Geometry::Line(to) => Curve(vec![CurveItem::Move(Point::zero()), CurveItem::Line(*to)]),
        Geometry::Rect(size) => Curve::rect(*size),
        Geometry::Curve(curve) => curve.clone(),
    };
    let mut bent = Curve::new();
    let (mut start, mut at) = (Point::zero(), Point::zero());
    for item in &curve.0 {
        let from = at;
        match *item {
            CurveItem::Move(point) => {
                bent.move_(bend(point));
                (start, at) = (point, point);
            }
            CurveItem::Line(to) => {
                add_line(&mut bent, from, to, bend);
                at = to;
            }
            CurveItem::Cubic(one, two, to) => {
                let length = distance(from, one) + distance(one, two) + distance(two, to);
                for share in shares(length) {
                    bent.line(bend(on_cubic([from, one, two, to], share)));
                }
                at = to;
            }
            CurveItem::Close => {
                add_line(&mut bent, from, start, bend);
                bent.close();
                at = start;
            }
        }
    }
    // A pen is round.
    let stroke = shape.stroke.clone().map(|mut stroke| {
        stroke.join = LineJoin::Round;
        if stroke.dash.is_none() {
            stroke.cap = LineCap::Round;
        }
        stroke
    });
    Shape { geometry: Geometry::Curve(bent), stroke, ..shape.clone() }
}

fn add_line(curve: &mut Curve, from: Point, to: Point, bend: impl Fn(Point) -> Point) {
    for share in shares(distance(from, to)) {
        curve.line(bend(from + (to - from) * share));
    }
}

/// Returns where the pieces of a line of a length end, from 0 to 1.
fn shares(length: f64) -> impl Iterator<Item = f64> {
    let pieces = ((length / PIECE_PT).ceil() as usize).clamp(1, MAX_PIECES);
    (1..=pieces).map(move |piece| piece as f64 / pieces as f64)
}

fn on_cubic([a, b, c, d]: [Point; 4], t: f64) -> Point {
    let s = 1.0 - t;
    a * (s * s * s) + b * (3.0 * s * s * t) + c * (3.0 * s * t * t) + d * (t * t * t)
}

fn distance(one: Point, other: Point) -> f64 {
    (other - one).hypot().to_pt()
}

/// Moves a point of the page. A wave across a line's own direction bends it, and one along it changes its pace.
fn bent_point(point: Point) -> Point {
    let (x, y) = (point.x.to_pt(), point.y.to_pt());
    let mut moved = (x, y);
    for (number, (most, length)) in WAVES.into_iter().enumerate() {
        let phase = 1.7 * number as f64;
        moved.0 += most * (TAU * (y / length + 0.31 * x / length) + phase).sin();
        moved.1 += most * (TAU * (x / length - 0.27 * y / length) + 2.1 * phase + 0.6).sin();
    }
    Point::new(Abs::pt(moved.0), Abs::pt(moved.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::images::Images;
    use crate::layout::pages::Pages;

    const SHAPES: &str = "
#place(dx: 200pt, dy: 100pt, rect(width: 400pt, height: 200pt, stroke: 6pt, radius: 20pt))
#place(dx: 200pt, dy: 400pt, line(end: (500pt, 0pt), stroke: 6pt))
#place(dx: 200pt, dy: 420pt, [Words stay where they are])";

    fn pages(keywords: &str, bodies: &[String]) -> Pages {
        let start = format!(
            "#set document(keywords: {keywords})\n#set page(width: 960pt, height: 540pt, margin: 0pt)\n"
        );
        Pages::compile(&(start + &bodies.join("\n#pagebreak()\n")), &Images::default()).unwrap()
    }

    /// Returns the points of all curves of a page, in points.
    fn curves(pages: &Pages, page: usize) -> Vec<Vec<(f64, f64)>> {
        fn collect(frame: &Frame, transform: Transform, found: &mut Vec<Vec<(f64, f64)>>) {
            for (at, item) in frame.items() {
                let here = transform.pre_concat(Transform::translate(at.x, at.y));
                match item {
                    FrameItem::Group(group) => collect(&group.frame, here.pre_concat(group.transform), found),
                    FrameItem::Shape(Shape { geometry: Geometry::Curve(curve), .. }, _) => {
                        let ends = curve.0.iter().filter_map(|item| match item {
                            CurveItem::Move(to) | CurveItem::Line(to) | CurveItem::Cubic(_, _, to) => {
                                Some(*to)
                            }
                            CurveItem::Close => None,
                        });
                        let points = ends.map(|point| point.transform(here));
                        found.push(points.map(|point| (point.x.to_pt(), point.y.to_pt())).collect());
                    }
                    _ => {}
                }
            }
        }
        let mut found = vec![];
        collect(&pages.document.pages()[page].frame, Transform::identity(), &mut found);
        found
    }

    #[test]
    fn lines_are_bent_where_the_theme_asks_for_it() {
        let drawn = pages("\"hand-drawn\"", &[SHAPES.to_owned()]);
        let found = curves(&drawn, 0);
        assert_eq!(found.len(), 2);
        let heights: Vec<f64> = found[1].iter().map(|(_, y)| *y).collect();
        let (least, most) = heights.iter().fold((f64::MAX, f64::MIN), |(a, b), y| (a.min(*y), b.max(*y)));
        assert!(most - least > 2.0, "the line is straight: {least} to {most}");
        assert!(heights.iter().all(|y| (y - 400.0).abs() < 6.0), "{heights:?}");
        let straight = pages("()", &[SHAPES.to_owned()]);
        assert!(!is_hand_drawn(&straight.document));
        assert!(curves(&straight, 0).len() < 2, "a line is no curve");
    }

    /// A shape of one page looks the same on the next page, which adds to it, and in a nested block.
    #[test]
    fn a_shape_looks_the_same_on_every_page() {
        let more = format!("{SHAPES}\n#place(dx: 700pt, dy: 300pt, circle(radius: 40pt, stroke: 3pt))");
        let nested = "#place(dx: 150pt, dy: 60pt, block(width: 700pt, height: 400pt, {
            place(dx: 50pt, dy: 40pt, rect(width: 400pt, height: 200pt, stroke: 6pt, radius: 20pt)) }))";
        let drawn = pages("\"hand-drawn\"", &[SHAPES.to_owned(), more, nested.to_owned()]);
        let [first, second, third] = [0, 1, 2].map(|page| curves(&drawn, page));
        assert_eq!(first[..], second[..2]);
        let near = |(one, other): (&(f64, f64), &(f64, f64))| {
            (one.0 - other.0).abs() < 1e-6 && (one.1 - other.1).abs() < 1e-6
        };
        assert!(first[0].len() == third[0].len() && first[0].iter().zip(&third[0]).all(near));
    }

    #[test]
    fn the_ground_of_a_page_reaches_its_edges() {
        let ground = "#place(rect(width: 960pt, height: 540pt, fill: red))".to_owned();
        assert!(curves(&pages("\"hand-drawn\"", &[ground]), 0).is_empty());
    }

    /// Stages run on threads with this much stack; an overflow ends the whole process.
    #[test]
    fn deep_nesting_leaves_the_stack_of_a_stage_alone() {
        let deep =
            format!("#{}rect(stroke: 1pt){}", "box(inset: 0.1pt, clip: true, ".repeat(60), ")".repeat(60));
        let stage = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
        let count = stage.spawn(move || pages("\"hand-drawn\"", &[deep]).count()).unwrap().join().unwrap();
        assert_eq!(count, 1);
    }

    /// A curve longer than any page, and one that is nowhere.
    #[test]
    fn lines_of_any_length_have_so_many_pieces() {
        for length in [0.0, 1e12, f64::INFINITY, f64::NAN] {
            assert!((1..=MAX_PIECES).contains(&shares(length).count()), "{length}");
        }
    }

    /// A scale of 0 hides something; it cannot be undone.
    #[test]
    fn a_shape_scaled_to_nothing_stays() {
        let hidden = "#scale(0%, rect(width: 100pt, height: 100pt, stroke: 2pt))".to_owned();
        assert_eq!(pages("\"hand-drawn\"", &[hidden]).count(), 1);
    }
}
