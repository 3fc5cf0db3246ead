//! A distribution of times in a few figures, as text and JSON show it.

use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use super::Latency;

/// Points of a [percentile curve](Latency::percentile_curve) for each halving of the distance to 100 %. It
/// is smooth with about a hundred in all.
const CURVE_TICKS: u32 = 5;

/// The figures of a distribution, in nanoseconds. A percentile is `None` if too few times stand behind it:
/// p99 needs 100 times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LatencySummary {
    pub(crate) count: u64,
    pub(crate) min: Option<u64>,
    pub(crate) mean: Option<u64>,
    pub(crate) stdev: Option<u64>,
    pub(crate) p50: Option<u64>,
    pub(crate) p75: Option<u64>,
    pub(crate) p90: Option<u64>,
    pub(crate) p99: Option<u64>,
    pub(crate) p99_9: Option<u64>,
    pub(crate) p99_99: Option<u64>,
    pub(crate) max: Option<u64>,
}

impl LatencySummary {
    pub(crate) fn of(latency: &Latency) -> Self {
        let count = latency.count();
        let some = |time: Duration| (count > 0).then_some(time.as_nanos() as u64);
        let known =
            |percentile| latency.known_percentile(percentile).map(|time| time.as_nanos() as u64);
        Self {
            count,
            min: some(latency.min()),
            mean: some(latency.mean()),
            stdev: some(latency.stdev()),
            p50: known(50.0),
            p75: known(75.0),
            p90: known(90.0),
            p99: known(99.0),
            p99_9: known(99.9),
            p99_99: known(99.99),
            max: some(latency.max()),
        }
    }

    /// The figures with their names, in the order of display.
    pub(crate) fn rows(&self) -> [(&'static str, Option<u64>); 10] {
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

impl Latency {
    /// Percentiles, closer and closer together towards 100, and for each the nanoseconds that this share of
    /// the times did not exceed.
    pub(crate) fn percentile_curve(&self) -> Vec<(f64, u64)> {
        if self.is_empty() {
            return Vec::new();
        }
        let times = self.nanoseconds();
        // Few enough digits to be read back exactly, and more than messages can give meaning to.
        let percentile = |quantile: f64| (quantile * 1e11).round() / 1e9;
        times
            .iter_quantiles(CURVE_TICKS)
            .map(|at| {
                (percentile(at.quantile_iterated_to()), at.value_iterated_to().min(times.max()))
            })
            .collect()
    }
}

/// As its summary.
impl Serialize for Latency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        LatencySummary::of(self).serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up_to(microseconds: u64) -> Latency {
        let mut latency = Latency::new();
        (1..=microseconds).for_each(|us| latency.record(Duration::from_micros(us)));
        latency
    }

    #[test]
    fn a_percentile_needs_enough_times_behind_it() {
        let given = |n| {
            let times = LatencySummary::of(&up_to(n));
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
        let times = LatencySummary::of(&up_to(10_000));
        for (found, us) in [(times.p50, 5_000), (times.p99, 9_900), (times.p99_99, 9_999)] {
            let (found, truth) = (found.unwrap(), us * 1_000);
            assert!(found.abs_diff(truth) <= truth / 1_000, "{found} for {truth}");
        }
    }

    #[test]
    fn a_curve_rises_to_the_longest_time_at_100() {
        let latency = up_to(5_000);
        let curve = latency.percentile_curve();
        assert!(curve.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{curve:?}");
        assert_eq!(curve.last(), Some(&(100.0, latency.max().as_nanos() as u64)));
        assert!((20..200).contains(&curve.len()), "{} points", curve.len());
    }

    #[test]
    fn no_times_make_no_curve() {
        assert_eq!(Latency::new().percentile_curve(), []);
        assert_eq!(
            up_to(1).percentile_curve().last().map(|(percentile, _)| *percentile),
            Some(100.0)
        );
    }
}
