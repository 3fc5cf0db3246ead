//! Addresses as people write them, and what they stand for.

use std::fmt;
use std::io;
use std::net::{Ipv6Addr, ToSocketAddrs};
use std::path::Path;
use std::str::FromStr;

use super::endpoint::{write_abstract, write_path};
use super::{Endpoint, Escaped, services};

/// The longest path of a Unix socket, in bytes: `sun_path` less its closing NUL, unix(7). An abstract name
/// has a NUL before it instead.
const MAX_UNIX_PATH_BYTES: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// Where to listen or connect, as written: `HOST:PORT`, `[IPV6]:PORT`, `unix:PATH` or `unix:@NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addr {
    /// A host, by name or number, and a TCP port.
    Inet {
        /// A name, an IPv4 address, or an IPv6 address without its brackets, perhaps with a zone.
        host: String,
        /// 0 means any free port where a server listens.
        port: u16,
    },
    /// The path of a Unix stream socket.
    Unix(Box<Path>),
    /// The name of an abstract Unix stream socket of Linux, which has no file: unix(7).
    Abstract(Box<[u8]>),
}

/// Why a text is not an [`Addr`], and what would be.
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
        read(text, 0).map_err(ParseAddrError)
    }
}

/// `least_port` is 0 where any free port will do.
fn read(text: &str, least_port: u16) -> Result<Addr, String> {
    if let Some(path) = strip_scheme(text, "unix:") {
        return path.strip_prefix('@').map_or_else(|| unix(path), abstract_name);
    }
    if strip_scheme(text, "udp:").is_some() {
        return Err("udp: is not supported yet; write HOST:PORT for TCP, or unix:PATH".into());
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        return Err(not_a_url(scheme, rest));
    }
    if text.starts_with(['/', '.', '~']) && text.contains('/') {
        return Err(format!("a path has unix: before it; write unix:{}", Escaped(text)));
    }
    inet(text, least_port)
}

/// In capitals or not.
fn strip_scheme<'a>(text: &'a str, scheme: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}

fn unix(path: &str) -> Result<Addr, String> {
    match path.len() {
        0 => Err("there is no path after unix:; write, say, unix:/run/echo.sock".into()),
        1..=MAX_UNIX_PATH_BYTES => Ok(Addr::Unix(Path::new(path).into())),
        n => Err(format!(
            "the path after unix: has {n} bytes; the system allows {MAX_UNIX_PATH_BYTES}"
        )),
    }
}

fn abstract_name(name: &str) -> Result<Addr, String> {
    match name.len() {
        _ if !cfg!(target_os = "linux") => {
            Err("only Linux has sockets without a file; write unix:PATH".into())
        }
        0 => Err("there is no name after unix:@; write, say, unix:@echo".into()),
        1..=MAX_UNIX_PATH_BYTES => Ok(Addr::Abstract(name.as_bytes().into())),
        n => Err(format!(
            "the name after unix:@ has {n} bytes; the system allows {MAX_UNIX_PATH_BYTES}"
        )),
    }
}

fn not_a_url(scheme: &str, rest: &str) -> String {
    let (host, path) = rest.split_once('/').map_or((rest, ""), |(host, _)| (host, " and the path"));
    let right = if read(host, 1).is_ok() { host } else { "HOST:PORT, such as 127.0.0.1:7007" };
    format!("leave out {}://{path}; write {}", Escaped(scheme), Escaped(right))
}

fn inet(text: &str, least_port: u16) -> Result<Addr, String> {
    let Some((host, port)) = text.rsplit_once(':') else { return Err(portless(text)) };
    if let Some((port, _)) = port.split_once('/') {
        let right = Escaped(&text[..host.len() + 1 + port.len()]).to_string();
        return Err(format!("leave out what follows the port; write {right}"));
    }
    let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) if is_ipv6(inner) => inner,
        Some(_) => return Err("there is no IPv6 address in the brackets; write [::1]:7007".into()),
        None => named(host, port)?,
    };
    let port = port_number(port, least_port)?;
    Ok(Addr::Inet { host: host.into(), port })
}

fn port_number(text: &str, least_port: u16) -> Result<u16, String> {
    match text.parse() {
        // `parse` would take a sign as well.
        Ok(port) if !text.starts_with('+') && port >= least_port => Ok(port),
        Ok(0) => Err("port 0 cannot be connected to; write a number from 1 to 65535".into()),
        _ => services::port_of(text).filter(|port| *port >= least_port).ok_or_else(|| {
            let is_name = text.starts_with(|c: char| c.is_ascii_alphabetic());
            let what = if is_name { "service of /etc/services" } else { "port" };
            format!("{} is no {what}; write a number from {least_port} to 65535", quoted(text))
        }),
    }
}

fn portless(text: &str) -> String {
    match text.parse::<u16>() {
        Ok(port) if !text.starts_with('+') => {
            format!("there is no host; write 127.0.0.1:{port} for this machine")
        }
        _ => "there is no port; write HOST:PORT, such as 127.0.0.1:7007".into(),
    }
}

/// A host that is not in brackets: a name, or an IPv4 address. Whether there is such a one, the system knows.
fn named<'a>(host: &'a str, port: &str) -> Result<&'a str, String> {
    match host {
        "" => Err("there is no host before the port; write 127.0.0.1 for this machine alone, or \
                   0.0.0.0 for every address it has"
            .into()),
        "*" => {
            let right = Escaped(port);
            Err(format!("for every address of this machine, write 0.0.0.0:{right}"))
        }
        _ if host.contains(',') => {
            Err("there is a comma in it; write one address, as HOST:PORT".into())
        }
        _ if !host.is_ascii() => {
            Err("the host has letters beyond ASCII; write its form in ASCII, such \
                                      as xn--bcher-kva.example"
                .into())
        }
        _ if host.contains([':', '[', ']']) => {
            Err("there is a colon in the host; write HOST:PORT, or [::1]:7007 for IPv6".into())
        }
        _ if host.contains('/') => {
            Err("there is a slash in the host; write HOST:PORT, or unix:PATH".into())
        }
        _ => Ok(host),
    }
}

/// Perhaps with a zone, by name or number, as in `fe80::1%eth0`.
fn is_ipv6(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let (ip, has_good_zone) = match text.split_once('%') {
        Some((ip, zone)) => (ip, !zone.is_empty() && zone.chars().all(is_plain)),
        None => (text, true),
    };
    has_good_zone && ip.parse::<Ipv6Addr>().is_ok()
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", Escaped(text))
}

impl Addr {
    /// Reads where to connect, which is never port 0.
    ///
    /// # Errors
    ///
    /// Why the text is no such address.
    pub fn of_server(text: &str) -> Result<Self, ParseAddrError> {
        read(text, 1).map_err(ParseAddrError)
    }

    /// What it stands for: one or more, each once, in the order in which the system prefers them.
    /// Looking a name up blocks for as long as the system takes: getaddrinfo(3).
    ///
    /// # Errors
    ///
    /// Where the name is unknown; the error says so in a line for people.
    pub fn resolve(&self) -> io::Result<Vec<Endpoint>> {
        let (host, port) = match self {
            Self::Inet { host, port } => (host.as_str(), *port),
            Self::Unix(path) => return Ok(vec![Endpoint::Unix(Some(path.clone()))]),
            Self::Abstract(name) => return Ok(vec![Endpoint::Abstract(name.clone())]),
        };
        let mut found = Vec::new();
        for addr in (host, port).to_socket_addrs().map_err(|e| self.unresolved(&e))? {
            let endpoint = Endpoint::from(addr);
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
            Self::Inet { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Inet { host, port } => write!(f, "{}:{port}", Escaped(host)),
            Self::Unix(path) => write_path(path, f),
            Self::Abstract(name) => write_abstract(name, f),
        }
    }
}
