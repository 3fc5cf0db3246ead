//! Limits of the server, and what it does when descriptors or memory run out.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::server::{Server, eventually};
use crate::wire::{
    connect_from, connect_with_little_room, expect_closed, expect_echo, expect_end, pattern,
    send_until_stuck,
};

/// Failed when the server admitted all connections, and when it still counted those that had ended.
#[test]
fn connections_over_the_limit_are_refused_until_there_is_room() {
    let server = Server::start(&["--max-connections", "5"]);
    let mut streams: Vec<_> = (0..5).map(|_| server.connect()).collect();
    streams.iter().for_each(|stream| expect_echo(stream, b"within"));
    (0..100).for_each(|_| expect_closed(server.connect()));
    streams.iter().for_each(|stream| expect_echo(stream, b"still within"));
    let one = streams.pop().unwrap();
    one.shutdown(Shutdown::Write).unwrap();
    expect_end(&one);
    expect_echo(server.connect(), b"in its place");
    drop(streams);
    assert!(server.stop().contains("6 connections, 102 bytes in, 102 bytes out, 100 refused"));
}

/// Failed when the server admitted all connections, and when it still counted ended ones against their address.
#[test]
fn each_address_has_its_own_limit() {
    let server = Server::start(&["--max-per-ip", "2"]);
    let connect = |host| connect_from(Ipv4Addr::new(127, 0, 0, host), server.addr());
    let first = [connect(2), connect(2)];
    first.iter().for_each(|stream| expect_echo(stream, b"hello"));
    expect_closed(connect(2));
    expect_echo(connect(3), b"hello");
    let [one, _other] = first;
    one.shutdown(Shutdown::Write).unwrap();
    expect_end(&one);
    expect_echo(connect(2), b"hello again");
}

/// Failed when no connection was ever idle, and when bytes that moved did not end the idle time.
#[test]
fn idle_peers_are_closed_at_the_timeout_and_not_before() {
    let server = Server::start(&["--idle-timeout", "1s"]);
    let idle = server.connect();
    let stream = server.connect();
    // A peer that sends is not idle, however long the connection lasts.
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(2500) {
        expect_echo(&stream, b"I am here");
        thread::sleep(Duration::from_millis(50)); // A pause well below the idle timeout.
    }
    expect_closed(&idle);
    let since = Instant::now();
    expect_echo(&stream, b"the last");
    expect_end(&stream);
    assert!(since.elapsed() >= Duration::from_secs(1), "closed after {:?}", since.elapsed());
    assert!(server.stop().contains("2 timed out"));
}

/// Failed when the server learnt only from edges that a peer had taken bytes. The kernel reports room once a third
/// of its buffer is free, and this peer needs longer than the stall timeout for a third.
#[test]
fn a_reader_that_is_slow_but_steady_is_not_stalled() {
    let server = Server::start(&["--stall-timeout", "600ms"]);
    let stream = server.connect();
    let bytes = pattern(7, 12 << 20);
    let mut echo = vec![0; bytes.len()];
    thread::scope(|scope| {
        scope.spawn(|| (&stream).write_all(&bytes).unwrap());
        let mut taken = 0;
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(2) {
            (&stream).read_exact(&mut echo[taken..taken + 10_000]).unwrap();
            taken += 10_000;
            thread::sleep(Duration::from_millis(10)); // The peer is slow: 1 MB/s.
        }
        (&stream).read_exact(&mut echo[taken..]).unwrap();
    });
    assert!(echo == bytes);
    drop(stream);
    assert!(server.stop().contains("0 timed out, 0 cut off"));
}

/// The summary counts connections of which not every byte was echoed.
#[test]
fn a_peer_that_takes_nothing_is_closed_at_the_timeout_and_counted() {
    let mut server = Server::start(&["-v", "--stall-timeout", "400ms"]);
    let bytes = pattern(8, 16 << 20);
    for half_closed in [false, true] {
        let stream = server.connect();
        thread::scope(|scope| {
            scope.spawn(|| {
                if half_closed {
                    // The server may close before it has taken all of this.
                    let _ = (&stream).write_all(&bytes[..10 << 20]);
                    let _ = stream.shutdown(Shutdown::Write);
                } else {
                    assert!((&stream).write_all(&bytes).is_err());
                }
            });
            let closed = "stall timeout: it took nothing; not all that it sent was echoed";
            server.expect_line(closed);
        });
    }
    let last = server.stop();
    assert!(last.contains("2 timed out, 2 cut off") && last.contains("WARN"), "{last}");
}

/// The server has written everything, so the peer counts as idle, but the peer has not read everything. Failed when
/// the server lingered for only one second: a reset answers what the peer sends after that, and destroys the bytes
/// in flight.
#[test]
fn an_idle_peer_that_still_reads_gets_its_whole_echo() {
    let server = Server::start(&["--idle-timeout", "300ms"]);
    let stream = connect_with_little_room(server.addr());
    let bytes = pattern(9, 1_000_000);
    (&stream).write_all(&bytes).unwrap();
    let mut echo = vec![0; bytes.len()];
    let start = Instant::now();
    for (i, part) in echo.chunks_mut(25_000).enumerate() {
        (&stream).read_exact(part).unwrap();
        thread::sleep(Duration::from_millis(60)); // The peer reads slowly.
        if i == 32 {
            assert!(start.elapsed() > Duration::from_millis(1800));
            (&stream).write_all(b"and another thing").unwrap();
        }
    }
    assert!(echo == bytes);
    expect_end(&stream);
    // What the peer sent after the server's end of stream was not echoed.
    drop(stream);
    assert!(server.stop().contains("1 timed out, 1 cut off"));
}

/// The pending limit allows more than there is memory. Failed when the server allocated without expecting a
/// failure: it was aborted.
#[test]
fn memory_that_runs_out_ends_connections_and_not_the_server() {
    let mut server = Server::start(&["-v", "--pending-limit", "1g"]);
    let bystander = server.connect();
    expect_echo(&bystander, b"before");
    server.limit_memory((server.status_kib("VmSize") as u64 + 4096) << 10);
    let bytes = pattern(2, 8 << 20);
    let peers: Vec<_> = (0..40).map(|_| server.connect()).collect();
    thread::scope(|scope| {
        for mut stream in &peers {
            let bytes = &bytes;
            stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
            // If the server closes this connection, the write may fail.
            scope.spawn(move || stream.write_all(bytes).is_ok());
        }
    });
    server.expect_line("closed: ");
    expect_echo(&bystander, &pattern(3, 10_000));
    drop(peers);
    expect_echo(server.connect(), b"in the place of others");
    drop(bystander);
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    let log = server.log();
    assert!(
        log.iter()
            .any(|line| line.contains("out of memory") || line.contains("annot allocate memory")),
        "{log:#?}"
    );
}

/// The sum of all pending bytes is bounded, and a client that reads is still served. Failed when the server read
/// a full buffer, however much was pending.
#[test]
fn peers_that_never_read_hold_no_more_than_the_pending_limit() {
    let server = Server::start(&["--pending-limit", "4m", "--max-connections", "1000"]);
    let bystander = server.connect();
    expect_echo(&bystander, b"before");
    let before = server.status_kib("VmRSS");
    let bytes = pattern(2, 16 << 20);
    let stuck: Vec<_> = (0..60).map(|_| server.connect()).collect();
    thread::scope(|scope| {
        for stream in &stuck {
            scope.spawn(|| assert!(send_until_stuck(stream, &bytes) < bytes.len()));
        }
    });
    expect_echo(&bystander, &pattern(3, 100_000));
    let grown = server.status_kib("VmHWM") - before;
    // The limit, the scratch buffer, and what the allocator needs beside them.
    assert!(grown < 4096 + 256 + 1024, "grew by {grown} KiB");
}

/// The accept queue is full when descriptors run out, so no further edge reports it. Failed when the server waited
/// for an edge, when it did not back off between attempts, and when the end of a connection did not end the
/// back-off.
#[test]
fn accepting_resumes_after_descriptors_ran_out() {
    let mut server = Server::start(&["--backlog", "4"]);
    let bystander = server.connect();
    expect_echo(&bystander, b"before");
    server.limit_descriptors(server.descriptors() + 2);
    let served = [server.connect(), server.connect()];
    served.iter().for_each(|stream| expect_echo(stream, b"with the last descriptors"));
    // These connections fill the accept queue.
    let waiting: Vec<_> = (0..5).map(|_| server.connect()).collect();
    server.expect_line("cannot accept on");
    expect_echo(&bystander, b"meanwhile");
    let used = server.cpu_used_in(Duration::from_secs(1));
    assert!(used < Duration::from_millis(200), "{used:?} in a second of waiting");
    // A connection that ends makes room for the next one at once.
    let [first, second] = served;
    drop(first);
    expect_echo(&waiting[0], b"in the place of the first");
    // No connection ends now, but the limit is raised, and the timer tries again.
    server.limit_descriptors(1000);
    waiting.iter().for_each(|stream| expect_echo(stream, b"served after all"));
    drop((second, waiting, bystander));
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    let warnings = server.log().iter().filter(|line| line.contains("cannot accept")).count();
    assert_eq!(warnings, 1, "{:#?}", server.log());
}

/// The kernel completes one connection more than the backlog.
#[test]
fn the_backlog_has_the_length_of_the_option() {
    for (backlog, most) in [("1", 2), ("20", 21)] {
        let server = Server::start(&["--backlog", backlog]);
        server.pause();
        let addr: SocketAddr = server.addr().parse().unwrap();
        let streams: Vec<_> = (0..most + 3)
            .map_while(|_| TcpStream::connect_timeout(&addr, Duration::from_millis(300)).ok())
            .collect();
        assert_eq!(streams.len(), most, "with --backlog {backlog}");
        server.resume();
        streams.iter().for_each(|stream| expect_echo(stream, b"hello"));
    }
}

/// Failed when each connection left 200 bytes behind, and when each left its descriptor open.
#[test]
fn churn_leaves_nothing_behind() {
    let server = Server::start(&[]);
    let churn = |times| (0..times).for_each(|_| expect_echo(server.connect(), b"hello"));
    churn(500);
    let before = (server.descriptors(), server.status_kib("VmRSS"));
    churn(2000);
    eventually(|| (server.descriptors() <= before.0).then_some(()));
    let grown = server.status_kib("VmRSS").saturating_sub(before.1);
    assert!(grown < 200, "grew by {grown} KiB");
}
