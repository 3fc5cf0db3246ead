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

/// The first read of a connection asks for this many bytes.
///
/// Large enough for most messages in one system call, and small enough that a peer that never reads
/// pins little on its first stall. The size then follows what the peer shows it can take.
const FIRST_READ_BYTES: u32 = 16 * 1024;

/// A peer that does not keep up is still read this many bytes at a time, if the scratch allows: below
/// a page, the system calls cost more than the memory saves.
const MIN_READ_BYTES: u32 = 4 * 1024;

/// A turn ends after this many reads even if they were small, so that a peer that sends many small
/// pieces cannot hold the thread longer than one that sends few large ones.
const READS_PER_TURN: usize = 16;

/// What the caller knows about the readiness that led to a call of [`Echo::drive`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// A read that returns less than it asked for has emptied the socket, so another read would only
    /// say `WouldBlock`. True of TCP on epoll and kqueue where the event carried no closed, error or
    /// priority flag; epoll(7), question 9, gives the rule.
    ShortReadDrains,
    /// Only `WouldBlock`, end of file or an error shows that the socket is empty.
    ///
    /// A short read proves nothing where an end of file, an error or an urgent mark may stand right
    /// behind the bytes. The connection remembers this until it has seen the socket empty.
    ReadOn,
}

/// What the caller is to do after a call of [`Echo::drive`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Every direction the connection wants is exhausted: drive it again after the next event.
    Wait,
    /// There may be more to do, but others are to have their turn first. No event will tell: the
    /// caller must remember to drive the connection again.
    Again,
    /// All that was read has been written and no more will be echoed, though the peer may still be
    /// sending: shut down the writing side, then drive on until [`Turn::Done`].
    Shut,
    /// The peer has finished and has been sent all of its echo: shut down and close.
    Done,
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
    /// Reading no more; [`Turn::Shut`] follows when nothing is pending.
    Parting,
    /// The writing side is shut: what still comes is thrown away until the peer's end of file.
    ///
    /// Closing at once instead would answer the peer's next bytes with a reset, and a reset destroys
    /// the part of the echo that is still on its way.
    Lingering,
}

/// The echo of one connection: everything written to the peer is, byte for byte, what was read from it.
#[derive(Debug)]
pub struct Echo {
    pending: Pending,
    /// How much the next read asks for. Grows for a peer that keeps up, shrinks for one that doesn't.
    read_bytes: u32,
    phase: Phase,
    /// The last word on short reads, which stays true across turns and back-pressure: the event that
    /// said it is told once, perhaps long before the read that it concerns.
    readiness: Readiness,
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

    /// A connection that echoes what its first successful read returns and then says [`Turn::Shut`].
    pub fn once() -> Self {
        Self::in_phase(Phase::Once)
    }

    fn in_phase(phase: Phase) -> Self {
        Self {
            pending: Pending::default(),
            read_bytes: FIRST_READ_BYTES,
            phase,
            readiness: Readiness::ShortReadDrains,
        }
    }

    /// Asks the connection to end: it echoes what has already arrived, then says [`Turn::Shut`].
    ///
    /// Takes effect in the next [`drive`](Self::drive), which the caller must see to.
    pub fn finish(&mut self) {
        match self.phase {
            Phase::Open | Phase::Once => self.phase = Phase::Finishing,
            Phase::Finishing | Phase::Parting | Phase::Lingering => {}
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

    /// Whether the writing side has been given up, after [`Turn::Shut`].
    pub fn is_lingering(&self) -> bool {
        self.phase == Phase::Lingering
    }

    /// Reads and writes until both directions are exhausted or the turn's share of work is done.
    ///
    /// `scratch` is working space whose contents mean nothing between calls; its length, in bytes, is
    /// the most that one read asks for, the most that one call reads, and so the most that can become
    /// pending. It must not be empty.
    ///
    /// # Errors
    ///
    /// Any error of `io` but `WouldBlock` and `Interrupted`, which are handled here. A write that takes
    /// nothing is [`ErrorKind::WriteZero`]. The connection is over then: drop it.
    pub fn drive(
        &mut self,
        io: &mut (impl Read + Write),
        hint: Readiness,
        scratch: &mut [u8],
    ) -> io::Result<Turn> {
        debug_assert!(!scratch.is_empty(), "a read into no space looks like an end of file");
        if hint == Readiness::ReadOn {
            self.readiness = Readiness::ReadOn;
        }
        let least = scratch.len().div_ceil(READS_PER_TURN);
        let mut budget = scratch.len();
        loop {
            if !self.pending.flush(io)? {
                return Ok(Turn::Wait);
            }
            if self.phase == Phase::Parting {
                self.phase = Phase::Lingering;
                return Ok(Turn::Shut);
            }
            if budget == 0 {
                return Ok(Turn::Again);
            }
            let asked = scratch.len().min(self.read_bytes as usize);
            let emptied = match read(io, &mut scratch[..asked])? {
                Got::Bytes(n) => {
                    budget = budget.saturating_sub(n.max(least));
                    self.echo(io, &scratch[..n], scratch.len())?;
                    n < asked && self.readiness == Readiness::ShortReadDrains
                }
                Got::Nothing => {
                    self.readiness = Readiness::ShortReadDrains;
                    true
                }
                Got::EndOfFile => return Ok(Turn::Done),
            };
            if emptied && self.phase == Phase::Finishing {
                self.phase = Phase::Parting;
            } else if emptied && self.phase != Phase::Parting && self.pending.is_empty() {
                return Ok(Turn::Wait);
            }
        }
    }

    /// Writes what was just read, keeps what the peer would not take, and learns from it how much to
    /// read next: `most` bytes at the most.
    fn echo(&mut self, io: &mut impl Write, bytes: &[u8], most: usize) -> io::Result<()> {
        match self.phase {
            Phase::Lingering => return Ok(()),
            Phase::Once => self.phase = Phase::Parting,
            Phase::Open | Phase::Finishing | Phase::Parting => {}
        }
        let taken = write(io, bytes)?;
        if taken < bytes.len() {
            self.pending = Pending::new(&bytes[taken..]);
            self.read_bytes = (self.read_bytes / 2).max(MIN_READ_BYTES);
        } else if bytes.len() == self.read_bytes as usize && bytes.len() < most {
            self.read_bytes *= 2;
        }
        Ok(())
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
    fn new(bytes: &[u8]) -> Self {
        Self { bytes: bytes.into(), taken: 0 }
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Writes as much as the peer takes, and says whether that was all.
    fn flush(&mut self, io: &mut impl Write) -> io::Result<bool> {
        if self.is_empty() {
            return Ok(true);
        }
        self.taken += write(io, &self.bytes[self.taken..])?;
        let all = self.taken == self.bytes.len();
        if all {
            *self = Self::default();
        }
        Ok(all)
    }
}

enum Got {
    Bytes(usize),
    Nothing,
    EndOfFile,
}

fn read(io: &mut impl Read, buffer: &mut [u8]) -> io::Result<Got> {
    loop {
        match io.read(buffer) {
            Ok(0) => return Ok(Got::EndOfFile),
            Ok(n) => return Ok(Got::Bytes(n)),
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(Got::Nothing),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Writes until `io` takes no more and says how many bytes it took: all, unless it would block.
fn write(io: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    let mut taken = 0;
    while taken < bytes.len() {
        match io.write(&bytes[taken..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => taken += n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => break,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(taken)
}

#[cfg(test)]
mod tests;
