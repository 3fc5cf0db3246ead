//! Binds the listeners of `resound serve`, and hands them to its server.

use std::io::{self, IsTerminal, stderr};
use std::net::SocketAddr;

use log::{info, warn};

use super::Serve;
use super::hint::hint;
use crate::cli::address::ListenAddr;
use crate::net::{Endpoint, ListenOptions, Listener, SocketFile, UdpSocket};
use crate::observe::Observer;
use crate::server::{ListenAt, Server};

impl Serve {
    /// Listens at all endpoints, and returns the files of Unix sockets.
    pub(super) fn listen(
        &self,
        server: &mut Server<Listener, impl Observer>,
        endpoints: &[Vec<Endpoint>],
    ) -> io::Result<Vec<SocketFile>> {
        let options = |at: &Endpoint| ListenOptions {
            backlog: self.backlog,
            reuse_port: self.reuse_port,
            only_v6: leaves_ipv4(at, endpoints.iter().flatten()),
            stall_timeout: Some(self.stall_timeout),
            unix_mode: self.unix_mode,
        };
        // The server logs the addresses after all of them are bound: if one fails, it listens at none.
        let (mut listeners, mut datagrams, mut files) = (Vec::new(), Vec::new(), Vec::new());
        for (ListenAddr { is_proxied, .. }, endpoints) in self.listen.iter().zip(endpoints) {
            if let [Endpoint::Udp(_), ..] = endpoints[..] {
                for socket in bound(UdpSocket::bind_all(endpoints, options))? {
                    let at = socket.local_addr()?;
                    datagrams.push((socket, at));
                }
                continue;
            }
            for mut listener in bound(Listener::bind_all(endpoints, options))? {
                files.extend(listener.take_file());
                let at = listener.local_addr()?;
                listeners.push((listener, ListenAt { at, is_proxied: *is_proxied }));
            }
        }
        let mut plain = listeners.iter().filter(|(_, at)| !at.is_proxied).map(|(_, at)| &at.at);
        let first = plain.next().or(datagrams.first().map(|(_, at)| at));
        let hint = first.and_then(hint).filter(|_| stderr().is_terminal());
        server.listen(listeners)?;
        server.echo_datagrams(datagrams, self.udp_rate)?;
        hint.into_iter().for_each(|hint| info!("{hint}"));
        Ok(files)
    }
}

/// What was bound. Logs which addresses this machine does not have.
fn bound<T>(outcome: io::Result<(Vec<T>, Vec<io::Error>)>) -> io::Result<Vec<T>> {
    let (sockets, missing) = outcome?;
    missing.iter().for_each(|e| warn!("{e}"));
    Ok(sockets)
}

/// Whether a listener leaves IPv4 to another one. `[::]` takes IPv4 too, as users expect, unless an IPv4 address with
/// the same port is given: the server could not bind that one.
fn leaves_ipv4<'a>(at: &Endpoint, mut all: impl Iterator<Item = &'a Endpoint>) -> bool {
    let is_rival = |other: &Endpoint| match (at, other) {
        // With port 0, each listener gets a port of its own.
        (Endpoint::Inet(SocketAddr::V6(at)), Endpoint::Inet(SocketAddr::V4(other)))
        | (Endpoint::Udp(SocketAddr::V6(at)), Endpoint::Udp(SocketAddr::V4(other))) => {
            at.ip().is_unspecified() && at.port() != 0 && at.port() == other.port()
        }
        _ => false,
    };
    all.any(is_rival)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Failed when `[::]:0` left IPv4 to a listener that has another port.
    #[test]
    fn the_unspecified_ipv6_address_leaves_ipv4_only_to_a_listener_of_its_port() {
        let endpoint = |text: &str| match text.strip_prefix("udp:") {
            Some(addr) => Endpoint::Udp(addr.parse().unwrap()),
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
