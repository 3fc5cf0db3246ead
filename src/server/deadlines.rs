//! When a connection has had its time, and when to look.
//!
//! A connection carries one stamp, of when its bytes last moved. Its deadline follows from the stamp
//! and from what it is waiting for, so an echo costs the writing of the stamp and nothing else: no heap
//! or wheel to move it in. In return, passes over all connections find those whose time has come.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::limits::Config;
use crate::conn::Echo;
use crate::observe::Closed;

/// After the goodbye, a peer gets this long to take the rest of its echo and say goodbye too.
const LINGER: Duration = Duration::from_secs(1);

/// Slots looked at in one turn. They take some 50 µs, when they are not in the cache.
const SLOTS_PER_TURN: usize = 4096;

/// Deadlines that lie close together are dealt with in one pass: this part of the shortest timeout...
const LATENESS: u32 = 16;
/// ...but at least this, which is as finely as epoll_wait(2) can wait...
const MIN_GAP: Duration = Duration::from_millis(1);
/// ...and at most this. No connection is closed before its deadline, and none later than this after.
const MAX_GAP: Duration = Duration::from_secs(1);

/// A turn that starts this much later than its wait allowed shows that the server was stopped, or
/// starved of the processor, and not merely busy.
const OVERSLEPT: Duration = Duration::from_secs(1);

/// Knows each connection's deadline, and when to pass over the connections next.
#[derive(Debug)]
pub(super) struct Deadlines {
    idle: Option<Duration>,
    stall: Option<Duration>,
    linger: Option<Duration>,
    /// When the last pass began, or the one under way.
    pass_began: Instant,
    /// The first slot that the pass under way has not looked at; 0 between passes.
    cursor: usize,
    /// The earliest deadline known to be still to come.
    earliest: Option<Instant>,
}

impl Deadlines {
    pub(super) fn new(config: &Config, now: Instant) -> Self {
        Self {
            idle: config.idle_timeout,
            stall: config.stall_timeout,
            linger: config.once.then_some(LINGER),
            pass_began: now,
            cursor: 0,
            earliest: None,
        }
    }

    /// From now on, any connection may come to linger.
    pub(super) fn allow_lingering(&mut self) {
        self.linger = Some(LINGER);
    }

    /// The deadline of a connection whose bytes last moved at `active`, and what it is then closed for.
    pub(super) fn of(&self, echo: &Echo, active: Instant) -> Option<(Instant, Closed)> {
        let (timeout, why) = if echo.held_bytes() > 0 {
            (self.stall, Closed::Stalled)
        } else if echo.is_lingering() {
            (self.linger, Closed::Parted)
        } else {
            (self.idle, Closed::Idle)
        };
        timeout.map(|timeout| (active + timeout, why))
    }

    /// Takes note of a deadline that a pass must not miss.
    pub(super) fn note(&mut self, at: Instant) {
        self.earliest = Some(self.earliest.map_or(at, |earliest| earliest.min(at)));
    }

    /// When to call [`slice`](Self::slice) next, provided that there are connections.
    pub(super) fn next(&self) -> Option<Instant> {
        if self.cursor > 0 {
            return Some(self.pass_began);
        }
        let shortest = [self.idle, self.stall, self.linger].into_iter().flatten().min()?;
        // Whatever came after the pass began has a deadline after this.
        let unknown = self.pass_began + shortest;
        let known = self.earliest.unwrap_or(unknown);
        let gap = (shortest / LATENESS).clamp(MIN_GAP, MAX_GAP);
        Some(known.min(unknown).max(self.pass_began + gap))
    }

    /// The slots, of those below `bound`, to look at in this turn, if it is time for any. The caller
    /// [notes](Self::note) the deadlines it finds there that are still to come.
    pub(super) fn slice(&mut self, bound: usize, now: Instant) -> Option<Range<usize>> {
        if self.next()? > now {
            return None;
        }
        if self.cursor == 0 {
            self.pass_began = now;
            self.earliest = None;
        }
        let slice = self.cursor..bound.min(self.cursor + SLOTS_PER_TURN);
        self.cursor = if slice.end < bound { slice.end } else { 0 };
        Some(slice)
    }
}

/// A clock that stands still while the server does.
///
/// A server that was stopped (SIGSTOP, a suspended machine, a debugger) finds, on waking, that every
/// peer seems to have been silent. But it is the server that did not listen, so the time is not held
/// against them.
#[derive(Debug)]
pub(super) struct ServedClock {
    /// What the caller's clock said last.
    now: Instant,
    /// When the wait that follows is over at the latest.
    wake: Option<Instant>,
    /// How much the caller's clock is ahead of this one.
    lost: Duration,
}

impl ServedClock {
    pub(super) fn new(now: Instant) -> Self {
        Self { now, wake: None, lost: Duration::ZERO }
    }

    /// The served time when the caller's clock says `now`.
    pub(super) fn served(&mut self, now: Instant) -> Instant {
        if let Some(wake) = self.wake
            && now > wake + OVERSLEPT
        {
            self.lost += now - wake;
        }
        self.now = now;
        now - self.lost
    }

    /// How long to wait for something due at `timer` in served time.
    pub(super) fn patience(&mut self, timer: Option<Instant>) -> Option<Duration> {
        let patience = timer.map(|timer| (timer + self.lost).saturating_duration_since(self.now));
        self.wake = patience.map(|patience| self.now + patience);
        patience
    }
}

#[cfg(test)]
mod tests;
