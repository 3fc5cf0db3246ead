//! The turns of a bench's reactor: how long a step waits, and for what.

use std::time::{Duration, Instant};

use super::{Bench, PeerId, Slot};
use crate::reactor::Ready;
use crate::signals;

/// The longest wait for an event. A client that stands still itself blames the server for no more than this.
const TICK: Duration = Duration::from_millis(20);

/// Why the reactor stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::client::check) enum Waited {
    /// What was waited for is there.
    Done,
    /// Nothing has moved for the patience.
    Stalled,
    /// The case may take no longer.
    OutOfTime,
}

impl Bench<'_> {
    /// Runs until `is_done`. The patience is about what moves on `watched`.
    pub(in crate::client::check) fn run(
        &mut self,
        watched: &[PeerId],
        mut is_done: impl FnMut(&mut Self) -> bool,
    ) -> Waited {
        let (mut idle, mut progress) = (Duration::ZERO, self.progress(watched));
        loop {
            if is_done(self) {
                return Waited::Done;
            }
            if self.is_interrupted || Instant::now() >= self.deadline {
                self.is_out_of_time = true;
                return Waited::OutOfTime;
            }
            if idle >= self.patience {
                return Waited::Stalled;
            }
            let began = Instant::now();
            self.turn(TICK.min(self.patience - idle));
            let moved = self.progress(watched);
            idle = if moved == progress {
                idle + began.elapsed().min(2 * TICK)
            } else {
                Duration::ZERO
            };
            progress = moved;
        }
    }

    /// Does what can be done without waiting.
    pub(in crate::client::check) fn run_once(&mut self) {
        self.turn(Duration::ZERO);
    }

    /// Runs for this long, whatever happens.
    pub(in crate::client::check) fn run_for(&mut self, time: Duration) {
        self.run_until(Instant::now() + time, |_| false);
    }

    pub(super) fn run_until(&mut self, end: Instant, mut is_done: impl FnMut(&mut Self) -> bool) {
        while Instant::now() < end.min(self.deadline) && !self.is_interrupted && !is_done(self) {
            self.turn(TICK.min(end.saturating_duration_since(Instant::now())));
        }
    }

    fn progress(&mut self, watched: &[PeerId]) -> u64 {
        watched.iter().map(|id| self.peer(*id).progress).sum()
    }

    fn turn(&mut self, timeout: Duration) {
        if let Some(started) = &mut self.started {
            started.drain();
        }
        let mut ready = std::mem::take(&mut self.ready);
        if self.reactor.wait(Some(timeout), &mut ready).is_err() {
            self.is_interrupted = true;
        }
        for Ready { token, .. } in &ready {
            let has_more = match self.reactor.get_mut(*token) {
                Some(Slot::Peer(peer)) => peer.drive(&mut self.scratch, Instant::now()),
                Some(Slot::Letterbox(letterbox)) => {
                    letterbox.drive(&mut self.scratch);
                    false
                }
                Some(Slot::Signals(signals)) => {
                    self.is_interrupted |= signals.pending().any(signals::is_stop);
                    false
                }
                None => false,
            };
            if has_more {
                self.reactor.requeue(*token);
            }
        }
        self.ready = ready;
    }
}
