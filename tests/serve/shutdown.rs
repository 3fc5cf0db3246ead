//! Leaving in order.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use socket2::{Domain, Socket, Type};

use crate::server::{PATIENCE, Server, command, connect_unix};
use crate::wire::{echo_of, expect_echo, expect_end, pattern, stuff};

#[test]
fn an_idle_server_stops_at_once() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut server = Server::start(&[]);
        let idle = server.connect();
        expect_echo(&idle, b"hello");
        let start = Instant::now();
        server.signal(signal);
        expect_end(&idle);
        assert_eq!(server.wait().code(), Some(0));
        assert!(start.elapsed() < Duration::from_secs(4), "after {:?}", start.elapsed());
        assert!(TcpStream::connect(server.addr()).is_err(), "somebody listens still");
    }
}

/// FAULTS 25. Pending bytes, here and in the kernel, reach a peer that reads, before the end does. Failed when
/// whatever was pending was cut off at the signal.
#[test]
fn pending_bytes_are_sent_before_the_server_stops() {
    let server = Server::start(&["--drain-timeout", "30s"]);
    let stream = server.connect();
    let bytes = pattern(1, 64 << 20);
    let sent = stuff(&stream, &bytes);
    server.signal(Signal::TERM);
    let mut echo = Vec::new();
    (&stream).read_to_end(&mut echo).unwrap();
    assert_eq!(echo.len(), sent);
    assert!(echo == bytes[..sent]);
    drop(stream);
    let mut server = server;
    assert_eq!(server.wait().code(), Some(0));
}

/// FAULTS 25. What an accepted peer is still sending when the signal comes is echoed to the end. Failed when
/// the goodbye was said as soon as what had arrived was echoed.
#[test]
fn streams_in_progress_are_echoed_to_their_end() {
    let mut server = Server::start(&["--drain-timeout", "30s"]);
    let bytes = pattern(5, 16 << 20);
    let (first, rest) = bytes.split_at(100_000);
    let streams: Vec<_> = (0..5).map(|_| server.connect()).collect();
    streams.iter().for_each(|stream| expect_echo(stream, first));
    thread::scope(|scope| {
        for stream in streams {
            scope.spawn(move || assert!(echo_of(stream, rest.into()) == rest));
        }
        server.signal(Signal::TERM);
    });
    assert_eq!(server.wait().code(), Some(0));
}

/// However long ago the echo was handed to the kernel: a peer that talks on after the goodbye gets it.
#[test]
fn an_echo_in_flight_survives_the_shutdown_of_writing() {
    let mut server = Server::start(&[]);
    let stream = connect_with_little_room(&server);
    let bytes = pattern(6, 1_000_000);
    (&stream).write_all(&bytes).unwrap();
    // The server has echoed it all, and found nothing to do for longer than it lingers.
    let (mut used, mut since) = (server.cpu_time(), Instant::now());
    while since.elapsed() < Duration::from_millis(1500) {
        thread::sleep(Duration::from_millis(100)); // How often the server is looked at.
        if server.cpu_time() != used {
            (used, since) = (server.cpu_time(), Instant::now());
        }
    }
    server.signal(Signal::TERM);
    server.expect_line("stopping");
    for i in 0..10 {
        // It may be taken or not, once the goodbye is said.
        let _ = (&stream).write(b"and another thing");
        let mut echo = vec![0; 100_000];
        (&stream).read_exact(&mut echo).unwrap();
        assert!(echo == bytes[i * 100_000..][..100_000]);
        thread::sleep(Duration::from_millis(30)); // It reads slowly.
    }
    drop(stream);
    assert_eq!(server.wait().code(), Some(0));
}

/// A connection on which most of the echo has to wait at the server's end.
pub fn connect_with_little_room(server: &Server) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(8192).unwrap();
    socket.connect(&server.addr().parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.into()
}

/// Whoever waits to be accepted is connected, as far as he can see.
#[test]
fn the_accept_queue_is_served_before_the_listener_closes() {
    let mut server = Server::start(&[]);
    server.signal(Signal::STOP);
    let streams: Vec<_> = (0..200).map(|_| server.connect()).collect();
    streams.iter().for_each(|mut stream| stream.write_all(b"hello").unwrap());
    server.signal(Signal::TERM);
    server.signal(Signal::CONT);
    for mut stream in &streams {
        let mut echo = [0; 5];
        stream.read_exact(&mut echo).unwrap();
        assert_eq!(&echo, b"hello");
    }
    drop(streams);
    assert_eq!(server.wait().code(), Some(0));
}

/// FAULTS 25, under load: whatever is echoed is a prefix of what was sent, all of it arrives, and the end is
/// no reset. Failed when connections were closed at the signal without a goodbye.
#[test]
fn a_busy_server_stops_cleanly() {
    let mut server = Server::start(&["--drain-timeout", "2s"]);
    let streams: Vec<_> = (0..50).map(|_| server.connect()).collect();
    streams.iter().for_each(|stream| expect_echo(stream, b"established"));
    thread::scope(|scope| {
        let talkers = streams.iter().map(|stream| scope.spawn(move || talk_until_end(stream)));
        let talkers: Vec<_> = talkers.collect();
        server.signal(Signal::TERM);
        let echoed: usize = talkers.into_iter().map(|talker| talker.join().unwrap()).sum();
        assert_eq!(server.wait().code(), Some(0));
        let all = format!("{} bytes out, 0 refused, 0 reset", echoed + 50 * b"established".len());
        assert!(server.log().last().unwrap().contains(&all), "{all}: {:#?}", server.log());
    });
}

/// Sends a message and reads its echo, for ever, up to the server's end. Gives how much was echoed.
fn talk_until_end(mut stream: &TcpStream) -> usize {
    let mut echoed = 0;
    for i in 0.. {
        let message = pattern(i, 1000);
        stream.write_all(&message).unwrap();
        let mut echo = Vec::new();
        stream.take(1000).read_to_end(&mut echo).unwrap();
        assert!(echo == message[..echo.len()], "message {i}");
        echoed += echo.len();
        if echo.len() < message.len() {
            break;
        }
    }
    echoed
}

/// FAULTS 26. Failed when nobody was cut off, however late it was.
#[test]
fn a_stuck_peer_is_cut_off_at_the_drain_timeout() {
    let mut server = Server::start(&["--drain-timeout", "500ms"]);
    let stream = server.connect();
    stuff(&stream, &pattern(2, 32 << 20));
    let start = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    let took = start.elapsed();
    assert!((500..5000).contains(&took.as_millis()), "after {took:?}");
    assert!(server.log().last().unwrap().contains("1 cut off"), "{:#?}", server.log());
}

/// FAULTS 27. Failed when the second signal was taken for the first.
#[test]
fn a_second_signal_stops_the_server_at_once() {
    let mut server = Server::start(&["--drain-timeout", "1h"]);
    let stream = server.connect();
    stuff(&stream, &pattern(3, 32 << 20));
    server.signal(Signal::TERM);
    server.expect_line("stopping");
    let start = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(1));
    assert!(start.elapsed() < Duration::from_secs(4), "after {:?}", start.elapsed());
}

/// Failed when a terminal that closed killed the server, whose socket file then stayed; and when it said so
/// twice, which cut everybody off.
#[test]
fn a_closing_terminal_stops_the_server_in_order_even_if_it_sends_sighup_twice() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let mut server = Server::start_at(&[&format!("unix:{}", path.display())], &[]);
    let mut stream = connect_unix(&path);
    expect_echo(&stream, b"hello");
    server.signal(Signal::HUP);
    let line = server.expect_line("stopping");
    // Failed when nobody was told how long that may take, nor what a second signal does.
    let told = "stopping: 1 connection to finish, within 8 s; a second signal stops at once";
    assert!(line.ends_with(told), "{line}");
    server.signal(Signal::HUP);
    stream.write_all(b"still").unwrap();
    let mut echo = [0; 5];
    stream.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"still");
    drop(stream);
    assert_eq!(server.wait().code(), Some(0));
    assert!(!path.exists(), "the socket file was left behind");
}

/// Failed when a handler put an end to what nohup(1) had asked for.
#[test]
fn a_server_started_by_nohup_ignores_sighup() {
    let serve = command(&["127.0.0.1:0"], &[]);
    let mut nohup = Command::new("nohup");
    nohup
        .arg(serve.get_program())
        .args(serve.get_args())
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let mut server = Server::spawn(&mut nohup);
    let line = server.expect_line("listening on ");
    let stream = TcpStream::connect(line.rsplit_once(' ').unwrap().1).unwrap();
    expect_echo(&stream, b"before");
    server.signal(Signal::HUP);
    // Had it heard of that, it would hear of this next.
    expect_echo(&stream, b"after");
    server.signal(Signal::TERM);
    server.expect_line("stopping: 1 connection to finish");
    // And would leave at once.
    expect_echo(&stream, b"still");
    drop(stream);
    assert_eq!(server.wait().code(), Some(0));
}

/// FAULTS 43. Failed when two signals that came at once were one request to stop and one to stop at once.
#[test]
fn signals_that_arrive_together_are_one_request() {
    for pair in [[Signal::TERM, Signal::HUP], [Signal::TERM, Signal::INT]] {
        let mut server = Server::start(&["--drain-timeout", "30s"]);
        let stream = server.connect();
        let bytes = pattern(1, 64 << 20);
        let sent = stuff(&stream, &bytes);
        server.pause();
        pair.iter().for_each(|signal| server.signal(*signal));
        server.resume();
        let mut echo = Vec::new();
        (&stream).read_to_end(&mut echo).unwrap();
        assert!(echo == bytes[..sent], "{} of {sent}", echo.len());
        drop(stream);
        assert_eq!(server.wait().code(), Some(0));
        assert!(server.log().last().unwrap().contains("0 cut off"), "{:#?}", server.log());
    }
}

/// Failed when the first of two signals woke the server before the second was sent: one in five times.
#[test]
fn signals_that_follow_at_once_are_one_request() {
    for _ in 0..16 {
        let mut server = Server::start(&["--drain-timeout", "30s"]);
        let stream = server.connect();
        expect_echo(&stream, b"before");
        server.signal(Signal::TERM);
        server.signal(Signal::TERM);
        server.expect_line("stopping: 1 connection to finish");
        drop(stream);
        assert_eq!(server.wait().code(), Some(0), "{:#?}", server.log());
    }
}

/// FAULTS 42. Failed when the drain timeout was measured in time that the server had served.
#[test]
fn the_drain_timeout_counts_time_while_the_server_is_stopped() {
    let mut server = Server::start(&["--drain-timeout", "2s"]);
    let stream = server.connect();
    stuff(&stream, &pattern(2, 32 << 20));
    server.signal(Signal::TERM);
    server.expect_line("stopping");
    server.pause();
    thread::sleep(Duration::from_millis(2000)); // The fault itself.
    let start = Instant::now();
    server.resume();
    assert_eq!(server.wait().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(1), "after {:?}", start.elapsed());
    assert!(server.log().last().unwrap().contains("1 cut off"), "{:#?}", server.log());
}

/// FAULTS 44. A peer that never stops sending cannot put the end off for longer than the drain timeout. Failed when it
/// was not counted, as all that was read from it had been echoed.
#[test]
fn a_flooder_cannot_delay_the_stop() {
    let mut server = Server::start(&["--drain-timeout", "1s"]);
    let stream = server.connect();
    thread::scope(|scope| {
        let bytes = pattern(4, 1 << 20);
        let (writer, mut reader) = (&stream, &stream);
        scope.spawn(move || while (&mut &*writer).write_all(&bytes).is_ok() {});
        scope.spawn(move || while reader.read(&mut [0; 65536]).is_ok_and(|n| n > 0) {});
        server.signal(Signal::TERM);
        assert_eq!(server.wait().code(), Some(0));
    });
    let last = server.log().last().unwrap();
    assert!(last.contains("WARN") && last.contains("1 cut off"), "{last}");
}
