//! The engine of a ping: one connection after another, and one message after another.
//!
//! A session neither waits nor reads a clock. In each turn, its caller waits for up to
//! [`poll_timeout`](Session::poll_timeout), reads the clock once, and passes the time to
//! [`handle_echo`](Session::handle_echo) and [`handle_timeout`](Session::handle_timeout). So the same code runs
//! on real sockets and, in tests, on a simulated network and clock.
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
//! # How an echo is timed
//!
//! A turn has one time, read before it does anything. A message is sent at the start of a turn, and its time
//! begins with that turn. It ends with the turn *after* the one that read the last byte. So an echo's time
//! includes both system calls, and never the output of a line. `Ready` and `Echoed` wait for these next turns;
//! their timeout is zero.

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

/// A session writes and reads this much at a time. It is far more than most messages have, because the bytes
/// after a wrong byte, or after an echo, show what happened.
const PIECE_BYTES: usize = 64 * 1024;

/// Reports a notice. An error ends the ping.
pub(super) trait Notify: FnMut(&Notice<'_>) -> io::Result<()> {}

impl<S: FnMut(&Notice<'_>) -> io::Result<()>> Notify for S {}

/// A ping under way.
pub(super) struct Session<'a, N, S> {
    options: &'a Options,
    pub(super) network: N,
    notify: S,
    state: State,
    schedule: Schedule,
    probe: Probe,
    pattern: Pattern,
    scratch: Box<[u8]>,
    /// The address of this connection, or of the last one.
    peer: Option<Endpoint>,
    /// The offset at which the last message begins on its connection.
    offset: u64,
    is_stopping: bool,
    tally: &'a mut Tally,
}

/// What the session does. "The message" is the last one counted as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is no connection, and none is needed before the next message is due.
    Disconnected,
    /// The message needs a connection.
    Connecting,
    /// The message has a connection. The next turn sends it.
    Ready,
    /// The message is sent, or partly so, and its echo is not complete.
    Waiting { since: Instant },
    /// The echo is complete. The next turn records its time.
    Echoed { since: Instant },
    /// There is a connection, and it is not needed before the next message is due.
    Idle,
    /// No message is left, and the client has shut down writing. Bytes that come now are a surplus.
    Closing { since: Instant },
}

impl<'a, N: Network, S: Notify> Session<'a, N, S> {
    /// A session whose first message is due at once. It counts in `tally`.
    pub(super) fn new(
        options: &'a Options,
        network: N,
        tally: &'a mut Tally,
        notify: S,
        now: Instant,
    ) -> Self {
        Self {
            options,
            network,
            notify,
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

    /// When the next message is due, if the session waits for that alone.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.is_free().then(|| self.schedule.due())
    }

    /// Leaves out a time before `now` in which the program did not run: it counts against no echo.
    pub(super) fn discount(&mut self, standstill: Duration, now: Instant) {
        self.tally.standstill += standstill;
        self.network.discount(standstill);
        match &mut self.state {
            State::Waiting { since } | State::Echoed { since } | State::Closing { since } => {
                *since += standstill;
            }
            State::Disconnected | State::Idle => {
                self.tally.skipped += self.schedule.resume(now);
            }
            State::Connecting | State::Ready => {}
        }
    }

    /// Sends and receives until the socket would block. The caller does this before
    /// [`handle_timeout`](Self::handle_timeout), since an echo that is there is not late.
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
            self.tally.is_under_way = self.is_under_way();
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

    /// Ends the session. It still receives an echo that is there already.
    pub(super) fn stop(&mut self) {
        self.is_stopping = true;
    }

    /// How the session ended, once it has.
    pub(super) fn outcome(&self) -> Option<End> {
        let is_complete = self.state == State::Disconnected && self.is_all_sent();
        match self.state {
            _ if !self.is_stopping => is_complete.then_some(End::Complete),
            State::Echoed { .. } => None,
            State::Closing { .. } => Some(End::Complete),
            _ => Some(End::Interrupted),
        }
    }

    /// Reports the counts so far, and what the session waits for.
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
        (self.notify)(&Notice::Status { tally: self.tally, activity })
    }

    fn is_all_sent(&self) -> bool {
        self.options.count.is_some_and(|count| self.tally.sent >= count)
    }

    fn is_under_way(&self) -> bool {
        matches!(self.state, State::Connecting | State::Ready | State::Waiting { .. })
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

    /// Sends the rest of the message, and receives until its echo is complete or the socket would block.
    fn exchange(&mut self, now: Instant) -> io::Result<()> {
        let sending = match self.probe.is_sent() {
            true => Ok(()),
            false => self.probe.send(self.network.stream()?, &self.pattern, now),
        };
        // If sending fails, bytes that came before may show why.
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
        self.tally.record_echo(took);
        self.settle(State::Idle, now);
        let Some(peer) = &self.peer else { return Ok(()) };
        let (sequence, bytes) = (self.tally.sent, self.options.size);
        (self.notify)(&Notice::Echo { sequence, bytes, peer, took })
    }

    /// The message is received or lost.
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

    /// The server closed the connection while no echo was outstanding.
    fn server_closed(&mut self, error: Option<&io::Error>) -> io::Result<()> {
        self.disconnect();
        if self.is_all_sent() {
            return Ok(());
        }
        (self.notify)(&Notice::ServerClosed { error, next: self.tally.sent + 1 })
    }

    /// The message failed. Late bytes of its echo would count for the next one, so the next message gets a new
    /// connection.
    fn fail(&mut self, failure: Failure, now: Instant) -> io::Result<()> {
        let was_under_way = self.is_under_way();
        self.disconnect();
        if was_under_way {
            self.settle(State::Disconnected, now);
        }
        let offsets = (self.offset, self.offset + self.options.size as u64 - 1);
        let failed = MessageFailure { sequence: self.tally.sent, offsets, failure };
        self.tally.record_failure(&failed);
        (self.notify)(&Notice::Failed(&failed))
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
