//! Standard input to the server and its echo to standard output, both at once.
//!
//! However long the stream, it takes two buffers: each byte is checked as it passes, by its place in a
//! checksum over all that went out and one over all that came back.

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::{Interest, Registry, Token};

use super::Options;
use super::notice::{Left, timed_out};
use super::pump::{Filled, Pump};
use super::standard::{self, INPUT, OUTPUT, Standard};
use crate::client::GOODBYE;
use crate::client::dial::{Limits, Progress, dial};
use crate::client::patience::Patience;
use crate::net::{Socket, Stream as _, cannot, delegate_source};
use crate::reactor::Reactor;

/// A direction ends its turn after this many buffers, so that the other gets its own: each of them alone
/// could go on for ever.
const BUFFERS_PER_TURN: usize = 16;

/// Streams standard input to the server and its echo to standard output, until both have ended; or until all
/// has come back, and the server has had some time to end the connection too.
pub fn run(options: &Options) -> io::Result<()> {
    let connection = dial(&options.server, Limits::new(options.timeout), |progress| {
        match progress {
            Progress::Connecting(_) => log::debug!("{progress}"),
            Progress::Failed(_) | Progress::Waiting { .. } => log::warn!("{progress}"),
        }
        Ok(())
    })?;
    log::debug!("connected to {} from {}", connection.peer, connection.local);
    Stream::new(connection.socket, options.timeout)?.run()
}

struct Stream {
    ends: Reactor<End>,
    input: Token,
    output: Token,
    server: Token,
    /// From standard input to the server.
    up: Pump,
    /// From the server to standard output.
    down: Pump,
    timeout: Duration,
    /// How much has come back when it was last seen to be right.
    right_bytes: u64,
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
    fn new(server: Socket, timeout: Duration) -> io::Result<Self> {
        let mut ends = Reactor::new()?;
        Ok(Self {
            server: ends.insert(End::Server(server))?,
            input: ends.insert(End::Standard(Standard::new(standard::input()?)?))?,
            output: ends.insert(End::Standard(Standard::new(standard::output()?)?))?,
            ends,
            up: Pump::new(),
            down: Pump::new(),
            timeout,
            right_bytes: 0,
        })
    }

    fn run(mut self) -> io::Result<()> {
        self.echo_all()?;
        self.see_the_end()
    }

    /// Goes on until all that will ever be sent has come back and been written.
    fn echo_all(&mut self) -> io::Result<()> {
        let mut patience = Patience::new(self.timeout, Instant::now());
        let mut ready = Vec::new();
        loop {
            let before = self.moved_bytes();
            // Downwards first: where sending fails, what had come back until then is told.
            let received = self.receive()?;
            self.check()?;
            let turns = [received, self.send()?];
            self.check()?;
            if turns.contains(&Turn::Again) {
                self.ends.again(self.server);
            } else if self.is_complete() {
                return Ok(());
            }
            let now = Instant::now();
            if self.moved_bytes() != before || !self.waits_for_server() {
                patience.renew(now);
            }
            let Some(left) = patience.left(now) else {
                return Err(self.gave_up());
            };
            self.ends.wait(self.waits_for_server().then_some(left), &mut ready)?;
        }
    }

    /// Goes on until the server has ended the connection, for as long as it has for that: what it sends
    /// meanwhile is too much.
    fn see_the_end(&mut self) -> io::Result<()> {
        let patience = Patience::new(GOODBYE, Instant::now());
        let mut ready = Vec::new();
        // All has come back, so it is no matter how the connection ends.
        while let Ok(filled) = self.down.fill(end(&mut self.ends, self.server)?) {
            self.check()?;
            if filled == Filled::Ended {
                break;
            }
            let Some(left) = patience.left(Instant::now()) else {
                log::debug!("the server has echoed everything, and keeps the connection");
                break;
            };
            self.ends.wait(Some(left), &mut ready)?;
        }
        Ok(())
    }

    /// Standard input to the server.
    fn send(&mut self) -> io::Result<Turn> {
        for _ in 0..BUFFERS_PER_TURN {
            match self.up.flush(end(&mut self.ends, self.server)?) {
                Ok(true) if self.up.has_ended() => return Ok(Turn::Wait),
                Ok(true) => {}
                Ok(false) => return Ok(Turn::Wait),
                Err(e) => return Err(self.cut_short(&e)),
            }
            let filled = self.up.fill(end(&mut self.ends, self.input)?);
            match filled.map_err(|e| cannot("read from", &INPUT, &e))? {
                Filled::Bytes => {}
                Filled::Nothing => return Ok(Turn::Wait),
                Filled::Ended => end(&mut self.ends, self.server)?.half_close(),
            }
        }
        Ok(Turn::Again)
    }

    /// The server to standard output.
    fn receive(&mut self) -> io::Result<Turn> {
        for _ in 0..BUFFERS_PER_TURN {
            let flushed = self.down.flush(end(&mut self.ends, self.output)?);
            if !flushed.map_err(|e| cannot("write to", &OUTPUT, &e))? || self.down.has_ended() {
                return Ok(Turn::Wait);
            }
            match self.down.fill(end(&mut self.ends, self.server)?) {
                Ok(Filled::Bytes) => {}
                Ok(Filled::Nothing | Filled::Ended) => return Ok(Turn::Wait),
                Err(_) if self.is_complete() => return Ok(Turn::Wait),
                Err(e) => return Err(self.cut_short(&e)),
            }
        }
        Ok(Turn::Again)
    }

    /// Finds what is wrong with the echo so far.
    fn check(&mut self) -> io::Result<()> {
        let (taken, sent) = (self.up.taken_bytes(), self.up.passed_bytes());
        let received = self.down.taken_bytes();
        if received > sent {
            let line =
                format!("the server sent more than it got: {received} bytes back for {sent}");
            return Err(io::Error::other(line));
        }
        if self.down.has_ended() && received < taken {
            return Err(self.cut_short(&ErrorKind::UnexpectedEof.into()));
        }
        if received == taken {
            if self.down.sum() != self.up.sum() {
                return Err(self.wrong());
            }
            self.right_bytes = received;
        }
        Ok(())
    }

    /// Checksums tell that something is wrong, and no more of the place than where all was still right.
    fn wrong(&self) -> io::Error {
        let received = self.down.taken_bytes();
        let after = match self.right_bytes {
            0 => String::new(),
            n => format!(" after the first {n}"),
        };
        let line = format!(
            "the echo is wrong: within its {received} bytes, some{after} differ from what was sent"
        );
        io::Error::other(line)
    }

    /// Whether all that will ever be sent has come back and been written.
    fn is_complete(&self) -> bool {
        let echoed = self.down.taken_bytes() == self.up.taken_bytes();
        self.up.has_ended() && echoed && self.down.is_empty()
    }

    /// Whether it is the server's turn: it owes bytes that could be written at once. Or it has left, and
    /// only the end of the input would make that right.
    fn waits_for_server(&self) -> bool {
        let owes = self.down.taken_bytes() < self.up.taken_bytes();
        self.down.is_empty() && (owes || self.down.has_ended())
    }

    fn moved_bytes(&self) -> u64 {
        let moved = |pump: &Pump| pump.taken_bytes() + pump.passed_bytes();
        moved(&self.up) + moved(&self.down)
    }

    fn gave_up(&self) -> io::Error {
        if self.down.has_ended() {
            return self.cut_short(&ErrorKind::UnexpectedEof.into());
        }
        timed_out(self.timeout, self.down.taken_bytes(), self.up.passed_bytes())
    }

    fn cut_short(&self, why: &io::Error) -> io::Error {
        let (received, sent) = (self.down.taken_bytes(), self.up.passed_bytes());
        let input = if self.up.has_ended() { "" } else { ", before the input ended" };
        let line = format!("the server {} after {received} of {sent} bytes{input}", Left(why));
        io::Error::new(why.kind(), line)
    }
}

fn end(ends: &mut Reactor<End>, token: Token) -> io::Result<&mut End> {
    Ok(ends.get_mut(token).ok_or(ErrorKind::NotConnected)?)
}

/// What the reactor polls.
enum End {
    Standard(Standard),
    Server(Socket),
}

impl End {
    fn half_close(&self) {
        if let Self::Server(socket) = self {
            // Fails only where the connection is gone, which reading from it tells with its cause.
            let _ = socket.shutdown_write();
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Standard(file) => file,
            Self::Server(socket) => socket,
        }
    }
}

delegate_source!(End);

impl Read for End {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Standard(file) => file.read(buffer),
            Self::Server(socket) => socket.read(buffer),
        }
    }
}

impl Write for End {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard(file) => file.write(bytes),
            Self::Server(socket) => socket.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Standard(file) => file.flush(),
            Self::Server(socket) => socket.flush(),
        }
    }
}
