//! Times at which the client itself did not run, which count against no server.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// A wait for something that is owed is never planned to be longer than this, so that a standstill is known
/// as exactly.
const TICK: Duration = Duration::from_millis(100);

/// A wait that ends later than planned by less than this was no standstill, only a busy machine.
const TOLERANCE: Duration = Duration::from_millis(100);

/// Finds out for how long the program was stopped: by SIGSTOP, by a terminal that takes no output, or by a
/// machine without processor time to give.
#[derive(Clone, Copy, Debug)]
pub struct Standstill {
    /// When the wait ends at the latest.
    until: Instant,
    /// When the last wait ended...
    woke: Instant,
    /// ...and how much processor time the program had used by then.
    used: Duration,
}

impl Standstill {
    pub fn new(now: Instant) -> Self {
        Self { until: now, woke: now, used: processor_time() }
    }

    /// The work since the last wait is done. Returns for how long of that the program stood still: time in
    /// which it neither waited nor used a processor.
    pub fn worked(&mut self, now: Instant) -> Duration {
        let took = now.saturating_duration_since(self.woke);
        if took < TOLERANCE {
            return Duration::ZERO;
        }
        let idle = took.saturating_sub(processor_time().saturating_sub(self.used));
        if idle < TOLERANCE { Duration::ZERO } else { idle }
    }

    /// How long to wait at `now` for something that is owed, if there is something to do in `left`.
    pub fn plan(&mut self, left: Duration, now: Instant) -> Duration {
        self.plan_rest(left.min(TICK), now)
    }

    /// How long to wait at `now` if nothing is owed, and there is something to do in `left`.
    pub fn plan_rest(&mut self, left: Duration, now: Instant) -> Duration {
        self.until = now + left;
        left
    }

    /// The wait is over. Returns how long the program stood still; nothing, usually.
    pub fn end(&mut self, now: Instant) -> Duration {
        let late = now.saturating_duration_since(self.until);
        (self.until, self.woke, self.used) = (now, now, processor_time());
        if late < TOLERANCE { Duration::ZERO } else { late }
    }
}

/// How much processor time the program has used.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
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

    /// Failed when a client that was stopped just before it waited called its echo late.
    #[test]
    fn work_that_uses_no_processor_is_a_standstill() {
        let start = Instant::now();
        let mut standstill = Standstill::new(start);
        assert_eq!(standstill.worked(start + MS * 50), Duration::ZERO);
        // What this test itself takes is not in it.
        let stood_still = standstill.worked(start + MS * 3000);
        assert!(stood_still > MS * 2000 && stood_still <= MS * 3000, "{stood_still:?}");
        standstill.end(start + MS * 3000);
        assert_eq!(standstill.worked(start + MS * 3050), Duration::ZERO);
    }

    #[test]
    fn work_that_uses_the_processor_is_none() {
        let start = Instant::now();
        let mut standstill = Standstill::new(start);
        let before = processor_time();
        while processor_time() - before < TOLERANCE * 2 {}
        // As if nothing else had run meanwhile.
        assert_eq!(standstill.worked(start + TOLERANCE * 2), Duration::ZERO);
    }
}
