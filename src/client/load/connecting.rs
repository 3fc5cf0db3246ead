//! Connections begin, are replaced, and are removed.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use mio::Token;

use super::clock::Clock;
use super::connection::Connection;
use super::connections::LinkProbe;
use super::engine::Engine;
use super::lane::Lane;
use super::link::Connect;
use super::{Reporter, Stage};
use crate::client::CLOSE_TIMEOUT;
use crate::client::failure::Failure;
use crate::net::cannot;

/// Connections that are begun before events are handled again.
const CONNECTS_PER_TURN: usize = 64;

/// If the accept queue of a Unix socket is full, the next attempt follows after this long.
const FULL_QUEUE_DELAY: Duration = Duration::from_millis(10);

impl<N: Connect, C: Clock, R: Reporter> Engine<'_, N, C, R> {
    /// Begins the connections whose time has come, some at a time: those that are open must not wait for them.
    pub(super) fn connect(&mut self, now: Instant) {
        self.reap(now);
        for _ in 0..CONNECTS_PER_TURN {
            if self.phase.is_over() || !(self.reconnect_next(now) || self.connect_new(now)) {
                return;
            }
        }
    }

    /// Begins a deferred connection. Returns whether there was one for now.
    fn reconnect_next(&mut self, now: Instant) -> bool {
        let Some(lane) = self.connections.take_deferred(now) else { return false };
        if self.is_needed(&lane) {
            self.begin_connecting(lane);
        }
        true
    }

    /// Begins a new connection. Returns whether there was one for now.
    fn connect_new(&mut self, now: Instant) -> bool {
        if self.connections.next_new(now).is_none_or(|at| at > now) {
            return false;
        }
        match Lane::new(self.connections.begin_new(), self.options) {
            Ok(lane) => self.begin_connecting(lane),
            Err(_) => self.fail_run(Failure::System(ErrorKind::OutOfMemory.into())),
        }
        true
    }

    fn begin_connecting(&mut self, mut lane: Lane<LinkProbe<N>>) {
        // Each counts from its own beginning, not from that of the first in this turn.
        let now = self.clock.now();
        match self.connections.connect(lane.number) {
            Ok(made) => self.watch(Connection::new(made.link, lane, made.took, now)),
            // Only a Unix socket reports that: connect(2). TCP tries again by itself.
            Err(e) if e.kind() == ErrorKind::WouldBlock && !self.is_refused(&mut lane, now) => {
                self.connections.defer(now + FULL_QUEUE_DELAY, lane);
            }
            Err(e) => self.fail_lane(lane, None, Failure::Connect(e), now),
        }
    }

    fn watch(&mut self, connection: Connection<N::Link>) {
        if let Err(e) = self.connections.insert(connection) {
            self.fail_run(Failure::System(cannot("watch", &"a connection", &e)));
        }
    }

    /// Whether the server's accept queue has been full for the timeout.
    fn is_refused(&self, lane: &mut Lane<LinkProbe<N>>, now: Instant) -> bool {
        let since = lane.note_full_queue(now);
        self.shared.standstills.is_overdue(since, self.options.timeout, now)
    }

    /// Whether a lane without a connection needs one.
    fn is_needed(&self, lane: &Lane<LinkProbe<N>>) -> bool {
        match self.phase.stage() {
            Stage::Connecting | Stage::WarmingUp | Stage::Measuring => true,
            Stage::Draining | Stage::Closing => lane.is_waited_for(&self.shared.plan),
        }
    }

    /// Replaces a connection that is spent. It closes in its own time.
    pub(super) fn replace(&mut self, token: Token) {
        let now = self.clock.now();
        let Some(lane) = self.connections.retire(token, now) else { return };
        self.reap(now);
        if self.is_needed(&lane) {
            self.begin_connecting(lane);
        }
    }

    /// Removes the connections that were replaced and do not close by themselves, or that are too many.
    fn reap(&mut self, now: Instant) {
        let standstills = &self.shared.standstills;
        let is_overdue = |since| standstills.is_overdue(since, CLOSE_TIMEOUT, now);
        while let Some(token) = self.connections.next_to_reap(is_overdue) {
            self.connections.remove(token);
        }
    }
}
