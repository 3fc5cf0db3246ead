//! Opens a connection: looks the name up, tries its addresses, and takes the first that answers.
//!
//! A name means all of its addresses, as RFC 8305 ("happy eyeballs") has it. IPv6 and IPv4 take turns. An attempt
//! at the next address begins 250 ms after the last one, or at once if that one fails. The first address that answers
//! wins. One timeout limits all of it, and the look-up too.
//!
//! A [`Dialer`] never blocks. The caller's own reactor watches it, beside signals and other sources.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::net::proxy::HeaderVersion;
use crate::net::{Addr, Endpoint, Socket, cannot, with_help};
use crate::text::format::setting;

pub use dialer::{Dialer, Step};
pub(super) use lookup::needs_no_lookup;
pub(super) use order::order;
pub(super) use race::ATTEMPT_DELAY;

pub(super) mod lookup;
mod order;
mod failures;
mod race;
mod dialer;

/// A new connection.
#[derive(Debug)]
pub struct Established {
    /// Connected, and not registered with any poll.
    pub socket: Socket,
    /// This end.
    pub local: Endpoint,
    /// The server's end: the address that answered.
    pub peer: Endpoint,
    /// How long it took to connect to this address.
    pub took: Duration,
}

/// Which addresses to try, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long the look-up and all attempts may take together.
    pub timeout: Duration,
    /// How long to go on trying while the server is not up.
    pub wait: Option<Duration>,
    /// The only family of addresses to try, instead of both.
    pub family: Option<Family>,
    /// Whether a PROXY header of this version comes before everything else on the connection.
    pub send_proxy: Option<HeaderVersion>,
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
    /// One attempt at every address, within `timeout`.
    pub fn new(timeout: Duration) -> Self {
        Self { timeout, wait: None, family: None, send_proxy: None }
    }
}

/// What a [`Dialer`] does, to show to the user.
#[derive(Debug)]
pub enum DialProgress {
    /// An attempt to connect to this address begins.
    Connecting(Endpoint),
    /// An address failed, and the next one gets its attempt.
    Failed(io::Error),
    /// The server is not up, and the dialer goes on trying. A dialer reports this once.
    Waiting {
        /// Why the attempt failed.
        error: io::Error,
        /// The longest time that the dialer goes on.
        wait: Duration,
    },
}

impl fmt::Display for DialProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting(peer) => write!(f, "connecting to {peer}"),
            Self::Failed(error) => write!(f, "{error}; trying the next address"),
            Self::Waiting { error, wait } => {
                write!(f, "{error}; trying again for up to {}", setting(*wait))
            }
        }
    }
}

/// The error if a server has no address of the wanted family.
pub(super) fn no_address(server: &Addr, family: Option<Family>) -> io::Error {
    let family = match family {
        Some(Family::V4) => "IPv4 ",
        Some(Family::V6) => "IPv6 ",
        None => "",
    };
    io::Error::other(format!("cannot connect to {server}: it has no {family}address"))
}

/// The error of an attempt without an answer within `timeout`.
fn unanswered(timeout: Duration) -> io::Error {
    io::Error::new(ErrorKind::TimedOut, format!("no answer within {}", setting(timeout)))
}

/// Puts a failure to connect into a line for people.
fn unreachable(peer: &Endpoint, error: &io::Error) -> io::Error {
    helped(cannot("connect to", peer, error))
}

/// Adds advice to a failure to connect.
pub(super) fn helped(line: io::Error) -> io::Error {
    let line = with_help(line, help);
    match line.kind() {
        // Here the kernel rejects the address. Elsewhere this kind means a wrong command line.
        ErrorKind::InvalidInput => io::Error::other(line.to_string()),
        _ => line,
    }
}

/// Advice against a failure to connect.
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

/// The address of this end once the connection is made, and `None` before.
///
/// # Errors
///
/// Why the connection failed, or that the system connected the socket to itself.
pub(super) fn outcome(socket: &Socket) -> io::Result<Option<Endpoint>> {
    match socket.connected()? {
        Some(_) if is_connected_to_itself(socket)? => Err(io::Error::new(
            ErrorKind::ConnectionRefused,
            "the system connected the socket to itself",
        )),
        outcome => Ok(outcome),
    }
}

/// Sends the PROXY header of a new connection, as if its client were behind this program.
///
/// # Errors
///
/// If the connection is gone already. There is always room for the header.
pub(super) fn send_header(socket: &mut Socket, version: HeaderVersion) -> io::Result<()> {
    socket.write_all(&version.encode(&socket.local_addr()?, &socket.peer_addr()?)?)
}

/// Whether the socket is its own peer. If nothing listens on a port, the kernel can give that very port to a client
/// that connects to it. Then TCP connects the socket to itself, and it echoes perfectly.
///
/// This compares the ends as the kernel names them. The dialled address can be another name for the same end:
/// `0.0.0.0`, `[::]`, or IPv4 within IPv6.
fn is_connected_to_itself(socket: &Socket) -> io::Result<bool> {
    let Socket::Tcp(stream) = socket else { return Ok(false) };
    let [local, peer] = [stream.local_addr()?, stream.peer_addr()?];
    let canonical = |addr: SocketAddr| (addr.ip().to_canonical(), addr.port());
    Ok(canonical(local) == canonical(peer))
}

#[cfg(test)]
mod tests;
