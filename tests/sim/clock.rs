//! The time, and what a server can have served of it.
//!
//! A server does not hold against its peers the time in which it was stopped. From outside, that time
//! is known within bounds only: how long the server meant to wait is its own affair.

use std::time::Duration;

/// A turn that is no later than this after its wait was to end has no time in it that was not served.
const SERVED_IN_FULL: Duration = Duration::from_millis(50);

/// If it is later, so many times that are not served, up to all.
const DOUBT: u32 = 8;

/// A point in served time: between `least` and `most`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stamp {
    least: Duration,
    most: Duration,
}

#[derive(Debug, Default)]
pub struct Clock {
    /// As the wall has it, since the start.
    pub raw: Duration,
    /// As the server should have it.
    pub served: Stamp,
}

impl Clock {
    /// Lets time pass, at the beginning of which the server meant to wait `patience` at the most; any
    /// time if that is `None`. Returns whether some of it was certainly not served.
    pub fn pass(&mut self, time: Duration, patience: Option<Duration>) -> bool {
        self.raw += time;
        let late = patience.map_or(Duration::ZERO, |patience| time.saturating_sub(patience));
        let is_late = late > SERVED_IN_FULL;
        let least = if time <= SERVED_IN_FULL { time } else { Duration::ZERO };
        let most = if is_late { time.saturating_sub(late * DOUBT) } else { time };
        self.served.least += least;
        self.served.most += most;
        is_late
    }

    /// The server has served this long since then, or longer.
    pub fn at_least(&self, since: Stamp) -> Duration {
        self.served.least - since.least
    }

    /// The server has served this long since then, or less.
    pub fn at_most(&self, since: Stamp) -> Duration {
        self.served.most - since.most
    }
}
