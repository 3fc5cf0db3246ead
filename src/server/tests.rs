//! The server on sockets that are not sockets, at moments chosen to the nanosecond.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::time::Duration;

use rustix::io::Errno;

use super::stop::LAST_ACCEPTS;
use super::sweep::retry_at;
use super::*;

const SECOND: Duration = Duration::from_secs(1);
const SPIN: Duration = Duration::from_micros(50);
const INSTANT: Duration = Duration::from_nanos(1);

/// Answers each accept from a script, and says that the queue is empty after its end.
pub(super) struct Scripted(pub(super) VecDeque<Result<(), Errno>>);

/// A connection that is there, and no more.
#[derive(Debug)]
pub(super) struct Dummy;

macro_rules! unpolled {
    ($type:ty) => {
        impl Source for $type {
            fn register(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
                Ok(())
            }
            fn reregister(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
                Ok(())
            }
            fn deregister(&mut self, _: &Registry) -> io::Result<()> {
                Ok(())
            }
        }
    };
}

unpolled!(Scripted);
unpolled!(Dummy);

impl Read for Dummy {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }
}

impl Write for Dummy {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Dummy {
    fn short_read_drains(&self) -> bool {
        false
    }
    fn shutdown_write(&self) -> io::Result<()> {
        Ok(())
    }
    fn unacknowledged(&self) -> Option<u32> {
        None
    }
}

impl Listen for Scripted {
    type Stream = Dummy;

    fn accept(&mut self) -> io::Result<(Dummy, Endpoint)> {
        self.0.pop_front().unwrap_or(Err(Errno::AGAIN))?;
        Ok((Dummy, Endpoint::Unix(None)))
    }
}

fn config() -> Config {
    Config {
        max_connections: 10,
        max_per_ip: None,
        idle_timeout: None,
        stall_timeout: None,
        drain_timeout: SECOND,
        buffer_bytes: 1024,
        pending_limit_bytes: 1024,
        spin: None,
        once: false,
    }
}

/// A server that has not accepted yet, and its listener's token.
fn server(
    config: Config,
    now: Instant,
    script: impl IntoIterator<Item = Result<(), Errno>>,
) -> (Server<Scripted, ()>, Token) {
    let mut server = Server::new(config, (), now).unwrap();
    server.listen(Scripted(script.into_iter().collect()), "here".into()).unwrap();
    let listener = server.listeners[0];
    (server, listener)
}

fn timer_at(server: &mut Server<Scripted, ()>, now: Instant) -> Option<Instant> {
    server.shared.now = now;
    server.next_timer()
}

#[test]
fn it_spins_for_some_time_after_something_was_ready() {
    let start = Instant::now();
    let (mut server, listener) = server(Config { spin: Some(SPIN), ..config() }, start, []);
    let found = start + SPIN / 2;
    // What is woken is found by the wait that ends the first turn, and dealt with in the second.
    for busy in [start, found] {
        server.wake(Ready { token: listener, exceptional: false });
        assert_eq!(server.turn(found).unwrap(), Flow::Continue);
        let last = busy + SPIN - INSTANT;
        assert_eq!(timer_at(&mut server, last), Some(last), "at once");
        assert_eq!(timer_at(&mut server, busy + SPIN), None);
    }
}

#[test]
fn without_connections_there_is_no_deadline_to_wake_for() {
    let now = Instant::now();
    let idle = Config { idle_timeout: Some(SECOND), ..config() };
    let (mut server, listener) = server(idle, now, [Ok(())]);
    assert_eq!(server.next_timer(), None);
    server.accept(listener);
    assert_eq!(server.next_timer(), Some(now + SECOND / 4), "to look at the clock");
}

#[test]
fn a_connection_has_its_time_and_no_more() {
    let start = Instant::now();
    for (now, expected) in [(start + SECOND - INSTANT, false), (start + SECOND, true)] {
        let idle = Config { idle_timeout: Some(SECOND), ..config() };
        let (mut server, listener) = server(idle, start, [Ok(())]);
        server.accept(listener);
        (server.shared.now, server.polled) = (now, now);
        server.shared.deadlines.note(now); // So that it looks.
        server.sweep();
        let is_over = |slot: &mut Slot<_>| matches!(slot, Slot::Peer(c) if c.timed_out);
        let found = (0..2).any(|t| server.reactor.get_mut(Token(t)).is_some_and(is_over));
        assert_eq!(found, expected);
    }
}

/// One after the other, they would keep the server busy with nothing.
#[test]
fn accepting_rests_when_a_whole_turn_finds_everybody_gone() {
    let now = Instant::now();
    for (n, rests) in [(ACCEPTS_PER_TURN, true), (ACCEPTS_PER_TURN - 1, false)] {
        let gone = [Err(Errno::CONNABORTED)].repeat(n);
        let (mut server, listener) = server(config(), now, gone);
        server.accept(listener);
        assert_eq!(server.next_timer().is_some_and(|at| at > now), rests, "after {n}");
    }
}

/// Failed when only the last of a turn's accepts counted: whoever was gone in that place kept everybody behind
/// it waiting, with a warning that nothing could be accepted.
#[test]
fn accepting_does_not_rest_when_anybody_was_there() {
    let now = Instant::now();
    for there in [0, ACCEPTS_PER_TURN / 2, ACCEPTS_PER_TURN - 1] {
        // It spins, so that a turn that has nothing to do ends.
        let config = Config { spin: Some(SECOND), ..config() };
        let mut script = [Err(Errno::CONNABORTED)].repeat(ACCEPTS_PER_TURN);
        script[there] = Ok(());
        script.push(Ok(()));
        let (mut server, listener) = server(config, now, script);
        server.accept(listener);
        let rest = retry_at(&mut server.reactor, listener);
        assert_eq!(rest, None, "after one in place {there}");
        for _ in 0..2 {
            assert_eq!(server.turn(now).unwrap(), Flow::Continue);
        }
        assert_eq!(server.admission.connections(), 2, "the one behind is served in the next turn");
    }
}

#[test]
fn a_server_that_stops_takes_so_many_more_and_no_more() {
    let config = Config { max_connections: usize::MAX, ..config() };
    let (mut server, _) = server(config, Instant::now(), [Ok(()); LAST_ACCEPTS + 1]);
    server.stop();
    assert_eq!(server.admission.connections(), LAST_ACCEPTS);
    assert!(server.listeners.is_empty());
}

#[test]
fn stopping_goes_on_when_it_is_time_to_the_nanosecond() {
    let start = Instant::now();
    let (mut server, _) = server(config(), start, [Ok(())]);
    server.stop();
    let (half, all) = (config().drain_timeout / 2, config().drain_timeout);
    let is_draining = |life| matches!(life, Life::Draining { .. });
    let moments = [
        (half - INSTANT, true, None),
        (half, false, None),
        (all - INSTANT, false, None),
        (all, false, Some(Flow::Stopped)),
    ];
    for (after, drains, end) in moments {
        server.clock.served(start + after);
        assert_eq!(server.approach_end(), end, "after {after:?}");
        assert_eq!(is_draining(server.life), drains, "after {after:?}");
    }
}
