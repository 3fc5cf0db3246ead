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

/// While the server is stopping, a connection on which nothing moves for this long is at its end: no
/// more is on its way, even from the other side of the world.
const QUIET: Duration = Duration::from_millis(500);

/// Slots looked at in one turn. They take some 50 µs, when they are not in the cache.
const SLOTS_PER_TURN: usize = 4096;

/// Deadlines that lie close together are dealt with in one pass: this part of the shortest timeout...
const LATENESS: u32 = 16;
/// ...but at least this, which is as finely as epoll_wait(2) can wait...
const MIN_GAP: Duration = Duration::from_millis(1);
/// ...and at most this. No connection ends before its deadline, and none later than this after.
const MAX_GAP: Duration = Duration::from_secs(1);

/// A turn that starts this much later than its wait allowed shows that the server was stopped, or
/// starved of the processor, and not merely busy.
const OVERSLEPT: Duration = Duration::from_secs(1);

/// Knows each connection's deadline, and when to pass over the connections next.
#[derive(Debug)]
pub(super) struct Deadlines {
    idle: Option<Duration>,
    stall: Option<Duration>,
    is_draining: bool,
    /// When the last pass began, or the one under way.
    pass_began: Instant,
    /// The first slot that the pass under way has not looked at; 0 between passes.
    cursor: usize,
    /// The earliest deadline known to be still to come.
    earliest: Option<Instant>,
    /// Follows from the others, and is asked for every turn.
    due: Option<Instant>,
}

/// What happens at a deadline.
#[derive(Debug)]
pub(super) enum Expiry {
    /// It is closed.
    Close(Closed),
    /// It is asked to end, having been idle for too long.
    Idle,
    /// It is asked to end, as the server is stopping and the moment is good.
    Quiet,
}

impl Deadlines {
    pub(super) fn new(config: &Config, now: Instant) -> Self {
        let mut new = Self {
            idle: config.idle_timeout,
            stall: config.stall_timeout,
            is_draining: false,
            pass_began: now,
            cursor: 0,
            earliest: None,
            due: None,
        };
        new.schedule();
        new
    }

    /// From now on, connections are to end.
    pub(super) fn drain(&mut self, now: Instant) {
        self.is_draining = true;
        // Some may have been quiet for long.
        self.earliest = Some(now);
        self.schedule();
    }

    /// The deadline of a connection whose bytes last moved at `active`, and what is to happen then.
    pub(super) fn of(&self, echo: &Echo, active: Instant) -> Option<(Instant, Expiry)> {
        let (timeout, expiry) = if echo.held_bytes() > 0 {
            (self.stall?, Expiry::Close(Closed::Stalled))
        } else if echo.is_lingering() {
            (LINGER, Expiry::Close(Closed::Parted))
        } else if self.is_draining {
            (QUIET, Expiry::Quiet)
        } else {
            (self.idle?, Expiry::Idle)
        };
        Some((active + timeout, expiry))
    }

    /// Takes note of a deadline that a pass must not miss. That a connection is active again, and will
    /// be idle or quiet some time after, need not be noted.
    pub(super) fn note(&mut self, at: Instant) {
        if self.earliest.is_none_or(|earliest| at < earliest) {
            self.earliest = Some(at);
            self.schedule();
        }
    }

    /// When to call [`slice`](Self::slice) next, provided that there are connections.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due
    }

    /// The slots, of those below `bound`, to look at in this turn, if it is time for any. The caller
    /// [notes](Self::note) the deadlines it finds there that are still to come.
    pub(super) fn slice(&mut self, bound: usize, now: Instant) -> Option<Range<usize>> {
        if self.due? > now {
            return None;
        }
        if self.cursor == 0 {
            self.pass_began = now;
            self.earliest = None;
        }
        let slice = self.cursor..bound.min(self.cursor + SLOTS_PER_TURN);
        self.cursor = if slice.end < bound { slice.end } else { 0 };
        self.schedule();
        Some(slice)
    }

    /// Works out when the next slice is due.
    fn schedule(&mut self) {
        if self.cursor > 0 {
            self.due = Some(self.pass_began); // Which is past: the pass goes on in the next turn.
            return;
        }
        let silence = if self.is_draining { Some(QUIET) } else { self.idle };
        // Whoever has been active since the pass began is silent for too long after this at the earliest.
        let unknown = silence.map(|timeout| self.pass_began + timeout);
        let shortest = silence.into_iter().chain(self.stall).fold(LINGER, Duration::min);
        let gap = (shortest / LATENESS).clamp(MIN_GAP, MAX_GAP);
        let earliest = self.earliest.into_iter().chain(unknown).min();
        self.due = earliest.map(|at| at.max(self.pass_began + gap));
    }
}

/// A clock that stands still while the server does.
///
/// A server that was stopped (SIGSTOP, a suspended machine, a debugger) finds, on waking, that every
/// peer seems to have been silent. But it is the server that did not listen, so the time is not held
/// against them.
#[derive(Debug)]
pub(super) struct ServedClock {
    /// What it said last.
    now: Instant,
    /// When the wait that followed was to end at the latest, by this clock, if it was to end.
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
        let mut served = if self.lost.is_zero() { now } else { now - self.lost };
        if let Some(wake) = self.wake
            && served > wake + OVERSLEPT
        {
            self.lost += served - wake;
            served = wake;
        }
        self.now = served;
        served
    }

    /// How long to wait for something due at `timer` in served time.
    pub(super) fn patience(&mut self, timer: Option<Instant>) -> Option<Duration> {
        self.wake = timer.map(|timer| timer.max(self.now));
        self.wake.map(|wake| wake - self.now)
    }
}

#[cfg(test)]
mod tests;
