//! Listening sockets.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use socket2::{Domain, SockRef, Type};

use super::options::{if_known, refuse_descriptors, set_tcp_options, set_user_timeout};
use super::{
    Endpoint, Listen, Socket, SocketFile, cannot, delegate_source, no_connections, reason, unix,
    with_help,
};

/// The options of listening sockets.
#[derive(Clone, Copy, Debug)]
pub struct ListenOptions {
    /// Connections that the kernel holds until the server accepts them. The kernel has a limit of its own
    /// (`net.core.somaxconn`, see listen(2)).
    pub backlog: u32,
    /// Whether other servers can listen on the same TCP address and share its connections (`SO_REUSEPORT`).
    pub reuse_port: bool,
    /// Whether `[::]` leaves IPv4 to another listener (`IPV6_V6ONLY`).
    pub only_v6: bool,
    /// How long a peer can take nothing before the server gives it up; without a limit if `None`. If it is two
    /// minutes or less, the kernel does the same after two minutes for the bytes that it holds
    /// (`TCP_USER_TIMEOUT`).
    pub stall_timeout: Option<Duration>,
    /// The permissions of a Unix socket's file, which say who can connect.
    pub unix_mode: u32,
}

/// What `resound serve` does unless its options say otherwise.
impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            backlog: 4096,
            reuse_port: false,
            only_v6: false,
            stall_timeout: Some(Duration::from_secs(60)),
            unix_mode: 0o600,
        }
    }
}

/// A listening TCP or Unix socket.
#[derive(Debug)]
pub struct Listener {
    pub(super) socket: ListeningSocket,
    /// The file of a Unix socket that this program has made.
    file: Option<SocketFile>,
    origin: Origin,
}

/// Who opened a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Own,
    /// Another process. The accept queue may hold connections from before this program set the options of the socket, so
    /// each one gets them by itself.
    InheritedWithQueue {
        stall_timeout: Option<Duration>,
    },
    /// Another process, and the queue was empty since.
    Inherited,
}

#[derive(Debug)]
pub(super) enum ListeningSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Listens at the endpoints that a name stands for: [`Addr::resolve`](super::Addr::resolve). Leaves out an
    /// endpoint that this machine does not have, such as an IPv6 one; the second list says why. Replaces the file
    /// of a Unix socket that no server listens on.
    ///
    /// # Errors
    ///
    /// Why the system refuses an endpoint, and what might help. Also if no endpoint is this machine's.
    pub fn bind_all(
        endpoints: &[Endpoint],
        options: impl Fn(&Endpoint) -> ListenOptions,
    ) -> io::Result<(Vec<Self>, Vec<io::Error>)> {
        bind_each(endpoints, |at| Self::open(at, options(at)))
    }

    fn open(at: &Endpoint, options: ListenOptions) -> io::Result<Self> {
        let backlog = options.backlog;
        let (socket, file) = match at {
            Endpoint::Inet(addr) => (ListeningSocket::tcp(*addr, options)?, None),
            Endpoint::Udp(_) => return Err(no_connections()),
            Endpoint::Unix(Some(path)) => {
                let (file, listener) = unix::listen(path, options.unix_mode, backlog)?;
                (ListeningSocket::Unix(listener), Some(file))
            }
            Endpoint::Unix(None) | Endpoint::Abstract(_) => {
                (ListeningSocket::Unix(unix::listen_abstract(at, backlog)?), None)
            }
        };
        Ok(Self { socket, file, origin: Origin::Own })
    }

    /// Takes over a socket that listens already, from the process that opened it. That process may hold it too, and
    /// listen again when this program has ended; so a socket file stays.
    pub(super) fn inherited(
        socket: socket2::Socket,
        stall_timeout: Option<Duration>,
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = if socket.local_addr()?.is_unix() {
            refuse_descriptors(&socket);
            ListeningSocket::Unix(UnixListener::from_std(socket.into()))
        } else {
            set_tcp_options(&socket)?;
            set_user_timeout(&socket, stall_timeout)?;
            ListeningSocket::Tcp(TcpListener::from_std(socket.into()))
        };
        Ok(Self { socket, file: None, origin: Origin::InheritedWithQueue { stall_timeout } })
    }

    /// Its address, with the real port if port 0 was asked for.
    ///
    /// # Errors
    ///
    /// An error of getsockname(2).
    pub fn local_addr(&self) -> io::Result<Endpoint> {
        match &self.socket {
            ListeningSocket::Tcp(listener) => listener.local_addr().map(Into::into),
            ListeningSocket::Unix(listener) => listener.local_addr().map(Into::into),
        }
    }

    /// Takes the file of a Unix socket away. It can then outlive the listener.
    pub fn take_file(&mut self) -> Option<SocketFile> {
        self.file.take()
    }

    /// Gives a connection the options that it did not inherit, unless the queue is empty: later ones inherit them.
    fn prepare(
        &mut self,
        accepted: &io::Result<(Socket, Endpoint)>,
        stall_timeout: Option<Duration>,
    ) {
        // An option that cannot be set is not worth a connection.
        match accepted {
            Ok((Socket::Tcp(stream), _)) => {
                let socket = SockRef::from(stream);
                let _ = set_tcp_options(&socket);
                let _ = set_user_timeout(&socket, stall_timeout);
            }
            Ok((Socket::Unix(stream), _)) => refuse_descriptors(&SockRef::from(stream)),
            Err(e) if e.kind() == ErrorKind::WouldBlock => self.origin = Origin::Inherited,
            Err(_) => {}
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match &mut self.socket {
            ListeningSocket::Tcp(listener) => listener,
            ListeningSocket::Unix(listener) => listener,
        }
    }
}

impl ListeningSocket {
    fn tcp(addr: SocketAddr, options: ListenOptions) -> io::Result<Self> {
        // mio's own `bind` has no backlog to choose.
        let socket = new_socket(Domain::for_address(addr), Type::STREAM)?;
        // A restart must not wait until the last server's connections have left TIME_WAIT.
        if_known(socket.set_reuse_address(true))?;
        if options.reuse_port {
            socket.set_reuse_port(true)?;
        }
        if addr.is_ipv6() {
            // Set in both cases: the default depends on the system (`net.ipv6.bindv6only`).
            if_known(socket.set_only_v6(options.only_v6))?;
        }
        // Accepted sockets inherit these options, so they cost no system call for each connection.
        set_tcp_options(&socket)?;
        set_user_timeout(&socket, options.stall_timeout)?;
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
        Ok(Self::Tcp(TcpListener::from_std(socket.into())))
    }
}

impl Listen for Listener {
    type Stream = Socket;

    fn accept(&mut self) -> io::Result<(Socket, Endpoint)> {
        let accepted = match &self.socket {
            ListeningSocket::Tcp(listener) => {
                listener.accept().map(|(s, peer)| (Socket::Tcp(s), peer.into()))
            }
            ListeningSocket::Unix(listener) => {
                listener.accept().map(|(s, peer)| (Socket::Unix(s), peer.into()))
            }
        };
        if let Origin::InheritedWithQueue { stall_timeout } = self.origin {
            self.prepare(&accepted, stall_timeout);
        }
        accepted
    }

    /// If several sockets listen on one address (`SO_REUSEPORT`), Linux can move what waits for one that closes to
    /// another (`net.ipv4.tcp_migrate_req`). Without its commit 3864c6b, it reports no event there.
    fn fills_silently(&self) -> bool {
        match &self.socket {
            ListeningSocket::Tcp(listener) => is_shared(listener),
            ListeningSocket::Unix(_) => false,
        }
    }

    fn has_successor(&self) -> bool {
        self.origin != Origin::Own
    }
}

delegate_source!(Listener);

#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_shared(listener: &TcpListener) -> bool {
    SockRef::from(listener).reuse_port().unwrap_or(false)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_shared(_: &TcpListener) -> bool {
    false
}

/// Binds a socket to each endpoint. Those that this machine does not have are in the second list, each with the reason.
/// It is an error if it has none of them.
pub(super) fn bind_each<T>(
    endpoints: &[Endpoint],
    open: impl Fn(&Endpoint) -> io::Result<T>,
) -> io::Result<(Vec<T>, Vec<io::Error>)> {
    let (mut sockets, mut missing) = (Vec::new(), Vec::new());
    for at in endpoints {
        match open(at) {
            Ok(socket) => sockets.push(socket),
            Err(e) if is_missing(&e) => missing.push(explained(at, &e)),
            Err(e) => return Err(explained(at, &e)),
        }
    }
    match missing.is_empty() || !sockets.is_empty() {
        true => Ok((sockets, missing)),
        false => Err(missing.swap_remove(0)),
    }
}

/// A socket before it is bound.
pub(super) fn new_socket(domain: Domain, kind: Type) -> io::Result<socket2::Socket> {
    socket2::Socket::new(domain, kind, None)
        .map_err(|e| if is_shortage(&e) { e } else { unsupported(&e) })
}

/// The error for a protocol that this machine does not have, or that a filter forbids. The errno depends on which
/// of them refuses it.
pub(super) fn unsupported(error: &io::Error) -> io::Error {
    io::Error::new(ErrorKind::Unsupported, reason(error))
}

/// Whether this machine does not have the endpoint. It may have another endpoint of the same name.
pub(super) fn is_missing(error: &io::Error) -> bool {
    let is_of_the_system = error.raw_os_error().is_some() && !is_shortage(error);
    // An address in use is there, and the right to a port below 1024 is missing on every address.
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
