//! The beginning of a turn, and the invariants that must hold at its end.

use std::collections::HashMap;
use std::time::Duration;

use crate::coverage::Feature;
use crate::datagrams::SOCKETS;
use crate::laws;
use crate::scenario::LISTENERS;
use crate::socket::Socket;
use crate::world::{Request, World};

/// How late the server may notice a deadline, or an accept queue that it does not serve.
const LATE: Duration = Duration::from_secs(1);

/// Turns within which the server must then act. Interruptions can waste some of them.
const LATE_TURNS: usize = 24;

impl World {
    /// Lets `passes` pass while the server waits with `timeout`, and begins its turn.
    pub fn begin_turn(&mut self, passes: Duration, timeout: Option<Duration>) {
        if self.clock.pass(passes, timeout) {
            self.coverage.note(Feature::LostTime);
        }
        self.turn += 1;
        self.calls = 0;
        self.closed = 0;
        self.http.begin_turn();
        self.udp.begin_turn();
        self.batches.swap(0, 1);
        self.batches[1].clear();
        for listening in &mut self.listeners {
            listening.calls = 0;
            listening.has_accepted = false;
        }
    }

    /// Checks all invariants. If `is_idle`, the server has had enough turns to handle every event.
    pub fn end_turn(&mut self, is_idle: bool) {
        self.coverage.note(Feature::Turn);
        self.check_limits();
        for at in 0..self.accepted.len() {
            let id = self.accepted[at];
            laws::note_silence(self, id);
            self.check_socket(id, is_idle);
        }
        (0..LISTENERS).for_each(|listener| self.check_listener(listener, is_idle));
        (0..SOCKETS).for_each(|socket| self.check_udp(socket, is_idle));
        self.check_scrapers();
        self.check_stop();
        if is_idle {
            self.coverage.note(Feature::Idle);
        }
        if self.unreported != 0 {
            let n = self.unreported;
            self.fail(|| format!("{n} connections were closed without a report"));
        }
    }

    fn check_limits(&mut self) {
        let config = &self.scenario.config;
        let (accepted, most) = (self.accepted.len(), config.max_connections);
        let per_ip = config.max_per_ip.unwrap_or(usize::MAX);
        let limit = config.pending_limit_bytes as u64;
        let mut of_network = HashMap::new();
        let mut held = 0;
        for id in &self.accepted {
            let socket = &mut self.sockets[*id];
            if socket.ledger.buffered == 0 {
                socket.ledger.buffered = socket.pending();
            }
            held += socket.ledger.buffered;
            if let Some(network) = socket.network() {
                *of_network.entry(network).or_default() += 1;
            }
        }
        if accepted > most {
            self.fail(|| format!("{accepted} connections, but the limit is {most}"));
        }
        if let Some(n) = of_network.into_values().find(|n: &usize| *n > per_ip) {
            self.fail(|| format!("{n} connections from one address, but the limit is {per_ip}"));
        }
        if held > limit {
            self.fail(|| format!("{held} bytes are pending, but the limit is {limit}"));
        }
        if 2 * held >= limit {
            self.coverage.note(Feature::FullPending);
        }
    }

    fn check_socket(&mut self, id: usize, is_idle: bool) {
        let is_late = self.is_late(&self.sockets[id]);
        let should_finish = self.should_finish(&self.sockets[id]);
        // Without faults, two are enough: one finds the socket empty, and one shuts down writing.
        let most = if self.has_faults { LATE_TURNS } else { 4 };
        let (turn, once) = (self.turn, self.scenario.config.once);
        let socket = &mut self.sockets[id];
        socket.ledger.late_turns = if is_late { socket.ledger.late_turns + 1 } else { 0 };
        socket.ledger.unfinished_turns =
            if should_finish { socket.ledger.unfinished_turns + 1 } else { 0 };
        let fault = fault_in_turn(socket, turn)
            .or_else(|| (socket.ledger.unfinished_turns > most).then_some("is not asked to finish"))
            .or_else(|| if is_idle { fault_when_idle(socket, once) } else { None });
        if let Some(fault) = fault {
            let socket = socket.to_string();
            self.fail(|| format!("socket {id} {fault}\n{socket}"));
        }
    }

    /// Whether half of the drain timeout is over, and the connection has nothing left to echo.
    fn should_finish(&self, socket: &Socket) -> bool {
        if !matches!(self.request, Request::Stop { .. }) {
            return false;
        }
        // The server found it empty, and it still is.
        let is_empty = socket.ledger.futile > 0 && !socket.is_readable();
        is_empty
            && socket.pending() == 0
            && socket.ledger.half_closed_at.is_none()
            && self.has_stopped_for(self.scenario.config.drain_timeout / 2)
    }

    fn is_late(&self, socket: &Socket) -> bool {
        // Silence from before the stop counts by another timeout, so it is not late yet.
        let since_stop = match self.request {
            Request::Stop { since, .. } => self.clock.since(since),
            Request::None | Request::Leave { .. } | Request::Abort { .. } => Duration::MAX,
        };
        let ledger = &socket.ledger;
        let mut silent = self.clock.since(ledger.last_active).min(since_stop);
        if ledger.half_closed_at.is_some() {
            silent = silent.min(self.clock.since(ledger.last_taken));
        }
        laws::timeout(self, socket).is_some_and(|timeout| silent > timeout + LATE)
    }

    fn check_listener(&mut self, listener: usize, is_idle: bool) {
        let has_room = self.accepted.len() < self.descriptors;
        let served = self.clock.served;
        let listening = &mut self.listeners[listener];
        if listening.retry_due.is_some_and(|due| due < self.turn) && listening.token.is_some() {
            listening.retry_due = None;
            self.fail(|| format!("listener {listener} is not retried though a descriptor is free"));
            return;
        }
        let may_fail = !has_room || !listening.failing.is_empty();
        let is_served = listening.queue.is_empty() || listening.edge || listening.has_accepted;
        if may_fail || is_served || listening.token.is_none() {
            listening.unserved_since = None;
            listening.late_turns = 0;
            return;
        }
        let since = *listening.unserved_since.get_or_insert(served);
        listening.late_turns += usize::from(self.clock.since(since) > LATE);
        let is_forgotten = is_idle && !listening.has_failed && !listening.is_silent;
        if listening.late_turns > LATE_TURNS || is_forgotten {
            self.fail(|| format!("listener {listener} leaves connections in its queue"));
        }
    }

    /// A server that must stop does so in time.
    fn check_stop(&mut self) {
        let is_late = match self.request {
            Request::None | Request::Abort { .. } => return,
            Request::Leave { .. } => self.may_drain(),
            Request::Stop { .. } => self.has_stopped_for(self.scenario.config.drain_timeout),
        };
        self.late_turns = if is_late { self.late_turns + 1 } else { 0 };
        // One turn begins to drain, one asks all connections to finish, and one ends them.
        if self.late_turns > 3 {
            self.fail(|| "the server does not stop".into());
        }
    }
}

fn fault_in_turn(socket: &Socket, turn: u64) -> Option<&'static str> {
    let ledger = &socket.ledger;
    let is_silent = !ledger.has_read && ledger.half_closed_at.is_none();
    if ledger.late_turns > LATE_TURNS {
        Some("is past its deadline")
    } else if ledger.turn == turn && ledger.is_flushed && is_silent {
        Some("has written what was pending, and does not read in the same turn")
    } else if ledger.is_end_reported || !ledger.is_registered {
        Some("is reported as closed, but still open")
    } else {
        None
    }
}

fn fault_when_idle(socket: &Socket, once: bool) -> Option<&'static str> {
    let is_echoed = socket.reads > 0 && socket.pending() == 0;
    if socket.edge {
        None
    } else if is_stuck(socket) {
        Some("waits for an event that was delivered already")
    } else if once && is_echoed && socket.ledger.half_closed_at.is_none() {
        Some("has its echo, but its writing side is not shut down")
    } else {
        None
    }
}

/// Whether bytes could move, and no event will report it.
fn is_stuck(socket: &Socket) -> bool {
    if socket.waiting_header().is_some() {
        return socket.has_unseen();
    }
    match socket.pending() {
        0 => socket.is_readable(),
        _ => socket.is_writable() || socket.free() > 0 && !socket.wants_space,
    }
}
