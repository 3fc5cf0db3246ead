//! Times in which the client did not run. They count against no server.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::client::standstill::{TICK, TOLERANCE};

/// How many standstills are remembered. Each is long, so together they are longer than most timeouts.
const REMEMBERED: usize = 256;

/// Finds out when the client was stopped (SIGSTOP, a debugger), or got no processor.
#[derive(Debug)]
pub(super) struct Standstills {
    /// When the wait must end.
    wait_ends: Instant,
    /// When the current turn began.
    turn_began: Instant,
    /// When each standstill ended, and how long it was. The last one is the first.
    all: VecDeque<(Instant, Duration)>,
}

impl Standstills {
    pub(super) fn new(now: Instant) -> Self {
        Self { wait_ends: now, turn_began: now, all: VecDeque::new() }
    }

    /// How long to wait at `now`, if there is something to do after `left`.
    #[inline]
    pub(super) fn plan(&mut self, left: Duration, now: Instant) -> Duration {
        let left = left.min(TICK);
        self.wait_ends = now + left;
        left
    }

    /// The wait is over. Returns how long the client stood still, which is usually zero.
    #[inline]
    pub(super) fn after_wait(&mut self, now: Instant) -> Duration {
        self.turn_began = now;
        let late = now.saturating_duration_since(self.wait_ends);
        self.note(if late < TOLERANCE { Duration::ZERO } else { late }, now)
    }

    /// A turn took `took`. A short one is taken for work. For a long one, `worked` returns how much processor time the
    /// client used of it.
    #[inline]
    pub(super) fn after_turn(
        &mut self,
        took: Duration,
        worked: impl FnOnce() -> Duration,
        now: Instant,
    ) -> Duration {
        let idle = if took < TOLERANCE { Duration::ZERO } else { took.saturating_sub(worked()) };
        self.note(if idle < TOLERANCE { Duration::ZERO } else { idle }, now)
    }

    #[inline]
    fn note(&mut self, stood: Duration, now: Instant) -> Duration {
        if !stood.is_zero() {
            self.all.truncate(REMEMBERED - 1);
            self.all.push_front((now, stood));
        }
        stood
    }

    /// How long the client has stood still since `then`.
    pub(super) fn since(&self, then: Instant) -> Duration {
        self.all.iter().take_while(|(end, _)| *end > then).map(|(_, stood)| *stood).sum()
    }

    /// Whether more than `timeout` has passed since `then`, without the time that the client stood still.
    ///
    /// The current turn counts as a standstill: the client may have been stopped in the middle of it, between two reads.
    pub(super) fn is_overdue(&self, then: Instant, timeout: Duration, now: Instant) -> bool {
        let passed = now.saturating_duration_since(then);
        let turn = now.saturating_duration_since(self.turn_began.max(then));
        passed > timeout && passed.saturating_sub(self.since(then) + turn) > timeout
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    /// Simulates a wait of no time that ended `late`.
    fn wait(standstills: &mut Standstills, now: Instant, late: Duration) -> Duration {
        standstills.plan(Duration::ZERO, now);
        standstills.after_wait(now + late)
    }

    #[test]
    fn work_is_no_standstill() {
        let start = Instant::now();
        let mut standstills = Standstills::new(start);
        assert_eq!(standstills.after_turn(S, || S, start + S), Duration::ZERO);
        assert_eq!(standstills.after_turn(S, || S - TOLERANCE / 2, start + S), Duration::ZERO);
        let short = standstills.after_turn(TOLERANCE / 2, || unreachable!(), start);
        assert_eq!((short, standstills.since(start)), (Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn a_standstill_counts_only_for_what_began_before_it() {
        let start = Instant::now();
        let mut standstills = Standstills::new(start);
        assert_eq!(wait(&mut standstills, start + S, 3 * S), 3 * S);
        assert_eq!(standstills.after_turn(3 * S, || S, start + 9 * S), 2 * S);
        let since = [0, 3, 4, 8, 9].map(|s| standstills.since(start + s * S).as_secs());
        assert_eq!(since, [5, 5, 2, 2, 0]);
        wait(&mut standstills, start + 10 * S, Duration::ZERO);
        assert!(!standstills.is_overdue(start, 5 * S, start + 10 * S));
        wait(&mut standstills, start + 11 * S, Duration::ZERO);
        assert!(standstills.is_overdue(start, 5 * S, start + 11 * S));
        assert!(standstills.is_overdue(start + 9 * S, S, start + 11 * S));
    }

    /// Failed when a client was stopped between two reads of a turn, and called an echo late that it read after that.
    #[test]
    fn a_standstill_within_a_turn_counts_at_once() {
        let start = Instant::now();
        let mut standstills = Standstills::new(start);
        wait(&mut standstills, start + S, Duration::ZERO);
        assert!(!standstills.is_overdue(start, 2 * S, start + 9 * S));
        assert!(standstills.is_overdue(start, S / 2, start + 9 * S));
        // A message that was sent in this turn.
        assert!(!standstills.is_overdue(start + 2 * S, S, start + 9 * S));
    }

    #[test]
    fn the_number_of_standstills_that_are_remembered_is_limited() {
        let start = Instant::now();
        let mut standstills = Standstills::new(start);
        (0..2 * REMEMBERED as u32)
            .for_each(|n| assert_eq!(wait(&mut standstills, start + n * S, S), S));
        assert_eq!(standstills.since(start), S * REMEMBERED as u32);
    }
}
