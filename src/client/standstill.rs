//! Times at which the client itself did not run, which count against no server.

use std::time::{Duration, Instant};

/// A wait is never planned to be longer than this, so that a standstill is known as exactly.
const TICK: Duration = Duration::from_millis(100);

/// A wait that ends later than planned by less than this was no standstill, only a busy machine.
const TOLERANCE: Duration = Duration::from_millis(100);

/// Finds out for how long the program was stopped: by SIGSTOP, by a terminal that takes no output, or by a
/// machine without processor time to give.
#[derive(Clone, Copy, Debug)]
pub struct Standstill {
    /// When the wait ends at the latest.
    until: Instant,
}

impl Standstill {
    pub fn new(now: Instant) -> Self {
        Self { until: now }
    }

    /// How long to wait at `now` if there is something to do in `left`: no longer than that.
    pub fn plan(&mut self, left: Duration, now: Instant) -> Duration {
        let left = left.min(TICK);
        self.until = now + left;
        left
    }

    /// The wait is over. Returns how long the program stood still; nothing, usually.
    pub fn end(&mut self, now: Instant) -> Duration {
        let late = now.saturating_duration_since(self.until);
        self.until = now;
        if late < TOLERANCE { Duration::ZERO } else { late }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn only_what_exceeds_the_wait_by_much_is_a_standstill() {
        let start = Instant::now();
        let mut standstill = Standstill::new(start);
        assert_eq!(standstill.plan(MS * 50, start), MS * 50);
        assert_eq!(standstill.end(start + MS * 20), Duration::ZERO);
        assert_eq!(standstill.plan(Duration::MAX, start), TICK);
        assert_eq!(standstill.end(start + TICK + TOLERANCE - MS), Duration::ZERO);
        standstill.plan(MS * 50, start);
        assert_eq!(standstill.end(start + MS * 3050), MS * 3000);
    }
}
