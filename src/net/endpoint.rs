//! One end of a connection, or of an exchange of datagrams.

use std::fmt;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::path::Path;

use crate::text::Escaped;

/// One end of a connection, or of an exchange of datagrams.
///
/// Its `Display` is safe to log. A peer chooses the name of its Unix socket, so each character of it that could act
/// on a terminal is escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Over TCP.
    Inet(SocketAddr),
    /// Over UDP.
    Udp(UdpAddr),
    /// Over a Unix socket, with its path if it has one. The sockets of clients rarely do.
    Unix(Option<Box<Path>>),
    /// Over an abstract Unix socket of Linux, which has a name but no file: unix(7).
    Abstract(Box<[u8]>),
}

/// A UDP address. It keeps an IPv4 address as IPv6 maps it, so that each connection's [`Endpoint`] is no larger for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpAddr(SocketAddrV6);

impl UdpAddr {
    /// The address. An IPv4 address that came through an IPv6 socket is an IPv4 address.
    pub fn addr(self) -> SocketAddr {
        canonical(self.0.into())
    }
}

impl Endpoint {
    /// An end of an exchange of datagrams.
    pub fn udp(addr: SocketAddr) -> Self {
        Self::Udp(UdpAddr(match addr {
            SocketAddr::V4(v4) => SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0),
            SocketAddr::V6(v6) => v6,
        }))
    }

    /// The host. An IPv4 address has one form, even if it came through an IPv6 socket.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Inet(addr) => Some(addr.ip().to_canonical()),
            Self::Udp(addr) => Some(addr.addr().ip()),
            Self::Unix(_) | Self::Abstract(_) => None,
        }
    }
}

impl From<SocketAddr> for Endpoint {
    /// An IPv4 address that came through an IPv6 socket is an IPv4 address.
    fn from(addr: SocketAddr) -> Self {
        Self::Inet(canonical(addr))
    }
}

fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, addr.port()),
        IpAddr::V6(_) => addr,
    }
}

impl From<std::os::unix::net::SocketAddr> for Endpoint {
    fn from(addr: std::os::unix::net::SocketAddr) -> Self {
        match abstract_name(&addr) {
            Some(name) => Self::Abstract(name.into()),
            None => Self::Unix(addr.as_pathname().map(Into::into)),
        }
    }
}

#[cfg(target_os = "linux")]
fn abstract_name(addr: &std::os::unix::net::SocketAddr) -> Option<&[u8]> {
    std::os::linux::net::SocketAddrExt::as_abstract_name(addr)
}

#[cfg(not(target_os = "linux"))]
fn abstract_name(_: &std::os::unix::net::SocketAddr) -> Option<&[u8]> {
    None
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(addr) => addr.fmt(f),
            Self::Udp(addr) => write!(f, "udp:{}", addr.addr()),
            Self::Unix(None) => f.write_str("unix:(unnamed)"),
            Self::Unix(Some(path)) => write_path(path, f),
            Self::Abstract(name) => write_abstract(name, f),
        }
    }
}

/// A path that begins with `@` would read as an abstract name.
pub(super) fn write_path(path: &Path, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let path = path.to_string_lossy();
    let here = if path.starts_with('@') { "./" } else { "" };
    write!(f, "unix:{here}{}", Escaped(&path))
}

pub(super) fn write_abstract(name: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "unix:@{}", Escaped(&String::from_utf8_lossy(name)))
}
