//! One echo connection as a state machine without a socket (sans-IO).
//!
//! [`Echo`] owns only what outlives a call: the connection's phase, and the bytes that were read but that the
//! peer has not taken yet. The socket and the read buffer are parameters of [`Echo::drive`], so the machine runs
//! just as well on a scripted socket in a test, and an idle connection owns no buffer.
//!
//! # The phases
//!
//! ```text
//! Echoing ───finish()──▶ Draining ──socket empty──▶ Lingering ──end of file──▶ Close
//! EchoOnce ─first read─▶ Closing ─────flushed─────▶ Lingering
//! ```
//!
//! Each arrow into `Lingering` returns [`Next::ShutdownWrite`]. In every phase, the peer's end of file returns
//! [`Next::Close`] once all pending bytes are written. [`abandon()`](Echo::abandon) leads to `Lingering` from anywhere.
//!
//! # How a byte travels
//!
//! `read` into the caller's scratch buffer, `write` straight from it. Only what `write` does not take is copied
//! into the connection's own pending buffer. While bytes are pending, the connection does not read: the peer's TCP
//! window then holds the peer back.
//!
//! # Example
//!
//! ```
//! use std::io::{self, Cursor, Read, Write};
//! use resound::conn::{Echo, Next, ShortRead};
//!
//! /// A peer that sends a line and then ends, and keeps what it receives.
//! struct Peer { sends: Cursor<&'static [u8]>, received: Vec<u8> }
//!
//! impl Read for Peer {
//!     fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> { self.sends.read(buffer) }
//! }
//!
//! impl Write for Peer {
//!     fn write(&mut self, bytes: &[u8]) -> io::Result<usize> { self.received.write(bytes) }
//!     fn flush(&mut self) -> io::Result<()> { Ok(()) }
//! }
//!
//! let mut peer = Peer { sends: Cursor::new(b"hello\n"), received: Vec::new() };
//! let (mut echo, mut scratch) = (Echo::new(), [0; 1024]);
//! let first = echo.drive(&mut peer, ShortRead::ProvesNothing, &mut scratch);
//! assert_eq!((first.read, first.wrote, first.next?), (6, 6, Next::Yield));
//! let second = echo.drive(&mut peer, ShortRead::ProvesNothing, &mut scratch);
//! assert_eq!(second.next?, Next::Close);
//! assert_eq!(peer.received, b"hello\n");
//! # Ok::<(), io::Error>(())
//! ```

use std::io::{self, ErrorKind, Read, Write};

use crate::memory;

use transfer::{Got, Wrote, read, write};

mod transfer;

/// What a read proves if it returns fewer bytes than it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShortRead {
    /// It has emptied the socket: another read would only return `WouldBlock`. True of TCP on epoll and kqueue if
    /// the event carried no closed, error or priority flag; epoll(7), question 9, gives the rule.
    MeansEmpty,
    /// Nothing: an end of file, an error or an urgent mark may stand right behind the bytes. The connection
    /// remembers this until a read has found the socket empty.
    ProvesNothing,
}

/// What the caller must do after a call of [`Echo::drive`].
///
/// It is as wide as an error, so that an `io::Result<Next>` fits in two registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Next {
    /// Drive the connection again after the next event: every direction that it wants is exhausted.
    Wait,
    /// Drive the connection again after the other connections have had their turn. There may be more to do, and no
    /// event will say so.
    Yield,
    /// Shut down the writing side, then drive on until [`Next::Close`]: the echo is complete, though the peer may still
    /// be sending.
    ShutdownWrite,
    /// Shut down and close: the peer has finished and was sent all of its echo.
    Close,
}

/// What one call of [`Echo::drive`] did.
#[derive(Debug)]
pub struct Drive {
    /// Bytes read from the peer.
    pub read: usize,
    /// Bytes written to the peer.
    pub wrote: usize,
    /// Whether the last write returned `WouldBlock`: the rest is pending.
    pub blocked: bool,
    /// What the caller must do now, or why the connection failed. An error stands beside the counts, since bytes can
    /// move before it.
    ///
    /// # Errors
    ///
    /// Any error of the socket but `WouldBlock` and `Interrupted`, which `drive` handles. A write that takes nothing is
    /// [`ErrorKind::WriteZero`], and pending bytes without memory to keep them are [`ErrorKind::OutOfMemory`].
    pub next: io::Result<Next>,
}

/// The stage of a connection's life. It only moves down this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// Echoes all that comes, until the peer's end of file.
    Echoing,
    /// Echoes the bytes of the first successful read, and no others.
    EchoOnce,
    /// Echoes what has already arrived, until the socket is empty.
    Draining,
    /// Has pending bytes, and shuts down writing once they are written. Does not read.
    Closing,
    /// The writing side is shut down: discards what still comes, until the peer's end of file.
    ///
    /// If the server closed at once instead, its system would answer the peer's next bytes with a reset, and a
    /// reset destroys the part of the echo that is still on its way.
    Lingering,
    /// As `Lingering`, and some bytes are lost: they were discarded, or found no memory.
    Discarding,
}

/// The echo of one connection: what was written to the peer is always a prefix of what was read from it.
#[derive(Debug)]
pub struct Echo {
    pending: Option<Box<Pending>>,
    phase: Phase,
    /// Outlives a drive, since the event that decides it is reported once, perhaps long before the read that it
    /// concerns.
    short_read: ShortRead,
}

impl Default for Echo {
    fn default() -> Self {
        Self::new()
    }
}

impl Echo {
    /// A connection that echoes until its peer's end of file.
    pub fn new() -> Self {
        Self::in_phase(Phase::Echoing)
    }

    /// A connection that echoes what its first successful read returns, and then asks for [`Next::ShutdownWrite`].
    pub fn once() -> Self {
        Self::in_phase(Phase::EchoOnce)
    }

    fn in_phase(phase: Phase) -> Self {
        Self { pending: None, phase, short_read: ShortRead::MeansEmpty }
    }

    /// Asks the connection to end: it echoes what has already arrived, then asks for [`Next::ShutdownWrite`].
    ///
    /// Takes effect in the next [`drive`](Self::drive), which the caller must see to. A peer that sends without a
    /// pause puts the end off: the caller needs a timeout.
    pub fn finish(&mut self) {
        if matches!(self.phase, Phase::Echoing | Phase::EchoOnce) {
            self.phase = Phase::Draining;
        }
    }

    /// Ends the echo at once: the connection discards what still comes, which makes it [short](Self::is_short).
    pub fn abandon(&mut self) {
        if !self.is_lingering() {
            self.phase = Phase::Lingering;
        }
    }

    /// Bytes that were read from the peer and not yet written back.
    pub fn pending_bytes(&self) -> usize {
        self.pending.as_ref().map_or(0, |pending| pending.bytes.len() - pending.taken)
    }

    /// Bytes of memory that the pending bytes hold: as many as were pending at first, until the last is written.
    pub fn buffered_bytes(&self) -> usize {
        self.pending.as_ref().map_or(0, |pending| pending.bytes.len())
    }

    /// Whether the connection echoes all that comes and has no pending bytes: the state of most connections.
    pub fn is_echoing_freely(&self) -> bool {
        self.pending.is_none() && self.phase == Phase::Echoing
    }

    /// Whether the connection no longer writes, since it asked for [`Next::ShutdownWrite`] or was abandoned.
    pub fn is_lingering(&self) -> bool {
        self.phase >= Phase::Lingering
    }

    /// Whether fewer bytes were written to the peer than were read from it.
    pub fn is_short(&self) -> bool {
        self.pending.is_some() || self.phase == Phase::Discarding
    }

    /// Does one connection's share of a turn: writes what is pending, then reads once and writes that.
    ///
    /// `short_read` is what the caller knows from the event. `scratch` is working space whose contents mean nothing
    /// between calls; its length, in bytes, bounds what one call reads, and so what can become pending. It must not
    /// be empty.
    ///
    /// After an error the connection is over: drop it.
    #[inline(always)]
    pub fn drive(
        &mut self,
        io: &mut (impl Read + Write),
        short_read: ShortRead,
        scratch: &mut [u8],
    ) -> Drive {
        debug_assert!(!scratch.is_empty(), "a read into no space looks like an end of file");
        if short_read == ShortRead::ProvesNothing {
            self.short_read = ShortRead::ProvesNothing;
        }
        let mut drive = Drive { read: 0, wrote: 0, blocked: false, next: Ok(Next::Wait) };
        drive.next = self.step(io, scratch, &mut drive);
        drive
    }

    #[inline(always)]
    fn step(
        &mut self,
        io: &mut (impl Read + Write),
        scratch: &mut [u8],
        drive: &mut Drive,
    ) -> io::Result<Next> {
        if self.pending.is_some() {
            drive.add(self.flush(io)?);
            if self.pending.is_some() {
                return Ok(drive.resume());
            } else if self.phase == Phase::Closing {
                return Ok(self.shutdown_write());
            }
        }
        let phase = self.phase; // The compiler may know it here, but not after a call.
        let bytes = match read(io, scratch)? {
            Got::Bytes(n) => &scratch[..n],
            Got::Nothing => return Ok(self.on_drained(phase)),
            Got::EndOfFile => return Ok(Next::Close),
            Got::Interrupted => return Ok(Next::Yield),
        };
        drive.read = bytes.len();
        let is_lingering = phase >= Phase::Lingering;
        let is_written = if is_lingering { self.discard() } else { self.echo(io, bytes, drive)? };
        let is_drained = bytes.len() < scratch.len() && self.short_read == ShortRead::MeansEmpty;
        Ok(match phase {
            Phase::EchoOnce if is_written => self.shutdown_write(),
            Phase::EchoOnce => {
                self.phase = Phase::Closing;
                drive.resume()
            }
            _ if !is_written => drive.resume(),
            _ if is_drained => self.on_drained(phase),
            _ => Next::Yield,
        })
    }

    /// Writes what is pending.
    #[cold]
    fn flush(&mut self, io: &mut impl Write) -> io::Result<Wrote> {
        let Some(pending) = &mut self.pending else { return Ok(Wrote::default()) };
        let wrote = write(io, &pending.bytes[pending.taken..])?;
        pending.taken += wrote.bytes;
        if pending.taken == pending.bytes.len() {
            self.pending = None;
        }
        Ok(wrote)
    }

    /// Writes what was just read, and buffers what the peer does not take. Returns whether it took all.
    #[inline(always)]
    fn echo(&mut self, io: &mut impl Write, bytes: &[u8], drive: &mut Drive) -> io::Result<bool> {
        let wrote = write(io, bytes)?;
        drive.add(wrote);
        if wrote.bytes == bytes.len() {
            return Ok(true);
        }
        self.buffer_rest(&bytes[wrote.bytes..])?;
        Ok(false)
    }

    /// Throws away what was just read. Returns that nothing of it is left to write.
    #[cold]
    fn discard(&mut self) -> bool {
        self.phase = Phase::Discarding;
        true
    }

    #[cold]
    fn buffer_rest(&mut self, rest: &[u8]) -> io::Result<()> {
        let Some(bytes) = memory::copy(rest) else {
            self.phase = Phase::Discarding;
            return Err(ErrorKind::OutOfMemory.into());
        };
        self.pending = Some(Box::new(Pending { bytes, taken: 0 }));
        Ok(())
    }

    /// The socket is empty, and all that was read is written.
    #[inline(always)]
    fn on_drained(&mut self, phase: Phase) -> Next {
        self.short_read = ShortRead::MeansEmpty;
        if phase == Phase::Draining { self.shutdown_write() } else { Next::Wait }
    }

    fn shutdown_write(&mut self) -> Next {
        self.phase = Phase::Lingering;
        Next::ShutdownWrite
    }
}

impl Drive {
    #[inline(always)]
    fn add(&mut self, wrote: Wrote) {
        self.wrote += wrote.bytes;
        self.blocked = wrote.blocked;
    }

    /// When to go on after a write that did not take everything. Unless the socket is known to be full, no event says
    /// when it takes more.
    #[inline(always)] // Out of line, it would keep every drive in memory.
    fn resume(&self) -> Next {
        if self.blocked { Next::Wait } else { Next::Yield }
    }
}

/// Bytes that the peer has not taken yet.
#[derive(Debug)]
struct Pending {
    bytes: Box<[u8]>,
    /// Bytes at the front that are written already. To move the rest to the front instead would copy a slow reader's
    /// whole buffer at each of its small reads.
    taken: usize,
}

#[cfg(test)]
mod tests;
