//! Reads what a page draws from its frame: texts, shapes and pictures with their rectangles, in the order of painting.

use typst::layout::{Frame, FrameItem, Point, Size, Transform};
use typst::text::TextItem;
use typst::visualize::{Curve, CurveItem, FillRule, Geometry, Image, ImageKind, Paint, Shape};

/// Segments that stand for a Bézier curve.
const CURVE_SEGMENTS: usize = 8;
/// Tolerance of positions, in pixels.
const TOLERANCE_PX: f64 = 1.0;
/// Edges of the page that a background reaches.
const BACKGROUND_EDGES: usize = 3;
/// Size of the cells in which covered area is counted, in pixels.
const CELL_PX: f64 = 10.0;

/// A colour of a pixel: red, green, blue, from 0 to 1.
pub(super) type Rgb = [f64; 3];

/// A colour to paint with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Ink {
    /// One colour and its opacity, from 0 to 1.
    Plain(Rgb, f64),
    /// Several colours: a gradient, a pattern, a picture.
    Mixed,
}

/// A rectangle, in pixels at 1080p.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounds {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

/// A run of text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DrawnText {
    pub text: String,
    pub size_px: f64,
    /// Where its first glyph stands on the line.
    pub origin: (f64, f64),
    pub is_formula: bool,
    pub is_code: bool,
    pub ink: Ink,
    /// What of it the page's clips leave.
    pub clip: Option<Bounds>,
    pub missing_glyphs: String,
}

/// A drawn thing.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Text(DrawnText),
    /// An area, by the outlines around it.
    Fill {
        outlines: Vec<Vec<(f64, f64)>>,
        rule: FillRule,
        ink: Ink,
    },
    /// Lines.
    Stroke,
    /// A drawing without a background, such as an icon.
    Drawing,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Drawn {
    pub bounds: Bounds,
    pub kind: Kind,
}

/// A page and what it draws, from back to front.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DrawnPage {
    pub bounds: Bounds,
    pub background: Ink,
    pub items: Vec<Drawn>,
}

impl Bounds {
    pub fn width(self) -> f64 {
        (self.right - self.left).max(0.0)
    }

    pub fn height(self) -> f64 {
        (self.bottom - self.top).max(0.0)
    }

    fn around(corners: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let none = Self {
            left: f64::INFINITY,
            top: f64::INFINITY,
            right: f64::NEG_INFINITY,
            bottom: f64::NEG_INFINITY,
        };
        corners.into_iter().fold(none, |all, (x, y)| Self {
            left: all.left.min(x),
            top: all.top.min(y),
            right: all.right.max(x),
            bottom: all.bottom.max(y),
        })
    }

    fn union(self, other: Self) -> Self {
        Self {
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
        }
    }

    /// Returns the common part; its width or height is 0 where there is none.
    pub fn intersection(self, other: Self) -> Self {
        Self {
            left: self.left.max(other.left),
            top: self.top.max(other.top),
            right: self.right.min(other.right),
            bottom: self.bottom.min(other.bottom),
        }
    }

    /// Returns `true` when `other` lies inside, apart from rounding.
    pub fn holds(self, other: Self) -> bool {
        other.left >= self.left - TOLERANCE_PX
            && other.top >= self.top - TOLERANCE_PX
            && other.right <= self.right + TOLERANCE_PX
            && other.bottom <= self.bottom + TOLERANCE_PX
    }

    fn is_empty(self) -> bool {
        self.width() <= 0.0 || self.height() <= 0.0
    }
}

impl DrawnPage {
    pub fn read(page: &typst_layout::Page) -> Self {
        let size = page.frame.size();
        let background = page.fill_or_white();
        let mut items = Vec::new();
        read_frame(&page.frame, Transform::identity(), None, &mut items);
        Self {
            bounds: Bounds { left: 0.0, top: 0.0, right: size.x.to_pt(), bottom: size.y.to_pt() },
            background: background.as_ref().map_or(Ink::Plain([1.0; 3], 1.0), ink),
            items,
        }
    }

    /// Measures what is drawn and is not a background: the area of the rectangle around it, and the area that it covers.
    pub fn used_and_covered_percent(&self, empty: &Self) -> (f64, f64) {
        let is_background = |item: &&Drawn| {
            !matches!(item.kind, Kind::Text(_)) && (empty.items.contains(item) || self.is_ground(item.bounds))
        };
        let content = self.items.iter().filter(|item| !is_background(item));
        let content: Vec<Bounds> = content.map(|item| item.bounds.intersection(self.bounds)).collect();
        let whole = self.bounds.width() * self.bounds.height();
        let used =
            content.iter().copied().reduce(Bounds::union).map_or(0.0, |all| all.width() * all.height());
        (100.0 * used / whole, self.covered_percent(&content))
    }

    fn covered_percent(&self, content: &[Bounds]) -> f64 {
        let (columns, rows) =
            ((self.bounds.right / CELL_PX).ceil() as usize, (self.bounds.bottom / CELL_PX).ceil() as usize);
        let mut covered = vec![false; columns * rows];
        for bounds in content {
            let cells = |from: f64, to: f64, most: usize| {
                ((from / CELL_PX) as usize)..((to / CELL_PX).ceil().max(0.0) as usize).min(most)
            };
            for row in cells(bounds.top, bounds.bottom, rows) {
                for column in cells(bounds.left, bounds.right, columns) {
                    covered[row * columns + column] = true;
                }
            }
        }
        let count = covered.iter().filter(|cell| **cell).count();
        100.0 * count as f64 / covered.len().max(1) as f64
    }

    /// Returns `true` for a rectangle that reaches so many edges of the page that it is a ground to draw on.
    fn is_ground(&self, bounds: Bounds) -> bool {
        let reached = [
            bounds.left <= self.bounds.left + TOLERANCE_PX,
            bounds.top <= self.bounds.top + TOLERANCE_PX,
            bounds.right >= self.bounds.right - TOLERANCE_PX,
            bounds.bottom >= self.bounds.bottom - TOLERANCE_PX,
        ];
        reached.into_iter().filter(|reached| *reached).count() >= BACKGROUND_EDGES
    }

    /// Returns the colour behind the item of this index at a point; `None` where it is not one colour. Skips fills that
    /// are thinner than `thinnest`, such as rules.
    pub fn colour_behind(&self, index: usize, point: (f64, f64), thinnest: f64) -> Option<Rgb> {
        let Ink::Plain(ground, _) = self.background else { return None };
        let mut behind = Some(ground);
        for item in &self.items[..index] {
            let is_thin = item.bounds.width().min(item.bounds.height()) < thinnest;
            if let Kind::Fill { ink, .. } = item.kind
                && !is_thin
                && item.covers(point)
            {
                behind = ink.over(behind);
            }
        }
        behind
    }
}

impl Drawn {
    /// Returns `true` when an area covers the point.
    pub fn covers(&self, (x, y): (f64, f64)) -> bool {
        let Kind::Fill { outlines, rule, .. } = &self.kind else { return false };
        let is_near = (self.bounds.left..=self.bounds.right).contains(&x)
            && (self.bounds.top..=self.bounds.bottom).contains(&y);
        let winding = || outlines.iter().map(|outline| winding_number(outline, x, y)).sum::<i32>();
        is_near
            && match rule {
                FillRule::NonZero => winding() != 0,
                FillRule::EvenOdd => winding() % 2 != 0,
            }
    }
}

impl Ink {
    /// Paints over a colour; `None` is an unknown one.
    pub fn over(self, behind: Option<Rgb>) -> Option<Rgb> {
        match (self, behind) {
            (Self::Plain(colour, 1.0), _) => Some(colour),
            (Self::Plain(colour, alpha), Some(behind)) => {
                let mix = |channel: usize| colour[channel] * alpha + behind[channel] * (1.0 - alpha);
                Some([mix(0), mix(1), mix(2)])
            }
            _ => None,
        }
    }
}

/// Counts how often an outline goes around a point.
fn winding_number(outline: &[(f64, f64)], x: f64, y: f64) -> i32 {
    let ends = outline.iter().skip(1).chain(outline.first());
    let turns = outline.iter().zip(ends).map(|(&(x1, y1), &(x2, y2))| {
        let side = (x2 - x1) * (y - y1) - (x - x1) * (y2 - y1);
        match (y1 <= y, y2 <= y) {
            (true, false) if side > 0.0 => 1,
            (false, true) if side < 0.0 => -1,
            _ => 0,
        }
    });
    turns.sum()
}

fn read_frame(frame: &Frame, transform: Transform, clip: Option<Bounds>, items: &mut Vec<Drawn>) {
    for (at, item) in frame.items() {
        let here = transform.pre_concat(Transform::translate(at.x, at.y));
        let drawn = match item {
            FrameItem::Group(group) => {
                let inner = here.pre_concat(group.transform);
                let own = group.clip.as_ref().map(|curve| Bounds::around(outlines(curve, inner).concat()));
                let clip = match (clip, own) {
                    (Some(outer), Some(own)) => Some(outer.intersection(own)),
                    (outer, own) => outer.or(own),
                };
                read_frame(&group.frame, inner, clip, items);
                None
            }
            FrameItem::Text(run) => Some(text_run(run, here, clip)),
            FrameItem::Shape(shape, _) => drawn_shape(shape, here),
            FrameItem::Image(image, size, _) => Some(picture(image, *size, here)),
            FrameItem::Link(..) | FrameItem::Tag(_) => None,
        };
        let Some(mut drawn) = drawn else { continue };
        if let (Some(clip), false) = (clip, matches!(drawn.kind, Kind::Text(_))) {
            drawn.bounds = drawn.bounds.intersection(clip);
        }
        if !drawn.bounds.is_empty() {
            items.push(drawn);
        }
    }
}

fn text_run(run: &TextItem, here: Transform, clip: Option<Bounds>) -> Drawn {
    let glyphs = run.bbox();
    let mut corners = [glyphs.min, glyphs.max].map(to_pixels);
    // Glyphs that are bitmaps have no outlines to go by.
    if corners.iter().any(|(x, y)| !x.is_finite() || !y.is_finite()) {
        let is_blank = run.text.trim().is_empty();
        let size = if is_blank { 0.0 } else { run.size.to_pt() };
        corners = [(0.0, -0.8 * size), (run.width().to_pt(), 0.1 * size)];
    }
    let area = here.sx.get() * here.sy.get() - here.kx.get() * here.ky.get();
    let missing = run.glyphs.iter().filter(|glyph| glyph.id == 0);
    Drawn {
        bounds: Bounds::around(rectangle(corners).map(|corner| transformed(corner, here))),
        kind: Kind::Text(DrawnText {
            text: run.text.to_string(),
            size_px: run.size.to_pt() * area.abs().sqrt(),
            origin: transformed((0.0, 0.0), here),
            is_formula: run.font.info().family.contains("Math"),
            is_code: run.font.info().family.contains("Mono"),
            ink: ink(&run.fill),
            clip,
            missing_glyphs: missing.filter_map(|glyph| run.text.get(glyph.range())).collect(),
        }),
    }
}

fn drawn_shape(shape: &Shape, here: Transform) -> Option<Drawn> {
    let bounds = shape.bbox(true);
    let bounds = rectangle([bounds.min, bounds.max].map(to_pixels)).map(|corner| transformed(corner, here));
    let kind = match (&shape.fill, &shape.geometry) {
        (Some(fill), Geometry::Rect(size)) => Kind::Fill {
            outlines: vec![rectangle_outline(*size, here)],
            rule: FillRule::NonZero,
            ink: ink(fill),
        },
        (Some(fill), Geometry::Curve(curve)) => {
            Kind::Fill { outlines: outlines(curve, here), rule: shape.fill_rule, ink: ink(fill) }
        }
        _ if shape.stroke.is_some() => Kind::Stroke,
        _ => return None,
    };
    // What is painted without opacity is not seen, unless it has an edge.
    let is_invisible = matches!(kind, Kind::Fill { ink: Ink::Plain(_, 0.0), .. }) && shape.stroke.is_none();
    (!is_invisible).then(|| Drawn { bounds: Bounds::around(bounds), kind })
}

fn picture(image: &Image, size: Size, here: Transform) -> Drawn {
    let outline = rectangle_outline(size, here);
    let bounds = Bounds::around(outline.iter().copied());
    let kind = match image.kind() {
        ImageKind::Raster(_) => {
            Kind::Fill { outlines: vec![outline], rule: FillRule::NonZero, ink: Ink::Mixed }
        }
        _ => Kind::Drawing,
    };
    Drawn { bounds, kind }
}

fn ink(paint: &Paint) -> Ink {
    let Paint::Solid(colour) = paint else { return Ink::Mixed };
    let rgb = colour.to_rgb();
    Ink::Plain([rgb.red, rgb.green, rgb.blue].map(f64::from), f64::from(rgb.alpha))
}

fn to_pixels(point: Point) -> (f64, f64) {
    (point.x.to_pt(), point.y.to_pt())
}

fn transformed((x, y): (f64, f64), by: Transform) -> (f64, f64) {
    (by.sx.get() * x + by.kx.get() * y + by.tx.to_pt(), by.ky.get() * x + by.sy.get() * y + by.ty.to_pt())
}

fn rectangle([(x1, y1), (x2, y2)]: [(f64, f64); 2]) -> [(f64, f64); 4] {
    [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
}

fn rectangle_outline(size: Size, here: Transform) -> Vec<(f64, f64)> {
    let corners = [(0.0, 0.0), to_pixels(size.to_point())];
    rectangle(corners).map(|corner| transformed(corner, here)).to_vec()
}

/// Returns the outlines of a curve, as polygons.
fn outlines(curve: &Curve, here: Transform) -> Vec<Vec<(f64, f64)>> {
    let mut outlines: Vec<Vec<(f64, f64)>> = Vec::new();
    let place = |point: &Point| transformed(to_pixels(*point), here);
    for item in &curve.0 {
        match item {
            CurveItem::Move(to) => outlines.push(vec![place(to)]),
            CurveItem::Close => {}
            CurveItem::Line(to) => {
                if let Some(outline) = outlines.last_mut() {
                    outline.push(place(to));
                }
            }
            CurveItem::Cubic(one, two, to) => {
                let Some(outline) = outlines.last_mut() else { continue };
                let Some(from) = outline.last().copied() else { continue };
                let points = [from, place(one), place(two), place(to)];
                outline.extend(
                    (1..=CURVE_SEGMENTS).map(|step| bezier(points, step as f64 / CURVE_SEGMENTS as f64)),
                );
            }
        }
    }
    outlines
}

fn bezier(points: [(f64, f64); 4], t: f64) -> (f64, f64) {
    let s = 1.0 - t;
    let weights = [s * s * s, 3.0 * s * s * t, 3.0 * s * t * t, t * t * t];
    points
        .iter()
        .zip(weights)
        .fold((0.0, 0.0), |(x, y), (point, weight)| (x + point.0 * weight, y + point.1 * weight))
}
