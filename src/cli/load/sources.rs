//! Whether the addresses to connect from can be that.

use std::net::{IpAddr, TcpListener};

use crate::cli::Failure;
use crate::net::{Addr, Endpoint, reason};

/// Refuses what no connection to the server could begin from.
///
/// # Errors
///
/// What is wrong with which address; or the server's name is unknown.
pub(super) fn check(sources: &[IpAddr], server: &Addr) -> Result<(), Failure> {
    let Some(first) = sources.first() else { return Ok(()) };
    let refuse = |source: &IpAddr, why: &str| {
        Err(Failure::usage(&format!("--source-ip {source} cannot be: {why}")))
    };
    if let Addr::Unix(_) | Addr::Abstract(_) = server {
        return refuse(first, &format!("{server} has no IP address, so leave it out"));
    }
    if let Some(other) = sources.iter().find(|source| source.is_ipv4() != first.is_ipv4()) {
        return refuse(other, &format!("{first} is of another family; give one or the other"));
    }
    let peers = server.resolve()?;
    if !peers.iter().any(|peer| is_alike(first, peer)) {
        let family = if first.is_ipv4() { "IPv4" } else { "IPv6" };
        return refuse(first, &format!("{server} has no {family} address"));
    }
    for source in sources {
        // Any port will do: the question is whether the address is this machine's.
        if let Err(e) = TcpListener::bind((*source, 0)) {
            return refuse(source, &format!("{}: give addresses of this machine", reason(&e)));
        }
    }
    Ok(())
}

fn is_alike(source: &IpAddr, peer: &Endpoint) -> bool {
    matches!(peer, Endpoint::Inet(peer) if peer.is_ipv4() == source.is_ipv4())
}
