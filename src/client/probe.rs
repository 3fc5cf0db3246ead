//! The client's side of an echo, as a state machine without a socket: it sends a pattern, and checks every
//! byte that comes back.
//!
//! [`Probe`] is the opposite of [`Echo`](crate::conn::Echo), and built like it: the socket, the read buffer
//! and the time are parameters, so a test can run it on a scripted socket. The bytes follow from the number
//! of the stream and the offset there ([`Pattern`]). So a probe keeps no copy of what it sends, and its memory
//! does not depend on the size of its messages.
//!
//! # Times
//!
//! Each message has two: when it was *due*, by the caller's plan, and when its first byte was sent. A slow
//! server keeps a client from sending. A client that measures from the second time alone leaves that delay
//! out, and the slower the server is, the more it leaves out ("coordinated omission").

use std::collections::{TryReserveError, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::mem::take;
use std::time::Instant;

pub use fault::{Cause, Fault, Wrong};
pub use pattern::Pattern;

mod fault;
mod pattern;
pub(crate) mod window;
pub(crate) mod datagrams;

/// The number of bytes that a fault shows of a surplus.
const SURPLUS_BYTES: usize = 16;

/// A message on its way to the server and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// When it was due.
    pub due: Instant,
    /// When its first byte was sent.
    pub sent: Instant,
    /// How many bytes it has.
    pub bytes: usize,
}

/// The messages of one connection, and how much of them has come back.
#[derive(Debug)]
pub struct Probe {
    stream: usize,
    /// Bytes that the socket has taken.
    sent: u64,
    /// Bytes that have come back. All of them are right.
    received: u64,
    /// The offset at which the last message ends.
    end: u64,
    /// The messages in flight, the oldest first. Never more than `depth`, so this never grows.
    flights: VecDeque<Flight>,
    /// The number of flights, from the front, whose first byte was sent.
    stamped: usize,
    depth: usize,
}

#[derive(Debug)]
struct Flight {
    /// Its `sent` is a copy of `due` until its first byte is sent.
    message: Message,
    /// The offset at which it ends in the stream.
    end: u64,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// This many right bytes. The socket may have more.
    More(usize),
    /// This many right bytes, fewer than the read asked for.
    Short(usize),
    /// The socket is empty.
    Nothing,
    /// The end of the stream, after everything had come back.
    End,
}

impl Probe {
    /// A probe that has sent nothing yet. It can have up to `depth` messages in flight.
    pub fn new(stream: usize, depth: usize) -> Self {
        Self::with_room(stream, depth, VecDeque::with_capacity(depth))
    }

    /// As [`new`](Self::new), for a depth that may exceed the memory.
    ///
    /// # Errors
    ///
    /// If there is no memory for that many messages.
    pub fn try_new(stream: usize, depth: usize) -> Result<Self, TryReserveError> {
        let mut flights = VecDeque::new();
        flights.try_reserve_exact(depth)?;
        Ok(Self::with_room(stream, depth, flights))
    }

    fn with_room(stream: usize, depth: usize, flights: VecDeque<Flight>) -> Self {
        Self { stream, sent: 0, received: 0, end: 0, flights, stamped: 0, depth }
    }

    /// The memory of one message in flight, in bytes.
    pub const FLIGHT_BYTES: usize = size_of::<Flight>();

    /// Starts again on a new connection, and forgets the messages in flight.
    pub fn restart(&mut self) {
        (self.sent, self.received, self.end) = (0, 0, 0);
        self.flights.clear();
        self.stamped = 0;
    }

    /// A probe for a second connection. It takes this one's room for messages: no message may be in flight here,
    /// and none can be begun any more.
    #[must_use]
    pub fn hand_on(&mut self) -> Self {
        debug_assert!(self.flights.is_empty());
        let (depth, flights) = (take(&mut self.depth), take(&mut self.flights));
        Self::with_room(self.stream, depth, flights)
    }

    /// Whether another message may be [begun](Self::begin).
    pub fn has_room(&self) -> bool {
        self.flights.len() < self.depth
    }

    /// When the messages in flight were due, the oldest first.
    pub fn dues(&self) -> impl Iterator<Item = Instant> {
        self.flights.iter().map(|flight| flight.message.due)
    }

    /// The number of messages in flight.
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Begins a message of `bytes` bytes, at least one. There must be [room](Self::has_room) for it.
    pub fn begin(&mut self, bytes: usize, due: Instant) {
        debug_assert!(bytes > 0 && self.has_room());
        self.end += bytes as u64;
        let message = Message { due, sent: due, bytes };
        self.flights.push_back(Flight { message, end: self.end });
    }

    /// Whether the socket has taken all that was begun.
    pub fn is_sent(&self) -> bool {
        self.sent == self.end
    }

    /// Whether all that was begun has come back.
    pub fn is_echoed(&self) -> bool {
        self.received == self.end
    }

    /// The numbers of bytes sent and received.
    pub fn progress(&self) -> (u64, u64) {
        (self.sent, self.received)
    }

    /// When the oldest message in flight was sent, or when it was due if it is not sent yet.
    pub fn waiting_since(&self) -> Option<Instant> {
        self.flights.front().map(|flight| flight.message.sent)
    }

    /// Sends what was begun, until all is sent or the socket would block. `now` is the time of sending.
    ///
    /// # Errors
    ///
    /// [`Fault::Ended`], if the connection is gone.
    #[inline]
    pub fn send(
        &mut self,
        io: &mut impl Write,
        pattern: &Pattern,
        now: Instant,
    ) -> Result<(), Fault> {
        let before = self.sent;
        let outcome = self.write(io, pattern);
        if self.sent > before {
            self.stamp(now);
        }
        outcome.map_err(|e| self.ended(Some(e)))
    }

    #[inline]
    fn write(&mut self, io: &mut impl Write, pattern: &Pattern) -> io::Result<()> {
        while self.sent < self.end {
            let len = usize::try_from(self.end - self.sent).unwrap_or(usize::MAX);
            let piece = pattern.piece(self.stream, self.sent, len.min(pattern.longest()));
            match io.write(piece) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => self.sent += n as u64,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Records `now` for the messages whose first byte was just sent.
    fn stamp(&mut self, now: Instant) {
        while let Some(Flight { message, end }) = self.flights.get_mut(self.stamped)
            && *end - (message.bytes as u64) < self.sent
        {
            message.sent = now;
            self.stamped += 1;
        }
    }

    /// Reads once, up to the length of `scratch`, and checks what came.
    ///
    /// # Errors
    ///
    /// What is wrong with the echo. After that, the connection must not be used.
    #[inline]
    pub fn receive(
        &mut self,
        io: &mut impl Read,
        pattern: &Pattern,
        scratch: &mut [u8],
    ) -> Result<Received, Fault> {
        let asked = scratch.len().min(pattern.longest());
        let n = loop {
            match io.read(&mut scratch[..asked]) {
                Ok(0) if self.is_echoed() => return Ok(Received::End),
                Ok(0) => return Err(self.ended(None)),
                Ok(n) => break n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(Received::Nothing),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(self.ended(Some(e))),
            }
        };
        self.check(&scratch[..n], pattern)?;
        self.received += n as u64;
        Ok(if n < asked { Received::Short(n) } else { Received::More(n) })
    }

    #[inline]
    fn check(&self, echo: &[u8], pattern: &Pattern) -> Result<(), Fault> {
        let owed = usize::try_from(self.sent - self.received).unwrap_or(usize::MAX);
        // Slices compare many bytes at a time. Which byte differs is looked up only if one does.
        if echo.len() <= owed && echo == pattern.piece(self.stream, self.received, echo.len()) {
            return Ok(());
        }
        Err(self.fault(echo, owed, pattern))
    }

    #[cold]
    fn fault(&self, echo: &[u8], owed: usize, pattern: &Pattern) -> Fault {
        let (stream, offset) = (self.stream, self.received);
        let surplus = &echo[owed.min(echo.len())..];
        match Wrong::find(&echo[..echo.len() - surplus.len()], pattern, stream, offset) {
            // The surplus goes along: it helps to find the cause.
            Some(wrong) => {
                Fault::Wrong(Wrong::find(echo, pattern, stream, offset).unwrap_or(wrong))
            }
            None => Fault::Surplus {
                offset: offset + owed as u64,
                bytes: surplus[..surplus.len().min(SURPLUS_BYTES)].into(),
            },
        }
    }

    #[cold]
    fn ended(&self, error: Option<io::Error>) -> Fault {
        Fault::Ended { received: self.received, sent: self.sent, error }
    }

    /// Takes the oldest message, if its whole echo has come back.
    #[inline]
    pub fn complete(&mut self) -> Option<Message> {
        if self.flights.front()?.end > self.received {
            return None;
        }
        self.stamped -= 1;
        self.flights.pop_front().map(|flight| flight.message)
    }
}

#[cfg(test)]
mod tests;
