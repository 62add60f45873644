//! Finds in the layout the strokes of a page that are not on the page before.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use reel_scene::Entrance;
use typst::foundations::Smart;
use typst::layout::{Abs, Dir, Frame, FrameItem, Ratio, Size, Transform};
use typst::text::TextItem;
use typst::visualize::{Curve, CurveItem, Geometry, LineCap, LineJoin, Paint};
use typst_layout::Page;

use super::step_motion::{Moving, StepMotion};
use crate::draw::strokes::{Fill, Hand, Path, Point, Shape, Strokes, distance};
use crate::layout::{Pages, is_hand_drawn};

/// Length of the pieces of a curve.
const PIECE_PX: f32 = 4.0;
const MAX_PIECES: usize = 200;
/// How far letters reach above and below the line on which they stand, as shares of the font's size.
const ASCENT: f64 = 0.9;
const DESCENT: f64 = 0.26;

impl Pages {
    /// Fills in the strokes of the steps that fade or rise in, in pixels of pictures of a size.
    pub fn find_strokes(&self, motions: &mut [StepMotion], (width, height): (u32, u32)) {
        let hand = if is_hand_drawn(&self.document) { Hand::OnePen } else { Hand::Many };
        let mut before = 0;
        for motion in motions {
            let after = before + 1;
            let is_drawn = matches!(motion.entrance, Entrance::Fade | Entrance::Rise);
            if is_drawn && motion.moving == Moving::None {
                let shapes = self.new_shapes((before, after), (width, height), hand);
                let size = (width as f32, height as f32);
                let strokes = Strokes::plan(shapes, size, hand);
                motion.moving = match strokes {
                    // What grows does not wait long.
                    Some(strokes) if motion.pages > 1 => Moving::Strokes(strokes.hurried()),
                    Some(strokes) => Moving::Strokes(strokes),
                    None => Moving::None,
                };
            }
            before += motion.pages as usize;
        }
    }

    /// Returns the shapes of one page that are not on another.
    fn new_shapes(&self, (before, after): (usize, usize), size: (u32, u32), hand: Hand) -> Vec<Shape> {
        let pages = self.document.pages();
        let (Some(before), Some(after)) = (pages.get(before), pages.get(after)) else { return vec![] };
        let mut old = Finder::new(before, size, hand);
        old.collect(&before.frame, old.transform);
        let mut new = Finder { old: old.found, ..Finder::new(after, size, hand) };
        new.collect(&after.frame, new.transform);
        new.shapes
    }
}

/// Collects the shapes of a page.
struct Finder<'a> {
    hand: Hand,
    transform: Transform,
    background: Option<&'a Paint>,
    /// Shapes of the page before.
    old: HashSet<u64>,
    found: HashSet<u64>,
    shapes: Vec<Shape>,
}

impl<'a> Finder<'a> {
    fn new(page: &'a Page, (width, height): (u32, u32), hand: Hand) -> Self {
        let scale = Ratio::new(Pages::pixels_per_point(page, width, height));
        let background = match &page.fill {
            Smart::Custom(fill) => fill.as_ref(),
            Smart::Auto => None,
        };
        let (old, found) = (HashSet::new(), HashSet::new());
        Self { hand, transform: Transform::scale(scale, scale), background, old, found, shapes: vec![] }
    }

    fn collect(&mut self, frame: &Frame, transform: Transform) {
        for (at, item) in frame.items() {
            let here = transform.pre_concat(Transform::translate(at.x, at.y));
            match item {
                FrameItem::Group(group) => self.collect(&group.frame, here.pre_concat(group.transform)),
                FrameItem::Shape(shape, _) => self.add(shape, here),
                FrameItem::Text(text) if self.hand == Hand::OnePen => self.add_text(text, here),
                FrameItem::Text(_) | FrameItem::Image(..) => self.shapes.push(Shape::Other),
                _ => {}
            }
        }
    }

    /// Notes what the page draws at a place, and returns `true` when the page before does not draw it there.
    fn is_new(&mut self, drawn: &impl Hash, transform: Transform) -> bool {
        let Transform { sx, ky, kx, sy, tx, ty } = transform;
        let place = [sx.get(), ky.get(), kx.get(), sy.get(), tx.to_pt(), ty.to_pt()];
        // Thousandths: the same shape at the same place may differ in the last bits.
        let key = digest(&(drawn, place.map(|number| (number * 1000.0).round() as i64)));
        self.found.insert(key);
        !self.old.contains(&key)
    }

    /// Adds text as a stroke as wide as its line is high: it is written.
    fn add_text(&mut self, text: &TextItem, transform: Transform) {
        // Not the glyphs: they know from where in the source they come.
        if !self.is_new(&(&text.text, text.size, &text.fill, text.width()), transform) {
            return;
        }
        let middle = text.size * (DESCENT - ASCENT) / 2.0;
        let ends = [Abs::zero(), text.width()].map(|x| {
            let end = typst::layout::Point::new(x, middle).transform(transform);
            (end.x.to_pt() as f32, end.y.to_pt() as f32)
        });
        let points = match text.lang.dir() {
            Dir::RTL => vec![ends[1], ends[0]],
            _ => ends.to_vec(),
        };
        let half_width = (text.size.to_pt() * (ASCENT + DESCENT) / 2.0 * scale_of(transform)) as f32;
        let look = digest(&(&text.fill, "text")) as u16;
        self.shapes.push(Shape::Path(Path { points, half_width, corner: 1.0, end: 1.0, look }));
    }

    fn add(&mut self, shape: &typst::visualize::Shape, transform: Transform) {
        if !self.is_new(shape, transform) {
            return;
        }
        let outlines = outlines(&shape.geometry, transform);
        if let Some(fill) = &shape.fill {
            self.shapes.push(Shape::Fill(Fill {
                outlines: outlines.clone(),
                is_opaque: matches!(fill, Paint::Solid(colour) if colour.alpha().is_none_or(|alpha| alpha >= 1.0)),
                look: digest(fill) as u16,
            }));
        }
        // Strokes in the background's colour separate fills.
        let stroke = shape.stroke.as_ref().filter(|stroke| Some(&stroke.paint) != self.background);
        let Some(stroke) = stroke.filter(|stroke| stroke.thickness.to_pt() > 0.0) else { return };
        let scale = scale_of(transform);
        let look = digest(&(&stroke.paint, stroke.thickness)) as u16;
        self.shapes.extend(outlines.into_iter().map(|points| {
            Shape::Path(Path {
                points,
                half_width: (stroke.thickness.to_pt() * scale / 2.0) as f32,
                corner: if stroke.join == LineJoin::Miter { stroke.miter_limit.get() as f32 } else { 1.0 },
                end: if stroke.cap == LineCap::Square { std::f32::consts::SQRT_2 } else { 1.0 },
                look,
            })
        }));
    }
}

/// Returns how much longer lines become.
fn scale_of(Transform { sx, ky, kx, sy, .. }: Transform) -> f64 {
    (sx.get() * sy.get() - kx.get() * ky.get()).abs().sqrt()
}

fn digest(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Returns the paths of a shape, in pixels; curves become short lines.
fn outlines(geometry: &Geometry, transform: Transform) -> Vec<Vec<Point>> {
    let to_pixels = |point: typst::layout::Point| {
        let point = point.transform(transform);
        (point.x.to_pt() as f32, point.y.to_pt() as f32)
    };
    let curve = match geometry {
        Geometry::Line(to) => return vec![vec![to_pixels(typst::layout::Point::zero()), to_pixels(*to)]],
        Geometry::Rect(Size { x, y }) => Curve::rect(Size::new(*x, *y)),
        Geometry::Curve(curve) => curve.clone(),
    };
    let mut outlines: Vec<Vec<Point>> = vec![];
    // Where the next part begins when nothing moves there.
    let mut start = to_pixels(typst::layout::Point::zero());
    let mut is_open = false;
    for item in &curve.0 {
        if let CurveItem::Move(point) = item {
            (start, is_open) = (to_pixels(*point), false);
            continue;
        }
        if !is_open {
            outlines.push(vec![start]);
            is_open = true;
        }
        let Some(outline) = outlines.last_mut() else { continue };
        let from = outline.last().copied().unwrap_or(start);
        match item {
            CurveItem::Move(_) => {}
            CurveItem::Line(to) => outline.push(to_pixels(*to)),
            CurveItem::Cubic(one, two, to) => {
                add_cubic(outline, [from, to_pixels(*one), to_pixels(*two), to_pixels(*to)]);
            }
            CurveItem::Close => {
                outline.push(start);
                is_open = false;
            }
        }
    }
    outlines
}

/// Adds a cubic Bézier curve to the path that ends at its first point.
fn add_cubic(path: &mut Vec<Point>, [a, b, c, d]: [Point; 4]) {
    let length = distance(a, b) + distance(b, c) + distance(c, d);
    let pieces = ((length / PIECE_PX).ceil() as usize).clamp(1, MAX_PIECES);
    path.extend((1..=pieces).map(|piece| {
        let t = piece as f32 / pieces as f32;
        let s = 1.0 - t;
        let weights = [s * s * s, 3.0 * s * s * t, 3.0 * s * t * t, t * t * t];
        let sum = |[a, b, c, d]: [f32; 4]| a * weights[0] + b * weights[1] + c * weights[2] + d * weights[3];
        (sum([a.0, b.0, c.0, d.0]), sum([a.1, b.1, c.1, d.1]))
    }));
}
