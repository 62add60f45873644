//! Strokes that draw themselves: which of them are drawn one after the other, and when the pen reaches each point.
//!
//! Strokes of one icon, and lines that go on where the last one ended, are one [`Item`] and drawn one after the other. Items
//! begin shortly after each other, in the order in which the page draws them, but arrows before what they may point at. A
//! small filled shape at the end of a line, such as an arrow's head, or on it, such as a dot, appears when the pen gets there.

use crate::draw::motion::inverse_ease_in_out;

/// Bounds of the time that all strokes of a step take together.
const MIN_S: f64 = 0.45;
const MAX_S: f64 = 0.8;
const ONE_PEN_MAX_S: f64 = 1.8;
/// Time that one pen needs for the shortest item.
const ONE_PEN_ITEM_S: f64 = 0.12;
/// Longer time of an item whose strokes are as long as the page is wide.
const PAGE_WIDTH_S: f64 = 0.35;
/// Delay of each item after the one before, and of the last item after the first.
const STAGGER_S: f64 = 0.1;
const MAX_STAGGER_S: f64 = 0.3;
/// Time in which an arrow's head appears.
const HEAD_S: f64 = 0.07;
/// More strokes than this appear at once, as do strokes that cover more than this share of the picture.
const MAX_STROKES: usize = 400;
const MAX_COVERAGE: f64 = 0.2;
const MAX_WRITTEN_COVERAGE: f64 = 0.7;
/// Strokes longer than this share of the page's edge are a frame around the page, and appear at once.
const MAX_EDGE_SHARE: f32 = 0.6;
/// Largest size of an icon, as a share of the page's width.
const ICON: f32 = 0.2;
/// Largest gap between two strokes of an icon, as a share of its size, and at least in pixels.
const ICON_GAP: f32 = 0.35;
const MIN_ICON_GAP_PX: f32 = 6.0;
/// Largest size of an arrow's head, as a share of the page's width.
const HEAD: f32 = 0.035;
/// Distance between a line's end and what touches it, beyond half of its width.
const TOUCH_PX: f32 = 3.0;
/// Pixels around a stroke and a head: their edges are antialiased.
pub(crate) const EDGE_PX: f32 = 1.5;
/// Length of the pieces of a path, each of which the pen draws evenly.
const PIECE_PX: f32 = 6.0;

/// The pens that draw a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hand {
    /// Items begin shortly after each other.
    Many,
    /// Each item begins when the one before is drawn. Text is written, too.
    OnePen,
}

/// A place on the page, in pixels.
pub type Point = (f32, f32);

/// What a page draws, in its order.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    Path(Path),
    Fill(Fill),
    /// Text and pictures: strokes before and after them are no icon.
    Other,
}

/// A line, curve or outline.
#[derive(Debug, Clone, PartialEq)]
pub struct Path {
    /// At least one point; a closed path ends where it begins.
    pub points: Vec<Point>,
    pub half_width: f32,
    /// How far corners and ends reach beyond half of the width: 1 for round ones.
    pub corner: f32,
    pub end: f32,
    /// Equal for strokes of one colour and width.
    pub look: u16,
}

/// A filled shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Fill {
    pub outlines: Vec<Vec<Point>>,
    pub is_opaque: bool,
    /// Equal for shapes of one colour.
    pub look: u16,
}

/// The new strokes of a page, and what belongs to them, in the order in which the page draws them.
#[derive(Debug, Clone, PartialEq)]
pub struct Strokes {
    pub marks: Vec<Mark>,
    pub duration_s: f64,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Mark {
    Stroke(Stroke),
    Head(Head),
    /// Hides the strokes before it.
    Cover(Fill),
}

/// A path with the times at which the pen is at its points, from 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Stroke {
    pub path: Path,
    pub times: Vec<f32>,
}

/// A filled shape that grows from a place on a line.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    pub fill: Fill,
    pub grows_from: Point,
    /// When it begins to grow, and when it is whole.
    pub times: (f32, f32),
}

/// A point of a path, with the time at which the pen is there.
struct Place {
    point: Point,
    time: f32,
    /// How far away a shape may be that touches the path here.
    room: f32,
    is_end: bool,
}

/// Strokes that are drawn one after the other.
#[derive(Debug, Default)]
struct Item {
    /// Indices of the shapes.
    paths: Vec<usize>,
    /// Length of all paths, and of the ways between them.
    length: f32,
}

impl Strokes {
    /// Plans the strokes among the new shapes of a page; `None` where there are none, or too many.
    pub fn plan(shapes: Vec<Shape>, (width, height): (f32, f32), hand: Hand) -> Option<Self> {
        let is_drawn = |path: &Path| path.length() <= MAX_EDGE_SHARE * 2.0 * (width + height);
        let shapes: Vec<Shape> = shapes
            .into_iter()
            .filter(|shape| !matches!(shape, Shape::Path(path) if !is_drawn(path)))
            .map(Shape::in_pieces)
            .collect();
        let paths: Vec<&Path> = shapes.iter().filter_map(Shape::path).collect();
        let pixels: f64 = paths.iter().map(|path| f64::from(path.area())).sum();
        let share = if hand == Hand::OnePen { MAX_WRITTEN_COVERAGE } else { MAX_COVERAGE };
        let room = share * f64::from(width * height);
        if paths.is_empty() || paths.len() > MAX_STROKES || pixels > room {
            return None;
        }
        let (times, duration_s) = times(&items(&shapes, width), &shapes, f64::from(width), hand);
        Some(Self { marks: marks(shapes, &times, (width, HEAD_S / duration_s)), duration_s })
    }

    /// Returns the same strokes, drawn as fast as strokes may be.
    pub fn hurried(self) -> Self {
        Self { duration_s: MIN_S, ..self }
    }
}

/// Divides the strokes into items.
fn items(shapes: &[Shape], width: f32) -> Vec<Item> {
    let mut items: Vec<Item> = vec![];
    for (index, shape) in shapes.iter().enumerate() {
        let Shape::Path(path) = shape else { continue };
        let goes_on = items.last().is_some_and(|item| item.goes_on_with(shapes, index, width));
        if !goes_on {
            items.push(Item::default());
        }
        if let Some(item) = items.last_mut() {
            item.paths.push(index);
            item.length += path.drawn_length();
        }
    }
    let heads: Vec<Bounds> = shapes.iter().filter_map(|shape| shape.head_bounds(width)).collect();
    items.sort_by_key(|item| !item.is_arrow(shapes, &heads));
    items
}

impl Item {
    fn is_arrow(&self, shapes: &[Shape], heads: &[Bounds]) -> bool {
        let last = self.paths.last().and_then(|path| shapes[*path].path());
        last.is_some_and(|path| {
            let end = path.half_width + TOUCH_PX;
            path.is_open() && heads.iter().any(|head| head.distance(path.last()) <= end)
        })
    }

    /// Returns `true` when the path is the item's next one.
    fn goes_on_with(&self, shapes: &[Shape], index: usize, width: f32) -> bool {
        let paths = || self.paths.iter().filter_map(|path| shapes[*path].path());
        let (Some(path), Some(last)) = (shapes[index].path(), paths().next_back()) else { return false };
        if distance(last.last(), path.first()) <= last.half_width.max(path.half_width) + TOUCH_PX {
            return true;
        }
        let before = paths().map(|path| Bounds::around(&path.points)).reduce(Bounds::union);
        let (Some(before), own) = (before, Bounds::around(&path.points)) else { return false };
        let size = before.union(own).size();
        self.paths.last() == index.checked_sub(1).as_ref()
            && last.look == path.look
            && size <= ICON * width
            && before.gap(own) <= (ICON_GAP * size).max(MIN_ICON_GAP_PX)
    }
}

/// Returns for each shape the times of its points, which are none for fills, and the duration in seconds.
fn times(items: &[Item], shapes: &[Shape], width: f64, hand: Hand) -> (Vec<Vec<f32>>, f64) {
    let delay_s = STAGGER_S.min(MAX_STAGGER_S / (items.len() as f64 - 1.0).max(1.0));
    let (least_s, most_s) = match hand {
        Hand::Many => (MIN_S, MAX_S),
        Hand::OnePen => (ONE_PEN_ITEM_S, ONE_PEN_MAX_S),
    };
    let item_s = |item: &Item| (least_s + PAGE_WIDTH_S * f64::from(item.length) / width).min(MAX_S);
    let begins: Vec<f64> = items
        .iter()
        .enumerate()
        .scan(0.0, |end_s, (index, item)| {
            let begin_s = if hand == Hand::OnePen { *end_s } else { delay_s * index as f64 };
            *end_s += item_s(item);
            Some(begin_s)
        })
        .collect();
    let ends = items.iter().zip(&begins).map(|(item, begin_s)| begin_s + item_s(item));
    // The last head needs its time too.
    let unscaled_s = ends.fold(0.0, f64::max) + HEAD_S;
    let mut times = vec![vec![]; shapes.len()];
    for (item, begin_s) in items.iter().zip(&begins) {
        let mut way = 0.0;
        for path_index in &item.paths {
            let Some(path) = shapes[*path_index].path() else { continue };
            let time_at = |way: f32| {
                let share = inverse_ease_in_out(f64::from(way / item.length.max(f32::MIN_POSITIVE)));
                ((begin_s + item_s(item) * share) / unscaled_s) as f32
            };
            times[*path_index] = path.ways().map(|own| time_at(way + own)).collect();
            way += path.drawn_length();
        }
    }
    (times, unscaled_s.clamp(MIN_S, most_s))
}

/// Puts the strokes, their heads and what hides them together.
fn marks(shapes: Vec<Shape>, times: &[Vec<f32>], (width, head_time): (f32, f64)) -> Vec<Mark> {
    let places: Vec<Place> = shapes
        .iter()
        .zip(times)
        .filter_map(|(shape, times)| Some((shape.path()?, times)))
        .flat_map(|(path, times)| path.places(times))
        .collect();
    let grows_from = |head: Bounds| {
        let touching = |is_end: bool| {
            let places = places.iter().filter(move |place| place.is_end || !is_end);
            let touching = places.filter(|place| head.distance(place.point) <= place.room);
            touching.min_by(|one, other| one.time.total_cmp(&other.time))
        };
        // What an arrow points at may be as near to its head as the arrow is.
        touching(true).or_else(|| touching(false)).map(|place| (place.point, place.time))
    };
    let mut drawn: Option<Bounds> = None;
    let mut marks = vec![];
    for (shape, times) in shapes.into_iter().zip(times) {
        let start = shape.head_bounds(width).and_then(grows_from);
        match shape {
            Shape::Path(path) => {
                let bounds = Bounds::around(&path.points);
                drawn = Some(drawn.map_or(bounds, |drawn| drawn.union(bounds)));
                marks.push(Mark::Stroke(Stroke { path, times: times.clone() }));
            }
            Shape::Fill(fill) => match start {
                Some((grows_from, time)) => {
                    let times = (time, (time + head_time as f32).min(1.0));
                    marks.push(Mark::Head(Head { fill, grows_from, times }));
                }
                None if fill.is_opaque && drawn.is_some_and(|drawn| drawn.gap(fill.bounds()) <= 0.0) => {
                    marks.push(Mark::Cover(fill));
                }
                None => {}
            },
            Shape::Other => {}
        }
    }
    marks
}

impl Shape {
    fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            _ => None,
        }
    }

    /// Returns the bounds of a fill that is small enough to be the head of an arrow.
    fn head_bounds(&self, width: f32) -> Option<Bounds> {
        match self {
            Self::Fill(fill) => Some(fill.bounds()).filter(|bounds| bounds.size() <= HEAD * width),
            _ => None,
        }
    }

    fn in_pieces(self) -> Self {
        match self {
            Self::Path(path) => Self::Path(path.in_pieces()),
            other => other,
        }
    }
}

impl Path {
    fn first(&self) -> Point {
        self.points.first().copied().unwrap_or_default()
    }

    fn last(&self) -> Point {
        self.points.last().copied().unwrap_or_default()
    }

    fn is_open(&self) -> bool {
        self.first() != self.last()
    }

    fn places(&self, times: &[f32]) -> impl Iterator<Item = Place> {
        let (last, room) = (self.points.len().saturating_sub(1), self.half_width + TOUCH_PX);
        self.points.iter().zip(times).enumerate().map(move |(index, (point, time))| {
            let is_end = self.is_open() && (index == 0 || index == last);
            Place { point: *point, time: *time, room, is_end }
        })
    }

    fn length(&self) -> f32 {
        self.ways().last().unwrap_or_default()
    }

    /// Returns the length, and the way to the next stroke: a dot takes its time too.
    fn drawn_length(&self) -> f32 {
        self.length() + 2.0 * (self.half_width + EDGE_PX)
    }

    fn area(&self) -> f32 {
        self.drawn_length() * 2.0 * (self.half_width + EDGE_PX)
    }

    /// Returns the distance of each point from the first one, along the path.
    fn ways(&self) -> impl Iterator<Item = f32> {
        let pairs = self.points.iter().zip(self.points.first().into_iter().chain(&self.points));
        pairs.scan(0.0, |way, (point, before)| {
            *way += distance(*before, *point);
            Some(*way)
        })
    }

    /// Adds points until no two are far apart.
    fn in_pieces(mut self) -> Self {
        let most = PIECE_PX.max(self.half_width / 2.0);
        let mut points: Vec<Point> = self.points.first().copied().into_iter().collect();
        for pair in self.points.windows(2) {
            let pieces = (distance(pair[0], pair[1]) / most).ceil().max(1.0);
            let between = |from: f32, to: f32, piece: f32| from + (to - from) * piece / pieces;
            points.extend((1..=pieces as usize).map(|piece| {
                let piece = piece as f32;
                (between(pair[0].0, pair[1].0, piece), between(pair[0].1, pair[1].1, piece))
            }));
        }
        self.points = points;
        self
    }
}

impl Fill {
    pub(crate) fn bounds(&self) -> Bounds {
        let all = self.outlines.iter().filter(|outline| !outline.is_empty());
        all.map(|outline| Bounds::around(outline)).reduce(Bounds::union).unwrap_or_default()
    }

    /// Returns `true` for points inside, by the even-odd rule.
    pub(crate) fn contains(&self, (x, y): Point) -> bool {
        let crossings = self.edges().filter(|((ax, ay), (bx, by))| {
            (*ay > y) != (*by > y) && x < ax + (y - ay) / (by - ay) * (bx - ax)
        });
        crossings.count() % 2 == 1
    }

    /// Returns the edges of all outlines, each of which is closed.
    pub(crate) fn edges(&self) -> impl Iterator<Item = (Point, Point)> {
        self.outlines.iter().flat_map(|outline| {
            outline.iter().copied().zip(outline.iter().copied().cycle().skip(1)).take(outline.len())
        })
    }
}

/// The smallest rectangle around points.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Bounds {
    pub from: Point,
    pub to: Point,
}

impl Bounds {
    pub fn around(points: &[Point]) -> Self {
        let all = points.iter().map(|point| Self { from: *point, to: *point });
        all.reduce(Self::union).unwrap_or_default()
    }

    pub fn union(self, other: Self) -> Self {
        let least = |one: Point, other: Point| (one.0.min(other.0), one.1.min(other.1));
        let most = |one: Point, other: Point| (one.0.max(other.0), one.1.max(other.1));
        Self { from: least(self.from, other.from), to: most(self.to, other.to) }
    }

    /// Returns the longer side.
    fn size(self) -> f32 {
        (self.to.0 - self.from.0).max(self.to.1 - self.from.1)
    }

    /// Returns the larger of the gaps across and down; 0 or less where both rectangles meet.
    fn gap(self, other: Self) -> f32 {
        let gap = |one: (f32, f32), other: (f32, f32)| (one.0 - other.1).max(other.0 - one.1);
        let across = gap((self.from.0, self.to.0), (other.from.0, other.to.0));
        let down = gap((self.from.1, self.to.1), (other.from.1, other.to.1));
        across.max(down)
    }

    fn distance(self, (x, y): Point) -> f32 {
        let across = (self.from.0 - x).max(x - self.to.0).max(0.0);
        let down = (self.from.1 - y).max(y - self.to.1).max(0.0);
        across.hypot(down)
    }
}

pub(crate) fn distance(one: Point, other: Point) -> f32 {
    (other.0 - one.0).hypot(other.1 - one.1)
}
