//! The header of the PROXY protocol that a proxied peer sends before its own bytes, and what the server must make of it.
//!
//! Nothing here uses the server's own reader of headers: each header is made together with the verdict that is due.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use resound::net::Endpoint;
use resound::observe::Refusal;

use crate::kit::rng::Rng;

/// The longest header that the server takes.
const MAX_BYTES: usize = 4096;

/// The longest line of version 1.
const MAX_LINE_BYTES: usize = 107;

const V2_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED_BYTES: usize = 16;
const V2_LOCAL: u8 = 0x20;
const V2_PROXY: u8 = 0x21;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;
const UNIX_STREAM: u8 = 0x31;

/// What the server must make of a whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Client(Client),
    /// Its client is the proxy itself, or unknown.
    Unnamed,
    Refused(Refusal),
}

/// The client that a header names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    pub ip: u8,
    pub is_ipv6: bool,
}

/// How far the server has come with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It waits for the rest.
    Waiting,
    /// It has read exactly the header.
    Consumed,
    /// It ends the connection, of whose header nothing came.
    Abandoned,
}

#[derive(Debug)]
pub struct Header {
    pub bytes: Vec<u8>,
    pub verdict: Verdict,
    /// With this many bytes, the verdict is due.
    pub decided_at: usize,
    /// Bytes that the peer sent, that arrived, and that the server read.
    pub sent: usize,
    pub arrived: usize,
    pub read: usize,
    pub stage: Stage,
    /// Bytes that the last look showed, those behind the header among them.
    pub seen: u64,
    /// A look showed a part of it, and no more.
    pub has_begun: bool,
    /// Looks in the turn of this number.
    pub turn: u64,
    pub looks: usize,
    /// The server reported the client.
    pub is_reported: bool,
}

impl Client {
    /// An address that holds the number of its socket, as that of a peer does.
    pub fn addr(self, id: usize) -> SocketAddr {
        let Self { ip, is_ipv6 } = self;
        if is_ipv6 {
            let ip = Ipv6Addr::new(0xfd00, 0, 0, ip.into(), 0, 0, 0, (id >> 16) as u16);
            return SocketAddr::from((ip, id as u16));
        }
        SocketAddr::from((Ipv4Addr::new(127, 0, (id >> 16) as u8, ip), id as u16))
    }

    pub fn endpoint(self, id: usize) -> Endpoint {
        Endpoint::Inet(self.addr(id))
    }
}

impl Header {
    /// A header of any kind, for the socket `id`.
    pub fn new(rng: &mut Rng, id: usize) -> Self {
        let client = Client { ip: rng.below(4) as u8, is_ipv6: rng.below(3) == 0 };
        let (bytes, verdict, decided_at) = match rng.below(16) {
            0..=3 => whole(v1(client.addr(id), rng), Verdict::Client(client)),
            4..=8 => whole(v2_of(client.addr(id), rng), Verdict::Client(client)),
            9..=11 => whole(nameless(rng), Verdict::Unnamed),
            12 => missing(rng),
            13 | 14 => malformed(rng),
            _ => oversized(rng),
        };
        Self {
            bytes,
            verdict,
            decided_at,
            sent: 0,
            arrived: 0,
            read: 0,
            stage: Stage::Waiting,
            seen: 0,
            has_begun: false,
            turn: 0,
            looks: 0,
            is_reported: false,
        }
    }

    /// Lets the peer send up to `bytes` more of it.
    pub fn send(&mut self, bytes: usize) {
        self.sent = self.bytes.len().min(self.sent + bytes);
    }

    pub fn send_all(&mut self) {
        self.sent = self.bytes.len();
    }

    /// Bytes that have arrived and that the server has not read.
    pub fn unread(&self) -> usize {
        self.arrived - self.read
    }

    pub fn has_arrived(&self) -> bool {
        self.arrived == self.bytes.len()
    }

    /// The server knows enough to decide.
    pub fn is_decided(&self) -> bool {
        self.arrived >= self.decided_at
    }
}

type Made = (Vec<u8>, Verdict, usize);

/// The verdict is due with the last byte.
fn whole(bytes: Vec<u8>, verdict: Verdict) -> Made {
    let len = bytes.len();
    (bytes, verdict, len)
}

/// Version 1, with the address of an IPv4 client also as IPv6 writes it.
fn v1(client: SocketAddr, rng: &mut Rng) -> Vec<u8> {
    let port = client.port();
    let line = match client {
        SocketAddr::V4(addr) if rng.chance(512) => {
            format!("PROXY TCP4 {} 10.9.8.7 {port} 7\r\n", addr.ip())
        }
        _ => format!("PROXY TCP6 {} ::1 {port} 7\r\n", as_ipv6(client)),
    };
    line.into()
}

fn v2_of(client: SocketAddr, rng: &mut Rng) -> Vec<u8> {
    let mut rest = Vec::new();
    let family = match client {
        SocketAddr::V4(addr) if rng.chance(512) => {
            rest.extend(addr.ip().octets());
            rest.extend([10, 9, 8, 7]);
            TCP_OVER_IPV4
        }
        _ => {
            rest.extend(as_ipv6(client).octets());
            rest.extend(Ipv6Addr::LOCALHOST.octets());
            TCP_OVER_IPV6
        }
    };
    rest.extend(client.port().to_be_bytes());
    rest.extend(7u16.to_be_bytes());
    rest.extend(field(rng, MAX_BYTES - V2_FIXED_BYTES - rest.len()));
    v2(V2_PROXY, family, &rest)
}

fn as_ipv6(addr: SocketAddr) -> Ipv6Addr {
    match addr {
        SocketAddr::V4(addr) => addr.ip().to_ipv6_mapped(),
        SocketAddr::V6(addr) => *addr.ip(),
    }
}

/// A field of version 2 that means nothing (`PP2_TYPE_NOOP`), of up to `most` bytes, or nothing at all.
fn field(rng: &mut Rng, most: usize) -> Vec<u8> {
    let len = if rng.chance(512) { 0 } else { rng.size(3, most as u64) as usize };
    if len == 0 {
        return Vec::new();
    }
    let mut field = vec![7; len];
    field[0] = 0x04;
    field[1..3].copy_from_slice(&((len - 3) as u16).to_be_bytes());
    field
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = Vec::from(V2_START);
    header.extend([command, family]);
    header.extend((rest.len() as u16).to_be_bytes());
    header.extend(rest);
    header
}

fn nameless(rng: &mut Rng) -> Vec<u8> {
    match rng.below(5) {
        0 => b"PROXY UNKNOWN\r\n".into(),
        1 => b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n".into(),
        2 => v2(V2_LOCAL, 0, &field(rng, MAX_BYTES - V2_FIXED_BYTES)),
        3 => v2(V2_PROXY, 0, &[]),
        _ => v2(V2_PROXY, UNIX_STREAM, &[b'u'; 216]),
    }
}

/// Something else, from its first byte on or from a later one.
fn missing(rng: &mut Rng) -> Made {
    let (bytes, decided_at): (&[u8], _) = rng.pick(&[
        (&b"GET / HTTP/1.1\r\n"[..], 1),
        (&b"PROXY\tTCP4 127.0.0.1 127.0.0.1 1 1\r\n"[..], 6),
        (&b"\r\n\r\n\0\r\nQUIX\n"[..], 11),
        (&b"\r\n\r\nPROXY UNKNOWN\r\n"[..], 5),
    ]);
    (bytes.into(), Verdict::Refused(Refusal::HeaderMissing), decided_at)
}

fn malformed(rng: &mut Rng) -> Made {
    let verdict = Verdict::Refused(Refusal::HeaderMalformed);
    match rng.below(5) {
        0 => whole(b"PROXY TCP4 127.0.0.1 127.0.0.1 1\r\n".into(), verdict),
        1 => whole(b"PROXY TCP4 127.0.0.256 127.0.0.1 1 1\r\n".into(), verdict),
        2 => whole(b"PROXY TCP4 127.0.0.1 127.0.0.1 65536 1\n".into(), verdict),
        // Too short for two addresses of IPv4.
        3 => whole(v2(V2_PROXY, TCP_OVER_IPV4, &[0; 11]), verdict),
        // A command and a version that do not exist.
        _ => (v2(rng.pick(&[0x2f, 0x11]), TCP_OVER_IPV4, &[0; 12]), verdict, V2_FIXED_BYTES),
    }
}

fn oversized(rng: &mut Rng) -> Made {
    let verdict = Verdict::Refused(Refusal::HeaderOversized);
    if rng.chance(512) {
        let mut line = Vec::from(b"PROXY TCP4 ");
        line.resize(2 * MAX_LINE_BYTES, b'1');
        return (line, verdict, MAX_LINE_BYTES);
    }
    let len = rng.size((MAX_BYTES - V2_FIXED_BYTES + 1) as u64, u16::MAX.into()) as usize;
    (v2(V2_PROXY, TCP_OVER_IPV4, &vec![0; len]), verdict, V2_FIXED_BYTES)
}
