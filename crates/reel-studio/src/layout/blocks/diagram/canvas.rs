//! Marks of a drawing: shapes, lines, heads and words, each with the parts that it appears with.

use reel_scene::diagram::{EdgeEnd, Line};

use super::super::super::literal::{float, list, literal, point_source};

pub(super) type Point = (f64, f64);

/// A piece of a path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Piece {
    Line(Point),
    Curve(Point, Point, Point),
}

/// A drawing in em; `size` is the points of an em.
#[derive(Debug, Default)]
pub(super) struct Canvas {
    pub width: f64,
    pub height: f64,
    pub size: f64,
    marks: Vec<String>,
}

/// A rectangle: left, top, width, height.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Rect {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

impl Rect {
    pub fn around((x, y): Point, (width, height): (f64, f64)) -> Self {
        Self { x: x - width / 2.0, y: y - height / 2.0, width, height }
    }

    fn source(&self) -> String {
        format!("({}, {}, {}, {})", float(self.x), float(self.y), float(self.width), float(self.height))
    }
}

impl Canvas {
    pub fn new(width: f64, height: f64, size: f64) -> Self {
        Self { width, height, size, marks: vec![] }
    }

    /// Adds a mark that is shown once all of `parts` are.
    pub fn mark(&mut self, parts: &[usize], source: String) {
        self.marks.push(format!("({}, {source})", list(parts.iter().map(usize::to_string))));
    }

    pub fn shape(&mut self, parts: &[usize], shape: &str, rect: Rect, tone: &str) {
        self.mark(
            parts,
            format!("diagram-shape(t, {}, {}, {})", literal(shape), rect.source(), literal(tone)),
        );
    }

    /// Adds centred lines of text.
    pub fn text(&mut self, parts: &[usize], rect: Rect, lines: &[String], style: &str) {
        if !lines.is_empty() {
            let lines = list(lines.iter().map(|line| literal(line)));
            self.mark(parts, format!("diagram-text(t, {}, {lines}, {})", rect.source(), literal(style)));
        }
    }

    pub fn path(&mut self, parts: &[usize], from: Point, pieces: &[Piece], line: Line, tone: &str) {
        if line == Line::Invisible || pieces.is_empty() {
            return;
        }
        let dash = match line {
            Line::Dashed => "dashed",
            Line::Thick => "thick",
            _ => "solid",
        };
        let point = |(x, y): Point| point_source(x, y);
        let pieces = pieces.iter().map(|piece| match piece {
            Piece::Line(end) => format!("({},)", point(*end)),
            Piece::Curve(a, b, end) => format!("({}, {}, {})", point(*a), point(*b), point(*end)),
        });
        let pieces = list(pieces);
        self.mark(
            parts,
            format!("diagram-path(t, {}, {pieces}, {}, {})", point(from), literal(dash), literal(tone)),
        );
    }

    /// Adds the head of a line: its tip, and the direction it points in.
    pub fn head(&mut self, parts: &[usize], end: EdgeEnd, tip: Point, direction: Point) {
        let Some(name) = head_name(end) else { return };
        self.mark(
            parts,
            format!(
                "diagram-head(t, {}, {}, {})",
                literal(name),
                point_source(tip.0, tip.1),
                point_source(direction.0, direction.1)
            ),
        );
    }

    pub fn source(&self) -> String {
        format!(
            "diagram(t, {}, {}, {}, {})",
            float(self.width),
            float(self.height),
            float(self.size),
            list(self.marks.iter().cloned())
        )
    }
}

fn head_name(end: EdgeEnd) -> Option<&'static str> {
    Some(match end {
        EdgeEnd::None => return None,
        EdgeEnd::Arrow => "arrow",
        EdgeEnd::Dot => "dot",
        EdgeEnd::Cross => "cross",
        EdgeEnd::Triangle => "triangle",
        EdgeEnd::OpenDiamond => "open-diamond",
        EdgeEnd::Diamond => "diamond",
        EdgeEnd::ExactlyOne => "one",
        EdgeEnd::ZeroOrOne => "zero-or-one",
        EdgeEnd::OneOrMore => "one-or-more",
        EdgeEnd::ZeroOrMore => "zero-or-more",
    })
}

/// Length of a head along its line, in em: where the line itself ends.
pub(super) fn head_length(end: EdgeEnd) -> f64 {
    match end {
        EdgeEnd::None | EdgeEnd::Cross => 0.0,
        EdgeEnd::Arrow => 0.42,
        EdgeEnd::Dot => 0.36,
        EdgeEnd::Triangle => 0.6,
        EdgeEnd::OpenDiamond | EdgeEnd::Diamond => 0.85,
        EdgeEnd::ExactlyOne | EdgeEnd::ZeroOrOne | EdgeEnd::OneOrMore | EdgeEnd::ZeroOrMore => 0.0,
    }
}
