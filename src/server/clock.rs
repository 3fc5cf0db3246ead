//! A clock that stands still while the server does.

use std::time::{Duration, Instant};

/// A turn that is this much later than its wait allowed was stopped, starved of the processor, or slow.
const LATE: Duration = Duration::from_millis(50);

/// A single piece of work that takes this long was stopped. A system call that only has much to do takes
/// far less.
const LATE_PIECE: Duration = Duration::from_secs(1);

/// How long turns are watched piece by piece after one that was late.
const WATCH: Duration = Duration::from_secs(10);

/// When a wait ends late, the server was stopped at some time in it, perhaps from its beginning. So not the
/// lateness alone is not counted, but this many times as much, up to all of the wait. A wait that is a little
/// late, as on a busy machine, still counts for the most part: timeouts must come to an end there too.
const DOUBT: u32 = 8;

/// A clock that stands still while the server does.
///
/// A server that was stopped (SIGSTOP, a frozen container, a debugger) finds, on waking, that every peer seems
/// to have been silent. But it is the server that did not listen, so that time is not held against them.
/// Work, on the other hand, is time that counts, however long it takes.
///
/// To tell one from the other, a turn that was late is ambiguous: it does not count, and those that follow are
/// [watched](Self::is_watching): the caller cuts them into pieces, with a look at the clock before each. Slow work
/// is then many short pieces, and a stop is a long one. So this needs no look at the clock but the one of
/// each turn while all is well.
#[derive(Debug)]
pub(super) struct ServedClock {
    /// The caller's clock when it was last looked at.
    real: Instant,
    /// How much that is ahead of this one.
    lost: Duration,
    /// How long it was to take until the next look, if there was a limit...
    allowed: Option<Duration>,
    /// ...and how much longer it may take.
    grace: Duration,
    /// When the last wait ended, by the caller's clock.
    woke: Instant,
    watch_until: Instant,
}

impl ServedClock {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            real: now,
            lost: Duration::ZERO,
            allowed: None,
            grace: LATE,
            woke: now,
            watch_until: now,
        }
    }

    /// The served time when the caller's clock says `now`.
    pub(super) fn served(&mut self, now: Instant) -> Instant {
        let elapsed = now - self.real;
        self.real = now;
        if let Some(allowed) = self.allowed
            && elapsed > allowed + self.grace
        {
            self.discount(elapsed, elapsed - allowed);
        }
        self.in_served(now)
    }

    #[cold]
    fn discount(&mut self, elapsed: Duration, late: Duration) {
        self.lost += elapsed.min(late * DOUBT);
        self.watch_until = self.real + WATCH;
    }

    /// The caller's clock when it was last looked at.
    pub(super) fn real(&self) -> Instant {
        self.real
    }

    /// A time by the caller's clock, as this clock has it at present.
    pub(super) fn in_served(&self, at: Instant) -> Instant {
        if self.lost.is_zero() { at } else { at - self.lost }
    }

    /// Whether turns must be cut into pieces: [`works`](Self::works) comes after each.
    pub(super) fn is_watching(&self) -> bool {
        self.real < self.watch_until
    }

    /// A piece of work was done, and the next look at the clock comes at once.
    pub(super) fn works(&mut self) {
        (self.allowed, self.grace) = (Some(Duration::ZERO), LATE_PIECE);
    }

    /// The server waits now, until `timer` in served time at the latest. Returns for how long.
    pub(super) fn waits(&mut self, timer: Option<Instant>) -> Option<Duration> {
        if self.is_watching() && self.real - self.woke > LATE {
            // Turns are still slow.
            self.watch_until = self.real + WATCH;
        }
        self.woke = self.real;
        let now = self.in_served(self.real);
        self.allowed = timer.map(|timer| timer.saturating_duration_since(now));
        self.grace = LATE;
        self.allowed
    }
}

#[cfg(test)]
mod tests;
