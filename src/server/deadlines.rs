//! When a connection has had its time, and when to look.
//!
//! A connection carries one stamp, of when its bytes last moved. Its deadline follows from the stamp
//! and from what it is waiting for, so an echo costs the writing of the stamp and nothing else: no heap
//! or wheel to move it in. In return, passes over all connections find those whose time has come.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::limits::Config;
use crate::conn::Echo;

/// When it has been sent all of its echo, and the goodbye, a peer gets this long to say goodbye too.
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

/// Whether a peer takes bytes cannot be heard: the kernel tells of room only when there is much of it. So in
/// a time in which a peer must take something, it is looked at this often.
const LOOKS: u32 = 4;

/// Knows each connection's deadline, and when to pass over the connections next.
#[derive(Debug)]
pub(super) struct Deadlines {
    idle: Option<Duration>,
    stall: Option<Duration>,
    is_draining: bool,
    /// When the last pass began, or the one under way...
    pass_began: Instant,
    /// ...and the one before that.
    last_pass_began: Instant,
    /// The first slot that the pass under way has not looked at; 0 between passes.
    cursor: usize,
    /// The earliest deadline known to be still to come.
    earliest: Option<Instant>,
    /// These follow from the others, and are asked for every turn.
    due: Option<Instant>,
    longest_wait: Duration,
}

/// What happens at a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expiry {
    /// What is pending is written, if that is possible by now. It is closed as stalled if not for long.
    Stalled,
    /// It is closed if its peer has taken everything, or nothing for long.
    Parted,
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
            last_pass_began: now,
            cursor: 0,
            earliest: None,
            due: None,
            longest_wait: Duration::ZERO,
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

    /// When to look at a connection whose bytes last moved at `active`, and what to do then. `left` bytes were
    /// still on their way to its peer when it lingered and was last looked at.
    pub(super) fn of(&self, echo: &Echo, left: u32, active: Instant) -> Option<(Instant, Expiry)> {
        self.after(self.last_pass_began, echo, left, active)
    }

    /// The same for one that was looked at until `time`.
    pub(super) fn after(
        &self,
        time: Instant,
        echo: &Echo,
        left: u32,
        active: Instant,
    ) -> Option<(Instant, Expiry)> {
        Some(if echo.held_bytes() > 0 {
            (next_look(self.stall? / LOOKS, active, time), Expiry::Stalled)
        } else if echo.is_lingering() && left > 0 {
            let interval = self.stall.map_or(LINGER, |stall| LINGER.min(stall / LOOKS));
            (next_look(interval, active, time), Expiry::Parted)
        } else if echo.is_lingering() {
            (active + LINGER, Expiry::Parted)
        } else if self.is_draining {
            (active + QUIET, Expiry::Quiet)
        } else {
            (active + self.idle?, Expiry::Idle)
        })
    }

    /// Whether a peer that takes nothing since `active` has had its time.
    pub(super) fn is_stalled(&self, active: Instant, now: Instant) -> bool {
        self.stall.is_some_and(|stall| active + stall <= now)
    }

    /// Takes note of a deadline that a pass must not miss. That a connection is active again, and will
    /// be idle or quiet some time after, need not be noted.
    pub(super) fn note(&mut self, at: Instant) {
        if self.earliest.is_none_or(|earliest| at < earliest) {
            self.earliest = Some(at);
            self.schedule();
        }
    }

    /// When to call [`slice`](Self::slice) next, provided that there are connections, or to look at the clock:
    /// a server that is stopped in a wait cannot tell when, so waits are short beside the timeouts.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        self.due.map(|due| due.min(now + self.longest_wait))
    }

    /// The slots, of those below `bound`, to look at in this turn, if it is time for any. The caller
    /// [notes](Self::note) the deadlines it finds there that are still to come.
    pub(super) fn slice(&mut self, bound: usize, now: Instant) -> Option<Range<usize>> {
        if self.due? > now {
            return None;
        }
        if self.cursor == 0 {
            self.last_pass_began = self.pass_began;
            self.pass_began = now;
            self.earliest = None;
        }
        let slice = self.cursor..bound.min(self.cursor + SLOTS_PER_TURN);
        self.cursor = if slice.end < bound { slice.end } else { 0 };
        self.schedule();
        Some(slice)
    }

    /// How long a peer to whom nothing is owed may be silent.
    fn silence(&self) -> Option<Duration> {
        if self.is_draining { Some(QUIET) } else { self.idle }
    }

    /// The shortest timeout that peers can be blamed by.
    fn shortest(&self) -> Duration {
        self.silence().into_iter().chain(self.stall).min().unwrap_or(LINGER)
    }

    /// Works out when the next slice is due.
    fn schedule(&mut self) {
        self.longest_wait = (self.shortest() / LOOKS).max(MIN_GAP);
        if self.cursor > 0 {
            self.due = Some(self.pass_began); // Which is past: the pass goes on in the next turn.
            return;
        }
        let silence = self.silence();
        // Whoever has been active since the pass began is silent for too long after this at the earliest.
        let unknown = silence.map(|timeout| self.pass_began + timeout);
        let shortest = LINGER.min(self.shortest());
        let gap = (shortest / LATENESS).clamp(MIN_GAP, MAX_GAP);
        let earliest = self.earliest.into_iter().chain(unknown).min();
        self.due = earliest.map(|at| at.max(self.pass_began + gap));
    }
}

/// When a peer that takes nothing since `active` is looked at for the first time after `time`: once in each
/// `interval`, however often passes come.
fn next_look(interval: Duration, active: Instant, time: Instant) -> Instant {
    // Rounded up, so that the last is not over before the whole timeout is.
    let interval = interval + Duration::from_nanos(1);
    let looks = time.saturating_duration_since(active).as_nanos() / interval.as_nanos() + 1;
    active + interval * u32::try_from(looks).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
