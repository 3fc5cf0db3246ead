//! The run of a ping: one connection after the other, and one message after the other.

use std::io;
use std::time::{Duration, Instant};

use mio::Token;
use signal_hook::consts::SIGQUIT;

use super::notice::Notice;
use super::schedule::Schedule;
use super::tally::{MessageFailure, Tally};
use super::watched::Watched;
use super::{End, Options};
use crate::client::CLOSE_TIMEOUT;
use crate::client::alarm::Alarm;
use crate::client::dial::{Dialer, Limits};
use crate::client::failure::Failure;
use crate::client::probe::{Fault, Pattern, Probe, Received};
use crate::client::standstill::{Standstill, Timeout, processor_time};
use crate::net::{Endpoint, Stream as _, cannot};
use crate::reactor::{Reactor, Ready};
use crate::signals;

/// This much is written and read at a time. Much more than most messages have: what follows a wrong byte, or
/// an echo, tells what happened to it.
const PIECE_BYTES: usize = 64 * 1024;

/// A ping under way.
pub struct Session<'a, S> {
    options: &'a Options,
    say: S,
    reactor: Reactor<Watched>,
    ready: Vec<Ready>,
    signals: Token,
    /// Goes off when the next message is due.
    alarm: Token,
    dialer: Token,
    state: State,
    schedule: Schedule,
    standstill: Standstill,
    /// For how long the program stood still since the message under way began.
    stood_still: Duration,
    probe: Probe,
    pattern: Pattern,
    scratch: Box<[u8]>,
    /// The address that is connected, or was last.
    peer: Option<Endpoint>,
    /// Where on the connection the last message begins.
    offset: u64,
    tally: &'a mut Tally,
}

/// What the session does. The message concerned is the last one counted as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is no connection, and none is needed before the next message is due.
    Apart,
    /// For a message that is due.
    Connecting,
    /// Nothing is owed.
    Idle(Token),
    /// An echo is owed.
    Waiting(Token),
    /// All echoes have come back. Is there anything more?
    Leaving { token: Token, since: Instant },
}

impl<'a, S: FnMut(&Notice<'_>) -> io::Result<()>> Session<'a, S> {
    /// Watches for signals, and counts what happens into `tally`.
    ///
    /// # Errors
    ///
    /// If the system gives no further descriptors.
    pub fn open(options: &'a Options, tally: &'a mut Tally, say: S) -> io::Result<Self> {
        let limits = Limits { wait: options.wait, ..Limits::new(options.timeout) };
        Self::with_dialer(options, Dialer::new(&options.server, limits)?, tally, say)
    }

    fn with_dialer(
        options: &'a Options,
        dialer: Dialer,
        tally: &'a mut Tally,
        say: S,
    ) -> io::Result<Self> {
        let mut reactor = Reactor::new()?;
        let signals = signals::watch(&[SIGQUIT])
            .and_then(|signals| reactor.insert(Watched::Signals(signals)))
            .map_err(|e| cannot("watch for", &"signals", &e))?;
        let alarm = Alarm::new().map_err(|e| cannot("watch", &"the time", &e))?;
        let alarm = reactor.insert(Watched::Alarm(alarm))?;
        let dialer = reactor.insert(Watched::Dialer(Box::new(dialer)))?;
        let now = Instant::now();
        Ok(Self {
            options,
            say,
            reactor,
            ready: Vec::new(),
            signals,
            alarm,
            dialer,
            state: State::Apart,
            schedule: Schedule::new(options.interval, now),
            standstill: Standstill::new(now, processor_time()),
            stood_still: Duration::ZERO,
            probe: Probe::new(0, 1),
            pattern: Pattern::new(PIECE_BYTES),
            scratch: vec![0; PIECE_BYTES].into(),
            peer: None,
            offset: 0,
            tally,
        })
    }

    /// Goes on until all is sent, or a signal says to stop.
    ///
    /// # Errors
    ///
    /// If there is no first connection, and whatever `say` says.
    pub fn run(mut self) -> io::Result<End> {
        let mut now = Instant::now();
        loop {
            self.advance(now)?;
            if self.state == State::Apart && self.is_all_sent() {
                return Ok(End::Complete);
            }
            now = self.wait()?;
            if self.is_told_to_stop()? {
                if let State::Waiting(token) = self.state {
                    // Its echo may have come in the meantime.
                    self.drive(token)?;
                }
                self.tally.is_under_way =
                    matches!(self.state, State::Connecting | State::Waiting(_));
                let is_leaving = matches!(self.state, State::Leaving { .. });
                return Ok(if is_leaving { End::Complete } else { End::Interrupted });
            }
        }
    }

    fn is_all_sent(&self) -> bool {
        self.options.count.is_some_and(|count| self.tally.sent >= count)
    }

    /// Does what can be done without waiting.
    fn advance(&mut self, now: Instant) -> io::Result<()> {
        match self.state {
            State::Apart => {}
            State::Connecting => self.dial(now)?,
            State::Idle(token) | State::Waiting(token) | State::Leaving { token, .. } => {
                self.drive(token)?;
            }
        }
        // Only now: after a pause of this program's own, an echo may be here that is in time no more.
        self.give_up(now)?;
        let is_free = matches!(self.state, State::Apart | State::Idle(_));
        if is_free && !self.is_all_sent() && self.schedule.left(now).is_zero() {
            self.begin(now)?;
        }
        if let (State::Idle(token), true) = (self.state, self.is_all_sent()) {
            self.leave(token)?;
        }
        Ok(())
    }

    /// Waits for an event, or until there is something to do without one. Returns when that was, with
    /// standstills until then discounted.
    fn wait(&mut self) -> io::Result<Instant> {
        let now = Instant::now();
        let left = self.left(now)?;
        let timeout = match self.state {
            State::Apart | State::Idle(_) => {
                let due = self.schedule.next();
                if let Some(Watched::Alarm(alarm)) = self.reactor.get_mut(self.alarm) {
                    alarm.set(due)?;
                }
                self.standstill.plan(Timeout::Idle(left))
            }
            State::Connecting | State::Waiting(_) | State::Leaving { .. } => {
                self.standstill.plan(Timeout::Owed(left))
            }
        };
        self.reactor.wait(timeout, &mut self.ready)?;
        let now = Instant::now();
        let standstill = self.standstill.end(now, processor_time());
        self.discount(standstill, now)?;
        Ok(now)
    }

    /// The program stood still for this long, which counts against nothing else.
    fn discount(&mut self, standstill: Duration, now: Instant) -> io::Result<()> {
        if standstill.is_zero() {
            return Ok(());
        }
        self.tally.stood_still += standstill;
        self.stood_still += standstill;
        self.dialer()?.discount(standstill);
        match &mut self.state {
            State::Leaving { since, .. } => *since += standstill,
            State::Apart | State::Idle(_) => self.tally.skipped += self.schedule.stood_still(now),
            State::Connecting | State::Waiting(_) => {}
        }
        Ok(())
    }

    /// How long until there is something to do without an event.
    fn left(&mut self, now: Instant) -> io::Result<Duration> {
        Ok(match self.state {
            State::Apart | State::Idle(_) => self.schedule.left(now),
            State::Connecting => match self.dialer()?.poll_timeout(now) {
                Timeout::Owed(left) | Timeout::Idle(left) => left,
                Timeout::Never => Duration::MAX,
            },
            State::Waiting(_) => self.options.timeout.saturating_sub(self.waited(now)),
            State::Leaving { since, .. } => {
                CLOSE_TIMEOUT.saturating_sub(now.saturating_duration_since(since))
            }
        })
    }

    /// How long the message under way has been waiting for its echo.
    fn waited(&self, now: Instant) -> Duration {
        let since = self.probe.waiting_since().unwrap_or(now);
        now.saturating_duration_since(since).saturating_sub(self.stood_still)
    }

    /// Ends what has taken too long.
    fn give_up(&mut self, now: Instant) -> io::Result<()> {
        match self.state {
            State::Waiting(_) if self.waited(now) >= self.options.timeout => {
                let received = self.probe.progress().1 - self.offset;
                let (timeout, expected) = (self.options.timeout, self.options.size as u64);
                self.failed(Failure::TimedOut { timeout, received, expected })
            }
            State::Leaving { since, .. }
                if now.saturating_duration_since(since) >= CLOSE_TIMEOUT =>
            {
                self.part();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn send(&mut self, token: Token) -> io::Result<()> {
        self.stood_still = Duration::ZERO;
        self.offset = self.probe.progress().1;
        self.probe.begin(self.options.size, Instant::now());
        self.state = State::Waiting(token);
        self.drive(token)
    }

    /// Sends and receives as much as goes without waiting.
    fn drive(&mut self, token: Token) -> io::Result<()> {
        let socket = Watched::socket(&mut self.reactor, token)?;
        let sending = match self.probe.is_sent() {
            true => Ok(()),
            false => self.probe.send(socket, &self.pattern, Instant::now()),
        };
        // If sending fails there may still be bytes to receive, and they may tell more.
        loop {
            let socket = Watched::socket(&mut self.reactor, token)?;
            match self.probe.receive(socket, &self.pattern, &mut self.scratch) {
                Ok(Received::Nothing) => break,
                Ok(Received::End) => return self.left_alone(None),
                Ok(Received::More(_) | Received::Short(_)) => self.complete(token)?,
                Err(fault) => return self.faulty(fault),
            }
        }
        sending.or_else(|fault| self.faulty(fault))
    }

    fn complete(&mut self, token: Token) -> io::Result<()> {
        let Some(message) = self.probe.complete() else { return Ok(()) };
        let now = Instant::now();
        let took = now.saturating_duration_since(message.sent).saturating_sub(self.stood_still);
        self.tally.echoed(took);
        self.settled(now, State::Idle(token));
        let Some(peer) = &self.peer else { return Ok(()) };
        let sequence = self.tally.sent;
        (self.say)(&Notice::Echo { sequence, bytes: message.bytes, peer, took })
    }

    /// The last message is owed no more.
    fn settled(&mut self, now: Instant, state: State) {
        self.state = state;
        self.tally.skipped += self.schedule.settle(now);
    }

    fn faulty(&mut self, fault: Fault) -> io::Result<()> {
        match (fault, self.state) {
            (Fault::Ended { received, error, .. }, State::Waiting(_)) => {
                let (received, sent) = (received - self.offset, self.options.size as u64);
                self.failed(Failure::Fault(Fault::Ended { received, sent, error }))
            }
            (Fault::Ended { error, .. }, _) => self.left_alone(error.as_ref()),
            (fault, _) => self.failed(Failure::Fault(fault)),
        }
    }

    /// The server has left while nothing was owed.
    fn left_alone(&mut self, error: Option<&io::Error>) -> io::Result<()> {
        self.part();
        if self.is_all_sent() {
            return Ok(());
        }
        (self.say)(&Notice::ServerLeft { error, next: self.tally.sent + 1 })
    }

    /// Something went wrong with the last message. What came of it, or will come, would be taken for the
    /// next one's echo: only a new connection is in step.
    fn failed(&mut self, failure: Failure) -> io::Result<()> {
        let was_owed = matches!(self.state, State::Connecting | State::Waiting(_));
        self.part();
        if was_owed {
            self.settled(Instant::now(), State::Apart);
        }
        let offsets = (self.offset, self.offset + self.options.size as u64 - 1);
        let failed = MessageFailure { sequence: self.tally.sent, offsets, failure };
        self.tally.failed(&failed);
        (self.say)(&Notice::Failed(&failed))
    }

    /// Ends the connection from this side, and looks whether anything comes that was not sent.
    fn leave(&mut self, token: Token) -> io::Result<()> {
        // Fails only if the connection is gone, which reading from it tells.
        let _ = Watched::socket(&mut self.reactor, token)?.shutdown_write();
        self.state = State::Leaving { token, since: Instant::now() };
        Ok(())
    }

    fn part(&mut self) {
        match self.state {
            State::Apart | State::Connecting => {}
            State::Idle(token) | State::Waiting(token) | State::Leaving { token, .. } => {
                self.reactor.remove(token);
            }
        }
        self.state = State::Apart;
    }
}

mod connecting;
mod signalled;

#[cfg(test)]
mod tests;
