//! Addresses of this machine to connect from.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};

use crate::cli::Failure;
use crate::client::load::source_name;
use crate::net::{Addr, reason};

/// Reads an IP address. A link-local one has its interface after it.
///
/// # Errors
///
/// What is wrong, and what would be right.
pub(super) fn source(text: &str) -> Result<SocketAddr, String> {
    let (ip, zone) = match text.split_once('%') {
        Some((ip, zone)) => (ip, Some(zone)),
        None => (text, None),
    };
    match (ip.parse(), zone) {
        (Err(_), _) => Err("write an IP address, such as 127.0.0.2, ::1 or fe80::1%eth0".into()),
        (Ok(IpAddr::V4(ip)), Some(_)) => {
            Err(format!("an IPv4 address has no interface: write {ip}"))
        }
        (Ok(IpAddr::V6(_)), Some(zone)) => scoped(text).ok_or_else(|| {
            format!("this machine has no interface {zone}: write one that `ip link` shows")
        }),
        (Ok(IpAddr::V6(ip)), None) if ip.is_unicast_link_local() => Err(zone_help(ip)),
        (Ok(ip), None) => Ok(SocketAddr::new(ip, 0)),
    }
}

/// Resolves the interface, which is a name or a number.
fn scoped(text: &str) -> Option<SocketAddr> {
    (text, 0).to_socket_addrs().ok()?.find(SocketAddr::is_ipv6)
}

fn zone_help(ip: Ipv6Addr) -> String {
    let interfaces = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let zone = interface_of(ip, &interfaces).unwrap_or("eth0");
    format!("a link-local address needs its interface: write {ip}%{zone}")
}

/// The interface that has an address, in the text of /proc/net/if_inet6, see proc_net(5).
fn interface_of(ip: Ipv6Addr, interfaces: &str) -> Option<&str> {
    let address = format!("{:032x}", u128::from(ip));
    let line = interfaces.lines().find(|line| line.starts_with(&address))?;
    line.split_whitespace().last()
}

/// Refuses addresses from which no connection to the server can begin.
///
/// # Errors
///
/// Which address is wrong, and why.
pub(super) fn check(sources: &[SocketAddr], server: &Addr) -> Result<(), Failure> {
    let Some(first) = sources.first() else { return Ok(()) };
    let refuse = |source: &SocketAddr, why: &str| {
        let source = source_name(source);
        Err(Failure::usage(&format!("--source-ip {source} cannot be used: {why}")))
    };
    let first_name = source_name(first);
    if let Some(other) = sources.iter().find(|source| source.is_ipv4() != first.is_ipv4()) {
        return refuse(other, &format!("{first_name} is of another family; give one or the other"));
    }
    match server {
        Addr::Inet { host, .. } | Addr::Udp { host, .. } => {
            let family = if first.is_ipv4() { "IPv4" } else { "IPv6" };
            // The addresses of a name are looked up when the run begins.
            if is_ipv4(host).is_some_and(|is_ipv4| is_ipv4 != first.is_ipv4()) {
                return refuse(first, &format!("{server} has no {family} address"));
            }
        }
        _ => return refuse(first, &format!("{server} has no IP address, so leave it out")),
    }
    for source in sources {
        // UDP has its own ports, so this takes none from a connection.
        match UdpSocket::bind(source) {
            Err(e) if e.kind() == ErrorKind::AddrNotAvailable => {
                return refuse(source, &format!("{}: give addresses of this machine", reason(&e)));
            }
            Err(e) => return refuse(source, &reason(&e)),
            Ok(_) => {}
        }
    }
    Ok(())
}

/// Whether a host that is written as an address is an IPv4 one.
fn is_ipv4(host: &str) -> Option<bool> {
    let ip = host.split_once('%').map_or(host, |(ip, _)| ip);
    ip.parse().ok().map(|ip: IpAddr| ip.is_ipv4())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_link_local_address_needs_an_interface() {
        assert_eq!(source("127.0.0.2"), Ok(SocketAddr::from(([127, 0, 0, 2], 0))));
        assert_eq!(source("::1"), Ok(SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 0)));
        for (text, words) in [
            ("nowhere", "write an IP address"),
            ("127.0.0.1%lo", "write 127.0.0.1"),
            ("fe80::1%nosuch0", "no interface nosuch0"),
            ("fe80::1", "write fe80::1%"),
            ("", "write an IP address"),
        ] {
            let error = source(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_interface_has_a_name_or_a_number() {
        for text in ["fe80::1%lo", "fe80::1%1"] {
            assert_eq!(source_name(&source(text).unwrap()), "fe80::1%1", "{text}");
        }
    }

    #[test]
    fn the_interface_of_an_address_is_found() {
        let text = "00000000000000000000000000000001 01 80 10 80       lo\n\
                    fe800000000000000042acfffe110002 05 40 20 80   wlan0\n";
        let ip = "fe80::42:acff:fe11:2".parse().unwrap();
        assert_eq!(interface_of(ip, text), Some("wlan0"));
        assert_eq!(interface_of("fe80::1".parse().unwrap(), text), None);
    }
}
