//! The Python code of animations: code of users as it is, and templates with their parameters.

use serde_json::{Value, json};

use reel_scene::look::{Colour, Look};
use reel_scene::{Animation, Number, Shape, plot};

/// Points of a surface in each direction.
const SURFACE_POINTS: u32 = 25;
/// Arrows of a field to the right and upwards.
const FIELD: (u32, u32) = (17, 11);

/// Returns code that Manim can run. A template's code has its parameters and the look's colours at its head.
pub fn code_of(animation: &Animation, look: &Look) -> String {
    let (template, parameters) = match animation {
        Animation::Code { code } => return code.clone(),
        Animation::FunctionPlot { functions, range } => {
            (include_str!("templates/function_plot.py"), function_plot(functions, *range))
        }
        Animation::Construction { shapes } => {
            (include_str!("templates/construction.py"), construction(shapes))
        }
        Animation::Surface { function, x_range, y_range } => {
            (include_str!("templates/surface.py"), surface(function, *x_range, *y_range))
        }
        Animation::VectorField { components, x_range, y_range } => {
            (include_str!("templates/vector_field.py"), vector_field(components, *x_range, *y_range))
        }
        Animation::MatrixTransformation { matrix } => {
            (include_str!("templates/matrix_transformation.py"), json!({ "matrix": matrix }))
        }
        Animation::Derivation { lines } => {
            (include_str!("templates/derivation.py"), json!({ "lines": lines }))
        }
    };
    let style = look.style();
    let colour = |colour: Colour| python(&json!(hex(colour)));
    let colours = python(&json!([hex(style.accent), hex(style.second), hex(style.third)]));
    format!(
        "import json\n\nimport numpy as np\nfrom manim import *\n\nPARAMETERS = json.loads({})\nBACKGROUND, INK, ACCENT = {}, {}, \
         {}\nCOLORS = {colours}\nText.set_default(font={})\n\n\n{template}",
        python(&json!(parameters.to_string())),
        colour(style.background),
        colour(style.ink),
        colour(style.accent),
        python(&json!(style.body_font)),
    )
}

/// Returns the background that an animation is drawn on: a template's is the look's. Code is written for a dark one, so a light
/// one is replaced by Manim's own.
pub fn background_of(animation: &Animation, look: &Look) -> Colour {
    const BLACK: Colour = Colour([0, 0, 0]);
    let background = look.style().background;
    let is_light = background.contrast(BLACK) > background.contrast(Colour([255; 3]));
    match animation {
        Animation::Code { .. } if is_light => BLACK,
        _ => background,
    }
}

pub fn hex(Colour([red, green, blue]): Colour) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// Writes texts and lists of texts as Python: JSON without its `true`, `false` and `null` is Python, too.
fn python(value: &Value) -> String {
    value.to_string()
}

fn function_plot(functions: &[String], range: [Number; 2]) -> Value {
    let graphs: Vec<Vec<Vec<(f64, f64)>>> =
        functions.iter().map(|function| plot::sample(function, range)).collect();
    let heights: Vec<f64> = graphs.iter().flatten().flatten().map(|(_, y)| *y).collect();
    let (low, high) = match heights.is_empty() {
        true => (-1.0, 1.0),
        false => {
            let axis = plot::axis(&heights);
            (axis.low, axis.high)
        }
    };
    // Poles leave the page.
    let cut = |pieces: &Vec<Vec<(f64, f64)>>| {
        let is_visible = |(_, y): &(f64, f64)| (low..=high).contains(y);
        let visible =
            pieces.iter().flat_map(|piece| piece.chunk_by(move |a, b| is_visible(a) == is_visible(b)));
        let visible = visible.filter(|run| run.len() > 1 && run.iter().all(is_visible));
        visible.map(<[_]>::to_vec).collect::<Vec<_>>()
    };
    let graphs: Vec<_> = graphs.iter().map(cut).collect();
    let [from, to] = range.map(Number::get);
    let marks = |low: f64, high: f64| {
        let axis = reel_scene::axis::Axis::around(low, high, 5);
        (json!([low, high, axis.step]), axis.decimals)
    };
    let ((x_range, x_decimals), (y_range, y_decimals)) = (marks(from, to), marks(low, high));
    json!({
        "functions": functions,
        "graphs": graphs,
        "x_range": x_range,
        "y_range": y_range,
        "decimals": [x_decimals, y_decimals],
    })
}

fn construction(shapes: &[Shape]) -> Value {
    let mut points: Vec<[f64; 2]> = vec![];
    for shape in shapes {
        match shape {
            Shape::Polygon { points: corners, .. } => {
                points.extend(corners.iter().map(|point| point.map(Number::get)))
            }
            Shape::Segment { from, to } => points.extend([from, to].map(|point| point.map(Number::get))),
            Shape::Circle { center, radius } => {
                let ([x, y], radius) = (center.map(Number::get), radius.get());
                points.extend([[x - radius, y - radius], [x + radius, y + radius]]);
            }
            Shape::RightAngle { at, .. } | Shape::Label { at, .. } => points.push(at.map(Number::get)),
        }
    }
    let bound = |axis: usize, pick: fn(f64, f64) -> f64| {
        points.iter().map(|point| point[axis]).reduce(pick).unwrap_or_default()
    };
    let bounds = [[bound(0, f64::min), bound(1, f64::min)], [bound(0, f64::max), bound(1, f64::max)]];
    json!({ "shapes": shapes, "bounds": bounds })
}

fn surface(function: &str, x_range: [Number; 2], y_range: [Number; 2]) -> Value {
    let heights = plot::sample_grid(function, (x_range, y_range), (SURFACE_POINTS, SURFACE_POINTS));
    let values = || heights.iter().flatten().copied();
    let z_range = [values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max)];
    json!({ "function": format!("z = {function}"), "heights": heights, "z_range": z_range })
}

fn vector_field(components: &[String; 2], x_range: [Number; 2], y_range: [Number; 2]) -> Value {
    let [right, up] = components.each_ref().map(|of| plot::sample_grid(of, (x_range, y_range), FIELD));
    let pairs = |(right, up): (&Vec<f64>, &Vec<f64>)| right.iter().copied().zip(up.iter().copied()).collect();
    let values: Vec<Vec<(f64, f64)>> = right.iter().zip(&up).map(pairs).collect();
    let name = format!("({}, {})", components[0], components[1]);
    json!({ "name": name, "values": values, "x_range": x_range, "y_range": y_range })
}
