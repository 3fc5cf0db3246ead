//! Listeners and sockets over TCP, and the lines about their errors. Each test binds to port 0, or in a directory of
//! its own.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use socket2::SockRef;

use super::listener::ListeningSocket;
use super::options::*;
use super::*;
use crate::reactor::Reactor;

mod addr;
mod unix;

const PLAIN: ListenOptions = ListenOptions {
    backlog: 16,
    reuse_port: false,
    only_v6: false,
    stall_timeout: None,
    unix_mode: 0o600,
};

/// Listens at the first endpoint that `at` stands for.
fn bind(at: &str, options: ListenOptions) -> io::Result<Listener> {
    let addr: Addr = at.parse().unwrap();
    bind_endpoint(&addr.resolve()?[0], options)
}

fn bind_endpoint(at: &Endpoint, options: ListenOptions) -> io::Result<Listener> {
    let (mut listeners, _) = Listener::bind_all(std::slice::from_ref(at), |_| options)?;
    let listener = listeners.remove(0);
    must_not_block(&listener);
    Ok(listener)
}

/// Fails before a test would hang.
fn must_not_block(listener: &Listener) {
    let nonblocking = match &listener.socket {
        ListeningSocket::Tcp(listener) => SockRef::from(listener).nonblocking(),
        ListeningSocket::Unix(listener) => SockRef::from(listener).nonblocking(),
    };
    assert!(nonblocking.unwrap(), "accepting would block");
}

/// Repeats `call` until its result is not `WouldBlock`.
#[track_caller]
fn eventually<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        match call() {
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                assert!(Instant::now() < until, "it blocks for 20 s");
                thread::yield_now();
            }
            done => return done,
        }
    }
}

/// Connects to `listener` and accepts. Returns both ends, and the client's address as each end sees it.
fn pair(listener: &mut Listener) -> (Socket, Socket, Endpoint, Endpoint) {
    let client = Socket::connect(&listener.local_addr().unwrap()).unwrap();
    let (server, seen) = eventually(|| listener.accept()).unwrap();
    let own = outcome(&client).unwrap();
    (client, server, own, seen)
}

fn outcome(client: &Socket) -> io::Result<Endpoint> {
    eventually(|| client.connected()?.ok_or(ErrorKind::WouldBlock.into()))
}

fn pass_bytes(from: &mut Socket, to: &mut Socket) {
    from.write_all(b"hello").unwrap();
    let mut buffer = [0; 8];
    assert_eq!(eventually(|| to.read(&mut buffer)).unwrap(), 5);
    assert_eq!(&buffer[..5], b"hello");
}

fn inet(addr: &str) -> Endpoint {
    Endpoint::Inet(addr.parse().unwrap())
}

/// Each connection has one. Failed when the address of UDP made it larger by 8 bytes.
#[test]
fn an_endpoint_is_no_larger_than_an_address() {
    assert_eq!(size_of::<Endpoint>(), size_of::<SocketAddr>());
}

fn port(endpoint: &Endpoint) -> u16 {
    match endpoint {
        Endpoint::Inet(addr) => addr.port(),
        Endpoint::Udp(addr) => addr.addr().port(),
        Endpoint::Unix(_) | Endpoint::Abstract(_) => panic!("{endpoint} has no port"),
    }
}

fn tcp(socket: &Socket) -> SockRef<'_> {
    match socket {
        Socket::Tcp(stream) => SockRef::from(stream),
        Socket::Unix(_) => panic!("not over TCP"),
    }
}

#[test]
fn port_0_is_a_free_port_that_clients_reach() {
    for at in ["127.0.0.1:0", "[::1]:0", "localhost:0"] {
        let mut listener = bind(at, PLAIN).unwrap();
        assert_ne!(port(&listener.local_addr().unwrap()), 0);
        let (mut client, mut server, own, seen) = pair(&mut listener);
        assert_eq!(own, seen);
        pass_bytes(&mut client, &mut server);
        pass_bytes(&mut server, &mut client);
    }
}

#[test]
fn an_ipv4_client_of_an_ipv6_listener_has_an_ipv4_address() {
    let mut listener = bind("[::]:0", PLAIN).unwrap();
    let port = port(&listener.local_addr().unwrap());
    let _client = Socket::connect(&Endpoint::Inet(([127, 0, 0, 1], port).into())).unwrap();
    let (_server, peer) = eventually(|| listener.accept()).unwrap();
    assert!(matches!(peer, Endpoint::Inet(SocketAddr::V4(_))), "{peer}");
    assert_eq!(peer.ip(), Some([127, 0, 0, 1].into()));
}

#[test]
fn reads_and_accepts_would_block_if_there_is_nothing() {
    let blocks = |r: io::Result<usize>| assert_eq!(r.unwrap_err().kind(), ErrorKind::WouldBlock);
    let mut listener = bind("127.0.0.1:0", PLAIN).unwrap();
    blocks(listener.accept().map(|_| 0));
    let (mut client, mut server, ..) = pair(&mut listener);
    blocks(client.read(&mut [0; 8]));
    blocks(server.read(&mut [0; 8]));
    blocks(listener.accept().map(|_| 0));
}

#[test]
fn shutdown_write_is_the_end_of_file_for_the_peer() {
    let mut listener = bind("127.0.0.1:0", PLAIN).unwrap();
    let (mut client, mut server, ..) = pair(&mut listener);
    server.shutdown_write().unwrap();
    assert_eq!(eventually(|| client.read(&mut [0; 8])).unwrap(), 0);
    pass_bytes(&mut client, &mut server);
}

#[cfg(target_os = "linux")]
#[test]
fn a_short_read_empties_a_tcp_socket_but_not_a_unix_socket() {
    let (client, ..) = pair(&mut bind("127.0.0.1:0", PLAIN).unwrap());
    assert!(client.short_read_drains());
    let (one, _other) = UnixStream::pair().unwrap();
    assert!(!Socket::Unix(one).short_read_drains());
}

#[test]
fn accepted_sockets_inherit_their_options() {
    let (_client, server, ..) = pair(&mut bind("127.0.0.1:0", PLAIN).unwrap());
    has_tcp_options(&server);
}

#[test]
fn connecting_sockets_have_their_options() {
    let (client, ..) = pair(&mut bind("127.0.0.1:0", PLAIN).unwrap());
    has_tcp_options(&client);
}

#[track_caller]
fn has_tcp_options(socket: &Socket) {
    let socket = tcp(socket);
    assert!(socket.tcp_nodelay().unwrap());
    assert!(socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_IDLE);
    assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_INTERVAL);
    assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_PROBES);
}

#[test]
fn the_total_of_keepalive_is_the_sum_of_its_parts() {
    assert_eq!(KEEPALIVE_TOTAL, KEEPALIVE_IDLE + KEEPALIVE_PROBES * KEEPALIVE_INTERVAL);
}

#[cfg(target_os = "linux")]
#[test]
fn the_user_timeout_is_the_time_of_the_keepalive_probes_or_none() {
    let secs = Duration::from_secs;
    for (stall_timeout, expected) in [
        (None, None),
        (Some(secs(5)), Some(KEEPALIVE_TOTAL)),
        (Some(secs(120)), Some(KEEPALIVE_TOTAL)),
        (Some(secs(121)), None),
        (Some(secs(3600)), None),
    ] {
        let mut listener = bind("127.0.0.1:0", ListenOptions { stall_timeout, ..PLAIN }).unwrap();
        let (_client, server, ..) = pair(&mut listener);
        assert_eq!(tcp(&server).tcp_user_timeout().unwrap(), expected);
    }
}

#[test]
fn an_address_in_use_is_refused() {
    let first = bind("127.0.0.1:0", PLAIN).unwrap();
    let at = first.local_addr().unwrap();
    let error = bind_endpoint(&at, PLAIN).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert_eq!(
        error.to_string(),
        format!(
            "cannot listen on {at}: address already in use; choose another, or port 0 for any free one"
        )
    );
}

#[test]
fn an_address_of_another_machine_is_refused() {
    let error = bind("192.0.2.1:0", PLAIN).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot listen on 192.0.2.1:0: cannot assign requested address; use one of this machine's, \
         such as 127.0.0.1"
    );
}

/// Several errno values mean that the machine does not have an address. Failed when only one of them was known.
#[cfg(target_os = "linux")]
#[test]
fn addresses_that_this_machine_does_not_have_are_left_out() {
    let nowhere = [
        ("192.0.2.1:0", "cannot assign requested address"),
        ("[2001:db8::1]:0", "cannot assign requested address"),
        // A link-local address without an interface, and one with an interface that does not exist.
        ("[fe80::1]:0", "invalid argument"),
        ("[fe80::1%4000000]:0", "no such device"),
    ];
    for (missing, why) in nowhere {
        let both = [inet(missing), inet("127.0.0.1:0")];
        let (listeners, skipped) = Listener::bind_all(&both, |_| PLAIN).unwrap();
        assert_eq!((listeners.len(), skipped.len()), (1, 1), "{missing}");
        let said = skipped[0].to_string();
        assert!(said.starts_with(&format!("cannot listen on {missing}: {why}")), "{said}");
    }
    let error = Listener::bind_all(&nowhere.map(|(at, _)| inet(at)), |_| PLAIN).unwrap_err();
    assert!(error.to_string().starts_with("cannot listen on 192.0.2.1:0"), "{error}");
}

#[test]
fn an_address_in_use_is_not_left_out() {
    let taken = bind("127.0.0.1:0", PLAIN).unwrap();
    let both = [inet("127.0.0.1:0"), taken.local_addr().unwrap()];
    assert_eq!(Listener::bind_all(&both, |_| PLAIN).unwrap_err().kind(), ErrorKind::AddrInUse);
}

#[test]
fn a_missing_protocol_is_left_out_but_missing_descriptors_or_rights_are_errors() {
    let is_missing = |errno: Errno| listener::is_missing(&errno.into());
    for errno in [
        Errno::ADDRNOTAVAIL,
        Errno::AFNOSUPPORT,
        Errno::PROTONOSUPPORT,
        Errno::NOPROTOOPT,
        Errno::NETUNREACH,
        Errno::NODEV,
        Errno::OPNOTSUPP,
    ] {
        assert!(is_missing(errno), "{errno:?}");
    }
    for errno in [Errno::ADDRINUSE, Errno::ACCESS, Errno::MFILE, Errno::NFILE, Errno::NOMEM] {
        assert!(!is_missing(errno), "{errno:?}");
    }
    assert!(!listener::is_missing(&io::Error::other("our own text")));
    // A filter of system calls forbids the family with EPERM.
    assert!(listener::is_missing(&listener::unsupported(&Errno::PERM.into())));
}

/// The default depends on the system: `net.ipv6.bindv6only`.
#[test]
fn whether_a_listener_takes_ipv4_is_set_in_both_cases() {
    for only_v6 in [true, false] {
        let listener = bind("[::]:0", ListenOptions { only_v6, ..PLAIN }).unwrap();
        let ListeningSocket::Tcp(socket) = &listener.socket else { panic!("no TCP") };
        assert_eq!(SockRef::from(socket).only_v6().unwrap(), only_v6);
    }
}

#[test]
fn an_option_that_the_system_does_not_know_is_no_error() {
    for errno in [Errno::NOPROTOOPT, Errno::INVAL, Errno::OPNOTSUPP, Errno::PERM] {
        assert!(if_known(Err(errno.into())).is_ok(), "{errno:?}");
    }
    assert!(if_known(Ok(())).is_ok());
    assert!(if_known(Err(Errno::NOBUFS.into())).is_err());
}

#[cfg(target_os = "linux")]
#[test]
fn an_address_to_connect_from_takes_no_port_before_it_connects() {
    use nix::sys::socket::{getsockopt, sockopt::IpBindAddressNoPort};
    for source in ["127.0.0.2:0", "[::1]:0"] {
        let mut listener =
            bind(if source.starts_with('[') { "[::1]:0" } else { "127.0.0.1:0" }, PLAIN).unwrap();
        let source: SocketAddr = source.parse().unwrap();
        let client = Socket::connect_from(source, &listener.local_addr().unwrap()).unwrap();
        let (_server, seen) = eventually(|| listener.accept()).unwrap();
        assert_eq!(seen.ip(), Some(source.ip()));
        let Socket::Tcp(client) = client else { unreachable!() };
        assert!(getsockopt(&client, IpBindAddressNoPort).unwrap(), "{source}");
    }
}

#[test]
fn a_port_can_be_shared_on_request() {
    let shared = ListenOptions { reuse_port: true, ..PLAIN };
    let first = bind("127.0.0.1:0", shared).unwrap();
    let at = first.local_addr().unwrap();
    let second = bind_endpoint(&at, shared).unwrap();
    assert_eq!(second.local_addr().unwrap(), at);
}

#[test]
fn a_restarted_server_binds_at_once() {
    let mut listener = bind("127.0.0.1:0", PLAIN).unwrap();
    let at = listener.local_addr().unwrap();
    let (mut client, server, ..) = pair(&mut listener);
    // The end that closes first goes to TIME_WAIT, and keeps its port.
    drop(server);
    assert_eq!(eventually(|| client.read(&mut [0; 8])).unwrap(), 0);
    drop((client, listener));
    bind_endpoint(&at, PLAIN).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn the_kernel_holds_as_many_connections_as_the_backlog_says() {
    // Linux holds one more than the backlog: sk_acceptq_is_full() in include/net/sock.h.
    let mut listener = bind("127.0.0.1:0", ListenOptions { backlog: 2, ..PLAIN }).unwrap();
    let at = listener.local_addr().unwrap();
    let held = [(); 3].map(|()| Socket::connect(&at).unwrap());
    held.iter().for_each(|client| drop(outcome(client).unwrap()));
    let late = Socket::connect(&at).unwrap();
    assert_eq!(late.connected().unwrap(), None);
    for _ in held {
        eventually(|| listener.accept()).unwrap();
    }

    // More than mio asks for, and more than the 200 connections that wait here.
    let listener = bind("127.0.0.1:0", ListenOptions { backlog: 256, ..PLAIN }).unwrap();
    let at = listener.local_addr().unwrap();
    let clients: Vec<_> = (0..200).map(|_| Socket::connect(&at).unwrap()).collect();
    clients.iter().for_each(|client| drop(outcome(client).unwrap()));
}

/// No route leads from the loopback to an address for documentation (RFC 5737), and the system reports that at once.
/// Failed when the error was taken for `EINPROGRESS`.
#[test]
fn a_connection_that_cannot_begin_is_an_error() {
    let source = SocketAddr::from(([127, 0, 0, 1], 0));
    assert!(Socket::connect_from(source, &inet("192.0.2.1:7")).is_err());
    let here = bind("127.0.0.1:0", PLAIN).unwrap();
    let client = Socket::connect_from(source, &here.local_addr().unwrap()).unwrap();
    assert!(outcome(&client).is_ok());
}

#[test]
fn a_refused_connection_is_an_error_with_its_reason() {
    // Bound, so that no other program has the port, but not listening.
    let unheard = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    unheard.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let at = unheard.local_addr().unwrap().as_socket().unwrap().into();
    let error = Socket::connect(&at).and_then(|client| outcome(&client)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(
        cannot("connect to", &at, &error).to_string(),
        format!("cannot connect to {at}: connection refused")
    );
}

/// Here the socket is none of TCP: its other end has no TCP address.
#[test]
fn an_outcome_that_the_system_does_not_know_is_an_error() {
    let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let disguised = Socket::Tcp(TcpStream::from_std(OwnedFd::from(one).into()));
    assert_eq!(disguised.connected().unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_reactor_accepts_listeners_and_sockets() {
    let dir = tempfile::tempdir().unwrap();
    for at in ["127.0.0.1:0".to_owned(), format!("unix:{}/s", dir.path().display())] {
        let mut listeners = Reactor::new().unwrap();
        let listener = listeners.insert(bind(&at, PLAIN).unwrap()).unwrap();
        let at = listeners.get_mut(listener).unwrap().local_addr().unwrap();
        let mut clients = Reactor::new().unwrap();
        let client = clients.insert(Socket::connect(&at).unwrap()).unwrap();
        let mut ready = Vec::new();
        listeners.wait(Some(Duration::from_secs(20)), &mut ready).unwrap();
        assert_eq!(ready.iter().map(|r| r.token).collect::<Vec<_>>(), [listener]);
        clients.wait(Some(Duration::from_secs(20)), &mut ready).unwrap();
        assert_eq!(ready.iter().map(|r| r.token).collect::<Vec<_>>(), [client]);
        assert!(clients.get_mut(client).unwrap().connected().unwrap().is_some());
        assert!(clients.remove(client).is_some() && listeners.remove(listener).is_some());
    }
}

#[test]
fn registering_goes_to_the_socket_that_a_source_holds() {
    let mut poll = mio::Poll::new().unwrap();
    let mut listener = bind("127.0.0.1:0", PLAIN).unwrap();
    let error = poll.registry().reregister(&mut listener, Token(1), Interest::READABLE);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFound);
    poll.registry().register(&mut listener, Token(1), Interest::WRITABLE).unwrap();
    poll.registry().reregister(&mut listener, Token(2), Interest::READABLE).unwrap();
    let _client = Socket::connect(&listener.local_addr().unwrap()).unwrap();
    let mut events = mio::Events::with_capacity(8);
    poll.poll(&mut events, Some(Duration::from_secs(20))).unwrap();
    assert_eq!(events.iter().map(|e| e.token()).collect::<Vec<_>>(), [Token(2)]);
    poll.registry().deregister(&mut listener).unwrap();
    let gone = poll.registry().deregister(&mut listener);
    assert_eq!(gone.unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_reason_is_a_phrase_without_the_number_of_the_error() {
    let os = |errno: Errno| io::Error::from(errno);
    for (error, expected) in [
        (os(Errno::CONNREFUSED), "connection refused"),
        (os(Errno::ADDRINUSE), "address already in use"),
        (os(Errno::MFILE), "too many open files"),
        (os(Errno::PIPE), "broken pipe"),
        (
            io::Error::other(format!("While opening: {}", os(Errno::ACCESS))),
            "while opening: Permission denied",
        ),
        (io::Error::other("é (os error 5)"), "é"),
        (io::Error::other(" (os error 5)"), ""),
        (io::Error::other("Its own: words"), "Its own: words"),
        (ErrorKind::WriteZero.into(), "write zero"),
    ] {
        assert_eq!(reason(&error), expected);
    }
}

#[test]
fn an_error_to_listen_says_what_might_help() {
    for (errno, expected) in [
        (Errno::ADDRINUSE, "address already in use; choose another, or port 0 for any free one"),
        (
            Errno::ADDRNOTAVAIL,
            "cannot assign requested address; use one of this machine's, such as 127.0.0.1",
        ),
        (
            Errno::ACCESS,
            "permission denied; choose a port above 1023, or a directory you may write to",
        ),
        (Errno::NOENT, "no such file or directory; make the directory first"),
        (Errno::NETUNREACH, "network is unreachable"),
    ] {
        let error = io::Error::from(errno);
        let line = with_help(cannot("reach", &"somewhere", &error), listener::help);
        assert_eq!(line.to_string(), format!("cannot reach somewhere: {expected}"));
        assert_eq!(line.kind(), error.kind());
    }
}
