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
    /// When it is late to look at it again, if there was a limit...
    late_at: Option<Instant>,
    /// ...which was this much sooner.
    grace: Duration,
    /// Until when turns are watched.
    watch_until: Option<Instant>,
}

impl ServedClock {
    pub(super) fn new(now: Instant) -> Self {
        Self { real: now, lost: Duration::ZERO, late_at: None, grace: LATE, watch_until: None }
    }

    /// The served time when the caller's clock says `now`.
    #[inline(always)] // As little as possible comes to each turn.
    pub(super) fn served(&mut self, now: Instant) -> Instant {
        match self.late_at {
            Some(late_at) if now > late_at => self.discount(now, late_at),
            _ => self.real = now,
        }
        self.in_served(now)
    }

    #[cold]
    fn discount(&mut self, now: Instant, late_at: Instant) {
        let (elapsed, late) = (now - self.real, now - late_at + self.grace);
        self.lost += elapsed.min(late * DOUBT);
        self.real = now;
        self.watch_until = Some(now + WATCH);
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
        self.watch_until.is_some()
    }

    /// A piece of work was done, and the next look at the clock comes at once.
    pub(super) fn works(&mut self) {
        (self.late_at, self.grace) = (Some(self.real + LATE_PIECE), LATE_PIECE);
    }

    /// The server waits now, until `timer` in served time at the latest, having worked since `woke`. Returns for
    /// how long.
    #[inline(always)]
    pub(super) fn waits(&mut self, timer: Option<Instant>, woke: Instant) -> Option<Duration> {
        if let Some(until) = self.watch_until {
            self.watch_on(until, woke);
        }
        self.late_at = None;
        timer.map(|timer| self.wait_until(timer))
    }

    fn wait_until(&mut self, timer: Instant) -> Duration {
        let wait = timer.saturating_duration_since(self.in_served(self.real));
        (self.late_at, self.grace) = (Some(self.real + (wait + LATE)), LATE);
        wait
    }

    #[cold]
    fn watch_on(&mut self, until: Instant, woke: Instant) {
        if self.in_served(self.real) > woke + LATE {
            // Turns are still slow.
            self.watch_until = Some(self.real + WATCH);
        } else if until <= self.real {
            self.watch_until = None;
        }
    }
}

#[cfg(test)]
mod tests;
