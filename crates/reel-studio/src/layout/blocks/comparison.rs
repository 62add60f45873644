//! Comparisons of two sides.

use reel_scene::ComparisonSide;

use super::super::literal::{list, words};
use super::text::rich;

pub(super) fn comparison_source(left: &ComparisonSide, right: &ComparisonSide) -> String {
    let side =
        |side: &ComparisonSide| format!("({}, {})", words(&side.title), list(side.points.iter().map(rich)));
    format!("comparison(t, {}, {})", side(left), side(right))
}
