//! The time, and what a server can have served of it.
//!
//! A server does not hold against its peers the time in which it was stopped. From outside, that time
//! is known within bounds only: how long the server meant to wait is its own affair.

use std::time::Duration;

/// A turn that is no later than this after the last has no time in it that was not served.
pub const SERVED_IN_FULL: Duration = Duration::from_secs(1);

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
    /// time if that is `None`.
    pub fn pass(&mut self, time: Duration, patience: Option<Duration>) {
        self.raw += time;
        let (least, most) = match patience {
            _ if time <= SERVED_IN_FULL => (time, time),
            Some(patience) if time > patience + SERVED_IN_FULL => (Duration::ZERO, patience),
            _ => (Duration::ZERO, time),
        };
        self.served.least += least;
        self.served.most += most;
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
