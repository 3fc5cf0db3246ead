//! Idle, stall and linger timeouts, enforced by periodic sweeps instead of timers.
//!
//! A connection carries one stamp: when its bytes last moved. Its deadline follows from the stamp and from what it waits
//! for. So an echo only writes the stamp, and moves no timer in a heap or a wheel. In return, the server regularly passes
//! over all connections, and finds those whose deadlines are over.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::config::Config;
use crate::conn::Echo;
use crate::observe::Expiry;

/// How long a peer may take to close after it was sent all of its echo and the server shut down writing.
const LINGER: Duration = Duration::from_secs(1);

/// While the server is stopping, it asks a connection to end if no byte moved on it for this long. By then, bytes have
/// arrived even from the other side of the world.
const QUIET: Duration = Duration::from_millis(500);

/// How long the header of a proxied connection may take from its first byte. Some proxies send it only with the first
/// bytes of the client, so it may begin late.
const HEADER: Duration = Duration::from_secs(5);

/// Slots looked at in one turn. That takes some 50 µs if they are not in the cache.
const SLOTS_PER_TURN: usize = 4096;

/// Deadlines that lie close together are handled in one pass. The gap between passes is this part of the shortest
/// timeout...
const LATENESS: u32 = 16;
/// ...but at least this, the resolution of epoll_wait(2)...
const MIN_GAP: Duration = Duration::from_millis(1);
/// ...and no more than this. So a connection ends at its deadline, or within this time after it.
const MAX_GAP: Duration = Duration::from_secs(1);

/// The kernel reports room only when there is much of it, so no event says that a peer takes a few bytes. The server looks
/// at a slow peer this often in the time in which it must take something.
const LOOKS: u32 = 4;

/// Derives each connection's deadline, and schedules the passes over all connections.
#[derive(Debug)]
pub(super) struct Deadlines {
    idle: Option<Duration>,
    stall: Option<Duration>,
    is_draining: bool,
    /// When the pass under way began, or the last one...
    pass_began: Instant,
    /// ...and the one before it.
    last_pass_began: Instant,
    /// The first slot that the pass under way has not looked at; 0 between passes.
    cursor: usize,
    /// The earliest noted deadline that is still to come.
    earliest: Option<Instant>,
    /// Derived from the others. Kept, since every turn asks for them.
    due: Option<Instant>,
    longest_wait: Duration,
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

    /// The server stops: from now on, quiet connections must end.
    pub(super) fn drain(&mut self, now: Instant) {
        self.is_draining = true;
        // Some may have been quiet already.
        self.earliest = Some(now);
        self.schedule();
    }

    /// When to look at a connection next, and for which timeout. Its bytes last moved at `last_active`, and if it
    /// lingers, its peer had `unacknowledged` bytes left at the last look.
    pub(super) fn of(
        &self,
        echo: &Echo,
        unacknowledged: u32,
        last_active: Instant,
    ) -> Option<(Instant, Expiry)> {
        self.after(self.last_pass_began, echo, unacknowledged, last_active)
    }

    /// When to look at a connection next after it was looked at until `time`.
    pub(super) fn after(
        &self,
        time: Instant,
        echo: &Echo,
        unacknowledged: u32,
        last_active: Instant,
    ) -> Option<(Instant, Expiry)> {
        Some(if echo.buffered_bytes() > 0 {
            (next_look(self.stall? / LOOKS, last_active, time), Expiry::Stalled)
        } else if echo.is_lingering() && unacknowledged > 0 {
            let interval = self.stall.map_or(LINGER, |stall| LINGER.min(stall / LOOKS));
            (next_look(interval, last_active, time), Expiry::Lingering)
        } else if echo.is_lingering() {
            (last_active + LINGER, Expiry::Lingering)
        } else {
            (last_active + self.silence()?, self.silence_expiry())
        })
    }

    /// How long a proxied connection may wait for its header, or for the rest of it if some of it has come. A server that
    /// stops waits for the rest too: its bytes are on their way.
    pub(super) fn header_wait(&self, has_begun: bool) -> Option<Duration> {
        if has_begun { Some(HEADER) } else { self.silence() }
    }

    /// What a connection is that was silent for too long.
    pub(super) fn silence_expiry(&self) -> Expiry {
        if self.is_draining { Expiry::Quiet } else { Expiry::Idle }
    }

    /// Whether the stall timeout of a peer that has taken nothing since `last_active` is over.
    pub(super) fn is_stalled(&self, last_active: Instant, now: Instant) -> bool {
        self.stall.is_some_and(|stall| last_active + stall <= now)
    }

    /// Makes sure that a pass comes soon after `at`. The idle and quiet deadlines of a connection that becomes active need
    /// no note: the passes allow for them.
    pub(super) fn note(&mut self, at: Instant) {
        if self.earliest.is_none_or(|earliest| at < earliest) {
            self.earliest = Some(at);
            self.schedule();
        }
    }

    /// When to call [`slice`](Self::slice) next if there are connections, or to look at the clock: a server that is
    /// suspended in a wait cannot tell since when, so waits are short beside the timeouts.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        self.due.map(|due| due.min(now + self.longest_wait))
    }

    /// The slots, of those below `bound`, to look at in this turn, or `None` if no pass is due. The caller
    /// [notes](Self::note) the deadlines that it finds there and that are still to come.
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

    /// How long a connection without pending bytes may be silent.
    fn silence(&self) -> Option<Duration> {
        if self.is_draining { Some(QUIET) } else { self.idle }
    }

    fn shortest(&self) -> Duration {
        self.silence().into_iter().chain(self.stall).min().unwrap_or(LINGER)
    }

    /// Derives when the next slice is due.
    fn schedule(&mut self) {
        self.longest_wait = (self.shortest() / LOOKS).max(MIN_GAP);
        if self.cursor > 0 {
            self.due = Some(self.pass_began); // In the past: the pass goes on in the next turn.
            return;
        }
        // A connection that was active since the pass began cannot expire before this.
        let unnoted = self.silence().map(|timeout| self.pass_began + timeout);
        let gap = (LINGER.min(self.shortest()) / LATENESS).clamp(MIN_GAP, MAX_GAP);
        let earliest = self.earliest.into_iter().chain(unnoted).min();
        self.due = earliest.map(|at| at.max(self.pass_began + gap));
    }
}

/// When to look, after `time`, at a peer that has taken nothing since `last_active`: once in each `interval`, however often
/// passes come.
fn next_look(interval: Duration, last_active: Instant, time: Instant) -> Instant {
    // Rounded up, so that the last interval does not end before the timeout does.
    let interval = interval + Duration::from_nanos(1);
    let elapsed = time.saturating_duration_since(last_active);
    let looks = elapsed.as_nanos() / interval.as_nanos() + 1;
    last_active + interval * u32::try_from(looks).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
