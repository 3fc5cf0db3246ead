//! The server's system calls, each checked against what the server may do at that moment.

use std::io::{self, ErrorKind};
use std::time::Duration;

use mio::Token;
use resound::net::Endpoint;
use resound::observe::{ConnId, Event, Expiry};
use rustix::io::Errno;

use crate::coverage::Feature;
use crate::gate;
use crate::grammar::PER_CONNECTION;
use crate::kit::pattern;
use crate::laws;
use crate::proxied;
use crate::scenario::{Queue, SERVICES};
use crate::socket::Place;
use crate::world::{Exhaustion, Request, World};

/// A write of what was pending, a read, and the write of its echo. More would be unfair to the others.
const CALLS_PER_TURN: usize = 3;

/// Connections that may be accepted from one listener in one turn.
const ACCEPTS_PER_TURN: usize = 64;

/// How often calls may return `WouldBlock` without an event of their own. Spurious events, deadlines and looks at slow
/// peers lead to some. More are a busy loop.
pub const MAX_FUTILE: usize = 16;

/// How often the server may look into a shared accept queue without an event.
const LOOK: Duration = Duration::from_secs(1);

impl World {
    pub fn sys_read(&mut self, id: usize, buffer: &mut [u8]) -> io::Result<usize> {
        if self.sockets[id].waiting_header().is_some() {
            return self.read_header(id, buffer);
        }
        self.enter(id, "read");
        let socket = &mut self.sockets[id];
        socket.ledger.has_read = true;
        let pending = socket.pending();
        if pending > 0 {
            self.fail(|| format!("socket {id}: read while {pending} bytes are pending"));
        }
        laws::before_read(self, id, buffer.len());
        if self.chance(self.scenario.fault_rates.interrupted) {
            self.coverage.note(Feature::Interrupted);
            self.sockets[id].ledger.is_interrupted = true;
            return Err(ErrorKind::Interrupted.into());
        }
        self.sockets[id].ledger.is_interrupted = false;
        if self.sockets[id].is_abandoned() && self.sockets[id].header_unread() > 0 {
            return Ok(self.discard_header(id, buffer));
        }
        let cut = if self.has_faults { self.scenario.fault_rates.cut } else { 0 };
        let urgent = self.sockets[id].urgent;
        let read = self.sockets[id].receive(buffer, &mut self.rng, cut);
        self.totals.read += *read.as_ref().unwrap_or(&0) as u64;
        self.note_result(id, &read);
        if urgent.is_some() && self.sockets[id].urgent.is_none() {
            self.coverage.note(Feature::Urgent);
        }
        if self.is_stopping() {
            let socket = &mut self.sockets[id];
            socket.ledger.is_drained_since_stop |= socket.arrived == socket.read;
        }
        read
    }

    pub fn sys_write(&mut self, id: usize, bytes: &[u8]) -> io::Result<usize> {
        self.enter(id, "write");
        self.check_written(id, bytes);
        if self.chance(self.scenario.fault_rates.interrupted) {
            self.coverage.note(Feature::Interrupted);
            self.sockets[id].ledger.interrupted_writes += 1;
            return Err(ErrorKind::Interrupted.into());
        }
        let cut = if self.has_faults { self.scenario.fault_rates.cut } else { 0 };
        let socket = &self.sockets[id];
        if socket.wants_space && socket.free() > 0 && !socket.is_writable() {
            self.coverage.note(Feature::RoomWithoutEdge);
        }
        let wrote = self.sockets[id].send(bytes.len(), &mut self.rng, cut);
        self.totals.written += *wrote.as_ref().unwrap_or(&0) as u64;
        self.note_result(id, &wrote);
        let socket = &mut self.sockets[id];
        if socket.written == socket.read {
            socket.ledger.buffered = 0;
            socket.ledger.is_flushed |= socket.ledger.calls == 1;
        }
        wrote
    }

    /// Fidelity: the written bytes are the next of those that were read.
    fn check_written(&mut self, id: usize, bytes: &[u8]) {
        let socket = &self.sockets[id];
        let (written, read) = (socket.written, socket.read);
        let len = bytes.len();
        if socket.waiting_header().is_some() {
            self.fail(|| format!("socket {id}: {len} bytes are written before its header"));
        } else if socket.ledger.half_closed_at.is_some() {
            self.fail(|| format!("socket {id}: {len} bytes are written after the half-close"));
        } else if len == 0 || len as u64 > read - written {
            self.fail(|| format!("socket {id}: {len} bytes after {written}; {read} were read"));
        } else if bytes != pattern::bytes(id, written, len) {
            self.fail(|| format!("socket {id}: {len} bytes after {written} are wrong"));
        }
    }

    fn enter(&mut self, id: usize, what: &str) {
        self.calls += 1;
        let turn = self.turn;
        let socket = &mut self.sockets[id];
        let ledger = &mut socket.ledger;
        if ledger.turn != turn {
            ledger.turn = turn;
            ledger.calls = 0;
            ledger.is_flushed = false;
            ledger.has_read = false;
        }
        ledger.calls += 1;
        let calls = ledger.calls;
        let (end, is_watched) = (socket.end, socket.token.is_some());
        if calls > CALLS_PER_TURN + laws::extra_calls(self, id) {
            self.fail(|| format!("socket {id}: {what} is call {calls} of one turn"));
        }
        if let Some(end) = end {
            self.fail(|| format!("socket {id}: {what} after the end {end:?}"));
        }
        if !is_watched {
            self.fail(|| format!("socket {id}: {what} while not registered"));
        }
        self.meanwhile(id);
    }

    /// Notes the result of a read or a write.
    fn note_result(&mut self, id: usize, result: &io::Result<usize>) {
        let ledger = &mut self.sockets[id].ledger;
        match result {
            Ok(1..) => {
                ledger.futile = 0;
                ledger.interrupted_writes = 0;
                match ledger.half_closed_at {
                    Some(_) => self.coverage.note(Feature::Discarded),
                    None => ledger.last_active = self.clock.served,
                }
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                ledger.futile += 1;
                let futile = ledger.futile;
                if futile > MAX_FUTILE {
                    self.fail(|| {
                        format!("socket {id}: {futile} calls without an event: a busy loop")
                    });
                }
            }
            _ => {}
        }
    }

    pub fn sys_shutdown_write(&mut self, id: usize) -> io::Result<()> {
        self.calls += 1;
        laws::half_close(self, id);
        let served = self.clock.served;
        let socket = &mut self.sockets[id];
        socket.ledger.last_active = served;
        if socket.ledger.half_closed_at.is_none() {
            socket.ledger.owed = socket.read;
            socket.ledger.half_closed_at = Some(served);
        }
        if socket.error.is_some() { Err(Errno::NOTCONN.into()) } else { Ok(()) }
    }

    /// What the kernel reports of a lingering connection.
    pub fn sys_unacknowledged(&mut self, id: usize) -> u32 {
        let left = self.sockets[id].unacknowledged();
        if left > 0 {
            self.coverage.note(Feature::UnacknowledgedAfterLinger);
        }
        left as u32
    }

    pub fn sys_watch(&mut self, id: usize, token: Token) -> io::Result<()> {
        self.check_token(token);
        gate::pass_all(self, id);
        let ledger = &mut self.sockets[id].ledger;
        ledger.last_active = self.clock.served;
        if self.chance(self.scenario.fault_rates.register_fails) {
            self.sockets[id].ledger.fails_to_register = true;
            return Err(Errno::NOSPC.into());
        }
        let socket = &mut self.sockets[id];
        socket.ledger.is_registered = true;
        socket.token = Some(token);
        // It is writable, at least.
        socket.edge = true;
        Ok(())
    }

    pub fn sys_watch_listener(&mut self, listener: usize, token: Token) {
        self.check_token(token);
        self.listeners[listener].token = Some(token);
        self.listeners[listener].is_open = true;
        // epoll reports what is true already.
        self.listeners[listener].edge = !self.listeners[listener].queue.is_empty();
    }

    /// Slots are reused, but never shared.
    pub fn check_token(&mut self, token: Token) {
        let taken = |other: Option<Token>| other == Some(token);
        let twice = self.accepted.iter().any(|id| taken(self.sockets[*id].token))
            || self.udp.queues.iter().any(|queue| taken(queue.token))
            || self.listeners.iter().any(|listening| taken(listening.token));
        self.most_accepted = self.most_accepted.max(self.accepted.len());
        let bound = self.listeners.len() + SERVICES + self.most_accepted;
        if twice || token.0 >= bound {
            self.fail(|| format!("{token:?} is given; it must be below {bound}; in use: {twice}"));
        }
        if token.0 < self.tokens_used {
            self.coverage.note(Feature::SlotReused);
        }
        if self.batches[0].contains(&token) {
            self.coverage.note(Feature::SlotReusedInBatch);
        }
        self.tokens_used = self.tokens_used.max(token.0 + 1);
    }

    pub fn sys_accept(&mut self, listener: usize) -> io::Result<usize> {
        self.calls += 1;
        let is_stopping = self.is_stopping();
        let listening = &mut self.listeners[listener];
        listening.calls += 1;
        listening.retry_due = None;
        let calls = listening.calls;
        if is_stopping && self.scenario.queues[listener] == Queue::Inherited {
            self.fail(|| format!("listener {listener}: accepts what is its successor's"));
            return Err(ErrorKind::WouldBlock.into());
        }
        // A stopping server empties its queue in one turn.
        if calls > ACCEPTS_PER_TURN && !self.may_drain() {
            self.fail(|| format!("listener {listener}: accept is call {calls} of one turn"));
        }
        let accepted = self.accept(listener);
        match &accepted {
            Ok(id) => self.on_accept(listener, *id),
            Err(e) if e.kind() == ErrorKind::WouldBlock => self.on_empty_queue(listener),
            Err(e) => {
                self.listeners[listener].unserved_since = None;
                // After many in a row, the server may blame the listener, and back off.
                self.listeners[listener].failures += 1;
                self.listeners[listener].has_failed |=
                    self.listeners[listener].failures >= ACCEPTS_PER_TURN;
                if !Errno::from_io_error(e).is_some_and(|errno| PER_CONNECTION.contains(&errno)) {
                    self.on_exhaustion(listener);
                }
            }
        }
        accepted
    }

    fn on_accept(&mut self, listener: usize, id: usize) {
        self.totals.accepted += 1;
        let listening = &mut self.listeners[listener];
        if listening.is_silent && !listening.edge && listening.calls == 1 {
            self.coverage.note(Feature::AcceptedWithoutEvent);
        }
        listening.has_accepted = true;
        listening.failures = 0;
        listening.futile = 0;
        listening.exhaustion = None;
        self.sockets[id].ledger.last_active = self.clock.served;
    }

    fn on_empty_queue(&mut self, listener: usize) {
        let (may_drain, served) = (self.may_drain(), self.clock.served);
        let is_shared = self.scenario.queues[listener] == Queue::Shared;
        let listening = &mut self.listeners[listener];
        listening.exhaustion = None;
        listening.has_failed = false;
        listening.is_silent = false;
        if is_shared && served - listening.looked >= LOOK {
            // A look is no busy loop.
            (listening.looked, listening.futile) = (served, 0);
        }
        listening.futile += 1;
        let futile = listening.futile;
        if futile > MAX_FUTILE && !may_drain {
            self.fail(|| {
                format!("listener {listener}: {futile} accepts from an empty queue: a busy loop")
            });
        }
    }

    /// While descriptors are short, the server may retry whenever one is freed, and also four times a second.
    fn on_exhaustion(&mut self, listener: usize) {
        self.coverage.note(Feature::Exhausted);
        let raw = self.clock.raw;
        let listening = &mut self.listeners[listener];
        listening.has_failed = true;
        if !listening.waiting.is_empty() {
            self.coverage.note(Feature::ExhaustedWithFullQueue);
        }
        let exhaustion =
            listening.exhaustion.get_or_insert(Exhaustion { since: raw, failures: 0, allowed: 2 });
        exhaustion.failures += 1;
        let (failures, time) = (exhaustion.failures, raw - exhaustion.since);
        if u128::from(failures - exhaustion.allowed.min(failures)) > time.as_millis() / 250 {
            self.fail(|| {
                format!("listener {listener}: {failures} failures in {time:?}: a busy loop")
            });
        }
    }

    pub fn sys_close_listener(&mut self, listener: usize) {
        if self.listeners[listener].token.is_some() {
            self.fail(|| format!("listener {listener}: closed while registered"));
        }
        laws::listener_closed(self, listener);
        self.close_listener(listener);
    }

    pub fn sys_close(&mut self, id: usize) {
        let socket = &self.sockets[id];
        let (is_watched, is_known) = (socket.token.is_some(), socket.ledger.is_end_reported);
        if is_watched {
            self.fail(|| format!("socket {id}: closed while registered"));
        }
        let was_served = self.sockets[id].ledger.is_registered;
        self.closed += 1;
        self.unreported += i64::from(!is_known);
        for listening in &mut self.listeners {
            if let Some(exhaustion) = &mut listening.exhaustion {
                exhaustion.allowed += 1;
                if was_served {
                    listening.retry_due.get_or_insert(self.turn + 2);
                }
            }
        }
        self.remove(id);
    }

    /// Handles a report of what the server itself did.
    pub fn on_server_event(&mut self, event: Event<'_>) {
        if matches!(event, Event::DrainDelayed { .. } | Event::Draining { .. }) {
            self.notified_in = self.turn;
        }
        match event {
            Event::AcceptFailed { .. } => self.coverage.note(Feature::BackedOff),
            Event::Draining { .. } if !self.may_drain() => {
                self.fail(|| "the server drains before the drain delay is over".into());
            }
            Event::Draining { connections, .. } if connections != self.accepted.len() => {
                let accepted = self.accepted.len();
                self.fail(|| {
                    format!("{connections} connections are reported, but {accepted} are open")
                });
            }
            Event::Draining { .. } => self.on_drain(),
            event => self.on_datagram(event),
        }
    }

    fn on_drain(&mut self) {
        if let Request::Leave { .. } = self.request {
            self.coverage.note(Feature::DrainedAfterDelay);
            // In this turn, the server may have seen idle peers first.
            for at in 0..self.accepted.len() {
                laws::note_silence(self, self.accepted[at]);
            }
            self.request = Request::Stop { since: self.clock.served, raw: self.clock.raw };
        }
    }

    /// Handles a report about a connection.
    pub fn on_event(&mut self, id: usize, (conn, peer): (ConnId, &Endpoint), event: Event<'_>) {
        self.check_id(id, conn, event);
        proxied::check_peer(self, id, peer, event);
        match event {
            Event::Read(n) => self.sockets[id].ledger.reported_read += n as u64,
            Event::Wrote(n) => self.sockets[id].ledger.reported_wrote += n as u64,
            Event::WriteBlocked => self.coverage.note(Feature::Blocked),
            Event::Accepted => {
                self.coverage.note(Feature::Accepted);
                proxied::accepted(self, id);
            }
            Event::Proxied { by } => proxied::named(self, id, by),
            Event::Yielded => self.coverage.note(Feature::Yielded),
            Event::HalfClosed if self.sockets[id].ledger.half_closed_at.is_none() => {
                self.fail(|| {
                    format!("socket {id}: reported as half-closed, but its writing side is open")
                });
            }
            Event::Expired(expiry) => {
                // Its time may have passed in this turn.
                laws::note_silence(self, id);
                self.sockets[id].ledger.is_expired_idle |= expiry == Expiry::Idle;
                self.coverage.note(expired(expiry));
            }
            Event::Refused { refused, start } => {
                match proxied::is_of_header(refused.why) {
                    true => proxied::refused(self, id, refused.why, start),
                    false => laws::refused(self, id, refused.why),
                }
                self.note_end(id);
            }
            Event::Closed { why, is_cut } => {
                laws::closed(self, id, why);
                laws::counted(self, id, why, is_cut);
                self.check_counts(id);
                self.note_end(id);
            }
            _ => {}
        }
    }

    /// A connection keeps its identifier, which no other ever gets.
    fn check_id(&mut self, id: usize, conn: ConnId, event: Event<'_>) {
        let known = &mut self.sockets[id].ledger.conn;
        match *known {
            Some(known) if known != conn => {
                self.fail(|| format!("socket {id} is {known}, but {conn} in {event:?}"));
            }
            Some(_) => {}
            None => {
                *known = Some(conn);
                if !self.conns.insert(conn) {
                    self.fail(|| format!("socket {id}: its identifier {conn} is not new"));
                }
            }
        }
    }

    /// The server reported exactly the bytes that moved.
    fn check_counts(&mut self, id: usize) {
        let socket = &self.sockets[id];
        let (reported, moved) = (
            (socket.ledger.reported_read, socket.ledger.reported_wrote),
            (socket.read + socket.ledger.discarded, socket.written),
        );
        if reported != moved {
            self.fail(|| {
                format!("socket {id}: {reported:?} bytes were reported, but {moved:?} moved")
            });
        }
    }

    fn note_end(&mut self, id: usize) {
        let socket = &mut self.sockets[id];
        let is_again = std::mem::replace(&mut socket.ledger.is_end_reported, true);
        self.unreported -= i64::from(socket.place == Place::Gone);
        if is_again {
            self.fail(|| format!("socket {id}: its end is reported twice"));
        }
    }
}

fn expired(expiry: Expiry) -> Feature {
    match expiry {
        Expiry::Idle => Feature::ExpiredIdle,
        Expiry::Stalled => Feature::ExpiredStalled,
        Expiry::Lingering => Feature::ExpiredLingering,
        Expiry::Quiet => Feature::ExpiredQuiet,
    }
}
