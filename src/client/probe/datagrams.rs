//! The client's side of an echo over UDP: each message is one datagram, which carries its number.
//!
//! As [`Probe`](super::Probe), it has no socket and reads no clock. A lost echo holds up no other message.

use std::collections::{TryReserveError, VecDeque};
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::time::Instant;

use super::window::{Arrival, Window};
use super::{Message, Pattern};
use crate::text::format::counted;

/// The bytes of the number of a message.
const NUMBER_BYTES: usize = size_of::<u64>();

/// The shortest message: it has only its number.
pub const LEAST_BYTES: usize = NUMBER_BYTES;

/// The longest message: the most that fits into an IPv4 packet (RFC 768, RFC 791).
pub const MOST_BYTES: usize = 65_507;

/// The messages that one socket exchanges with one server.
#[derive(Debug)]
pub struct DatagramProbe {
    stream: usize,
    /// The most messages in flight.
    depth: usize,
    /// Messages that the socket has not taken yet. They are in flight too.
    unsent: VecDeque<Planned>,
    window: Window<Planned>,
    /// The message whose echo was received last, until it is [completed](Self::complete).
    arrived: Option<u64>,
}

/// What is known of a message before it is sent.
#[derive(Clone, Copy, Debug)]
struct Planned {
    due: Instant,
    bytes: usize,
}

/// What is wrong with a datagram, or why there is none.
#[derive(Debug)]
pub enum DatagramFault {
    /// It is not what was sent.
    Bad(BadDatagram),
    /// The system or the network refuses the socket's datagrams.
    Refused(io::Error),
}

impl DatagramProbe {
    /// A probe that has sent nothing yet. It can have up to `depth` messages in flight, and remembers the last
    /// `remembered`: more than `depth`, since an echo can be late.
    ///
    /// # Errors
    ///
    /// If there is no memory for that many messages in flight.
    pub fn try_new(
        stream: usize,
        depth: usize,
        remembered: usize,
    ) -> Result<Self, TryReserveError> {
        let mut unsent = VecDeque::new();
        unsent.try_reserve_exact(depth)?;
        Ok(Self { stream, depth, unsent, window: Window::new(remembered), arrived: None })
    }

    /// The memory of a probe's messages, in bytes, if the number is not too large.
    pub fn memory(depth: usize, remembered: usize) -> Option<usize> {
        let unsent = depth.checked_mul(size_of::<Planned>())?;
        unsent.checked_add(remembered.checked_mul(Window::<Planned>::MESSAGE_BYTES)?)
    }

    /// Starts again on a new socket, and forgets all messages.
    pub fn restart(&mut self) {
        self.unsent.clear();
        self.window = self.window.fresh();
        self.arrived = None;
    }

    /// A probe for a second socket. It takes this one's room for messages: no message may be in flight here, and none can
    /// be begun any more.
    #[must_use]
    pub fn hand_on(&mut self) -> Self {
        debug_assert!(self.in_flight() == 0);
        let (stream, arrived, window) = (self.stream, None, self.window.fresh());
        let depth = std::mem::take(&mut self.depth);
        Self { stream, depth, unsent: std::mem::take(&mut self.unsent), window, arrived }
    }

    /// Whether another message may be [begun](Self::begin).
    pub fn has_room(&self) -> bool {
        self.in_flight() < self.depth && self.window.has_room_for(self.unsent.len() + 1)
    }

    /// The number of messages in flight.
    pub fn in_flight(&self) -> usize {
        self.unsent.len() + self.window.outstanding() as usize
    }

    /// When the messages in flight were due.
    pub fn dues(&self) -> impl Iterator<Item = Instant> {
        self.window.awaiting().chain(&self.unsent).map(|planned| planned.due)
    }

    /// When the oldest message in flight was sent, or when it was due if it is not sent yet.
    pub fn waiting_since(&self) -> Option<Instant> {
        let sent = self.window.oldest().map(|(_, sent)| sent);
        sent.or(self.unsent.front().map(|planned| planned.due))
    }

    /// Whether a message that was given up may still get its echo.
    pub fn expects_late(&self) -> bool {
        self.window.overdue() > 0
    }

    /// Begins a message of `bytes` bytes, from [`LEAST_BYTES`] to [`MOST_BYTES`]. There must be [room](Self::has_room) for
    /// it.
    pub fn begin(&mut self, bytes: usize, due: Instant) {
        debug_assert!((LEAST_BYTES..=MOST_BYTES).contains(&bytes) && self.has_room());
        self.unsent.push_back(Planned { due, bytes });
    }

    /// Whether the socket has taken all that was begun.
    pub fn is_sent(&self) -> bool {
        self.unsent.is_empty()
    }

    /// Sends what was begun, until all is sent or the socket would block. `now` is the time of sending. `buffer` has room
    /// for each message.
    ///
    /// # Errors
    ///
    /// [`DatagramFault::Refused`]. It can be about an earlier datagram.
    pub fn send(
        &mut self,
        io: &mut impl Write,
        pattern: &Pattern,
        buffer: &mut [u8],
        now: Instant,
    ) -> Result<(), DatagramFault> {
        while let Some(planned) = self.unsent.front() {
            let message = &mut buffer[..planned.bytes];
            write_message(message, self.window.next_number(), self.stream, pattern);
            match io.write(message) {
                Ok(_) => {
                    self.window.send(*planned, now);
                    self.unsent.pop_front();
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(DatagramFault::Refused(e)),
            }
        }
        Ok(())
    }

    /// Receives one datagram into `buffer`, and checks it. Returns its bytes, or `None` if there is none. `buffer` has room
    /// for each datagram.
    ///
    /// # Errors
    ///
    /// What is wrong with it. After [`DatagramFault::Refused`], the socket must not be used.
    pub fn receive(
        &mut self,
        io: &mut impl Read,
        pattern: &Pattern,
        buffer: &mut [u8],
    ) -> Result<Option<usize>, DatagramFault> {
        let came = loop {
            match io.read(buffer) {
                Ok(n) => break &buffer[..n],
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(DatagramFault::Refused(e)),
            }
        };
        let is_sent = |number: &u64| (1..self.window.next_number()).contains(number);
        let number = number_of(came).filter(is_sent);
        let number = number.ok_or(DatagramFault::Bad(BadDatagram::Unknown))?;
        // The size of a message that is forgotten is not known, but its bytes are.
        let bytes = self.window.content(number).map_or(came.len(), |planned| planned.bytes);
        check(came, number, bytes, (self.stream, pattern)).map_err(DatagramFault::Bad)?;
        self.arrived = Some(number);
        Ok(Some(came.len()))
    }

    /// Takes what was received last: what it is, and its message. `None` stands for a message that is forgotten.
    pub fn complete(&mut self, now: Instant) -> Option<(Arrival, Option<Message>)> {
        let number = self.arrived.take()?;
        let planned = self.window.content(number).copied();
        let sent = self.window.sent_at(number);
        let message = planned.zip(sent);
        let message = message.map(|(Planned { due, bytes }, sent)| Message { due, sent, bytes });
        Some((self.window.arrive(number, now), message))
    }

    /// Gives up the oldest message in flight, if it is overdue by when it was sent. Returns when it was due.
    pub fn expire(&mut self, is_overdue: impl Fn(Instant) -> bool) -> Option<Instant> {
        match self.window.expire(&is_overdue) {
            Some(number) => self.window.content(number).map(|planned| planned.due),
            None if self.window.outstanding() > 0 => None,
            None => {
                let is_stuck = self.unsent.front().is_some_and(|planned| is_overdue(planned.due));
                is_stuck.then(|| self.unsent.pop_front())?.map(|planned| planned.due)
            }
        }
    }
}

/// Writes the message with this number: the number, and bytes that follow from it.
pub fn write_message(message: &mut [u8], number: u64, stream: usize, pattern: &Pattern) {
    let len = message.len();
    message[..NUMBER_BYTES].copy_from_slice(&number.to_be_bytes());
    message[NUMBER_BYTES..].copy_from_slice(rest(number, len, (stream, pattern)));
}

/// The number of the message whose echo a datagram is.
pub fn number_of(datagram: &[u8]) -> Option<u64> {
    datagram.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

/// Checks a datagram with the number of a message that has `bytes` bytes.
///
/// # Errors
///
/// What is wrong with it.
pub fn check(
    came: &[u8],
    number: u64,
    bytes: usize,
    (stream, pattern): (usize, &Pattern),
) -> Result<(), BadDatagram> {
    if came.len() != bytes {
        return Err(BadDatagram::Length { sent: bytes, came: came.len() });
    }
    let (came, sent) = (&came[NUMBER_BYTES..], rest(number, bytes, (stream, pattern)));
    // Slices compare many bytes at a time. Which byte differs is looked up only if one does.
    if came == sent {
        return Ok(());
    }
    let at = came.iter().zip(sent).take_while(|(came, sent)| came == sent).count();
    Err(BadDatagram::Altered { offset: NUMBER_BYTES + at, expected: sent[at], got: came[at] })
}

/// The bytes of a message behind its number.
fn rest(number: u64, bytes: usize, (stream, pattern): (usize, &Pattern)) -> &[u8] {
    let offset = number.wrapping_mul(bytes as u64);
    &pattern.piece(stream, offset, bytes)[NUMBER_BYTES..]
}

/// What is wrong with a datagram that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadDatagram {
    /// It has another length.
    Length {
        /// The bytes that were sent.
        sent: usize,
        /// The bytes that came.
        came: usize,
    },
    /// A byte differs.
    Altered {
        /// Its offset in the datagram.
        offset: usize,
        /// The byte that was sent.
        expected: u8,
        /// The byte that came.
        got: u8,
    },
    /// It has not the number of a message that was sent not long ago.
    Unknown,
}

impl BadDatagram {
    /// One word, the same for all that are wrong in this way.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Length { .. } => "length",
            Self::Altered { .. } => "altered",
            Self::Unknown => "surplus",
        }
    }
}

impl fmt::Display for BadDatagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { sent, came } => {
                let bytes = |n: usize| counted(n as u64, "byte", "bytes");
                write!(f, "{} came back instead of {}", bytes(*came), bytes(*sent))
            }
            Self::Altered { offset, expected, got } => {
                write!(f, "the byte at offset {offset} is {got:02x} instead of {expected:02x}")
            }
            Self::Unknown => f.write_str("a datagram came that is no echo of a recent message"),
        }
    }
}

#[cfg(test)]
mod tests;
