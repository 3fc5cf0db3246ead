//! Every byte comes back: each kind of listener, many connections, slow readers, and the options that change
//! how the server reads.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::server::Server;
use crate::unix::SocketPath;
use crate::wire::{echo_of, expect_echo, expect_end, pattern, send_until_stuck};

const MIB: usize = 1 << 20;

#[test]
fn a_message_comes_back() {
    let server = Server::start(&[]);
    let stream = server.connect();
    expect_echo(&stream, b"hello\n");
    expect_echo(&stream, &pattern(1, 100_000));
    stream.shutdown(Shutdown::Write).unwrap();
    expect_end(&stream);
    assert!(server.stop().contains(
        "1 connection, 100,006 bytes in, 100,006 bytes out, 0 refused, 0 reset, 0 timed out, 0 cut"
    ));
}

#[test]
fn every_listener_echoes() {
    let unix = SocketPath::new();
    let server = Server::start_at(&["127.0.0.1:0", "[::1]:0", &unix.addr], &[]);
    assert_eq!(server.addrs()[2], unix.addr);
    expect_echo(TcpStream::connect(&server.addrs()[0]).unwrap(), b"four");
    expect_echo(TcpStream::connect(&server.addrs()[1]).unwrap(), b"six");
    let stream = UnixStream::connect(&unix.path).unwrap();
    expect_echo(&stream, &pattern(2, 100_000));
    stream.shutdown(Shutdown::Write).unwrap();
    expect_end(&stream);
}

#[test]
fn five_hundred_connections_each_get_their_own_echo() {
    let server = Server::start(&[]);
    let streams: Vec<_> = (0..500).map(|_| server.connect()).collect();
    for round in 0..3 {
        let size = [1, 1000, 30_000][round];
        for (i, mut stream) in streams.iter().enumerate() {
            stream.write_all(&pattern(i + round, size)).unwrap();
        }
        for (i, mut stream) in streams.iter().enumerate() {
            let mut echo = vec![0; size];
            stream.read_exact(&mut echo).unwrap();
            assert!(echo == pattern(i + round, size), "connection {i}, round {round}");
        }
    }
    drop(streams);
    assert!(server.stop().contains("500 connections, 15,500,500 bytes in, 15,500,500 bytes out"));
}

/// Failed when the server tried a connection again at once although its peer took no more.
#[test]
fn slow_readers_do_not_slow_fast_ones() {
    let server = Server::start(&[]);
    let stuck: Vec<_> = (0..20).map(|_| server.connect()).collect();
    let bytes = pattern(5, 16 * MIB);
    thread::scope(|scope| {
        for stream in &stuck {
            scope.spawn(|| assert!(send_until_stuck(stream, &bytes) < bytes.len()));
        }
        let fast = server.connect();
        (0..1000).for_each(|i| expect_echo(&fast, &pattern(i, 100)));
    });
    // Stuck connections cost nothing.
    let before = server.cpu_time();
    let fast = server.connect();
    let start = Instant::now();
    let mut echoes: u32 = 0;
    while start.elapsed() < Duration::from_secs(1) {
        expect_echo(&fast, b"?");
        thread::sleep(Duration::from_millis(50)); // Few echoes, so that stuck connections would show.
        echoes += 1;
    }
    let used = server.cpu_time() - before;
    assert!(used < Duration::from_millis(200), "{used:?} for {echoes} echoes");
}

#[test]
fn once_echoes_once_and_closes_cleanly() {
    let server = Server::start(&["--once"]);
    for message in [&b"hello\n"[..], &[7; 30_000]] {
        let stream = server.connect();
        expect_echo(&stream, message);
        expect_end(&stream);
    }
    // What follows the echo is discarded, and causes no reset while the end of stream is in flight.
    let stream = server.connect();
    expect_echo(&stream, b"first");
    (&stream).write_all(b"second").unwrap();
    expect_end(&stream);
    server.stop();
}

#[test]
fn a_buffer_of_any_size_is_faithful() {
    for buffer in ["1", "7", "1k", "1m"] {
        let server = Server::start(&["--buffer", buffer]);
        let bytes = pattern(8, 50_000);
        assert!(echo_of(server.connect(), bytes.clone()) == bytes, "--buffer {buffer}");
    }
}

#[test]
fn spinning_echoes_faithfully_and_stops_when_idle() {
    let server = Server::start(&["--spin", "1ms"]);
    let stream = server.connect();
    (0..100).for_each(|i| expect_echo(&stream, &pattern(i, 64)));
    let used = server.cpu_used_in(Duration::from_millis(500));
    assert!(used < Duration::from_millis(100), "{used:?} in half a second of silence");
}
