//! The one seam through which counters, logs, traces and tests see what the server did.
//!
//! An [`Observer`] is told of every [`Event`]. The server is generic over it, so watching costs what
//! the observer does, and nothing where it does nothing. Two observers make one as a tuple.

use std::fmt;
use std::io::{self, ErrorKind};

use log::{Level, debug, log_enabled, trace};

use crate::net::{Endpoint, reason};
use crate::text::Plural;

pub use refusals::Refusals;

mod refusals;

/// Something that happened to a connection.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// It was accepted.
    Accepted,
    /// So many bytes were read from its peer.
    Read(usize),
    /// So many bytes were written to its peer.
    Wrote(usize),
    /// Its peer would take no more for now: what is left is pending.
    Blocked,
    /// It was accepted and closed at once.
    Refused(Refusal),
    /// It was closed.
    Closed {
        /// The reason.
        why: &'a Closed,
        /// Whether the server ended it although its peer was sent less than was read from it.
        is_cut: bool,
    },
}

/// Why a connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The server had as many connections as it may have.
    MaxConnections,
    /// The server had as many connections from that address as it may have.
    MaxPerIp,
    /// The system could not watch it: epoll_ctl(2).
    Unwatchable,
    /// There was no memory for it.
    NoMemory,
}

/// Why a connection was closed.
#[derive(Debug)]
pub enum Closed {
    /// Its peer had finished, and was sent all of its echo.
    Finished,
    /// The server had finished: after one echo, or because it was told to stop.
    Parted,
    /// Nothing had come or gone for as long as the idle timeout allows.
    Idle,
    /// Its peer had taken nothing of what was pending for as long as the stall timeout allows.
    Stalled,
    /// It was not done when the server had to stop.
    Cut,
    /// A system call failed.
    Failed(io::Error),
}

impl Closed {
    /// Whether the peer, or something between, broke the connection off.
    pub fn is_reset(&self) -> bool {
        use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        matches!(self, Self::Failed(e)
            if matches!(e.kind(), ConnectionReset | ConnectionAborted | BrokenPipe))
    }

    /// Whether the server ended it, and not its peer, nor the network: those have no use for more.
    pub fn is_by_server(&self) -> bool {
        !matches!(self, Self::Failed(e) if e.kind() != ErrorKind::OutOfMemory)
    }

    /// Whether it was closed because something took too long: the server's own limits, or the
    /// kernel's, which gives silent peers up.
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::Idle | Self::Stalled => true,
            Self::Failed(e) => e.kind() == ErrorKind::TimedOut,
            Self::Finished | Self::Parted | Self::Cut => false,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MaxConnections => "there are --max-connections already",
            Self::MaxPerIp => "there are --max-per-ip from its address already",
            Self::Unwatchable => "the system could not watch it",
            Self::NoMemory => "there is no memory for it",
        })
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("all echoed"),
            Self::Parted => f.write_str("finished by the server"),
            Self::Idle => f.write_str("idle for --idle-timeout"),
            Self::Stalled => f.write_str("took nothing for --stall-timeout"),
            Self::Cut => f.write_str("cut off as the server stops"),
            Self::Failed(e) => f.write_str(&reason(e)),
        }
    }
}

/// Is told of everything that happens to connections.
pub trait Observer {
    /// `event` happened to the connection of `peer`.
    fn observe(&mut self, peer: &Endpoint, event: Event<'_>);
}

/// Nobody looks.
impl Observer for () {
    fn observe(&mut self, _: &Endpoint, _: Event<'_>) {}
}

impl<A: Observer, B: Observer> Observer for (A, B) {
    #[inline(always)]
    fn observe(&mut self, peer: &Endpoint, event: Event<'_>) {
        self.0.observe(peer, event);
        self.1.observe(peer, event);
    }
}

impl<O: Observer> Observer for &mut O {
    #[inline(always)]
    fn observe(&mut self, peer: &Endpoint, event: Event<'_>) {
        (**self).observe(peer, event);
    }
}

/// Sums over all connections since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections accepted and served.
    pub accepted: u64,
    /// Connections accepted and closed at once.
    pub refused: u64,
    /// Bytes read from peers.
    pub bytes_in: u64,
    /// Bytes written to peers.
    pub bytes_out: u64,
    /// Connections that the peer, or something between, broke off.
    pub reset: u64,
    /// Connections closed because something took too long.
    pub timed_out: u64,
    /// Connections that the server ended although their peers were sent less than was read from them.
    pub cut: u64,
}

impl Observer for Counters {
    #[inline(always)]
    fn observe(&mut self, _: &Endpoint, event: Event<'_>) {
        match event {
            Event::Read(n) => self.bytes_in += n as u64,
            Event::Wrote(n) => self.bytes_out += n as u64,
            Event::Blocked => {}
            Event::Accepted => self.accepted += 1,
            Event::Refused(_) => self.refused += 1,
            Event::Closed { why, is_cut } => {
                self.cut += u64::from(is_cut);
                self.reset += u64::from(why.is_reset());
                self.timed_out += u64::from(why.is_timeout());
            }
        }
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accepted, refused, bytes_in, bytes_out, reset, timed_out, cut } = self;
        write!(
            f,
            "{}, {} in, {} out, {refused} refused, {reset} reset, {timed_out} timed out, {cut} cut off",
            Plural(*accepted, "connection"),
            Plural(*bytes_in, "byte"),
            Plural(*bytes_out, "byte"),
        )
    }
}

/// Logs connections at level `debug`, and each read and write at level `trace`.
#[derive(Clone, Copy, Debug)]
pub struct Logger;

impl Observer for Logger {
    #[inline(always)]
    fn observe(&mut self, peer: &Endpoint, event: Event<'_>) {
        match event {
            Event::Read(n) if log_enabled!(Level::Trace) => log_bytes(peer, "read", n),
            Event::Wrote(n) if log_enabled!(Level::Trace) => log_bytes(peer, "wrote", n),
            Event::Read(_) | Event::Wrote(_) => {}
            _ => log_other(peer, event),
        }
    }
}

// Out of line, to keep the path of an echo short where nobody reads about it.

#[cold]
fn log_bytes(peer: &Endpoint, what: &str, n: usize) {
    trace!("{peer}: {what} {n} bytes");
}

#[cold]
fn log_other(peer: &Endpoint, event: Event<'_>) {
    match event {
        Event::Read(_) | Event::Wrote(_) => {}
        Event::Blocked => trace!("{peer}: takes no more for now"),
        Event::Accepted => debug!("{peer}: accepted"),
        Event::Refused(why) => debug!("{peer}: refused: {why}"),
        Event::Closed { why, is_cut: true } => {
            debug!("{peer}: closed: {why}; not all that it sent was echoed");
        }
        Event::Closed { why, is_cut: false } => debug!("{peer}: closed: {why}"),
    }
}

#[cfg(test)]
mod tests;
