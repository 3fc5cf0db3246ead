//! Sockets that another program has opened, and passes to the server it starts: socket activation, sd_listen_fds(3).

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use rustix::fs::{OFlags, fcntl_getfl};
use rustix::process::Signal;
use socket2::{Domain, SockRef, Socket, Type};

use crate::command::output;
use crate::passing::{passing, passing_as};
use crate::server::{Server, TIMEOUT, command, connect};
use crate::unix::{SocketPath, connect_unix};
use crate::wire::{expect_bytes, expect_echo, pattern};

fn opened() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    (listener, addr)
}

#[test]
fn passed_sockets_are_served_instead_of_the_default_address() {
    let ((tcp, addr), socket) = (opened(), SocketPath::new());
    let unix = UnixListener::bind(&socket.path).unwrap();
    let server = Server::start_command(&mut passing(&[&tcp, &unix], &command(&[], &[])), 2);
    assert_eq!(server.addrs(), [addr, socket.addr.clone()]);
    expect_echo(server.connect(), b"over TCP");
    expect_echo(connect_unix(&socket.path), b"over a Unix socket");
    server.stop();
    // Its owner goes on listening there. Failed when the server removed it.
    assert!(socket.path.exists());
}

#[test]
fn addresses_of_the_option_are_served_in_addition() {
    let (tcp, addr) = opened();
    let server = Server::start_command(&mut passing(&[&tcp], &command(&["127.0.0.1:0"], &[])), 2);
    assert_eq!(server.addrs()[0], addr);
    server.addrs().iter().for_each(|addr| expect_echo(connect(addr), b"hello"));
}

/// Failed when the options of the listener were left as the other program had set them: its socket blocks.
#[test]
fn a_passed_socket_does_not_block_and_is_not_passed_on() {
    let (tcp, _) = opened();
    let server = Server::start_command(&mut passing(&[&tcp], &command(&[], &[])), 1);
    let info = format!("/proc/{}/fdinfo/3", server.pid().as_raw_nonzero());
    let info = fs::read_to_string(info).unwrap();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
    let flags = u32::from_str_radix(flags, 8).unwrap();
    assert_ne!(flags & 0o4000, 0, "it would block");
    assert_ne!(flags & 0o2000000, 0, "a child would inherit it");
}

/// The environment of a server can come from another service that was activated.
#[test]
fn sockets_of_another_process_are_ignored() {
    let (tcp, addr) = opened();
    for variables in ["LISTEN_FDS=1 LISTEN_PID=1", "LISTEN_FDS=x LISTEN_PID=1", "LISTEN_PID=x", ""]
    {
        let inner = command(&["127.0.0.1:0"], &[]);
        let mut server = Server::start_command(&mut passing_as(variables, &[&tcp], &inner), 1);
        assert_ne!(server.addr(), addr, "{variables}");
        server.signal(Signal::TERM);
        server.wait();
        assert!(server.log().iter().all(|line| !line.contains("LISTEN")), "{:#?}", server.log());
    }
}

/// Expects that the server refuses to start, with exactly one line, which begins and ends so.
#[track_caller]
fn expect_refusal(mut command: Command, begin: &str, end: &str) {
    let output = output(&mut command);
    let stderr = String::from_utf8(output.stderr).unwrap();
    let line = stderr.trim_end();
    assert!(line.starts_with(&format!("resound: {begin}")) && line.ends_with(end), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert_eq!(output.status.code(), Some(1), "{stderr}");
}

#[test]
fn variables_that_make_no_sense_are_refused() {
    let (tcp, _) = opened();
    for (variables, begin) in [
        ("LISTEN_FDS=0 LISTEN_PID=$$", "LISTEN_FDS is \"0\", but it must be the number of sockets"),
        ("LISTEN_FDS=0", "LISTEN_FDS is \"0\", but it must be the number of sockets"),
        ("LISTEN_FDS=-1 LISTEN_PID=$$", "LISTEN_FDS is \"-1\""),
        ("LISTEN_FDS=one LISTEN_PID=$$", "LISTEN_FDS is \"one\""),
        ("LISTEN_FDS=2000000000 LISTEN_PID=$$", "LISTEN_FDS is \"2000000000\""),
        ("LISTEN_FDS=\"$(printf '\\033\\377')\"", "LISTEN_FDS is \"\\u{1b}\u{fffd}\""),
        ("LISTEN_FDS=1 LISTEN_PID=self", "LISTEN_PID is \"self\", but it must be the number of a"),
        ("LISTEN_FDS=1 LISTEN_PID=-1", "LISTEN_PID is \"-1\""),
        ("LISTEN_FDS=1 LISTEN_FDS_FIRST_FD=2", "LISTEN_FDS_FIRST_FD is \"2\", but it must be"),
        ("LISTEN_FDS=1 LISTEN_FDS_FIRST_FD=2147483647", "LISTEN_FDS_FIRST_FD is \"2147483647\""),
    ] {
        let inner = command(&["127.0.0.1:0"], &[]);
        expect_refusal(passing_as(variables, &[&tcp], &inner), begin, "");
    }
}

#[test]
fn what_is_no_listening_stream_socket_is_refused_with_what_it_is() {
    let (tcp, addr) = opened();
    let connection = TcpStream::connect(&addr).unwrap();
    let of = |domain, kind| OwnedFd::from(Socket::new(domain, kind, None).unwrap());
    let connected = UdpSocket::bind("127.0.0.1:0").unwrap();
    connected.connect(&addr).unwrap();
    let passed: [(OwnedFd, &str, &str); 9] = [
        (File::open("/dev/null").unwrap().into(), "it is /dev/null, and not a socket", ""),
        (of(Domain::IPV4, Type::STREAM), "it does not listen", ""),
        (of(Domain::UNIX, Type::STREAM), "it does not listen", ""),
        (
            connection.into(),
            "it is a connection, and not a listener",
            "write Accept=no in the socket unit",
        ),
        (of(Domain::UNIX, Type::SEQPACKET), "it is a SEQPACKET socket", "in the socket unit"),
        (
            UnixDatagram::unbound().unwrap().into(),
            "it is a Unix datagram socket",
            "in the socket unit",
        ),
        (connected.into(), "it is a UDP socket that is connected to one peer", "do not connect it"),
        (of(Domain::IPV4, Type::DGRAM), "it is a UDP socket without a port", "call bind(2) first"),
        (
            UdpSocket::bind("224.0.0.9:0").unwrap().into(),
            "it stands for many hosts",
            "what all of them are sent",
        ),
    ];
    for (socket, why, end) in &passed {
        let begin = format!("cannot serve descriptor 3 of LISTEN_FDS: {why}");
        expect_refusal(passing(&[socket], &command(&[], &[])), &begin, end);
    }
    let closed = passing_as("LISTEN_FDS=2 LISTEN_PID=$$", &[&tcp], &command(&[], &[]));
    expect_refusal(closed, "cannot serve descriptor 4 of LISTEN_FDS: it is not open", "");
    let closed = passing_as("LISTEN_FDS=1 LISTEN_PID=$$", &[], &command(&[], &[]));
    expect_refusal(closed, "cannot serve descriptor 3 of LISTEN_FDS: it is not open", "");
}

/// Whether a descriptor of this process, or of one that shares it, is non-blocking.
fn is_nonblocking(socket: &impl AsFd) -> bool {
    fcntl_getfl(socket).unwrap().contains(OFlags::NONBLOCK)
}

/// Failed when the first socket became non-blocking before the second was looked at.
#[test]
fn a_server_that_refuses_to_start_leaves_the_sockets_as_they_were() {
    let ((tcp, _), udp) = (opened(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let (taken, busy) = opened();
    let no_socket = File::open("/dev/null").unwrap();
    let metrics = ["--metrics", &busy];
    let dir = SocketPath::new();
    let missing = format!("{}/no/socket", dir.addr);
    for (args, sockets, refused) in [
        (&[][..], [&tcp as &dyn AsFd, &no_socket], "it is /dev/null"),
        (&[], [&udp, &no_socket], "it is /dev/null"),
        (&["--listen", &busy], [&tcp, &udp], "cannot listen on"),
        (&["--listen", &missing], [&tcp, &udp], "cannot listen on"),
        (&metrics, [&tcp, &udp], "metrics: cannot listen on"),
        (&["--pending-limit", "1k"], [&tcp, &udp], "--pending-limit is too small"),
    ] {
        let mut server = Server::spawn(&mut passing(&sockets, &command(&[], args)));
        let (status, log) = (server.wait(), server.log());
        assert!(!status.success() && log.last().unwrap().contains(refused), "{log:#?}");
        let changed = is_nonblocking(&tcp) || is_nonblocking(&udp);
        assert!(!changed && !SockRef::from(&tcp).keepalive().unwrap(), "{args:?}: {refused}");
    }
    drop(taken);
    let server = Server::start_command(&mut passing(&[&tcp], &command(&[], &[])), 1);
    assert!(is_nonblocking(&tcp));
    server.stop();
}

/// Failed when the server echoed on a socket that was passed for metrics.
#[test]
fn a_socket_with_the_name_metrics_serves_metrics() {
    let ((echo, echo_addr), (metrics, metrics_addr)) = (opened(), opened());
    let variables = "LISTEN_FDS=2 LISTEN_PID=$$ LISTEN_FDNAMES=metrics:resound.socket";
    let mut command = passing_as(variables, &[&metrics, &echo], &command(&[], &[]));
    let mut server = Server::start_command(&mut command, 1);
    assert_eq!(server.addr(), echo_addr);
    server.expect_line(&format!("metrics on http://{metrics_addr}/metrics"));
    expect_echo(server.connect(), b"hello");
    let mut stream = connect(&metrics_addr);
    stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
}

#[test]
fn metrics_alone_leave_the_server_its_own_addresses() {
    let (metrics, _) = opened();
    let variables = "LISTEN_FDS=1 LISTEN_PID=$$ LISTEN_FDNAMES=metrics";
    let mut inner = command(&["127.0.0.1:0"], &["--metrics", "127.0.0.1:0"]);
    inner.args(["--max-connections", "3"]);
    let mut server = Server::start_command(&mut passing_as(variables, &[&metrics], &inner), 1);
    (0..2).for_each(|_| drop(server.expect_line("metrics on http://127.0.0.1:")));
    expect_echo(server.connect(), b"hello");
}

#[test]
fn a_name_that_means_nothing_is_warned_of() {
    let (tcp, _) = opened();
    let start = |names: &str| {
        let variables = format!("LISTEN_FDS=1 LISTEN_FDNAMES=\"{names}\"");
        let mut command = passing_as(&variables, &[&tcp], &command(&[], &[]));
        let mut server = Server::start_command(&mut command, 1);
        server.signal(Signal::TERM);
        server.wait();
        server.log().join("\n")
    };
    let line =
        "the name \"Metrics\\u{1b}\" of LISTEN_FDNAMES has no effect: only metrics has a meaning";
    let log = start("$(printf 'Metrics\\033')");
    assert!(log.contains(line), "{log}");
    for name in ["", "unknown", "connection", "resound.socket"] {
        let log = start(name);
        assert!(!log.contains("LISTEN_FDNAMES"), "{log}");
    }
    let names = "LISTEN_FDS=1 LISTEN_FDNAMES=a:b";
    let begin = "LISTEN_FDNAMES is \"a:b\", but it must be the names of 1 socket";
    expect_refusal(passing_as(names, &[&tcp], &command(&[], &[])), begin, "");
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let names = "LISTEN_FDS=1 LISTEN_FDNAMES=metrics";
    let begin = "cannot serve descriptor 3 of LISTEN_FDS: its name is metrics";
    expect_refusal(passing_as(names, &[&udp], &command(&[], &[])), begin, "in its socket unit");
}

/// Failed when the server went on accepting until its last connection had ended.
#[test]
fn connections_that_come_while_the_server_stops_wait_for_the_next() {
    let ((tcp, addr), socket) = (opened(), SocketPath::new());
    let unix = UnixListener::bind(&socket.path).unwrap();
    let start = || Server::start_command(&mut passing(&[&tcp, &unix], &command(&[], &[])), 2);
    let mut first = start();
    let accepted = first.connect();
    expect_echo(&accepted, b"accepted");
    first.signal(Signal::TERM);
    first.expect_line("stopping: 1 connection to finish");
    let waiting: Vec<_> = (0..100).map(|_| connect(&addr)).collect();
    waiting.iter().for_each(|mut stream| stream.write_all(b"waiting").unwrap());
    let waiting_unix = connect_unix(&socket.path);
    expect_echo(&accepted, b"still");
    drop(accepted);
    assert_eq!(first.wait().code(), Some(0));
    assert!(first.log().last().unwrap().contains("1 connection,"), "{:#?}", first.log());
    let _next = start();
    waiting.iter().for_each(|stream| expect_bytes(stream, b"waiting"));
    waiting.iter().for_each(|stream| expect_echo(stream, b"and on"));
    expect_echo(waiting_unix, b"and on");
}

/// Datagrams that come while no server runs are answered by the next.
#[test]
fn passed_udp_sockets_are_served_by_one_server_after_the_other() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(TIMEOUT)).unwrap();
    let expect_answer = |message: &[u8]| {
        let mut buffer = [0; 64];
        let (n, from) = client.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..n], from), (message, addr));
    };
    for round in 0..3 {
        let message = format!("message {round}").into_bytes();
        client.send_to(&message, addr).unwrap(); // No server runs yet.
        let server = Server::start_command(&mut passing(&[&socket], &command(&[], &[])), 1);
        assert_eq!(server.addr(), format!("udp:{addr}"));
        expect_answer(&message);
        client.send_to(b"again", addr).unwrap();
        expect_answer(b"again");
        assert!(server.stop().contains("2 datagrams of"), "round {round}");
    }
}

/// Opens one connection after another until `must_stop` is set, and checks an echo on each. If `may_break`, a connection
/// may break after it was made. Returns how many echoes were complete.
fn churn(addr: &str, must_stop: &AtomicBool, may_break: bool) -> usize {
    let mut complete = 0;
    for number in 0.. {
        let message = pattern(number, 1 + number % 20_000);
        let stream = connect(addr);
        let sent = (&stream).write_all(&message).and_then(|()| stream.shutdown(Shutdown::Write));
        let mut echo = Vec::new();
        let received = (&stream).read_to_end(&mut echo);
        assert!(message.starts_with(&echo), "the echo differs");
        complete += usize::from(echo.len() == message.len());
        if !may_break {
            sent.and(received).unwrap();
            assert_eq!(echo.len(), message.len(), "bytes are lost");
        }
        if must_stop.load(Relaxed) {
            break;
        }
    }
    complete
}

/// Restarts a server on the same socket again and again, while clients come and go.
fn restart_beside_clients(signal: Signal, times: usize, may_break: bool) {
    let (tcp, addr) = opened();
    let must_stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let clients: Vec<_> =
            (0..4).map(|_| scope.spawn(|| churn(&addr, &must_stop, may_break))).collect();
        for _ in 0..times {
            let server = &mut Server::start_command(&mut passing(&[&tcp], &command(&[], &[])), 1);
            expect_echo(connect(&addr), b"served");
            server.signal(signal);
            let code = (signal == Signal::TERM).then_some(0);
            assert_eq!(server.wait().code(), code, "{:#?}", server.log());
        }
        let _last = Server::start_command(&mut passing(&[&tcp], &command(&[], &[])), 1);
        must_stop.store(true, Relaxed);
        let complete: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
        assert!(complete >= times, "only {complete} echoes in {times} restarts");
    });
}

/// Failed when the server reset what waited for it.
#[test]
fn restarts_under_load_refuse_no_connection_and_lose_no_byte() {
    restart_beside_clients(Signal::TERM, 20, false);
}

/// What a killed server has accepted is lost. What waits is not.
#[test]
fn a_killed_server_takes_only_accepted_connections_with_it() {
    restart_beside_clients(Signal::KILL, 20, true);
}
