//! Graphs of functions, and scatter plots.

use reel_scene::Number;
use reel_scene::axis::Axis;
use reel_scene::plot;

use super::super::literal::{list, literal, optional, point_source};
use super::ticks::{axis_around, tick, ticks};

pub(super) fn scatter_source(x_label: &str, y_label: &str, points: &[[Number; 2]]) -> String {
    let axis = |which: usize| {
        let values: Vec<f64> = points.iter().map(|point| point[which].get()).collect();
        axis_around(&values)
    };
    let (x, y) = (axis(0), axis(1));
    let places = points.iter().map(|[px, py]| point_source(x.fraction_of(px.get()), y.fraction_of(py.get())));
    let (x_label, y_label) = (optional(x_label), optional(y_label));
    format!("scatter(t, {}, {}, {}, {x_label}, {y_label})", list(places), ticks(x), ticks(y))
}

pub(super) fn plot_source(functions: &[String], range: [Number; 2], wide: bool) -> String {
    let curves: Vec<Vec<Vec<(f64, f64)>>> =
        functions.iter().map(|function| plot::sample(function, range)).collect();
    let heights: Vec<f64> = curves.iter().flatten().flatten().map(|(_, y)| *y).collect();
    let x = Axis::around(range[0].get(), range[1].get(), if wide { 8 } else { 4 });
    let y = if heights.is_empty() { Axis::around(0.0, 1.0, 4) } else { plot::axis(&heights) };
    let span = |value: f64| (value - range[0].get()) / (range[1].get() - range[0].get());
    let curves = curves.iter().map(|pieces| {
        let pieces = pieces.iter().map(|points| {
            let inside = points.iter().filter(|(_, height)| (0.0..=1.0).contains(&y.fraction_of(*height)));
            list(inside.map(|(across, height)| point_source(span(*across), y.fraction_of(*height))))
        });
        list(pieces)
    });
    let curves = list(curves);
    let names = list(functions.iter().map(|function| literal(&format!("y = {function}"))));
    let x_marks = x.marks().filter(|mark| (0.0..=1.0).contains(&span(*mark)));
    let x_ticks = list(x_marks.map(|mark| tick(span(mark), mark, x.decimals)));
    format!("plot(t, {curves}, {names}, {x_ticks}, {})", ticks(y))
}
