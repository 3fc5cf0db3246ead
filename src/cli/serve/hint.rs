//! The commands that try the server from another terminal.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::net::Endpoint;

/// How to try the server from another terminal.
pub(super) fn hint(at: &Endpoint) -> String {
    let (addr, other) = match at {
        Endpoint::Inet(addr) => {
            let addr = reachable(*addr).to_string();
            // The zone of an IPv6 address stays with it.
            let (host, port) = addr.rsplit_once(':').unwrap_or((&addr, ""));
            let nc = format!("nc {} {port}", host.trim_matches(['[', ']']));
            (addr, nc)
        }
        Endpoint::Unix(_) => {
            let addr = at.to_string();
            let nc = format!("nc -U {}", addr.trim_start_matches("unix:"));
            (addr, nc)
        }
        Endpoint::Abstract(_) => {
            let addr = at.to_string();
            let socat = format!("socat - ABSTRACT-CONNECT:{}", addr.trim_start_matches("unix:@"));
            (addr, socat)
        }
    };
    match cfg!(feature = "clients") {
        true => format!("try it from another terminal: resound connect {addr}, or {other}"),
        false => format!("try it from another terminal: {other}"),
    }
}

/// The loopback address for a server that listens on every address.
fn reachable(mut addr: SocketAddr) -> SocketAddr {
    if addr.ip().is_unspecified() {
        addr.set_ip(match addr.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    addr
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(addr: &str, other: &str) -> String {
        let client = match cfg!(feature = "clients") {
            true => format!("resound connect {addr}, or "),
            false => String::new(),
        };
        format!("try it from another terminal: {client}{other}")
    }

    #[test]
    fn the_hint_names_an_address_that_clients_can_connect_to() {
        for (at, connect, nc) in [
            ("127.0.0.1:7", "127.0.0.1:7", "nc 127.0.0.1 7"),
            ("0.0.0.0:7", "127.0.0.1:7", "nc 127.0.0.1 7"),
            ("[::]:7", "[::1]:7", "nc ::1 7"),
            ("[fe80::1%2]:7", "[fe80::1%2]:7", "nc fe80::1%2 7"),
        ] {
            let at = Endpoint::Inet(at.parse().unwrap());
            assert_eq!(hint(&at), expected(connect, nc));
        }
        let unix = hint(&Endpoint::Unix(Some(std::path::Path::new("/run/echo").into())));
        assert_eq!(unix, expected("unix:/run/echo", "nc -U /run/echo"));
    }

    #[test]
    fn the_hint_for_an_abstract_socket_names_socat() {
        let said = hint(&Endpoint::Abstract((*b"echo").into()));
        assert_eq!(said, expected("unix:@echo", "socat - ABSTRACT-CONNECT:echo"));
    }
}
