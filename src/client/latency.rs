//! Distributions of times.

use std::time::Duration;

use hdrhistogram::Histogram;

pub(crate) use summary::LatencySummary;

mod summary;

/// The histogram keeps three digits of each time, so percentiles are within 0.1 % of what was recorded.
const DIGITS: u8 = 3;

/// A longer time counts as this one.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// More than the sum of rounding errors, and less than one time's share of very many.
const ROUNDING: f64 = 1e-13;

/// A distribution of times, exact to a thousandth of each. Its memory does not depend on how many there are.
///
/// Distributions can be [added](Self::add). `RunningStats` are smaller and exact, but have no percentiles.
#[derive(Clone, Debug)]
pub struct Latency {
    nanoseconds: Histogram<u64>,
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

impl Latency {
    /// A distribution without times.
    pub fn new() -> Self {
        // It fails only for senseless bounds or digits.
        let made = Histogram::new_with_bounds(1, LONGEST.as_nanos() as u64, DIGITS);
        Self { nanoseconds: made.expect("the bounds and the digits make sense") }
    }

    /// Adds a time.
    #[inline]
    pub fn record(&mut self, time: Duration) {
        self.nanoseconds.saturating_record(time.as_nanos() as u64);
    }

    /// Adds `count` times: the first is `longest`, and each of the others is `gap_seconds` shorter than the one
    /// before. Very many take no longer than a thousand: they are added in groups, each time as the shortest of
    /// its group.
    pub fn record_evenly(&mut self, longest: Duration, gap_seconds: f64, count: u64) {
        const GROUPS: u64 = 1000;
        let Some(others) = count.checked_sub(1) else { return };
        self.record(longest);
        let groups = others.min(GROUPS);
        let bound =
            |group: u64| (u128::from(others) * u128::from(group) / u128::from(groups)) as u64;
        for group in 0..groups {
            let (begin, end) = (bound(group), bound(group + 1));
            let shorter = Duration::from_secs_f64(end as f64 * gap_seconds);
            let shortest = longest.saturating_sub(shorter).as_nanos() as u64;
            self.nanoseconds.saturating_record_n(shortest, end - begin);
        }
    }

    /// Adds all times of another distribution.
    pub fn add(&mut self, other: &Self) {
        // It fails only if the other's bounds are wider.
        let added = self.nanoseconds.add(&other.nanoseconds);
        debug_assert!(added.is_ok());
    }

    /// Removes all times.
    pub fn clear(&mut self) {
        self.nanoseconds.reset();
    }

    /// The number of times.
    pub fn count(&self) -> u64 {
        self.nanoseconds.len()
    }

    /// Whether there is no time.
    pub fn is_empty(&self) -> bool {
        self.nanoseconds.is_empty()
    }

    /// The shortest time; zero if there is none. If it is the longest too, to a thousandth, it is equal to that.
    pub fn min(&self) -> Duration {
        let (min, max) = (self.nanoseconds.min(), self.nanoseconds.max());
        let is_max = self.is_empty() || self.nanoseconds.equivalent(min, max);
        Duration::from_nanos(if is_max { max } else { min })
    }

    /// The longest time; zero if there is none.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.max())
    }

    /// The mean; zero if there is no time.
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.mean().round() as u64).max(self.min())
    }

    /// The standard deviation.
    pub fn stdev(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.stdev().round() as u64)
    }

    /// A time that `percentile` of 100 times did not exceed; zero if there is no time.
    pub fn percentile(&self, percentile: f64) -> Duration {
        // In floating-point numbers, 99.9 % of 20,000 is a little more than 19,980. That would give the 19,981st
        // time, which is far longer in a long tail.
        let percentile = percentile * (1.0 - ROUNDING);
        Duration::from_nanos(self.nanoseconds.value_at_percentile(percentile)).min(self.max())
    }

    /// As [`percentile`](Self::percentile), but `None` if there are too few times to say: fewer than 10 for the 90th
    /// percentile, 100 for the 99th, 1,000 for the 99.9th.
    pub fn known_percentile(&self, percentile: f64) -> Option<Duration> {
        // Rounded, since 100 - 99.9 is not exactly 0.1.
        let needed = (100.0 / (100.0 - percentile)).round() as u64;
        (self.count() >= needed).then(|| self.percentile(percentile))
    }

    /// The histogram behind it, in nanoseconds.
    pub fn nanoseconds(&self) -> &Histogram<u64> {
        &self.nanoseconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_a_thousandth() {
        let mut latency = Latency::new();
        (1..=10_000).for_each(|us| latency.record(Duration::from_micros(us)));
        for (percentile, us) in [(50.0, 5000), (90.0, 9000), (99.0, 9900), (100.0, 10_000)] {
            let (found, truth) = (latency.percentile(percentile), Duration::from_micros(us));
            assert!(found.abs_diff(truth) <= truth / 1000, "p{percentile}: {found:?}");
        }
        assert_eq!((latency.count(), latency.min()), (10_000, Duration::from_micros(1)));
    }

    #[test]
    fn a_rounding_error_does_not_shift_a_percentile_to_the_next_time() {
        let (short, long) = (Duration::from_millis(1), Duration::from_millis(2));
        let mut latency = Latency::new();
        for thousands in 1..=200 {
            (0..999).for_each(|_| latency.record(short));
            latency.record(long);
            assert_eq!(latency.count(), thousands * 1000);
            let found = [99.9, 99.900_001].map(|p| latency.percentile(p).as_millis());
            assert_eq!(found, [1, 2], "{thousands}");
        }
    }

    /// Failed when three times had a 99.9th percentile.
    #[test]
    fn a_percentile_is_known_from_the_number_of_times_that_can_give_it() {
        let mut latency = Latency::new();
        for (percentile, needed) in
            [(50.0, 2), (75.0, 4), (90.0, 10), (99.0, 100), (99.9, 1000), (99.99, 10_000)]
        {
            while latency.count() < needed {
                assert_eq!(latency.known_percentile(percentile), None, "p{percentile}");
                latency.record(Duration::from_nanos(7));
            }
            let time = latency.known_percentile(percentile);
            assert_eq!(time, Some(Duration::from_nanos(7)), "p{percentile}");
        }
    }

    #[test]
    fn evenly_spaced_times_are_counted_as_if_one_by_one() {
        for count in [0, 1, 2, 999, 1_001, 50_000] {
            let (mut one_by_one, mut evenly) = (Latency::new(), Latency::new());
            let longest = Duration::from_secs(10);
            let time = |i: u64| longest.saturating_sub(Duration::from_micros(70) * i as u32);
            (0..count).for_each(|i| one_by_one.record(time(i)));
            evenly.record_evenly(longest, 70e-6, count);
            assert_eq!((evenly.count(), evenly.max()), (count, one_by_one.max()));
            for percentile in [0.0, 10.0, 50.0, 99.0, 100.0] {
                let (found, truth) =
                    (evenly.percentile(percentile), one_by_one.percentile(percentile));
                let most = truth / 500 + longest / 1000;
                assert!(found.abs_diff(truth) <= most, "{count}, p{percentile}: {found:?}");
            }
        }
    }

    /// A client that falls behind for an hour at the highest rate leaves this many.
    #[test]
    fn very_many_evenly_spaced_times_take_no_longer() {
        let mut latency = Latency::new();
        let began = std::time::Instant::now();
        (0..100)
            .for_each(|_| latency.record_evenly(Duration::from_secs(3600), 1e-8, 360_000_000_000));
        assert_eq!(latency.count(), 36_000_000_000_000);
        assert!(began.elapsed() < Duration::from_secs(20));
    }

    /// Failed when the shortest of them was less than the longest, by a thousandth.
    #[test]
    fn equal_times_are_equal_in_every_figure() {
        for count in [1, 50] {
            let mut latency = Latency::new();
            (0..count).for_each(|_| latency.record(Duration::from_micros(1_705_500)));
            let max = latency.max();
            let figures = [latency.min(), latency.mean(), latency.percentile(50.0)];
            assert_eq!((figures, latency.stdev()), ([max; 3], Duration::ZERO));
        }
    }

    #[test]
    fn without_times_every_figure_is_zero() {
        let latency = Latency::new();
        assert!(latency.is_empty());
        let times = [latency.min(), latency.max(), latency.mean(), latency.percentile(99.0)];
        assert_eq!(times, [Duration::ZERO; 4]);
    }

    #[test]
    fn a_time_beyond_the_longest_counts_as_the_longest() {
        let mut latency = Latency::new();
        latency.record(Duration::MAX.min(LONGEST * 3));
        assert!(latency.max() >= LONGEST.mul_f64(0.999), "{:?}", latency.max());
    }
}
