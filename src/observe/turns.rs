//! How long the turns of the event loop take.

use std::time::Duration;

/// The upper bounds of the buckets. A turn of an echo or two takes some 10 µs; one that delays every connection takes
/// milliseconds.
const BOUNDS: [Duration; 9] = [
    Duration::from_micros(10),
    Duration::from_micros(30),
    Duration::from_micros(100),
    Duration::from_micros(300),
    Duration::from_millis(1),
    Duration::from_millis(3),
    Duration::from_millis(10),
    Duration::from_millis(100),
    Duration::from_secs(1),
];

/// A histogram of the times of turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TurnTimes {
    /// The turns of each bucket, and last those above all bounds.
    counts: [u64; BOUNDS.len() + 1],
    sum: Duration,
}

impl TurnTimes {
    /// Enters a turn that took `time`.
    pub fn record(&mut self, time: Duration) {
        self.counts[BOUNDS.partition_point(|bound| *bound < time)] += 1;
        self.sum = self.sum.saturating_add(time);
    }

    /// Each bound, with the turns that took as long or less and that took longer than the bound before it. The turns
    /// above all bounds come last, without a bound.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        BOUNDS.into_iter().map(Some).chain([None]).zip(self.counts)
    }

    /// The number of turns in the histogram.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The mean of their times, unless there are none.
    pub fn mean(&self) -> Option<Duration> {
        let nanos = self.sum.as_nanos().checked_div(self.count().into())?;
        Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// The time of all of them together.
    pub fn sum(&self) -> Duration {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_in_the_bucket_of_the_first_bound_that_it_does_not_exceed() {
        let just_over = Duration::from_nanos(1);
        for (i, bound) in BOUNDS.into_iter().enumerate() {
            for (time, expected) in [(bound, i), (bound + just_over, i + 1)] {
                let mut times = TurnTimes::default();
                times.record(time);
                let found = times.buckets().position(|(_, count)| count == 1);
                assert_eq!((found, times.count(), times.sum()), (Some(expected), 1, time));
            }
        }
    }

    #[test]
    fn the_last_bucket_has_no_bound() {
        let mut times = TurnTimes::default();
        times.record(Duration::MAX);
        times.record(Duration::from_secs(2));
        assert_eq!(times.buckets().last(), Some((None, 2)));
        assert_eq!(times.sum(), Duration::MAX);
        assert_eq!(times.mean(), Some(Duration::from_nanos(u64::MAX)));
    }

    #[test]
    fn the_mean_is_that_of_all_and_of_none_there_is_none() {
        let mut times = TurnTimes::default();
        assert_eq!(times.mean(), None);
        [1, 2, 6].into_iter().for_each(|n| times.record(Duration::from_micros(n)));
        assert_eq!(times.mean(), Some(Duration::from_micros(3)));
    }
}
