//! Addresses, listeners and streams, with the socket options that suit an echo.
//!
//! The server sees sockets only through [`Listen`] and [`Stream`], so a test can give it scripted ones.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{self, IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use socket2::{Domain, SockRef, Type};

use options::{bind_without_port, set_tcp_options};

pub use addr::{Addr, ParseAddrError};
pub(crate) use addr::{has_scheme, is_name_char};
pub use endpoint::{Endpoint, UdpAddr};
pub(crate) use explain::{cannot, reason, with_help};
pub use inherited::{Inherited, Passed, passed};
pub use listener::{ListenOptions, Listener};
pub use networks::{Access, Networks, parse_network};
#[cfg(feature = "clients")]
pub(crate) use options::kernel_drops;
pub(crate) use service_manager::ServiceManager;
pub use udp::{Datagrams, LocalAddr, Received, UdpSocket};
pub use unix::SocketFile;

mod explain;
mod endpoint;
mod networks;
pub mod proxy;
mod services;
mod addr;
mod options;
mod unix;
mod listener;
mod udp;
mod inherited;
mod service_manager;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod queue;

/// A listener, from which a server accepts connections.
pub trait Listen: Source {
    /// What it accepts.
    type Stream: Stream;

    /// Takes a connection off the accept queue, with its peer's address.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if the queue is empty, or another error of accept(2).
    fn accept(&mut self) -> io::Result<(Self::Stream, Endpoint)>;

    /// Whether connections can come into its accept queue without an event. The server then looks into the queue once a
    /// second.
    fn fills_silently(&self) -> bool {
        false
    }

    /// Whether its accept queue outlives it, since another process holds the socket too, and serves what is in the queue
    /// when the server stops.
    fn has_successor(&self) -> bool {
        false
    }
}

/// A connected, non-blocking byte stream.
pub trait Stream: Source + Read + Write {
    /// Whether a read that returns less than it asked for has emptied the socket, if its event had no
    /// exceptional flag. See [`ShortRead`](crate::conn::ShortRead).
    fn short_read_drains(&self) -> bool;

    /// Copies the next bytes into `buffer`, and leaves them to be read: recv(2) with `MSG_PEEK`. Returns how many.
    ///
    /// # Errors
    ///
    /// As a read. Some errors are reported once, and not to the read that follows.
    fn peek(&self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Whether the peer has ended its direction, although bytes of it may be unread. False if the system cannot say.
    fn is_read_closed(&self) -> bool;

    /// Makes the system close the connection with a reset when it is dropped: socket(7), `SO_LINGER`. The peer then knows
    /// that it was refused, and this end remembers nothing of it. Does nothing if there is no reset, as over a Unix socket.
    fn reset_on_close(&self) {}

    /// Ends this direction of the connection: shutdown(2) with `SHUT_WR`.
    ///
    /// # Errors
    ///
    /// If the connection no longer exists.
    fn shutdown_write(&self) -> io::Result<()>;

    /// The written bytes that the peer's system has not acknowledged, if this system knows. A reset would lose
    /// them.
    fn unacknowledged(&self) -> Option<u32>;
}

/// A connected, or connecting, TCP or Unix socket.
#[derive(Debug)]
pub enum Socket {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

impl Socket {
    /// Begins to connect to one of the endpoints that [`Addr::resolve`] found, and does not wait for the outcome.
    /// When the socket is writable, [`connected`](Self::connected) reports it.
    ///
    /// # Errors
    ///
    /// What connect(2) reports at once. `WouldBlock` means that the accept queue of a Unix socket is full: unlike
    /// TCP, the system does not keep trying.
    pub fn connect(peer: &Endpoint) -> io::Result<Self> {
        match peer {
            Endpoint::Inet(addr) => Self::connect_tcp(*addr, None),
            Endpoint::Udp(_) => Err(no_connections()),
            Endpoint::Unix(_) | Endpoint::Abstract(_) => unix::connect(peer).map(Self::Unix),
        }
    }

    /// Begins to connect from `source`, one of this machine's own addresses, of the peer's family. With port
    /// 0, each pair of an address and a peer has some 28,000 ports (`net.ipv4.ip_local_port_range`).
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect), and if `source` is no address of this machine, or its ports are used up.
    pub fn connect_from(source: SocketAddr, peer: &Endpoint) -> io::Result<Self> {
        match peer {
            Endpoint::Inet(addr) => Self::connect_tcp(*addr, Some(source)),
            Endpoint::Udp(_) | Endpoint::Unix(_) | Endpoint::Abstract(_) => Self::connect(peer),
        }
    }

    fn connect_tcp(peer: SocketAddr, source: Option<SocketAddr>) -> io::Result<Self> {
        let socket = socket2::Socket::new(Domain::for_address(peer), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        set_tcp_options(&socket)?;
        if let Some(source) = source {
            bind_without_port(&socket);
            match socket.bind(&source.into()) {
                // The system chooses the port here, and has none left.
                Err(e) if e.kind() == ErrorKind::AddrInUse => return Err(used_up(source.ip())),
                bound => bound?,
            }
        }
        match socket.connect(&peer.into()) {
            Err(e) if Errno::from_io_error(&e) == Some(Errno::INPROGRESS) => {}
            Err(e) if e.kind() == ErrorKind::AddrNotAvailable => {
                let source = source.map(|addr| addr.ip()).or_else(|| source_for(peer));
                return Err(source.map_or(e, used_up));
            }
            connected => connected?,
        }
        Ok(Self::Tcp(TcpStream::from_std(socket.into())))
    }

    /// The outcome of [`connect`](Self::connect): this end's address, or `None` as long as there is no outcome.
    ///
    /// # Errors
    ///
    /// Why the connection failed. The system reports it once.
    pub fn connected(&self) -> io::Result<Option<Endpoint>> {
        let error = match self {
            Self::Tcp(s) => s.take_error()?,
            Self::Unix(s) => s.take_error()?,
        };
        match (error, self.peer_addr()) {
            (Some(error), _) => Err(error),
            (None, Err(e)) if e.kind() == ErrorKind::NotConnected => Ok(None),
            (None, Err(e)) => Err(e),
            (None, Ok(_)) => self.local_addr().map(Some),
        }
    }

    /// This end's address.
    ///
    /// # Errors
    ///
    /// An error of getsockname(2).
    pub fn local_addr(&self) -> io::Result<Endpoint> {
        match self {
            Self::Tcp(stream) => stream.local_addr().map(Into::into),
            Self::Unix(stream) => stream.local_addr().map(Into::into),
        }
    }

    /// The other end's address.
    ///
    /// # Errors
    ///
    /// An error of getpeername(2): there is no connection, for example.
    pub fn peer_addr(&self) -> io::Result<Endpoint> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().map(Into::into),
            Self::Unix(stream) => stream.peer_addr().map(Into::into),
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(stream) => stream,
            Self::Unix(stream) => stream,
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Stream for Socket {
    fn short_read_drains(&self) -> bool {
        // A read of a Unix socket also ends at passed descriptors and credentials: unix(7).
        const HAS_EPOLL_OR_KQUEUE: bool = cfg!(any(
            target_os = "linux",
            target_os = "android",
            target_vendor = "apple",
            target_os = "freebsd",
            target_os = "netbsd",
            target_os = "openbsd",
            target_os = "dragonfly",
        ));
        HAS_EPOLL_OR_KQUEUE && matches!(self, Self::Tcp(_))
    }

    fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(recv(self.as_fd(), buffer, RecvFlags::PEEK)?.0)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn is_read_closed(&self) -> bool {
        let mut asked = [PollFd::from_borrowed_fd(self.as_fd(), PollFlags::RDHUP)];
        let answered = poll(&mut asked, Some(&Timespec::default()));
        answered.is_ok() && asked[0].revents().contains(PollFlags::RDHUP)
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn is_read_closed(&self) -> bool {
        false
    }

    fn reset_on_close(&self) {
        if let Self::Tcp(stream) = self {
            // If this fails, the connection closes in the usual way.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }

    fn shutdown_write(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }

    fn unacknowledged(&self) -> Option<u32> {
        match self {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Tcp(stream) => {
                queue::unacknowledged(stream.local_addr().ok()?, stream.peer_addr().ok()?).ok()
            }
            #[cfg(not(any(target_os = "linux", target_os = "android")))]
            Self::Tcp(_) => None,
            // A Unix socket writes straight into the queue of its peer.
            Self::Unix(_) => Some(0),
        }
    }
}

impl Read for Socket {
    #[inline(always)]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    #[inline(always)]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // There is no buffer on this side of the system call.
    }
}

/// The address from which this machine connects to `peer`, if it has one. To connect a UDP socket sends nothing.
fn source_for(peer: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match peer {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let probe = net::UdpSocket::bind((any, 0)).ok()?;
    probe.connect(peer).ok()?;
    probe.local_addr().ok().map(|addr| addr.ip())
}

fn no_connections() -> io::Error {
    io::Error::new(ErrorKind::Unsupported, "UDP has no connections")
}

/// The error if no port of an address of this machine is free.
pub(crate) fn used_up(source: IpAddr) -> io::Error {
    io::Error::new(ErrorKind::AddrNotAvailable, format!("the ports of {source} are used up"))
}

/// Implements [`Source`] for an enum that has a method `source`, which returns the source that it holds.
macro_rules! delegate_source {
    ($type:ty $(, $p:ident: $bound:ident)?) => {
        impl$(<$p: $bound>)? Source for $type {
            fn register(&mut self, r: &Registry, t: Token, i: Interest) -> io::Result<()> {
                self.source().register(r, t, i)
            }
            fn reregister(&mut self, r: &Registry, t: Token, i: Interest) -> io::Result<()> {
                self.source().reregister(r, t, i)
            }
            fn deregister(&mut self, r: &Registry) -> io::Result<()> {
                self.source().deregister(r)
            }
        }
    };
}
pub(crate) use delegate_source;

delegate_source!(Socket);

#[cfg(test)]
mod tests;
