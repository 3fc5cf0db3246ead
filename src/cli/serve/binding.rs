//! What `resound serve` listens on: the sockets that it was passed, and those that it binds.

use std::io::{self, IsTerminal, stderr};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use log::{info, warn};

use super::Serve;
use super::hint::hint;
use crate::cli::address::ListenAddr;
use crate::net::{Endpoint, ListenOptions, Listener, SocketFile};
use crate::observe::Observer;
use crate::server::{ListenAt, Server};

/// The address of a server that has no other.
const DEFAULT_ADDR: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7007));

/// An address to listen at, resolved.
pub(super) struct Place {
    endpoints: Vec<Endpoint>,
    is_proxied: bool,
}

impl Place {
    /// How many listeners it has, if this machine has all of its addresses.
    pub(super) fn listeners(&self) -> usize {
        self.endpoints.len()
    }
}

impl Serve {
    /// Resolves the addresses to listen at. A server without any, and without passed sockets, has the default address.
    ///
    /// # Errors
    ///
    /// If a name is unknown.
    pub(super) fn places(&self, has_passed_sockets: bool) -> io::Result<Vec<Place>> {
        if self.listen.is_empty() && !has_passed_sockets {
            let endpoints = vec![Endpoint::Inet(DEFAULT_ADDR)];
            return Ok(vec![Place { endpoints, is_proxied: false }]);
        }
        let resolve = |ListenAddr { addr, is_proxied }: &ListenAddr| {
            Ok(Place { endpoints: addr.resolve()?, is_proxied: *is_proxied })
        };
        self.listen.iter().map(resolve).collect()
    }

    /// Listens on the sockets that were passed and in all places, and returns the files of Unix sockets.
    pub(super) fn listen(
        &self,
        server: &mut Server<Listener, impl Observer>,
        passed: Vec<Listener>,
        places: &[Place],
    ) -> io::Result<Vec<SocketFile>> {
        let options = |at: &Endpoint| ListenOptions {
            backlog: self.backlog,
            reuse_port: self.reuse_port,
            only_v6: leaves_ipv4(at, places.iter().flat_map(|place| &place.endpoints)),
            stall_timeout: Some(self.stall_timeout),
            unix_mode: self.unix_mode,
        };
        // The server logs the addresses after all of them are bound: if one fails, it listens at none.
        let mut listeners: Vec<_> = passed.into_iter().map(|listener| (listener, false)).collect();
        for Place { endpoints, is_proxied } in places {
            let (bound, missing) = Listener::bind_all(endpoints, options)?;
            missing.iter().for_each(|e| warn!("{e}"));
            listeners.extend(bound.into_iter().map(|listener| (listener, *is_proxied)));
        }
        let files = listeners.iter_mut().filter_map(|(listener, _)| listener.take_file()).collect();
        let at = |(listener, is_proxied): (Listener, bool)| {
            let at = ListenAt { at: listener.local_addr()?, is_proxied };
            Ok((listener, at))
        };
        let bound = listeners.into_iter().map(at).collect::<io::Result<Vec<_>>>()?;
        let mut plain = bound.iter().filter(|(_, at)| !at.is_proxied);
        let hint = plain.next().and_then(|(_, at)| hint(&at.at));
        let hint = hint.filter(|_| stderr().is_terminal());
        server.listen(bound)?;
        hint.into_iter().for_each(|hint| info!("{hint}"));
        Ok(files)
    }
}

/// Whether a listener leaves IPv4 to another one. `[::]` takes IPv4 too, as users expect, unless an IPv4 address with
/// the same port is given: the server could not bind that one.
fn leaves_ipv4<'a>(at: &Endpoint, mut all: impl Iterator<Item = &'a Endpoint>) -> bool {
    let Endpoint::Inet(SocketAddr::V6(at)) = at else { return false };
    // With port 0, each listener gets a port of its own.
    let is_rival = |other: &Endpoint| matches!(other, Endpoint::Inet(SocketAddr::V4(v4)) if v4.port() == at.port());
    at.ip().is_unspecified() && at.port() != 0 && all.any(is_rival)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Failed when `[::]:0` left IPv4 to a listener that has another port.
    #[test]
    fn the_unspecified_ipv6_address_leaves_ipv4_only_to_a_listener_of_its_port() {
        let inet = |text: &str| Endpoint::Inet(text.parse().unwrap());
        for (at, other, expected) in [
            ("[::]:7", "0.0.0.0:7", true),
            ("[::]:7", "127.0.0.1:7", true),
            ("[::]:7", "127.0.0.1:8", false),
            ("[::]:7", "[::1]:7", false),
            ("[::1]:7", "127.0.0.1:7", false),
            ("[::]:0", "0.0.0.0:0", false),
        ] {
            assert_eq!(leaves_ipv4(&inet(at), [inet(other)].iter()), expected, "{at} and {other}");
        }
    }
}
