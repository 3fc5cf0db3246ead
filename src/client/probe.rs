//! The other side of an echo as a state machine without a socket: sends a pattern, and checks every byte
//! that comes back.
//!
//! [`Probe`] is the opposite of [`Echo`](crate::conn::Echo), and built like it: the socket, the read buffer
//! and the time are parameters, so it runs on a scripted socket in a test. What it sends follows from the
//! number of its stream and the offset there ([`Pattern`]), so it keeps no copy of it, and a connection
//! costs the same memory whatever its messages' size.
//!
//! # Times
//!
//! Each message has two: when it was *due*, by the caller's plan, and when its first byte was actually sent.
//! A client that measures from the second alone leaves out the time for which a slow server kept it from
//! sending, and so makes the server look better the worse it is ("coordinated omission").

use std::collections::{TryReserveError, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::mem::take;
use std::time::Instant;

pub use fault::{Cause, Fault, Wrong};
pub use pattern::Pattern;

mod fault;
mod pattern;

/// What is shown of bytes that were never sent.
const SURPLUS_BYTES: usize = 16;

/// A message on its way to the server and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// When it was to be sent.
    pub due: Instant,
    /// When its first byte was sent.
    pub sent: Instant,
    /// How many bytes it has.
    pub bytes: usize,
}

/// One connection's stream of messages, and how far it has come back.
#[derive(Debug)]
pub struct Probe {
    stream: usize,
    /// Bytes that the socket has taken.
    sent: u64,
    /// Bytes that have come back, all of them right.
    received: u64,
    /// Where the last message begun ends.
    end: u64,
    /// In the order in which they were begun. Never more than there was room for at the start.
    flights: VecDeque<Flight>,
    /// How many of them, from the front, are known to have been sent, and when.
    stamped: usize,
    depth: usize,
}

#[derive(Debug)]
struct Flight {
    /// Until its first byte is sent, as if that had been when it was due.
    message: Message,
    /// Where it ends in the stream.
    end: u64,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many right bytes, and the socket may have more.
    More(usize),
    /// So many right bytes, fewer than were asked for.
    Short(usize),
    /// The socket is empty.
    Nothing,
    /// The server's end, after everything had come back.
    End,
}

impl Probe {
    /// A stream of which nothing is sent yet, for up to `depth` messages in flight.
    pub fn new(stream: usize, depth: usize) -> Self {
        Self::with_room(stream, depth, VecDeque::with_capacity(depth))
    }

    /// The same for a depth that may be too much.
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

    /// What a message in flight takes, in bytes of memory.
    pub const FLIGHT_BYTES: usize = size_of::<Flight>();

    /// The same on a new connection: what was in flight is forgotten.
    pub fn restart(&mut self) {
        (self.sent, self.received, self.end) = (0, 0, 0);
        self.flights.clear();
        self.stamped = 0;
    }

    /// The same for another connection beside this one, which gets the room for messages: nothing may be in
    /// flight here, or be begun any more.
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

    /// When the messages in flight were due, in the order in which they were begun.
    pub fn dues(&self) -> impl Iterator<Item = Instant> {
        self.flights.iter().map(|flight| flight.message.due)
    }

    /// How many messages are in flight.
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Begins a message of so many bytes, at least one, for which there must be room.
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

    /// Bytes sent and received.
    pub fn progress(&self) -> (u64, u64) {
        (self.sent, self.received)
    }

    /// When the oldest message in flight was sent, or was due where it has not been.
    pub fn waiting_since(&self) -> Option<Instant> {
        self.flights.front().map(|flight| flight.message.sent)
    }

    /// Sends what was begun, until all is sent or the socket takes no more. `now` is when.
    ///
    /// # Errors
    ///
    /// [`Fault::Ended`], where the connection is gone.
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

    /// Notes when the messages were sent whose first byte is gone by now.
    fn stamp(&mut self, now: Instant) {
        while let Some(Flight { message, end }) = self.flights.get_mut(self.stamped)
            && *end - (message.bytes as u64) < self.sent
        {
            message.sent = now;
            self.stamped += 1;
        }
    }

    /// Reads once, up to as much as `scratch` holds, and checks what came.
    ///
    /// # Errors
    ///
    /// What is wrong with the echo. The connection is of no further use then.
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
        // Slices compare many bytes at a time; which byte it is matters only where they differ.
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
            // With the surplus, for what it shows of the cause.
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

    /// The next message, in order, whose echo has come back whole.
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
