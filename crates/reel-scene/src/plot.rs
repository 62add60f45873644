//! Samples the graphs of functions.

use exmex::{Express, FlatEx};

use crate::Number;
use crate::axis::Axis;

/// Intervals between the points at which a function is computed.
const SAMPLES: u32 = 240;
/// Values beyond this many times the spread of the middle 80 % are left out of the axis: a pole would flatten the rest.
const MAX_OUTLIER_DISTANCE: f64 = 4.0;

/// A text that is no function of x.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{function}` is no function of {variables}: {reason}")]
pub struct InvalidFunction {
    function: String,
    variables: String,
    reason: String,
}

/// Parses a function of x, such as `sin(x) / x` or `x^2 - 1`.
pub fn parse(function: &str) -> Result<FlatEx<f64>, InvalidFunction> {
    parse_of(function, &["x"])
}

/// Parses a function of some of these variables, such as `x * y`.
pub fn parse_of(function: &str, variables: &[&str]) -> Result<FlatEx<f64>, InvalidFunction> {
    let wrong = |reason: String| InvalidFunction {
        function: function.to_owned(),
        variables: variables.join(" and "),
        reason,
    };
    let parsed = exmex::parse::<f64>(function).map_err(|error| wrong(error.to_string()))?;
    let names = parsed.var_names();
    match names.iter().all(|name| variables.contains(&name.as_str())) {
        true => Ok(parsed),
        false => {
            Err(wrong(format!("it has {}, expected only {}", names.join(", "), variables.join(" and "))))
        }
    }
}

/// Computes a function of x and y on a grid: `rows` of y upwards, each of `columns` values of x. A value that is not finite is 0.
pub fn sample_grid(
    function: &str,
    (x_range, y_range): ([Number; 2], [Number; 2]),
    (columns, rows): (u32, u32),
) -> Vec<Vec<f64>> {
    let Ok(parsed) = parse_of(function, &["x", "y"]) else { return vec![] };
    let along = |range: [Number; 2], step: u32, steps: u32| {
        let [from, to] = range.map(Number::get);
        from + (to - from) * f64::from(step) / f64::from(steps.saturating_sub(1).max(1))
    };
    let value = |x: f64, y: f64| {
        let values: Vec<f64> =
            parsed.var_names().iter().map(|name| if name == "x" { x } else { y }).collect();
        parsed.eval(&values).ok().filter(|value| value.is_finite()).unwrap_or(0.0)
    };
    let row = |y: f64| (0..columns).map(|column| value(along(x_range, column, columns), y)).collect();
    (0..rows).map(|step| row(along(y_range, step, rows))).collect()
}

/// Samples a function's graph. Returns its connected pieces, with gaps where the function has no value.
pub fn sample(function: &str, range: [Number; 2]) -> Vec<Vec<(f64, f64)>> {
    let Ok(parsed) = parse(function) else { return vec![] };
    let (from, to) = (range[0].get(), range[1].get());
    let mut pieces: Vec<Vec<(f64, f64)>> = vec![vec![]];
    for sample in 0..=SAMPLES {
        let x = from + (to - from) * f64::from(sample) / f64::from(SAMPLES);
        let values: &[f64] = if parsed.var_names().is_empty() { &[] } else { &[x] };
        match parsed.eval(values) {
            Ok(y) if y.is_finite() => {
                if let Some(piece) = pieces.last_mut() {
                    piece.push((x, y));
                }
            }
            _ => pieces.push(vec![]),
        }
    }
    pieces.retain(|piece| piece.len() > 1);
    pieces
}

/// Returns an axis for values, without the outliers.
pub fn axis(heights: &[f64]) -> Axis {
    let mut sorted = heights.to_vec();
    sorted.sort_by(f64::total_cmp);
    let quantile = |share: f64| sorted[((sorted.len() - 1) as f64 * share) as usize];
    let (low, high) = (quantile(0.1), quantile(0.9));
    let spread = (high - low).max(f64::MIN_POSITIVE) * MAX_OUTLIER_DISTANCE;
    let least = sorted[0].max(low - spread);
    let greatest = sorted[sorted.len() - 1].min(high + spread);
    Axis::around(least, greatest, 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: f64, to: f64) -> [Number; 2] {
        [Number::new(from).unwrap(), Number::new(to).unwrap()]
    }

    #[test]
    fn functions_are_computed_and_broken_where_they_have_no_value() {
        let parabola = sample("x^2", range(-2.0, 2.0));
        assert_eq!((parabola.len(), parabola[0][0], parabola[0].len()), (1, (-2.0, 4.0), 241));
        assert!(sample("sqrt(x)", range(-1.0, 1.0))[0][0].0 >= 0.0);
        assert_eq!(sample("2", range(0.0, 1.0))[0][3].1, 2.0);
    }

    #[test]
    fn a_text_that_is_no_function_of_x_is_refused_with_the_reason() {
        for (text, reason) in
            [("x +", "is no function of x"), ("y * x", "expected only x"), ("", "is no function")]
        {
            assert!(parse(text).unwrap_err().to_string().contains(reason), "{text}");
        }
    }

    #[test]
    fn a_grid_has_rows_of_y_upwards() {
        let ranges = (range(0.0, 2.0), range(10.0, 20.0));
        assert_eq!(sample_grid("x + y", ranges, (3, 2)), [[10.0, 11.0, 12.0], [20.0, 21.0, 22.0]]);
        assert_eq!(sample_grid("1 / x", ranges, (3, 1)), [[0.0, 1.0, 0.5]]);
        assert!(parse_of("x * z", &["x", "y"]).unwrap_err().to_string().contains("no function of x and y"));
    }

    #[test]
    fn a_pole_does_not_flatten_the_rest() {
        let heights: Vec<f64> = sample("1/x", range(-1.0, 1.01)).concat().iter().map(|(_, y)| *y).collect();
        assert!(axis(&heights).high < 100.0);
    }
}
