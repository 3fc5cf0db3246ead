//! Standard input to the server and its echo to standard output, both at once.
//!
//! Each byte is compared with what was sent before it is passed on, so what comes out is always a prefix of
//! what went in.

use std::fmt;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use mio::Token;

use super::Options;
use super::ends::{Ends, Woken, interrupted};
use super::ledger::{Fault, Ledger, Recorded};
use super::notice::{Left, timed_out};
use super::pump::{Filled, Pump};
use crate::client::CLOSE_TIMEOUT;
use crate::client::dial::{Progress, Step};
use crate::client::idle_timer::IdleTimer;
use crate::net::cannot;
use crate::stdio::{INPUT, OUTPUT, complain, end_if_reader_left};
use crate::text::Plural;

/// A direction ends its turn after this many buffers, so that the other gets its own: each of them alone
/// could go on without end.
const BUFFERS_PER_TURN: usize = 16;

/// Streams standard input to the server and its echo to standard output, until both have ended; or until all
/// has come back, and the server has had some time to end the connection too.
pub fn run(options: &Options) -> io::Result<()> {
    let mut ends = Ends::open(options)?;
    let server = connect(&mut ends)?;
    Stream::new(ends, server, options.timeout).run()
}

fn connect(ends: &mut Ends) -> io::Result<Token> {
    ends.start_dialing()?;
    let nothing = Totals { sent: 0, received: 0 };
    loop {
        match ends.dial()? {
            Step::Progress(progress @ Progress::Connecting(_)) => log::debug!("{progress}"),
            Step::Progress(progress) => log::warn!("{progress}"),
            Step::Connected(made) => {
                log::debug!("connected to {} from {}", made.peer, made.local);
                return ends.add(made.socket);
            }
            Step::Failed(error) => return Err(error),
            Step::Wait => match ends.wait_to_connect()? {
                Woken::Plain => {}
                Woken::Status => complain(&format_args!("connecting; {nothing}")),
                Woken::Stop(signal) => return Err(interrupted(signal, &nothing)),
            },
        }
        if !ends.has_reader() {
            return Err(unwritable(&ErrorKind::BrokenPipe.into()));
        }
    }
}

struct Stream {
    ends: Ends,
    server: Token,
    /// From standard input to the server.
    up: Pump,
    /// From the server to standard output.
    down: Pump,
    /// What the server owes.
    ledger: Ledger,
    timeout: Duration,
    /// Why sending failed. What the server sent before that is still on its way.
    unsendable: Option<io::Error>,
    /// What to end with once all that was right has been written.
    failure: Option<io::Error>,
}

/// What a direction of the stream would do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Nothing, before an event.
    Wait,
    /// Go on, but the other direction comes first.
    Again,
}

impl Stream {
    fn new(ends: Ends, server: Token, timeout: Duration) -> Self {
        Self {
            ends,
            server,
            up: Pump::new(),
            down: Pump::new(),
            ledger: Ledger::new(),
            timeout,
            unsendable: None,
            failure: None,
        }
    }

    fn run(mut self) -> io::Result<()> {
        let echoed = self.echo_all();
        // The error matters more than the rest of a character.
        let _ = self.ends.output()?.end();
        echoed.and_then(|()| self.see_the_end())
    }

    /// Goes on until all that will ever be sent has come back and been written.
    fn echo_all(&mut self) -> io::Result<()> {
        let mut timer = IdleTimer::new(self.timeout, Instant::now());
        loop {
            let before = self.moved_bytes();
            // Downwards first: what came back counts, even if sending fails.
            let turns = [self.receive()?, self.send()?];
            if self.down.has_ended() && !self.owes_nothing() && self.failure.is_none() {
                self.failure = Some(self.cut_short(None));
            }
            if self.down.is_empty()
                && let Some(failure) = self.failure.take()
            {
                return Err(failure);
            }
            if turns.contains(&Turn::Again) {
                self.ends.requeue();
            } else if self.is_complete() {
                return Ok(());
            }
            if self.moved_bytes() != before || !self.waits_for_server() {
                timer.renew(Instant::now());
            }
            if self.ends.is_over(&mut timer) {
                return Err(self.gave_up());
            }
            if !self.ends.has_reader() {
                return Err(unwritable(&ErrorKind::BrokenPipe.into()));
            }
            let awaited = self.waits_for_server().then_some(&mut timer);
            match self.ends.wait(awaited)? {
                Woken::Plain => {}
                Woken::Status => complain(&self.totals()),
                Woken::Stop(signal) => {
                    self.receive()?;
                    return Err(interrupted(signal, &self.totals()));
                }
            }
        }
    }

    /// Goes on until the server has ended the connection, for as long as it has for that: what it sends
    /// meanwhile is too much.
    fn see_the_end(&mut self) -> io::Result<()> {
        let mut timer = IdleTimer::new(CLOSE_TIMEOUT, Instant::now());
        // All has come back, so it does not matter how the connection ends.
        while let Ok(filled) = self.fill_down() {
            if let Some(fault) = self.ledger.fault() {
                return Err(self.wrong(fault));
            }
            if filled == Filled::Ended {
                break;
            }
            if self.ends.is_over(&mut timer) {
                log::debug!("the server has echoed everything, and keeps the connection");
                break;
            }
            match self.ends.wait(Some(&mut timer))? {
                Woken::Plain => {}
                Woken::Status => complain(&self.totals()),
                Woken::Stop(_) => break,
            }
        }
        Ok(())
    }

    /// Standard input to the server.
    fn send(&mut self) -> io::Result<Turn> {
        for _ in 0..BUFFERS_PER_TURN {
            if self.failure.is_some() || self.unsendable.is_some() {
                return Ok(Turn::Wait);
            }
            let server = self.ends.server(self.server)?;
            match self.up.flush(&mut Recorded { sink: server, ledger: &mut self.ledger }) {
                Ok(true) if self.up.has_ended() || self.is_held_back() => return Ok(Turn::Wait),
                Ok(true) => {}
                Ok(false) => return Ok(Turn::Wait),
                Err(e) => {
                    self.unsendable = Some(e);
                    // To receive up to the end, which is near.
                    return Ok(Turn::Again);
                }
            }
            let filled = self.up.fill(self.ends.input()?, <[u8]>::len);
            match filled.map_err(|e| cannot("read from", &INPUT, &e))? {
                Filled::Bytes => {}
                Filled::Nothing => return Ok(Turn::Wait),
                Filled::Ended => self.ends.half_close(self.server),
            }
        }
        Ok(Turn::Again)
    }

    /// Whether it is of no use to send more: the output takes nothing, and much is on its way already.
    fn is_held_back(&self) -> bool {
        self.ledger.is_full() && !self.down.is_empty()
    }

    /// The server to standard output.
    fn receive(&mut self) -> io::Result<Turn> {
        for _ in 0..BUFFERS_PER_TURN {
            let flushed = self.down.flush(self.ends.output()?).map_err(|e| unwritable(&e))?;
            if !flushed || self.down.has_ended() || self.failure.is_some() {
                return Ok(Turn::Wait);
            }
            let filled = self.fill_down();
            if let Some(fault) = self.ledger.fault() {
                self.failure = Some(self.wrong(fault));
                continue; // To write what was right.
            }
            match filled {
                Ok(Filled::Bytes) => {}
                Err(_) if self.is_complete() => return Ok(Turn::Wait),
                Err(e) => self.failure = Some(self.cut_short(Some(e))),
                Ok(_) if self.unsendable.is_some() => self.failure = Some(self.cut_short(None)),
                Ok(_) => return Ok(Turn::Wait),
            }
        }
        Ok(Turn::Again)
    }

    fn fill_down(&mut self) -> io::Result<Filled> {
        let server = self.ends.server(self.server)?;
        self.down.fill(server, |bytes| self.ledger.verify(bytes))
    }

    fn wrong(&self, fault: Fault) -> io::Error {
        let (received, sent) = (self.down.taken_bytes(), self.up.passed_bytes());
        io::Error::other(match fault {
            Fault::Surplus => format!("{fault}: {received} bytes back for {sent}"),
            fault => fault.to_string(),
        })
    }

    /// Whether all that was read from standard input was sent and has come back.
    fn owes_nothing(&self) -> bool {
        self.up.is_empty() && self.ledger.is_empty()
    }

    /// Whether all that will ever be sent has come back and been written.
    fn is_complete(&self) -> bool {
        self.up.has_ended() && self.owes_nothing() && self.down.is_empty()
    }

    /// Whether it is the server's turn: it owes bytes that could be written at once. Or it has left, and
    /// only the end of the input would make that right.
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

    /// The connection is over: by the server's orderly end if there is no error.
    fn cut_short(&mut self, error: Option<io::Error>) -> io::Error {
        // The first error is the cause: the system reports it once.
        let why = self.unsendable.take().or(error);
        let why = why.unwrap_or_else(|| ErrorKind::UnexpectedEof.into());
        let (received, sent) = (self.down.taken_bytes(), self.up.passed_bytes());
        let input = if self.up.has_ended() { "" } else { ", before the input ended" };
        let line = format!("the server {} after {received} of {sent} bytes{input}", Left(&why));
        io::Error::new(why.kind(), line)
    }

    fn totals(&self) -> Totals {
        Totals { sent: self.up.passed_bytes(), received: self.down.taken_bytes() }
    }
}

/// What was done so far.
struct Totals {
    sent: u64,
    received: u64,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = |n| Plural(n, "byte");
        write!(f, "{} sent, {} received", bytes(self.sent), bytes(self.received))
    }
}

/// Ends the program if the reader of standard output has left, as other filters do.
pub fn unwritable(error: &io::Error) -> io::Error {
    end_if_reader_left(error);
    cannot("write to", &OUTPUT, error)
}
