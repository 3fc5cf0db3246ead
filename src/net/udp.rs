//! UDP sockets that answer datagrams.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};

use mio::event::Source;
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use socket2::{Domain, Type};

use super::listener::{bind_each, new_socket};
use super::options::{if_known, kernel_drops};
use super::{Endpoint, ListenOptions, delegate_source};
#[cfg(any(target_os = "linux", target_os = "android"))]
use wildcard::Wildcard;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod wildcard;

/// Why a server does not answer on an address [of many hosts](is_of_many).
pub(super) const MANY_HOSTS: &str =
    "it stands for many hosts, and a server must not answer what all of them are sent";

/// A socket whose datagrams a server answers.
pub trait Datagrams: Source + Send {
    /// Takes one datagram off the receive queue, into `buffer`.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if the queue is empty, or another error of recvmsg(2). The network reports errors of earlier answers
    /// this way too: they say nothing of the socket.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received>;

    /// Sends `bytes` as one datagram to the sender of `received`, from the address that `received` was sent to. Returns
    /// how many bytes were sent.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if the system has no room for it, or another error of sendmsg(2).
    fn answer(&mut self, bytes: &[u8], received: &Received) -> io::Result<usize>;

    /// Datagrams that the kernel has dropped since the socket was made, since its receive queue was full or their
    /// checksum was wrong. The number wraps around. `None` if the system does not count them.
    fn kernel_drops(&self) -> Option<u32>;

    /// Whether its receive queue outlives it: see [`Listen::has_successor`](super::Listen::has_successor).
    fn has_successor(&self) -> bool {
        false
    }
}

/// A datagram that was received.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Its bytes in the buffer.
    pub len: usize,
    /// Whether it may have been longer than the buffer.
    pub is_truncated: bool,
    /// Its sender.
    pub from: SocketAddr,
    /// The address of this machine that it was sent to, if the socket has all of them.
    pub to: Option<LocalAddr>,
    /// Whether it was sent to several hosts: by broadcast or multicast. Only a socket with all addresses sees such ones.
    pub is_to_many: bool,
}

/// One of this machine's addresses, and the interface that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalAddr {
    /// The address.
    pub ip: IpAddr,
    /// The index of its interface: if_nametoindex(3).
    pub interface: u32,
}

/// A bound UDP socket.
#[derive(Debug)]
pub struct UdpSocket {
    socket: mio::net::UdpSocket,
    /// Whether another process opened it.
    is_inherited: bool,
    /// If it is bound to all addresses: answers must come from the address that was asked, and only sendmsg(2) can say
    /// which.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    wildcard: Option<Wildcard>,
}

impl UdpSocket {
    /// Binds a socket to each of the endpoints that a name stands for: [`Addr::resolve`](super::Addr::resolve). Leaves
    /// out an endpoint that this machine does not have; the second list says why. Of `options`, only those apply that are
    /// not about connections.
    ///
    /// # Errors
    ///
    /// Why the system refuses an endpoint, and what might help. Also if no endpoint is this machine's.
    pub fn bind_all(
        endpoints: &[Endpoint],
        options: impl Fn(&Endpoint) -> ListenOptions,
    ) -> io::Result<(Vec<Self>, Vec<io::Error>)> {
        bind_each(endpoints, |at| match at {
            Endpoint::Udp(addr) => Self::bind(addr.addr(), options(at)),
            _ => Err(io::Error::new(ErrorKind::InvalidInput, "it is no UDP address")),
        })
    }

    fn bind(addr: SocketAddr, options: ListenOptions) -> io::Result<Self> {
        if is_of_many(addr) {
            return Err(io::Error::new(ErrorKind::InvalidInput, MANY_HOSTS));
        }
        // SO_REUSEADDR would let another program take the port away: socket(7).
        let socket = new_socket(Domain::for_address(addr), Type::DGRAM)?;
        if options.reuse_port {
            socket.set_reuse_port(true)?;
        }
        if addr.is_ipv6() {
            if_known(socket.set_only_v6(options.only_v6))?;
        }
        socket.bind(&addr.into())?;
        Self::of(socket.into(), false)
    }

    /// Answers on a socket that another process has bound, to an address that is not of many hosts.
    ///
    /// # Errors
    ///
    /// If the system does not let it be non-blocking, or does not report its address.
    pub(super) fn inherited(socket: std::net::UdpSocket) -> io::Result<Self> {
        Self::of(socket, true)
    }

    fn of(socket: std::net::UdpSocket, is_inherited: bool) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let wildcard = match socket.local_addr()? {
            addr if addr.ip().to_canonical().is_unspecified() => {
                Some(Wildcard::new(&socket, addr.is_ipv6())?)
            }
            _ => None,
        };
        Ok(Self {
            socket: mio::net::UdpSocket::from_std(socket),
            is_inherited,
            #[cfg(any(target_os = "linux", target_os = "android"))]
            wildcard,
        })
    }

    /// Its address, with the real port if port 0 was asked for.
    ///
    /// # Errors
    ///
    /// An error of getsockname(2).
    pub fn local_addr(&self) -> io::Result<Endpoint> {
        self.socket.local_addr().map(Endpoint::udp)
    }

    fn source(&mut self) -> &mut dyn Source {
        &mut self.socket
    }
}

impl Datagrams for UdpSocket {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(wildcard) = &mut self.wildcard {
            return wildcard.receive(&self.socket, buffer);
        }
        let (len, from) = self.socket.recv_from(buffer)?;
        // recvfrom(2) does not say that it left bytes out.
        Ok(Received { len, is_truncated: len == buffer.len(), from, to: None, is_to_many: false })
    }

    fn answer(&mut self, bytes: &[u8], received: &Received) -> io::Result<usize> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(to) = received.to {
            return wildcard::send(&self.socket, bytes, received.from, to);
        }
        self.socket.send_to(bytes, received.from)
    }

    fn kernel_drops(&self) -> Option<u32> {
        kernel_drops(&self.socket)
    }

    fn has_successor(&self) -> bool {
        self.is_inherited
    }
}

delegate_source!(UdpSocket);

/// Whether it is a multicast or broadcast address. Which addresses are broadcast depends on the interfaces: to connect
/// there is an error without `SO_BROADCAST`, and sends nothing (ip(7)).
pub(super) fn is_of_many(addr: SocketAddr) -> bool {
    let is_broadcast = |ip: IpAddr| {
        let probe = std::net::UdpSocket::bind(("0.0.0.0", 0));
        let connected = probe.and_then(|probe| probe.connect((ip, 9)));
        connected.is_err_and(|e| Errno::from_io_error(&e) == Some(Errno::ACCESS))
    };
    let ip = addr.ip().to_canonical();
    ip.is_multicast() || (ip.is_ipv4() && is_broadcast(ip))
}

#[cfg(test)]
mod tests;
