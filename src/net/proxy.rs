//! The header of the PROXY protocol. A proxy sends it before all other bytes of a connection, and names the client
//! whose connection it passes on.
//!
//! Version 1 is a line of text, and version 2 is binary:
//! <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>. The checksum that version 2 can carry is not verified,
//! and no other field than the client's address is read.

use std::io;

use proxy_header::{ParseConfig, ProxiedAddress, ProxyHeader};

use super::Endpoint;

/// A header with more bytes is refused. The standard's longest addresses, a Unix socket's, take 232 bytes; the rest is
/// room for the fields of version 2, such as the name of a certificate.
pub const MAX_HEADER_BYTES: usize = 4096;

/// The longest line of version 1, with its line end: section 2.1 of the standard.
const MAX_LINE_BYTES: usize = 107;

/// What a header of version 1 begins with.
const V1_START: &[u8] = b"PROXY ";

/// What a header of version 2 begins with.
const V2_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The fixed part of version 2: its start, its version and command, its family, and the length of the rest.
const V2_FIXED_BYTES: usize = 16;

/// The command `LOCAL` of version 2: the proxy itself is the client.
const V2_LOCAL: u8 = 0x20;

/// The command `PROXY` of version 2.
const V2_PROXY: u8 = 0x21;

/// The beginning of a stream, as far as it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Header {
    /// It is the beginning of a header.
    Incomplete,
    /// It has a whole header.
    Complete {
        /// The length of the header. What follows is the client's.
        bytes: usize,
        /// The client, or `None` if the header names none: `UNKNOWN`, `LOCAL`, no address, or that of a Unix socket.
        client: Option<Endpoint>,
    },
}

/// Why the beginning of a stream is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFault {
    /// It does not begin like one.
    Missing,
    /// It begins like one, but breaks the standard further on.
    Malformed,
    /// It is longer than [`MAX_HEADER_BYTES`], or longer than a line of version 1 may be.
    Oversized,
}

impl Header {
    /// Looks for a header at the beginning of a stream.
    ///
    /// # Errors
    ///
    /// If no further bytes can make it a header.
    pub fn parse(start: &[u8]) -> Result<Self, HeaderFault> {
        if begins_like(start, V1_START) {
            parse_v1(start)
        } else if begins_like(start, V2_START) {
            parse_v2(start)
        } else {
            Err(HeaderFault::Missing)
        }
    }
}

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

impl HeaderVersion {
    /// Its number.
    pub fn number(self) -> u8 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }

    /// The header of a connection between these ends. It names them if both are internet addresses of one family; if not,
    /// it says that the client is unknown (version 1), or that the proxy itself is (`LOCAL` of version 2).
    ///
    /// # Errors
    ///
    /// If the library cannot write it, which does not happen in memory.
    pub fn encode(self, client: &Endpoint, server: &Endpoint) -> io::Result<Vec<u8>> {
        let header = match (client, server) {
            (Endpoint::Inet(client), Endpoint::Inet(server))
                if client.is_ipv4() == server.is_ipv4() =>
            {
                ProxyHeader::with_address(ProxiedAddress::stream(*client, *server))
            }
            _ => ProxyHeader::with_local(),
        };
        let mut bytes = Vec::new();
        match self {
            Self::V1 => header.encode_v1(&mut bytes),
            Self::V2 => header.encode_v2(&mut bytes),
        }
        .map_err(io::Error::other)?;
        Ok(bytes)
    }
}

/// Whether `start` and `expected` agree as far as both go.
fn begins_like(start: &[u8], expected: &[u8]) -> bool {
    start.iter().zip(expected).all(|(a, b)| a == b)
}

fn parse_v1(start: &[u8]) -> Result<Header, HeaderFault> {
    let line = &start[..start.len().min(MAX_LINE_BYTES)];
    match line.iter().position(|byte| *byte == b'\n') {
        Some(end) if is_strict(&line[..end]) => parse_whole(&line[..=end]),
        Some(_) => Err(HeaderFault::Malformed),
        None if line.len() == MAX_LINE_BYTES => Err(HeaderFault::Oversized),
        None => Ok(Header::Incomplete),
    }
}

/// Whether a line of version 1 has one of the three protocols, and ports as the standard writes them: in digits, and
/// without a zero before them. The parser takes `UNKNOWNX`, `+7` and `07` too.
fn is_strict(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let words: Vec<_> = line.split(|byte| *byte == b' ').skip(1).collect();
    let is_port = |word: &[u8]| {
        word.iter().all(u8::is_ascii_digit) && (word == b"0" || !word.starts_with(b"0"))
    };
    match words[..] {
        [b"UNKNOWN", ..] => true,
        [b"TCP4" | b"TCP6", _, _, source, destination] => is_port(source) && is_port(destination),
        _ => false,
    }
}

fn parse_v2(start: &[u8]) -> Result<Header, HeaderFault> {
    let Some(&[command, _, high, low]) = start.get(V2_START.len()..V2_FIXED_BYTES) else {
        return Ok(Header::Incomplete);
    };
    let bytes = V2_FIXED_BYTES + usize::from(u16::from_be_bytes([high, low]));
    match start.get(..bytes) {
        _ if !matches!(command, V2_LOCAL | V2_PROXY) => Err(HeaderFault::Malformed),
        _ if bytes > MAX_HEADER_BYTES => Err(HeaderFault::Oversized),
        None => Ok(Header::Incomplete),
        // The standard says to ignore the rest of it.
        Some(_) if command == V2_LOCAL => Ok(Header::Complete { bytes, client: None }),
        Some(header) => parse_whole(header),
    }
}

/// Reads a header of which both ends are known.
fn parse_whole(header: &[u8]) -> Result<Header, HeaderFault> {
    let config = ParseConfig { include_tlvs: false, ..ParseConfig::default() };
    match ProxyHeader::parse(header, config) {
        Ok((parsed, bytes)) if bytes == header.len() => {
            let client = parsed.proxied_address().map(|addresses| addresses.source.into());
            Ok(Header::Complete { bytes, client })
        }
        _ => Err(HeaderFault::Malformed),
    }
}

#[cfg(test)]
mod tests;
