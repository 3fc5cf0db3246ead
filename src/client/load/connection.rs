//! One connection of a run: a probe with its stream.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use super::clock::Clock;
use super::lane::Lane;
use super::link::Link;
use super::probing::Probing;
use super::shared::Shared;
use crate::client::failure::Failure;
use crate::client::probe::Received;
use crate::text::format::setting;

/// One connection.
#[derive(Debug)]
pub(super) struct Connection<L: Link> {
    pub(super) link: L,
    pub(super) state: State,
    pub(super) lane: Lane<L::Probe>,
    /// How many messages were begun since it was made.
    begun: u64,
    /// Whether a short read proves nothing, going by the last event.
    is_exceptional: bool,
}

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Since then.
    Connecting(Instant),
    Open,
    /// This end has shut down writing, then.
    Closing(Instant),
}

/// What a connection needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// An event.
    Wait,
    /// Another turn: no event will report what is left.
    Yield,
    /// It was made, and may begin its messages.
    Opened,
    /// To be replaced: all messages that it may carry have come back.
    Spent,
    /// To be removed: the server has shut down writing too.
    Closed,
}

impl<L: Link> Connection<L> {
    /// A connection that has been in the making for `took` at `now`.
    pub(super) fn new(link: L, mut lane: Lane<L::Probe>, took: Duration, now: Instant) -> Self {
        let since = lane.restart(now.checked_sub(took).unwrap_or(now));
        Self { link, state: State::Connecting(since), lane, begun: 0, is_exceptional: false }
    }

    /// Handles an event, or what is left of one.
    ///
    /// # Errors
    ///
    /// Why the connection has failed.
    #[inline]
    pub(super) fn drive(
        &mut self,
        exceptional: bool,
        clock: &impl Clock,
        shared: &mut Shared,
    ) -> Result<Next, Failure> {
        self.is_exceptional |= exceptional;
        match self.state {
            State::Open => self.exchange(clock, shared),
            State::Connecting(since) => self.finish_connecting(since, clock, shared),
            State::Closing(_) => self.finish_closing(clock, shared),
        }
    }

    fn finish_connecting(
        &mut self,
        since: Instant,
        clock: &impl Clock,
        shared: &mut Shared,
    ) -> Result<Next, Failure> {
        if !self.link.is_connected().map_err(Failure::Connect)? {
            return Ok(Next::Wait);
        }
        if let Some(version) = shared.send_proxy {
            self.link.send_header(version).map_err(Failure::Connect)?;
        }
        self.state = State::Open;
        shared.recorder.connected(clock.now().saturating_duration_since(since));
        Ok(Next::Opened)
    }

    /// Receives, begins the messages that may begin, and sends.
    #[inline]
    fn exchange(&mut self, clock: &impl Clock, shared: &mut Shared) -> Result<Next, Failure> {
        for _ in 0..L::Probe::READS_PER_TURN {
            let received = self.lane.probe.receive(&mut self.link, shared)?;
            // After the read and before the write: one echo ends here, and the next begins.
            let now = clock.now();
            self.lane.probe.complete(now, shared)?;
            if received == Received::End {
                return Err(Failure::Closed);
            }
            self.begin(now, shared)?;
            if self.is_spent(shared) {
                // Before another read: a server that serves a number of messages may have closed too.
                return Ok(Next::Spent);
            }
            match received {
                Received::Short(_) if self.link.short_read_drains() && !self.is_exceptional => {}
                Received::Short(_) | Received::More(_) => continue,
                Received::Nothing | Received::End => self.is_exceptional = false,
            }
            return Ok(Next::Wait);
        }
        Ok(Next::Yield)
    }

    fn may_begin(&self, shared: &Shared) -> bool {
        self.lane.probe.has_room() && self.begun < shared.reconnect_every
    }

    fn is_spent(&self, shared: &Shared) -> bool {
        self.begun >= shared.reconnect_every && self.lane.probe.in_flight() == 0
    }

    /// Begins and sends the messages that there are, as far as there is room.
    ///
    /// # Errors
    ///
    /// If the connection is gone.
    #[inline]
    fn begin(&mut self, now: Instant, shared: &mut Shared) -> Result<(), Failure> {
        while self.may_begin(shared) && self.lane.begin_next(now, shared) {
            self.begun += 1;
        }
        if self.lane.probe.is_sent() {
            return Ok(());
        }
        self.lane.probe.send(&mut self.link, shared, now)
    }

    /// A message of an open loop has fallen due.
    ///
    /// # Errors
    ///
    /// If the connection is gone.
    pub(super) fn begin_due(&mut self, now: Instant, shared: &mut Shared) -> Result<(), Failure> {
        if self.state != State::Open || !self.may_begin(shared) {
            return Ok(());
        }
        self.begin(now, shared)
    }

    /// Closes a connection that is spent. Returns what goes on in another.
    pub(super) fn retire(&mut self, now: Instant) -> Lane<L::Probe> {
        self.shutdown_write(now);
        self.lane.hand_on()
    }

    /// Shuts down writing. Any byte that comes after that is a surplus.
    pub(super) fn shutdown_write(&mut self, now: Instant) {
        self.state = State::Closing(now);
        self.link.shutdown_write();
    }

    fn finish_closing(&mut self, clock: &impl Clock, shared: &mut Shared) -> Result<Next, Failure> {
        let is_over = self.lane.probe.read_rest(&mut self.link, clock.now(), shared)?;
        Ok(if is_over { Next::Closed } else { Next::Wait })
    }

    /// Since when it has been waiting for the server, if it is.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        match self.state {
            State::Connecting(since) => Some(since),
            State::Open => self.lane.probe.waiting_since(),
            State::Closing(_) => None,
        }
    }

    /// Gives up what is overdue at `now`.
    ///
    /// # Errors
    ///
    /// Why it cannot go on without that.
    pub(super) fn time_out(&mut self, now: Instant, shared: &mut Shared) -> Result<(), Failure> {
        if let State::Connecting(_) = self.state {
            let why = format!("no answer within {}", setting(shared.timeout));
            return Err(Failure::Connect(io::Error::new(ErrorKind::TimedOut, why)));
        }
        self.lane.probe.give_up_overdue(now, shared)
    }
}
