//! The server on scripted sockets, with times that are exact to the nanosecond.

use std::collections::VecDeque;
use std::sync::mpsc;
use std::time::Duration;

use rustix::io::Errno;

use super::accept::LAST_ACCEPTS;
use super::turns::TURNS_PER_TIMED_TURN;
use super::*;
use crate::kit::socket::{Answer, Call, Script, Socket};
use crate::kit::source::unpolled;
use crate::net::Endpoint;
use crate::observe::Counters;

const SECOND: Duration = Duration::from_secs(1);
const SPIN: Duration = Duration::from_micros(50);
const INSTANT: Duration = Duration::from_nanos(1);

/// Answers each accept from a script. After its end, the queue is empty.
pub(super) struct Scripted {
    pub(super) answers: VecDeque<Result<(), Errno>>,
    queue: Queue,
}

/// Whose an accept queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    Own,
    /// Others move connections into it.
    Shared,
    /// Another process has it too.
    Inherited,
}

unpolled!(Scripted);

/// A stream whose peer has sent its end of file.
type Finished = Socket<fn(Call) -> Answer>;

impl<S: Script> Stream for Socket<S> {
    fn short_read_drains(&self) -> bool {
        true
    }

    fn peek(&self, _: &mut [u8]) -> io::Result<usize> {
        unreachable!("no listener is proxied")
    }

    fn is_read_closed(&self) -> bool {
        unreachable!("no listener is proxied")
    }

    fn shutdown_write(&self) -> io::Result<()> {
        Ok(())
    }

    fn unacknowledged(&self) -> Option<u32> {
        self.unacknowledged
    }
}

impl Listen for Scripted {
    type Stream = Finished;

    fn accept(&mut self) -> io::Result<(Finished, Endpoint)> {
        self.answers.pop_front().unwrap_or(Err(Errno::AGAIN))?;
        Ok((Socket::new(|_| Ok(0)), Endpoint::Unix(None)))
    }

    fn fills_silently(&self) -> bool {
        self.queue == Queue::Shared
    }

    fn has_successor(&self) -> bool {
        self.queue == Queue::Inherited
    }
}

fn config() -> Config {
    Config { max_connections: 10, drain_timeout: SECOND, ..Config::default() }
}

/// A server that has not accepted yet, and its listener's token.
pub(super) fn server<O: Observer>(
    config: Config,
    observer: O,
    now: Instant,
    script: impl IntoIterator<Item = Result<(), Errno>>,
) -> (Server<Scripted, O>, Token) {
    let mut server = Server::new(config, observer, now).unwrap();
    listen(&mut server, Queue::Own, script);
    (server, Token(0))
}

/// Adds a listener that answers from a script.
pub(super) fn listen<O: Observer>(
    server: &mut Server<Scripted, O>,
    queue: Queue,
    script: impl IntoIterator<Item = Result<(), Errno>>,
) {
    let listener = Scripted { answers: script.into_iter().collect(), queue };
    server.listen([(listener, Endpoint::Unix(None))]).unwrap();
}

/// Lets time pass until `now`.
fn advance(server: &mut Server<Scripted, ()>, now: Instant) {
    server.clock.begin_wait(None, now);
    server.begin_turn(now, 0);
}

/// Takes one turn at `now`, without blocking. Returns how many events it handled.
pub(super) fn turn<O: Observer>(server: &mut Server<Scripted, O>, now: Instant) -> usize {
    let mut ready = Vec::new();
    server.poll_timeout();
    server.wait(Some(Duration::ZERO), &mut ready).unwrap();
    let served = server.begin_turn(now, ready.len());
    for event in &ready {
        server.handle_event(*event, served);
    }
    server.handle_timeouts(served);
    ready.len()
}

/// The first event shows that events come close together. Then the server polls after each, for the set time.
#[test]
fn it_spins_for_the_set_time_after_the_last_event() {
    let start = Instant::now();
    let (mut server, listener) = server(Config { spin: Some(SPIN), ..config() }, (), start, []);
    for busy in [start, start + SPIN / 2] {
        server.reactor.requeue(listener);
        assert_eq!(turn(&mut server, busy), 1);
        advance(&mut server, busy + SPIN - INSTANT);
        assert_eq!(server.poll_timeout(), Some(Duration::ZERO));
    }
    advance(&mut server, start + SPIN / 2 + SPIN);
    assert_eq!(server.poll_timeout(), None);
}

#[test]
fn without_connections_there_is_no_deadline_to_wake_for() {
    let now = Instant::now();
    let idle = Config { idle_timeout: Some(SECOND), ..config() };
    let (mut server, listener) = server(idle, (), now, [Ok(())]);
    assert_eq!(server.poll_timeout(), None);
    server.accept(listener, now);
    assert_eq!(server.poll_timeout(), Some(SECOND / 4), "a wait is short, for the clock");
}

#[test]
fn a_connection_is_asked_to_end_when_its_idle_timeout_is_over() {
    let start = Instant::now();
    for (now, expected) in [(start + SECOND - INSTANT, None), (start + SECOND, Some(Expiry::Idle))]
    {
        let idle = Config { idle_timeout: Some(SECOND), ..config() };
        let (mut server, listener) = server(idle, (), start, [Ok(())]);
        server.accept(listener, start);
        server.woke = now;
        server.shared.deadlines.note(now); // So that a sweep is due.
        server.sweep(now);
        let Some(Slot::Connection(connection)) = server.reactor.get_mut(Token(1)) else {
            panic!("no connection")
        };
        assert_eq!(connection.expired, expected);
    }
}

/// Looks at the only connection, whose peer has not acknowledged `left` bytes. Returns whether it is still open.
fn is_open_after_look(server: &mut Server<Scripted, ()>, left: u32, now: Instant) -> bool {
    let Some(Slot::Connection(connection)) = server.reactor.get_mut(Token(1)) else { return false };
    connection.stream.unacknowledged = Some(left);
    server.woke = now;
    server.shared.deadlines.note(now); // So that a sweep is due.
    server.sweep(now);
    server.admission.connections() == 1
}

#[test]
fn a_lingering_connection_ends_when_its_peer_has_taken_nothing_for_the_stall_timeout() {
    let (start, stall) = (Instant::now(), 4 * SECOND);
    let config = Config { stall_timeout: Some(stall), ..config() };
    let (mut server, listener) = server(config, (), start, [Ok(())]);
    server.accept(listener, start);
    let Some(Slot::Connection(connection)) = server.reactor.get_mut(Token(1)) else {
        panic!("no connection")
    };
    connection.echo.abandon();
    // The peer takes a byte every two seconds, for much longer than the timeout.
    let mut now = start;
    for left in (1..=10).rev() {
        now += 2 * SECOND;
        assert!(is_open_after_look(&mut server, left, now), "{left} bytes are left");
    }
    assert!(is_open_after_look(&mut server, 1, now + stall - SECOND / 10));
    assert!(!is_open_after_look(&mut server, 1, now + stall + SECOND / 10));
}

#[test]
fn a_server_that_stops_accepts_what_the_queue_holds_up_to_a_bound() {
    let config = Config { max_connections: usize::MAX, ..config() };
    let (mut server, _) = server(config, (), Instant::now(), [Ok(()); LAST_ACCEPTS + 1]);
    server.stop();
    assert_eq!(server.admission.connections(), LAST_ACCEPTS);
    assert!(server.listeners.is_empty());
}

/// Failed when the server took all queues for its own.
#[test]
fn a_server_that_stops_leaves_an_inherited_queue_to_its_successor() {
    let mut server = Server::new(config(), (), Instant::now()).unwrap();
    listen(&mut server, Queue::Inherited, [Ok(()); 3]);
    listen(&mut server, Queue::Own, [Ok(()); 2]);
    server.stop();
    assert_eq!(server.admission.connections(), 2);
    assert!(server.listeners.is_empty());
}

#[test]
fn for_the_drain_delay_a_server_that_stops_accepts_as_before() {
    let (start, delay) = (Instant::now(), 3 * SECOND);
    let config = Config { drain_delay: delay, ..config() };
    let (mut server, listener) =
        server(config.clone(), (), start, [Ok(()), Err(Errno::AGAIN), Ok(())]);
    server.stop();
    assert_eq!(server.poll_timeout(), Some(delay));
    server.accept(listener, start);
    turn(&mut server, start + delay - INSTANT);
    assert_eq!(server.admission.connections(), 1);
    assert!(matches!(server.shutdown, Shutdown::Delaying { .. }));
    turn(&mut server, start + delay);
    assert_eq!(server.admission.connections(), 2, "what the queue holds by then is served");
    let expected = start + delay + config.drain_timeout / 2;
    assert_eq!(server.shutdown_deadline(), Some(expected), "the drain timeout begins then");
}

#[test]
fn a_second_request_during_the_drain_delay_aborts() {
    let now = Instant::now();
    let config = Config { drain_delay: SECOND, ..config() };
    let (mut server, listener) = server(config, (), now, [Ok(())]);
    server.accept(listener, now);
    server.stop();
    assert!(server.take_outcome().is_none());
    server.stop();
    turn(&mut server, now);
    assert_eq!(server.take_outcome().unwrap().unwrap(), Outcome::Aborted);
}

#[test]
fn each_step_of_stopping_comes_exactly_at_its_deadline() {
    let start = Instant::now();
    let (mut server, _) = server(config(), (), start, [Ok(())]);
    server.stop();
    let (half, all) = (config().drain_timeout / 2, config().drain_timeout);
    let moments = [
        (half - INSTANT, true, None),
        (half, false, None),
        (all - INSTANT, false, None),
        (all, false, Some(Outcome::Stopped)),
    ];
    for (after, is_draining, expected) in moments {
        advance(&mut server, start + after);
        server.advance_shutdown(start + after);
        let outcome = server.take_outcome().map(Result::unwrap);
        assert_eq!(outcome, expected, "after {after:?}");
        let drains = matches!(server.shutdown, Shutdown::Draining { .. });
        assert_eq!(drains, is_draining, "after {after:?}");
    }
}

#[test]
fn a_second_request_to_stop_aborts() {
    let now = Instant::now();
    let (mut server, _) = server(config(), (), now, [Ok(())]);
    server.stop();
    assert!(server.take_outcome().is_none());
    server.stop();
    turn(&mut server, now);
    assert_eq!(server.take_outcome().unwrap().unwrap(), Outcome::Aborted);
    assert_eq!(server.admission.connections(), 0);
}

/// Asks the server to stop when its deadline comes.
struct Alarm(Option<Instant>);

unpolled!(Alarm);

impl Service for Alarm {
    fn ready(&mut self, cx: &mut Context<'_>) -> Action {
        let is_due = self.0.take_if(|at| *at <= cx.now).is_some();
        if is_due { Action::Stop } else { Action::Wait }
    }

    fn deadline(&self) -> Option<Instant> {
        self.0
    }
}

#[test]
fn a_service_is_called_at_its_deadline_and_can_stop_the_server() {
    let start = Instant::now();
    let (mut server, _) = server(config(), (), start, []);
    server.add_service(Box::new(Alarm(Some(start + SECOND)))).unwrap();
    server.add_service(Box::new(Alarm(None))).unwrap();
    assert_eq!(server.poll_timeout(), Some(SECOND));
    turn(&mut server, start + SECOND - INSTANT);
    assert!(server.take_outcome().is_none());
    turn(&mut server, start + SECOND);
    assert_eq!(server.take_outcome().unwrap().unwrap(), Outcome::Stopped);
}

/// What a service was shown: how far the server has stopped, its connections, and how many it had accepted.
type Shown = (Stage, usize, u64);

/// Sends on what it is shown.
struct Onlooker(mpsc::Sender<Shown>);

unpolled!(Onlooker);

impl Service for Onlooker {
    fn ready(&mut self, cx: &mut Context<'_>) -> Action {
        let accepted = cx.observer.counters().unwrap().accepted;
        self.0.send((cx.stage, cx.connections, accepted)).unwrap();
        Action::Wait
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }
}

#[test]
fn a_service_sees_the_state_of_the_server_and_each_step_of_its_stop() {
    let now = Instant::now();
    let (sender, shown) = mpsc::channel();
    let config = Config { drain_delay: SECOND, ..config() };
    let (mut server, listener) = server(config, Counters::default(), now, [Ok(()), Ok(())]);
    server.add_service(Box::new(Onlooker(sender))).unwrap();
    server.accept(listener, now);
    turn(&mut server, now);
    assert_eq!(shown.try_iter().count(), 0, "nothing has happened to the service");
    server.stop();
    turn(&mut server, now);
    assert_eq!(shown.try_iter().collect::<Vec<_>>(), [(Stage::Leaving, 2, 2)]);
    turn(&mut server, now + SECOND);
    turn(&mut server, now + SECOND);
    assert_eq!(shown.try_iter().collect::<Vec<_>>(), [(Stage::Draining, 2, 2)]);
}

/// A clock that is read twice in each turn would cost each echo of a lone connection some nanoseconds.
#[test]
fn one_turn_in_many_is_timed_and_so_are_the_turns_after_a_late_one() {
    let start = Instant::now();
    let (mut server, _) = server(config(), Counters::default(), start, []);
    let mut timed = Vec::new();
    for number in 1..=2 * TURNS_PER_TIMED_TURN {
        server.begin_turn(start, 1);
        timed.extend(server.is_timed_turn().then_some(number));
        server.begin_turn(start, 0);
        assert!(!server.is_timed_turn(), "a turn without an event");
    }
    assert_eq!(timed, [TURNS_PER_TIMED_TURN, 2 * TURNS_PER_TIMED_TURN]);
    server.poll_timeout();
    server.begin_turn(start + SECOND, 1);
    assert!(!server.is_timed_turn(), "a wait without a limit is never late");
    server.clock.begin_wait(Some(server.clock.now()), server.woke);
    server.begin_turn(start + 60 * SECOND, 1);
    assert!(server.is_timed_turn());
    server.end_turn(SECOND);
    assert_eq!(server.shared.observer.turn_times.sum(), SECOND);
}

#[test]
fn after_a_late_turn_slow_work_counts_and_a_suspension_does_not() {
    let start = Instant::now();
    let config = Config { idle_timeout: Some(SECOND), ..config() };
    let (mut server, listener) = server(config, (), start, [Ok(())]);
    server.accept(listener, start);
    turn(&mut server, start + SECOND / 4);
    assert!(!server.is_slow());
    turn(&mut server, start + 10 * SECOND);
    assert!(server.is_slow());
    let before = server.clock.now();
    assert_eq!(server.advance(start + 11 * SECOND), before + SECOND, "slow work counts");
    assert_eq!(server.advance(start + 60 * SECOND), before + SECOND, "a suspension does not");
}

/// Failed when the server waited once more before it looked at its outcome.
#[test]
fn a_server_that_was_stopped_before_it_ran_ends_at_once() {
    for (stops, expected) in [(1, Outcome::Stopped), (2, Outcome::Aborted)] {
        let (mut server, _) = server(config(), (), Instant::now(), []);
        (0..stops).for_each(|_| server.stop());
        assert_eq!(server.run().unwrap(), expected);
    }
}

/// Failed when a second request waited for the next event or deadline.
#[test]
fn an_aborted_server_with_connections_takes_its_last_turn_at_once() {
    let now = Instant::now();
    let (mut server, _) = server(config(), (), now, [Ok(())]);
    server.stop();
    server.stop();
    assert_eq!(server.poll_timeout(), Some(Duration::ZERO));
    turn(&mut server, now);
    assert_eq!(server.take_outcome().unwrap().unwrap(), Outcome::Aborted);
}

/// Failed when a server that was set up slowly took the set-up for a suspension.
#[test]
fn a_slow_start_is_no_suspension() {
    let start = Instant::now() - SECOND;
    let (mut server, _) = server(Config { spin: Some(SPIN), ..config() }, (), start, []);
    server.stop();
    assert_eq!(server.run().unwrap(), Outcome::Stopped);
    assert!(!server.is_slow());
    assert!(server.clock.now() >= start + SECOND);
}

/// Failed when signals and the drain timeout waited for the end of a slow turn.
#[test]
fn within_a_slow_turn_services_are_served_and_stopping_goes_on() {
    let start = Instant::now();
    let (mut server, listener) = server(config(), (), start, [Ok(())]);
    server.accept(listener, start);
    server.add_service(Box::new(Alarm(Some(start + SECOND / 4)))).unwrap();
    server.advance(start + SECOND / 4);
    assert!(matches!(server.shutdown, Shutdown::Draining { .. }));
    server.advance(start + SECOND / 4 + config().drain_timeout / 2);
    assert!(matches!(server.shutdown, Shutdown::Finishing { .. }));
    server.advance(start + SECOND / 4 + config().drain_timeout);
    assert_eq!(server.take_outcome().unwrap().unwrap(), Outcome::Stopped);
}

#[test]
fn a_server_can_be_moved_to_another_thread() {
    fn assert_send<T: Send>() {}
    assert_send::<Server<crate::net::Listener, ()>>();
}
