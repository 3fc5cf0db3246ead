//! The endpoints that the server sees. Each holds the number of its socket, so that the observer can tell which one it is.

use std::net::SocketAddr;
use std::path::Path;

use resound::net::Endpoint;

use crate::header::{Client, Stage, Verdict};
use crate::socket::Socket;

/// A group of peers that a limit counts as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(pub Client);

impl Socket {
    /// What accept(2) returns.
    pub fn endpoint(&self) -> Endpoint {
        if self.is_tcp {
            return self.own_client().endpoint(self.id);
        }
        Endpoint::Unix(Some(Path::new(&self.id.to_string()).into()))
    }

    /// What the server must call the peer: its client, once a header has named it.
    pub fn shown_endpoint(&self) -> Endpoint {
        self.named_client().map_or_else(|| self.endpoint(), |client| client.endpoint(self.id))
    }

    /// The client that a header has named.
    pub fn named_client(&self) -> Option<Client> {
        let header = self.header.as_ref().filter(|header| header.stage == Stage::Consumed)?;
        if let Verdict::Client(client) = header.verdict { Some(client) } else { None }
    }

    /// Under which network the server must count it, if it counts it.
    pub fn network(&self) -> Option<Network> {
        let is_known = self.header.as_ref().is_none_or(|h| h.stage == Stage::Consumed);
        let own = self.is_tcp.then(|| self.own_client());
        self.named_client().or(own).filter(|_| is_known).map(Network)
    }

    fn own_client(&self) -> Client {
        Client { ip: self.ip, is_ipv6: false }
    }
}

/// The socket that an endpoint stands for.
pub fn socket_of(peer: &Endpoint) -> Option<usize> {
    match peer {
        Endpoint::Inet(SocketAddr::V4(addr)) => {
            Some(usize::from(addr.ip().octets()[2]) << 16 | usize::from(addr.port()))
        }
        Endpoint::Inet(SocketAddr::V6(addr)) => {
            Some(usize::from(addr.ip().segments()[7]) << 16 | usize::from(addr.port()))
        }
        Endpoint::Unix(path) => path.as_ref()?.to_str()?.parse().ok(),
        _ => None,
    }
}
