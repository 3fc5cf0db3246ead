//! The time: on the caller's clock, and as the server must count it.

use std::time::Duration;

/// A turn that comes this much later than its timeout still counts in full.
const GRACE: Duration = Duration::from_millis(50);

/// If it comes later than that, this many times the lateness does not count, up to the whole wait.
const DOUBT: u32 = 8;

#[derive(Debug, Default)]
pub struct Clock {
    /// On the caller's clock, since the start.
    pub raw: Duration,
    /// As `raw`, less the time in which the server may have been suspended.
    pub served: Duration,
}

impl Clock {
    /// Lets `time` pass while the server waits, with this timeout. Returns whether it may have been suspended.
    pub fn pass(&mut self, time: Duration, timeout: Option<Duration>) -> bool {
        let late = timeout.map_or(Duration::ZERO, |timeout| time.saturating_sub(timeout));
        let is_late = late > GRACE;
        let lost = if is_late { time.min(late * DOUBT) } else { Duration::ZERO };
        self.raw += time;
        self.served += time - lost;
        is_late
    }

    /// How long the server has served since `served`.
    pub fn since(&self, served: Duration) -> Duration {
        self.served - served
    }
}
