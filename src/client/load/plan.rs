//! Which messages there are to be, when each is due, and how large it is.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::schedule::Schedule;
use super::{Length, Options};
use crate::client::rng::{SEED, xorshift};

/// Decides about messages before they are sent.
#[derive(Debug)]
pub(super) struct Plan {
    length: Length,
    warmup: Duration,
    /// None in a closed loop.
    schedule: Option<Schedule>,
    sizes: Sizes,
    /// When messages begin to count, once all connections are there.
    start: Option<Instant>,
    /// When they cease to.
    end: Option<Instant>,
    /// Messages of a closed loop that count and are begun.
    begun: u64,
    is_stopped: bool,
}

impl Plan {
    pub(super) fn new(options: &Options, now: Instant) -> Self {
        let schedule = |rate| Schedule::new(rate, options.connections, now);
        Self {
            length: options.length,
            warmup: options.warmup,
            schedule: options.rate.map(schedule),
            sizes: Sizes::new(&options.sizes),
            start: None,
            end: None,
            begun: 0,
            is_stopped: false,
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
            schedule.start(now, start);
            match self.length {
                Length::Time(time) => schedule.end_at(start + time),
                Length::Messages(n) => schedule.end_after(n),
            }
        }
    }

    /// No more messages: those that are in flight are the last.
    pub(super) fn stop(&mut self, now: Instant) {
        self.is_stopped = true;
        self.end = Some(self.end.map_or(now, |end| end.min(now)));
        self.schedule.iter_mut().for_each(|schedule| schedule.end_at(now));
    }

    pub(super) fn length(&self) -> Length {
        self.length
    }

    pub(super) fn is_open_loop(&self) -> bool {
        self.schedule.is_some()
    }

    pub(super) fn schedule(&self) -> Option<&Schedule> {
        self.schedule.as_ref()
    }

    pub(super) fn schedule_mut(&mut self) -> Option<&mut Schedule> {
        self.schedule.as_mut()
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
    pub(super) fn counts_for_rate(&self, due: Instant, now: Instant) -> bool {
        match self.length {
            Length::Time(_) => self.counts(now),
            Length::Messages(_) => self.counts(due) && self.counts(now),
        }
    }

    /// Whether there are to be no more messages.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let is_counted = match (self.length, &self.schedule) {
            (Length::Messages(_), Some(schedule)) => schedule.is_over(),
            (Length::Messages(n), None) => self.begun >= n,
            (Length::Time(_), _) => false,
        };
        self.is_stopped || is_counted || self.end.is_some_and(|end| end <= now)
    }

    /// Takes part in a closed loop with another message now, if there is to be one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        if self.start.is_none() || self.is_over(now) {
            return false;
        }
        self.begun += u64::from(self.counts(now));
        true
    }

    pub(super) fn size(&mut self) -> usize {
        self.sizes.next()
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
mod tests;
