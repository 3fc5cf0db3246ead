//! What the server allows, and how it gets by when there is no more.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use socket2::{Domain, Socket, Type};

use crate::server::{PATIENCE, Server, eventually};
use crate::shutdown::connect_with_little_room;
use crate::wire::{expect_closed, expect_echo, expect_end, pattern, stuff};

/// FAULTS 19. Failed when all were admitted, and when whoever had gone was still counted.
#[test]
fn connections_over_the_limit_are_refused_until_there_is_room() {
    let server = Server::start(&["--max-connections", "5"]);
    let mut streams: Vec<_> = (0..5).map(|_| server.connect()).collect();
    streams.iter().for_each(|stream| expect_echo(stream, b"within"));
    let since = Instant::now();
    for _ in 0..100 {
        expect_closed(server.connect());
    }
    assert!(since.elapsed() < Duration::from_secs(10), "a hundred took {:?}", since.elapsed());
    streams.iter().for_each(|stream| expect_echo(stream, b"still within"));
    let one = streams.pop().unwrap();
    one.shutdown(Shutdown::Write).unwrap();
    expect_end(&one);
    expect_echo(server.connect(), b"in its place");
    drop(streams);
    assert!(server.stop().contains("6 connections, 102 bytes in, 102 bytes out, 100 refused"));
}

/// FAULTS 20. Failed when all were admitted, and when whoever had gone was still counted for his address.
#[test]
fn each_address_has_its_own_limit() {
    let server = Server::start(&["--max-per-ip", "2"]);
    let first = [connect_from("127.0.0.2", &server), connect_from("127.0.0.2", &server)];
    first.iter().for_each(|stream| expect_echo(stream, b"hello"));
    expect_closed(connect_from("127.0.0.2", &server));
    expect_echo(connect_from("127.0.0.3", &server), b"hello");
    let [one, _other] = first;
    one.shutdown(Shutdown::Write).unwrap();
    expect_end(&one);
    expect_echo(connect_from("127.0.0.2", &server), b"hello again");
}

fn connect_from(ip: &str, server: &Server) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(ip.parse().unwrap(), 0).into()).unwrap();
    socket.connect(&server.addr().parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.into()
}

/// FAULTS 23. Failed when nobody was ever idle, and when bytes that moved were not noted.
#[test]
fn idle_peers_are_closed_at_the_timeout_and_not_before() {
    let server = Server::start(&["--idle-timeout", "500ms"]);
    let idle = server.connect();
    let stream = server.connect();
    // Whoever talks is not idle, however long that takes in all.
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1500) {
        expect_echo(&stream, b"I am here");
        thread::sleep(Duration::from_millis(50)); // How often it talks.
    }
    expect_closed(&idle);
    let since = Instant::now();
    expect_echo(&stream, b"the last");
    let last = Instant::now();
    expect_end(&stream);
    assert!(since.elapsed() >= Duration::from_millis(500), "closed after {:?}", since.elapsed());
    assert!(last.elapsed() < Duration::from_secs(5), "closed after {:?}", last.elapsed());
    assert!(server.stop().contains("2 timed out"));
}

/// FAULTS 40. Failed when only an edge told that the peer had taken something: the kernel reports room when a third
/// of its buffer is free, and that takes this peer longer than the stall timeout.
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
            thread::sleep(Duration::from_millis(10)); // 1 MB/s at the most.
        }
        (&stream).read_exact(&mut echo[taken..]).unwrap();
    });
    assert!(echo == bytes);
    drop(stream);
    assert!(server.stop().contains("0 timed out, 0 cut off"));
}

/// And the others are, in time. What they were sent less than was read from them is counted.
#[test]
fn a_peer_that_takes_nothing_is_closed_at_the_timeout_and_counted() {
    let mut server = Server::start(&["-v", "--stall-timeout", "400ms"]);
    let start = Instant::now();
    let bytes = pattern(8, 16 << 20);
    for half_closed in [false, true] {
        let stream = server.connect();
        thread::scope(|scope| {
            scope.spawn(|| {
                if half_closed {
                    // As far as the buffers between them go.
                    let _ = (&stream).write_all(&bytes[..10 << 20]);
                    let _ = stream.shutdown(Shutdown::Write);
                } else {
                    assert!((&stream).write_all(&bytes).is_err());
                }
            });
            let closed = "took nothing for --stall-timeout; not all that it sent was echoed";
            server.expect_line(closed);
        });
    }
    assert!(start.elapsed() < Duration::from_secs(10), "after {:?}", start.elapsed());
    let last = server.stop();
    assert!(last.contains("2 timed out, 2 cut off") && last.contains("WARN"), "{last}");
}

/// FAULTS 40. The server has nothing left to write, so the peer is idle; but it has not taken everything. Failed when
/// the server lingered for a second only: what the peer sends after that is answered by a reset, which
/// destroys what is still on its way.
#[test]
fn an_idle_peer_that_still_reads_gets_its_whole_echo() {
    let server = Server::start(&["--idle-timeout", "300ms"]);
    let stream = connect_with_little_room(&server);
    let bytes = pattern(9, 1_000_000);
    (&stream).write_all(&bytes).unwrap();
    let mut echo = vec![0; bytes.len()];
    let start = Instant::now();
    for (i, part) in echo.chunks_mut(25_000).enumerate() {
        (&stream).read_exact(part).unwrap();
        thread::sleep(Duration::from_millis(60)); // It reads slowly.
        if i == 32 {
            assert!(start.elapsed() > Duration::from_millis(1800));
            (&stream).write_all(b"and another thing").unwrap();
        }
    }
    assert!(echo == bytes);
    expect_end(&stream);
    // What it said after the goodbye was not echoed.
    drop(stream);
    assert!(server.stop().contains("1 timed out, 1 cut off"));
}

/// FAULTS 45. Each peer is read from as much as the limit allows, and there is no memory for that. Failed when memory
/// was taken as if there always were some: the server was aborted.
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
            // Whoever is closed sees it, or not.
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

/// FAULTS 21, in small: the sum of all pending echoes is bounded, and those who read are served on. Failed when
/// reads were as large as the buffer, however much was pending.
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
            scope.spawn(|| assert!(stuff(stream, &bytes) < bytes.len()));
        }
    });
    expect_echo(&bystander, &pattern(3, 100_000));
    let grown = server.status_kib("VmHWM") - before;
    // The limit itself, the scratch buffer, and what the allocator needs to keep them.
    assert!(grown < 4096 + 256 + 1024, "grew by {grown} KiB");
}

/// FAULTS 14. The accept queue is full when descriptors run out, so no edge will ever tell of it again. Failed
/// when the server waited for one, when it did not rest between attempts, and when a connection that ended
/// did not cut the rest short.
#[test]
fn accepting_resumes_after_descriptors_ran_out() {
    let mut server = Server::start(&["--backlog", "4"]);
    let bystander = server.connect();
    expect_echo(&bystander, b"before");
    server.limit_descriptors(server.descriptors() + 2);
    let served = [server.connect(), server.connect()];
    served.iter().for_each(|stream| expect_echo(stream, b"with the last descriptors"));
    // These wait in the accept queue, and fill it.
    let waiting: Vec<_> = (0..5).map(|_| server.connect()).collect();
    server.expect_line("cannot accept on");
    let before = server.cpu_time();
    expect_echo(&bystander, b"meanwhile");
    thread::sleep(Duration::from_secs(1)); // The time over which the processor is watched.
    let used = server.cpu_time() - before;
    assert!(used < Duration::from_millis(100), "{used:?} in a second of waiting");
    // An ended connection makes room for the next at once.
    let [first, second] = served;
    drop(first);
    expect_echo(&waiting[0], b"in the place of the first");
    // And where nothing ends, but the limit is raised, the timer tries again.
    server.limit_descriptors(1000);
    let start = Instant::now();
    waiting.iter().for_each(|stream| expect_echo(stream, b"served after all"));
    assert!(start.elapsed() < Duration::from_secs(1), "after {:?}", start.elapsed());
    drop((second, waiting, bystander));
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    let complaints = server.log().iter().filter(|line| line.contains("cannot accept")).count();
    assert_eq!(complaints, 1, "{:#?}", server.log());
}

/// The kernel completes as many connections as the backlog allows, and one more.
#[test]
fn the_backlog_has_the_length_of_the_option() {
    for (backlog, most) in [("1", 2), ("20", 21)] {
        let server = Server::start(&["--backlog", backlog]);
        server.signal(Signal::STOP);
        let addr: SocketAddr = server.addr().parse().unwrap();
        let streams: Vec<_> = (0..most + 3)
            .map_while(|_| TcpStream::connect_timeout(&addr, Duration::from_millis(300)).ok())
            .collect();
        assert_eq!(streams.len(), most, "with --backlog {backlog}");
        server.signal(Signal::CONT);
        streams.iter().for_each(|stream| expect_echo(stream, b"hello"));
    }
}

/// FAULTS 39, in small. Failed when each connection left 200 bytes behind, and when it left its descriptor.
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
