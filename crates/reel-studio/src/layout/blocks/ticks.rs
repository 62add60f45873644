//! Axes and their marks.

use reel_scene::axis::Axis;

use super::super::literal::{float, list, literal};

/// Returns an axis for values. It begins at zero unless all values are far from it.
pub(super) fn axis_around(values: &[f64]) -> Axis {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if least >= 0.0 && least < greatest * 0.6 {
        return Axis::around(0.0, greatest, 4);
    }
    Axis::around(least.min(greatest), greatest.max(least), 4)
}

pub(super) fn ticks(axis: Axis) -> String {
    list(axis.marks().map(|mark| tick(axis.fraction_of(mark), mark, axis.decimals)))
}

pub(super) fn tick(place: f64, value: f64, decimals: usize) -> String {
    let is_zero = value.abs() < 1e-9;
    let value = if is_zero { 0.0 } else { value };
    format!(
        "({}, {}, {is_zero})",
        float(place),
        literal(&format!("{value:.decimals$}").replace('-', "\u{2212}"))
    )
}
