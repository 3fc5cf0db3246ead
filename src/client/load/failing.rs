//! Connections fail, and the run with them or without.

use std::io;
use std::time::{Duration, Instant};

use mio::Token;

use super::clock::Clock;
use super::connection::State;
use super::connections::LinkProbe;
use super::engine::Engine;
use super::lane::Lane;
use super::link::{Connect, Link};
use super::probing::Probing;
use super::{ConnectionFailure, Reporter, Stage};
use crate::client::dial;
use crate::client::failure::Failure;
use crate::net::{Endpoint, cannot, with_help};
use crate::reactor::Ready;

/// A connection that has failed is replaced after this long: a server that refuses all must not be asked all the time.
const RECONNECT_DELAY: Duration = Duration::from_millis(100);

/// What helps if the ports of an address are used up.
const MORE_SOURCES: &str = "give more addresses to connect from, by --source-ip";

impl<N: Connect, C: Clock, R: Reporter> Engine<'_, N, C, R> {
    /// Fails the connections that have waited for the server for longer than the timeout, or gives up the messages that
    /// they can do without. What has come meanwhile is read first.
    pub(super) fn fail_overdue(&mut self, now: Instant) {
        for number in self.connections.numbers() {
            if self.phase.is_over() {
                return;
            }
            let Some(token) = self.connections.token(number) else { continue };
            if self.has_timed_out(token, now) {
                self.handle_event(Ready { token, exceptional: true });
                if self.has_timed_out(token, now) {
                    self.time_out(token, now);
                }
            }
        }
    }

    fn has_timed_out(&mut self, token: Token, now: Instant) -> bool {
        let Some(connection) = self.connections.get_mut(token) else { return false };
        let since = connection.waiting_since();
        since.is_some_and(|since| self.shared.is_overdue(since, now))
    }

    fn time_out(&mut self, token: Token, now: Instant) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        match connection.time_out(now, &mut self.shared) {
            // It has room for further messages.
            Ok(()) => self.connections.reactor.requeue(token),
            Err(failure) => self.fail(token, failure),
        }
    }

    /// A connection has failed.
    pub(super) fn fail(&mut self, token: Token, failure: Failure) {
        let Some(failed) = self.connections.get_mut(token) else { return };
        let local = failed.link.local_addr();
        // Its messages are finished, or go on in another connection.
        let has_closed = matches!(failed.state, State::Closing(_));
        let Some(lane) = self.connections.remove(token) else { return };
        let now = self.clock.now();
        lane.abandon_in_flight(now, &mut self.shared);
        self.shared.in_flight -= lane.probe.in_flight();
        if has_closed {
            self.handle_failure(lane.number, local, failure, now);
        } else {
            self.fail_lane(lane, local, failure, now);
        }
    }

    /// Records that a lane has lost its connection, or could not get one. Then it gets another one, or the run ends.
    pub(super) fn fail_lane(
        &mut self,
        lane: Lane<LinkProbe<N>>,
        local: Option<Endpoint>,
        failure: Failure,
        now: Instant,
    ) {
        let number = lane.number;
        // If the run ends, what waits for this connection counts as unsent.
        self.connections.defer(now + RECONNECT_DELAY, lane);
        self.handle_failure(number, local, failure, now);
    }

    /// Records the failure of the connection with this number. Ends the run if nothing excuses it.
    fn handle_failure(
        &mut self,
        number: usize,
        local: Option<Endpoint>,
        failure: Failure,
        now: Instant,
    ) {
        self.phase.note_progress(&self.shared, now);
        let is_excused = self.is_excused(&failure, now);
        let failure = match failure {
            Failure::Connect(e) => Failure::Connect(unreachable(self.connections.peer(), &e)),
            failure => failure,
        };
        let connection = Some(number);
        self.shared.recorder.failed(ConnectionFailure {
            connection,
            local,
            failure,
            is_fatal: !is_excused,
        });
        if !is_excused {
            self.end_failed(now);
        }
    }

    /// Whether the run goes on after that. Nothing excuses wrong bytes, or a server that cannot be reached at the start,
    /// or any longer.
    fn is_excused(&self, failure: &Failure, now: Instant) -> bool {
        self.options.keep_going
            && !failure.is_wrong()
            && self.phase.stage() != Stage::Connecting
            && !self.phase.is_stalled(&self.shared, now)
    }

    /// Ends the run for something that is no connection's fault.
    pub(super) fn fail_run(&mut self, failure: Failure) {
        self.shared.recorder.failed(ConnectionFailure::of_run(failure));
        self.end_failed(self.clock.now());
    }

    fn end_failed(&mut self, now: Instant) {
        self.shared.recorder.mark_failed();
        self.stop_now(now);
    }
}

/// A failure to connect as a line for people.
fn unreachable(peer: &Endpoint, error: &io::Error) -> io::Error {
    // Only an error of this program means that its ports are used up: the system's has other meanings too.
    let is_used_up = error.get_ref().is_some() && error.kind() == io::ErrorKind::AddrNotAvailable;
    let help = |kind| if is_used_up { Some(MORE_SOURCES) } else { dial::help(kind) };
    with_help(cannot("connect to", peer, error), help)
}
