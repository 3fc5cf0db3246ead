//! Socket options. If the system does not know one, the socket works without it.

use std::io;
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Socket, TcpKeepalive};

/// A silent TCP peer is probed after this long...
pub(super) const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// ...then this often...
pub(super) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// ...and given up after this many unanswered probes. Until then, a short fault of the network or the restart of
/// a firewall ends no connection.
pub(super) const KEEPALIVE_PROBES: u32 = 6;
/// The time for which a peer can be silent before it is given up.
pub(super) const KEEPALIVE_TOTAL: Duration = Duration::from_secs(60 + 6 * 10);

/// Ignores the error if the system does not know an option: a server without the option is better than no server.
pub(super) fn if_known(set: io::Result<()>) -> io::Result<()> {
    let unknown = [Errno::NOPROTOOPT, Errno::INVAL, Errno::OPNOTSUPP, Errno::NOSYS, Errno::PERM];
    match set {
        Err(e) if Errno::from_io_error(&e).is_some_and(|errno| unknown.contains(&errno)) => Ok(()),
        set => set,
    }
}

pub(super) fn set_tcp_options(socket: &Socket) -> io::Result<()> {
    // A small echo must not wait for the acknowledgement of earlier ones.
    if_known(socket.set_tcp_nodelay(true))?;
    // One by one: if the system does not know one, it must still set the others.
    for part in [
        TcpKeepalive::new().with_time(KEEPALIVE_IDLE),
        TcpKeepalive::new().with_interval(KEEPALIVE_INTERVAL),
        TcpKeepalive::new().with_retries(KEEPALIVE_PROBES),
    ] {
        if_known(socket.set_tcp_keepalive(&part))?;
    }
    Ok(())
}

/// Makes the kernel give up a peer that acknowledges nothing, or whose window stays shut. The server cannot see
/// that: it sees only whether the kernel takes its bytes.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn set_user_timeout(socket: &Socket, stall: Option<Duration>) -> io::Result<()> {
    if_known(socket.set_tcp_user_timeout(user_timeout(stall)))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn set_user_timeout(_: &Socket, _: Option<Duration>) -> io::Result<()> {
    Ok(())
}

/// The `TCP_USER_TIMEOUT` for a stall timeout. Linux counts it instead of the keepalive probes: tcp(7). So it is the
/// time of the probes, or a vanished idle peer would keep its connection as long as a stalled one. For a longer
/// `stall` there is none: it would end the connection of a peer that may still pause.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn user_timeout(stall: Option<Duration>) -> Option<Duration> {
    stall.filter(|stall| *stall <= KEEPALIVE_TOTAL).map(|_| KEEPALIVE_TOTAL)
}

/// Lets connect(2) choose the port, if the system can. bind(2) would choose a port that no other connection of this
/// address has, to any peer. So an address would have 28,000 connections in all, instead of 28,000 to each peer.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn bind_without_port(socket: &Socket) {
    use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
    let _ = setsockopt(socket, IpBindAddressNoPort, &true);
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn bind_without_port(_: &Socket) {}

/// The datagrams that the kernel has dropped from the receive queue of a socket: `SK_MEMINFO_DROPS`, which counts since
/// Linux 4.12 what `SO_RXQ_OVFL` reports beside a datagram. To ask costs nothing per datagram, and also tells of what was
/// dropped after the last one that was received.
#[cfg(target_os = "linux")]
pub(crate) fn kernel_drops(socket: &impl std::os::fd::AsFd) -> Option<u32> {
    nix::sys::socket::getsockopt(socket, memory_info::MemoryInfo).ok().map(|info| info[8])
}

#[cfg(target_os = "linux")]
mod memory_info {
    // The macro expects it by this name.
    use nix::libc;
    use nix::sys::socket::sockopt::GetStruct;

    /// Nine counts of a socket's memory: include/uapi/linux/sock_diag.h.
    #[derive(Clone, Copy)]
    pub(super) struct MemoryInfo;

    nix::getsockopt_impl!(
        MemoryInfo,
        libc::SOL_SOCKET,
        libc::SO_MEMINFO,
        [u32; 9],
        GetStruct<[u32; 9]>
    );
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn kernel_drops(_: &impl std::os::fd::AsFd) -> Option<u32> {
    None
}

/// Makes the kernel refuse descriptors that peers of this listener pass, if it can (Linux 6.16). A server that reads
/// one holds it. If it is a TCP socket that lingers (`SO_LINGER`), to close it can block for as long as its owner
/// chose. On an older kernel, only the permissions of the socket's file keep such peers away.
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
