//! How often something may happen.

use std::time::{Duration, Instant};

/// After a pause, this time's worth may happen at once...
const BURST: Duration = Duration::from_millis(100);
/// ...but at least as many as this, unless that is more than the rate allows in a second.
const LEAST_BURST: f64 = 100.0;

/// A rate, by which any number of token buckets are filled.
///
/// A bucket is only a number, as the generic cell rate algorithm keeps it (ITU-T I.371): the time at which it would be
/// full again says how many tokens it lacks. 0 is a full one.
#[derive(Debug)]
pub(super) struct Rate {
    /// Time is counted from here, in nanoseconds.
    start: Instant,
    /// How long a token takes to come, in nanoseconds.
    interval: u64,
    /// How much later than now a bucket may be full, in nanoseconds.
    tolerance: u64,
}

impl Rate {
    /// Allows `per_second`, which is more than 0.
    pub(super) fn new(per_second: f64, now: Instant) -> Self {
        let burst = (per_second * BURST.as_secs_f64()).max(LEAST_BURST.min(per_second)).max(1.0);
        let interval = 1e9 / per_second;
        Self { start: now, interval: interval as u64, tolerance: (interval * (burst - 1.0)) as u64 }
    }

    /// Takes a token from a bucket at `now`, if there is one.
    pub(super) fn take(&self, full_at: &mut u64, now: Instant) -> bool {
        let now = now.saturating_duration_since(self.start).as_nanos() as u64;
        let filled = (*full_at).max(now);
        let has_token = filled - now <= self.tolerance;
        if has_token {
            *full_at = filled + self.interval;
        }
        has_token
    }
}
