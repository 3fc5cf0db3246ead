//! How long things took, as a distribution.

use std::time::Duration;

use hdrhistogram::Histogram;

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
