//! Binds the listeners of `resound serve`, and hands them to its server.

use std::io::{self, IsTerminal, stderr};
use std::net::SocketAddr;

use log::{info, warn};

use super::Serve;
use super::hint::hint;
use crate::net::{Endpoint, ListenOptions, Listener, SocketFile};
use crate::observe::Observer;
use crate::server::Server;

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
        let (mut bound, mut files) = (Vec::new(), Vec::new());
        for endpoints in endpoints {
            let (listeners, missing) = Listener::bind_all(endpoints, options)?;
            missing.iter().for_each(|e| warn!("{e}"));
            for mut listener in listeners {
                files.extend(listener.take_file());
                let at = listener.local_addr()?;
                bound.push((listener, at));
            }
        }
        let hint = bound.first().map(|(_, at)| hint(at)).filter(|_| stderr().is_terminal());
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
