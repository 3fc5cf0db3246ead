//! The server's system calls, each checked against what the server may do at that moment.

use std::io::{self, ErrorKind};

use mio::Token;
use resound::observe::{ConnId, Event, Expiry, Refusal};
use rustix::io::Errno;

use crate::coverage::Feature;
use crate::grammar::OF_ONE;
use crate::kit::pattern;
use crate::laws;
use crate::socket::Place;
use crate::world::{Exhaustion, World};

/// What was pending, a read, and its echo. More would be unfair to the others.
const CALLS_PER_TURN: usize = 3;

/// Connections that may be accepted from one queue in one turn: README.md says that batches are bounded.
const ACCEPTS_PER_TURN: usize = 64;

/// How often a call may say "not now" to one who was not woken: after a stranger's event, say, or at
/// some deadline, to which come the looks at whether it takes anything. More is spinning.
const IN_VAIN: usize = 16;

impl World {
    pub fn sys_read(&mut self, id: usize, buffer: &mut [u8]) -> io::Result<usize> {
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
        let cut = if self.is_calm { 0 } else { self.scenario.fault_rates.cut };
        let urgent = self.sockets[id].urgent;
        let read = self.sockets[id].receive(buffer, &mut self.rng, cut);
        self.count(id, &read);
        if urgent.is_some() && self.sockets[id].urgent.is_none() {
            self.coverage.note(Feature::Urgent);
        }
        if self.is_stopping() {
            let socket = &mut self.sockets[id];
            socket.ledger.emptied |= socket.arrived == socket.read;
        }
        read
    }

    pub fn sys_write(&mut self, id: usize, bytes: &[u8]) -> io::Result<usize> {
        self.enter(id, "write");
        self.check_written(id, bytes);
        if self.chance(self.scenario.fault_rates.interrupted) {
            self.coverage.note(Feature::Interrupted);
            return Err(ErrorKind::Interrupted.into());
        }
        let cut = if self.is_calm { 0 } else { self.scenario.fault_rates.cut };
        let socket = &self.sockets[id];
        if socket.wants_space && socket.free() > 0 && !socket.is_writable() {
            self.coverage.note(Feature::RoomWithoutEdge);
        }
        let wrote = self.sockets[id].send(bytes.len(), &mut self.rng, cut);
        self.count(id, &wrote);
        let socket = &mut self.sockets[id];
        if socket.written == socket.read {
            socket.ledger.held = 0;
            socket.ledger.is_flushed |= socket.ledger.calls == 1;
        }
        wrote
    }

    /// Fidelity: what is written is the next of what was read.
    fn check_written(&mut self, id: usize, bytes: &[u8]) {
        let socket = &self.sockets[id];
        let (written, read) = (socket.written, socket.read);
        let len = bytes.len();
        if socket.ledger.goodbye.is_some() {
            self.fail(|| format!("socket {id}: {len} bytes are written after the goodbye"));
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

    /// Counts what came of a read or a write.
    fn count(&mut self, id: usize, result: &io::Result<usize>) {
        let ledger = &mut self.sockets[id].ledger;
        match result {
            Ok(1..) => {
                ledger.vain = 0;
                match ledger.goodbye {
                    Some(_) => self.coverage.note(Feature::Discarded),
                    None => ledger.active = self.clock.served,
                }
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                ledger.vain += 1;
                let vain = ledger.vain;
                if vain > IN_VAIN {
                    self.fail(|| format!("socket {id}: tried {vain} times in vain: a spin"));
                }
            }
            _ => {}
        }
    }

    pub fn sys_shutdown_write(&mut self, id: usize) -> io::Result<()> {
        self.calls += 1;
        laws::goodbye(self, id);
        let served = self.clock.served;
        let socket = &mut self.sockets[id];
        socket.ledger.active = served;
        if socket.ledger.goodbye.is_none() {
            socket.ledger.owed = socket.read;
            socket.ledger.goodbye = Some(served);
        }
        if socket.error.is_some() { Err(Errno::NOTCONN.into()) } else { Ok(()) }
    }

    /// What the kernel says of a peer that was told goodbye.
    pub fn sys_unacknowledged(&mut self, id: usize) -> u32 {
        let left = self.sockets[id].left();
        if left > 0 {
            self.coverage.note(Feature::LeftAfterLinger);
        }
        left as u32
    }

    pub fn sys_watch(&mut self, id: usize, token: Token) -> io::Result<()> {
        self.check_token(token);
        let ledger = &mut self.sockets[id].ledger;
        ledger.active = self.clock.served;
        if self.chance(self.scenario.fault_rates.register_fails) {
            self.sockets[id].ledger.fails_to_register = true;
            return Err(Errno::NOSPC.into());
        }
        let socket = &mut self.sockets[id];
        socket.ledger.is_registered = true;
        socket.token = Some(token);
        // It can be written to, if nothing else.
        socket.edge = true;
        Ok(())
    }

    pub fn sys_watch_listener(&mut self, listener: usize, token: Token) {
        self.check_token(token);
        self.listeners[listener].token = Some(token);
        self.listeners[listener].is_open = true;
    }

    /// Slots are used again, and none by two.
    fn check_token(&mut self, token: Token) {
        let taken = |other: Option<Token>| other == Some(token);
        let twice = self.live.iter().any(|id| taken(self.sockets[*id].token))
            || self.listeners.iter().any(|listening| taken(listening.token));
        self.most_live = self.most_live.max(self.live.len());
        let bound = self.listeners.len() + self.most_live;
        if twice || token.0 >= bound {
            self.fail(|| format!("{token:?} for a socket; {bound} would do; taken: {twice}"));
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
        listening.due = None;
        let calls = listening.calls;
        // What waits when the server stops is taken all at once.
        if calls > ACCEPTS_PER_TURN && !is_stopping {
            self.fail(|| format!("listener {listener}: accept is call {calls} of one turn"));
        }
        let accepted = self.accept(listener);
        match &accepted {
            Ok(id) => self.accepted(listener, *id),
            Err(e) if e.kind() == ErrorKind::WouldBlock => self.accepted_in_vain(listener),
            Err(e) => {
                self.listeners[listener].deaf = None;
                // One after the other: that may be taken for no fault of each.
                self.listeners[listener].failures += 1;
                self.listeners[listener].has_failed |=
                    self.listeners[listener].failures >= ACCEPTS_PER_TURN;
                if !Errno::from_io_error(e).is_some_and(|errno| OF_ONE.contains(&errno)) {
                    self.exhausted(listener);
                }
            }
        }
        accepted
    }

    fn accepted(&mut self, listener: usize, id: usize) {
        let listening = &mut self.listeners[listener];
        listening.has_accepted = true;
        listening.failures = 0;
        listening.vain = 0;
        listening.exhaustion = None;
        self.sockets[id].ledger.active = self.clock.served;
    }

    fn accepted_in_vain(&mut self, listener: usize) {
        let is_stopping = self.is_stopping();
        let listening = &mut self.listeners[listener];
        listening.exhaustion = None;
        listening.has_failed = false;
        listening.vain += 1;
        let vain = listening.vain;
        if vain > IN_VAIN && !is_stopping {
            self.fail(|| format!("listener {listener}: accepted {vain} times in vain: a spin"));
        }
    }

    /// While descriptors are short, accepting may be tried now and then, and whenever one is set free.
    fn exhausted(&mut self, listener: usize) {
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
            self.fail(|| format!("listener {listener}: {failures} failures in {time:?}: a spin"));
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
        let (is_watched, is_known) = (socket.token.is_some(), socket.ledger.is_announced);
        if is_watched {
            self.fail(|| format!("socket {id}: closed while registered"));
        }
        let was_served = self.sockets[id].ledger.is_registered;
        self.gone += 1;
        self.unannounced += i64::from(!is_known);
        for listening in &mut self.listeners {
            if let Some(exhaustion) = &mut listening.exhaustion {
                exhaustion.allowed += 1;
                if was_served {
                    listening.due.get_or_insert(self.turn + 2);
                }
            }
        }
        self.lose(id);
    }

    /// The server reports what it did itself.
    pub fn on_server_event(&mut self, event: Event<'_>) {
        match event {
            Event::AcceptFailed { .. } => self.coverage.note(Feature::BackedOff),
            Event::Draining { connections, .. } if connections != self.live.len() => {
                let live = self.live.len();
                self.fail(|| format!("{connections} connections are left, of {live}"));
            }
            _ => {}
        }
    }

    /// The server reports what it did to a connection, or what the connection did.
    pub fn on_event(&mut self, id: usize, conn: ConnId, event: Event<'_>) {
        self.check_id(id, conn, event);
        match event {
            Event::Read(n) => self.sockets[id].ledger.told_read += n as u64,
            Event::Wrote(n) => self.sockets[id].ledger.told_wrote += n as u64,
            Event::WriteBlocked => self.coverage.note(Feature::Blocked),
            Event::Accepted => self.coverage.note(Feature::Accepted),
            Event::Yielded => self.coverage.note(Feature::Yielded),
            Event::HalfClosed if self.sockets[id].ledger.goodbye.is_none() => {
                self.fail(|| format!("socket {id}: half-closed, but its writing side is open"));
            }
            Event::Expired(expiry) => self.coverage.note(expired(expiry)),
            Event::Refused(why) => {
                laws::refused(self, id, why);
                self.sockets[id].ledger.is_refused = true;
                self.announce(id);
            }
            Event::Closed { why, is_cut } => {
                laws::closed(self, id, why);
                laws::counted(self, id, why, is_cut);
                self.check_counts(id);
                self.announce(id);
            }
            _ => {}
        }
    }

    /// A connection keeps its identifier, and no other ever has the same.
    fn check_id(&mut self, id: usize, conn: ConnId, event: Event<'_>) {
        let known = &mut self.sockets[id].ledger.conn;
        match *known {
            Some(known) if known != conn => {
                self.fail(|| format!("socket {id} is {known}, and {conn} in {event:?}"));
            }
            Some(_) => {}
            None if self.last_conn >= Some(conn) => {
                self.fail(|| format!("socket {id}: its identifier {conn} is not new"));
            }
            None => {
                *known = Some(conn);
                self.last_conn = Some(conn);
            }
        }
    }

    /// The reported bytes are those that moved.
    fn check_counts(&mut self, id: usize) {
        let socket = &self.sockets[id];
        let (told, moved) =
            ((socket.ledger.told_read, socket.ledger.told_wrote), (socket.read, socket.written));
        if told != moved {
            self.fail(|| format!("socket {id}: {told:?} bytes were reported, {moved:?} moved"));
        }
    }

    fn announce(&mut self, id: usize) {
        let socket = &mut self.sockets[id];
        let is_again = std::mem::replace(&mut socket.ledger.is_announced, true);
        self.unannounced -= i64::from(socket.place == Place::Gone);
        if is_again {
            self.fail(|| format!("socket {id}: its end is told twice"));
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

/// What a refusal counts as.
pub fn feature(why: Refusal) -> Feature {
    match why {
        Refusal::MaxConnections => Feature::RefusedMaxConnections,
        Refusal::MaxPerIp => Feature::RefusedMaxPerIp,
        // There always is memory: what makes it fail is another test's to find.
        Refusal::RegisterFailed | Refusal::NoMemory => Feature::RefusedRegisterFailed,
    }
}
