//! Times at which the client itself did not run. They count against no server.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// While a server owes something, no wait is longer than this. So the client knows the length of a standstill
/// to within this time.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// A turn that ends late by less than this shows a busy machine, and no standstill.
pub(super) const TOLERANCE: Duration = Duration::from_millis(100);

/// How long a client may wait for an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// Until an event comes.
    Never,
    /// For this long. No server owes anything meanwhile.
    Idle(Duration),
    /// For this long. A server owes something meanwhile, so a standstill must not count against it.
    Owed(Duration),
}

/// Finds out for how long the program stood still: a signal stopped it, a terminal took no output, or the
/// machine had no processor time to give.
///
/// A turn is the work since the last wait ended, and the next wait. It may take as long as its wait was planned to
/// take, and the processor time that its work used. What exceeds that is a standstill.
#[derive(Clone, Copy, Debug)]
pub struct Standstill {
    /// When this turn began.
    began: Instant,
    /// How much processor time the program had used by then.
    used: Duration,
    /// How long the wait of this turn may take, if it has a limit.
    planned: Option<Duration>,
}

impl Standstill {
    /// Begins the first turn. `used` is the [`processor_time`] at `now`.
    pub fn new(now: Instant, used: Duration) -> Self {
        Self { began: now, used, planned: None }
    }

    /// Plans the wait of this turn, and returns its timeout.
    pub fn plan(&mut self, timeout: Timeout) -> Option<Duration> {
        self.planned = match timeout {
            Timeout::Never => None,
            Timeout::Idle(left) => Some(left),
            Timeout::Owed(left) => Some(left.min(TICK)),
        };
        self.planned
    }

    /// Ends this turn, and begins the next one. Returns how long the program stood still: usually zero, and
    /// always zero after a wait without a limit. `used` is the [`processor_time`] at `now`.
    pub fn end(&mut self, now: Instant, used: Duration) -> Duration {
        let took = now.saturating_duration_since(self.began);
        let worked = used.saturating_sub(self.used);
        let allowed = self.planned.map_or(Duration::MAX, |planned| planned.saturating_add(worked));
        *self = Self::new(now, used);
        Some(took.saturating_sub(allowed)).filter(|late| *late >= TOLERANCE).unwrap_or_default()
    }
}

/// How much processor time the program has used.
pub fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// How long the program stood still in a turn of `took_ms`, with `worked_ms` of processor time.
    fn stood_still(timeout: Timeout, took_ms: u32, worked_ms: u32) -> Duration {
        let start = Instant::now();
        let mut standstill = Standstill::new(start, MS * 7);
        standstill.plan(timeout);
        standstill.end(start + MS * took_ms, MS * (7 + worked_ms))
    }

    #[test]
    fn a_turn_that_takes_much_longer_than_planned_is_a_standstill() {
        let owed = Timeout::Owed(MS * 50);
        assert_eq!(stood_still(owed, 20, 0), Duration::ZERO);
        assert_eq!(stood_still(owed, 149, 0), Duration::ZERO);
        assert_eq!(stood_still(owed, 3050, 0), MS * 3000);
        assert_eq!(stood_still(Timeout::Idle(MS * 700), 3700, 0), MS * 3000);
    }

    /// Failed when a turn of pure work was called a standstill.
    #[test]
    fn work_that_uses_the_processor_is_no_standstill() {
        let owed = Timeout::Owed(MS * 50);
        assert_eq!(stood_still(owed, 550, 500), Duration::ZERO);
        assert_eq!(stood_still(owed, 3550, 500), MS * 3000);
    }

    #[test]
    fn a_wait_without_a_limit_is_no_standstill() {
        assert_eq!(stood_still(Timeout::Never, 100_000, 0), Duration::ZERO);
    }

    #[test]
    fn a_wait_is_cut_into_ticks_only_while_something_is_owed() {
        let mut standstill = Standstill::new(Instant::now(), Duration::ZERO);
        assert_eq!(standstill.plan(Timeout::Owed(Duration::MAX)), Some(TICK));
        assert_eq!(standstill.plan(Timeout::Owed(MS)), Some(MS));
        assert_eq!(standstill.plan(Timeout::Idle(Duration::MAX)), Some(Duration::MAX));
        assert_eq!(standstill.plan(Timeout::Never), None);
    }

    #[test]
    fn each_turn_is_measured_from_the_end_of_the_one_before() {
        let start = Instant::now();
        let mut standstill = Standstill::new(start, Duration::ZERO);
        standstill.plan(Timeout::Owed(MS));
        assert_eq!(standstill.end(start + MS * 1001, Duration::ZERO), MS * 1000);
        standstill.plan(Timeout::Owed(MS));
        assert_eq!(standstill.end(start + MS * 1010, Duration::ZERO), Duration::ZERO);
    }
}
