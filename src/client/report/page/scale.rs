//! The axes of a plot: where values lie on them, and their labelled marks.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

/// About this many marks on a linear axis.
const MARKS: f64 = 5.0;

/// The most decades on a logarithmic axis that all have marks. With more, some have none.
const DECADES_MARKED: usize = 5;

/// An axis of a plot.
pub struct Axis {
    range: Range<f64>,
    /// Values with their labels.
    marks: Vec<(f64, String)>,
    /// The function that spaces values evenly: the logarithm on a logarithmic axis.
    place: fn(f64) -> f64,
}

impl Axis {
    /// From 0 to at least `max`.
    pub fn linear(max: f64, name: impl Fn(f64) -> String) -> Self {
        // Outside these bounds, floating-point numbers cannot step from mark to mark.
        let max = max.clamp(1e-9, 1e18);
        let step = round_up(max / MARKS);
        let last = (max / step - 1e-6).ceil();
        let values = (0..=last as u32).map(|i| f64::from(i) * step);
        let marks = values.map(|value| (value, name(value))).collect();
        Self { range: 0.0..last * step, marks, place: |value| value }
    }

    /// From `min` or less to `max` or more, both above 0.
    pub fn logarithmic(min: f64, max: f64, name: impl Fn(f64) -> String) -> Self {
        let (first, last) = (round_down(min), round_up(max.max(min * 1.01)));
        let decades = (last / first).log10();
        let steps: &[f64] = if decades <= 2.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let stride = 1 + (decades as usize) / (DECADES_MARKED + 1);
        let powers = (exponent(first)..=exponent(last)).step_by(stride);
        let marks = powers
            .flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)))
            .filter(|value| (first * 0.999..=last * 1.001).contains(value))
            .map(|value| (value, name(value)))
            .collect();
        Self { range: first..last, marks, place: f64::log10 }
    }

    /// The share of messages that all but one in N reach, for N up to `most`: 10 is 90 %, 100 is 99 %.
    pub fn percentiles(most: f64) -> Self {
        let last = most.max(10.0);
        let decades = (last.log10() + 1e-9) as usize;
        let stride = 1 + decades / (DECADES_MARKED + 1);
        let nines = (1..=decades).step_by(stride);
        let nines = nines.map(|n| (10f64.powi(n as i32), format!("{} %", nines_of(n))));
        let marks = [(1.0, "0 %".into())].into_iter().chain(nines).collect();
        Self { range: 1.0..last, marks, place: f64::log10 }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (first, last): (i32, i32)) -> i32 {
        let [start, end, at] = [self.range.start, self.range.end, *value].map(self.place);
        // A value far outside would overflow an integer coordinate.
        let part = ((at - start) / (end - start)).clamp(-1.0, 2.0);
        first + (f64::from(last - first) * part).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.marks.iter().map(|(value, _)| *value).collect()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        let mark = self.marks.iter().find(|(marked, _)| marked == value);
        mark.map_or(String::new(), |(_, name)| name.clone())
    }
}

/// 90, 99, 99.9 and so on.
fn nines_of(n: usize) -> String {
    match n {
        1 => "90".into(),
        2 => "99".into(),
        _ => format!("99.{}", "9".repeat(n - 2)),
    }
}

/// The next 1, 2 or 5 times a power of ten from the value up, except for rounding errors.
fn round_up(value: f64) -> f64 {
    let power = 10f64.powi(exponent(value));
    let step = [1.0, 2.0, 5.0].into_iter().find(|step| step * power >= value * 0.999_999);
    step.unwrap_or(10.0) * power
}

/// The next 1, 2 or 5 times a power of ten from the value down, except for rounding errors.
fn round_down(value: f64) -> f64 {
    let power = 10f64.powi(exponent(value));
    let step = [5.0, 2.0].into_iter().find(|step| step * power <= value * 1.000_001);
    step.unwrap_or(1.0) * power
}

fn exponent(value: f64) -> i32 {
    (value.log10() + 1e-9).floor() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(axis: &Axis) -> String {
        let names: Vec<_> = axis.marks.iter().map(|(_, name)| name.as_str()).collect();
        names.join(" ")
    }

    fn plain(value: f64) -> String {
        ((value * 1e6).round() / 1e6).to_string()
    }

    #[test]
    fn marks_are_round_numbers() {
        for (max, marks) in [
            (10.0, "0 2 4 6 8 10"),
            (1.0, "0 0.2 0.4 0.6 0.8 1"),
            (1960.0, "0 500 1000 1500 2000"),
            (3.0, "0 1 2 3"),
        ] {
            assert_eq!(names(&Axis::linear(max, plain)), marks);
        }
        for (min, max, marks) in [
            (72.0, 127.0, "50 100 200"),
            (1.0, 100.0, "1 2 5 10 20 50 100"),
            (72.0, 90_000.0, "100 1000 10000 100000"),
            (100.0, 100.0, "100 200"),
            (1.0, 9e12, "1 1000 1000000 1000000000 1000000000000"),
        ] {
            assert_eq!(names(&Axis::logarithmic(min, max, plain)), marks);
        }
    }

    #[test]
    fn the_number_of_messages_limits_the_percentiles() {
        assert_eq!(names(&Axis::percentiles(1.0)), "0 % 90 %");
        assert_eq!(names(&Axis::percentiles(5_000.0)), "0 % 90 % 99 % 99.9 %");
        assert_eq!(names(&Axis::percentiles(2e7)), "0 % 90 % 99.9 % 99.999 % 99.99999 %");
    }

    #[test]
    fn all_values_and_marks_lie_on_the_axis() {
        for min in [1e-3, 1.0, 7.2e4, 9.99e8] {
            for factor in [1.0, 1.5, 33.0, 1e9] {
                let max = min * factor;
                for axis in [Axis::logarithmic(min, max, plain), Axis::linear(max, plain)] {
                    let places = [min, max].map(|value| axis.map(&value, (0, 1000)));
                    assert!(places.iter().all(|at| (0..=1000).contains(at)), "{min} {max}");
                    let marks = axis.key_points(0).into_iter().map(|at| axis.map(&at, (0, 1000)));
                    assert!(marks.clone().all(|at| (0..=1000).contains(&at)), "{min} {max}");
                    assert!((2..=8).contains(&marks.count()), "{min} {max}: {}", names(&axis));
                }
            }
        }
    }

    #[test]
    fn a_logarithmic_axis_spaces_equal_ratios_equally() {
        let axis = Axis::logarithmic(1.0, 10_000.0, plain);
        let places = [1.0, 10.0, 100.0, 10_000.0].map(|value| axis.map(&value, (1000, 0)));
        assert_eq!(places, [1000, 750, 500, 0]);
        assert_eq!(Axis::linear(10.0, plain).map(&5.0, (0, 1000)), 500);
    }
}
