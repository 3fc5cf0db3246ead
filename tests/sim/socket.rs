//! One connection as the kernel has it, and the peer at its other end.
//!
//! Bytes are known by their place in the stream, so a socket is mostly counters:
//! `taken` ≤ `written` ≤ `read` ≤ `arrived` ≤ `sent`.

use std::io::{self, ErrorKind};
use std::time::Duration;

use mio::Token;
use resound::observe::ConnId;
use rustix::io::Errno;

use crate::kit::pattern;
use crate::kit::rng::Rng;

/// What a peer has in hand before it waits for the echo, in parts of what goes through at once.
const OUTSTANDING: u64 = 256;

/// The parts of the space in which a peer that reads slowly takes it.
const SIPS: u64 = 64;

/// Where it is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The accept queue is full: it will try again.
    Waiting,
    Queued,
    Accepted,
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Alive,
    /// It has closed its socket: what is written to it now is answered with a reset.
    Closed,
    /// Its cable was cut.
    Vanished,
}

/// How the server learnt that there is no more to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    OfFile,
    Error(ErrorKind),
}

#[derive(Debug)]
pub struct Socket {
    pub id: usize,
    pub ip: u8,
    /// How much the kernel takes from the peer before it is read, and from the server before it is taken.
    pub receive_space: u64,
    pub send_space: u64,
    /// Over TCP: a read stops short only where there is no more, or at a byte out of band.
    pub is_tcp: bool,
    pub place: Place,

    // What the peer did.
    pub peer: Peer,
    pub sent: u64,
    pub fin: bool,
    pub is_reading: bool,
    /// It takes little at a time.
    pub is_sipping: bool,
    pub taken: u64,

    // What has come through.
    pub arrived: u64,
    pub fin_arrived: bool,
    pub error: Option<Errno>,
    /// Whether the error comes before what has arrived.
    pub error_first: bool,
    /// A byte out of band stands here.
    pub urgent: Option<u64>,
    /// A write found too little space.
    pub wants_space: bool,
    /// Something changed, and no event has told of it yet.
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
    /// As if everything before the connection was of no interest.
    pub fn new(id: usize, listener: usize, ip: u8, spaces: [u64; 2]) -> Self {
        Self {
            id,
            ip,
            receive_space: spaces[0],
            send_space: spaces[1],
            is_tcp: listener == 0,
            place: Place::Waiting,
            peer: Peer::Alive,
            sent: 0,
            fin: false,
            is_reading: true,
            is_sipping: false,
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

    /// What was written and would be lost if a reset came: nothing over a Unix socket, where the peer has it.
    pub fn left(&self) -> u64 {
        if self.is_tcp { self.written - self.taken } else { 0 }
    }

    /// What was read and not written, but is to be.
    pub fn pending(&self) -> u64 {
        if self.ledger.goodbye.is_some() { 0 } else { self.read - self.written }
    }

    pub fn is_alive(&self) -> bool {
        self.peer == Peer::Alive && self.error.is_none() && self.place != Place::Gone
    }

    /// What the peer may still send, given what it has in hand and what goes through at once.
    pub fn may_send(&self, unit: u64) -> u64 {
        if self.fin || !self.is_alive() {
            return 0;
        }
        let part = unit.min(self.receive_space).min(self.send_space);
        (OUTSTANDING * part).saturating_sub(self.sent - self.taken)
    }

    /// A reset, or the kernel's own verdict.
    pub fn break_off(&mut self, error: Errno, rng: &mut Rng) {
        if self.error.is_none() && self.place != Place::Gone {
            self.error = Some(error);
            self.error_first = rng.chance(512);
            self.edge = true;
        }
    }

    /// Lets the network do its part, some of it or all. Returns whether there was any.
    pub fn flow(&mut self, rng: &mut Rng, all: bool, now: Duration) -> bool {
        if self.error.is_some() || self.peer == Peer::Vanished {
            return false;
        }
        let came = self.come(rng, all);
        let went = self.peer == Peer::Alive && self.is_reading && self.go(rng, all, now);
        if self.peer == Peer::Closed && self.written > self.taken {
            self.break_off(Errno::CONNRESET, rng);
            return true;
        }
        came || went
    }

    fn come(&mut self, rng: &mut Rng, all: bool) -> bool {
        let most = (self.sent - self.arrived).min(self.receive_space - (self.arrived - self.read));
        let n = part(most, rng, all);
        self.arrived += n;
        let fin_comes = self.fin && !self.fin_arrived && self.arrived == self.sent;
        self.fin_arrived |= fin_comes;
        let came = n > 0 || fin_comes;
        self.edge |= came;
        came
    }

    fn go(&mut self, rng: &mut Rng, all: bool, now: Duration) -> bool {
        let sip = if self.is_sipping && !all { self.send_space / SIPS + 1 } else { u64::MAX };
        let n = part((self.written - self.taken).min(sip), rng, all);
        self.taken += n;
        if n > 0 {
            self.ledger.took = now;
        }
        if n > 0 && self.wants_space && self.is_writable() {
            self.wants_space = false;
            self.edge = true;
        }
        n > 0
    }

    /// An urgent byte, after all that was sent.
    pub fn urge(&mut self) {
        if self.is_tcp && self.urgent.is_none() && !self.fin && self.is_alive() {
            self.urgent = Some(self.sent);
            self.edge |= self.is_urgent();
        }
    }

    fn is_urgent(&self) -> bool {
        self.urgent.is_some_and(|mark| mark <= self.arrived)
    }

    pub fn is_readable(&self) -> bool {
        self.arrived > self.read || self.fin_arrived || self.error.is_some()
    }

    /// As poll sees it: a third of the space is free.
    pub fn is_writable(&self) -> bool {
        3 * self.free() >= self.send_space || self.error.is_some()
    }

    pub fn free(&self) -> u64 {
        self.send_space - (self.written - self.taken)
    }

    /// What an event would tell of now: nothing, or something, or something special.
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
            return self.nothing();
        }
        let cut = !self.is_tcp && rng.chance(cut);
        let n = if cut { rng.size(1, most) } else { most } as usize;
        buffer[..n].copy_from_slice(pattern::bytes(self.id, self.read, n));
        self.read += n as u64;
        self.reads += 1;
        Ok(n)
    }

    fn nothing(&mut self) -> io::Result<usize> {
        if !self.fin_arrived {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.end = Some(End::OfFile);
        Ok(0)
    }

    fn fail(&mut self, error: Errno) -> io::Error {
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

fn part(most: u64, rng: &mut Rng, all: bool) -> u64 {
    match most {
        0 => 0,
        _ if all || rng.chance(512) => most,
        _ => rng.below(most + 1),
    }
}

/// What a stamp and some counts tell of how the server treats one connection.
#[derive(Debug, Default)]
pub struct Ledger {
    /// What the server calls it.
    pub conn: Option<ConnId>,
    /// Bytes that the server reported as read, and as written.
    pub told_read: u64,
    pub told_wrote: u64,
    /// When bytes last moved, or the goodbye was said.
    pub active: Duration,
    /// When its peer last took something.
    pub took: Duration,
    pub goodbye: Option<Duration>,
    /// What was read before the goodbye, and so is owed.
    pub owed: u64,
    /// What is pending was so much at first.
    pub held: u64,
    /// It has been silent for so long that it may be asked to end...
    pub may_part: bool,
    /// ...and not because the server is stopping.
    pub may_idle: bool,
    /// Everything that had arrived was read since the server began to stop.
    pub emptied: bool,
    pub is_refused: bool,
    pub fails_to_register: bool,
    pub is_registered: bool,
    pub is_announced: bool,
    /// System calls in the turn of that number.
    pub turn: u64,
    pub calls: usize,
    /// The first call of that turn brought all that was pending on its way.
    pub is_flushed: bool,
    pub has_read: bool,
    /// The last read was interrupted.
    pub is_interrupted: bool,
    /// How often it was told to wait since it was woken or got something done.
    pub vain: usize,
    /// Turns since its deadline and all patience were over.
    pub late: usize,
    /// Turns in which it should have been asked to end, as the server's patience is half over.
    pub unasked: usize,
}
