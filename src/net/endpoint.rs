//! One end of a connection.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::Escaped;

/// One end of a connection.
///
/// Its `Display` is safe to log: the name of a Unix socket is the peer's to choose, so everything in it
/// that could act on a terminal is escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Over TCP.
    Inet(SocketAddr),
    /// Over a Unix socket: its path, where it has one, as clients rarely do.
    Unix(Option<Box<Path>>),
}

impl Endpoint {
    /// The host, in one form for IPv4 whether or not it came through an IPv6 socket.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Inet(addr) => Some(addr.ip().to_canonical()),
            Self::Unix(_) => None,
        }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(addr: SocketAddr) -> Self {
        Self::Inet(addr)
    }
}

impl From<std::os::unix::net::SocketAddr> for Endpoint {
    fn from(addr: std::os::unix::net::SocketAddr) -> Self {
        Self::Unix(addr.as_pathname().map(Into::into))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(addr) => addr.fmt(f),
            Self::Unix(None) => f.write_str("unix:(unnamed)"),
            Self::Unix(Some(path)) => write!(f, "unix:{}", Escaped(&path.to_string_lossy())),
        }
    }
}
