//! Addresses as users write them, and the endpoints that they stand for.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::net::{Ipv6Addr, ToSocketAddrs};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::str::FromStr;

use super::endpoint::{write_abstract, write_path};
use super::{Endpoint, services};
use crate::text::{Escaped, Excerpt};

/// The longest path of a Unix socket, in bytes: `sun_path` without its closing NUL, unix(7). An abstract name
/// has a NUL before it instead.
const MAX_UNIX_PATH_BYTES: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// An address to listen on or connect to, as written: `HOST:PORT`, `[IPV6]:PORT`, `udp:HOST:PORT`, `unix:PATH` or
/// `unix:@NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addr {
    /// A host, by name or number, and a TCP port.
    Inet {
        /// A name, an IPv4 address, or an IPv6 address without its brackets, perhaps with a zone.
        host: String,
        /// A listener takes 0 for any free port.
        port: u16,
    },
    /// A host, by name or number, and a UDP port.
    Udp {
        /// As that of [`Inet`](Self::Inet).
        host: String,
        /// As that of [`Inet`](Self::Inet).
        port: u16,
    },
    /// The path of a Unix stream socket.
    Unix(Box<Path>),
    /// The name of an abstract Unix stream socket of Linux, which has no file: unix(7).
    Abstract(Box<[u8]>),
}

/// Why a text is not an [`Addr`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseAddrError(String);

impl fmt::Display for ParseAddrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ParseAddrError {}

impl FromStr for Addr {
    type Err = ParseAddrError;

    fn from_str(text: &str) -> Result<Self, ParseAddrError> {
        read(text.as_ref(), 0).map_err(ParseAddrError)
    }
}

impl Addr {
    /// Reads an address to connect to. Its port is never 0, and its path can be other than UTF-8.
    ///
    /// # Errors
    ///
    /// Why the text is no such address.
    pub fn of_server(text: impl AsRef<OsStr>) -> Result<Self, ParseAddrError> {
        read(text.as_ref(), 1).map_err(ParseAddrError)
    }

    /// The endpoints that it stands for: one or more, each once, in the order that the system prefers.
    /// To look up a name blocks until the system has answered: getaddrinfo(3).
    ///
    /// # Errors
    ///
    /// If the name is unknown. The error says so in a line for people.
    pub fn resolve(&self) -> io::Result<Vec<Endpoint>> {
        let (host, port) = match self {
            Self::Inet { host, port } | Self::Udp { host, port } => (host.as_str(), *port),
            Self::Unix(path) => return Ok(vec![Endpoint::Unix(Some(path.clone()))]),
            Self::Abstract(name) => return Ok(vec![Endpoint::Abstract(name.clone())]),
        };
        let mut found = Vec::new();
        for addr in (host, port).to_socket_addrs().map_err(|e| self.unresolved(&e))? {
            let endpoint = match self {
                Self::Udp { .. } => Endpoint::udp(addr),
                _ => Endpoint::from(addr),
            };
            if !found.contains(&endpoint) {
                found.push(endpoint);
            }
        }
        if found.is_empty() {
            return Err(self.unresolved(&"it has no address"));
        }
        Ok(found)
    }

    fn unresolved(&self, why: &dyn fmt::Display) -> io::Error {
        let why = why.to_string();
        let why = why.strip_prefix("failed to lookup address information: ").unwrap_or(&why);
        io::Error::other(format!(
            "cannot resolve {self}: {why}; check the spelling, or write the host's IP address"
        ))
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet { host, port } => write_host_port(host, *port, f),
            Self::Udp { host, port } => {
                f.write_str("udp:")?;
                write_host_port(host, *port, f)
            }
            Self::Unix(path) => write_path(path, f),
            Self::Abstract(name) => write_abstract(name, f),
        }
    }
}

fn write_host_port(host: &str, port: u16, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match host.contains(':') {
        true => write!(f, "[{host}]:{port}"),
        false => write!(f, "{}:{port}", Escaped(host)),
    }
}

/// `least_port` is 0 for a listener, which can take any free port, and 1 otherwise.
fn read(text: &OsStr, least_port: u16) -> Result<Addr, String> {
    const UNIX: &str = "unix:";
    const UDP: &str = "udp:";
    if has_scheme(text.as_bytes(), UNIX) {
        return unix(&text.as_bytes()[UNIX.len()..]);
    }
    let Some(text) = text.to_str() else {
        let shown = text.as_bytes().escape_ascii().to_string();
        return Err(format!("{} is not UTF-8, which only a path can be", quoted(&shown)));
    };
    if has_scheme(text, UDP) {
        let (host, port) = host_port(&text[UDP.len()..], least_port)?;
        return Ok(Addr::Udp { host, port });
    }
    let (host, port) = host_port(text, least_port)?;
    Ok(Addr::Inet { host, port })
}

/// Whether `text` begins with `scheme`, perhaps in capitals.
pub(crate) fn has_scheme(text: impl AsRef<[u8]>, scheme: &str) -> bool {
    let start = text.as_ref().get(..scheme.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
}

/// Reads what follows `unix:`.
fn unix(text: &[u8]) -> Result<Addr, String> {
    let (what, name, example) = match text.strip_prefix(b"@") {
        Some(_) if !cfg!(target_os = "linux") => {
            return Err("only Linux has sockets without a file; write unix:PATH".into());
        }
        Some(name) => ("name after unix:@", name, "unix:@echo"),
        None => ("path after unix:", text, "unix:/run/echo.sock"),
    };
    match name.len() {
        0 => Err(format!("there is no {what}; write, say, {example}")),
        1..=MAX_UNIX_PATH_BYTES if name.len() < text.len() => Ok(Addr::Abstract(name.into())),
        1..=MAX_UNIX_PATH_BYTES => Ok(Addr::Unix(Path::new(OsStr::from_bytes(name)).into())),
        n => Err(format!("the {what} has {n} bytes; the system allows {MAX_UNIX_PATH_BYTES}")),
    }
}

/// Reads `HOST:PORT`.
fn host_port(text: &str, least_port: u16) -> Result<(String, u16), String> {
    let is_url = text.contains("://") || text.starts_with("//");
    if is_url || ["tcp:", "udp:", "unix:"].into_iter().any(|scheme| has_scheme(text, scheme)) {
        return Err("only unix: or udp: can stand before an address".into());
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if is_ipv6(host) || !is_ipv6(text.trim_matches(['[', ']'])) => {
            (host, port)
        }
        None if is_number(text) => return Err("there is no host".into()),
        _ => return Err("there is no port".into()),
    };
    Ok((host_name(host)?.into(), port_number(port, least_port)?))
}

/// The host without its brackets. Only the system knows whether it exists.
fn host_name(host: &str) -> Result<&str, String> {
    if let Some(ip) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return if is_ipv6(ip) { Ok(ip) } else { Err("the brackets hold no IPv6 address".into()) };
    }
    match host.find([':', '[', ']', '/', ',', '*']) {
        _ if host.is_empty() => Err("there is no host".into()),
        _ if is_ipv6(host) => Err("an IPv6 address needs brackets".into()),
        _ if !host.is_ascii() => {
            Err("a host with other letters than ASCII has a form such as xn--bcher-kva".into())
        }
        Some(at) => Err(format!("a host cannot contain '{}'", &host[at..=at])),
        None => Ok(host),
    }
}

fn port_number(text: &str, least_port: u16) -> Result<u16, String> {
    // `parse` would take a sign as well.
    let number = text.parse().ok().filter(|_| !text.starts_with('+'));
    match number.or_else(|| services::port_of(text)) {
        Some(port) if port >= least_port => Ok(port),
        Some(_) => Err("a client cannot connect to port 0".into()),
        None => Err(format!(
            "{} is neither a port up to 65535 nor a service of /etc/services",
            quoted(text)
        )),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether it is an IPv6 address. It can have a zone, by name or number, as in `fe80::1%eth0`.
fn is_ipv6(text: &str) -> bool {
    let (ip, has_good_zone) = match text.split_once('%') {
        Some((ip, zone)) => (ip, !zone.is_empty() && zone.chars().all(is_name_char)),
        None => (text, true),
    };
    has_good_zone && ip.parse::<Ipv6Addr>().is_ok()
}

/// Whether `c` can stand in the name of a host or of a zone.
pub(crate) fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", Excerpt(text))
}
