//! The run of a ping: one connection after the other, and one message after the other.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGINT, SIGQUIT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

use super::Options;
use super::notice::Notice;
use super::schedule::Schedule;
use super::tally::{Cause, Tally, Trouble};
use crate::client::GOODBYE;
use crate::client::dial::{outcome, unanswered, unreachable};
use crate::client::patience::Patience;
use crate::client::probe::{Fault, Pattern, Probe, Received};
use crate::net::{Endpoint, Socket, Stream as _, cannot, delegate_source};
use crate::reactor::{Reactor, Ready};

/// So much is written and read at a time. Much more than most messages have: what follows a wrong byte, or
/// an echo, tells what happened to it.
const PIECE_BYTES: usize = 64 * 1024;

/// A ping under way.
pub struct Session<'a, S> {
    options: &'a Options,
    say: S,
    began: Instant,
    reactor: Reactor<Polled>,
    ready: Vec<Ready>,
    signals: Token,
    /// The server's addresses; the one that answered alone, once one has.
    peers: Vec<Endpoint>,
    state: State,
    schedule: Schedule,
    probe: Probe,
    pattern: Pattern,
    scratch: Box<[u8]>,
    /// Where on the connection the last message begins.
    offset: u64,
    tally: Tally,
}

/// What the session does. The message concerned is the last one counted as sent.
#[derive(Clone, Copy, Debug)]
enum State {
    /// There is no connection, and none is needed before the next message is due.
    Apart,
    /// For a message that is due.
    Connecting {
        token: Token,
        /// Which of the peers.
        peer: usize,
        since: Instant,
    },
    /// Nothing is owed.
    Idle(Token),
    /// An echo is owed.
    Waiting(Token),
    /// All echoes have come back. Is there anything more?
    Leaving { token: Token, since: Instant },
}

/// What the reactor polls.
enum Polled {
    Signals(Signals),
    Server(Socket),
}

impl Polled {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Signals(signals) => signals,
            Self::Server(socket) => socket,
        }
    }
}

delegate_source!(Polled);

impl<'a, S: FnMut(&Notice<'_>) -> io::Result<()>> Session<'a, S> {
    /// Looks the server up.
    ///
    /// # Errors
    ///
    /// Where its name is unknown, and whatever `say` says.
    pub fn open(options: &'a Options, mut say: S) -> io::Result<Self> {
        // Before signals are watched for: while a name is looked up, Ctrl-C ends the program by itself.
        let peers = options.server.resolve()?;
        let bytes = options.size;
        if let Some(peer) = peers.first() {
            say(&Notice::Start { server: &options.server, peer, bytes })?;
        }
        let mut reactor = Reactor::new()?;
        let signals = Signals::new([SIGINT, SIGTERM, SIGQUIT])
            .and_then(|signals| reactor.insert(Polled::Signals(signals)))
            .map_err(|e| cannot("watch for", &"signals", &e))?;
        let now = Instant::now();
        Ok(Self {
            options,
            say,
            began: now,
            reactor,
            ready: Vec::new(),
            signals,
            peers,
            state: State::Apart,
            schedule: Schedule::new(options.interval, now),
            probe: Probe::new(0, 1),
            pattern: Pattern::new(PIECE_BYTES),
            scratch: vec![0; PIECE_BYTES].into(),
            offset: 0,
            tally: Tally::default(),
        })
    }

    /// Goes on until all is sent, or a signal says to stop.
    ///
    /// # Errors
    ///
    /// Where there is no first connection, and whatever `say` says.
    pub fn run(mut self) -> io::Result<Tally> {
        loop {
            let now = Instant::now();
            self.advance(now)?;
            if matches!(self.state, State::Apart) && self.is_all_sent() {
                break;
            }
            self.reactor.wait(Some(self.left(now)), &mut self.ready)?;
            if self.is_told_to_stop()? {
                self.tally.is_under_way =
                    matches!(self.state, State::Connecting { .. } | State::Waiting(_));
                break;
            }
        }
        self.tally.elapsed = self.began.elapsed();
        Ok(self.tally)
    }

    fn is_all_sent(&self) -> bool {
        self.options.count.is_some_and(|count| self.tally.sent >= count)
    }

    /// Does what can be done without waiting.
    fn advance(&mut self, now: Instant) -> io::Result<()> {
        match self.state {
            State::Apart => {}
            State::Connecting { .. } => self.look_for_connection()?,
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

    /// How long until there is something to do without an event.
    fn left(&self, now: Instant) -> Duration {
        let left = match self.state {
            State::Apart | State::Idle(_) => return self.schedule.left(now),
            State::Connecting { since, .. } => self.patience(since).left(now),
            State::Waiting(_) => self.patience(self.probe.waiting_since().unwrap_or(now)).left(now),
            State::Leaving { since, .. } => Patience::new(GOODBYE, since).left(now),
        };
        left.unwrap_or(Duration::ZERO)
    }

    fn patience(&self, since: Instant) -> Patience {
        Patience::new(self.options.timeout, since)
    }

    /// Ends what has taken too long.
    fn give_up(&mut self, now: Instant) -> io::Result<()> {
        if !self.left(now).is_zero() {
            return Ok(());
        }
        match self.state {
            State::Apart | State::Idle(_) => Ok(()),
            State::Connecting { peer, .. } => {
                self.part();
                self.refused(peer, &unanswered(self.options.timeout))
            }
            State::Waiting(_) => {
                let received = self.probe.progress().1 - self.offset;
                let (timeout, bytes) = (self.options.timeout, self.options.size as u64);
                self.failed(Cause::Late { timeout, received, bytes })
            }
            State::Leaving { .. } => {
                self.part();
                Ok(())
            }
        }
    }

    /// The next message's turn.
    fn begin(&mut self, now: Instant) -> io::Result<()> {
        self.tally.skipped += self.schedule.take(now);
        self.tally.sent += 1;
        match self.state {
            State::Idle(token) => self.send(token),
            _ => self.connect(0),
        }
    }

    fn connect(&mut self, peer: usize) -> io::Result<()> {
        let since = Instant::now();
        let made = match self.peers.get(peer) {
            Some(peer) => Socket::connect(peer),
            None => Err(ErrorKind::AddrNotAvailable.into()),
        };
        match made.and_then(|socket| self.reactor.insert(Polled::Server(socket))) {
            Ok(token) => {
                self.state = State::Connecting { token, peer, since };
                self.look_for_connection()
            }
            Err(e) => self.refused(peer, &e),
        }
    }

    /// Sees whether a connection has been made.
    fn look_for_connection(&mut self) -> io::Result<()> {
        let State::Connecting { token, peer, since } = self.state else { return Ok(()) };
        let socket = socket(&mut self.reactor, token)?;
        match outcome(socket) {
            Ok(Some(local)) => self.connected(token, peer, &local, since.elapsed()),
            Ok(None) => Ok(()),
            Err(e) => {
                self.part();
                self.refused(peer, &e)
            }
        }
    }

    fn connected(
        &mut self,
        token: Token,
        peer: usize,
        local: &Endpoint,
        took: Duration,
    ) -> io::Result<()> {
        let again = self.tally.connect.count() > 0;
        if !again {
            self.peers.swap(0, peer);
            self.peers.truncate(1);
            self.schedule = Schedule::new(self.options.interval, Instant::now());
            self.schedule.take(Instant::now());
        }
        self.tally.connect.record(took);
        (self.say)(&Notice::Connected { peer: &self.peers[0], local, took, again })?;
        self.probe.restart();
        self.send(token)
    }

    fn refused(&mut self, peer: usize, error: &io::Error) -> io::Result<()> {
        let error = unreachable(&self.peers[peer], error);
        if peer + 1 < self.peers.len() {
            (self.say)(&Notice::NextAddress(&error))?;
            return self.connect(peer + 1);
        }
        if self.tally.connect.count() == 0 {
            return Err(error);
        }
        self.failed(Cause::Unreachable(error))
    }

    fn send(&mut self, token: Token) -> io::Result<()> {
        self.offset = self.probe.progress().1;
        self.probe.begin(self.options.size, Instant::now());
        self.state = State::Waiting(token);
        self.drive(token)
    }

    /// Sends and receives as much as goes without waiting.
    fn drive(&mut self, token: Token) -> io::Result<()> {
        let socket = socket(&mut self.reactor, token)?;
        let sending = match self.probe.is_sent() {
            true => Ok(()),
            false => self.probe.send(socket, &self.pattern, Instant::now()),
        };
        // Where sending fails there may still be bytes to receive, and they may tell more.
        loop {
            let socket = self::socket(&mut self.reactor, token)?;
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
        let took = message.sent.elapsed();
        self.tally.echoed(took);
        self.state = State::Idle(token);
        let (sequence, peer) = (self.tally.sent, &self.peers[0]);
        (self.say)(&Notice::Echo { sequence, bytes: message.bytes, peer, took })
    }

    fn faulty(&mut self, fault: Fault) -> io::Result<()> {
        let bytes = self.options.size as u64;
        match (fault, self.state) {
            (Fault::Ended { received, error, .. }, State::Waiting(_)) => {
                let received = received - self.offset;
                self.failed(Cause::CutShort(Fault::Ended { received, sent: bytes, error }))
            }
            (Fault::Ended { error, .. }, _) => self.left_alone(error.as_ref()),
            (fault, _) => {
                let (first, last) = (self.offset, self.offset + bytes - 1);
                self.failed(Cause::Wrong { fault, first, last })
            }
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
    fn failed(&mut self, cause: Cause) -> io::Result<()> {
        self.part();
        let trouble = Trouble { sequence: self.tally.sent, cause };
        self.tally.failed(&trouble);
        (self.say)(&Notice::Trouble(&trouble))
    }

    /// Ends the connection from this side, and looks whether anything comes that was not sent.
    fn leave(&mut self, token: Token) -> io::Result<()> {
        // Fails only where the connection is gone, which reading from it tells.
        let _ = socket(&mut self.reactor, token)?.shutdown_write();
        self.state = State::Leaving { token, since: Instant::now() };
        Ok(())
    }

    fn part(&mut self) {
        match self.state {
            State::Apart => None,
            State::Connecting { token, .. }
            | State::Idle(token)
            | State::Waiting(token)
            | State::Leaving { token, .. } => self.reactor.remove(token),
        };
        self.state = State::Apart;
    }

    fn is_told_to_stop(&mut self) -> io::Result<bool> {
        if !self.ready.iter().any(|ready| ready.token == self.signals) {
            return Ok(false);
        }
        let Some(Polled::Signals(signals)) = self.reactor.get_mut(self.signals) else {
            return Ok(false);
        };
        for signal in signals.pending() {
            if signal != SIGQUIT {
                return Ok(true);
            }
            (self.say)(&Notice::Interim(&self.tally))?;
        }
        Ok(false)
    }
}

fn socket(reactor: &mut Reactor<Polled>, token: Token) -> io::Result<&mut Socket> {
    match reactor.get_mut(token) {
        Some(Polled::Server(socket)) => Ok(socket),
        _ => Err(ErrorKind::NotConnected.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// It would be asked first again for each new connection.
    #[test]
    fn an_address_that_refuses_is_told_once_and_the_one_that_answered_is_kept() {
        let refusing = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let answering = listener.local_addr().unwrap();
        thread::spawn(move || {
            // One echo each.
            listener.incoming().flatten().try_for_each(|stream| {
                io::copy(&mut io::Read::take(&stream, 9), &mut &stream).map(drop)
            })
        });
        let options = Options {
            server: answering.to_string().parse().unwrap(),
            count: Some(3),
            interval: Duration::from_millis(50),
            size: 9,
            timeout: Duration::from_secs(10),
        };
        let mut told = Vec::new();
        let mut session = Session::open(&options, |notice: &Notice<'_>| {
            told.push(notice.to_string());
            Ok(())
        })
        .unwrap();
        session.peers = vec![refusing.into(), answering.into()];
        let tally = session.run().unwrap();
        assert_eq!((tally.received, tally.reconnects()), (3, 2), "{told:#?}");
        let refusals: Vec<_> = told.iter().filter(|line| line.contains("cannot connect")).collect();
        assert_eq!(refusals.len(), 1, "{told:#?}");
        assert!(refusals[0].starts_with(&format!("cannot connect to {refusing}: ")), "{told:#?}");
        assert!(refusals[0].ends_with("; trying the next address"), "{told:#?}");
    }
}
