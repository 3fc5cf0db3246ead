//! How long a client waits for something to move.

use std::time::{Duration, Instant};

/// A time-out that starts anew whenever something moves: a slow peer is not a dead one.
#[derive(Debug)]
pub struct Patience {
    limit: Duration,
    since: Instant,
}

impl Patience {
    pub fn new(limit: Duration, now: Instant) -> Self {
        Self { limit, since: now }
    }

    pub fn renew(&mut self, now: Instant) {
        self.since = now;
    }

    /// The program stood still for this long, which counts against no server.
    pub fn discount(&mut self, standstill: Duration) {
        self.since += standstill;
    }

    /// How long to wait yet, or `None` when that is over.
    pub fn left(&self, now: Instant) -> Option<Duration> {
        // By subtraction: the instant at which the longest of limits ends cannot be written down.
        let waited = now.saturating_duration_since(self.since);
        self.limit.checked_sub(waited).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_out_at_its_limit_and_not_before() {
        let start = Instant::now();
        let mut patience = Patience::new(Duration::from_secs(10), start);
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(patience.left(after(4)), Some(Duration::from_secs(6)));
        assert_eq!(patience.left(after(10)), None);
        assert_eq!(patience.left(after(11)), None);
        patience.renew(after(11));
        assert_eq!(patience.left(after(20)), Some(Duration::from_secs(1)));
    }

    #[test]
    fn a_standstill_does_not_count() {
        let start = Instant::now();
        let mut patience = Patience::new(Duration::from_secs(10), start);
        patience.discount(Duration::from_secs(60));
        assert_eq!(patience.left(start + Duration::from_secs(64)), Some(Duration::from_secs(6)));
    }

    #[test]
    fn the_longest_limit_overflows_nothing() {
        let now = Instant::now();
        assert_eq!(Patience::new(Duration::MAX, now).left(now), Some(Duration::MAX));
    }
}
