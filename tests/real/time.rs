//! Slow turns, messages that are due each millisecond, a listener that is closed from outside, and limits for networks of
//! addresses.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::command::resound;
use crate::programs::{Under, program, within};
use crate::server::{Server, eventually};
use crate::wire::{connect_from, expect_closed, expect_echo, expect_end, pattern};

/// Each send is delayed, so a turn takes more than two seconds. Failed when the server took such turns for time in
/// which it was stopped: the drain took four times as long.
#[test]
fn slow_turns_count_towards_the_drain_timeout() {
    const FLOODERS: usize = 30;
    let delay = ["-e", "inject=sendto:delay_enter=60000"];
    let mut under = Under::strace(&delay, &["--drain-timeout", "4s"]);
    let streams: Vec<_> = (0..FLOODERS).map(|_| under.connect()).collect();
    let bytes = pattern(4, 1 << 20);
    let echoed: Vec<_> = streams.iter().map(|_| AtomicUsize::new(0)).collect();
    thread::scope(|scope| {
        for (mut stream, echoed) in streams.iter().zip(&echoed) {
            let bytes = &bytes;
            scope.spawn(move || while stream.write_all(bytes).is_ok() {});
            scope.spawn(move || {
                while let Ok(n @ 1..) = stream.read(&mut [0; 65536]) {
                    echoed.fetch_add(n, Relaxed);
                }
            });
        }
        // One turn echoes 256 KiB of each connection or less, so this takes three turns or more.
        let is_echoed = |echoed: &AtomicUsize| echoed.load(Relaxed) > 512 << 10;
        eventually(|| echoed.iter().all(is_echoed).then_some(()));
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

/// Failed when `ping` rounded each wait up to a whole millisecond: a tenth of the due times was skipped. A busy machine
/// can delay a run, but not every run.
#[test]
fn an_interval_of_a_millisecond_skips_no_due_time() {
    let server = Server::start(&[]);
    let skipped = || {
        let output = resound(&["ping", "--json", "-c", "200", "-i", "1ms", server.addr()]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        report["skipped_due_times"].as_u64().unwrap()
    };
    let runs: Vec<_> = std::iter::repeat_with(skipped).take(5).collect();
    assert!(runs.iter().any(|skipped| *skipped <= 2), "{runs:?}");
}

/// `ss -K` closes the listener, so it can never accept again. Failed when the server retried forever, with a warning
/// once a minute.
#[test]
fn a_listener_that_is_closed_from_outside_stops_the_server_in_order() {
    let mut server = Server::start_at(&["127.0.0.1:0", "127.0.0.1:0"], &[]);
    let stream = server.connect();
    expect_echo(&stream, b"before");
    let port = server.addr().rsplit_once(':').unwrap().1;
    let filter = ["-K", "-t", "state", "listening", "sport", "=", port];
    assert!(program("ss").args(filter).output().unwrap().status.success());
    let line = server.expect_line("is gone for good");
    assert!(line.contains(&format!("the listener on {}", server.addr())), "{line}");
    // The server ends its connections one after the other.
    expect_end(&stream);
    drop(stream);
    assert_eq!(server.wait().code(), Some(1));
    assert!(server.log().iter().any(|line| line.contains("6 bytes in")), "{:#?}", server.log());
}

/// Failed when a host could get around the limit with other addresses of its network.
#[test]
fn addresses_of_one_64_network_are_counted_together() {
    const ADDRESSES: &str = "ip link set lo up && for i in 1 2 3; do \
                             ip addr add fd00:0:0:1::$i/64 dev lo nodad && \
                             ip addr add fd00:0:0:2::$i/64 dev lo nodad || exit; done; exec \"$@\"";
    let words = ["-n", "sh", "-c", ADDRESSES, "sh"];
    let under = Under::start_at("[::]:7007", "unshare", &words, &["--max-per-ip", "2"]);
    within(&under.server, || {
        let of_one = [from("fd00:0:0:1::1"), from("fd00:0:0:1::2")];
        of_one.iter().for_each(|stream| expect_echo(stream, b"within"));
        expect_closed(from("fd00:0:0:1::3"));
        expect_echo(from("fd00:0:0:2::1"), b"a neighbour");
        // IPv4 peers are counted by address, although the IPv6 forms of all of them share one /64 network.
        let of_four = [from("127.0.0.2"), from("127.0.0.3"), from("127.0.0.3")];
        of_four.iter().for_each(|stream| expect_echo(stream, b"hello"));
        expect_closed(from("127.0.0.3"));
    });
}

fn from(ip: &str) -> TcpStream {
    let source: IpAddr = ip.parse().unwrap();
    connect_from(source, if source.is_ipv4() { "127.0.0.1:7007" } else { "[::1]:7007" })
}
