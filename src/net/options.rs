//! Socket options.

use socket2::Socket;

/// Lets connect(2) choose the port, if the system can. bind(2) would take one that no other connection of
/// that address has, to whichever peer; so one address would have 28,000 connections, instead of 28,000 to
/// each peer.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn bind_without_port(socket: &Socket) {
    use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
    let _ = setsockopt(socket, IpBindAddressNoPort, &true);
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn bind_without_port(_: &Socket) {}
