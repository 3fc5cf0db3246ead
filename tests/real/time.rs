//! Time that the server works, listeners that are taken from it, and networks of addresses.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use socket2::{Domain, Socket, Type};

use crate::programs::{Under, part};
use crate::server::{PATIENCE, Server};
use crate::wire::{expect_closed, expect_echo, expect_end, pattern};

/// FAULTS 42. A turn takes two seconds and more, as each send takes its time. Failed when such turns passed for time in
/// which the server was stopped: the drain took four times as long.
#[test]
fn slow_turns_count_towards_the_drain_timeout() {
    const FLOODERS: usize = 30;
    let delay = ["-e", "inject=sendto:delay_enter=60000"];
    let mut under = Under::strace(&delay, &["--drain-timeout", "4s"]);
    let streams: Vec<_> = (0..FLOODERS).map(|_| under.connect()).collect();
    let bytes = pattern(4, 1 << 20);
    thread::scope(|scope| {
        for stream in &streams {
            let (mut writer, mut reader) = (stream, stream);
            let bytes = &bytes;
            scope.spawn(move || while writer.write_all(bytes).is_ok() {});
            scope.spawn(move || while reader.read(&mut [0; 65536]).is_ok_and(|n| n > 0) {});
        }
        thread::sleep(Duration::from_secs(4)); // Some turns go by.
        let start = Instant::now();
        under.server.signal(Signal::TERM);
        let status = under.server.wait();
        let took = start.elapsed();
        assert_eq!(status.code(), Some(0), "{:#?}", under.server.log());
        assert!(took > Duration::from_secs(3) && took < Duration::from_secs(7), "after {took:?}");
    });
    let last = under.server.log().last().unwrap();
    assert!(last.contains("30 cut off"), "{last}");
}

/// The listener is closed from outside, so that it will never accept again. Failed when the server tried for ever,
/// with a word once a minute.
#[test]
fn a_listener_that_is_closed_from_outside_stops_the_server_in_order() {
    let mut server = Server::start_at(&["127.0.0.1:0", "127.0.0.1:0"], &[]);
    let stream = server.connect();
    expect_echo(&stream, b"before");
    let port = server.addr().rsplit_once(':').unwrap().1;
    let filter = ["-K", "-t", "state", "listening", "sport", "=", port];
    assert!(part("ss").args(filter).output().unwrap().status.success());
    let line = server.expect_line("is gone for good");
    assert!(line.contains(&format!("the listener on {}", server.addr())), "{line}");
    // Whoever is connected is told goodbye.
    expect_end(&stream);
    drop(stream);
    assert_eq!(server.wait().code(), Some(1));
    assert!(server.log().iter().any(|line| line.contains("6 bytes in")), "{:#?}", server.log());
}

/// Failed when a host could pass the limit from the other addresses of its network.
#[test]
fn addresses_of_one_64_network_are_counted_together() {
    const ADDRESSES: &str = "ip link set lo up && for i in 1 2 3; do \
                             ip addr add fd00:0:0:1::$i/64 dev lo nodad && \
                             ip addr add fd00:0:0:2::$i/64 dev lo nodad || exit; done; exec \"$@\"";
    let words = ["-n", "sh", "-c", ADDRESSES, "sh"];
    let under = Under::start_at("[::]:7007", "unshare", &words, &["--max-per-ip", "2"]);
    let pid = under.server.pid().as_raw_nonzero();
    // A thread of its own enters the namespace, and leaves nobody else there.
    thread::spawn(move || {
        let space = fs::File::open(format!("/proc/{pid}/ns/net")).unwrap();
        move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        let of_one = [from("fd00:0:0:1::1"), from("fd00:0:0:1::2")];
        of_one.iter().for_each(|stream| expect_echo(stream, b"within"));
        expect_closed(from("fd00:0:0:1::3"));
        expect_echo(from("fd00:0:0:2::1"), b"a neighbour");
        // IPv4 is counted by its address, though all of it is of one /64 here.
        let of_four = [from("127.0.0.2"), from("127.0.0.3"), from("127.0.0.3")];
        of_four.iter().for_each(|stream| expect_echo(stream, b"hello"));
        expect_closed(from("127.0.0.3"));
    })
    .join()
    .unwrap();
}

fn from(ip: &str) -> TcpStream {
    let source = SocketAddr::new(ip.parse().unwrap(), 0);
    let target = if source.is_ipv4() { "127.0.0.1:7007" } else { "[::1]:7007" };
    let socket = Socket::new(Domain::for_address(source), Type::STREAM, None).unwrap();
    socket.bind(&source.into()).unwrap();
    socket.connect(&target.parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.into()
}
