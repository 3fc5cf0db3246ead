//! What `resound serve` listens on: the sockets that it was passed, and those that it binds.

use std::io::{self, IsTerminal, stderr};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use log::{info, warn};

use super::Serve;
use super::hint::hint;
use crate::cli::address::ListenAddr;
use crate::net::{Endpoint, Listen, ListenOptions, Listener, SocketFile, UdpSocket};
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

    /// Listens in all places.
    ///
    /// # Errors
    ///
    /// If the system refuses one of them.
    pub(super) fn bind(&self, places: &[Place]) -> io::Result<Bound> {
        let options = |at: &Endpoint| ListenOptions {
            backlog: self.backlog,
            reuse_port: self.reuse_port,
            only_v6: leaves_ipv4(at, places.iter().flat_map(|place| &place.endpoints)),
            stall_timeout: Some(self.stall_timeout),
            unix_mode: self.unix_mode,
        };
        let mut all = Bound::default();
        for Place { endpoints, is_proxied } in places {
            if let [Endpoint::Udp(_), ..] = endpoints[..] {
                all.datagrams.extend(bound(UdpSocket::bind_all(endpoints, options))?);
            } else {
                let bound = bound(Listener::bind_all(endpoints, options))?;
                all.listeners.extend(bound.into_iter().map(|listener| (listener, *is_proxied)));
            }
        }
        Ok(all)
    }

    /// Lets the server echo on the sockets that it was passed and on those that it bound, and returns the files of Unix
    /// sockets. Logs the addresses: all of them are bound by now.
    ///
    /// # Errors
    ///
    /// If the system cannot register a socket, or does not report its address.
    pub(super) fn listen<L: Listen>(
        &self,
        server: &mut Server<L, impl Observer>,
        Bound { mut listeners, datagrams }: Bound,
        listen: impl Fn(Listener, &Endpoint) -> L,
    ) -> io::Result<Vec<SocketFile>> {
        let files = listeners.iter_mut().filter_map(|(listener, _)| listener.take_file()).collect();
        let at = |(listener, is_proxied): (Listener, bool)| {
            let at = ListenAt { at: listener.local_addr()?, is_proxied };
            Ok((listener, at))
        };
        let listeners = listeners.into_iter().map(at).collect::<io::Result<Vec<_>>>()?;
        let at = |socket: UdpSocket| socket.local_addr().map(|at| (socket, at));
        let datagrams = datagrams.into_iter().map(at).collect::<io::Result<Vec<_>>>()?;
        let hint = first_plain(&listeners, &datagrams).and_then(hint);
        let hint = hint.filter(|_| stderr().is_terminal());
        let listeners: Vec<_> =
            listeners.into_iter().map(|(listener, at)| (listen(listener, &at.at), at)).collect();
        server.listen(listeners)?;
        server.echo_datagrams(datagrams, self.udp_rate)?;
        hint.into_iter().for_each(|hint| info!(event = "hint"; "{hint}"));
        Ok(files)
    }
}

/// The sockets to echo on.
#[derive(Default)]
pub(super) struct Bound {
    /// Each with whether it is proxied.
    listeners: Vec<(Listener, bool)>,
    datagrams: Vec<UdpSocket>,
}

impl Bound {
    /// Puts the sockets that the server was passed before those that it bound.
    pub(super) fn after(mut self, listeners: Vec<Listener>, datagrams: Vec<UdpSocket>) -> Self {
        self.listeners.splice(..0, listeners.into_iter().map(|listener| (listener, false)));
        self.datagrams.splice(..0, datagrams);
        self
    }
}

/// What was bound. Logs which addresses this machine does not have.
fn bound<T>(outcome: io::Result<(Vec<T>, Vec<io::Error>)>) -> io::Result<Vec<T>> {
    let (sockets, missing) = outcome?;
    missing.iter().for_each(|e| warn!(event = "not_listening"; "{e}"));
    Ok(sockets)
}

/// The first address that a client reaches by itself.
fn first_plain<'a>(
    listeners: &'a [(Listener, ListenAt)],
    datagrams: &'a [(UdpSocket, Endpoint)],
) -> Option<&'a Endpoint> {
    let mut plain = listeners.iter().filter(|(_, at)| !at.is_proxied).map(|(_, at)| &at.at);
    plain.next().or(datagrams.first().map(|(_, at)| at))
}

/// Whether a listener leaves IPv4 to another one. `[::]` takes IPv4 too, as users expect, unless an IPv4 address with
/// the same port is given: the server could not bind that one.
fn leaves_ipv4<'a>(at: &Endpoint, mut all: impl Iterator<Item = &'a Endpoint>) -> bool {
    let is_rival = |other: &Endpoint| match (at, other) {
        (Endpoint::Inet(at), Endpoint::Inet(other)) => takes_ipv4_of(*at, *other),
        (Endpoint::Udp(at), Endpoint::Udp(other)) => takes_ipv4_of(at.addr(), other.addr()),
        _ => false,
    };
    all.any(is_rival)
}

fn takes_ipv4_of(at: SocketAddr, other: SocketAddr) -> bool {
    // With port 0, each listener gets a port of its own.
    let has_same_port = at.port() != 0 && at.port() == other.port();
    at.is_ipv6() && at.ip().is_unspecified() && other.is_ipv4() && has_same_port
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Failed when `[::]:0` left IPv4 to a listener that has another port.
    #[test]
    fn the_unspecified_ipv6_address_leaves_ipv4_only_to_a_listener_of_its_port() {
        let endpoint = |text: &str| match text.strip_prefix("udp:") {
            Some(addr) => Endpoint::udp(addr.parse().unwrap()),
            None => Endpoint::Inet(text.parse().unwrap()),
        };
        for (at, other, expected) in [
            ("[::]:7", "0.0.0.0:7", true),
            ("[::]:7", "127.0.0.1:7", true),
            ("[::]:7", "127.0.0.1:8", false),
            ("[::]:7", "[::1]:7", false),
            ("[::1]:7", "127.0.0.1:7", false),
            ("[::]:0", "0.0.0.0:0", false),
            // TCP and UDP have ports of their own.
            ("udp:[::]:7", "0.0.0.0:7", false),
            ("[::]:7", "udp:0.0.0.0:7", false),
            ("udp:[::]:7", "udp:0.0.0.0:7", true),
        ] {
            let leaves = leaves_ipv4(&endpoint(at), [endpoint(other)].iter());
            assert_eq!(leaves, expected, "{at} and {other}");
        }
    }
}
