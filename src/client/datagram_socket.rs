//! A UDP socket that exchanges datagrams with one server.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use mio::event::Source;
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use socket2::SockRef;

use super::dial::helped;
use crate::net::{Endpoint, cannot, kernel_drops, used_up};

/// The receive buffer to ask for, in bytes, so that a burst of echoes fits. The system may give less: socket(7),
/// `SO_RCVBUF`.
const RECEIVE_BUFFER: usize = 1 << 20;

/// A connected UDP socket. Each read receives one datagram, and each write sends one: udp(7).
#[derive(Debug)]
pub(super) struct DatagramSocket(UdpSocket);

impl DatagramSocket {
    /// A socket that is connected to `peer`, from `source` if the caller names an address of this machine. Its port is 0.
    /// To connect sends nothing.
    ///
    /// # Errors
    ///
    /// If this machine has no route to `peer`, or no free port. Also if `peer` stands for many hosts.
    pub(super) fn connect(peer: &Endpoint, source: Option<SocketAddr>) -> io::Result<Self> {
        let Endpoint::Udp(peer) = peer else { return Err(ErrorKind::InvalidInput.into()) };
        let peer = peer.addr();
        if peer.ip().to_canonical().is_multicast() {
            return Err(io::Error::other("it stands for many hosts, and no server answers there"));
        }
        let any = source.unwrap_or(match peer {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        });
        let socket = UdpSocket::bind(any).map_err(|e| match e.kind() {
            // The system chooses the port here, and has none left.
            ErrorKind::AddrInUse => used_up(any.ip()),
            _ => e,
        })?;
        socket.connect(peer).map_err(|e| match Errno::from_io_error(&e) {
            Some(Errno::ACCESS) => {
                io::Error::other("it is a broadcast address, or a route prohibits it")
            }
            _ => e,
        })?;
        // If the server is not up, its port may be given to this very socket, which would then echo perfectly.
        if socket.local_addr()? == socket.peer_addr()? {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        // Without it, the socket has the buffer that every socket has.
        let _ = SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER);
        Ok(Self(socket))
    }

    /// A socket that is connected to the first of these endpoints to which there is a route.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect) to the first.
    pub(super) fn connect_first(endpoints: &[Endpoint]) -> io::Result<(Self, Endpoint)> {
        let mut failure = None;
        for peer in endpoints {
            match Self::connect(peer, None) {
                Ok(socket) => return Ok((socket, peer.clone())),
                Err(e) => failure = failure.or(Some(helped(cannot("reach", peer, &e)))),
            }
        }
        Err(failure.unwrap_or_else(|| ErrorKind::NotFound.into()))
    }

    /// Whether something comes back within `limit`, for which this blocks. It sends an empty datagram.
    pub(super) fn gets_answer(self, limit: Duration) -> bool {
        let socket = std::net::UdpSocket::from(self.0);
        let ask = || {
            socket.set_nonblocking(false)?;
            socket.set_read_timeout(Some(limit))?;
            socket.send(&[])?;
            socket.recv(&mut [0])
        };
        ask().is_ok()
    }

    /// This end's address.
    ///
    /// # Errors
    ///
    /// An error of getsockname(2).
    pub(super) fn local_addr(&self) -> io::Result<Endpoint> {
        self.0.local_addr().map(Endpoint::udp)
    }

    /// Datagrams that this machine has dropped since its receive buffer was full, if the system counts them.
    pub(super) fn dropped(&self) -> Option<u32> {
        kernel_drops(&self.0)
    }
}

/// Whether the network reports that a datagram did not arrive: icmp(7).
pub(super) fn is_of_network(error: &io::Error) -> bool {
    use ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable)
}

/// Makes one error of what firewalls and routers report, since the errno of some of it reads as if this machine refused
/// something: ICMP types "prohibited" of IPv6 (RFC 4443) and "protocol unreachable" of IPv4 (RFC 792).
fn of_network(error: io::Error) -> io::Error {
    match Errno::from_io_error(&error) {
        Some(Errno::ACCESS) => {
            let line = "a firewall or a router prohibits it";
            io::Error::new(ErrorKind::HostUnreachable, line)
        }
        Some(Errno::NOPROTOOPT) => {
            io::Error::new(ErrorKind::HostUnreachable, "the host does not take UDP")
        }
        _ => error,
    }
}

impl Read for DatagramSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.recv(buffer).map_err(of_network)
    }
}

impl Write for DatagramSocket {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.0.send(datagram).map_err(of_network)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source for DatagramSocket {
    fn register(&mut self, r: &Registry, t: Token, i: Interest) -> io::Result<()> {
        self.0.register(r, t, i)
    }

    fn reregister(&mut self, r: &Registry, t: Token, i: Interest) -> io::Result<()> {
        self.0.reregister(r, t, i)
    }

    fn deregister(&mut self, r: &Registry) -> io::Result<()> {
        self.0.deregister(r)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_is_its_own_server_is_refused() {
        // The system gives each port out, sooner or later: here, the test asks for it.
        let free = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = free.local_addr().unwrap();
        drop(free);
        let refused = DatagramSocket::connect(&Endpoint::udp(addr), Some(addr)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }

    /// Failed when what a firewall reports over IPv6 counted as the client's own failure.
    #[test]
    fn what_a_firewall_reports_is_of_the_network_and_what_the_own_system_refuses_is_not() {
        for (errno, expected) in [
            (Errno::CONNREFUSED, true),
            (Errno::HOSTUNREACH, true),
            (Errno::NETUNREACH, true),
            (Errno::ACCESS, true),
            (Errno::NOPROTOOPT, true),
            (Errno::PERM, false),
            (Errno::MSGSIZE, false),
            (Errno::NOBUFS, false),
        ] {
            assert_eq!(is_of_network(&of_network(errno.into())), expected, "{errno}");
        }
        let prohibited = of_network(Errno::ACCESS.into()).to_string();
        assert_eq!(prohibited, "a firewall or a router prohibits it");
    }

    #[test]
    fn an_address_of_many_hosts_or_without_its_interface_is_refused_with_the_reason() {
        for (at, why) in [
            ("224.0.0.1:7", "it stands for many hosts, and no server answers there"),
            ("[ff02::1]:7", "it stands for many hosts, and no server answers there"),
            ("255.255.255.255:7", "it is a broadcast address, or a route prohibits it"),
            ("127.255.255.255:7", "it is a broadcast address, or a route prohibits it"),
            (
                "[fe80::1]:7",
                "invalid argument; a link-local address needs its interface, as in [fe80::1%eth0]:7007",
            ),
        ] {
            let peer = Endpoint::udp(at.parse().unwrap());
            let refused = DatagramSocket::connect_first(&[peer]).unwrap_err();
            assert_eq!(refused.to_string(), format!("cannot reach udp:{at}: {why}"));
        }
    }

    #[test]
    fn only_udp_addresses_are_connected_to() {
        let tcp = Endpoint::from(SocketAddr::from(([127, 0, 0, 1], 7)));
        let refused = DatagramSocket::connect(&tcp, None).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    }
}
