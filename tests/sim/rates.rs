//! Rates: how much each source may have, on the simulated clock.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// A source that was quiet may have this much at once: a tenth of a second's worth...
const BURST_SECONDS: f64 = 0.1;
/// ...and at least this many, or a second's worth if that is less; and at least one.
const LEAST_BURST: f64 = 100.0;

/// The server takes whole nanoseconds for each, so it may give this part of one too much...
const SLACK: f64 = 0.01;
/// ...and nothing too little. This is for the rounding here.
const ROUNDING: f64 = 1e-9;

/// What each source has left of a rate, and since when. A source that is not there has its whole burst.
#[derive(Debug)]
pub struct Buckets<S>(HashMap<S, (f64, Duration)>);

impl<S> Default for Buckets<S> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<S: Copy + Eq + Hash> Buckets<S> {
    /// Takes one at `now`, at `rate` a second. Returns whether there was one.
    pub fn take(&mut self, source: S, rate: f64, now: Duration) -> bool {
        let left = self.left(source, rate, now) - 1.0;
        self.0.insert(source, (left, now));
        left >= -SLACK
    }

    /// Whether a source may be refused at `now`.
    pub fn is_empty(&self, source: S, rate: f64, now: Duration) -> bool {
        self.left(source, rate, now) < 1.0 - ROUNDING
    }

    /// Whether a source had nothing left when it last took one.
    pub fn was_empty(&self, source: S) -> bool {
        self.0.get(&source).is_some_and(|(left, _)| *left < 1.0)
    }

    fn left(&self, source: S, rate: f64, now: Duration) -> f64 {
        let burst = (rate * BURST_SECONDS).max(LEAST_BURST.min(rate)).max(1.0);
        let refilled = |(left, since): &(f64, Duration)| {
            (left + (now - *since).as_secs_f64() * rate).min(burst)
        };
        self.0.get(&source).map_or(burst, refilled)
    }
}
