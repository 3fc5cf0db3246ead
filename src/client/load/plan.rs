//! Which messages there are to be, when each is due, and how large it is.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::{Length, Options};
use crate::client::random::{SEED, xorshift};

/// Decides about messages before they are sent.
#[derive(Debug)]
pub(super) struct Plan {
    length: Length,
    warmup: Duration,
    schedule: Option<Schedule>,
    sizes: Sizes,
    /// When messages begin to count, once all connections are there.
    start: Option<Instant>,
    /// When they cease to.
    end: Option<Instant>,
    /// Messages that count and are begun, or have fallen due.
    begun: u64,
    is_over: bool,
}

/// When each message of an open loop is due: evenly over all connections, whose turns come one after the
/// other.
#[derive(Clone, Copy, Debug)]
struct Schedule {
    connections: u64,
    gap_seconds: f64,
    first: Instant,
    /// The first message that is not due yet, over all connections.
    next: u64,
}

impl Plan {
    pub(super) fn new(options: &Options, now: Instant) -> Self {
        Self {
            length: options.length,
            warmup: options.warmup,
            schedule: options.rate.map(|rate| Schedule {
                connections: options.connections as u64,
                gap_seconds: 1.0 / rate,
                first: now,
                next: 0,
            }),
            sizes: Sizes::new(&options.sizes),
            start: None,
            end: None,
            begun: 0,
            is_over: false,
        }
    }

    /// All connections are there.
    pub(super) fn start(&mut self, now: Instant) {
        let start = now + self.warmup;
        self.start = Some(start);
        if let Length::Time(time) = self.length {
            self.end = Some(start + time);
        }
        if let Some(schedule) = &mut self.schedule {
            schedule.first = now;
        }
    }

    /// No more messages: those that are in flight are the last.
    pub(super) fn stop(&mut self, now: Instant) {
        self.is_over = true;
        self.end = Some(self.end.map_or(now, |end| end.min(now)));
    }

    pub(super) fn length(&self) -> Length {
        self.length
    }

    pub(super) fn is_open_loop(&self) -> bool {
        self.schedule.is_some()
    }

    pub(super) fn start_at(&self) -> Option<Instant> {
        self.start
    }

    pub(super) fn end_at(&self) -> Option<Instant> {
        self.end
    }

    /// Whether a message due at that time counts.
    pub(super) fn counts(&self, due: Instant) -> bool {
        self.start.is_some_and(|start| start <= due) && self.end.is_none_or(|end| due < end)
    }

    /// Whether an echo that is complete at `now` makes part of the rate: of a length of time all that come in it
    /// do; of a number of messages those.
    #[inline]
    pub(super) fn makes_rate(&self, due: Instant, now: Instant) -> bool {
        match self.length {
            Length::Time(_) => self.counts(now),
            Length::Messages(_) => self.counts(due) && self.counts(now),
        }
    }

    /// Whether there are to be no more messages.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let is_counted = match self.length {
            Length::Messages(n) => self.begun >= n,
            Length::Time(_) => false,
        };
        self.is_over || is_counted || self.end.is_some_and(|end| end <= now)
    }

    /// Takes part in a closed loop with another message now, if there is to be one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        if self.start.is_none() || self.is_over(now) {
            return false;
        }
        self.begun += u64::from(self.counts(now));
        true
    }

    /// The connection whose message of an open loop has fallen due by now, one after the other, and when it
    /// was due.
    pub(super) fn fall_due(&mut self, now: Instant) -> Option<(usize, Instant)> {
        let due = self.next_due().filter(|due| *due <= now)?;
        self.begun += u64::from(self.counts(due));
        let schedule = self.schedule.as_mut()?;
        schedule.next += 1;
        Some((((schedule.next - 1) % schedule.connections) as usize, due))
    }

    /// When the next message of an open loop falls due, if there is to be one.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let schedule = self.schedule.filter(|_| self.start.is_some())?;
        let due = schedule.due(schedule.next);
        (!self.is_over(due)).then_some(due)
    }

    /// When a connection's own message of that number is due, in an open loop.
    pub(super) fn due(&self, connection: usize, number: u64) -> Option<Instant> {
        let schedule = self.schedule?;
        Some(schedule.due(number * schedule.connections + connection as u64))
    }

    pub(super) fn size(&mut self) -> usize {
        self.sizes.next()
    }
}

impl Schedule {
    fn due(&self, message: u64) -> Instant {
        // From the first, so that no error adds up.
        self.first + Duration::from_secs_f64(message as f64 * self.gap_seconds)
    }
}

/// Sizes, each of the range as likely as the others.
#[derive(Debug)]
struct Sizes {
    least: usize,
    /// How many there are to choose from.
    choices: u64,
    state: u64,
}

impl Sizes {
    fn new(range: &RangeInclusive<usize>) -> Self {
        let choices = (range.end() - range.start()) as u64 + 1;
        Self { least: *range.start(), choices, state: SEED }
    }

    fn next(&mut self) -> usize {
        if self.choices == 1 {
            return self.least;
        }
        self.state = xorshift(self.state);
        self.least + (self.state % self.choices) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::options;
    use super::*;

    fn open_loop(rate: f64, connections: usize) -> Options {
        Options { rate: Some(rate), connections, length: Length::Messages(1000), ..options() }
    }

    #[test]
    fn messages_of_an_open_loop_are_due_one_after_the_other() {
        let now = Instant::now();
        let mut plan = Plan::new(&open_loop(1000.0, 3), now);
        assert_eq!(plan.fall_due(now), None, "before all connections are there");
        plan.start(now);
        let at = now + Duration::from_micros(4500);
        let turns = std::iter::from_fn(|| plan.fall_due(at));
        let ms = |ms| now + Duration::from_millis(ms);
        let due = [(0, ms(0)), (1, ms(1)), (2, ms(2)), (0, ms(3)), (1, ms(4))];
        assert_eq!(turns.collect::<Vec<_>>(), due);
        assert_eq!(plan.next_due(), Some(now + Duration::from_millis(5)));
        for (connection, number, ms) in [(0, 0, 0), (1, 0, 1), (0, 1, 3), (2, 5, 17)] {
            assert_eq!(plan.due(connection, number), Some(now + Duration::from_millis(ms)));
        }
    }

    #[test]
    fn only_what_is_due_between_warmup_and_end_counts() {
        let (now, s) = (Instant::now(), Duration::from_secs(1));
        let mut options = open_loop(1.0, 1);
        (options.warmup, options.length) = (s, Length::Time(2 * s));
        let mut plan = Plan::new(&options, now);
        plan.start(now);
        let counted: Vec<_> = (0..5).map(|i| plan.counts(now + i * s)).collect();
        assert_eq!(counted, [false, true, true, false, false]);
        let due: Vec<_> = std::iter::from_fn(|| plan.fall_due(now + 9 * s)).collect();
        assert_eq!((due.len(), plan.begun), (3, 2));
        assert!(plan.is_over(now + 3 * s) && !plan.is_over(now + 2 * s));
    }

    #[test]
    fn so_many_messages_are_begun_and_no_more() {
        let now = Instant::now();
        for rate in [None, Some(10.0)] {
            let options = Options { rate, length: Length::Messages(7), ..options() };
            let mut plan = Plan::new(&options, now);
            plan.start(now);
            let later = now + Duration::from_secs(60);
            let begun = match rate {
                None => (0..20).filter(|_| plan.take(later)).count(),
                Some(_) => std::iter::from_fn(|| plan.fall_due(later)).count(),
            };
            assert_eq!((begun, plan.is_over(later)), (7, true), "{rate:?}");
        }
    }

    #[test]
    fn sizes_are_of_the_range_and_all_of_it() {
        let mut sizes = Sizes::new(&(64..=67));
        let mut seen = [0; 4];
        (0..1000).for_each(|_| seen[sizes.next() - 64] += 1);
        assert!(seen.iter().all(|n| *n > 150), "{seen:?}");
        assert_eq!(Sizes::new(&(9..=9)).next(), 9);
    }
}
