//! Icons.

use reel_icons::{Outline, Point, Segment};

use super::super::literal::{list, point_source};

/// Writes an icon as an array of paths. A path is an array of `(kind, points…)`: "move", "line", "cubic" and "close". No name
/// and an unknown one are `none`.
pub(super) fn icon_source(name: &str) -> String {
    match reel_icons::icon(name) {
        Some(icon) => list(icon.outlines().iter().map(path_source)),
        None => "none".to_owned(),
    }
}

fn path_source(outline: &Outline) -> String {
    let start = segment_source("move", &[outline.start]);
    let rest = outline.segments.iter().map(|segment| match *segment {
        Segment::Line(end) => segment_source("line", &[end]),
        Segment::Cubic(first, second, end) => segment_source("cubic", &[first, second, end]),
        Segment::Close => segment_source("close", &[]),
    });
    list(std::iter::once(start).chain(rest))
}

fn segment_source(kind: &str, points: &[Point]) -> String {
    let kind = std::iter::once(format!("\"{kind}\""));
    list(kind.chain(points.iter().map(|[x, y]| point_source(*x, *y))))
}

#[cfg(test)]
mod tests {
    use super::icon_source;

    #[test]
    fn each_line_of_an_icon_is_a_path_and_no_icon_is_none() {
        let plus = icon_source("plus");
        assert_eq!(
            plus,
            "(((\"move\", (12, 5),), (\"line\", (12, 19),),), ((\"move\", (5, 12),), (\"line\", (19, 12),),),)"
        );
        assert!(icon_source("circle").contains("\"cubic\""));
        assert_eq!(icon_source(""), "none");
        assert_eq!(icon_source("no-such-icon"), "none");
    }
}
