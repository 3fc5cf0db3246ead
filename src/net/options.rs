//! Socket options. One that the system does not know is done without.

use std::io;
use std::time::Duration;

use rustix::io::Errno;
use socket2::{SockRef, Socket, TcpKeepalive};

/// A silent TCP peer is probed after this long...
pub(super) const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// ...then this often...
pub(super) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// ...and given up after this many unanswered probes, so that a passing fault of the network, or a
/// firewall's restart, ends nothing.
pub(super) const KEEPALIVE_PROBES: u32 = 6;
/// How long a peer can be silent before it is given up, then.
pub(super) const KEEPALIVE_TOTAL: Duration = Duration::from_secs(60 + 6 * 10);

/// Ignores that the system does not know an option: a server without it is better than none.
pub(super) fn if_known(set: io::Result<()>) -> io::Result<()> {
    let unknown = [Errno::NOPROTOOPT, Errno::INVAL, Errno::OPNOTSUPP, Errno::NOSYS, Errno::PERM];
    match set {
        Err(e) if Errno::from_io_error(&e).is_some_and(|errno| unknown.contains(&errno)) => Ok(()),
        set => set,
    }
}

pub(super) fn set_tcp_options(socket: SockRef<'_>) -> io::Result<()> {
    // A small echo must not wait until earlier ones have been acknowledged.
    if_known(socket.set_tcp_nodelay(true))?;
    // One by one: one that is not known must not keep the others from being set.
    for part in [
        TcpKeepalive::new().with_time(KEEPALIVE_IDLE),
        TcpKeepalive::new().with_interval(KEEPALIVE_INTERVAL),
        TcpKeepalive::new().with_retries(KEEPALIVE_PROBES),
    ] {
        if_known(socket.set_tcp_keepalive(&part))?;
    }
    Ok(())
}

/// Has the kernel give up a peer that acknowledges nothing, or whose window stays shut: the server itself
/// sees only what the kernel would not take.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn set_user_timeout(socket: &Socket, stall: Option<Duration>) -> io::Result<()> {
    if_known(socket.set_tcp_user_timeout(user_timeout(stall)))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn set_user_timeout(_: &Socket, _: Option<Duration>) -> io::Result<()> {
    Ok(())
}

/// If there is a `TCP_USER_TIMEOUT`, Linux goes by it instead of the number of keepalive probes: tcp(7). So it
/// is never another time than theirs, which would let a vanished idle peer stay for as long as a stalled
/// one may. For a longer `stall` there is none: it would cut off a peer that may still pause.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn user_timeout(stall: Option<Duration>) -> Option<Duration> {
    stall.filter(|stall| *stall <= KEEPALIVE_TOTAL).map(|_| KEEPALIVE_TOTAL)
}

/// Lets connect(2) choose the port, if the system can. bind(2) would take one that no other connection of
/// that address has, to any peer; so one address would have 28,000 connections, instead of 28,000 to
/// each peer.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn bind_without_port(socket: &Socket) {
    use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
    let _ = setsockopt(socket, IpBindAddressNoPort, &true);
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn bind_without_port(_: &Socket) {}

/// Has the kernel refuse descriptors that peers of this listener pass, if it can (Linux 6.16). To read one is
/// to hold it, and to drop the last hold on a TCP socket that lingers (`SO_LINGER`) can block for as long as its
/// owner likes. On an older kernel only the mode of the socket's file keeps such peers away.
#[cfg(all(target_os = "linux", not(any(target_arch = "sparc", target_arch = "sparc64"))))]
pub(super) fn refuse_descriptors(listener: &Socket) {
    let _ = nix::sys::socket::setsockopt(listener, pass_rights::PassRights, &false);
}

#[cfg(not(all(target_os = "linux", not(any(target_arch = "sparc", target_arch = "sparc64")))))]
pub(super) fn refuse_descriptors(_: &Socket) {}

#[cfg(all(target_os = "linux", not(any(target_arch = "sparc", target_arch = "sparc64"))))]
mod pass_rights {
    use std::ffi::c_int;

    // The macro expects it by this name.
    use nix::libc;
    use nix::sys::socket::sockopt::SetBool;

    /// include/uapi/asm-generic/socket.h; no library has it yet.
    const SO_PASSRIGHTS: c_int = 83;

    #[derive(Clone, Copy)]
    pub(super) struct PassRights;

    nix::setsockopt_impl!(PassRights, libc::SOL_SOCKET, SO_PASSRIGHTS, bool, SetBool);
}
