//! An alarm that a reactor watches. A wait with a timeout is exact to a millisecond only: epoll_wait(2).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};

/// Makes an event at the time that it is set to: timerfd_create(2).
#[derive(Debug)]
pub struct Alarm {
    timer: OwnedFd,
    at: Option<Instant>,
    /// The same time on both clocks. The timer takes absolute times, so it is exact even if the caller's `now` is old.
    zero: (Instant, Duration),
}

impl Alarm {
    /// One that is not set.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let system = Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default();
        Ok(Self { timer, at: None, zero: (Instant::now(), system) })
    }

    /// Sets it to go off at `at`, and at no other time. No caller reads the timer: each setting makes the next event
    /// an edge again.
    pub fn set(&mut self, at: Instant) -> io::Result<()> {
        if self.at == Some(at) {
            return Ok(());
        }
        self.at = Some(at);
        let (zero, system) = self.zero;
        let at = system + at.saturating_duration_since(zero);
        let once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let at = Timespec { tv_sec: at.as_secs() as _, tv_nsec: at.subsec_nanos() as _ };
        let setting = Itimerspec { it_interval: once, it_value: at };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &setting)?;
        Ok(())
    }
}

impl Source for Alarm {
    fn register(&mut self, r: &Registry, t: Token, i: Interest) -> io::Result<()> {
        SourceFd(&self.timer.as_raw_fd()).register(r, t, i)
    }

    fn reregister(&mut self, r: &Registry, t: Token, i: Interest) -> io::Result<()> {
        SourceFd(&self.timer.as_raw_fd()).reregister(r, t, i)
    }

    fn deregister(&mut self, r: &Registry) -> io::Result<()> {
        SourceFd(&self.timer.as_raw_fd()).deregister(r)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::Reactor;

    /// Much longer than any wait that an alarm ends.
    const LONG: Duration = Duration::from_secs(10);

    fn wait(reactor: &mut Reactor<Alarm>, timeout: Duration) -> usize {
        let mut ready = Vec::new();
        reactor.wait(Some(timeout), &mut ready).unwrap();
        ready.len()
    }

    /// No test step reads the timer in between.
    #[test]
    fn an_alarm_ends_a_wait_each_time_it_is_set_and_not_before() {
        let mut reactor = Reactor::new().unwrap();
        let token = reactor.insert(Alarm::new().unwrap()).unwrap();
        for left in [Duration::from_micros(2_300), Duration::from_micros(300), Duration::ZERO] {
            let now = Instant::now();
            reactor.get_mut(token).unwrap().set(now + left).unwrap();
            assert_eq!(wait(&mut reactor, LONG), 1, "{left:?}");
            assert!(now.elapsed() >= left && now.elapsed() < LONG, "{left:?}");
            assert_eq!(wait(&mut reactor, Duration::ZERO), 0, "one event for each time");
        }
    }

    #[test]
    fn an_alarm_that_is_set_again_goes_off_at_the_new_time_only() {
        let mut reactor = Reactor::new().unwrap();
        let token = reactor.insert(Alarm::new().unwrap()).unwrap();
        let now = Instant::now();
        let alarm = reactor.get_mut(token).unwrap();
        alarm.set(now + Duration::from_millis(1)).unwrap();
        alarm.set(now + LONG).unwrap();
        alarm.set(now + LONG).unwrap();
        assert_eq!(wait(&mut reactor, Duration::from_millis(20)), 0);
    }
}
