//! Which datagrams are answered.
//!
//! A source address can be forged, and two servers that answer each other never stop. So a server must not answer what may
//! be an answer itself, nor send many hosts' answers to one: CERT VU#417980, CVE-2024-2169, CERT CA-1996-01.

use std::net::IpAddr;
use std::time::Instant;

use crate::net::{Access, Endpoint, Received};
use crate::observe::DatagramDrop;
use crate::server::source_rates::SourceRates;

/// Ports below this belong to servers: services(5).
const FIRST_CLIENT_PORT: u16 = 1024;

/// Judges datagrams by their sources.
pub(super) struct Guard {
    own_ports: Box<[u16]>,
    access: Access,
    rates: SourceRates,
}

impl Guard {
    /// For a server that answers datagrams at `endpoints`, up to `rate` per second of each source.
    pub(super) fn new<'a>(
        endpoints: impl Iterator<Item = &'a Endpoint>,
        access: Access,
        rate: f64,
        now: Instant,
    ) -> Self {
        let port = |at: &Endpoint| match at {
            Endpoint::Udp(addr) => Some(addr.addr().port()),
            _ => None,
        };
        let own_ports = endpoints.filter_map(port).collect();
        Self { own_ports, access, rates: SourceRates::new(rate, now) }
    }

    /// Whether a datagram may be answered.
    pub(super) fn judge(&mut self, received: &Received, now: Instant) -> Result<(), DatagramDrop> {
        let (ip, port) = (received.from.ip().to_canonical(), received.from.port());
        if received.is_truncated {
            return Err(DatagramDrop::Truncated);
        }
        if is_no_single_host(ip) {
            return Err(DatagramDrop::NoSingleSource);
        }
        if received.is_to_many {
            return Err(DatagramDrop::SentToMany);
        }
        if port < FIRST_CLIENT_PORT {
            return Err(DatagramDrop::LowPort);
        }
        if self.own_ports.contains(&port) {
            return Err(DatagramDrop::OwnPort);
        }
        if !self.access.is_allowed(ip) {
            return Err(DatagramDrop::Denied);
        }
        // The rate comes last: what is not answered anyway counts against no source.
        match self.rates.take(ip, now) {
            true => Ok(()),
            false => Err(DatagramDrop::RateLimit),
        }
    }
}

/// Whether an address stands for no host or for several. The system knows further broadcast addresses, and refuses to send
/// there.
fn is_no_single_host(ip: IpAddr) -> bool {
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    ip.is_unspecified() || ip.is_multicast() || is_broadcast
}
