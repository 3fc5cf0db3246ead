//! The commands that try the server from another terminal.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::net::Endpoint;
use crate::text::shell::is_plain;

/// How to try the server from another terminal. There is no hint if a path or a name is not a plain word for each
/// program that the hint names.
pub(super) fn hint(at: &Endpoint) -> Option<String> {
    let addr = match at {
        Endpoint::Inet(addr) => reachable(*addr).to_string(),
        Endpoint::Udp(addr) => reachable(addr.addr()).to_string(),
        Endpoint::Unix(_) | Endpoint::Abstract(_) => at.to_string(),
    };
    let other = match at {
        Endpoint::Inet(_) => format!("nc {}", host_and_port(&addr)?),
        Endpoint::Udp(_) => format!("nc -u {}", host_and_port(&addr)?),
        Endpoint::Unix(_) => {
            let path = addr.strip_prefix("unix:")?;
            // nc takes it for an option.
            let is_option = path.starts_with('-');
            (!is_option && is_plain(path)).then(|| format!("nc -U {path}"))?
        }
        Endpoint::Abstract(_) => {
            let name = addr.strip_prefix("unix:@")?;
            // What ends a name for socat.
            let is_cut = name.contains([':', ',']);
            (!is_cut && is_plain(name)).then(|| format!("socat - ABSTRACT-CONNECT:{name}"))?
        }
    };
    let client = match at {
        _ if !cfg!(feature = "clients") => String::new(),
        Endpoint::Udp(_) => format!("resound ping -c 3 udp:{addr}, or "),
        _ => format!("resound connect {addr}, or "),
    };
    Some(format!("try it from another terminal: {client}{other}"))
}

/// An address as two arguments. The zone of an IPv6 address stays with it.
fn host_and_port(addr: &str) -> Option<String> {
    let (host, port) = addr.rsplit_once(':')?;
    Some(format!("{} {port}", host.trim_matches(['[', ']'])))
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
    use std::path::Path;

    use super::*;

    /// The hint with a client's command, which the server alone does not name, and another program's.
    fn said(client: &str, other: &str) -> Option<String> {
        let client = match cfg!(feature = "clients") {
            true => format!("{client}, or "),
            false => String::new(),
        };
        Some(format!("try it from another terminal: {client}{other}"))
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
            assert_eq!(hint(&at), said(&format!("resound connect {connect}"), nc));
        }
        for (at, addr, other) in [
            (unix("/run/echo"), "unix:/run/echo", "nc -U /run/echo"),
            // Failed when the hint was nc -U s: the prefix was removed as often as it stood there.
            (unix("unix:s"), "unix:unix:s", "nc -U unix:s"),
            (unix("./-s"), "unix:./-s", "nc -U ./-s"),
            (unnamed("echo"), "unix:@echo", "socat - ABSTRACT-CONNECT:echo"),
        ] {
            assert_eq!(hint(&at), said(&format!("resound connect {addr}"), other));
        }
        // Failed when the hint was ABSTRACT-CONNECT:s.
        assert_eq!(hint(&unnamed("unix:@s")), None);
    }

    #[test]
    fn the_hint_for_datagrams_names_clients_that_send_them() {
        for (at, ping, nc) in [
            ("0.0.0.0:7", "udp:127.0.0.1:7", "nc -u 127.0.0.1 7"),
            ("[fe80::1%2]:7", "udp:[fe80::1%2]:7", "nc -u fe80::1%2 7"),
        ] {
            let at = Endpoint::udp(at.parse().unwrap());
            assert_eq!(hint(&at), said(&format!("resound ping -c 3 {ping}"), nc));
        }
    }

    /// Failed when a shell took the two commands in another way than the hint meant, or could not take them.
    #[test]
    fn no_hint_names_what_a_shell_or_another_program_would_change() {
        for path in ["/run/a b", "/run/a'b", "$HOME/s", "/run/*", "~/s", "/run/a\nb", "-s", "a;b"] {
            assert_eq!(hint(&unix(path)), None, "{path}");
        }
        for name in ["a b", "a(b)", "a,b", "a:b", "a\0b"] {
            assert_eq!(hint(&unnamed(name)), None, "{name}");
        }
    }

    fn unix(path: &str) -> Endpoint {
        Endpoint::Unix(Some(Path::new(path).into()))
    }

    fn unnamed(name: &str) -> Endpoint {
        Endpoint::Abstract(name.as_bytes().into())
    }
}
