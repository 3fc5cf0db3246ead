//! A clock that a test moves.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use super::super::clock::Clock;

/// The clock of a test. It stands still unless it is moved.
#[derive(Clone, Debug)]
pub(in crate::client::load) struct FakeClock {
    start: Instant,
    now: Rc<Cell<Duration>>,
    cpu: Rc<Cell<Duration>>,
}

impl FakeClock {
    pub(in crate::client::load) fn new() -> Self {
        Self { start: Instant::now(), now: Rc::default(), cpu: Rc::default() }
    }

    /// The time since the beginning of the test.
    pub(in crate::client::load) fn elapsed(&self) -> Duration {
        self.now.get()
    }

    /// Lets `time` pass, in which the program does not run.
    pub(in crate::client::load) fn pass(&self, time: Duration) {
        self.now.set(self.now.get() + time);
    }

    /// Lets the program work for `time`.
    pub(in crate::client::load) fn work(&self, time: Duration) {
        self.pass(time);
        self.cpu.set(self.cpu.get() + time);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Instant {
        self.start + self.elapsed()
    }

    fn cpu_time(&self) -> Duration {
        self.cpu.get()
    }

    fn time_of_day(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.elapsed()
    }
}
