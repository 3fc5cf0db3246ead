//! The invariants that hold between turns.

use std::time::Duration;

use crate::coverage::Feature;
use crate::laws;
use crate::socket::Socket;
use crate::world::{Asked, World};

/// How late a deadline, or a queue that nobody serves, may be noticed.
const LATE: Duration = Duration::from_secs(1);

/// Turns in which that is then acted upon, although now and then one goes to waste by an interruption.
const LATE_TURNS: usize = 24;

impl World {
    /// Time passes while the server waits, with this timeout, and then it takes a turn.
    pub fn begin_turn(&mut self, passes: Duration, timeout: Option<Duration>) {
        if self.clock.pass(passes, timeout) {
            self.coverage.note(Feature::LostTime);
        }
        self.turn += 1;
        self.calls = 0;
        self.closed = 0;
        self.batches.swap(0, 1);
        self.batches[1].clear();
        for listening in &mut self.listeners {
            listening.calls = 0;
            listening.has_accepted = false;
        }
    }

    /// `is_idle`: the server has had turns enough to deal with all that it was told.
    pub fn end_turn(&mut self, is_idle: bool) {
        self.coverage.note(Feature::Turn);
        self.check_limits();
        for at in 0..self.accepted.len() {
            let id = self.accepted[at];
            laws::note_silence(self, id);
            self.check_socket(id, is_idle);
        }
        (0..2).for_each(|listener| self.check_listener(listener, is_idle));
        self.check_stop();
        if is_idle {
            self.coverage.note(Feature::Idle);
        }
        if self.unreported != 0 {
            let n = self.unreported;
            self.fail(|| format!("{n} connections more have gone than the server told of"));
        }
    }

    fn check_limits(&mut self) {
        let config = &self.scenario.config;
        let (live, most) = (self.accepted.len(), config.max_connections);
        let per_ip = config.max_per_ip.unwrap_or(usize::MAX);
        let limit = config.pending_limit_bytes as u64;
        let mut of_ip = [0; 256];
        let mut held = 0;
        for id in &self.accepted {
            let socket = &mut self.sockets[*id];
            if socket.ledger.buffered == 0 {
                socket.ledger.buffered = socket.pending();
            }
            held += socket.ledger.buffered;
            of_ip[usize::from(socket.ip)] += usize::from(socket.is_tcp);
        }
        if live > most {
            self.fail(|| format!("{live} connections, where {most} may be"));
        }
        if let Some(n) = of_ip.iter().find(|n| **n > per_ip) {
            self.fail(|| format!("{n} connections from one address, where {per_ip} may be"));
        }
        if held > limit {
            self.fail(|| format!("{held} bytes are pending, where {limit} may be"));
        }
        if 2 * held >= limit {
            self.coverage.note(Feature::FullPending);
        }
    }

    fn check_socket(&mut self, id: usize, is_idle: bool) {
        let is_late = self.is_late(&self.sockets[id]);
        let should_finish = self.should_finish(&self.sockets[id]);
        // Without interruptions, it takes two: one to see that there is no more, and one for the goodbye.
        let patience = if self.has_no_faults { 4 } else { LATE_TURNS };
        let (turn, once) = (self.turn, self.scenario.config.once);
        let socket = &mut self.sockets[id];
        socket.ledger.late_turns = if is_late { socket.ledger.late_turns + 1 } else { 0 };
        socket.ledger.unfinished_turns =
            if should_finish { socket.ledger.unfinished_turns + 1 } else { 0 };
        let wrong = wrong_in_turn(socket, turn)
            .or_else(|| {
                (socket.ledger.unfinished_turns > patience).then_some("is not asked to end")
            })
            .or_else(|| if is_idle { wrong_when_idle(socket, once) } else { None });
        if let Some(wrong) = wrong {
            let socket = socket.to_string();
            self.fail(|| format!("socket {id} {wrong}\n{socket}"));
        }
    }

    /// Half of the drain timeout is over, and there is nothing left to wait for.
    fn should_finish(&self, socket: &Socket) -> bool {
        if !matches!(self.asked, Asked::Stopping { .. }) {
            return false;
        }
        // It was seen to be empty, and still is.
        let is_empty = socket.ledger.futile > 0 && !socket.is_readable();
        is_empty
            && socket.pending() == 0
            && socket.ledger.half_closed_at.is_none()
            && self.has_stopped_for(self.scenario.config.drain_timeout / 2)
    }

    fn is_late(&self, socket: &Socket) -> bool {
        // Whoever had been silent for long before the server was told to stop was not late by then.
        let since_stop = match self.asked {
            Asked::Stopping { since, .. } => self.clock.since(since),
            Asked::Serving | Asked::Aborted => Duration::MAX,
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
            self.fail(|| format!("listener {listener} is not told of a free descriptor"));
            return;
        }
        let is_well = !has_room || !listening.failing.is_empty();
        let nobody = listening.queue.is_empty() || listening.edge || listening.has_accepted;
        if is_well || nobody || listening.token.is_none() {
            listening.unserved_since = None;
            listening.late_turns = 0;
            return;
        }
        let since = *listening.unserved_since.get_or_insert(served);
        listening.late_turns += usize::from(self.clock.since(since) > LATE);
        let is_lost = is_idle && !listening.has_failed;
        if listening.late_turns > LATE_TURNS || is_lost {
            self.fail(|| format!("listener {listener} is deaf"));
        }
    }

    /// A server that was told to stop does, in time.
    fn check_stop(&mut self) {
        if !matches!(self.asked, Asked::Stopping { .. }) {
            return;
        }
        let is_late = self.has_stopped_for(self.scenario.config.drain_timeout);
        self.late_turns = if is_late { self.late_turns + 1 } else { 0 };
        // One turn to ask everybody to end, and one to end.
        if self.late_turns > 2 {
            self.fail(|| "the server does not stop".into());
        }
    }
}

fn wrong_in_turn(socket: &Socket, turn: u64) -> Option<&'static str> {
    let ledger = &socket.ledger;
    let is_silent = !ledger.has_read && ledger.half_closed_at.is_none();
    if ledger.late_turns > LATE_TURNS {
        Some("is past its deadline")
    } else if ledger.turn == turn && ledger.is_flushed && is_silent {
        Some("drained, and was not read in the same turn")
    } else if ledger.is_end_reported || !ledger.is_registered {
        Some("is not the server's any more, and not closed")
    } else {
        None
    }
}

fn wrong_when_idle(socket: &Socket, once: bool) -> Option<&'static str> {
    let is_echoed = socket.reads > 0 && socket.pending() == 0;
    if socket.edge {
        None
    } else if is_stuck(socket) {
        Some("waits for an event that was told already")
    } else if once && is_echoed && socket.ledger.half_closed_at.is_none() {
        Some("has had its echo, and no goodbye")
    } else {
        None
    }
}

/// Whether it could get something done, and nothing will tell the server so.
fn is_stuck(socket: &Socket) -> bool {
    match socket.pending() {
        0 => socket.is_readable(),
        _ => socket.is_writable() || socket.free() > 0 && !socket.wants_space,
    }
}
