//! When the next message is due.

use std::time::{Duration, Instant};

/// Due times, one interval apart whatever happens.
#[derive(Debug)]
pub struct Schedule {
    next: Instant,
    interval: Duration,
}

impl Schedule {
    /// The first is due at once.
    pub fn new(interval: Duration, now: Instant) -> Self {
        Self { next: now, interval }
    }

    /// How long until the next is due: nothing where it is.
    pub fn left(&self, now: Instant) -> Duration {
        self.next.saturating_duration_since(now)
    }

    /// Goes on to the first due time after `now`. Gives how many it passes over, besides the one that is
    /// due.
    pub fn take(&mut self, now: Instant) -> u64 {
        let late = now.saturating_duration_since(self.next).as_nanos();
        let interval = self.interval.as_nanos();
        let skipped = late / interval;
        self.next += Duration::from_nanos(((skipped + 1) * interval) as u64);
        skipped as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(100);

    /// Takes a message as soon as it is due and the last one is back, and gives when, in milliseconds.
    fn sent(echo_ms: &[u64]) -> (Vec<u64>, u64) {
        let start = Instant::now();
        let (mut schedule, mut now, mut skipped) = (Schedule::new(INTERVAL, start), start, 0);
        let mut times = Vec::new();
        for ms in echo_ms {
            now += schedule.left(now);
            skipped += schedule.take(now);
            times.push((now - start).as_millis() as u64);
            now += Duration::from_millis(*ms);
        }
        (times, skipped)
    }

    #[test]
    fn echo_times_do_not_add_up() {
        assert_eq!(sent(&[1, 99, 30, 100, 0]), (vec![0, 100, 200, 300, 400], 0));
    }

    #[test]
    fn a_late_echo_delays_the_next_message_and_no_other() {
        assert_eq!(sent(&[1, 150, 1, 1, 1]), (vec![0, 100, 250, 300, 400], 0));
    }

    #[test]
    fn of_several_that_are_overdue_one_is_sent_and_the_rest_are_skipped() {
        assert_eq!(sent(&[1, 430, 1, 1]), (vec![0, 100, 530, 600], 3));
        assert_eq!(sent(&[200, 1, 1]), (vec![0, 200, 300], 1));
    }

    #[test]
    fn the_longest_interval_overflows_nothing() {
        let (now, year) = (Instant::now(), Duration::from_secs(365 * 24 * 60 * 60));
        let mut schedule = Schedule::new(year, now);
        assert_eq!(schedule.take(now), 0);
        assert_eq!(schedule.left(now), year);
    }
}
