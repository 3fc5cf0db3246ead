//! A clock that stands still while the server is suspended.

use std::time::{Duration, Instant};

/// A turn that comes this much later than its wait allowed was suspended, starved of the processor, or slow.
const LATE: Duration = Duration::from_millis(50);

/// A single piece of work that takes this long was suspended: system calls take far less.
const LATE_PIECE: Duration = Duration::from_secs(1);

/// How long turns are watched after one that was late.
const WATCH: Duration = Duration::from_secs(10);

/// A wait that ends late was suspended at an unknown moment, perhaps from its beginning. So this many times the
/// lateness does not count, up to all of the wait. A wait that is a little late, as on a busy machine, still counts for
/// the most part: timeouts must expire there too.
const DOUBT: u32 = 8;

/// A clock that stands still while the server is suspended.
///
/// A server that was suspended (SIGSTOP, a frozen container, a debugger) finds that every peer seems to have been
/// silent. But the server did not listen, so that time does not count against them. Time spent working does count,
/// however long the work takes.
///
/// A single look at the clock cannot tell the two apart. So a turn that was late does not count, and the turns after it
/// are [watched](Self::is_watching): the server looks at the clock after each piece of work. Slow work then is many short
/// pieces, and a suspension is a long one. While all is well, one look in each turn is enough.
#[derive(Debug)]
pub(super) struct ServedClock {
    /// The caller's clock when it was last looked at.
    real: Instant,
    /// How much that is ahead of this one.
    suspended: Duration,
    /// The caller's clock is late if it then shows more than this...
    late_at: Option<Instant>,
    /// ...which includes this much grace.
    grace: Duration,
    /// Turns are watched until then.
    watch_until: Option<Instant>,
}

impl ServedClock {
    pub(super) fn new(now: Instant) -> Self {
        Self { real: now, suspended: Duration::ZERO, late_at: None, grace: LATE, watch_until: None }
    }

    /// The caller's clock shows `real`. Returns the served time.
    pub(super) fn advance(&mut self, real: Instant) -> Instant {
        match self.late_at {
            Some(late_at) if real > late_at => self.discount(real, late_at),
            _ => self.real = real,
        }
        if self.is_watching() {
            (self.late_at, self.grace) = (Some(real + LATE_PIECE), LATE_PIECE);
        }
        self.now()
    }

    #[cold]
    fn discount(&mut self, real: Instant, late_at: Instant) {
        let (elapsed, late) = (real - self.real, real - late_at + self.grace);
        self.suspended += elapsed.min(late * DOUBT);
        self.real = real;
        self.watch_until = Some(real + WATCH);
    }

    /// The caller's clock when it was last looked at.
    pub(super) fn real(&self) -> Instant {
        self.real
    }

    /// The served time when the caller's clock was last looked at.
    pub(super) fn now(&self) -> Instant {
        self.in_served(self.real)
    }

    /// A time on the caller's clock, as this clock has it at present.
    pub(super) fn in_served(&self, real: Instant) -> Instant {
        if self.suspended.is_zero() { real } else { real - self.suspended }
    }

    /// Whether the next look at the clock must come after a single piece of work.
    pub(super) fn is_watching(&self) -> bool {
        self.watch_until.is_some()
    }

    /// A wait begins that ends at `deadline`, in served time, if not before. The server worked since `woke`. Returns
    /// how long the wait may take.
    pub(super) fn begin_wait(
        &mut self,
        deadline: Option<Instant>,
        woke: Instant,
    ) -> Option<Duration> {
        if let Some(until) = self.watch_until {
            self.watch_on(until, woke);
        }
        self.late_at = None;
        let wait = deadline?.saturating_duration_since(self.now());
        (self.late_at, self.grace) = (Some(self.real + (wait + LATE)), LATE);
        Some(wait)
    }

    #[cold]
    fn watch_on(&mut self, until: Instant, woke: Instant) {
        if self.now() > woke + LATE {
            // Turns are still slow.
            self.watch_until = Some(self.real + WATCH);
        } else if until <= self.real {
            self.watch_until = None;
        }
    }
}

#[cfg(test)]
mod tests;
