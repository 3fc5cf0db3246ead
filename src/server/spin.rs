//! Spinning: polling instead of sleeping, while that pays.
//!
//! To fall asleep and be woken costs more than to ask a few times. So if the next event comes soon, a server that polls
//! for it answers sooner and takes less processor time. If it does not come soon, all polling is wasted. So the server
//! polls only if the last events came close together, and after a spin that found nothing it sleeps for a while as if it
//! could not spin.

use std::time::{Duration, Instant};

/// Polling can pay if the next event comes within this many times the length of a spin. It need not come within one: a
/// sleep takes longer than a poll to notice an event.
const CLOSE_SPINS: u32 = 2;

/// The most sleeps after a spin that found nothing. The wasted time is then a small part of all, and the server still
/// notices soon if spinning pays again.
const MAX_PENALTY: u32 = 64;

/// Decides before each wait whether to sleep or to poll.
#[derive(Debug)]
pub(super) struct Spin {
    /// How long to poll after an event.
    time: Duration,
    /// When something was last ready.
    last_event: Instant,
    is_spinning: bool,
    /// Sleeps until the server may spin again.
    sleeps_left: u32,
    /// How many sleeps follow the next spin that finds nothing. It doubles with each in a row.
    penalty: u32,
}

impl Spin {
    pub(super) fn new(time: Duration, now: Instant) -> Self {
        Self { time, last_event: now, is_spinning: false, sleeps_left: 0, penalty: 1 }
    }

    /// Whether the server polls at present.
    pub(super) fn is_spinning(&self) -> bool {
        self.is_spinning
    }

    /// A wait is about to begin at `now`. Returns whether the server polls instead of sleeping.
    pub(super) fn begin_wait(&mut self, now: Instant) -> bool {
        if self.is_spinning && now >= self.last_event + self.time {
            self.is_spinning = false;
            self.sleeps_left = self.penalty;
            self.penalty = (self.penalty * 2).min(MAX_PENALTY);
        }
        self.is_spinning
    }

    /// A wait ended at `now` with an event.
    pub(super) fn end_wait(&mut self, now: Instant) {
        let is_close = now <= self.last_event + self.time * CLOSE_SPINS;
        self.last_event = now;
        if self.is_spinning {
            self.penalty = 1;
        } else if self.sleeps_left > 0 {
            self.sleeps_left -= 1;
        } else {
            self.is_spinning = is_close;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_micros(50);
    const INSTANT: Duration = Duration::from_nanos(1);

    /// Events that come `gap` apart. Returns for each whether the server polled until it came, or fell asleep.
    fn polled(spin: &mut Spin, gap: Duration, events: usize) -> Vec<bool> {
        let mut polled = Vec::new();
        for _ in 0..events {
            let at = spin.last_event + gap;
            let still_polls = spin.begin_wait(at - INSTANT);
            polled.push(still_polls);
            spin.end_wait(at);
        }
        polled
    }

    fn spin() -> Spin {
        Spin::new(TIME, Instant::now())
    }

    #[test]
    fn it_spins_once_an_event_comes_within_twice_the_time_and_as_long_as_polling_finds_the_next() {
        let mut spin = spin();
        assert_eq!(polled(&mut spin, TIME * 2 + INSTANT, 3), [false; 3], "too far apart");
        assert_eq!(polled(&mut spin, TIME * 2, 1), [false], "the sleep that shows that it may pay");
        assert_eq!(polled(&mut spin, TIME, 100), [true; 100]);
    }

    #[test]
    fn a_spin_ends_when_its_time_is_over() {
        let mut spin = spin();
        polled(&mut spin, TIME, 1);
        let last = spin.last_event;
        assert!(spin.begin_wait(last) && spin.begin_wait(last + TIME - INSTANT));
        assert!(!spin.begin_wait(last + TIME) && !spin.is_spinning());
    }

    /// Events that are close enough to try and too far apart to find.
    #[test]
    fn each_spin_in_a_row_that_finds_nothing_is_followed_by_twice_as_many_sleeps() {
        let mut spin = spin();
        let mut spins = Vec::new();
        for event in 0..400 {
            let at = spin.last_event + TIME + TIME / 2;
            let began = spin.begin_wait(spin.last_event);
            assert!(!spin.begin_wait(at), "it fell asleep before the event");
            spins.extend(began.then_some(event));
            spin.end_wait(at);
        }
        let sleeps: Vec<_> = spins.windows(2).map(|pair| pair[1] - pair[0] - 1).collect();
        assert_eq!(sleeps, [1, 2, 4, 8, 16, 32, 64, 64, 64, 64, 64]);
    }

    #[test]
    fn a_spin_that_finds_something_ends_the_row() {
        let mut spin = spin();
        polled(&mut spin, TIME, 1);
        for _ in 0..3 {
            let last = spin.last_event;
            assert!(spin.begin_wait(last) && !spin.begin_wait(last + TIME));
            let sleeps = spin.sleeps_left as usize + 1;
            assert_eq!(polled(&mut spin, TIME, sleeps), vec![false; sleeps]);
        }
        assert_eq!(spin.penalty, 8);
        assert_eq!(polled(&mut spin, TIME, 1), [true]);
        assert_eq!(spin.penalty, 1);
    }

    #[test]
    fn a_message_each_millisecond_is_never_spun_for() {
        assert_eq!(polled(&mut spin(), Duration::from_millis(1), 100), [false; 100]);
    }
}
