//! Streams standard input to the server and its echo to standard output, both at once.
//!
//! The client compares each byte with what it sent before it writes it. So its output is always a prefix of its input.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use mio::Token;

use super::Options;
use super::client_io::{ClientIo, SignalRequest, interrupted, unwritable};
use super::ledger::{Ledger, Mismatch, Recorded};
use super::notice::{Left, timed_out};
use super::pump::{Filled, Pump};
use super::totals::ByteTotals;
use super::watched::Watched;
use crate::client::CLOSE_TIMEOUT;
use crate::client::drive::{Driven, Timeout, drive};
use crate::client::idle_timer::IdleTimer;
use crate::net::cannot;
use crate::reactor::{Reactor, Ready};
use crate::stdio::{INPUT, complain};
use connecting::ConnectingStream;

mod connecting;

/// A direction yields after this many buffers. Each direction alone could go on without end.
const BUFFERS_PER_TURN: usize = 16;

/// Streams standard input to the server and its echo to standard output, until both have ended. If all has come back
/// and the server does not close, the client closes alone after a while.
pub fn run(options: &Options) -> io::Result<()> {
    let now = Instant::now();
    let mut connecting = ConnectingStream::new(ClientIo::open(options, now)?);
    let server = drive(&mut connecting, now)?;
    let now = Instant::now();
    let mut stream = EchoStream::new(connecting.io, server, options.timeout, now);
    let streamed = drive(&mut stream, now);
    // The error matters more than the rest of a character.
    let _ = stream.io.output()?.end();
    streamed
}

struct EchoStream {
    io: ClientIo,
    server: Token,
    /// From standard input to the server.
    up: Pump,
    /// From the server to standard output.
    down: Pump,
    /// What the server owes.
    ledger: Ledger,
    timeout: Duration,
    phase: StreamPhase,
    /// Why sending failed. What the server sent before that is still on its way.
    unsendable: Option<io::Error>,
    /// What the client fails with, once it has written all that was right.
    failure: Option<io::Error>,
}

#[derive(Debug)]
enum StreamPhase {
    /// Bytes are on their way. The timer runs while the server owes some.
    Echoing(IdleTimer),
    /// All has come back, and the server has some time to close. What it sends meanwhile is too much.
    Closing(IdleTimer),
    Over,
}

impl Driven for EchoStream {
    type Watched = Watched;
    type Outcome = ();

    fn reactor(&mut self) -> &mut Reactor<Watched> {
        &mut self.io.reactor
    }

    fn poll_timeout(&mut self, now: Instant) -> Timeout {
        match &self.phase {
            StreamPhase::Echoing(_) if !self.waits_for_server() => Timeout::Never,
            StreamPhase::Echoing(timer) | StreamPhase::Closing(timer) => {
                Timeout::Owed(timer.left(now))
            }
            StreamPhase::Over => Timeout::Never,
        }
    }

    fn discount(&mut self, standstill: Duration, _: Instant) {
        if let StreamPhase::Echoing(timer) | StreamPhase::Closing(timer) = &mut self.phase {
            timer.discount(standstill);
        }
    }

    fn handle_ready(&mut self, ready: &[Ready], now: Instant) -> io::Result<()> {
        match self.io.handle_ready(ready) {
            None => {}
            Some(SignalRequest::Status) => complain(&self.totals()),
            Some(SignalRequest::Stop(signal)) => return self.stop(signal),
        }
        match self.phase {
            StreamPhase::Echoing(_) => self.echo(now),
            StreamPhase::Closing(_) => self.close(),
            StreamPhase::Over => Ok(()),
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> io::Result<()> {
        match &self.phase {
            StreamPhase::Echoing(timer) if self.waits_for_server() && timer.has_expired(now) => {
                Err(self.gave_up())
            }
            StreamPhase::Closing(timer) if timer.has_expired(now) => {
                log::debug!("the server has echoed everything, and keeps the connection");
                self.phase = StreamPhase::Over;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn outcome(&mut self) -> Option<()> {
        matches!(self.phase, StreamPhase::Over).then_some(())
    }
}

impl EchoStream {
    fn new(mut io: ClientIo, server: Token, timeout: Duration, now: Instant) -> Self {
        // An event for the input may have come while the client connected.
        io.requeue();
        Self {
            io,
            server,
            up: Pump::new(),
            down: Pump::new(),
            ledger: Ledger::new(),
            timeout,
            phase: StreamPhase::Echoing(IdleTimer::new(timeout, now)),
            unsendable: None,
            failure: None,
        }
    }

    /// Moves bytes in both directions.
    fn echo(&mut self, now: Instant) -> io::Result<()> {
        let before = self.moved_bytes();
        // Downwards first: what came back counts, even if sending fails.
        let yields = [self.receive()?, self.send()?].contains(&true);
        if self.down.has_ended() && !self.owes_nothing() && self.failure.is_none() {
            self.failure = Some(self.cut_short(None));
        }
        if self.down.is_empty()
            && let Some(failure) = self.failure.take()
        {
            return Err(failure);
        }
        if yields {
            self.io.requeue();
        } else if self.is_complete() {
            self.phase = StreamPhase::Closing(IdleTimer::new(CLOSE_TIMEOUT, now));
            return self.close();
        }
        let renews = self.moved_bytes() != before || !self.waits_for_server();
        if let StreamPhase::Echoing(timer) = &mut self.phase
            && renews
        {
            timer.renew(now);
        }
        self.io.check_reader()
    }

    /// Looks whether the server has closed too.
    fn close(&mut self) -> io::Result<()> {
        let filled = self.fill_down();
        if let Some(mismatch) = self.ledger.mismatch() {
            return Err(self.wrong(mismatch));
        }
        // All has come back, so it does not matter how the connection ends.
        if matches!(filled, Err(_) | Ok(Filled::Ended)) {
            self.phase = StreamPhase::Over;
        }
        Ok(())
    }

    /// Stops on a signal. That is no failure if all has come back.
    fn stop(&mut self, signal: i32) -> io::Result<()> {
        if matches!(self.phase, StreamPhase::Echoing(_)) {
            self.receive()?;
            return Err(interrupted(signal, &self.totals()));
        }
        self.phase = StreamPhase::Over;
        Ok(())
    }

    /// Moves bytes from standard input to the server. Returns whether it yields with more to do.
    fn send(&mut self) -> io::Result<bool> {
        for _ in 0..BUFFERS_PER_TURN {
            if self.failure.is_some() || self.unsendable.is_some() {
                return Ok(false);
            }
            let server = self.io.server(self.server)?;
            match self.up.flush(&mut Recorded { sink: server, ledger: &mut self.ledger }) {
                Ok(true) if self.up.has_ended() || self.is_held_back() => return Ok(false),
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(e) => {
                    self.unsendable = Some(e);
                    // The next turn receives up to the end, which is near.
                    return Ok(true);
                }
            }
            let filled = self.up.fill(self.io.input()?, <[u8]>::len);
            match filled.map_err(|e| cannot("read from", &INPUT, &e))? {
                Filled::Bytes => {}
                Filled::Nothing => return Ok(false),
                Filled::Ended => self.io.shutdown_write(self.server),
            }
        }
        Ok(true)
    }

    /// Whether to send more is of no use: the output blocks, and the server owes much already.
    fn is_held_back(&self) -> bool {
        self.ledger.is_full() && !self.down.is_empty()
    }

    /// Moves bytes from the server to standard output. Returns whether it yields with more to do.
    fn receive(&mut self) -> io::Result<bool> {
        for _ in 0..BUFFERS_PER_TURN {
            let flushed = self.down.flush(self.io.output()?).map_err(|e| unwritable(&e))?;
            if !flushed || self.down.has_ended() || self.failure.is_some() {
                return Ok(false);
            }
            let filled = self.fill_down();
            if let Some(mismatch) = self.ledger.mismatch() {
                self.failure = Some(self.wrong(mismatch));
                continue; // It writes what was right.
            }
            match filled {
                Ok(Filled::Bytes) => {}
                Err(_) if self.is_complete() => return Ok(false),
                Err(e) => self.failure = Some(self.cut_short(Some(e))),
                Ok(_) if self.unsendable.is_some() => self.failure = Some(self.cut_short(None)),
                Ok(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    fn fill_down(&mut self) -> io::Result<Filled> {
        let server = self.io.server(self.server)?;
        self.down.fill(server, |bytes| self.ledger.verify(bytes))
    }

    fn wrong(&self, mismatch: Mismatch) -> io::Error {
        let (received, sent) = (self.down.taken_bytes(), self.up.passed_bytes());
        io::Error::other(match mismatch {
            Mismatch::Surplus => format!("{mismatch}: {received} bytes back for {sent}"),
            mismatch => mismatch.to_string(),
        })
    }

    /// Whether all bytes from standard input are sent and have come back.
    fn owes_nothing(&self) -> bool {
        self.up.is_empty() && self.ledger.is_empty()
    }

    /// Whether the input has ended, and all of it has come back and is written.
    fn is_complete(&self) -> bool {
        self.up.has_ended() && self.owes_nothing() && self.down.is_empty()
    }

    /// Whether the client waits for the server only: it owes bytes, and the output would take them. Or the server has
    /// closed, which is right only if the input ends now.
    fn waits_for_server(&self) -> bool {
        self.down.is_empty() && (!self.owes_nothing() || self.down.has_ended())
    }

    fn moved_bytes(&self) -> u64 {
        let moved = |pump: &Pump| pump.taken_bytes() + pump.passed_bytes();
        moved(&self.up) + moved(&self.down)
    }

    fn gave_up(&mut self) -> io::Error {
        if self.down.has_ended() {
            return self.cut_short(None);
        }
        timed_out(self.timeout, self.down.taken_bytes(), self.up.passed_bytes())
    }

    /// The error if the connection ends too early. If `error` is `None`, the server closed it.
    fn cut_short(&mut self, error: Option<io::Error>) -> io::Error {
        // The first error is the cause: the system reports it once.
        let why = self.unsendable.take().or(error);
        let why = why.unwrap_or_else(|| ErrorKind::UnexpectedEof.into());
        let (received, sent) = (self.down.taken_bytes(), self.up.passed_bytes());
        let input = if self.up.has_ended() { "" } else { ", before the input ended" };
        let line = format!("the server {} after {received} of {sent} bytes{input}", Left(&why));
        io::Error::new(why.kind(), line)
    }

    fn totals(&self) -> ByteTotals {
        ByteTotals { sent: self.up.passed_bytes(), received: self.down.taken_bytes() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::connect::scripted::unanswered;
    use crate::client::drive::assert_discounts;

    #[test]
    fn a_standstill_counts_against_no_server_in_any_phase() {
        let ((_listener, options), now) = (unanswered(), Instant::now());
        let mut connecting = ConnectingStream::new(ClientIo::open(&options, now).unwrap());
        connecting.handle_timeout(now).unwrap();
        assert_discounts(&mut connecting, now);
        // No test uses the connection.
        let mut stream = EchoStream::new(connecting.io, Token(0), options.timeout, now);
        stream.ledger.sent(b"owed");
        assert_discounts(&mut stream, now);
        stream.phase = StreamPhase::Closing(IdleTimer::new(CLOSE_TIMEOUT, now));
        assert_discounts(&mut stream, now);
    }
}
