//! Addresses as people write them, and what they stand for.

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

/// `least_port` is 0 if any free port will do.
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
    if let Some(rest) = strip_scheme(text, "tcp:") {
        return Err(not_a_scheme("tcp:", "", rest));
    }
    if text.starts_with(['/', '.', '~']) && text.contains('/') {
        return Err(format!("a path has unix: before it; write unix:{}", Excerpt(text)));
    }
    inet(text, least_port)
}

/// In capitals or not.
fn strip_scheme<'a>(text: &'a str, scheme: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// Only a path may be something else than UTF-8.
fn read_bytes(bytes: &[u8]) -> Result<Addr, String> {
    match bytes.split_at_checked("unix:".len()) {
        Some((scheme, [first, rest @ ..]))
            if scheme.eq_ignore_ascii_case(b"unix:")
                && *first != b'@'
                && rest.len() < MAX_UNIX_PATH_BYTES =>
        {
            Ok(Addr::Unix(Path::new(OsStr::from_bytes(&bytes[scheme.len()..])).into()))
        }
        _ => {
            let shown = quoted(&bytes.escape_ascii().to_string());
            Err(format!("{shown} is not UTF-8, which only a path after unix: may be"))
        }
    }
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
    not_a_scheme(&format!("{scheme}://"), path, host)
}

fn not_a_scheme(scheme: &str, path: &str, host: &str) -> String {
    let is_good = read(host, 1).is_ok();
    let right = if is_good { host } else { "HOST:PORT, such as 127.0.0.1:7007" };
    format!("leave out {}{path}; write {}", Excerpt(scheme), Excerpt(right))
}

fn inet(text: &str, least_port: u16) -> Result<Addr, String> {
    let Some((host, port)) = text.rsplit_once(':') else { return Err(portless(text, least_port)) };
    if let Some((port, _)) = port.split_once('/') {
        let right = &text[..host.len() + 1 + port.len()];
        return Err(format!("leave out what follows the port; write {}", Excerpt(right)));
    }
    let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) if is_ipv6(inner) => inner,
        Some(_) => return Err("there is no IPv6 address in the brackets; write [::1]:7007".into()),
        None => named(text, host, port)?,
    };
    let port = port_number(port, least_port)?;
    Ok(Addr::Inet { host: host.into(), port })
}

fn port_number(text: &str, least_port: u16) -> Result<u16, String> {
    match text.parse() {
        // `parse` would take a sign as well.
        Ok(port) if !text.starts_with('+') && port >= least_port => Ok(port),
        Ok(0) => Err("port 0 cannot be connected to; write a number from 1 to 65535".into()),
        _ => services::port_of(text)
            .filter(|port| *port >= least_port)
            .ok_or_else(|| no_port(text, least_port)),
    }
}

fn no_port(port: &str, least_port: u16) -> String {
    let is_name = port.starts_with(|c: char| c.is_ascii_alphabetic());
    let what = if is_name { "service of /etc/services" } else { "port" };
    format!("{} is no {what}; write a number from {least_port} to 65535", quoted(port))
}

fn portless(text: &str, least_port: u16) -> String {
    if is_number(text) {
        return match text.parse::<u16>() {
            Ok(port) if port >= least_port => {
                format!("there is no host; write 127.0.0.1:{port} for this machine")
            }
            _ => no_port(text, least_port),
        };
    }
    if !is_name(text) {
        return "there is no port; write HOST:PORT, such as 127.0.0.1:7007".into();
    }
    let host = Excerpt(text);
    format!("there is no port; write {host}:PORT, such as {host}:7007")
}

/// A host that is not in brackets: a name, or an IPv4 address. Whether it exists, the system knows.
fn named<'a>(text: &str, host: &'a str, port: &str) -> Result<&'a str, String> {
    let port = Excerpt(if is_number(port) { port } else { "7007" });
    match host {
        "" => Err(format!(
            "there is no host before the port; write 127.0.0.1:{port} for this machine alone, or \
             0.0.0.0:{port} for every address it has"
        )),
        "*" => Err(format!("for every address of this machine, write 0.0.0.0:{port}")),
        _ if host.contains(',') => {
            Err("there is a comma in it; write one address, as HOST:PORT".into())
        }
        _ if is_ipv6(host) => {
            Err(format!("an IPv6 address stands in brackets; write [{host}]:{port}"))
        }
        _ if !host.is_ascii() => {
            Err("the host has letters beyond ASCII; write its form in ASCII, such \
                                      as xn--bcher-kva.example"
                .into())
        }
        _ if host.contains([':', '[', ']']) => Err(colons(text)),
        _ if host.contains('/') => {
            Err("there is a slash in the host; write HOST:PORT, or unix:PATH".into())
        }
        _ => Ok(host),
    }
}

fn colons(text: &str) -> String {
    let ip = text.trim_start_matches('[').trim_end_matches(']');
    if is_ipv6(ip) {
        return format!("there is no port; write [{ip}]:PORT, such as [{ip}]:7007");
    }
    "there is a colon in the host; write HOST:PORT, or [::1]:7007 for IPv6".into()
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether it reads as the name of a host: RFC 1123, section 2.1. An IPv4 address does too.
fn is_name(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(is_plain)
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
    format!("\"{}\"", Excerpt(text))
}

impl Addr {
    /// Reads where to connect, which is never port 0. A path need not be UTF-8.
    ///
    /// # Errors
    ///
    /// Why the text is no such address.
    pub fn of_server(text: impl AsRef<OsStr>) -> Result<Self, ParseAddrError> {
        let text = text.as_ref();
        let read = text.to_str().map_or_else(|| read_bytes(text.as_bytes()), |text| read(text, 1));
        read.map_err(ParseAddrError)
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
