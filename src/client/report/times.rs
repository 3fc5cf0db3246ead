//! A distribution of times in a handful of figures.

use serde::{Deserialize, Serialize};

use super::Report;
use crate::client::latency::Latency;

/// Points of a [`curve`] for each halving of the distance to 100 %: smooth, and a hundred or so in all.
const CURVE_TICKS: u32 = 5;

/// The figures of a distribution, in nanoseconds. What too few times say nothing of is `None`: one of 100
/// takes 100.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    pub count: u64,
    pub min: Option<u64>,
    pub mean: Option<u64>,
    pub stdev: Option<u64>,
    pub p50: Option<u64>,
    pub p75: Option<u64>,
    pub p90: Option<u64>,
    pub p99: Option<u64>,
    pub p99_9: Option<u64>,
    pub p99_99: Option<u64>,
    pub max: Option<u64>,
}

impl Times {
    pub fn of(latency: &Latency) -> Self {
        let count = latency.count();
        let some = |time: std::time::Duration| (count > 0).then_some(time.as_nanos() as u64);
        // All but one of so many took no longer.
        let but_one_of = |many: u64| {
            let time = latency.percentile(100.0 - 100.0 / many as f64);
            (count >= many).then_some(time.as_nanos() as u64)
        };
        Self {
            count,
            min: some(latency.min()),
            mean: some(latency.mean()),
            stdev: some(latency.stdev()),
            p50: but_one_of(2),
            p75: but_one_of(4),
            p90: but_one_of(10),
            p99: but_one_of(100),
            p99_9: but_one_of(1_000),
            p99_99: but_one_of(10_000),
            max: some(latency.max()),
        }
    }

    /// The figures by their names, in the order in which they are shown.
    pub fn rows(&self) -> [(&'static str, Option<u64>); 10] {
        [
            ("min", self.min),
            ("mean", self.mean),
            ("stdev", self.stdev),
            ("p50", self.p50),
            ("p75", self.p75),
            ("p90", self.p90),
            ("p99", self.p99),
            ("p99.9", self.p99_9),
            ("p99.99", self.p99_99),
            ("max", self.max),
        ]
    }
}

/// The latencies of a run, with their names: one in a closed loop with a single message in flight, where each
/// was due when it was sent.
pub fn latency_columns(report: &Report) -> Vec<(&'static str, &Times)> {
    let response = &report.response_latency_nanoseconds;
    if report.has_one_latency() {
        return vec![("latency", response)];
    }
    vec![("response", response), ("service", &report.service_latency_nanoseconds)]
}

/// The figures of several distributions side by side, under their names. Those that none has are left out.
pub fn rows(columns: &[(&str, &Times)]) -> Vec<(&'static str, Vec<Option<u64>>)> {
    let rows: Vec<_> = columns.iter().map(|(_, times)| times.rows()).collect();
    let names = Times::default().rows();
    let row = |i: usize| (names[i].0, rows.iter().map(|rows| rows[i].1).collect::<Vec<_>>());
    let is_known = |(_, row): &(_, Vec<Option<u64>>)| row.iter().any(Option::is_some);
    (0..names.len()).map(row).filter(is_known).collect()
}

/// Percentiles and the nanoseconds that so many of 100 did not exceed, closer and closer together
/// towards 100.
pub fn curve(latency: &Latency) -> Vec<(f64, u64)> {
    if latency.is_empty() {
        return Vec::new();
    }
    let times = latency.nanoseconds();
    // More digits than messages can give meaning to, and few enough to be read back as they are.
    let percentile = |quantile: f64| (quantile * 1e11).round() / 1e9;
    times
        .iter_quantiles(CURVE_TICKS)
        .map(|at| (percentile(at.quantile_iterated_to()), at.value_iterated_to().min(times.max())))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn up_to(microseconds: u64) -> Latency {
        let mut latency = Latency::new();
        (1..=microseconds).for_each(|us| latency.record(Duration::from_micros(us)));
        latency
    }

    #[test]
    fn a_percentile_is_given_only_where_enough_times_stand_behind_it() {
        let given = |n| {
            let times = Times::of(&up_to(n));
            let given = times.rows().into_iter().filter(|(_, time)| time.is_some());
            given.map(|(name, _)| name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(given(0), "");
        assert_eq!(given(1), "min mean stdev max");
        assert_eq!(given(99), "min mean stdev p50 p75 p90 max");
        assert_eq!(given(100), "min mean stdev p50 p75 p90 p99 max");
        assert_eq!(given(9_999), "min mean stdev p50 p75 p90 p99 p99.9 max");
        assert_eq!(given(10_000), "min mean stdev p50 p75 p90 p99 p99.9 p99.99 max");
    }

    #[test]
    fn figures_are_within_a_thousandth() {
        let times = Times::of(&up_to(10_000));
        for (found, us) in [(times.p50, 5_000), (times.p99, 9_900), (times.p99_99, 9_999)] {
            let (found, truth) = (found.unwrap(), us * 1_000);
            assert!(found.abs_diff(truth) <= truth / 1_000, "{found} for {truth}");
        }
    }

    #[test]
    fn a_curve_rises_to_the_longest_time_at_100() {
        let latency = up_to(5_000);
        let curve = curve(&latency);
        assert!(curve.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{curve:?}");
        assert_eq!(curve.last(), Some(&(100.0, latency.max().as_nanos() as u64)));
        assert!((20..200).contains(&curve.len()), "{} points", curve.len());
    }

    #[test]
    fn nothing_makes_no_curve() {
        assert_eq!(curve(&Latency::new()), []);
        assert_eq!(curve(&up_to(1)).last().map(|(percentile, _)| *percentile), Some(100.0));
    }
}
