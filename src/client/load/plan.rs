//! Which messages a run sends, when each is due, and how large it is.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::schedule::Schedule;
use super::{Length, Options};
use crate::client::rng::{SEED, xorshift};

/// Decides which messages to send, and which of them count.
#[derive(Debug)]
pub(super) struct Plan {
    length: Length,
    warmup: Duration,
    /// `None` in a closed loop.
    schedule: Option<Schedule>,
    sizes: Sizes,
    /// From when on messages count: known when all connections are open.
    start: Option<Instant>,
    /// From when on messages do not count any more.
    end: Option<Instant>,
    /// In a closed loop, how many messages that count were begun.
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

    /// All connections are open.
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

    /// Ends the run early: no message begins after this.
    pub(super) fn stop(&mut self, now: Instant) {
        self.is_stopped = true;
        self.end = Some(self.end.map_or(now, |end| end.min(now)));
        self.schedule.iter_mut().for_each(|schedule| schedule.stop_at(now));
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

    /// Whether a message that is due at `due` counts.
    pub(super) fn counts(&self, due: Instant) -> bool {
        self.start.is_some_and(|start| start <= due) && self.end.is_none_or(|end| due < end)
    }

    /// Whether an echo that is complete at `now` counts for the rate.
    ///
    /// If the measured part is a length of time, every echo counts that comes in it. If it is a number of messages, only
    /// their echoes count.
    #[inline]
    pub(super) fn counts_for_rate(&self, due: Instant, now: Instant) -> bool {
        match self.length {
            Length::Time(_) => self.counts(now),
            Length::Messages(_) => self.counts(due) && self.counts(now),
        }
    }

    /// Whether no more messages begin.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let is_counted = match (self.length, &self.schedule) {
            (Length::Messages(_), Some(schedule)) => schedule.is_over(),
            (Length::Messages(n), None) => self.begun >= n,
            (Length::Time(_), _) => false,
        };
        self.is_stopped || is_counted || self.end.is_some_and(|end| end <= now)
    }

    /// Takes the next message of a closed loop, which is due now. Returns whether there is one.
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

/// Random sizes from a range, each as likely as the others.
#[derive(Debug)]
struct Sizes {
    least: usize,
    /// The number of sizes to choose from.
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
