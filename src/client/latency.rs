//! How long things took, as a distribution.

use std::time::Duration;

use hdrhistogram::Histogram;

pub(crate) use summary::LatencySummary;

mod summary;

/// Three digits of each time are kept: percentiles are within 0.1 % of what was recorded.
const DIGITS: u8 = 3;

/// Longer than anything is waited for. What takes longer all the same counts as this.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// More than errors of rounding add up to, and less than a single time of very many.
const ROUNDING: f64 = 1e-13;

/// Times, counted by how long they were: to a thousandth of each, in memory that does not depend on how
/// many there are.
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
    /// No times yet.
    pub fn new() -> Self {
        // Refuses only bounds and digits that make no sense, which these are not.
        let made = Histogram::new_with_bounds(1, LONGEST.as_nanos() as u64, DIGITS);
        Self { nanoseconds: made.expect("bounds that make sense") }
    }

    /// Counts one in.
    #[inline]
    pub fn record(&mut self, time: Duration) {
        self.nanoseconds.saturating_record(time.as_nanos() as u64);
    }

    /// Counts in `count` times of which the first is `longest`, and each is shorter by `gap_seconds` than the
    /// one before. Takes no longer for very many: they are counted in groups, each as its shortest.
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

    /// Counts all of another's in.
    pub fn add(&mut self, other: &Self) {
        // Fails only where the other's bounds are wider.
        let added = self.nanoseconds.add(&other.nanoseconds);
        debug_assert!(added.is_ok());
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.nanoseconds.reset();
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.nanoseconds.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nanoseconds.is_empty()
    }

    /// The shortest; zero where there are none.
    pub fn min(&self) -> Duration {
        Duration::from_nanos(if self.is_empty() { 0 } else { self.nanoseconds.min() })
    }

    /// The longest; zero where there are none.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.max())
    }

    /// Their mean; zero where there are none.
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.mean().round() as u64)
    }

    /// Their standard deviation.
    pub fn stdev(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.stdev().round() as u64)
    }

    /// A time that so many of 100 did not exceed; zero where there are none.
    pub fn percentile(&self, percentile: f64) -> Duration {
        // 99.9 % of 20,000, as floating-point numbers have it, is a little more than 19,980, and would be the
        // time after that: in a long tail, quite another.
        let percentile = percentile * (1.0 - ROUNDING);
        Duration::from_nanos(self.nanoseconds.value_at_percentile(percentile).min(self.max_nanos()))
    }

    /// The same, but `None` if there are too few times to say: fewer than 10 for the 90th percentile, 100 for
    /// the 99th, 1,000 for the 99.9th.
    pub fn known_percentile(&self, percentile: f64) -> Option<Duration> {
        // Rounded, since 100 - 99.9 is not exactly 0.1.
        let needed = (100.0 / (100.0 - percentile)).round() as u64;
        (self.count() >= needed).then(|| self.percentile(percentile))
    }

    fn max_nanos(&self) -> u64 {
        self.nanoseconds.max()
    }

    /// The histogram, in nanoseconds, for whoever writes it down.
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
    fn a_percentile_is_not_a_time_too_high_by_an_error_of_rounding() {
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
    fn times_at_even_distances_are_counted_as_if_one_by_one() {
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

    /// As many as a client that falls behind for an hour leaves at the highest rate. A second would be long.
    #[test]
    fn very_many_take_no_longer() {
        let mut latency = Latency::new();
        let began = std::time::Instant::now();
        (0..100)
            .for_each(|_| latency.record_evenly(Duration::from_secs(3600), 1e-8, 360_000_000_000));
        assert_eq!(latency.count(), 36_000_000_000_000);
        assert!(began.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn nothing_is_nothing() {
        let latency = Latency::new();
        assert!(latency.is_empty());
        let times = [latency.min(), latency.max(), latency.mean(), latency.percentile(99.0)];
        assert_eq!(times, [Duration::ZERO; 4]);
    }

    #[test]
    fn what_is_too_long_counts_as_the_longest() {
        let mut latency = Latency::new();
        latency.record(Duration::MAX.min(LONGEST * 3));
        assert!(latency.max() >= LONGEST.mul_f64(0.999), "{:?}", latency.max());
    }
}
