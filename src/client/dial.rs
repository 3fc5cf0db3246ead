//! Opening a connection: look the name up, try its addresses, and take the first that answers.
//!
//! A name means all of its addresses, after RFC 8305 ("happy eyeballs"): IPv6 and IPv4 take turns, the next
//! address is tried 250 ms after the last one, or at once if that fails, and the first that answers wins.
//! All of it, with the look-up, must be done within one timeout.
//!
//! A [`Dialer`] never blocks. The caller's own reactor watches it, beside signals and whatever else there is.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::net::{Endpoint, Socket, cannot, with_help};
use crate::text::format::setting;

pub use dialer::{Dialer, Step};
pub(super) use lookup::needs_no_lookup;

mod dialer;
mod failures;
mod lookup;
mod order;
mod race;

/// A connection that was made.
#[derive(Debug)]
pub struct Established {
    /// Connected, and registered nowhere.
    pub socket: Socket,
    /// This end.
    pub local: Endpoint,
    /// The server's end: the one of its addresses that answered.
    pub peer: Endpoint,
    /// How long it took, from the first step towards this address.
    pub took: Duration,
}

/// Which addresses to try, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long the look-up and all attempts may take together.
    pub timeout: Duration,
    /// How long to try again and again while the server is not up.
    pub wait: Option<Duration>,
    /// The only family of addresses to try, if not both.
    pub family: Option<Family>,
}

/// A family of internet addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(ip: &IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

impl Limits {
    /// Every address, once, within `timeout`.
    pub fn new(timeout: Duration) -> Self {
        Self { timeout, wait: None, family: None }
    }
}

/// What a [`Dialer`] does, for the person who waits for it.
#[derive(Debug)]
pub enum Progress {
    /// An attempt to connect to this address begins.
    Connecting(Endpoint),
    /// An address failed, and another is tried next.
    Failed(io::Error),
    /// The server is not up, and is tried again until it is. Reported once.
    Waiting {
        /// Why it is not.
        error: io::Error,
        /// How long it is waited for, at most.
        wait: Duration,
    },
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting(peer) => write!(f, "connecting to {peer}"),
            Self::Failed(error) => write!(f, "{error}; trying the next address"),
            Self::Waiting { error, wait } => {
                write!(f, "{error}; trying again until it is up, for {} at most", setting(*wait))
            }
        }
    }
}

/// Why there is no connection if nothing came within `timeout`.
fn unanswered(timeout: Duration) -> io::Error {
    io::Error::new(ErrorKind::TimedOut, format!("no answer within {}", setting(timeout)))
}

/// A failure to connect as a line for people.
fn unreachable(peer: &Endpoint, error: &io::Error) -> io::Error {
    helped(cannot("connect to", peer, error))
}

/// Adds what might help to a failure to connect.
fn helped(line: io::Error) -> io::Error {
    let line = with_help(line, help);
    match line.kind() {
        // The kernel's word on the address. Elsewhere this kind is about the command line.
        ErrorKind::InvalidInput => io::Error::other(line.to_string()),
        _ => line,
    }
}

/// What might help against a failure to connect.
pub(super) fn help(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::ConnectionRefused => Some("nothing listens there: is the server running?"),
        ErrorKind::NotFound => Some("nothing listens there: is the path right?"),
        ErrorKind::TimedOut => Some("is the address right, and is there a firewall between?"),
        ErrorKind::WouldBlock => Some("its accept queue is full: try again"),
        ErrorKind::InvalidInput => {
            Some("a link-local address needs its interface, as in [fe80::1%eth0]:7007")
        }
        _ => None,
    }
}

/// This end's address once the connection is made, and `None` before.
///
/// # Errors
///
/// Why the connection was not made, or that the system connected the socket to itself.
pub(super) fn outcome(socket: &Socket) -> io::Result<Option<Endpoint>> {
    match socket.connected()? {
        Some(_) if is_connected_to_itself(socket)? => Err(io::Error::new(
            ErrorKind::ConnectionRefused,
            "the system connected the socket to itself",
        )),
        outcome => Ok(outcome),
    }
}

/// Whether both ends are one. If nothing listens on a port that the kernel gives to clients, it can give
/// out that very port, and TCP connects the socket to itself: it would echo without a fault.
///
/// The ends are compared as the kernel names them, since the address that was dialled can be another name
/// for the same (`0.0.0.0`, `[::]`, or IPv4 within IPv6).
fn is_connected_to_itself(socket: &Socket) -> io::Result<bool> {
    let Socket::Tcp(stream) = socket else { return Ok(false) };
    let [local, peer] = [stream.local_addr()?, stream.peer_addr()?];
    let canonical = |addr: SocketAddr| (addr.ip().to_canonical(), addr.port());
    Ok(canonical(local) == canonical(peer))
}

#[cfg(test)]
mod tests;
