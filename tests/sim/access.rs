//! Which clients may connect: networks for the server, and what follows from them for each client.
//!
//! Nothing here uses the server's own search in networks: each list is written together with the clients that it keeps
//! out.

use std::net::{IpAddr, Ipv6Addr};

use resound::net::{Access, parse_network};

/// The lists of a server. All clients have addresses of 127.0.0.0/30 or fd00::/62, of which the number is the last byte
/// or the last byte of the network.
#[derive(Clone, Copy, Debug)]
pub struct AccessLists {
    allow: &'static [&'static str],
    deny: &'static [&'static str],
    /// The numbers of clients that are denied, whether they are allowed or not.
    pub denied: &'static [u8],
    /// The numbers of clients that are not allowed.
    pub unlisted: &'static [u8],
}

pub const OPEN: AccessLists = AccessLists { allow: &[], deny: &[], denied: &[], unlisted: &[] };

pub const RESTRICTED: [AccessLists; 3] = [
    AccessLists { deny: &["127.0.0.3", "fd00:0:0:3::/64"], denied: &[3], ..OPEN },
    AccessLists { allow: &["127.0.0.0/31", "fd00::/63"], unlisted: &[2, 3], ..OPEN },
    AccessLists {
        allow: &["127.0.0.0/31", "127.0.0.2", "fd00:0:0:1::/64", "fd00:0:0:2::1/64", "fd00::/64"],
        deny: &["::ffff:127.0.0.1", "fd00:0:0:1::/64"],
        denied: &[1],
        unlisted: &[3],
    },
];

impl AccessLists {
    pub fn access(&self) -> Access {
        let networks = |list: &[&str]| {
            list.iter().map(|text| parse_network(text).expect("a network")).collect()
        };
        Access { allow: networks(self.allow), deny: networks(self.deny) }
    }

    pub fn bars(&self, client: u8) -> bool {
        self.denied.contains(&client) || self.unlisted.contains(&client)
    }

    /// Whether an address may not connect, which may be no client's.
    pub fn bars_ip(&self, ip: IpAddr) -> bool {
        let client = match ip.to_canonical() {
            IpAddr::V4(ip) => ip.octets().strip_prefix(&[127, 0, 0]).map(|rest| rest[0]),
            IpAddr::V6(ip) => number_of(ip),
        };
        client.map_or(!self.allow.is_empty(), |client| self.bars(client))
    }
}

fn number_of(ip: Ipv6Addr) -> Option<u8> {
    let [0xfd00, 0, 0, number, ..] = ip.segments() else { return None };
    number.try_into().ok()
}
