//! When each message of an open loop is due.
//!
//! No call takes longer if more messages are due. A rate that no client can send must not delay the echoes that come, or
//! the end of the run.

use std::ops::Range;
use std::time::{Duration, Instant};

/// Messages at even distances, over connections that take turns.
///
/// Messages are numbered from 0. The messages of one connection are numbered from 0 as well.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    connections: u64,
    gap_seconds: f64,
    first: Instant,
    /// The number of the first message that is not taken.
    next: u64,
    /// The number of the first message that must not be sent.
    end: u64,
    /// The number of the first message that counts.
    counted: u64,
}

/// Some messages at even distances.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Series {
    /// When the first of them was due.
    pub(super) first: Instant,
    /// The time from one to the next.
    pub(super) gap_seconds: f64,
    /// How many they are.
    pub(super) count: u64,
}

impl Schedule {
    /// Nothing is due until it [starts](Self::start).
    pub(super) fn new(rate: f64, connections: usize, now: Instant) -> Self {
        let connections = connections as u64;
        Self { connections, gap_seconds: 1.0 / rate, first: now, next: 0, end: 0, counted: 0 }
    }

    /// The first message is due at `now`. Messages count if they are due at `counted` or later.
    pub(super) fn start(&mut self, now: Instant, counted: Instant) {
        self.first = now;
        self.counted = self.due_before(counted);
    }

    /// Ends with the last message that is due before `at`.
    pub(super) fn end_at(&mut self, at: Instant) {
        self.end = self.due_before(at);
    }

    /// Ends earlier than planned: with the last message that is due before `at`, or was taken.
    pub(super) fn stop_at(&mut self, at: Instant) {
        self.end = self.end.min(self.due_before(at)).max(self.next);
    }

    /// Ends after `n` messages that count.
    pub(super) fn end_after(&mut self, n: u64) {
        self.end = self.counted.saturating_add(n);
    }

    /// Whether all messages are taken.
    pub(super) fn is_over(&self) -> bool {
        self.next >= self.end
    }

    /// How many messages are taken.
    pub(super) fn taken(&self) -> u64 {
        self.next
    }

    /// When the next message is due, if there is one.
    pub(super) fn next_due(&self) -> Option<Instant> {
        (!self.is_over()).then(|| self.due(self.next))
    }

    /// Takes the next message, if it is due by `now`. Returns the number of its connection, and when it was due.
    pub(super) fn take(&mut self, now: Instant) -> Option<(usize, Instant)> {
        let due = self.next_due().filter(|due| *due <= now)?;
        self.next += 1;
        Some((((self.next - 1) % self.connections) as usize, due))
    }

    /// If far more messages are due by `now` than there are connections, takes all but the last one of each connection.
    /// Returns those that count.
    pub(super) fn take_surplus(&mut self, now: Instant) -> Option<Series> {
        /// For fewer, it is cheaper to take each by itself.
        const FEW: u64 = 256;
        let far = self.next + self.connections + FEW;
        if far >= self.end || self.due(far) > now {
            return None;
        }
        let due = self.due_before(now).min(self.end);
        Some(self.take_up_to(due - self.connections))
    }

    /// Takes all messages that are left. Returns those that count.
    pub(super) fn take_rest(&mut self) -> Series {
        self.take_up_to(self.end)
    }

    fn take_up_to(&mut self, end: u64) -> Series {
        let taken = self.next..end;
        self.next = self.next.max(end);
        self.series(0, 1, taken)
    }

    /// The messages of a connection that count, are taken, and are not among the first `begun`.
    pub(super) fn waiting(&self, connection: usize, begun: u64) -> Series {
        self.series(connection as u64, self.connections, begun..self.taken_of(connection))
    }

    /// How many messages of a connection are taken.
    pub(super) fn taken_of(&self, connection: usize) -> u64 {
        self.own_before(connection as u64, self.connections, self.next)
    }

    /// When the message with this number among those of a connection was due, if it is taken.
    #[inline]
    pub(super) fn due_of(&self, connection: usize, number: u64) -> Option<Instant> {
        let message = number * self.connections + connection as u64;
        (message < self.next).then(|| self.due(message))
    }

    /// Those that count of the messages `first`, `first + step`, `first + 2 * step` …, from the first to the last of
    /// `numbers`.
    fn series(&self, first: u64, step: u64, numbers: Range<u64>) -> Series {
        let start = numbers.start.max(self.own_before(first, step, self.counted));
        let end = numbers.end.min(self.own_before(first, step, self.end));
        Series {
            first: self.due(first + start * step),
            gap_seconds: self.gap_seconds * step as f64,
            count: end.saturating_sub(start),
        }
    }

    /// How many of the messages `first`, `first + step`, `first + 2 * step` … come before `message`.
    fn own_before(&self, first: u64, step: u64, message: u64) -> u64 {
        message.saturating_sub(first).div_ceil(step)
    }

    /// How many messages are due before `at`.
    fn due_before(&self, at: Instant) -> u64 {
        let seconds = at.saturating_duration_since(self.first).as_secs_f64();
        // Floating-point numbers are not exact: this can be one too many or too few.
        let mut n = (seconds / self.gap_seconds) as u64;
        while n > 0 && self.due(n - 1) >= at {
            n -= 1;
        }
        while self.due(n) < at {
            n += 1;
        }
        n
    }

    fn due(&self, message: u64) -> Instant {
        // Counted from the first message, so that errors do not add up.
        self.first + Duration::from_secs_f64(message as f64 * self.gap_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// 1000 messages a second over three connections, of which those from 10 ms on count.
    fn schedule(now: Instant) -> Schedule {
        let mut schedule = Schedule::new(1000.0, 3, now);
        schedule.start(now, now + 10 * MS);
        schedule
    }

    #[test]
    fn connections_take_turns_at_even_distances() {
        let now = Instant::now();
        let mut schedule = schedule(now);
        assert_eq!((schedule.take(now), schedule.is_over()), (None, true), "it has no end yet");
        schedule.end_after(1000);
        let taken = std::iter::from_fn(|| schedule.take(now + 4 * MS + MS / 2));
        let due =
            [(0, now), (1, now + MS), (2, now + 2 * MS), (0, now + 3 * MS), (1, now + 4 * MS)];
        assert_eq!(taken.collect::<Vec<_>>(), due);
        assert_eq!(schedule.next_due(), Some(now + 5 * MS));
        assert_eq!([0, 1, 2].map(|connection| schedule.taken_of(connection)), [2, 2, 1]);
        assert_eq!(schedule.due_of(0, 1), Some(now + 3 * MS));
        assert_eq!(schedule.due_of(2, 1), None, "it is not taken");
    }

    #[test]
    fn a_message_that_is_due_at_the_end_is_not_sent() {
        let now = Instant::now();
        let mut schedule = schedule(now);
        schedule.end_at(now + 5 * MS);
        assert_eq!(std::iter::from_fn(|| schedule.take(now + 9 * MS)).count(), 5);
        assert!(schedule.is_over() && schedule.next_due().is_none());
        schedule.stop_at(now + 3 * MS);
        assert_eq!(schedule.taken(), 5, "taken messages stay taken");
    }

    #[test]
    fn a_stop_never_makes_it_longer() {
        let now = Instant::now();
        let mut schedule = schedule(now);
        schedule.end_at(now + 5 * MS);
        schedule.stop_at(now + 9 * MS);
        assert_eq!(std::iter::from_fn(|| schedule.take(now + 20 * MS)).count(), 5);
    }

    #[test]
    fn if_far_too_many_are_due_the_last_of_each_connection_is_left() {
        let now = Instant::now();
        let mut schedule = schedule(now);
        schedule.end_after(1_000_000);
        assert_eq!(schedule.take_surplus(now + 200 * MS), None, "they are few");
        let surplus = schedule.take_surplus(now + 10_000 * MS).unwrap();
        // From the first that counts to the last but three.
        assert_eq!((surplus.first, surplus.count), (now + 10 * MS, 10_000 - 3 - 10));
        let last = std::iter::from_fn(|| schedule.take(now + 9_999 * MS));
        assert_eq!(last.map(|(connection, _)| connection).collect::<Vec<_>>(), [1, 2, 0]);
    }

    /// One by one, that would never end.
    #[test]
    fn very_many_are_taken_at_once() {
        let now = Instant::now();
        let mut schedule = schedule(now);
        schedule.end_after(1_000_000_000_000_000);
        assert_eq!(schedule.take_rest().count, 1_000_000_000_000_000);
        assert!(schedule.is_over());
    }

    #[test]
    fn the_messages_that_wait_for_a_connection_are_those_that_count() {
        let now = Instant::now();
        let mut schedule = schedule(now);
        schedule.end_at(now + 30 * MS);
        schedule.take_rest();
        // Of connection 1: 1, 4, 7, 10 ... 28 ms.
        for (begun, first, count) in [(0, 10, 7), (3, 10, 7), (5, 16, 5), (10, 31, 0)] {
            let waiting = schedule.waiting(1, begun);
            assert_eq!((waiting.first, waiting.count), (now + first * MS, count), "{begun}");
            assert!((waiting.gap_seconds - 0.003).abs() < 1e-12);
        }
    }

    #[test]
    fn rounding_adds_and_removes_no_message() {
        let now = Instant::now();
        for rate in [0.5, 3.0, 7.0, 1e3, 333_333.0, 1e8] {
            let mut schedule = Schedule::new(rate, 1, now);
            schedule.start(now, now);
            for n in [0, 1, 2, 3, 1_000, 999_999] {
                assert_eq!(schedule.due_before(schedule.due(n)), n, "{rate}");
                let after = schedule.due(n) + Duration::from_nanos(1);
                assert_eq!(schedule.due_before(after), n + 1, "{rate}");
            }
        }
    }
}
