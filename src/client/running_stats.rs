//! Running statistics of times, in constant memory.

use std::time::Duration;

/// Count, extremes, mean, standard deviation and jitter of times, updated with each new time.
///
/// Every figure is exact to the nanosecond. Percentiles need all times:
/// [`Latency`](super::latency::Latency) has those, exact to a thousandth.
#[derive(Clone, Debug, Default)]
pub struct RunningStats {
    count: u64,
    min: Duration,
    max: Duration,
    /// In nanoseconds. B. P. Welford's method keeps all digits even if the times are long and nearly equal.
    mean: f64,
    /// The sum of the squared distances from the mean.
    squares: f64,
    last: Option<Duration>,
    /// The sum of the distances between each time and the one before it.
    steps: Duration,
}

impl RunningStats {
    /// Adds a time.
    pub fn record(&mut self, time: Duration) {
        self.min = if self.count == 0 { time } else { self.min.min(time) };
        self.max = self.max.max(time);
        self.count += 1;
        if let Some(last) = self.last.replace(time) {
            self.steps += time.abs_diff(last);
        }
        let time = time.as_nanos() as f64;
        let from_mean = time - self.mean;
        self.mean += from_mean / self.count as f64;
        self.squares += from_mean * (time - self.mean);
    }

    /// The number of times.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The shortest time; zero if there is none.
    pub fn min(&self) -> Duration {
        self.min
    }

    /// The longest time; zero if there is none.
    pub fn max(&self) -> Duration {
        self.max
    }

    /// The mean; zero if there is no time.
    pub fn mean(&self) -> Duration {
        nanoseconds(self.mean)
    }

    /// The standard deviation of the times seen, which ping(8) calls mdev.
    pub fn stdev(&self) -> Duration {
        nanoseconds((self.squares / self.count.max(1) as f64).sqrt())
    }

    /// The mean absolute difference between each time and the one before it; zero if there are fewer than two
    /// times.
    pub fn jitter(&self) -> Duration {
        let steps = self.count.saturating_sub(1).max(1);
        nanoseconds(self.steps.as_nanos() as f64 / steps as f64)
    }
}

fn nanoseconds(n: f64) -> Duration {
    Duration::from_nanos(n.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn stats(milliseconds: &[u32]) -> RunningStats {
        let mut stats = RunningStats::default();
        milliseconds.iter().for_each(|ms| stats.record(MS * *ms));
        stats
    }

    #[test]
    fn each_figure_follows_its_definition() {
        let stats = stats(&[2, 4, 4, 4, 5, 5, 7, 9]);
        assert_eq!(stats.count(), 8);
        assert_eq!((stats.min(), stats.mean(), stats.max()), (MS * 2, MS * 5, MS * 9));
        assert_eq!(stats.stdev(), MS * 2);
        // 2 + 0 + 0 + 1 + 0 + 2 + 2 over 7.
        assert_eq!(stats.jitter(), MS);
    }

    #[test]
    fn one_time_has_no_deviation_and_no_jitter() {
        let stats = stats(&[3]);
        assert_eq!((stats.min(), stats.max(), stats.mean()), (MS * 3, MS * 3, MS * 3));
        assert_eq!((stats.stdev(), stats.jitter()), (Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn without_times_every_figure_is_zero() {
        let stats = stats(&[]);
        let figures = [stats.min(), stats.mean(), stats.max(), stats.stdev(), stats.jitter()];
        assert_eq!((stats.count(), figures), (0, [Duration::ZERO; 5]));
    }

    /// A sum of squares minus a squared sum would have no digits left for this.
    #[test]
    fn small_differences_between_long_times_are_not_lost() {
        let mut stats = RunningStats::default();
        let hour = Duration::from_secs(3600);
        let times = [0, 20].iter().cycle().take(1000);
        times.for_each(|ns| stats.record(hour + Duration::from_nanos(*ns)));
        assert_eq!(stats.stdev(), Duration::from_nanos(10));
    }
}
