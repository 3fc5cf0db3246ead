//! The clocks that a run reads. A test replaces all of them with one that it moves itself.

use std::time::{Duration, Instant, SystemTime};

use crate::client::standstill::processor_time;

/// Tells the time.
///
/// The loop reads the clock once before and once after each wait, and passes that on as `now`. What needs its own time,
/// such as an echo among the thousand of one turn, gets the clock itself.
pub(super) trait Clock {
    /// The time that everything is measured with: it never goes back.
    fn now(&self) -> Instant;

    /// The processor time that this process has used so far.
    fn cpu_time(&self) -> Duration;

    /// The time of day, for reports.
    fn time_of_day(&self) -> SystemTime;
}

/// The clocks of the system.
#[derive(Clone, Copy, Debug)]
pub(super) struct SystemClock;

impl Clock for SystemClock {
    #[inline]
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn cpu_time(&self) -> Duration {
        processor_time()
    }

    fn time_of_day(&self) -> SystemTime {
        SystemTime::now()
    }
}
