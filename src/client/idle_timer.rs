//! A timeout that progress renews.

use std::time::{Duration, Instant};

/// Expires if nothing moves for `limit`. A slow peer is not a dead one, so each byte that moves
/// [renews](Self::renew) it.
#[derive(Debug)]
pub struct IdleTimer {
    limit: Duration,
    /// When something moved last.
    since: Instant,
}

impl IdleTimer {
    pub fn new(limit: Duration, now: Instant) -> Self {
        Self { limit, since: now }
    }

    /// Starts the timeout anew, because something moved.
    pub fn renew(&mut self, now: Instant) {
        self.since = now;
    }

    /// Leaves out a time in which this program did not run. It counts against no peer.
    pub fn discount(&mut self, standstill: Duration) {
        self.since += standstill;
    }

    /// The time until it expires: zero if it has expired.
    pub fn left(&self, now: Instant) -> Duration {
        // This subtracts durations, because `since + limit` can be later than the last instant.
        self.limit.saturating_sub(now.saturating_duration_since(self.since))
    }

    pub fn has_expired(&self, now: Instant) -> bool {
        self.left(now).is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn it_expires_at_its_limit_and_not_before_and_starts_anew_if_renewed() {
        let start = Instant::now();
        let mut timer = IdleTimer::new(LIMIT, start);
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(timer.left(after(4)), Duration::from_secs(6));
        assert!(!timer.has_expired(after(9)));
        assert!(timer.has_expired(after(10)) && timer.has_expired(after(11)));
        timer.renew(after(11));
        assert_eq!(timer.left(after(20)), Duration::from_secs(1));
    }

    #[test]
    fn a_standstill_does_not_count() {
        let start = Instant::now();
        let mut timer = IdleTimer::new(LIMIT, start);
        timer.discount(Duration::from_secs(60));
        assert_eq!(timer.left(start + Duration::from_secs(64)), Duration::from_secs(6));
    }

    #[test]
    fn the_longest_limit_does_not_overflow() {
        let now = Instant::now();
        assert_eq!(IdleTimer::new(Duration::MAX, now).left(now), Duration::MAX);
    }
}
