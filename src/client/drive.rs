//! The loop of `connect` and `ping`: wait, look at the clock once, handle.
//!
//! Waiting and handling are split, as in quinn-proto (`poll_timeout` and `handle_timeout`) and smoltcp (`poll_at` and
//! `poll`). [`drive`] waits and reads the clock. What it drives implements [`Driven`], waits for no server, and gets
//! the time as a parameter. So a test can call the same methods with times of its own, without a wait.
//!
//! `load` makes its first connection by this loop, and then runs a loop of its own: it measures what each turn costs,
//! and before a message is due it can spin instead of waiting.
//!
//! # How a client adopts it
//!
//! 1. It owns its reactor, and inserts its sources there.
//! 2. It implements [`Driven`]. It handles every ready token of a turn, and then what is due at `now`.
//! 3. It calls [`drive`]. The loop ends with the first [`outcome`](Driven::outcome) or the first error.
//!
//! # One time for a whole turn
//!
//! `now` is the end of the last wait, and all that happens in a turn happens at this time. So a client that measures
//! how long an echo takes must receive before it sends. Then no echo comes in the turn that sent its message, and every
//! echo takes some time. A client that must wake up to the microsecond sets an [`Alarm`](super::alarm::Alarm).

use std::io;
use std::time::{Duration, Instant};

use mio::event::Source;

pub use super::standstill::Timeout;
use super::standstill::{Standstill, processor_time};
use crate::reactor::{Reactor, Ready};

/// A client that a loop drives until it is over. No method waits for a server, and each takes the time from the loop.
///
/// A method can still block: a terminal takes no output, or SIGTSTP stops the program. The loop measures that as a
/// standstill.
pub trait Driven {
    /// What its reactor watches.
    type Watched: Source;
    /// What it ends with.
    type Outcome;

    fn reactor(&mut self) -> &mut Reactor<Self::Watched>;

    /// How long it may wait from `now` on if no event comes.
    fn poll_timeout(&mut self, now: Instant) -> Timeout;

    /// Leaves out a time before `now` in which the program did not run: it counts against no server. The loop calls
    /// this before it hands over what became ready meanwhile.
    fn discount(&mut self, standstill: Duration, now: Instant);

    /// Handles what is ready. The list is empty if only time has passed.
    ///
    /// # Errors
    ///
    /// What ends the client.
    fn handle_ready(&mut self, ready: &[Ready], now: Instant) -> io::Result<()>;

    /// Handles what is due at `now`. [`handle_ready`](Self::handle_ready) comes first, because what has come by now is
    /// not late.
    ///
    /// # Errors
    ///
    /// What ends the client.
    fn handle_timeout(&mut self, now: Instant) -> io::Result<()>;

    /// What it ends with, once it is over.
    fn outcome(&mut self) -> Option<Self::Outcome>;
}

/// Drives a client, which began at `now`, until it is over.
///
/// # Errors
///
/// The client's own, or that the poll is broken: epoll_wait(2).
pub fn drive<D: Driven>(client: &mut D, now: Instant) -> io::Result<D::Outcome> {
    drive_on(&mut System, client, now)
}

/// What the loop gets from the system. A test can simulate it.
pub(super) trait Host<D> {
    fn now(&self) -> Instant;

    /// How much processor time the program has used.
    fn processor_time(&self) -> Duration;

    /// Waits until something of the client's is ready, for up to `timeout`.
    ///
    /// # Errors
    ///
    /// That it cannot wait.
    fn wait(
        &mut self,
        client: &mut D,
        timeout: Option<Duration>,
        ready: &mut Vec<Ready>,
    ) -> io::Result<()>;
}

struct System;

impl<D: Driven> Host<D> for System {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn processor_time(&self) -> Duration {
        processor_time()
    }

    fn wait(
        &mut self,
        client: &mut D,
        timeout: Option<Duration>,
        ready: &mut Vec<Ready>,
    ) -> io::Result<()> {
        client.reactor().wait(timeout, ready)
    }
}

/// As [`drive`], on any host.
pub(super) fn drive_on<D: Driven>(
    host: &mut impl Host<D>,
    client: &mut D,
    mut now: Instant,
) -> io::Result<D::Outcome> {
    let mut standstill = Standstill::new(now, host.processor_time());
    let mut ready = Vec::new();
    loop {
        let timeout = standstill.plan(client.poll_timeout(now));
        // The timeout counts from `now`, and the work since then has taken some of it.
        let worked = host.now().saturating_duration_since(now);
        let left = timeout.map(|timeout| timeout.saturating_sub(worked));
        host.wait(client, left, &mut ready)?;
        now = host.now();
        let stood_still = standstill.end(now, host.processor_time());
        if !stood_still.is_zero() {
            client.discount(stood_still, now);
        }
        client.handle_ready(&ready, now)?;
        client.handle_timeout(now)?;
        if let Some(outcome) = client.outcome() {
            return Ok(outcome);
        }
    }
}

/// Asserts that a client owes its server time, and that a standstill takes none of it.
#[cfg(test)]
#[track_caller]
pub(super) fn assert_discounts(client: &mut impl Driven, now: Instant) {
    let standstill = Duration::from_secs(100);
    let before = client.poll_timeout(now);
    assert!(matches!(before, Timeout::Owed(left) if !left.is_zero()), "{before:?}");
    client.discount(standstill, now + standstill);
    assert_eq!(client.poll_timeout(now + standstill), before);
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;
    use crate::client::alarm::Alarm;

    /// Records the calls of the loop. It is over after as many turns as it has timeouts.
    struct Recorder {
        reactor: Reactor<Alarm>,
        timeouts: Vec<Timeout>,
        calls: Vec<(&'static str, Instant)>,
    }

    impl Driven for Recorder {
        type Watched = Alarm;
        type Outcome = usize;

        fn reactor(&mut self) -> &mut Reactor<Alarm> {
            &mut self.reactor
        }

        fn poll_timeout(&mut self, now: Instant) -> Timeout {
            self.calls.push(("poll_timeout", now));
            self.timeouts.remove(0)
        }

        fn discount(&mut self, _: Duration, now: Instant) {
            self.calls.push(("discount", now));
        }

        fn handle_ready(&mut self, ready: &[Ready], now: Instant) -> io::Result<()> {
            let call = if ready.is_empty() { "handle_ready: none" } else { "handle_ready: some" };
            self.calls.push((call, now));
            Ok(())
        }

        fn handle_timeout(&mut self, now: Instant) -> io::Result<()> {
            self.calls.push(("handle_timeout", now));
            Ok(())
        }

        fn outcome(&mut self) -> Option<usize> {
            self.timeouts.is_empty().then_some(self.calls.len())
        }
    }

    /// The calls of a run that began `ago`, and for each the number of its time.
    fn calls(timeouts: &[Timeout], ago: Duration) -> Vec<(&'static str, usize)> {
        let mut reactor = Reactor::new().unwrap();
        let token = reactor.insert(Alarm::new().unwrap()).unwrap();
        reactor.requeue(token);
        let mut recorder = Recorder { reactor, timeouts: timeouts.to_vec(), calls: Vec::new() };
        drive(&mut recorder, Instant::now() - ago).unwrap();
        let mut times: Vec<_> = recorder.calls.iter().map(|(_, now)| *now).collect();
        assert!(times.is_sorted());
        times.dedup();
        let number = |now| times.iter().position(|time| *time == now).unwrap();
        recorder.calls.into_iter().map(|(call, now)| (call, number(now))).collect()
    }

    #[test]
    fn each_turn_hands_on_events_before_timeouts_and_has_one_time() {
        let timeouts = [Timeout::Never, Timeout::Owed(Duration::from_millis(1))];
        let expected = [
            ("poll_timeout", 0),
            ("handle_ready: some", 1),
            ("handle_timeout", 1),
            ("poll_timeout", 1),
            ("handle_ready: none", 2),
            ("handle_timeout", 2),
        ];
        let mut calls = calls(&timeouts, Duration::ZERO);
        // A busy machine can make this test stand still.
        calls.retain(|(call, _)| *call != "discount");
        assert_eq!(calls, expected);
    }

    #[test]
    fn a_standstill_is_discounted_before_anything_else_is_handled() {
        let calls = calls(&[Timeout::Owed(Duration::ZERO)], Duration::from_secs(10));
        let expected = [
            ("poll_timeout", 0),
            ("discount", 1),
            ("handle_ready: some", 1),
            ("handle_timeout", 1),
        ];
        assert_eq!(calls, expected);
    }

    const MS: Duration = Duration::from_millis(1);

    /// A host whose clock moves only if its client works or waits. No event comes.
    struct Simulated {
        now: Cell<Instant>,
        processor_time: Cell<Duration>,
        waits: RefCell<Vec<Option<Duration>>>,
    }

    impl<D> Host<D> for &Simulated {
        fn now(&self) -> Instant {
            self.now.get()
        }

        fn processor_time(&self) -> Duration {
            self.processor_time.get()
        }

        fn wait(
            &mut self,
            _: &mut D,
            timeout: Option<Duration>,
            _: &mut Vec<Ready>,
        ) -> io::Result<()> {
            self.waits.borrow_mut().push(timeout);
            self.now.set(self.now.get() + timeout.unwrap());
            Ok(())
        }
    }

    /// A client that handles something in each turn, which takes this long and this much processor time.
    struct Worker<'a> {
        host: &'a Simulated,
        takes: Duration,
        uses: Duration,
        turns: u32,
        discounted: Duration,
    }

    impl Driven for Worker<'_> {
        type Watched = Alarm;
        type Outcome = Duration;

        fn reactor(&mut self) -> &mut Reactor<Alarm> {
            unreachable!("only the system waits on a reactor")
        }

        fn poll_timeout(&mut self, _: Instant) -> Timeout {
            Timeout::Owed(MS * 50)
        }

        fn discount(&mut self, standstill: Duration, _: Instant) {
            self.discounted += standstill;
        }

        fn handle_ready(&mut self, _: &[Ready], _: Instant) -> io::Result<()> {
            Ok(())
        }

        fn handle_timeout(&mut self, _: Instant) -> io::Result<()> {
            self.turns += 1;
            self.host.now.set(self.host.now.get() + self.takes);
            self.host.processor_time.set(self.host.processor_time.get() + self.uses);
            Ok(())
        }

        fn outcome(&mut self) -> Option<Duration> {
            (self.turns == 3).then_some(self.discounted)
        }
    }

    /// The waits of three turns with such work, in milliseconds, and the standstills in all.
    fn work(takes: Duration, uses: Duration) -> (Vec<u128>, Duration) {
        let now = Instant::now();
        let host = Simulated {
            now: Cell::new(now),
            processor_time: Cell::new(MS * 7),
            waits: RefCell::default(),
        };
        let mut worker = Worker { host: &host, takes, uses, turns: 0, discounted: Duration::ZERO };
        let discounted = drive_on(&mut &host, &mut worker, now).unwrap();
        let waits = host.waits.borrow().iter().map(|wait| wait.unwrap().as_millis()).collect();
        (waits, discounted)
    }

    #[test]
    fn the_work_of_a_turn_shortens_its_wait() {
        assert_eq!(work(MS * 30, MS * 30).0, [50, 20, 20]);
        assert_eq!(work(MS * 70, MS * 70).0, [50, 0, 0]);
    }

    #[test]
    fn only_work_that_used_no_processor_is_a_standstill() {
        assert_eq!(work(MS * 500, MS * 500).1, Duration::ZERO);
        assert_eq!(work(MS * 500, Duration::ZERO).1, MS * 450 * 2);
    }
}
