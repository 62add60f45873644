//! Round numbers along an axis.

/// An axis from `low` to `high` with a mark at every `step`, and the digits its labels need.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Axis {
    pub low: f64,
    pub high: f64,
    pub step: f64,
    pub decimals: usize,
}

impl Axis {
    /// Returns the shortest axis of round numbers that holds `least` and `greatest`, with about `marks` marks.
    pub fn around(least: f64, greatest: f64, marks: u32) -> Self {
        let span = if greatest > least { greatest - least } else { greatest.abs().max(1.0) };
        let rough = span / f64::from(marks.max(1));
        let magnitude = 10_f64.powf(rough.log10().floor());
        let round = [1.0, 2.0, 2.5, 5.0, 10.0];
        let step =
            round.into_iter().find(|factor| factor * magnitude >= rough * 0.999).unwrap_or(10.0) * magnitude;
        let low = (least / step).floor() * step;
        let high = ((greatest / step).ceil() * step).max(low + step);
        let mut decimals = 0;
        while decimals < 6 && (step * 10_f64.powi(decimals)).fract().abs() > 1e-6 {
            decimals += 1;
        }
        Self { low, high, step, decimals: decimals as usize }
    }

    /// Returns the axis of values and zero; see [`Self::around`].
    pub fn from_zero(values: impl Iterator<Item = f64> + Clone, marks: u32) -> Self {
        let least = values.clone().fold(0.0, f64::min);
        let greatest = values.fold(0.0, f64::max);
        Self::around(least, greatest, marks)
    }

    /// Returns the position of a value, from 0 to 1.
    pub fn fraction_of(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    /// Iterates over the values of the marks.
    pub fn marks(&self) -> impl Iterator<Item = f64> {
        let count = ((self.high - self.low) / self.step).round() as u32;
        let (low, step) = (self.low, self.step);
        (0..=count).map(move |mark| low + f64::from(mark) * step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_round_and_hold_their_values() {
        let axis = Axis::from_zero([180.0, 220.0, 150.0].into_iter(), 4);
        assert_eq!((axis.low, axis.high, axis.step, axis.decimals), (0.0, 300.0, 100.0, 0));
        for (least, greatest) in [(0.0, 1.0), (-3.0, 8.5), (0.0, 0.003), (0.0, 0.0), (5.0, 5.0), (-1e9, 1e12)]
        {
            let axis = Axis::around(least, greatest, 5);
            assert!(axis.low <= least && axis.high >= greatest && axis.high > axis.low, "{axis:?}");
            assert!(axis.marks().count() <= 12, "{axis:?}");
        }
        assert_eq!(Axis::around(0.0, 0.9, 4).decimals, 2);
    }
}
