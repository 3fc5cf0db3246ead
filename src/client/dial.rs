//! Opening a connection: resolve, try each address in turn, wait for the outcome.

use std::fmt;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use super::patience::Patience;
use crate::net::{Addr, Endpoint, Socket, cannot, with_help};
use crate::reactor::Reactor;
use crate::words::figures::setting;

/// A connection that was made.
#[derive(Debug)]
pub struct Connection {
    /// Connected, and registered nowhere.
    pub socket: Socket,
    /// This end.
    pub local: Endpoint,
    /// The server's end: the one of its addresses that answered.
    pub peer: Endpoint,
}

/// What [`dial`] is about, for whoever waits for it.
#[derive(Debug)]
pub enum Progress<'a> {
    /// A connection to this address begins.
    Connecting(&'a Endpoint),
    /// An address failed, and another is tried next.
    Failed(&'a io::Error),
}

impl fmt::Display for Progress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting(peer) => write!(f, "connecting to {peer}"),
            Self::Failed(error) => write!(f, "{error}; trying the next address"),
        }
    }
}

/// Connects to the first of the server's addresses that answers, each within `timeout`, and says to
/// `tell` what it does.
///
/// # Errors
///
/// A line for people: the name is unknown, or why the last address failed, after `tell` was told of
/// those before it. An error of `tell` ends it too.
pub fn dial(
    server: &Addr,
    timeout: Duration,
    tell: impl FnMut(Progress<'_>) -> io::Result<()>,
) -> io::Result<Connection> {
    dial_first_of(server.resolve()?, timeout, tell)
}

/// Likewise the first of these addresses that answers.
///
/// # Errors
///
/// As [`dial`].
pub(super) fn dial_first_of(
    peers: Vec<Endpoint>,
    timeout: Duration,
    mut tell: impl FnMut(Progress<'_>) -> io::Result<()>,
) -> io::Result<Connection> {
    let mut failure: Option<io::Error> = None;
    for peer in peers {
        if let Some(error) = &failure {
            tell(Progress::Failed(error))?;
        }
        tell(Progress::Connecting(&peer))?;
        match connect(&peer, timeout) {
            Ok((socket, local)) => return Ok(Connection { socket, local, peer }),
            Err(e) => failure = Some(unreachable(&peer, &e)),
        }
    }
    Err(failure.unwrap_or_else(|| io::Error::other("there is no address to connect to")))
}

/// Connects to one address, and gives the socket and this end's address.
fn connect(peer: &Endpoint, timeout: Duration) -> io::Result<(Socket, Endpoint)> {
    let mut reactor = Reactor::new()?;
    let token = reactor.insert(Socket::connect(peer)?)?;
    let patience = Patience::new(timeout, Instant::now());
    let mut ready = Vec::new();
    loop {
        let socket = reactor.get_mut(token).ok_or(ErrorKind::NotConnected)?;
        if let Some(local) = outcome(socket, peer)? {
            return Ok((reactor.remove(token).ok_or(ErrorKind::NotConnected)?, local));
        }
        let Some(left) = patience.left(Instant::now()) else {
            return Err(unanswered(timeout));
        };
        reactor.wait(Some(left), &mut ready)?;
    }
}

/// Why there is no connection when nothing came for so long.
pub(super) fn unanswered(timeout: Duration) -> io::Error {
    io::Error::new(ErrorKind::TimedOut, format!("no answer within {}", setting(timeout)))
}

/// A failure to connect as a line for people.
pub(super) fn unreachable(peer: &Endpoint, error: &io::Error) -> io::Error {
    with_help(cannot("connect to", peer, error), help)
}

/// What might help against a failure to connect.
pub(super) fn help(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::ConnectionRefused => Some("nothing listens there: is the server running?"),
        ErrorKind::NotFound => Some("nothing listens there: is the path right?"),
        ErrorKind::TimedOut => Some("is the address right, and is there a firewall between?"),
        ErrorKind::WouldBlock => Some("its accept queue is full: try again"),
        _ => None,
    }
}

/// This end's address once the connection is made, and `None` before.
pub(super) fn outcome(socket: &Socket, peer: &Endpoint) -> io::Result<Option<Endpoint>> {
    match socket.connected()? {
        // Where nobody listens on a port that the kernel gives to clients, it may give us that very port,
        // and TCP connects the socket with itself: it would echo faultlessly.
        Some(local) if local == *peer => Err(ErrorKind::ConnectionRefused.into()),
        outcome => Ok(outcome),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use mio::net::TcpStream;
    use socket2::{Domain, Type};

    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    fn quietly(_: Progress<'_>) -> io::Result<()> {
        Ok(())
    }

    fn addr_of(listener: &TcpListener) -> Addr {
        listener.local_addr().unwrap().to_string().parse().unwrap()
    }

    #[test]
    fn both_ends_know_each_other() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let made = dial(&addr_of(&listener), LONG, quietly).unwrap();
        let (_accepted, peer) = listener.accept().unwrap();
        assert_eq!(made.local, peer.into());
        assert_eq!(made.peer, listener.local_addr().unwrap().into());
    }

    #[test]
    fn a_refusal_says_who_refused_and_what_helps() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = addr_of(&listener);
        drop(listener);
        let error = dial(&addr, LONG, quietly).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let line = error.to_string();
        assert!(
            line.starts_with(&format!("cannot connect to {addr}: connection refused")),
            "{line}"
        );
    }

    #[test]
    fn an_address_that_refuses_is_told_and_the_next_one_tried() {
        let refusing = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let answering = listener.local_addr().unwrap();
        let mut told = Vec::new();
        let made = dial_first_of(vec![refusing.into(), answering.into()], LONG, |progress| {
            told.push(progress.to_string());
            Ok(())
        });
        assert_eq!(made.unwrap().peer, answering.into());
        assert_eq!(told.len(), 3, "{told:?}");
        assert_eq!(told[0], format!("connecting to {refusing}"));
        assert!(told[1].starts_with(&format!("cannot connect to {refusing}: ")), "{told:?}");
        assert!(told[1].ends_with("; trying the next address"), "{told:?}");
        assert_eq!(told[2], format!("connecting to {answering}"));
    }

    #[test]
    fn an_unknown_name_is_told_apart_from_a_refusal() {
        let error = dial(&"no.such.host.invalid:7".parse().unwrap(), LONG, quietly).unwrap_err();
        assert!(error.to_string().starts_with("cannot resolve no.such.host.invalid:7"), "{error}");
    }

    /// A full accept queue leaves a connecting client without any answer, as a firewall does.
    #[test]
    #[cfg(target_os = "linux")]
    fn silence_ends_with_the_time_out() {
        let listener = bound();
        listener.listen(0).unwrap();
        let listener = listener.into();
        let addr = addr_of(&listener);
        let timeout = Duration::from_millis(200);
        let attempts: Vec<_> = (0..4).map(|_| dial(&addr, timeout, quietly)).collect();
        let error = attempts.into_iter().find_map(Result::err).expect("one finds the queue full");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(error.to_string().contains("no answer within 200 ms"), "{error}");
    }

    #[test]
    fn a_socket_connected_with_itself_is_no_connection() {
        let socket = bound();
        let addr = socket.local_addr().unwrap().as_socket().unwrap();
        socket.connect(&addr.into()).unwrap();
        let socket = Socket::Tcp(TcpStream::from_std(socket.into()));
        assert_eq!(socket.connected().unwrap(), Some(addr.into()));
        let error = outcome(&socket, &addr.into()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }

    fn bound() -> socket2::Socket {
        let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket
    }
}
