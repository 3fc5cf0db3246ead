//! Listening sockets.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use socket2::{Domain, SockRef, Type};

use super::options::{if_known, set_tcp_options, set_user_timeout};
use super::{
    Endpoint, Listen, Socket, SocketFile, cannot, delegate_source, reason, unix, with_help,
};

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
    /// How long a peer may take nothing before the server gives it up; for ever if `None`. Up to two minutes
    /// the kernel does the same, after two minutes, for what it has been handed (`TCP_USER_TIMEOUT`).
    pub stall_timeout: Option<Duration>,
    /// The permissions of a Unix socket's file: who may connect.
    pub unix_mode: u32,
}

/// A listening TCP or Unix socket.
#[derive(Debug)]
pub enum Listener {
    /// Over TCP.
    Tcp(TcpListener),
    /// Over a Unix socket. Its file, unless the socket is abstract or the file was
    /// [taken](Self::take_file), goes first.
    Unix(Option<SocketFile>, UnixListener),
}

impl Listener {
    /// Listens at one of the endpoints that [`Addr::resolve`](super::Addr::resolve) found.
    ///
    /// A Unix socket's file that nobody listens on any more is replaced.
    ///
    /// # Errors
    ///
    /// Why it cannot be had, and what might help.
    pub fn bind(at: &Endpoint, options: ListenOptions) -> io::Result<Self> {
        Self::open(at, options).map_err(|e| explained(at, &e))
    }

    /// Listens on all endpoints that a name stands for. An endpoint that this machine does not have, as it may
    /// have no IPv6, is left out, and the second list says why; but one listener there is.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind), and if no endpoint is this machine's.
    pub fn bind_all(
        endpoints: &[Endpoint],
        options: impl Fn(&Endpoint) -> ListenOptions,
    ) -> io::Result<(Vec<Self>, Vec<io::Error>)> {
        let (mut listeners, mut missing) = (Vec::new(), Vec::new());
        for at in endpoints {
            match Self::open(at, options(at)) {
                Ok(listener) => listeners.push(listener),
                Err(e) if is_missing(&e) => missing.push(explained(at, &e)),
                Err(e) => return Err(explained(at, &e)),
            }
        }
        match missing.is_empty() || !listeners.is_empty() {
            true => Ok((listeners, missing)),
            false => Err(missing.swap_remove(0)),
        }
    }

    fn open(at: &Endpoint, options: ListenOptions) -> io::Result<Self> {
        let backlog = options.backlog;
        match at {
            Endpoint::Inet(addr) => Self::tcp(*addr, options),
            Endpoint::Unix(Some(path)) => unix::listen(path, options.unix_mode, backlog)
                .map(|(file, listener)| Self::Unix(Some(file), listener)),
            Endpoint::Unix(None) | Endpoint::Abstract(_) => {
                unix::listen_abstract(at, backlog).map(|listener| Self::Unix(None, listener))
            }
        }
    }

    fn tcp(addr: SocketAddr, options: ListenOptions) -> io::Result<Self> {
        // Not by mio's own `bind`, whose backlog is 128.
        let socket = socket2::Socket::new(Domain::for_address(addr), Type::STREAM, None)
            .map_err(|e| if is_shortage(&e) { e } else { unsupported(&e) })?;
        // A restart must not wait until the last server's connections have left TIME_WAIT.
        if_known(socket.set_reuse_address(true))?;
        if options.reuse_port {
            socket.set_reuse_port(true)?;
        }
        if addr.is_ipv6() {
            // Both ways: the default is the system's (`net.ipv6.bindv6only`).
            if_known(socket.set_only_v6(options.only_v6))?;
        }
        // What is set here holds for every connection accepted, at no system call for each: its socket
        // is a copy of this one.
        set_tcp_options(SockRef::from(&socket))?;
        set_user_timeout(&socket, options.stall_timeout)?;
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
        Ok(Self::Tcp(TcpListener::from_std(socket.into())))
    }

    /// Where it listens, with the real port if 0 was asked for.
    ///
    /// # Errors
    ///
    /// What getsockname(2) says.
    pub fn local_addr(&self) -> io::Result<Endpoint> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Into::into),
            Self::Unix(_, listener) => listener.local_addr().map(Into::into),
        }
    }

    /// Takes the file of a Unix socket away, so that it can outlive the listener.
    pub fn take_file(&mut self) -> Option<SocketFile> {
        match self {
            Self::Tcp(_) => None,
            Self::Unix(file, _) => file.take(),
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

delegate_source!(Listener);

/// The machine does not have this protocol, or may not use it: the errno depends on who says so.
pub(super) fn unsupported(error: &io::Error) -> io::Error {
    io::Error::new(ErrorKind::Unsupported, reason(error))
}

/// Whether an endpoint cannot be had on this machine, and another one of the same name perhaps can.
pub(super) fn is_missing(error: &io::Error) -> bool {
    let is_of_the_system = error.raw_os_error().is_some() && !is_shortage(error);
    // An address in use would be another server's, and a port below 1024 is refused on all addresses.
    let is_refused = matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied);
    error.kind() == ErrorKind::Unsupported || (is_of_the_system && !is_refused)
}

fn is_shortage(error: &io::Error) -> bool {
    let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS];
    Errno::from_io_error(error).is_some_and(|errno| shortages.contains(&errno))
}

fn explained(at: &Endpoint, error: &io::Error) -> io::Error {
    with_help(cannot("listen on", at, error), help)
}

pub(super) fn help(kind: ErrorKind) -> Option<&'static str> {
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
