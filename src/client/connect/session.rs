//! A conversation with the server: messages one after the other, on one connection or on many.

use std::io::{self, ErrorKind, Read};
use std::time::Instant;

use mio::Token;

use super::Options;
use super::exchange::Exchange;
use super::notice::{Notice, Tally, timed_out};
use crate::client::attempt;
use crate::client::dial::{Limits, dial};
use crate::client::patience::Patience;
use crate::net::Socket;
use crate::reactor::{Reactor, Ready};

/// What a server sends though nothing is owed is read up to this many bytes: a line or two of a terminal
/// show well enough what it is.
const LOOK_BYTES: usize = 256;

/// Talks to the server of its options, and says each step to `say`.
///
/// A connection that has ended, or is out of step, is replaced when the next message needs one.
pub struct Session<'a, S> {
    options: &'a Options,
    say: S,
    reactor: Reactor<Socket>,
    ready: Vec<Ready>,
    connection: Option<Token>,
    tally: Tally,
}

impl<'a, S: FnMut(&Notice<'_>) -> io::Result<()>> Session<'a, S> {
    /// Connects.
    ///
    /// # Errors
    ///
    /// Where there is no connection to be had, and whatever `say` says.
    pub fn open(options: &'a Options, say: S) -> io::Result<Self> {
        let (reactor, ready) = (Reactor::new()?, Vec::new());
        let tally = Tally::default();
        let mut session = Self { options, say, reactor, ready, connection: None, tally };
        session.connect()?;
        Ok(session)
    }

    /// Sends a message, and gives what came back.
    ///
    /// # Errors
    ///
    /// Where the session cannot go on: there is no further connection to be had, no further byte came in
    /// time, or `say` failed; it then says what was done. A wrong echo does not end it;
    /// [`finish`](Self::finish) tells in the end.
    pub fn send(&mut self, message: &[u8]) -> io::Result<Box<[u8]>> {
        self.try_to_send(message).inspect_err(|_| {
            // The error comes first: where nothing can be said any more, that is what it is about.
            let _ = (self.say)(&Notice::Ended(&self.tally));
        })
    }

    fn try_to_send(&mut self, message: &[u8]) -> io::Result<Box<[u8]>> {
        self.look()?;
        self.tally.messages += 1;
        let mut exchange = self.exchange(message)?;
        if exchange.echo().is_empty() && !exchange.is_complete() {
            // As likely as not the server left before the message reached it.
            (self.say)(&Notice::SendingAgain)?;
            self.tally.again += 1;
            exchange = self.exchange(message)?;
        }
        if let Some(difference) = exchange.difference() {
            (self.say)(&Notice::Differs(difference))?;
        }
        if exchange.difference().is_some() || !exchange.is_complete() {
            self.tally.wrong += 1;
        }
        if self.options.reconnect {
            self.close()?;
        }
        Ok(exchange.echo().into())
    }

    /// Closes, and says what was done.
    ///
    /// # Errors
    ///
    /// What was wrong with the echoes, if anything, and whatever `say` says.
    pub fn finish(mut self) -> io::Result<()> {
        self.close()?;
        (self.say)(&Notice::Ended(&self.tally))?;
        self.tally.verdict()
    }

    fn connect(&mut self) -> io::Result<()> {
        let again = self.tally.connections > 0;
        let limits = Limits::new(self.options.timeout);
        let made = dial(&self.options.server, limits, |progress| {
            (self.say)(&Notice::Dialing { progress, again })
        })?;
        self.tally.connections += 1;
        (self.say)(&Notice::Connected { peer: &made.peer, local: &made.local })?;
        self.connection = Some(self.reactor.insert(made.socket)?);
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        self.look()?;
        if self.connection.is_none() {
            return Ok(());
        }
        self.drop_connection();
        (self.say)(&Notice::Closed)
    }

    /// Notices what the server did while nothing was owed: nothing, if all is well.
    fn look(&mut self) -> io::Result<()> {
        if self.connection.is_none() {
            return Ok(());
        }
        let socket = self.socket()?;
        let mut unasked = [0; LOOK_BYTES];
        match attempt(|| socket.read(&mut unasked)) {
            Ok(None) => return Ok(()),
            Ok(Some(0)) => (self.say)(&Notice::ServerLeft(&ErrorKind::UnexpectedEof.into()))?,
            Err(e) => (self.say)(&Notice::ServerLeft(&e))?,
            Ok(Some(n)) => {
                self.tally.surplus_bytes += n;
                (self.say)(&Notice::Surplus(&unasked[..n]))?;
            }
        }
        // More may be on its way, and would be taken for the next echo: only a new connection is in step.
        self.drop_connection();
        Ok(())
    }

    /// Sends a message on the connection, or on a new one where there is none, and receives its echo
    /// until that is complete or the connection ends.
    fn exchange<'m>(&mut self, message: &'m [u8]) -> io::Result<Exchange<'m>> {
        if self.connection.is_none() {
            self.connect()?;
        }
        let mut exchange = Exchange::new(message);
        let met = self.meet(&mut exchange);
        self.tally.sent_bytes += exchange.sent_bytes();
        self.tally.received_bytes += exchange.echo().len();
        met.map(|()| exchange)
    }

    fn meet<'m>(&mut self, exchange: &mut Exchange<'m>) -> io::Result<()> {
        let began = Instant::now();
        if self.drive_until(exchange, Exchange::is_sent)? {
            (self.say)(&Notice::Sent { bytes: exchange.message_bytes() })?;
            if self.drive_until(exchange, Exchange::is_complete)? {
                let took = began.elapsed();
                (self.say)(&Notice::Received { echo: exchange.echo(), took })?;
            }
        }
        Ok(())
    }

    /// Whether `done` came true before the connection ended.
    fn drive_until<'m>(
        &mut self,
        exchange: &mut Exchange<'m>,
        done: fn(&Exchange<'m>) -> bool,
    ) -> io::Result<bool> {
        let limit = self.options.timeout;
        let mut patience = Patience::new(limit, Instant::now());
        loop {
            let before = exchange.moved_bytes();
            let driven = exchange.drive(self.socket()?);
            if done(exchange) {
                return Ok(true);
            }
            if let Err(why) = &driven {
                self.drop_connection();
                let of = exchange.message_bytes();
                (self.say)(&Notice::CutShort { echo: exchange.echo(), of, why })?;
                return Ok(false);
            }
            let now = Instant::now();
            if exchange.moved_bytes() != before {
                patience.renew(now);
            }
            let Some(left) = patience.left(now) else {
                let (received, of) = (exchange.echo().len(), exchange.message_bytes());
                return Err(timed_out(limit, received as u64, of as u64));
            };
            self.reactor.wait(Some(left), &mut self.ready)?;
        }
    }

    fn socket(&mut self) -> io::Result<&mut Socket> {
        let socket = self.connection.and_then(|token| self.reactor.get_mut(token));
        Ok(socket.ok_or(ErrorKind::NotConnected)?)
    }

    fn drop_connection(&mut self) {
        if let Some(token) = self.connection.take() {
            self.reactor.remove(token);
        }
    }
}
