//! Limits how often something is logged.

use std::time::{Duration, Instant};

/// Lets one warning through in each interval, and counts the others.
#[derive(Clone, Copy, Debug)]
pub(super) struct RateLimit {
    interval: Duration,
    last_warned: Option<Instant>,
    suppressed: u64,
}

impl RateLimit {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, last_warned: None, suppressed: 0 }
    }

    /// Asks to warn at `now`. If that is allowed, returns how many warnings were suppressed since the last one.
    pub(super) fn take_suppressed(&mut self, now: Instant) -> Option<u64> {
        if self.last_warned.is_some_and(|at| now.saturating_duration_since(at) < self.interval) {
            self.suppressed += 1;
            return None;
        }
        self.last_warned = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_let_through_and_then_one_in_each_interval_with_the_others_counted() {
        let start = Instant::now();
        let mut limit = RateLimit::new(Duration::from_secs(10));
        let mut warned = Vec::new();
        // Four a second for half a minute, and one much later.
        for quarter in (0..120).chain([2000]) {
            let now = start + quarter * Duration::from_millis(250);
            warned.extend(limit.take_suppressed(now).map(|n| (quarter, n)));
        }
        assert_eq!(warned, [(0, 0), (40, 39), (80, 39), (2000, 39)]);
    }
}
