//! Outlines, read from path data of SVG.

use kurbo::{BezPath, PathEl};

/// A point in the box, from its upper left corner.
pub type Point = [f64; 2];

/// A part of an outline. It begins where the one before ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Segment {
    Line(Point),
    /// Two control points and the end.
    Cubic(Point, Point, Point),
    /// Goes back to the start.
    Close,
}

/// One line, drawn without lifting the pen.
#[derive(Debug, Clone, PartialEq)]
pub struct Outline {
    pub start: Point,
    pub segments: Vec<Segment>,
}

/// Reads path data. Arcs and quadratic curves become cubic ones. Data that is not sound has no outlines.
pub(crate) fn parse(data: &str) -> Vec<Outline> {
    let mut outlines: Vec<Outline> = Vec::new();
    let mut pen = [0.0; 2];
    for element in BezPath::from_svg(data).unwrap_or_default().elements() {
        if let PathEl::MoveTo(to) = element {
            pen = [to.x, to.y];
            outlines.push(Outline { start: pen, segments: Vec::new() });
            continue;
        }
        let Some(outline) = outlines.last_mut() else { return Vec::new() };
        let segment = segment(pen, outline.start, element);
        pen = segment.1;
        outline.segments.push(segment.0);
    }
    outlines.retain(|outline| !outline.segments.is_empty());
    outlines
}

/// Returns the segment from `pen`, and where it ends.
fn segment(pen: Point, start: Point, element: &PathEl) -> (Segment, Point) {
    let point = |point: &kurbo::Point| [point.x, point.y];
    match element {
        PathEl::MoveTo(to) | PathEl::LineTo(to) => (Segment::Line(point(to)), point(to)),
        PathEl::QuadTo(control, to) => {
            let (control, to) = (point(control), point(to));
            let toward =
                |from: Point| [0, 1].map(|axis| from[axis] + (control[axis] - from[axis]) * 2.0 / 3.0);
            (Segment::Cubic(toward(pen), toward(to), to), to)
        }
        PathEl::CurveTo(first, second, to) => {
            (Segment::Cubic(point(first), point(second), point(to)), point(to))
        }
        PathEl::ClosePath => (Segment::Close, start),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_move_begins_an_outline_and_relative_steps_go_on_from_the_pen() {
        let outlines = parse("M4 4h2l1 1zm10 0q3 0 3 3");
        let third = |a: f64, b: f64| a + (b - a) * 2.0 / 3.0;
        assert_eq!(
            outlines,
            [
                Outline {
                    start: [4.0, 4.0],
                    segments: vec![Segment::Line([6.0, 4.0]), Segment::Line([7.0, 5.0]), Segment::Close]
                },
                Outline {
                    start: [14.0, 4.0],
                    segments: vec![Segment::Cubic(
                        [third(14.0, 17.0), 4.0],
                        [17.0, third(7.0, 4.0)],
                        [17.0, 7.0]
                    )]
                },
            ]
        );
        assert_eq!(parse("no path"), []);
    }

    #[test]
    fn an_arc_becomes_curves_that_stay_on_its_circle() {
        let [circle] = &parse("M3 12a9 9 0 1 0 18 0a9 9 0 1 0 -18 0")[..] else { panic!("one outline") };
        let ends: Vec<Point> = circle
            .segments
            .iter()
            .map(|segment| match segment {
                Segment::Cubic(_, _, end) => *end,
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(ends.len() >= 4, "{ends:?}");
        for [x, y] in &ends {
            assert!(((x - 12.0).hypot(y - 12.0) - 9.0).abs() < 1e-6, "{ends:?}");
        }
    }
}
