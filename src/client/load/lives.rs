//! From the first step of a connection to its end.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use mio::Token;

use super::connection::{Connection, Lane, State};
use super::engine::{Engine, Slot};
use super::{Cause, Stage, Trouble, Watch};
use crate::client::{GOODBYE, dial};
use crate::net::{Endpoint, Socket, cannot, with_help};

/// Connections under way at the same time where nobody says how fast to make them: few enough for the
/// shortest of accept queues.
const CONNECTING_AT_ONCE: usize = 100;

/// A connection that has died is replaced after this long, lest a server that refuses all be asked all the
/// time.
const REVIVAL: Duration = Duration::from_millis(100);

/// A connection for which there was no room in the server's accept queue is tried again after this long.
const RETRY: Duration = Duration::from_millis(10);

impl<W: Watch> Engine<'_, W> {
    /// Begins what connections it is time for.
    pub(super) fn connect(&mut self, now: Instant) -> io::Result<()> {
        self.forget(now);
        while self.dead.first().is_some_and(|(at, _)| *at <= now) {
            let (_, lane) = self.dead.remove(0);
            if self.is_needed(&lane) {
                self.open(lane)?;
            }
        }
        while !self.is_over && self.begun < self.options.connections && self.may_connect(now) {
            let lane = Lane::new(self.begun, self.options.depth);
            self.begun += 1;
            self.open(lane)?;
        }
        Ok(())
    }

    fn may_connect(&self, now: Instant) -> bool {
        match self.connect_at() {
            Some(at) => at <= now,
            None => self.connecting + self.dead.len() < CONNECTING_AT_ONCE,
        }
    }

    /// When to begin the next connection, where that was said.
    pub(super) fn connect_at(&self) -> Option<Instant> {
        let rate = self.options.connect_rate?;
        Some(self.start + Duration::from_secs_f64(self.begun as f64 / rate))
    }

    fn open(&mut self, mut lane: Lane) -> io::Result<()> {
        // Each counts from its own first step, and not from that of the first of many.
        let now = Instant::now();
        let sources = &self.options.sources;
        let socket = match sources.get(lane.number % sources.len().max(1)) {
            Some(source) => Socket::connect_from((*source, 0).into(), &self.peer),
            None => Socket::connect(&self.peer),
        };
        match socket {
            Ok(socket) => {
                let number = lane.number;
                let connection = Connection::new(socket, lane, now);
                let token = self.reactor.insert(Slot::Connection(connection))?;
                self.tokens[number] = Some(token);
                self.connecting += 1;
                // A Unix socket is connected by now, and no event may tell.
                self.reactor.again(token);
            }
            // The full accept queue of a Unix socket, connect(2): a TCP one would have it wait.
            Err(e)
                if e.kind() == ErrorKind::WouldBlock
                    && now < lane.refuse(now) + self.options.timeout =>
            {
                self.defer(now + RETRY, lane);
            }
            Err(e) => self.note(lane, None, Cause::Connect(e)),
        }
        Ok(())
    }

    /// Has a connection made later.
    fn defer(&mut self, at: Instant, lane: Lane) {
        let place = self.dead.partition_point(|(other, _)| *other <= at);
        self.dead.insert(place, (at, lane));
    }

    /// Whether there is something to do for a connection that does not exist yet.
    fn is_needed(&self, lane: &Lane) -> bool {
        match self.stage {
            Stage::Connecting | Stage::WarmingUp | Stage::Measuring => true,
            Stage::Draining | Stage::Closing => lane.is_waited_for(),
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
    pub(super) fn replace(&mut self, token: Token) -> io::Result<()> {
        let Some(Slot::Connection(connection)) = self.reactor.get_mut(token) else { return Ok(()) };
        let now = Instant::now();
        let lane = connection.retire(now);
        self.tokens[lane.number] = None;
        (self.open, self.closing) = (self.open - 1, self.closing + 1);
        self.retired.push_back((now, token));
        // Its end may be there already.
        self.reactor.again(token);
        self.forget(now);
        if self.is_needed(&lane) { self.open(lane) } else { Ok(()) }
    }

    /// Closes what was replaced and has not ended by itself: after a while, or where there is too much of it.
    fn forget(&mut self, now: Instant) {
        while let Some((since, token)) = self.retired.front().copied()
            && (now >= since + GOODBYE || self.retired.len() > self.options.connections)
        {
            self.retired.pop_front();
            // If it is not somebody else by now.
            if let Some(Slot::Connection(connection)) = self.reactor.get_mut(token)
                && connection.state == State::Closing(since)
            {
                drop(self.take(token));
            }
        }
    }

    /// Says goodbye on all connections, and drops those that are not made yet.
    pub(super) fn say_goodbye(&mut self, now: Instant) {
        self.dead.clear();
        for token in self.tokens.clone().into_iter().flatten() {
            match self.reactor.get_mut(token) {
                Some(Slot::Connection(connection)) if connection.state == State::Open => {
                    connection.say_goodbye(now);
                    (self.open, self.closing) = (self.open - 1, self.closing + 1);
                    self.reactor.again(token);
                }
                _ => drop(self.take(token)),
            }
        }
    }

    /// Closes the connections that have waited for the server for too long.
    pub(super) fn bury_late(&mut self, now: Instant) {
        let timeout = self.options.timeout;
        let mut late = Vec::new();
        for token in self.tokens.iter().flatten() {
            if let Some(Slot::Connection(connection)) = self.reactor.get_mut(*token)
                && connection.waiting_since().is_some_and(|since| now > since + timeout)
            {
                late.push((*token, connection.timed_out(timeout)));
            }
        }
        late.into_iter().for_each(|(token, cause)| self.bury(token, cause));
    }

    /// A connection has died.
    pub(super) fn bury(&mut self, token: Token, cause: Cause) {
        let local = match self.reactor.get_mut(token) {
            Some(Slot::Connection(connection)) => connection.socket.local_addr().ok(),
            _ => None,
        };
        if let Some(lane) = self.take(token) {
            lane.lose(Instant::now(), &mut self.shared);
            self.note(lane, local, cause);
        }
    }

    fn note(&mut self, lane: Lane, local: Option<Endpoint>, cause: Cause) {
        let is_wrong = matches!(&cause, Cause::Fault(fault) if fault.is_wrong());
        let now = Instant::now();
        self.look_for_movement(now);
        // Nothing excuses wrong bytes, or a server that cannot be reached in the first place, or any more.
        let is_excused = self.options.keep_going
            && !is_wrong
            && self.stage != Stage::Connecting
            && !self.is_forsaken(now);
        let cause = match cause {
            Cause::Connect(e) => {
                Cause::Connect(with_help(cannot("connect to", &self.peer, &e), dial::help))
            }
            cause => cause,
        };
        let connection = lane.number;
        self.shared.record.trouble(Trouble { connection, local, cause, is_fatal: !is_excused });
        if is_excused {
            self.defer(now + REVIVAL, lane);
        } else {
            self.fail();
        }
    }

    /// Takes a connection off the books, with what it had in flight.
    pub(super) fn take(&mut self, token: Token) -> Option<Lane> {
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
        self.tokens[lane.number].take_if(|of| *of == token);
        Some(lane)
    }
}
