//! From the first step of a connection to its end.

use std::cmp::Reverse;
use std::io::{self, ErrorKind};
use std::mem;
use std::time::{Duration, Instant};

use mio::Token;

use super::connection::{Connection, Lane, State};
use super::engine::{Engine, Place, Slot};
use super::{Cause, Reporter, Stage, Trouble};
use crate::client::{CLOSE_TIMEOUT, dial};
use crate::net::{Endpoint, Socket, cannot, with_help};
use crate::reactor::Ready;

/// Connections under way at the same time where nobody says how fast to make them: few enough for the
/// shortest of accept queues.
const MAX_CONNECTING: usize = 100;

/// A connection that has died is replaced after this long, lest a server that refuses all be asked all the
/// time.
const RECONNECT_DELAY: Duration = Duration::from_millis(100);

/// Connections that are begun before events are looked at again.
const CONNECTS_PER_TURN: usize = 64;

/// A connection for which there was no room in the server's accept queue is tried again after this long.
const FULL_QUEUE_DELAY: Duration = Duration::from_millis(10);

/// What helps if the ports of an address are used up.
const MORE_SOURCES: &str = "give more addresses to connect from, by --source-ip";

impl<W: Reporter> Engine<'_, W> {
    /// Begins what connections it is time for, some at a time: those that are there must not wait for them.
    pub(super) fn connect(&mut self, now: Instant) {
        self.reap(now);
        for _ in 0..CONNECTS_PER_TURN {
            if self.is_over || !(self.reconnect_next(now) || self.connect_new(now)) {
                return;
            }
        }
    }

    /// Begins one that has waited until `now`. Returns whether there was any.
    fn reconnect_next(&mut self, now: Instant) -> bool {
        let Some(Reverse((at, number))) = self.reconnect_queue.peek().copied() else {
            return false;
        };
        if at > now {
            return false;
        }
        self.reconnect_queue.pop();
        if let Place::Waiting(lane) = mem::replace(&mut self.places[number], Place::Nowhere)
            && self.is_needed(&lane)
        {
            self.begin_connecting(*lane);
        }
        true
    }

    /// Begins one that there has not been yet. Returns whether it was time for any.
    fn connect_new(&mut self, now: Instant) -> bool {
        let is_time = self.begun < self.options.connections && self.may_connect(now);
        if is_time {
            let lane = Lane::new(self.begun, self.options.depth);
            self.begun += 1;
            match lane {
                Ok(lane) => self.begin_connecting(lane),
                Err(_) => self.fail_run(Cause::System(ErrorKind::OutOfMemory.into())),
            }
        }
        is_time
    }

    fn may_connect(&self, now: Instant) -> bool {
        match self.next_connect() {
            Some(at) => at <= now,
            None => self.connecting + self.reconnect_queue.len() < MAX_CONNECTING,
        }
    }

    /// When to begin the next connection, where that was said.
    pub(super) fn next_connect(&self) -> Option<Instant> {
        let rate = self.options.connect_rate?;
        Some(self.start + Duration::from_secs_f64(self.begun as f64 / rate))
    }

    fn begin_connecting(&mut self, mut lane: Lane) {
        // Each counts from its own first step, and not from that of the first of many.
        let now = Instant::now();
        let socket = match self.first.take() {
            Some(made) => {
                lane.queue_full_since = now.checked_sub(made.took);
                Ok(made.socket)
            }
            None => self.socket(lane.number),
        };
        match socket {
            Ok(socket) => self.register(Connection::new(socket, lane, now)),
            // The full accept queue of a Unix socket, connect(2): a TCP one would have it wait.
            Err(e) if e.kind() == ErrorKind::WouldBlock && !self.is_refused(&mut lane, now) => {
                self.defer(now + FULL_QUEUE_DELAY, lane);
            }
            Err(e) => self.record_failure(lane, None, Cause::Connect(e)),
        }
    }

    fn socket(&self, number: usize) -> io::Result<Socket> {
        let sources = &self.options.sources;
        match sources.get(number % sources.len().max(1)) {
            Some(source) => Socket::connect_from(*source, &self.peer),
            None => Socket::connect(&self.peer),
        }
    }

    fn register(&mut self, connection: Connection) {
        let number = connection.lane.number;
        match self.reactor.insert(Slot::Connection(connection)) {
            Ok(token) => {
                self.places[number] = Place::At(token);
                self.connecting += 1;
                // A Unix socket is connected by now, and no event may tell.
                self.reactor.requeue(token);
            }
            Err(e) => self.fail_run(Cause::System(cannot("watch", &"a connection", &e))),
        }
    }

    /// Whether the server has had no room for it in its accept queue for too long.
    fn is_refused(&self, lane: &mut Lane, now: Instant) -> bool {
        let since = lane.refuse(now);
        self.shared.standstills.is_overdue(since, self.options.timeout, now)
    }

    /// Has a connection made later.
    fn defer(&mut self, at: Instant, lane: Lane) {
        self.reconnect_queue.push(Reverse((at, lane.number)));
        let number = lane.number;
        self.places[number] = Place::Waiting(Box::new(lane));
    }

    /// Whether there is something to do for a connection that does not exist yet.
    fn is_needed(&self, lane: &Lane) -> bool {
        match self.stage {
            Stage::Connecting | Stage::WarmingUp | Stage::Measuring => true,
            Stage::Draining | Stage::Closing => lane.is_waited_for(&self.shared.plan),
        }
    }

    /// Whether every connection is there.
    pub(super) fn is_complete(&self) -> bool {
        self.open == self.options.connections
    }

    /// Whether there is no connection left.
    pub(super) fn is_empty(&self) -> bool {
        self.open + self.connecting + self.closing == 0
    }

    /// Lets a connection that has had its number of messages end in its own time, and makes another in its
    /// place.
    pub(super) fn replace(&mut self, token: Token) {
        let Some(Slot::Connection(connection)) = self.reactor.get_mut(token) else { return };
        let now = Instant::now();
        let lane = connection.retire(now);
        self.places[lane.number] = Place::Nowhere;
        (self.open, self.closing) = (self.open - 1, self.closing + 1);
        self.retired.push_back((now, token));
        // Its end may be there already.
        self.reactor.requeue(token);
        self.reap(now);
        if self.is_needed(&lane) {
            self.begin_connecting(lane);
        }
    }

    /// Closes what was replaced and has not ended by itself: after a while, or where there is too much of it.
    fn reap(&mut self, now: Instant) {
        while let Some((since, token)) = self.retired.front().copied()
            && (self.shared.standstills.is_overdue(since, CLOSE_TIMEOUT, now)
                || self.retired.len() > self.options.connections)
        {
            self.retired.pop_front();
            // If it is not another by now.
            if let Some(Slot::Connection(connection)) = self.reactor.get_mut(token)
                && connection.state == State::Closing(since)
            {
                drop(self.remove(token));
            }
        }
    }

    /// Says goodbye on all connections, and drops those that are not made yet.
    pub(super) fn shutdown_write(&mut self, now: Instant) {
        self.reconnect_queue.clear();
        for number in 0..self.places.len() {
            let Place::At(token) = self.places[number] else {
                self.places[number] = Place::Nowhere;
                continue;
            };
            match self.reactor.get_mut(token) {
                Some(Slot::Connection(connection)) if connection.state == State::Open => {
                    connection.shutdown_write(now);
                    (self.open, self.closing) = (self.open - 1, self.closing + 1);
                    self.reactor.requeue(token);
                }
                _ => drop(self.remove(token)),
            }
        }
    }

    /// Closes the connections that have waited for the server for too long. What has come meanwhile is read
    /// before anything is called late.
    pub(super) fn fail_overdue(&mut self, now: Instant) -> io::Result<()> {
        for number in 0..self.places.len() {
            let Place::At(token) = self.places[number] else { continue };
            if self.has_timed_out(token, now) {
                self.handle_event(Ready { token, exceptional: true })?;
                if self.has_timed_out(token, now) {
                    self.fail_timed_out(token);
                }
            }
        }
        Ok(())
    }

    fn has_timed_out(&mut self, token: Token, now: Instant) -> bool {
        let Some(Slot::Connection(connection)) = self.reactor.get_mut(token) else { return false };
        let timeout = self.options.timeout;
        let since = connection.waiting_since();
        since.is_some_and(|since| self.shared.standstills.is_overdue(since, timeout, now))
    }

    fn fail_timed_out(&mut self, token: Token) {
        if let Some(Slot::Connection(connection)) = self.reactor.get_mut(token) {
            let cause = connection.timed_out(self.options.timeout);
            self.fail(token, cause);
        }
    }

    /// A connection has died.
    pub(super) fn fail(&mut self, token: Token, cause: Cause) {
        let local = match self.reactor.get_mut(token) {
            Some(Slot::Connection(connection)) => connection.socket.local_addr().ok(),
            _ => None,
        };
        if let Some(lane) = self.remove(token) {
            lane.lose(Instant::now(), &mut self.shared);
            self.record_failure(lane, local, cause);
        }
    }

    fn record_failure(&mut self, lane: Lane, local: Option<Endpoint>, cause: Cause) {
        let is_wrong = matches!(&cause, Cause::Fault(fault) if fault.is_wrong());
        let now = Instant::now();
        self.note_progress(now);
        // Nothing excuses wrong bytes, or a server that cannot be reached in the first place, or any more.
        let is_excused = self.options.keep_going
            && !is_wrong
            && self.stage != Stage::Connecting
            && !self.is_stalled(now);
        let cause = match cause {
            Cause::Connect(e) => {
                // Only an error of our own says that: the system's can mean other things too.
                let is_used_up = e.get_ref().is_some() && e.kind() == ErrorKind::AddrNotAvailable;
                let help = |kind| if is_used_up { Some(MORE_SOURCES) } else { dial::help(kind) };
                Cause::Connect(with_help(cannot("connect to", &self.peer, &e), help))
            }
            cause => cause,
        };
        let connection = Some(lane.number);
        self.shared.recorder.trouble(Trouble { connection, local, cause, is_fatal: !is_excused });
        if is_excused {
            self.defer(now + RECONNECT_DELAY, lane);
        } else {
            self.end_failed();
        }
    }

    /// Takes a connection off the books, with what it had in flight.
    pub(super) fn remove(&mut self, token: Token) -> Option<Lane> {
        let Slot::Connection(Connection { lane, state, .. }) = self.reactor.remove(token)? else {
            return None;
        };
        match state {
            State::Connecting(_) => self.connecting -= 1,
            State::Open => self.open -= 1,
            State::Closing(_) => self.closing -= 1,
        }
        self.shared.in_flight -= lane.probe.in_flight();
        // It may be its successor's by now.
        let place = &mut self.places[lane.number];
        if matches!(place, Place::At(at) if *at == token) {
            *place = Place::Nowhere;
        }
        Some(lane)
    }
}
