//! Finds in the layout the strokes of a page that are not on the page before.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use reel_scene::Entrance;
use typst::foundations::Smart;
use typst::layout::{Frame, FrameItem, Ratio, Size, Transform};
use typst::visualize::{Curve, CurveItem, Geometry, LineCap, LineJoin, Paint};
use typst_layout::Page;

use super::step_motion::{Moving, StepMotion};
use crate::draw::strokes::{Fill, Path, Point, Shape, Strokes, distance};
use crate::layout::Pages;

/// Length of the pieces of a curve.
const PIECE_PX: f32 = 4.0;
const MAX_PIECES: usize = 200;

impl Pages {
    /// Fills in the strokes of the steps that fade or rise in, in pixels of pictures of a size.
    pub fn find_strokes(&self, motions: &mut [StepMotion], (width, height): (u32, u32)) {
        let mut before = 0;
        for motion in motions {
            let after = before + 1;
            let is_drawn = matches!(motion.entrance, Entrance::Fade | Entrance::Rise);
            if is_drawn && motion.moving == Moving::None {
                let shapes = self.new_shapes((before, after), width, height);
                let strokes = Strokes::plan(shapes, (width as f32, height as f32));
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
    fn new_shapes(&self, (before, after): (usize, usize), width: u32, height: u32) -> Vec<Shape> {
        let pages = self.document.pages();
        let (Some(before), Some(after)) = (pages.get(before), pages.get(after)) else { return vec![] };
        let mut old = Finder::new(before, (width, height));
        old.collect(&before.frame, old.transform);
        let mut new = Finder { old: old.found, ..Finder::new(after, (width, height)) };
        new.collect(&after.frame, new.transform);
        new.shapes
    }
}

/// Collects the shapes of a page.
struct Finder<'a> {
    transform: Transform,
    background: Option<&'a Paint>,
    /// Shapes of the page before.
    old: HashSet<u64>,
    found: HashSet<u64>,
    shapes: Vec<Shape>,
}

impl<'a> Finder<'a> {
    fn new(page: &'a Page, (width, height): (u32, u32)) -> Self {
        let scale = Ratio::new(Pages::pixels_per_point(page, width, height));
        let background = match &page.fill {
            Smart::Custom(fill) => fill.as_ref(),
            Smart::Auto => None,
        };
        let (old, found) = (HashSet::new(), HashSet::new());
        Self { transform: Transform::scale(scale, scale), background, old, found, shapes: vec![] }
    }

    fn collect(&mut self, frame: &Frame, transform: Transform) {
        for (at, item) in frame.items() {
            let here = transform.pre_concat(Transform::translate(at.x, at.y));
            match item {
                FrameItem::Group(group) => self.collect(&group.frame, here.pre_concat(group.transform)),
                FrameItem::Shape(shape, _) => self.add(shape, here),
                FrameItem::Text(_) | FrameItem::Image(..) => self.shapes.push(Shape::Other),
                _ => {}
            }
        }
    }

    fn add(&mut self, shape: &typst::visualize::Shape, transform: Transform) {
        let Transform { sx, ky, kx, sy, tx, ty } = transform;
        let place = [sx.get(), ky.get(), kx.get(), sy.get(), tx.to_pt(), ty.to_pt()];
        // Thousandths: the same shape at the same place may differ in the last bits.
        let key = digest(&(shape, place.map(|number| (number * 1000.0).round() as i64)));
        self.found.insert(key);
        if self.old.contains(&key) {
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
        let scale = (sx.get() * sy.get() - kx.get() * ky.get()).abs().sqrt();
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
