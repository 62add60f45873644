//! Geometric figures, converted from their own coordinates to those of the drawing.

use reel_scene::{Number, Shape};

use super::super::literal::{float, list, point_source, words};

/// Margin around the shapes for labels, as a share of the larger side.
const MARGIN: f64 = 0.08;
/// Length of the sides of a right angle's mark, as a share of the width.
const MARK: f64 = 0.05;

/// The bounds of the shapes, in their coordinates.
#[derive(Debug, Clone, Copy)]
struct Figure {
    left: f64,
    below: f64,
    width: f64,
    height: f64,
}

impl Figure {
    /// Builds the bounds of all shapes. Positions range from 0 to 1 across, and from 0 to [`Self::ratio`] upwards.
    fn around(shapes: &[Shape]) -> Self {
        let points: Vec<(f64, f64)> = shapes.iter().flat_map(corners).collect();
        let least = |which: fn(&(f64, f64)) -> f64| points.iter().map(which).fold(f64::INFINITY, f64::min);
        let greatest =
            |which: fn(&(f64, f64)) -> f64| points.iter().map(which).fold(f64::NEG_INFINITY, f64::max);
        let (left, right) = (least(|p| p.0), greatest(|p| p.0));
        let (below, above) = (least(|p| p.1), greatest(|p| p.1));
        let size = (right - left).max(above - below);
        if !(size.is_finite() && size > 0.0) {
            return Self { left: 0.0, below: 0.0, width: 1.0, height: 1.0 };
        }
        let margin = size * MARGIN;
        // A line has no height of its own.
        let height = (above - below).max(size * 0.1) + 2.0 * margin;
        let width = (right - left).max(size * 0.1) + 2.0 * margin;
        Self { left: left - margin, below: below - margin, width, height }
    }

    /// Returns the height relative to the width.
    fn ratio(&self) -> f64 {
        self.height / self.width
    }

    fn position(&self, [x, y]: &[Number; 2]) -> (f64, f64) {
        ((x.get() - self.left) / self.width, (y.get() - self.below) / self.width)
    }

    fn length(&self, length: f64) -> f64 {
        length / self.width
    }

    /// Returns the three corners of a right angle's mark besides its vertex.
    fn right_angle(&self, at: &[Number; 2], between: &[[Number; 2]; 2]) -> [(f64, f64); 3] {
        let (x, y) = self.position(at);
        let towards = |point: &[Number; 2]| {
            let (px, py) = self.position(point);
            let length = (px - x).hypot(py - y).max(f64::MIN_POSITIVE);
            ((px - x) / length * MARK, (py - y) / length * MARK)
        };
        let ((ax, ay), (bx, by)) = (towards(&between[0]), towards(&between[1]));
        [(x + ax, y + ay), (x + ax + bx, y + ay + by), (x + bx, y + by)]
    }
}

/// Returns the points that bound a shape.
fn corners(shape: &Shape) -> Vec<(f64, f64)> {
    let point = |[x, y]: &[Number; 2]| (x.get(), y.get());
    match shape {
        Shape::Polygon { points, .. } => points.iter().map(point).collect(),
        Shape::Segment { from, to } => vec![point(from), point(to)],
        Shape::Circle { center, radius } => {
            let ((x, y), r) = (point(center), radius.get().abs());
            vec![(x - r, y - r), (x + r, y + r)]
        }
        Shape::RightAngle { at, .. } | Shape::Label { at, .. } => vec![point(at)],
    }
}

pub(super) fn figure_source(shapes: &[Shape]) -> String {
    let figure = Figure::around(shapes);
    let point = |point: &[Number; 2]| {
        let (x, y) = figure.position(point);
        point_source(x, y)
    };
    let mut sources: Vec<String> = vec![];
    for shape in shapes {
        let source = match shape {
            Shape::Polygon { points, filled } => {
                format!("(\"polygon\", {}, {filled})", list(points.iter().map(point)))
            }
            Shape::Segment { from, to } => format!("(\"segment\", {}, {})", point(from), point(to)),
            Shape::Circle { center, radius } => {
                format!("(\"circle\", {}, {})", point(center), float(figure.length(radius.get())))
            }
            Shape::RightAngle { at, between } => {
                let corner = figure.right_angle(at, between).map(|(x, y)| point_source(x, y));
                let [a, b, c] = corner;
                sources.push(format!("(\"segment\", {a}, {b})"));
                format!("(\"segment\", {b}, {c})")
            }
            Shape::Label { at, text } => format!("(\"label\", {}, {})", point(at), words(text)),
        };
        sources.push(source);
    }
    format!("figure-of(t, {}, {})", float(figure.ratio()), sources.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(x: f64, y: f64) -> [Number; 2] {
        [Number::new(x).unwrap(), Number::new(y).unwrap()]
    }

    #[test]
    fn every_shape_is_inside() {
        let shapes = [
            Shape::Polygon {
                points: vec![point(0.0, 0.0), point(400.0, 0.0), point(0.0, 300.0)],
                filled: true,
            },
            Shape::Circle { center: point(0.0, 0.0), radius: Number::new(50.0).unwrap() },
        ];
        let figure = Figure::around(&shapes);
        for corner in [point(-50.0, -50.0), point(400.0, 300.0)] {
            let (x, y) = figure.position(&corner);
            assert!((0.0..=1.0).contains(&x) && (0.0..=figure.ratio()).contains(&y), "{x} {y}");
        }
        let [a, b, c] = figure.right_angle(&point(0.0, 0.0), &[point(400.0, 0.0), point(0.0, 300.0)]);
        assert!(a.0 > c.0 && c.1 > a.1 && b.0 > c.0 && b.1 > a.1);
        assert_eq!(Figure::around(&[]).ratio(), 1.0);
    }
}
