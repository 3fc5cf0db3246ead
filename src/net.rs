//! Addresses, listeners and streams, with the socket options that an echo wants.
//!
//! The rest of the crate sees sockets through [`Listen`] and [`Stream`] only, so that a test can hand
//! it sockets that are not sockets.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use socket2::{Domain, SockRef, TcpKeepalive, Type};

pub use addr::{Addr, ParseAddrError};
pub use endpoint::Endpoint;
pub(crate) use explain::{Escaped, cannot, reason, with_help};
pub use unix::SocketFile;

mod addr;
mod endpoint;
mod explain;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod queue;
mod unix;

/// A silent TCP peer is probed after this long...
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// ...then this often...
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// ...and given up after this many unanswered probes, so that a passing fault of the network, or a
/// firewall's restart, ends nothing.
const KEEPALIVE_PROBES: u32 = 6;
/// How long a peer can be silent before it is given up, then.
const KEEPALIVE_TOTAL: Duration = Duration::from_secs(60 + 6 * 10);

/// What a server can accept connections from.
pub trait Listen: Source {
    /// The connections it accepts.
    type Stream: Stream;

    /// Takes a connection off the accept queue, with its peer's address.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where the queue is empty, and whatever accept(2) says.
    fn accept(&mut self) -> io::Result<(Self::Stream, Endpoint)>;
}

/// A connected, non-blocking byte stream.
pub trait Stream: Source + Read + Write {
    /// Whether, without a sign of anything special, a read that returns less than it asked for has
    /// emptied the socket. See [`Readiness`](crate::conn::Readiness).
    fn short_read_drains(&self) -> bool;

    /// Tells the peer that no more will be sent: shutdown(2) with `SHUT_WR`.
    ///
    /// # Errors
    ///
    /// Where the connection is gone already.
    fn shutdown_write(&self) -> io::Result<()>;

    /// How many of the bytes written would be lost if a reset came now, if the system says: the peer's own
    /// system has not acknowledged them.
    fn unacknowledged(&self) -> Option<u32>;
}

/// How listening sockets are made.
#[derive(Clone, Copy, Debug)]
pub struct ListenOptions {
    /// Connections that the kernel holds until they are accepted; it has a bound of its own
    /// (`net.core.somaxconn`, see listen(2)).
    pub backlog: u32,
    /// Whether others may listen on the same TCP address and share its connections (`SO_REUSEPORT`).
    pub reuse_port: bool,
    /// Whether `[::]` leaves IPv4 to another listener, instead of taking it as well (`IPV6_V6ONLY`).
    pub only_v6: bool,
    /// How long a peer may take nothing before it is given up; for ever if `None`. The kernel watches
    /// over what it has been handed itself, and allows two minutes at the least (`TCP_USER_TIMEOUT`).
    pub stall_timeout: Option<Duration>,
}

/// A listening TCP or Unix socket.
#[derive(Debug)]
pub enum Listener {
    /// Over TCP.
    Tcp(TcpListener),
    /// Over a Unix socket, and its file, which goes first.
    Unix(SocketFile, UnixListener),
}

impl Listener {
    /// Listens at one of the endpoints that [`Addr::resolve`] found.
    ///
    /// A Unix socket's file that nobody listens on any more is replaced.
    ///
    /// # Errors
    ///
    /// Where it cannot be had; the error says why, and what might help.
    pub fn bind(at: &Endpoint, options: ListenOptions) -> io::Result<Self> {
        match at {
            Endpoint::Inet(addr) => Self::tcp(*addr, options),
            Endpoint::Unix(path) => unix::listen(path.as_deref(), options.backlog)
                .map(|(file, listener)| Self::Unix(file, listener)),
        }
        .map_err(|e| with_help(cannot("listen on", at, &e), listening_help))
    }

    fn tcp(addr: SocketAddr, options: ListenOptions) -> io::Result<Self> {
        // Not by mio's own `bind`, whose backlog is 128.
        let socket = socket2::Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
        // A restart is not to wait until the last server's connections have left TIME_WAIT.
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(options.reuse_port)?;
        if options.only_v6 && addr.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // What is set here holds for every connection accepted, at no system call for each: its socket
        // is a copy of this one.
        set_tcp_options(SockRef::from(&socket))?;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        socket.set_tcp_user_timeout(options.stall_timeout.map(user_timeout))?;
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
        Ok(Self::Tcp(TcpListener::from_std(socket.into())))
    }

    /// Where it listens, with the real port where 0 was asked for.
    ///
    /// # Errors
    ///
    /// Where the system cannot tell: getsockname(2).
    pub fn local_addr(&self) -> io::Result<Endpoint> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Into::into),
            Self::Unix(_, listener) => listener.local_addr().map(Into::into),
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(listener) => listener,
            Self::Unix(_, listener) => listener,
        }
    }
}

impl Listen for Listener {
    type Stream = Socket;

    fn accept(&mut self) -> io::Result<(Socket, Endpoint)> {
        match self {
            Self::Tcp(listener) => listener.accept().map(|(s, peer)| (Socket::Tcp(s), peer.into())),
            Self::Unix(_, listener) => {
                listener.accept().map(|(s, peer)| (Socket::Unix(s), peer.into()))
            }
        }
    }
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
    /// Begins to connect, without waiting for the outcome, to one of the endpoints that
    /// [`Addr::resolve`] found. When the socket is writable, [`connected`](Self::connected) tells.
    ///
    /// # Errors
    ///
    /// Where that already fails: connect(2). `WouldBlock` means that the accept queue of a Unix socket
    /// is full: unlike TCP, it does not go on trying.
    pub fn connect(peer: &Endpoint) -> io::Result<Self> {
        match peer {
            Endpoint::Inet(addr) => Self::tcp(TcpStream::connect(*addr)?),
            Endpoint::Unix(path) => {
                UnixStream::connect(unix::named(path.as_deref())?).map(Self::Unix)
            }
        }
    }

    /// The same from one of this machine's own addresses, of the same family. Each has some 28,000 ports
    /// to connect from (`net.ipv4.ip_local_port_range`).
    ///
    /// # Errors
    ///
    /// Likewise, and where that is no address of this machine's, or its ports are used up.
    pub fn connect_from(source: IpAddr, peer: &Endpoint) -> io::Result<Self> {
        let Endpoint::Inet(addr) = peer else { return Self::connect(peer) };
        let socket = socket2::Socket::new(Domain::for_address(*addr), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::new(source, 0).into())?;
        match socket.connect(&(*addr).into()) {
            Err(e) if e.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => Err(e),
            _ => Self::tcp(TcpStream::from_std(socket.into())),
        }
    }

    fn tcp(stream: TcpStream) -> io::Result<Self> {
        set_tcp_options(SockRef::from(&stream))?;
        Ok(Self::Tcp(stream))
    }

    /// The outcome of [`connect`](Self::connect): this end's address, or `None` while it is under way.
    ///
    /// # Errors
    ///
    /// Why the connection was not made. The system tells it once.
    pub fn connected(&self) -> io::Result<Option<Endpoint>> {
        let (error, peer) = match self {
            Self::Tcp(s) => (s.take_error()?, s.peer_addr().map(Endpoint::from)),
            Self::Unix(s) => (s.take_error()?, s.peer_addr().map(Endpoint::from)),
        };
        match (error, peer) {
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
    /// Where the system cannot tell: getsockname(2).
    pub fn local_addr(&self) -> io::Result<Endpoint> {
        match self {
            Self::Tcp(stream) => stream.local_addr().map(Into::into),
            Self::Unix(stream) => stream.local_addr().map(Into::into),
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(stream) => stream,
            Self::Unix(stream) => stream,
        }
    }
}

impl Stream for Socket {
    fn short_read_drains(&self) -> bool {
        // A Unix socket's reads stop short at passed descriptors and credentials too: unix(7).
        const EDGES_TELL: bool = cfg!(any(
            target_os = "linux",
            target_os = "android",
            target_vendor = "apple",
            target_os = "freebsd",
            target_os = "netbsd",
            target_os = "openbsd",
            target_os = "dragonfly",
        ));
        EDGES_TELL && matches!(self, Self::Tcp(_))
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
            // What was written is in the peer's own queue.
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
        Ok(()) // A socket has no buffer of its own on this side of the system call.
    }
}

/// Makes a source of an enum whose `source` method gives the one that it holds.
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

delegate_source!(Listener);
delegate_source!(Socket);

/// The kernel counts it in milliseconds, as a C int.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn user_timeout(stall: Duration) -> Duration {
    stall.clamp(KEEPALIVE_TOTAL, Duration::from_millis(i32::MAX as u64))
}

fn set_tcp_options(socket: SockRef<'_>) -> io::Result<()> {
    // A small echo is not to wait until earlier ones have been acknowledged.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEPALIVE_IDLE)
            .with_interval(KEEPALIVE_INTERVAL)
            .with_retries(KEEPALIVE_PROBES),
    )
}

fn listening_help(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::AddrInUse => Some("choose another, or port 0 for any free one"),
        ErrorKind::AddrNotAvailable => Some("use one of this machine's, such as 127.0.0.1"),
        ErrorKind::PermissionDenied => {
            Some("choose a port above 1023, or a directory you may write to")
        }
        ErrorKind::NotFound => Some("make the directory first"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
