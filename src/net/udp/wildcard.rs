//! Datagrams of a socket that is bound to all addresses: with each, the address that it was sent to.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};

use nix::cmsg_space;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt,
    sockopt,
};
use socket2::SockRef;

use super::{LocalAddr, Received, if_known};

/// For control messages that the maker of an inherited socket asked for, such as timestamps.
const OTHER_BYTES: usize = 256;

/// Room for the control messages of one datagram.
#[derive(Debug)]
pub(super) struct Wildcard(Vec<u8>);

/// What the control messages say of a datagram.
#[derive(Clone, Copy, Default)]
struct PacketInfo {
    to: Option<LocalAddr>,
    is_to_many: bool,
}

impl Wildcard {
    /// Lets the kernel report the address that each datagram was sent to.
    pub(super) fn new(socket: &impl AsFd, is_ipv6: bool) -> io::Result<Self> {
        if is_ipv6 {
            setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
            // A route of type local gives the machine a whole network. The kernel takes an IPv6 address of it as the source
            // of an answer only with this option: ip(7). It is always one that the client has asked.
            if_known(SockRef::from(socket).set_freebind_v6(true))?;
        }
        // An IPv6 socket receives IPv4 datagrams too. Only this option says which of them are broadcast.
        setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
        Ok(Self(cmsg_space!(in_pktinfo, in6_pktinfo, [u8; OTHER_BYTES])))
    }

    pub(super) fn receive(
        &mut self,
        socket: &impl AsRawFd,
        buffer: &mut [u8],
    ) -> io::Result<Received> {
        let mut parts = [IoSliceMut::new(buffer)];
        let (fd, no_flags) = (socket.as_raw_fd(), MsgFlags::empty());
        let message = recvmsg::<SockaddrStorage>(fd, &mut parts, Some(&mut self.0), no_flags)?;
        let PacketInfo { to, is_to_many } = message
            .cmsgs()
            .map(|messages| messages.fold(PacketInfo::default(), read))
            .unwrap_or_default();
        let from = message.address.as_ref().and_then(std_addr);
        Ok(Received {
            len: message.bytes,
            is_truncated: message.flags.contains(MsgFlags::MSG_TRUNC),
            // UDP always has a sender. This one gets no answer.
            from: from.unwrap_or((Ipv4Addr::UNSPECIFIED, 0).into()),
            to,
            is_to_many,
        })
    }
}

/// Sends a datagram from one of this machine's addresses.
pub(super) fn send(
    socket: &impl AsRawFd,
    bytes: &[u8],
    to: SocketAddr,
    from: LocalAddr,
) -> io::Result<usize> {
    let (fd, parts, no_flags) = (socket.as_raw_fd(), [IoSlice::new(bytes)], MsgFlags::empty());
    let to = SockaddrStorage::from(to);
    let send = |from| sendmsg(fd, &parts, &[from], no_flags, Some(&to));
    Ok(match from.ip {
        // The routes choose the interface.
        IpAddr::V4(ip) => send(ControlMessage::Ipv4PacketInfo(&in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: in_addr { s_addr: u32::from_ne_bytes(ip.octets()) },
            ipi_addr: in_addr { s_addr: 0 },
        })),
        // A link-local address means something only with its interface.
        IpAddr::V6(ip) => send(ControlMessage::Ipv6PacketInfo(&in6_pktinfo {
            ipi6_addr: in6_addr { s6_addr: ip.octets() },
            ipi6_ifindex: if ip.is_unicast_link_local() { from.interface } else { 0 },
        })),
    }?)
}

/// Adds what a control message says. An IPv4 datagram of an IPv6 socket comes with both kinds; that of IPv4 says more.
fn read(so_far: PacketInfo, message: ControlMessageOwned) -> PacketInfo {
    match message {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            let [local, header] = [info.ipi_spec_dst, info.ipi_addr]
                .map(|addr| Ipv4Addr::from(addr.s_addr.to_ne_bytes()));
            let interface = u32::try_from(info.ipi_ifindex).unwrap_or_default();
            let to = Some(LocalAddr { ip: local.into(), interface });
            PacketInfo { to, is_to_many: local != header }
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            let ip = Ipv6Addr::from(info.ipi6_addr.s6_addr);
            if ip.to_ipv4_mapped().is_some() {
                return so_far;
            }
            let to = Some(LocalAddr { ip: ip.into(), interface: info.ipi6_ifindex });
            PacketInfo { to, is_to_many: ip.is_multicast() }
        }
        _ => so_far,
    }
}

fn std_addr(addr: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = addr.as_sockaddr_in().map(|addr| SocketAddrV4::from(*addr).into());
    v4.or_else(|| addr.as_sockaddr_in6().map(|addr| SocketAddrV6::from(*addr).into()))
}
