//! Which turns of the loop are timed, and how long those took.

use std::time::Duration;

use super::Server;
use crate::net::Listen;
use crate::observe::{At, Event, Observer};

/// One turn in this many is timed, so that the clock is read once in the others. A slow turn is timed too, once the turn
/// before it was late.
pub(super) const TURNS_PER_TIMED_TURN: u32 = 64;

impl<L: Listen, O: Observer> Server<L, O> {
    /// Counts a turn in which something is ready. Returns whether it is timed.
    pub(super) fn count_turn(&mut self) -> bool {
        if let Some(spin) = &mut self.spin {
            spin.end_wait(self.woke);
        }
        self.turn = self.turn.wrapping_add(1);
        self.turn.is_multiple_of(TURNS_PER_TIMED_TURN) || self.is_slow()
    }

    /// Whether the caller reports how long this turn took: see [`end_turn`](Self::end_turn).
    pub fn is_timed_turn(&self) -> bool {
        self.is_timed
    }

    /// A turn ended that took `time` since the end of its wait.
    #[cold]
    pub fn end_turn(&mut self, time: Duration) {
        self.shared.observer.observe(At::server(self.woke), Event::TurnTimed(time));
    }
}
