//! Every byte comes back, whatever the peer does.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::ends::connect_with_little_room;
use crate::server::{Server, eventually};
use crate::wire::{echo_of, expect_closed, expect_echo, expect_end, pattern, reset, stuff};

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
        "1 connections, 100006 bytes in, 100006 bytes out, 0 refused, 0 reset, 0 timed out, 0 cut"
    ));
}

#[test]
fn every_listener_echoes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let unix = format!("unix:{}", path.display());
    let server = Server::start_at(&["127.0.0.1:0", "[::1]:0", &unix], &[]);
    assert_eq!(server.addrs()[2], unix);
    expect_echo(TcpStream::connect(&server.addrs()[0]).unwrap(), b"four");
    expect_echo(TcpStream::connect(&server.addrs()[1]).unwrap(), b"six");
    let stream = UnixStream::connect(&path).unwrap();
    expect_echo(&stream, &pattern(2, 100_000));
    stream.shutdown(Shutdown::Write).unwrap();
    expect_end(&stream);
}

/// FAULTS 1. Failed when a read of a single byte was taken for the end.
#[test]
fn one_byte_at_a_time_comes_back() {
    let server = Server::start(&[]);
    let stream = server.connect();
    let bytes = pattern(9, 5000);
    let mut writer = stream.try_clone().unwrap();
    let sent = bytes.clone();
    let sender = thread::spawn(move || {
        sent.chunks(1).for_each(|byte| writer.write_all(byte).unwrap());
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut echo = Vec::new();
    (&stream).read_to_end(&mut echo).unwrap();
    sender.join().unwrap();
    assert!(echo == bytes);
    // Nor does it help the server when the byte before has long been echoed.
    let stream = server.connect();
    bytes.chunks(1).for_each(|byte| expect_echo(&stream, byte));
}

/// FAULTS 2. Failed when what a write took was not counted off what is pending, and when all of a read was
/// kept although a part of it was written.
#[test]
fn partial_writes_keep_the_order_and_repeat_nothing() {
    let mut server = Server::start(&["-vv", "--buffer", "1m"]);
    let stream = connect_with_little_room(&server);
    let bytes = pattern(10, 16 * MIB);
    server.signal(Signal::STOP);
    let sent = stuff(&stream, &bytes);
    stream.shutdown(Shutdown::Write).unwrap();
    server.signal(Signal::CONT);
    // A reader that is late: only then are the writes cut short.
    server.expect_line("takes no more for now");
    let mut echo = Vec::new();
    (&stream).read_to_end(&mut echo).unwrap();
    assert!(echo == bytes[..sent]);
    server.expect_line("closed: all echoed");
    let is_partial = |pair: &[String]| match (moved(&pair[0], "read"), moved(&pair[1], "wrote")) {
        (Some(read), Some(wrote)) => wrote < read,
        _ => false,
    };
    assert!(server.log().windows(2).any(is_partial), "no write was partial: this shows nothing");
}

/// How many bytes a line of the log tells of, if it tells of such a call.
fn moved(line: &str, call: &str) -> Option<usize> {
    let (_, rest) = line.split_once(&format!(": {call} "))?;
    rest.strip_suffix(" bytes")?.parse().ok()
}

/// FAULTS 6. The whole echo is pending, in one place or another, when the end comes.
#[test]
fn a_half_closed_peer_gets_all_64_mib() {
    let server = Server::start(&[]);
    let bytes = pattern(3, 64 * MIB);
    assert!(echo_of(server.connect(), bytes.clone()) == bytes);
    server.stop();
}

/// FAULTS 22. Nothing is read until the server has stopped taking; then all of it is.
#[test]
fn a_peer_that_reads_late_gets_everything() {
    let server = Server::start(&[]);
    let bytes = pattern(4, 32 * MIB);
    let stream = server.connect();
    let sent = stuff(&stream, &bytes);
    assert!(sent < bytes.len(), "the server took {sent} bytes without end");
    let rest = bytes[sent..].to_vec();
    let mut writer = stream.try_clone().unwrap();
    let sender = thread::spawn(move || {
        writer.set_write_timeout(None).unwrap();
        writer.write_all(&rest).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut echo = Vec::new();
    (&stream).read_to_end(&mut echo).unwrap();
    sender.join().unwrap();
    assert!(echo == bytes);
}

#[test]
fn five_hundred_at_once_each_get_their_own() {
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
    assert!(server.stop().contains("500 connections, 15500500 bytes in, 15500500 bytes out"));
}

/// Peers that never read hold nobody else up.
#[test]
fn slow_readers_do_not_slow_the_fast() {
    let server = Server::start(&[]);
    let stuck: Vec<_> = (0..20).map(|_| server.connect()).collect();
    let bytes = pattern(5, 16 * MIB);
    thread::scope(|scope| {
        for stream in &stuck {
            scope.spawn(|| assert!(stuff(stream, &bytes) < bytes.len()));
        }
        let fast = server.connect();
        (0..1000).for_each(|i| expect_echo(&fast, &pattern(i, 100)));
    });
    // Once they are stuck, they cost nothing: FAULTS 7.
    let before = server.cpu_time();
    let fast = server.connect();
    let start = Instant::now();
    let mut echoes: u32 = 0;
    while start.elapsed() < Duration::from_secs(1) {
        expect_echo(&fast, b"?");
        thread::sleep(Duration::from_millis(50)); // How often the bystander asks.
        echoes += 1;
    }
    let used = server.cpu_time() - before;
    assert!(used < Duration::from_millis(100), "{used:?} for {echoes} echoes");
}

/// FAULTS 5. Bytes and the end are there before the server looks.
#[test]
fn bytes_and_end_in_one_event() {
    let server = Server::start(&[]);
    let stream = server.connect();
    expect_echo(&stream, b"established");
    server.signal(Signal::STOP);
    (&stream).write_all(b"last words").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    server.signal(Signal::CONT);
    let mut echo = Vec::new();
    (&stream).read_to_end(&mut echo).unwrap();
    assert_eq!(echo, b"last words");
}

/// FAULTS 8. A read stops short at an urgent mark, with more bytes behind it that no edge announces.
#[test]
fn an_urgent_byte_does_not_stall_what_follows() {
    let server = Server::start(&[]);
    let stream = server.connect();
    expect_echo(&stream, b"established");
    server.signal(Signal::STOP);
    (&stream).write_all(b"before").unwrap();
    socket2::SockRef::from(&stream).send_out_of_band(b"!").unwrap();
    (&stream).write_all(b"behind").unwrap();
    server.signal(Signal::CONT);
    let mut echo = [0; 12];
    (&stream).read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"beforebehind");
}

/// FAULTS 10. Resets, idle and with a megabyte queued both ways, end nothing but themselves.
#[test]
fn resets_free_what_they_held() {
    let mut server = Server::start(&["-v"]);
    let bystander = server.connect();
    expect_echo(&bystander, b"before");
    let descriptors = server.descriptors();
    for i in 0..20 {
        let stream = server.connect();
        expect_echo(&stream, b"hello");
        if i % 2 == 0 {
            stuff(&stream, &pattern(6, 16 * MIB));
        }
        reset(stream);
        server.expect_line("closed: connection reset by peer");
    }
    expect_echo(&bystander, b"after");
    eventually(|| (server.descriptors() == descriptors).then_some(()));
    drop(bystander);
    assert!(server.stop().contains("20 reset"));
}

/// FAULTS 11. The peer is gone when its echo is written. Failed when an error of one connection
/// ended the server.
#[test]
fn an_echo_to_nobody_ends_that_connection_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let unix = format!("unix:{}", path.display());
    let mut server = Server::start_at(&["127.0.0.1:0", &unix], &["-v"]);
    let bystander = server.connect();
    expect_echo(&bystander, b"before");
    let descriptors = server.descriptors();
    for _ in 0..10 {
        let (tcp, unix) = (server.connect(), UnixStream::connect(&path).unwrap());
        expect_echo(&tcp, b"hello");
        expect_echo(&unix, b"hello");
        server.signal(Signal::STOP);
        (&unix).write_all(b"echo this").unwrap();
        drop(unix);
        (&tcp).write_all(b"echo this").unwrap();
        // A reset after the end makes the write fail, and not the read.
        tcp.shutdown(Shutdown::Write).unwrap();
        reset(tcp);
        server.signal(Signal::CONT);
        server.expect_line("closed: broken pipe");
        server.expect_line("closed: broken pipe");
    }
    expect_echo(&bystander, b"after");
    assert_eq!(server.descriptors(), descriptors);
    drop(bystander);
    assert!(server.stop().contains("20 reset"));
}

/// FAULTS 12. Some end and others come while the server does not look: one batch tells of both, and who comes
/// gets the slot, and the descriptor, of who ended. Failed when whoever ended was, by his token, closed
/// once more at the end of the batch.
#[test]
fn whoever_comes_in_the_place_of_another_is_served() {
    let server = Server::start(&[]);
    let mut old: Vec<_> = (0..60).map(|_| server.connect()).collect();
    old.iter().for_each(|stream| expect_echo(stream, b"established"));
    let descriptors = server.descriptors();
    for round in 0..10 {
        server.signal(Signal::STOP);
        let kept = old.split_off(30);
        let new: Vec<_> = old
            .into_iter()
            .enumerate()
            .map(|(i, ended)| {
                if i % 2 == 0 {
                    drop(ended)
                } else {
                    reset(ended)
                }
                let stream = server.connect();
                (&stream).write_all(&pattern(i + round, 100)).unwrap();
                stream
            })
            .collect();
        server.signal(Signal::CONT);
        for (i, mut stream) in new.iter().enumerate() {
            let mut echo = [0; 100];
            stream.read_exact(&mut echo).unwrap();
            assert!(echo[..] == pattern(i + round, 100), "connection {i}, round {round}");
        }
        old = kept.into_iter().chain(new).collect();
        old.iter().for_each(|stream| expect_echo(stream, b"still there"));
        assert_eq!(server.descriptors(), descriptors);
    }
}

#[test]
fn once_means_one_echo_and_a_clean_end() {
    let server = Server::start(&["--once"]);
    for message in [&b"hello\n"[..], &[7; 30_000]] {
        let stream = server.connect();
        expect_echo(&stream, message);
        expect_end(&stream);
    }
    // What comes after the echo is thrown away, and resets nothing while the goodbye is under way.
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
fn spinning_is_faithful_and_ends() {
    let server = Server::start(&["--spin", "1ms"]);
    let stream = server.connect();
    (0..100).for_each(|i| expect_echo(&stream, &pattern(i, 64)));
    let before = server.cpu_time();
    thread::sleep(Duration::from_millis(500)); // The time over which the processor is watched.
    let used = server.cpu_time() - before;
    assert!(used < Duration::from_millis(100), "{used:?} in half a second of silence");
}

/// FAULTS 37. Who was silent because the server was is not timed out for it.
#[test]
fn a_stopped_server_does_not_blame_its_peers() {
    let server = Server::start(&["--idle-timeout", "2s"]);
    let streams: Vec<_> = (0..50).map(|_| server.connect()).collect();
    streams.iter().for_each(|stream| expect_echo(stream, b"before"));
    server.signal(Signal::STOP);
    thread::sleep(Duration::from_secs(5)); // The fault itself.
    server.signal(Signal::CONT);
    streams.iter().for_each(|stream| expect_echo(stream, b"after"));
    // And still, whoever is silent while the server listens is closed.
    streams.iter().for_each(expect_closed);
}
