//! The engine of a ping: one connection after another, and one message after another.
//!
//! A session neither waits nor reads a clock. Its caller waits for [`poll_timeout`](Session::poll_timeout),
//! takes the time once, and hands it to [`handle_echo`](Session::handle_echo) and
//! [`handle_timeout`](Session::handle_timeout): that is a turn. So the same session runs on real sockets and,
//! in tests, on a network and a clock that are made up.
//!
//! ```text
//!              due                connected           next turn
//! Disconnected ───▶ Connecting ───────────────▶ Ready ─────────▶ Waiting
//!      ▲                                          ▲                 │ last byte of the echo
//!      │ the server closed, or a message failed   │ due             ▼
//!      ├─────────────────────────────────────── Idle ◀────────── Echoed
//!      │                   all messages sent      ▼     next turn
//!      └─────────────────────────────────────── Closing
//! ```
//!
//! # Whose time an echo's time is
//!
//! A message goes out first thing in a turn, and its time begins with that turn. Its time ends with the turn
//! *after* the one that read its echo's last byte. So it includes both system calls, and never the output of
//! a line. `Ready` and `Echoed` stand for these changes of turn: their timeout is zero.

use std::io;
use std::time::{Duration, Instant};

use super::network::Network;
use super::notice::{Activity, Notice};
use super::schedule::Schedule;
use super::tally::{MessageFailure, Tally};
use super::{End, Options};
use crate::client::CLOSE_TIMEOUT;
use crate::client::drive::Timeout;
use crate::client::failure::Failure;
use crate::client::probe::{Fault, Pattern, Probe, Received};
use crate::net::Endpoint;

mod connecting;

/// A session writes and reads this much at a time. That is far more than most messages have: what follows a
/// wrong byte, or an echo, shows what happened to it.
const PIECE_BYTES: usize = 64 * 1024;

/// A receiver of notices. An error of it ends the ping.
pub(super) trait Say: FnMut(&Notice<'_>) -> io::Result<()> {}

impl<S: FnMut(&Notice<'_>) -> io::Result<()>> Say for S {}

/// A ping under way.
pub(super) struct Session<'a, N, S> {
    options: &'a Options,
    pub(super) network: N,
    say: S,
    state: State,
    schedule: Schedule,
    probe: Probe,
    pattern: Pattern,
    scratch: Box<[u8]>,
    /// The address that is connected, or was last.
    peer: Option<Endpoint>,
    /// The offset of the last message on its connection.
    offset: u64,
    is_stopping: bool,
    tally: &'a mut Tally,
}

/// What the session does. The message concerned is the last one counted as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is no connection, and none is needed before the next message is due.
    Disconnected,
    /// A message is due, and needs a connection.
    Connecting,
    /// A message is due, and has a connection. The next turn sends it.
    Ready,
    /// The echo is not complete.
    Waiting { since: Instant },
    /// The echo is complete. The next turn records its time.
    Echoed { since: Instant },
    /// There is a connection, and it is not needed before the next message is due.
    Idle,
    /// All echoes are complete, and the client has shut down writing. Whatever comes now is too much.
    Closing { since: Instant },
}

impl<'a, N: Network, S: Say> Session<'a, N, S> {
    /// A ping whose first message is due at once. It counts what happens into `tally`.
    pub(super) fn new(
        options: &'a Options,
        network: N,
        tally: &'a mut Tally,
        say: S,
        now: Instant,
    ) -> Self {
        Self {
            options,
            network,
            say,
            state: State::Disconnected,
            schedule: Schedule::new(options.interval, now),
            probe: Probe::new(0, 1),
            pattern: Pattern::new(PIECE_BYTES),
            scratch: vec![0; PIECE_BYTES].into(),
            peer: None,
            offset: 0,
            is_stopping: false,
            tally,
        }
    }

    /// How long the caller may wait for an event.
    pub(super) fn poll_timeout(&mut self, now: Instant) -> Timeout {
        let left = |since, limit: Duration| limit.saturating_sub(elapsed(since, now));
        match self.state {
            State::Disconnected | State::Idle => Timeout::Idle(self.schedule.left(now)),
            State::Connecting => self.network.poll_timeout(now),
            State::Ready | State::Echoed { .. } => Timeout::Owed(Duration::ZERO),
            State::Waiting { since } => Timeout::Owed(left(since, self.options.timeout)),
            State::Closing { since } => Timeout::Owed(left(since, CLOSE_TIMEOUT)),
        }
    }

    /// When the next message is due, if nothing but its time is missing.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.is_free().then(|| self.schedule.due())
    }

    /// Leaves out a time before `now` in which the program did not run: it counts against no echo.
    pub(super) fn discount(&mut self, standstill: Duration, now: Instant) {
        self.tally.stood_still += standstill;
        self.network.discount(standstill);
        match &mut self.state {
            State::Waiting { since } | State::Echoed { since } | State::Closing { since } => {
                *since += standstill;
            }
            State::Disconnected | State::Idle => {
                self.tally.skipped += self.schedule.stood_still(now);
            }
            State::Connecting | State::Ready => {}
        }
    }

    /// Sends and receives what can be without waiting. Before [`handle_timeout`](Self::handle_timeout): what has
    /// come by now is not late.
    pub(super) fn handle_echo(&mut self, now: Instant) -> io::Result<()> {
        if let State::Echoed { since } = self.state {
            self.record_echo(elapsed(since, now), now)?;
        }
        match self.state {
            State::Waiting { .. } => self.exchange(now),
            State::Idle | State::Closing { .. } if !self.is_stopping => self.exchange(now),
            _ => Ok(()),
        }
    }

    /// Does what is due at `now`.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> io::Result<()> {
        if self.is_stopping {
            return Ok(());
        }
        match self.state {
            State::Connecting => self.dial(now)?,
            State::Ready => self.send(now)?,
            State::Waiting { since } if elapsed(since, now) >= self.options.timeout => {
                self.time_out(now)?;
            }
            State::Closing { since } if elapsed(since, now) >= CLOSE_TIMEOUT => self.disconnect(),
            _ => {}
        }
        if self.is_free() && !self.is_all_sent() && self.schedule.left(now).is_zero() {
            self.begin(now)?;
        }
        if self.state == State::Idle && self.is_all_sent() {
            self.network.shutdown_write();
            self.state = State::Closing { since: now };
        }
        Ok(())
    }

    /// Ends the session, whatever it does. It may still receive an echo that has come already.
    pub(super) fn stop(&mut self) {
        self.is_stopping = true;
    }

    /// How the session ended, once it has.
    pub(super) fn outcome(&mut self) -> Option<End> {
        let is_complete = self.state == State::Disconnected && self.is_all_sent();
        match self.state {
            _ if !self.is_stopping => is_complete.then_some(End::Complete),
            State::Echoed { .. } => None,
            State::Closing { .. } => Some(End::Complete),
            State::Connecting | State::Ready | State::Waiting { .. } => {
                self.tally.is_under_way = true;
                Some(End::Interrupted)
            }
            State::Disconnected | State::Idle => Some(End::Interrupted),
        }
    }

    /// Reports how things stand.
    pub(super) fn report_status(&mut self, now: Instant) -> io::Result<()> {
        let (server, sequence) = (&self.options.server, self.tally.sent);
        let waiting = |waited| Activity::Waiting { sequence, waited };
        let activity = match self.state {
            State::Connecting if self.network.is_looking_up() => Activity::LookingUp(server),
            State::Connecting => Activity::Connecting(server),
            State::Ready => waiting(Duration::ZERO),
            State::Waiting { since } | State::Echoed { since } => waiting(elapsed(since, now)),
            State::Disconnected | State::Idle | State::Closing { .. } => Activity::None,
        };
        (self.say)(&Notice::Status { tally: self.tally, activity })
    }

    fn is_all_sent(&self) -> bool {
        self.options.count.is_some_and(|count| self.tally.sent >= count)
    }

    fn is_free(&self) -> bool {
        matches!(self.state, State::Disconnected | State::Idle)
    }

    /// Begins the message that is due.
    fn begin(&mut self, now: Instant) -> io::Result<()> {
        self.schedule.begin(now);
        self.tally.sent += 1;
        if self.state == State::Idle {
            self.state = State::Ready;
            return Ok(());
        }
        self.state = State::Connecting;
        self.network.connect(now)?;
        self.dial(now)
    }

    fn send(&mut self, now: Instant) -> io::Result<()> {
        self.offset = self.probe.progress().1;
        self.probe.begin(self.options.size, now);
        self.state = State::Waiting { since: now };
        self.exchange(now)
    }

    /// Sends what is left to send, and receives until the echo is complete or nothing more is there.
    fn exchange(&mut self, now: Instant) -> io::Result<()> {
        let sending = match self.probe.is_sent() {
            true => Ok(()),
            false => self.probe.send(self.network.stream()?, &self.pattern, now),
        };
        // If sending fails there may still be bytes to receive, which show more of the reason.
        loop {
            let stream = self.network.stream()?;
            match self.probe.receive(stream, &self.pattern, &mut self.scratch) {
                Ok(Received::Nothing) => break,
                Ok(Received::End) => return self.server_closed(None),
                Ok(Received::More(_) | Received::Short(_)) => {}
                Err(fault) => return self.handle_fault(fault, now),
            }
            if let (Some(_), State::Waiting { since }) = (self.probe.complete(), self.state) {
                self.state = State::Echoed { since };
                return Ok(());
            }
        }
        sending.or_else(|fault| self.handle_fault(fault, now))
    }

    fn record_echo(&mut self, took: Duration, now: Instant) -> io::Result<()> {
        self.tally.echoed(took);
        self.settle(State::Idle, now);
        let Some(peer) = &self.peer else { return Ok(()) };
        let (sequence, bytes) = (self.tally.sent, self.options.size);
        (self.say)(&Notice::Echo { sequence, bytes, peer, took })
    }

    /// The last message is received or lost.
    fn settle(&mut self, state: State, now: Instant) {
        self.state = state;
        self.tally.skipped += self.schedule.settle(now);
    }

    fn time_out(&mut self, now: Instant) -> io::Result<()> {
        let received = self.probe.progress().1 - self.offset;
        let (timeout, expected) = (self.options.timeout, self.options.size as u64);
        self.fail(Failure::TimedOut { timeout, received, expected }, now)
    }

    fn handle_fault(&mut self, fault: Fault, now: Instant) -> io::Result<()> {
        match (fault, self.state) {
            (Fault::Ended { received, error, .. }, State::Waiting { .. }) => {
                let (received, sent) = (received - self.offset, self.options.size as u64);
                self.fail(Failure::Fault(Fault::Ended { received, sent, error }), now)
            }
            (Fault::Ended { error, .. }, _) => self.server_closed(error.as_ref()),
            (fault, _) => self.fail(Failure::Fault(fault), now),
        }
    }

    /// The server closed the connection while no echo was due.
    fn server_closed(&mut self, error: Option<&io::Error>) -> io::Result<()> {
        self.disconnect();
        if self.is_all_sent() {
            return Ok(());
        }
        (self.say)(&Notice::ServerClosed { error, next: self.tally.sent + 1 })
    }

    /// The last message failed. Bytes that still come for it would be taken for the next echo, so the next
    /// message gets a new connection.
    fn fail(&mut self, failure: Failure, now: Instant) -> io::Result<()> {
        let was_due = matches!(self.state, State::Connecting | State::Waiting { .. });
        self.disconnect();
        if was_due {
            self.settle(State::Disconnected, now);
        }
        let offsets = (self.offset, self.offset + self.options.size as u64 - 1);
        let failed = MessageFailure { sequence: self.tally.sent, offsets, failure };
        self.tally.failed(&failed);
        (self.say)(&Notice::Failed(&failed))
    }

    fn disconnect(&mut self) {
        self.network.close();
        self.state = State::Disconnected;
    }
}

fn elapsed(since: Instant, now: Instant) -> Duration {
    now.saturating_duration_since(since)
}

#[cfg(test)]
mod tests;
