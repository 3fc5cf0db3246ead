//! When the next message is due.

use std::time::{Duration, Instant};

/// Due times, one interval apart whatever happens.
///
/// Of those that pass while an echo is outstanding, one is kept, and the rest are skipped: they would be a
/// burst. Those that pass only because this program woke up late are all kept.
#[derive(Debug)]
pub struct Schedule {
    next: Instant,
    interval: Duration,
    /// How many were overdue when the last message began.
    backlog: u64,
}

impl Schedule {
    /// The first is due at once.
    pub fn new(interval: Duration, now: Instant) -> Self {
        Self { next: now, interval, backlog: 0 }
    }

    /// When the next is due.
    pub fn due(&self) -> Instant {
        self.next
    }

    /// How long until the next is due: nothing if it is.
    pub fn left(&self, now: Instant) -> Duration {
        self.next.saturating_duration_since(now)
    }

    /// The message that is due begins.
    pub fn begin(&mut self, now: Instant) {
        self.next += self.interval;
        self.backlog = self.overdue(now);
    }

    /// The message is settled. Returns how many due times are skipped, since it was outstanding and one
    /// message waits already.
    pub fn settle(&mut self, now: Instant) -> u64 {
        let meanwhile = self.overdue(now).saturating_sub(self.backlog);
        self.skip(if self.backlog == 0 { meanwhile.saturating_sub(1) } else { meanwhile })
    }

    /// The program stood still. Returns how many due times are skipped; one is kept.
    pub fn stood_still(&mut self, now: Instant) -> u64 {
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

    /// Begins a message so late after it is due and the last one is back, has it settled after `echo_ms`, and
    /// gives when, in milliseconds.
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

    /// Failed when "an echo was outstanding" was given as the reason for what this program missed by itself.
    #[test]
    fn what_passes_since_the_program_wakes_up_late_is_not_skipped() {
        assert_eq!(sent_late(&[1, 1, 1, 1, 1], 250), (vec![0, 350, 351, 352, 400], 0));
        // One was overdue already: what passes while the echo is outstanding is skipped.
        assert_eq!(sent_late(&[1, 210, 1, 1], 150), (vec![0, 250, 460, 500], 2));
    }

    #[test]
    fn of_what_passes_in_a_standstill_one_is_kept() {
        let start = Instant::now();
        let mut schedule = Schedule::new(INTERVAL, start);
        schedule.begin(start);
        assert_eq!(schedule.settle(start + MS), 0);
        assert_eq!(schedule.stood_still(start + MS * 50), 0);
        assert_eq!(schedule.stood_still(start + MS * 1050), 9);
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
