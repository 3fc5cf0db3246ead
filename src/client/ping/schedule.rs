//! When the next message is due.

use std::time::{Duration, Instant};

/// Due times, always one interval apart.
///
/// Of the due times that pass while an echo is outstanding, one is kept and the others are skipped: they would
/// be a burst. Due times that pass only because this program woke up late are all kept.
#[derive(Debug)]
pub struct Schedule {
    next: Instant,
    interval: Duration,
    /// How many due times were overdue when the last message began.
    backlog: u64,
}

impl Schedule {
    /// A schedule whose first message is due at once.
    pub fn new(interval: Duration, now: Instant) -> Self {
        Self { next: now, interval, backlog: 0 }
    }

    /// When the next message is due.
    pub fn due(&self) -> Instant {
        self.next
    }

    /// How long until the next message is due; zero if it is.
    pub fn left(&self, now: Instant) -> Duration {
        self.next.saturating_duration_since(now)
    }

    /// Begins the message that is due.
    pub fn begin(&mut self, now: Instant) {
        self.next += self.interval;
        self.backlog = self.overdue(now);
    }

    /// Ends the message: its echo came, or is lost. Returns how many due times are skipped, because they passed
    /// meanwhile and one message waits already.
    pub fn settle(&mut self, now: Instant) -> u64 {
        let meanwhile = self.overdue(now).saturating_sub(self.backlog);
        self.skip(if self.backlog == 0 { meanwhile.saturating_sub(1) } else { meanwhile })
    }

    /// Continues after a standstill. Returns how many due times are skipped. One is kept.
    pub fn resume(&mut self, now: Instant) -> u64 {
        self.skip(self.overdue(now).saturating_sub(1))
    }

    fn skip(&mut self, skipped: u64) -> u64 {
        let time = self.interval.as_nanos() * u128::from(skipped);
        self.next += Duration::from_nanos(time as u64);
        skipped
    }

    fn overdue(&self, now: Instant) -> u64 {
        match now.checked_duration_since(self.next) {
            Some(late) => (late.as_nanos() / self.interval.as_nanos()) as u64 + 1,
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(100);
    const MS: Duration = Duration::from_millis(1);

    /// Runs a schedule whose messages take `echo_ms`, and whose second message begins `late_ms` late. Returns
    /// when each message began, in milliseconds, and how many due times were skipped.
    fn sent_late(echo_ms: &[u64], late_ms: u64) -> (Vec<u64>, u64) {
        let start = Instant::now();
        let (mut schedule, mut now, mut skipped) = (Schedule::new(INTERVAL, start), start, 0);
        let mut times = Vec::new();
        for (k, ms) in echo_ms.iter().enumerate() {
            now += schedule.left(now);
            if k == 1 {
                now += MS * late_ms as u32;
            }
            schedule.begin(now);
            times.push((now - start).as_millis() as u64);
            now += MS * *ms as u32;
            skipped += schedule.settle(now);
        }
        (times, skipped)
    }

    fn sent(echo_ms: &[u64]) -> (Vec<u64>, u64) {
        sent_late(echo_ms, 0)
    }

    #[test]
    fn echo_times_do_not_shift_the_schedule() {
        assert_eq!(sent(&[1, 99, 30, 100, 0]), (vec![0, 100, 200, 300, 400], 0));
    }

    #[test]
    fn a_late_echo_delays_the_next_message_and_no_other() {
        assert_eq!(sent(&[1, 150, 1, 1, 1]), (vec![0, 100, 250, 300, 400], 0));
    }

    #[test]
    fn of_several_overdue_messages_one_is_sent_and_the_others_are_skipped() {
        assert_eq!(sent(&[1, 430, 1, 1]), (vec![0, 100, 530, 600], 3));
        assert_eq!(sent(&[200, 1, 1]), (vec![0, 200, 300], 1));
    }

    /// Failed when due times that this program missed by itself counted as skipped for an outstanding echo.
    #[test]
    fn a_late_wake_up_skips_no_message() {
        assert_eq!(sent_late(&[1, 1, 1, 1, 1], 250), (vec![0, 350, 351, 352, 400], 0));
        // One was overdue already: the due times that pass while the echo is outstanding are skipped.
        assert_eq!(sent_late(&[1, 210, 1, 1], 150), (vec![0, 250, 460, 500], 2));
    }

    #[test]
    fn of_the_due_times_that_pass_in_a_standstill_one_is_kept() {
        let start = Instant::now();
        let mut schedule = Schedule::new(INTERVAL, start);
        schedule.begin(start);
        assert_eq!(schedule.settle(start + MS), 0);
        assert_eq!(schedule.resume(start + MS * 50), 0);
        assert_eq!(schedule.resume(start + MS * 1050), 9);
        assert_eq!(schedule.due(), start + MS * 1000);
    }

    #[test]
    fn the_longest_interval_overflows_nothing() {
        let (now, year) = (Instant::now(), Duration::from_secs(365 * 24 * 60 * 60));
        let mut schedule = Schedule::new(year, now);
        schedule.begin(now);
        assert_eq!((schedule.settle(now), schedule.left(now)), (0, year));
    }
}
