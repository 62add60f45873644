//! Bar, line and pie charts.

use reel_scene::axis::Axis;
use reel_scene::{ChartKind, Series};

use super::super::literal::{float, list, literal, words};
use super::ticks::axis_around;

pub(super) fn chart_source(chart: ChartKind, unit: &str, labels: &[String], series: &[Series]) -> String {
    let values = series.iter().flat_map(|series| &series.values).map(|value| value.get());
    let decimals = values.clone().map(decimals_of).max().unwrap_or(0);
    let labels = list(labels.iter().map(|label| words(label)));
    let numbers = |series: &Series| list(series.values.iter().map(|value| float(value.get())));
    let kind = match chart {
        ChartKind::Bar => "bar-chart",
        ChartKind::Line => "line-chart",
        ChartKind::Pie => {
            let values = series.first().map_or("()".to_owned(), numbers);
            return format!("pie-chart(t, {labels}, {values}, {decimals}, {})", literal(unit));
        }
    };
    let axis = match chart {
        ChartKind::Line => axis_around(&values.collect::<Vec<_>>()),
        _ => Axis::from_zero(values, 4),
    };
    let names = list(series.iter().map(|series| words(&series.name)));
    let (low, high, step) = (float(axis.low), float(axis.high), float(axis.step));
    let all = list(series.iter().map(numbers));
    let decimals = decimals.max(axis.decimals as u8);
    format!("{kind}(t, {labels}, {names}, {all}, {}, ({low}, {high}, {step}), {decimals})", literal(unit))
}

/// Returns the decimals that a number needs, at most two.
fn decimals_of(value: f64) -> u8 {
    let needs = |digits: i32| {
        let scaled = value * 10_f64.powi(digits);
        (scaled - scaled.round()).abs() < 1e-9 * scaled.abs().max(1.0)
    };
    (0..2).find(|digits| needs(*digits)).unwrap_or(2) as u8
}
