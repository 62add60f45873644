//! Draws strokes along their paths, while everything else of the new picture fades or rises in.
//!
//! [`Ink`] knows for each pixel of the strokes when the pen is there, and what the picture looks like without them: as the
//! nearest pixel that no stroke covers. [`Pen`] moves from the old picture to the one without strokes, and puts the pixels
//! that the pen has reached on top. The cost is proportional to the pixels of the strokes and to what changes besides.

use std::collections::VecDeque;

use reel_scene::Entrance;

use crate::draw::motion::{FULL_SHARE, Transition, mix};
use crate::draw::picture::{Picture, Rect};
use crate::draw::strokes::{Bounds, EDGE_PX, Fill, Head, Mark, Point, Stroke, Strokes, distance};

/// Time in which a pixel appears, in frames: a pen that moves fast has a soft tip.
const TIP_FRAMES: f64 = 0.6;
/// How far half-covered pixels may be from a stroke and still be its own.
const CORE_PX: f32 = 0.5;
/// The bit of a look that is set where a stroke covers a pixel, and not set around it.
const CORE: u16 = 1 << 15;

/// A transition between two pictures in which strokes draw themselves.
pub struct Pen<'a> {
    from: &'a Picture,
    to: &'a Picture,
    ink: &'a Ink,
    rest: Transition<'a>,
    rest_frames: u32,
    frames: u32,
}

impl<'a> Pen<'a> {
    /// Takes two pictures of the same size and the ink of their strokes. What is not a stroke enters in `rest_frames`. Frame
    /// number `frames` equals `to`.
    pub fn new(
        (from, to): (&'a Picture, &'a Picture),
        ink: &'a Ink,
        entrance: Entrance,
        (rest_frames, frames): (u32, u32),
    ) -> Self {
        let rest_frames = rest_frames.min(frames);
        let rest = Transition::new(from, &ink.without, entrance, rest_frames);
        Self { from, to, ink, rest, rest_frames, frames }
    }

    /// Returns `true` when both pictures are equal.
    pub fn is_static(&self) -> bool {
        self.rest.is_static() && self.ink.is_empty()
    }

    /// Draws frame `number`, from 1 to the number of frames, on a canvas that holds the frame before, or `from`.
    pub fn draw(&self, canvas: &mut Picture, number: u32) {
        self.put(canvas, self.from, |_| FULL_SHARE);
        self.rest.draw(canvas, number.min(self.rest_frames));
        if number >= self.frames {
            return self.put(canvas, self.to, |_| FULL_SHARE);
        }
        let frames = f64::from(self.frames);
        let share_at = |time: u16| {
            let since = f64::from(number) - f64::from(time) / f64::from(u16::MAX) * frames;
            ((since / TIP_FRAMES).clamp(0.0, 1.0) * f64::from(FULL_SHARE)) as u16
        };
        self.put(canvas, self.to, share_at);
    }

    /// Mixes the strokes' pixels of a picture into the canvas, with a share that depends on the time of each.
    fn put(&self, canvas: &mut Picture, picture: &Picture, share_at: impl Fn(u16) -> u16) {
        let Ink { luma, chroma, .. } = self.ink;
        let inks = [luma, chroma, chroma];
        for (((out, ..), (source, ..)), ink) in
            canvas.planes_mut().into_iter().zip(picture.planes()).zip(inks)
        {
            for (at, time) in ink {
                let share = share_at(*time);
                if share > 0 {
                    let at = *at as usize;
                    out[at] = mix(out[at], source[at], share);
                }
            }
        }
    }
}

/// The pixels of strokes in a picture.
pub struct Ink {
    /// Indices of the pixels, and the times at which the pen is there, from 1 to 65535.
    luma: Vec<(u32, u16)>,
    chroma: Vec<(u32, u16)>,
    /// The picture without the strokes.
    without: Picture,
}

impl Ink {
    /// Finds the pixels of the strokes in which the picture `to` differs from `from`.
    pub fn new(from: &Picture, to: &Picture, strokes: &Strokes) -> Self {
        let mut map = TimeMap::around(&strokes.marks, to);
        for mark in &strokes.marks {
            match mark {
                Mark::Stroke(stroke) => map.stamp_stroke(stroke),
                Mark::Head(head) => map.stamp_head(head),
                Mark::Cover(fill) => map.clear(fill),
            }
        }
        let mut halved = map.halved();
        let [(from_luma, ..), (from_blue, ..), (from_red, ..)] = from.planes();
        let [(to_luma, ..), (to_blue, ..), (to_red, ..)] = to.planes();
        map.keep(|at| from_luma[at] != to_luma[at]);
        halved.keep(|at| from_blue[at] != to_blue[at] || from_red[at] != to_red[at]);
        let mut without = to.clone();
        let (luma, chroma) = (map.pixels(), halved.pixels());
        let (nearest, nearest_chroma) = (map.nearest_outside(&luma), halved.nearest_outside(&chroma));
        fill_in(&mut without.luma, (from_luma, to_luma), &nearest);
        fill_in(&mut without.blue, (from_blue, to_blue), &nearest_chroma);
        fill_in(&mut without.red, (from_red, to_red), &nearest_chroma);
        Self { luma, chroma, without }
    }

    fn is_empty(&self) -> bool {
        self.luma.is_empty() && self.chroma.is_empty()
    }
}

/// Gives pixels the look of other ones. Where those stay as they were, so does the pixel.
fn fill_in(plane: &mut [u8], (from, to): (&[u8], &[u8]), sources: &[(u32, u32)]) {
    for (at, source) in sources {
        let (at, source) = (*at as usize, *source as usize);
        plane[at] = if from[source] == to[source] { from[at] } else { to[source] };
    }
}

/// The time at which the pen is at each pixel of a part of a plane.
struct TimeMap {
    /// In pixels of the plane.
    part: Rect,
    /// The plane's width and height.
    plane: (usize, usize),
    /// 0 where there is no stroke.
    times: Vec<u16>,
    /// The look of the stroke at each pixel, and [`CORE`].
    looks: Vec<u16>,
}

impl TimeMap {
    fn around(marks: &[Mark], picture: &Picture) -> Self {
        let reaches = marks.iter().filter_map(|mark| match mark {
            Mark::Stroke(Stroke { path, .. }) => {
                let room = path.half_width * path.corner.max(path.end) + EDGE_PX;
                Some((Bounds::around(&path.points), room))
            }
            Mark::Head(head) => Some((head.fill.bounds(), EDGE_PX)),
            Mark::Cover(_) => None,
        });
        let even = |at: f32, most: usize| (at.max(0.0) as usize).min(most) & !1;
        let parts = reaches.map(|(bounds, room)| Rect {
            left: even(bounds.from.0 - room, picture.width),
            top: even(bounds.from.1 - room, picture.height),
            right: even(bounds.to.0 + room + 2.0, picture.width),
            bottom: even(bounds.to.1 + room + 2.0, picture.height),
        });
        let part = parts.reduce(Rect::union).unwrap_or(Rect { left: 0, top: 0, right: 0, bottom: 0 });
        Self::empty(part, (picture.width, picture.height))
    }

    fn empty(part: Rect, plane: (usize, usize)) -> Self {
        let pixels = (part.right - part.left) * (part.bottom - part.top);
        Self { part, plane, times: vec![0; pixels], looks: vec![0; pixels] }
    }

    fn width(&self) -> usize {
        self.part.right - self.part.left
    }

    fn stamp_stroke(&mut self, stroke: &Stroke) {
        let Stroke { path, times } = stroke;
        let points = &path.points;
        let is_closed = points.first() == points.last();
        // A dot is a path without a length.
        let dot = (points.len() == 1).then(|| (points[0], points[0]));
        let pieces = points.windows(2).map(|pair| (pair[0], pair[1])).chain(dot);
        let last = points.len().saturating_sub(2);
        for (piece, (a, b)) in pieces.enumerate() {
            let (start, end) = (times[piece], times[(piece + 1).min(times.len() - 1)]);
            let is_end =
                |along: f32| !is_closed && ((piece == 0 && along < 0.0) || (piece == last && along > 1.0));
            let reach = path.half_width * path.end + EDGE_PX;
            self.stamp(Bounds::around(&[a, b]), reach, path.look, |point| {
                let along = position_along(a, b, point);
                let share = along.clamp(0.0, 1.0);
                let away = distance(point, (a.0 + (b.0 - a.0) * share, a.1 + (b.1 - a.1) * share));
                let is_core = away <= path.half_width + CORE_PX && !is_end(along);
                (away <= reach).then_some((start + (end - start) * share, is_core))
            });
        }
        self.stamp_corners(stroke, is_closed);
    }

    /// Stamps around pointed corners, which reach beyond half of the stroke's width.
    fn stamp_corners(&mut self, Stroke { path, times }: &Stroke, is_closed: bool) {
        let points = &path.points;
        let corners = points.windows(3).enumerate().map(|(before, corner)| (before + 1, corner.to_vec()));
        let around = is_closed && points.len() > 3;
        let seam = around.then(|| (0, vec![points[points.len() - 2], points[0], points[1]]));
        for (index, corner) in corners.chain(seam).collect::<Vec<_>>() {
            let reach = path.half_width * corner_reach(&corner).min(path.corner);
            if reach > path.half_width + CORE_PX {
                self.stamp(Bounds::around(&corner[1..2]), reach + EDGE_PX, path.look, |point| {
                    (distance(point, corner[1]) <= reach + EDGE_PX).then_some((times[index], false))
                });
            }
        }
    }

    fn stamp_head(&mut self, Head { fill, grows_from, times: (start, end) }: &Head) {
        let bounds = fill.bounds();
        let size = fill.edges().map(|(from, _)| distance(from, *grows_from)).fold(1.0, f32::max);
        self.stamp(bounds, EDGE_PX, fill.look, |point| {
            let is_inside = fill.contains(point);
            let is_near = || fill.edges().any(|(a, b)| distance_to(a, b, point) <= EDGE_PX);
            let way = (distance(point, *grows_from) / size).min(1.0);
            (is_inside || is_near()).then_some((start + (end - start) * way, is_inside))
        });
    }

    /// Removes what a fill hides.
    fn clear(&mut self, fill: &Fill) {
        let (width, part) = (self.width(), self.part);
        let (columns, rows) = self.pixels_around(fill.bounds(), 0.0);
        for y in rows {
            for x in columns.clone() {
                let at = (y - part.top) * width + x - part.left;
                if self.times[at] > 0 && fill.contains(center(x, y)) {
                    (self.times[at], self.looks[at]) = (0, 0);
                }
            }
        }
    }

    /// Returns the columns and rows of the pixels around a place, as far as they are in the map.
    fn pixels_around(&self, bounds: Bounds, room: f32) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        let range = |from: f32, to: f32, least: usize, most: usize| {
            ((from - room).max(0.0) as usize).max(least)..((to + room).max(0.0) as usize + 1).min(most)
        };
        let Rect { left, top, right, bottom } = self.part;
        (range(bounds.from.0, bounds.to.0, left, right), range(bounds.from.1, bounds.to.1, top, bottom))
    }

    /// Sets the pixels around a place for which `time_at` returns a time from 0 to 1, and whether they are in the core.
    ///
    /// Strokes of one look share a pixel: the first one draws it. Of two looks, the page shows the later one.
    fn stamp(
        &mut self,
        bounds: Bounds,
        room: f32,
        look: u16,
        time_at: impl Fn(Point) -> Option<(f32, bool)>,
    ) {
        let (width, part) = (self.width(), self.part);
        let (columns, rows) = self.pixels_around(bounds, room);
        for y in rows {
            for x in columns.clone() {
                let Some((time, is_core)) = time_at(center(x, y)) else { continue };
                let time = 1 + (time.clamp(0.0, 1.0) * f32::from(u16::MAX - 1)) as u16;
                let look = if is_core { look | CORE } else { look & !CORE };
                let at = (y - part.top) * width + x - part.left;
                let (old_time, old_look) = (self.times[at], self.looks[at]);
                let was_core = old_look & CORE != 0;
                let is_first = old_time == 0 || (is_core && (!was_core || old_look != look));
                if is_first {
                    (self.times[at], self.looks[at]) = (time, look);
                } else if is_core == was_core {
                    self.times[at] = old_time.min(time);
                }
            }
        }
    }

    /// Returns the map of a chroma plane.
    fn halved(&self) -> Self {
        let Rect { left, top, right, bottom } = self.part;
        let part = Rect { left: left / 2, top: top / 2, right: right / 2, bottom: bottom / 2 };
        let mut halved = Self::empty(part, (self.plane.0 / 2, self.plane.1 / 2));
        let (width, half) = (self.width(), halved.width());
        for (at, time) in self.times.iter().enumerate().filter(|(_, time)| **time > 0) {
            let (x, y) = (at % width / 2, at / width / 2);
            let earliest = &mut halved.times[y * half + x];
            *earliest = if *earliest == 0 { *time } else { (*earliest).min(*time) };
        }
        halved
    }

    /// Keeps the pixels, given by their index in the plane, for which a condition holds.
    fn keep(&mut self, is_kept: impl Fn(usize) -> bool) {
        for at in 0..self.times.len() {
            if self.times[at] > 0 && !is_kept(self.index(at)) {
                self.times[at] = 0;
            }
        }
    }

    /// Returns a pixel's index in the plane.
    fn index(&self, at: usize) -> usize {
        (self.part.top + at / self.width()) * self.plane.0 + self.part.left + at % self.width()
    }

    /// Returns the pixels of the plane, and their times.
    fn pixels(&self) -> Vec<(u32, u16)> {
        let drawn = self.times.iter().enumerate().filter(|(_, time)| **time > 0);
        drawn.map(|(at, time)| (self.index(at) as u32, *time)).collect()
    }

    /// Returns for each pixel of the strokes the nearest one beside them, as indices of the plane.
    fn nearest_outside(&self, pixels: &[(u32, u16)]) -> Vec<(u32, u32)> {
        let Rect { left, top, right, bottom } = self.part;
        let (stride, rows) = self.plane;
        let place = |index: u32| (index as usize % stride, index as usize / stride);
        let local = |index: u32| {
            let (x, y) = place(index);
            let is_inside = (left..right).contains(&x) && (top..bottom).contains(&y);
            is_inside.then(|| (y - top) * (right - left) + x - left)
        };
        let neighbours = |index: u32| {
            let (x, y) = place(index);
            [
                (x > 0).then(|| index - 1),
                (x + 1 < stride).then(|| index + 1),
                (y > 0).then(|| index - stride as u32),
                (y + 1 < rows).then(|| index + stride as u32),
            ]
        };
        // The nearest pixel found, and 1; 0 before.
        let mut found = vec![0_u32; self.times.len()];
        let is_drawn = |index: u32| local(index).is_some_and(|at| self.times[at] > 0);
        let mut queue = VecDeque::new();
        for (index, _) in pixels {
            let outside = neighbours(*index).into_iter().flatten().find(|beside| !is_drawn(*beside));
            if let (Some(outside), Some(at)) = (outside, local(*index)) {
                found[at] = outside + 1;
                queue.push_back(*index);
            }
        }
        let mut nearest = Vec::with_capacity(pixels.len());
        while let Some(index) = queue.pop_front() {
            let source = local(index).map_or(0, |at| found[at]);
            nearest.push((index, source - 1));
            for beside in neighbours(index).into_iter().flatten().filter(|beside| is_drawn(*beside)) {
                if let Some(at) = local(beside).filter(|at| found[*at] == 0) {
                    found[at] = source;
                    queue.push_back(beside);
                }
            }
        }
        nearest
    }
}

fn center(x: usize, y: usize) -> Point {
    (x as f32 + 0.5, y as f32 + 0.5)
}

/// Returns where on the line from `a` to `b` a point is: 0 beside `a`, 1 beside `b`.
fn position_along(a: Point, b: Point, (x, y): Point) -> f32 {
    let (across, down) = (b.0 - a.0, b.1 - a.1);
    let squared = across * across + down * down;
    if squared > 0.0 { ((x - a.0) * across + (y - a.1) * down) / squared } else { 0.0 }
}

fn distance_to(a: Point, b: Point, point: Point) -> f32 {
    let along = position_along(a, b, point).clamp(0.0, 1.0);
    distance(point, (a.0 + (b.0 - a.0) * along, a.1 + (b.1 - a.1) * along))
}

/// Returns how far the tip of a pointed corner is from its vertex, in halves of the stroke's width.
fn corner_reach(corner: &[Point]) -> f32 {
    let (before, after) = (distance(corner[0], corner[1]), distance(corner[1], corner[2]));
    let dot = (corner[0].0 - corner[1].0) * (corner[2].0 - corner[1].0)
        + (corner[0].1 - corner[1].1) * (corner[2].1 - corner[1].1);
    // Half of the angle between both sides: sin(angle / 2) = sqrt((1 - cos(angle)) / 2).
    let cos = dot / (before * after).max(f32::MIN_POSITIVE);
    1.0 / ((1.0 - cos.clamp(-1.0, 1.0)) / 2.0).sqrt().max(f32::MIN_POSITIVE)
}
