//! One echo connection as a state machine without a socket.
//!
//! [`Echo`] owns what must outlive a call, and nothing else: where the connection is in its life, and
//! the bytes that were read but that the peer has not taken yet. The socket and the read buffer are
//! parameters of [`Echo::drive`], so the machine runs just as well on a scripted socket in a test, and
//! an idle connection owns no buffer at all.
//!
//! # How a byte travels
//!
//! `read` into the caller's scratch buffer, `write` straight from it. Only what `write` would not take
//! is copied into the connection's own pending buffer, and while anything is pending nothing more is
//! read: the peer's own TCP window then holds the peer back.

use std::io::{self, ErrorKind, Read, Write};

/// What a peer makes the server allocate is refused unless this much memory is left after it: the rest of the
/// program cannot do without some, for a line of the log for example.
pub(crate) const SPARE_BYTES: usize = 64 << 10;

/// What the caller knows about the readiness that led to a call of [`Echo::drive`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShortRead {
    /// A read that returns less than it asked for has emptied the socket, so another read would only
    /// say `WouldBlock`. True of TCP on epoll and kqueue where the event carried no closed, error or
    /// priority flag; epoll(7), question 9, gives the rule.
    MeansEmpty,
    /// Only `WouldBlock`, end of file or an error shows that the socket is empty.
    ///
    /// A short read proves nothing where an end of file, an error or an urgent mark may stand right
    /// behind the bytes. The connection remembers this until it has seen the socket empty.
    ProvesNothing,
}

/// What the caller is to do after a call of [`Echo::drive`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Every direction the connection wants is exhausted: drive it again after the next event.
    Wait,
    /// There may be more to do, but others are to have their turn first. No event will tell: the
    /// caller must remember to drive the connection again.
    Yield,
    /// All that was read has been written and no more will be echoed, though the peer may still be
    /// sending: shut down the writing side, then drive on until [`Next::Close`].
    ShutdownWrite,
    /// The peer has finished and has been sent all of its echo: shut down and close.
    Close,
}

/// Where a connection is in its life. It only ever moves downwards in this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Echoing whatever comes, until the peer's end of file.
    Open,
    /// Echoing the bytes of the first successful read, and no others.
    Once,
    /// Echoing what has already arrived, until the socket is empty.
    Finishing,
    /// Reading no more; [`Next::ShutdownWrite`] follows when nothing is pending.
    Parting,
    /// The writing side is shut: what still comes is thrown away until the peer's end of file.
    ///
    /// Closing at once instead would answer the peer's next bytes with a reset, and a reset destroys
    /// the part of the echo that is still on its way.
    Lingering,
    /// The same, and some bytes were thrown away already.
    Discarding,
}

/// The echo of one connection: everything written to the peer is, byte for byte, what was read from it.
#[derive(Debug)]
pub struct Echo {
    pending: Pending,
    phase: Phase,
    /// The last word on short reads, which stays true across turns and back-pressure: the event that
    /// said it is told once, perhaps long before the read that it concerns.
    readiness: ShortRead,
}

impl Default for Echo {
    fn default() -> Self {
        Self::new()
    }
}

impl Echo {
    /// A connection that echoes until its peer's end of file.
    pub fn new() -> Self {
        Self::in_phase(Phase::Open)
    }

    /// A connection that echoes what its first successful read returns and then says [`Next::ShutdownWrite`].
    pub fn once() -> Self {
        Self::in_phase(Phase::Once)
    }

    fn in_phase(phase: Phase) -> Self {
        Self { pending: Pending::default(), phase, readiness: ShortRead::MeansEmpty }
    }

    /// Asks the connection to end: it echoes what has already arrived, then says [`Next::ShutdownWrite`].
    ///
    /// Takes effect in the next [`drive`](Self::drive), which the caller must see to. A peer that sends
    /// without a pause puts the end off: it is for the caller to lose patience.
    pub fn finish(&mut self) {
        match self.phase {
            Phase::Open | Phase::Once => self.phase = Phase::Finishing,
            Phase::Finishing | Phase::Parting | Phase::Lingering | Phase::Discarding => {}
        }
    }

    /// Ends the echo at once: what still comes is thrown away, and makes it [short](Self::is_short).
    pub fn abandon(&mut self) {
        if self.phase != Phase::Discarding {
            self.phase = Phase::Lingering;
        }
    }

    /// How many bytes were read from the peer and not yet taken back by it.
    pub fn pending_bytes(&self) -> usize {
        self.pending.bytes.len() - self.pending.taken
    }

    /// How much memory those bytes hold, in bytes: what was pending at first, until the last is gone.
    pub fn held_bytes(&self) -> usize {
        self.pending.bytes.len()
    }

    /// Whether the writing side has been given up, after [`Next::ShutdownWrite`].
    pub fn is_lingering(&self) -> bool {
        matches!(self.phase, Phase::Lingering | Phase::Discarding)
    }

    /// Whether less was written to the peer than was read from it.
    pub fn is_short(&self) -> bool {
        self.phase == Phase::Discarding || !self.pending.is_empty()
    }

    /// Writes what is pending, then reads once and writes that: what a connection gets done before the
    /// others have their turn.
    ///
    /// `scratch` is working space whose contents mean nothing between calls; its length, in bytes, is
    /// the most that one call reads, and so the most that can become pending. It must not be empty.
    ///
    /// # Errors
    ///
    /// Any error of `io` but `WouldBlock` and `Interrupted`, which are handled here. A write that takes
    /// nothing is [`ErrorKind::WriteZero`], and pending bytes without memory to keep them are
    /// [`ErrorKind::OutOfMemory`]. The connection is over then: drop it.
    #[inline(always)]
    pub fn drive(
        &mut self,
        io: &mut (impl Read + Write),
        hint: ShortRead,
        scratch: &mut [u8],
    ) -> io::Result<Next> {
        debug_assert!(!scratch.is_empty(), "a read into no space looks like an end of file");
        if hint == ShortRead::ProvesNothing {
            self.readiness = ShortRead::ProvesNothing;
        }
        if !self.pending.is_empty() {
            match self.pending.flush(io)? {
                Wrote::All => {}
                Wrote::Some(_) => return Ok(Next::Yield),
                Wrote::Nothing => return Ok(Next::Wait),
            }
        }
        if self.phase == Phase::Parting {
            self.phase = Phase::Lingering;
            return Ok(Next::ShutdownWrite);
        }
        match read(io, scratch)? {
            Got::EndOfFile => Ok(Next::Close),
            Got::Nothing => Ok(self.emptied()),
            Got::Interrupted => Ok(Next::Yield),
            Got::Bytes(n) => match self.echo(io, &scratch[..n])? {
                Wrote::All if n < scratch.len() && self.readiness == ShortRead::MeansEmpty => {
                    Ok(self.emptied())
                }
                Wrote::All | Wrote::Some(_) => Ok(Next::Yield),
                Wrote::Nothing => Ok(Next::Wait),
            },
        }
    }

    /// Writes what was just read, and keeps what the peer would not take.
    #[inline(always)]
    fn echo(&mut self, io: &mut impl Write, bytes: &[u8]) -> io::Result<Wrote> {
        if self.phase != Phase::Open && self.discards() {
            return Ok(Wrote::All);
        }
        match write(io, bytes)? {
            Wrote::All => Ok(Wrote::All),
            wrote @ Wrote::Some(n) => self.keep(&bytes[n..], wrote),
            Wrote::Nothing => self.keep(bytes, Wrote::Nothing),
        }
    }

    /// Bytes have come: whether they are to be thrown away. The first are the last that are not, where
    /// there is to be but one echo.
    #[cold]
    #[inline(never)] // Spares the path of every other echo two comparisons.
    fn discards(&mut self) -> bool {
        match self.phase {
            Phase::Once => self.phase = Phase::Parting,
            Phase::Lingering => self.phase = Phase::Discarding,
            Phase::Open | Phase::Finishing | Phase::Parting | Phase::Discarding => {}
        }
        self.phase == Phase::Discarding
    }

    /// Makes pending what a write has left.
    #[cold]
    #[inline(never)]
    fn keep(&mut self, bytes: &[u8], wrote: Wrote) -> io::Result<Wrote> {
        let Some(pending) = Pending::of(bytes) else {
            self.phase = Phase::Discarding;
            return Err(ErrorKind::OutOfMemory.into());
        };
        self.pending = pending;
        Ok(wrote)
    }

    /// The socket is empty, and nothing is pending: whether more is to be waited for.
    #[inline(always)]
    fn emptied(&mut self) -> Next {
        self.readiness = ShortRead::MeansEmpty;
        if self.phase != Phase::Open && self.is_finished() { Next::Yield } else { Next::Wait }
    }

    #[cold]
    #[inline(never)] // Likewise.
    fn is_finished(&mut self) -> bool {
        if self.phase == Phase::Finishing {
            self.phase = Phase::Parting;
        }
        self.phase == Phase::Parting
    }
}

/// Bytes that the peer has not taken yet. Owns memory only while there are any.
#[derive(Debug, Default)]
struct Pending {
    bytes: Box<[u8]>,
    /// How many bytes at the front are gone already. Moving the rest up to the front instead would
    /// copy a slow reader's whole buffer at each of its sips.
    taken: usize,
}

impl Pending {
    /// Keeps a copy of these bytes, if there is memory for it.
    fn of(bytes: &[u8]) -> Option<Self> {
        let mut copy = Vec::new();
        copy.try_reserve_exact(bytes.len() + SPARE_BYTES).ok()?;
        copy.extend_from_slice(bytes);
        // Gives the spare part back.
        Some(Self { bytes: copy.into(), taken: 0 })
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    #[inline(always)]
    fn flush(&mut self, io: &mut impl Write) -> io::Result<Wrote> {
        let wrote = write(io, &self.bytes[self.taken..])?;
        match wrote {
            Wrote::All => *self = Self::default(),
            Wrote::Some(n) => self.taken += n,
            Wrote::Nothing => {}
        }
        Ok(wrote)
    }
}

/// What a read brought.
enum Got {
    Bytes(usize),
    /// The socket is empty.
    Nothing,
    EndOfFile,
    /// A signal came first.
    Interrupted,
}

#[inline(always)]
fn read(io: &mut impl Read, buffer: &mut [u8]) -> io::Result<Got> {
    match io.read(buffer) {
        Ok(0) => Ok(Got::EndOfFile),
        Ok(n) => Ok(Got::Bytes(n)),
        Err(e) => Ok(if would_block(e)? { Got::Nothing } else { Got::Interrupted }),
    }
}

/// How much a write took.
#[derive(Clone, Copy)]
enum Wrote {
    All,
    /// So many bytes, perhaps none. How much more it would take, only another write can tell.
    Some(usize),
    /// The socket is full.
    Nothing,
}

#[inline(always)]
fn write(io: &mut impl Write, bytes: &[u8]) -> io::Result<Wrote> {
    match io.write(bytes) {
        Ok(n) if n == bytes.len() => Ok(Wrote::All),
        Ok(0) => Err(ErrorKind::WriteZero.into()),
        Ok(n) => Ok(Wrote::Some(n)),
        Err(e) => Ok(if would_block(e)? { Wrote::Nothing } else { Wrote::Some(0) }),
    }
}

/// Tells the two errors that are none from those that are: to wait (true), or to try again (false).
#[cold]
fn would_block(error: io::Error) -> io::Result<bool> {
    match error.kind() {
        ErrorKind::WouldBlock => Ok(true),
        ErrorKind::Interrupted => Ok(false),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests;
