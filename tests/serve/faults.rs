//! Faults of peers, and a server that is stopped: docs/reliability.md lists them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use crate::bystander::Bystander;
use crate::passed::pass_descriptors;
use crate::server::Server;
use crate::unix::{SocketPath, connect_unix};
use crate::wire::{
    connect_with_little_room, echo_of, expect_bytes, expect_closed, expect_echo, expect_end,
    pattern, read_to_end, reset, send_until_stuck,
};

const MIB: usize = 1 << 20;

/// A prime number, so that no buffer between client and server is a multiple of a block, or a block of a buffer.
const BLOCK_BYTES: usize = 1_048_573;

/// Failed when the server took a read of a single byte for the end.
#[test]
fn one_byte_at_a_time_comes_back() {
    let server = Server::start(&[]);
    let bystander = Bystander::beside(&server);
    let stream = server.connect();
    let bytes = pattern(9, 5000);
    thread::scope(|scope| {
        scope.spawn(|| {
            bytes.chunks(1).for_each(|byte| (&stream).write_all(byte).unwrap());
            stream.shutdown(Shutdown::Write).unwrap();
        });
        assert!(read_to_end(&stream) == bytes);
    });
    // Now each byte is sent only after the byte before it has come back.
    let stream = server.connect();
    bytes.chunks(1).for_each(|byte| expect_echo(&stream, byte));
    drop(stream);
    bystander.expect_all_as_before(&server);
}

/// Failed when the server did not remove written bytes from the pending ones, and when it kept all bytes of a read
/// although it had written some of them.
#[test]
fn partial_writes_keep_the_order_and_repeat_nothing() {
    let mut server = Server::start(&["-vv"]);
    let bystander = Bystander::beside(&server);
    let stream = connect_with_little_room(server.addr());
    let bytes = pattern(10, 16 * MIB);
    server.pause();
    let sent = send_until_stuck(&stream, &bytes);
    stream.shutdown(Shutdown::Write).unwrap();
    server.resume();
    // The reader is late. Writes are partial only if the peer does not read.
    server.expect_line("takes no more for now");
    assert!(read_to_end(&stream) == bytes[..sent]);
    server.expect_line(&format!("{}: closed: all echoed", stream.local_addr().unwrap()));
    let is_partial = |pair: &[String]| match (moved(&pair[0], "read"), moved(&pair[1], "wrote")) {
        (Some(read), Some(wrote)) => wrote < read,
        _ => false,
    };
    assert!(
        server.log().windows(2).any(is_partial),
        "no write was partial, so this test shows nothing"
    );
    bystander.expect_all_as_before(&server);
}

/// The number of bytes that a line of the log reports for `call`: `read` or `wrote`.
fn moved(line: &str, call: &str) -> Option<usize> {
    let (_, rest) = line.split_once(&format!(": {call} "))?;
    rest.strip_suffix(" bytes")?.parse().ok()
}

/// Bytes and the end of stream arrive before the server looks. Failed when an event that reports the end closed
/// the connection.
#[test]
fn bytes_and_end_in_one_event() {
    let server = Server::start(&[]);
    let bystander = Bystander::beside(&server);
    for _ in 0..20 {
        let stream = server.connect();
        expect_echo(&stream, b"established");
        server.pause();
        (&stream).write_all(b"last words").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        server.resume();
        assert_eq!(read_to_end(&stream), b"last words");
    }
    bystander.expect_all_as_before(&server);
}

/// The client reads nothing until the server takes no more, and then reads everything. Failed when an event that
/// reports the end closed the connection, when the server read while bytes were pending, and when it did not read
/// again after the peer had taken them.
#[test]
fn a_half_closed_peer_gets_all_100_mib() {
    let server = Server::start(&[]);
    let bystander = Bystander::beside(&server);
    let bytes = pattern(3, BLOCK_BYTES).repeat(100);
    let stream = server.connect();
    let sent = send_until_stuck(&stream, &bytes);
    assert!(sent < bytes.len(), "the server took all {sent} bytes, without back-pressure");
    let rest = bytes[sent..].to_vec();
    stream.set_write_timeout(None).unwrap();
    assert!(echo_of(stream, rest) == bytes);
    bystander.expect_all_as_before(&server);
}

/// Failed when the server tried a connection again at once although its peer took no more, and when the stall
/// timeout closed no connection.
#[test]
fn a_half_closed_peer_that_never_reads_costs_no_processor_time_and_is_closed() {
    let mut server = Server::start(&["-v", "--stall-timeout", "2s"]);
    let bystander = Bystander::beside(&server);
    let (stuck, idle) = (server.connect(), server.connect());
    send_until_stuck(&stuck, &pattern(1, 32 * MIB));
    stuck.shutdown(Shutdown::Write).unwrap();
    let used = server.cpu_used_in(Duration::from_secs(1));
    // The bystander alone costs 6 ms, and a server that tries again and again takes all of a processor.
    assert!(used < Duration::from_millis(200), "{used:?} in a second, beside a bystander");
    server.expect_line("closed: stall timeout: it took nothing");
    // An idle connection is not a stalled one.
    expect_echo(&idle, b"hello");
    drop((stuck, idle));
    bystander.expect_all_as_before(&server);
    assert!(server.stop().contains("1 timed out"));
}

/// A read stops at an urgent mark, and no edge announces the bytes behind the mark. Failed when the server took
/// every short read as proof that the socket is empty, even if the event had reported urgent data.
#[test]
fn an_urgent_byte_does_not_stall_what_follows() {
    let server = Server::start(&[]);
    let bystander = Bystander::beside(&server);
    let stream = server.connect();
    expect_echo(&stream, b"established");
    for _ in 0..20 {
        server.pause();
        (&stream).write_all(b"before").unwrap();
        socket2::SockRef::from(&stream).send_out_of_band(b"!").unwrap();
        (&stream).write_all(b"behind").unwrap();
        server.resume();
        expect_bytes(&stream, b"beforebehind");
    }
    drop(stream);
    bystander.expect_all_as_before(&server);
}

/// From Linux 6.16 on, the server's kernel refuses the descriptors. So this shows only that such a client is served on;
/// `tests/real/traced.rs` makes descriptors arrive, and shows that the bytes behind them do not stall.
#[test]
fn a_client_that_passes_descriptors_gets_its_echo_and_the_server_keeps_none() {
    let unix = SocketPath::new();
    let server = Server::start_at(&["127.0.0.1:0", &unix.addr], &[]);
    let bystander = Bystander::beside(&server);
    let stream = connect_unix(&unix.path);
    expect_echo(&stream, b"established");
    pass_descriptors(&server, &stream);
    stream.shutdown(Shutdown::Write).unwrap();
    expect_end(&stream);
    bystander.expect_all_as_before(&server);
}

/// A reset in the middle of an echo, or with megabytes queued in both directions, ends only its connection.
/// Failed when the server kept a connection that had failed.
#[test]
fn a_reset_frees_what_the_connection_held() {
    let mut server = Server::start(&["-v"]);
    let bystander = Bystander::beside(&server);
    let much = pattern(6, BLOCK_BYTES).repeat(64);
    for i in 0..20 {
        let stream = server.connect();
        expect_echo(&stream, b"hello");
        if i % 2 == 0 {
            assert!(send_until_stuck(&stream, &much) > 2 * MIB);
        } else {
            (&stream).write_all(&pattern(i, 100_000)).unwrap();
            (&stream).read_exact(&mut [0; 1000]).unwrap();
        }
        reset(stream);
        server.expect_line("closed: ");
    }
    bystander.expect_all_as_before(&server);
    assert!(server.stop().contains("20 reset"));
}

/// The peer has gone before the server writes its echo. Failed when an error of one connection ended the server.
#[test]
fn a_write_after_the_peer_has_gone_ends_that_connection_only() {
    let socket = SocketPath::new();
    let mut server = Server::start_at(&["127.0.0.1:0", &socket.addr], &["-v"]);
    let bystander = Bystander::beside(&server);
    for _ in 0..10 {
        let (tcp, unix) = (server.connect(), UnixStream::connect(&socket.path).unwrap());
        expect_echo(&tcp, b"hello");
        expect_echo(&unix, b"hello");
        server.pause();
        (&unix).write_all(b"echo this").unwrap();
        drop(unix);
        (&tcp).write_all(b"echo this").unwrap();
        // If a reset follows the end of stream, the write fails and the read does not.
        tcp.shutdown(Shutdown::Write).unwrap();
        reset(tcp);
        server.resume();
        server.expect_line("closed: broken pipe");
        server.expect_line("closed: broken pipe");
    }
    bystander.expect_all_as_before(&server);
    assert!(server.stop().contains("20 reset"));
}

/// While the server is stopped, some connections end and others arrive. One batch of events reports both, and the
/// new connections take over slots and descriptors. Failed when the server closed the tokens of the ended ones a
/// second time, at the end of the batch.
#[test]
fn a_connection_that_takes_over_a_slot_is_served() {
    let server = Server::start(&[]);
    let bystander = Bystander::beside(&server);
    let mut old: Vec<_> = (0..60).map(|_| server.connect()).collect();
    old.iter().for_each(|stream| expect_echo(stream, b"established"));
    let descriptors = server.descriptors();
    for round in 0..10 {
        server.pause();
        let kept = old.split_off(30);
        let replace = |(i, ended): (usize, TcpStream)| {
            if i % 2 == 0 {
                drop(ended)
            } else {
                reset(ended)
            }
            let stream = server.connect();
            (&stream).write_all(&pattern(i + round, 100)).unwrap();
            stream
        };
        let new: Vec<_> = old.into_iter().enumerate().map(replace).collect();
        server.resume();
        for (i, mut stream) in new.iter().enumerate() {
            let mut echo = [0; 100];
            stream.read_exact(&mut echo).unwrap();
            assert!(echo[..] == pattern(i + round, 100), "connection {i}, round {round}");
        }
        old = kept.into_iter().chain(new).collect();
        old.iter().for_each(|stream| expect_echo(stream, b"still there"));
        assert_eq!(server.descriptors(), descriptors);
    }
    drop(old);
    bystander.expect_all_as_before(&server);
}

/// The peers send some time after the server goes on. Failed when the idle time included the time up to the next
/// sweep, although the server was stopped when the sweep was due.
#[test]
fn time_during_which_the_server_is_stopped_is_not_idle_time() {
    let server = Server::start(&["--idle-timeout", "2s"]);
    let streams: Vec<_> = (0..20).map(|_| server.connect()).collect();
    streams.iter().for_each(|stream| expect_echo(stream, b"before"));
    server.pause();
    thread::sleep(Duration::from_millis(2500)); // The fault: the server is stopped for longer than the timeout.
    server.resume();
    thread::sleep(Duration::from_millis(300)); // No connection may be closed in this time.
    streams.iter().for_each(|stream| expect_echo(stream, b"after"));
    streams.iter().for_each(expect_closed);
    assert!(server.stop().contains("20 timed out"));
}

/// While the server is stopped, no peer can send or take anything, and none is timed out for that. Failed when the
/// server's clock ran on meanwhile.
#[test]
fn a_server_that_was_stopped_times_out_no_peer() {
    // Before a connection is idle: in a debug build this takes a second.
    let bytes = pattern(1, 32 * MIB);
    let server = Server::start(&["--idle-timeout", "3s", "--stall-timeout", "3s"]);
    let late = server.connect();
    let sent = send_until_stuck(&late, &bytes);
    let streams: Vec<_> = (0..50).map(|_| server.connect()).collect();
    streams.iter().for_each(|stream| expect_echo(stream, b"before"));
    server.pause();
    thread::sleep(Duration::from_secs(5)); // The fault: the server is stopped for longer than the timeouts.
    server.resume();
    streams.iter().for_each(|stream| expect_echo(stream, b"after"));
    expect_bytes(&late, &bytes[..sent]);
    // A peer that is silent while the server runs is closed as usual.
    streams.iter().for_each(expect_closed);
}
