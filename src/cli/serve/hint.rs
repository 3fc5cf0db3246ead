//! The commands that try the server from another terminal.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::net::Endpoint;

/// How to try the server from another terminal.
pub(super) fn hint(at: &Endpoint) -> String {
    let (addr, other) = match at {
        Endpoint::Inet(addr) => {
            let addr = reachable(*addr).to_string();
            let nc = format!("nc {}", host_and_port(&addr));
            (addr, nc)
        }
        Endpoint::Udp(addr) => {
            let addr = reachable(*addr).to_string();
            return format!("try it from another terminal: nc -u {}", host_and_port(&addr));
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
    format!("try it from another terminal: resound connect {addr}, or {other}")
}

/// An address as two arguments. The zone of an IPv6 address stays with it.
fn host_and_port(addr: &str) -> String {
    let (host, port) = addr.rsplit_once(':').unwrap_or((addr, ""));
    format!("{} {port}", host.trim_matches(['[', ']']))
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

    #[test]
    fn the_hint_names_an_address_that_clients_can_connect_to() {
        for (at, connect, nc) in [
            ("127.0.0.1:7", "127.0.0.1:7", "nc 127.0.0.1 7"),
            ("0.0.0.0:7", "127.0.0.1:7", "nc 127.0.0.1 7"),
            ("[::]:7", "[::1]:7", "nc ::1 7"),
            ("[fe80::1%2]:7", "[fe80::1%2]:7", "nc fe80::1%2 7"),
        ] {
            let at = Endpoint::Inet(at.parse().unwrap());
            let expected =
                format!("try it from another terminal: resound connect {connect}, or {nc}");
            assert_eq!(hint(&at), expected);
        }
        let unix = hint(&Endpoint::Unix(Some(std::path::Path::new("/run/echo").into())));
        assert!(unix.ends_with("resound connect unix:/run/echo, or nc -U /run/echo"), "{unix}");
    }

    #[test]
    fn the_hint_for_datagrams_names_a_client_that_sends_them() {
        for (at, nc) in [("0.0.0.0:7", "nc -u 127.0.0.1 7"), ("[fe80::1%2]:7", "nc -u fe80::1%2 7")]
        {
            let hint = hint(&Endpoint::Udp(at.parse().unwrap()));
            assert_eq!(hint, format!("try it from another terminal: {nc}"));
        }
    }

    #[test]
    fn the_hint_for_an_abstract_socket_names_socat() {
        let said = hint(&Endpoint::Abstract((*b"echo").into()));
        assert!(
            said.ends_with("resound connect unix:@echo, or socat - ABSTRACT-CONNECT:echo"),
            "{said}"
        );
    }
}
