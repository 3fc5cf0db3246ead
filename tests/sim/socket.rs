//! One connection as the kernel has it, and the peer at the other end.
//!
//! Bytes are known by their place in the stream, so a socket is mostly counters:
//! `taken` ≤ `written` ≤ `read` ≤ `arrived` ≤ `sent`.

use std::io::{self, ErrorKind};
use std::time::Duration;

use mio::Token;
use resound::observe::ConnId;
use rustix::io::Errno;

use crate::header::Header;
use crate::kit::pattern;
use crate::kit::rng::Rng;

/// How much a peer sends before it waits for the echo, in multiples of what passes at once.
const OUTSTANDING: u64 = 256;

/// A slow reader takes this part of the space at a time.
const SLOW_READS: u64 = 64;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The accept queue is full: the peer tries again.
    Waiting,
    Queued,
    Accepted,
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Alive,
    /// It has closed its socket: a write to it is answered with a reset.
    Closed,
    /// It is unreachable: nothing comes from it, not even an end.
    Vanished,
}

/// How the server saw the connection end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    OfFile,
    Error(ErrorKind),
}

#[derive(Debug)]
pub struct Socket {
    pub id: usize,
    pub ip: u8,
    /// Bytes that the kernel holds in each direction: from the peer before they are read, from the server before they
    /// are taken.
    pub receive_space: u64,
    pub send_space: u64,
    /// Over TCP, a read stops short only at the last byte that is there, or at an urgent byte.
    pub is_tcp: bool,
    pub place: Place,
    /// What it sends first, if its peer is a proxy.
    pub header: Option<Header>,

    // What the peer did.
    pub peer: Peer,
    pub sent: u64,
    pub fin: bool,
    pub is_reading: bool,
    /// It takes little at a time.
    pub is_slow_reader: bool,
    pub taken: u64,

    // What has passed the network.
    pub arrived: u64,
    pub fin_arrived: bool,
    pub error: Option<Errno>,
    /// Whether the error comes before what has arrived.
    pub error_first: bool,
    /// The offset of an urgent byte.
    pub urgent: Option<u64>,
    /// A write found too little space.
    pub wants_space: bool,
    /// Something changed, and no event has reported it yet.
    pub edge: bool,

    // What the server did.
    pub token: Option<Token>,
    pub read: u64,
    pub reads: u64,
    pub written: u64,
    pub end: Option<End>,
    pub ledger: Ledger,
}

impl Socket {
    pub fn new(id: usize, is_tcp: bool, ip: u8, spaces: [u64; 2]) -> Self {
        Self {
            id,
            ip,
            receive_space: spaces[0],
            send_space: spaces[1],
            is_tcp,
            place: Place::Waiting,
            header: None,
            peer: Peer::Alive,
            sent: 0,
            fin: false,
            is_reading: true,
            is_slow_reader: false,
            taken: 0,
            arrived: 0,
            fin_arrived: false,
            error: None,
            error_first: false,
            urgent: None,
            wants_space: false,
            edge: false,
            token: None,
            read: 0,
            reads: 0,
            written: 0,
            end: None,
            ledger: Ledger::default(),
        }
    }

    /// Bytes that were written and that a reset would lose. Over a Unix socket, the peer has them already.
    pub fn unacknowledged(&self) -> u64 {
        if self.is_tcp { self.written - self.taken } else { 0 }
    }

    /// Bytes that were read and must still be written.
    pub fn pending(&self) -> u64 {
        if self.ledger.half_closed_at.is_some() { 0 } else { self.read - self.written }
    }

    pub fn is_alive(&self) -> bool {
        self.peer == Peer::Alive && self.error.is_none() && self.place != Place::Gone
    }

    /// How much more the peer may send before it waits for the echo. `unit` bytes pass the server at once.
    pub fn may_send(&self, unit: u64) -> u64 {
        if self.fin || !self.is_alive() {
            return 0;
        }
        let part = unit.min(self.receive_space).min(self.send_space);
        (OUTSTANDING * part).saturating_sub(self.sent - self.taken)
    }

    /// A reset arrives, or the kernel gives the connection up.
    pub fn fail_with(&mut self, error: Errno, rng: &mut Rng) {
        if self.error.is_none() && self.place != Place::Gone {
            self.error = Some(error);
            self.error_first = rng.chance(512);
            self.edge = true;
        }
    }

    /// Lets the network move bytes in both directions: some, or all that it can. Returns whether any moved.
    pub fn flow(&mut self, rng: &mut Rng, all: bool, now: Duration) -> bool {
        if self.error.is_some() || self.peer == Peer::Vanished {
            return false;
        }
        let came = self.arrive(rng, all);
        let went = self.peer == Peer::Alive && self.is_reading && self.deliver(rng, all, now);
        if self.peer == Peer::Closed && self.written > self.taken {
            self.fail_with(Errno::CONNRESET, rng);
            return true;
        }
        came || went
    }

    fn arrive(&mut self, rng: &mut Rng, all: bool) -> bool {
        let mut came = false;
        let mut is_next = true;
        if let Some(header) = &mut self.header {
            let n = some_of((header.sent - header.arrived) as u64, rng, all) as usize;
            header.arrived += n;
            came = n > 0;
            is_next = header.sent == header.arrived;
        }
        let most = if is_next { self.sent - self.arrived } else { 0 };
        let most = most.min(self.receive_space - (self.arrived - self.read));
        let n = some_of(most, rng, all);
        self.arrived += n;
        let fin_comes = self.fin && !self.fin_arrived && is_next && self.arrived == self.sent;
        self.fin_arrived |= fin_comes;
        came |= n > 0 || fin_comes;
        self.edge |= came;
        came
    }

    fn deliver(&mut self, rng: &mut Rng, all: bool, now: Duration) -> bool {
        let slow_read =
            if self.is_slow_reader && !all { self.send_space / SLOW_READS + 1 } else { u64::MAX };
        let n = some_of((self.written - self.taken).min(slow_read), rng, all);
        self.taken += n;
        if n > 0 {
            self.ledger.last_taken = now;
        }
        if n > 0 && self.wants_space && self.is_writable() {
            self.wants_space = false;
            self.edge = true;
        }
        n > 0
    }

    /// Sends what is left of the header, if there is one.
    pub fn send_header(&mut self) {
        if !self.fin
            && let Some(header) = &mut self.header
        {
            header.send_all();
        }
    }

    /// Sends `bytes`, after the header.
    pub fn send_bytes(&mut self, bytes: u64) {
        self.send_header();
        self.sent += bytes;
    }

    /// Sends an urgent byte, after all that was sent.
    pub fn send_urgent(&mut self) {
        if self.is_tcp && self.urgent.is_none() && !self.fin && self.is_alive() {
            self.send_header();
            self.urgent = Some(self.sent);
            self.edge |= self.is_urgent();
        }
    }

    fn is_urgent(&self) -> bool {
        self.urgent.is_some_and(|mark| mark <= self.arrived)
    }

    /// Whether bytes have arrived that the server has not read.
    pub fn has_unread(&self) -> bool {
        self.header_unread() > 0 || self.arrived > self.read
    }

    /// Bytes of its header that have arrived and that the server has not read.
    pub fn header_unread(&self) -> usize {
        self.header.as_ref().map_or(0, Header::unread)
    }

    pub fn is_readable(&self) -> bool {
        self.has_unread() || self.fin_arrived || self.error.is_some()
    }

    /// As the kernel defines it: a third of the space is free.
    pub fn is_writable(&self) -> bool {
        3 * self.free() >= self.send_space || self.error.is_some()
    }

    pub fn free(&self) -> u64 {
        self.send_space - (self.written - self.taken)
    }

    /// What an event would report now: nothing, or whether it is exceptional.
    pub fn poll(&self) -> Option<bool> {
        let exceptional = self.fin_arrived || self.error.is_some() || self.is_urgent();
        (exceptional || self.is_readable() || self.is_writable()).then_some(exceptional)
    }

    pub fn receive(&mut self, buffer: &mut [u8], rng: &mut Rng, cut: u32) -> io::Result<usize> {
        let error = self.error.filter(|_| self.error_first || self.arrived == self.read);
        if let Some(error) = error {
            return Err(self.fail(error));
        }
        if self.urgent == Some(self.read) {
            self.urgent = None;
        }
        let mark = self.urgent.unwrap_or(self.arrived).min(self.arrived);
        let most = (mark - self.read).min(buffer.len() as u64);
        if most == 0 {
            return self.read_nothing();
        }
        let cut = !self.is_tcp && rng.chance(cut);
        let n = if cut { rng.size(1, most) } else { most } as usize;
        buffer[..n].copy_from_slice(pattern::bytes(self.id, self.read, n));
        self.read += n as u64;
        self.reads += 1;
        Ok(n)
    }

    fn read_nothing(&mut self) -> io::Result<usize> {
        if !self.fin_arrived {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.end = Some(End::OfFile);
        Ok(0)
    }

    pub fn fail(&mut self, error: Errno) -> io::Error {
        let error = io::Error::from(error);
        self.end = Some(End::Error(error.kind()));
        error
    }

    pub fn send(&mut self, len: usize, rng: &mut Rng, cut: u32) -> io::Result<usize> {
        if let Some(error) = self.error {
            let broken = error == Errno::CONNRESET && rng.chance(512);
            return Err(self.fail(if broken { Errno::PIPE } else { error }));
        }
        let most = self.free().min(len as u64);
        if most < len as u64 {
            self.wants_space = true;
        }
        if most == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let n = if rng.chance(cut) { rng.size(1, most) } else { most };
        self.written += n;
        Ok(n as usize)
    }
}

fn some_of(most: u64, rng: &mut Rng, all: bool) -> u64 {
    match most {
        0 => 0,
        _ if all || rng.chance(512) => most,
        _ => rng.below(most + 1),
    }
}

/// What the simulator knows of the server's treatment of one connection.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Its identifier in the server's reports.
    pub conn: Option<ConnId>,
    /// Bytes that the server reported as read and as written.
    pub reported_read: u64,
    pub reported_wrote: u64,
    /// When bytes last moved, or the server shut down writing.
    pub last_active: Duration,
    /// When its peer last took something.
    pub last_taken: Duration,
    pub half_closed_at: Option<Duration>,
    /// Bytes that were read before the server shut down writing, all of which it must write.
    pub owed: u64,
    /// Bytes of its header that the server read when it ended the connection.
    pub discarded: u64,
    /// Bytes that were pending at first, while any are.
    pub buffered: u64,
    /// Its timeout for silence has passed: it may be asked to end.
    pub may_end: bool,
    /// This was so before the server was asked to stop.
    pub may_end_idle: bool,
    /// Since the server was asked to stop, all that had arrived was read at some time.
    pub is_drained_since_stop: bool,
    pub fails_to_register: bool,
    pub is_registered: bool,
    pub is_end_reported: bool,
    /// The server wants its end to be a reset.
    pub is_reset: bool,
    /// The server reported that its idle timeout has passed.
    pub is_expired_idle: bool,
    /// System calls in the turn of this number.
    pub turn: u64,
    pub calls: usize,
    /// The first call of that turn wrote all that was pending.
    pub is_flushed: bool,
    pub has_read: bool,
    /// The last read was interrupted.
    pub is_interrupted: bool,
    /// Writes that were interrupted since bytes last moved.
    pub interrupted_writes: u32,
    /// Calls that returned `WouldBlock` since the last event, or since bytes last moved.
    pub futile: usize,
    /// Turns since its deadline passed.
    pub late_turns: usize,
    /// Turns in which the server should have asked it to finish, as half of the drain timeout is over.
    pub unfinished_turns: usize,
}
