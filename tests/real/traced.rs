//! Faults that strace injects, and behaviour that only its trace shows.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use crate::passed::{ROUNDS, pass_descriptors};
use crate::programs::{Call, Under, calls};
use crate::unix::{SocketPath, connect_unix};
use crate::wire::{echo_of, expect_bytes, expect_echo, expect_end, pattern, send_until_stuck};

/// Failed when an interrupted wait ended the server, and when an interrupted read or write ended its connection.
#[test]
fn interrupted_system_calls_are_retried() {
    const INTERRUPTED: [&str; 4] = ["epoll_wait", "recvfrom", "sendto", "accept4"];
    // Not the last calls: the signal handler that stops the server sends a byte to wake it. That call never blocks,
    // so no signal interrupts it, and the handler does not retry it.
    let inject = format!("inject={}:error=EINTR:when=3..1000+7", INTERRUPTED.join(","));
    // Small reads, so that more of them are interrupted.
    let server = Under::strace(&["-ttt", "-e", &inject], &["--buffer", "8k"]);
    let streams: Vec<_> = (0..6).map(|_| server.connect()).collect();
    thread::scope(|scope| {
        for (number, stream) in streams.into_iter().enumerate() {
            scope.spawn(move || {
                let bytes = pattern(number, 3 << 20);
                assert!(echo_of(stream, bytes.clone()) == bytes, "connection {number}");
            });
        }
    });
    let idle = server.connect();
    expect_echo(&idle, b"still there");
    let (trace, log) = server.stop();
    expect_end(&idle);
    for name in INTERRUPTED {
        let is_interrupted = |call: &Call<'_>| call.name == name && call.is_injected;
        assert!(calls(&trace).iter().any(is_interrupted), "no {name} was interrupted");
    }
    let all = "7 connections, 18,874,379 bytes in, 18,874,379 bytes out, 0 refused, 0 reset";
    assert!(log.last().unwrap().contains(all), "{log:#?}");
}

/// Failed when the server did not back off, and when it waited for the next edge.
#[test]
fn accepting_pauses_and_resumes_when_the_system_runs_short() {
    for error in ["ENFILE", "ENOMEM", "ENOBUFS"] {
        // The bystander takes the first two calls: one accepts it, the next finds the queue empty.
        let inject = format!("inject=accept4:error={error}:when=3..5");
        let mut server = Under::strace(&["-ttt", "-e", &inject], &[]);
        let bystander = server.connect();
        expect_echo(&bystander, b"before");
        let waiting = server.connect();
        server.server.expect_line("cannot accept on ");
        expect_echo(&bystander, b"meanwhile");
        expect_echo(&waiting, b"served after all");
        let (trace, log) = server.stop();
        assert_eq!(warnings(&log), 1, "{error}: {log:#?}");
        expect_pauses(&trace, 3);
    }
}

/// Shortages that come and go must not fill the log. Failed when each was logged.
#[test]
fn repeated_shortages_are_logged_once() {
    let inject = "inject=accept4:error=ENFILE:when=3+3";
    let server = Under::strace(&["-ttt", "-e", inject], &[]);
    for _ in 0..4 {
        expect_echo(server.connect(), b"served in the end");
    }
    let (trace, log) = server.stop();
    assert_eq!(warnings(&log), 1, "{log:#?}");
    assert!(accepts(&trace).iter().filter(|call| call.is_injected).count() >= 3, "{trace}");
}

/// Failed when the server took the error for a shortage, and backed off.
#[test]
fn a_connection_that_is_gone_before_accept_is_skipped() {
    for error in ["ECONNABORTED", "EPROTO"] {
        let inject = format!("inject=accept4:error={error}:when=1..4");
        let server = Under::strace(&["-ttt", "-e", &inject], &[]);
        let stream = server.connect();
        expect_echo(&stream, b"the next");
        let (trace, log) = server.stop();
        assert_eq!(accepts(&trace).iter().filter(|call| call.is_injected).count(), 4, "{trace}");
        assert_eq!(warnings(&log), 0, "{error}: {log:#?}");
    }
}

/// A flood of connections delays established ones by the time for 64 accepts. Failed when the server accepted the
/// whole queue in one turn.
#[test]
fn a_flood_of_connections_does_not_block_established_ones() {
    const FLOOD: usize = 1000;
    const MOST_IN_A_TURN: usize = 64;
    let server = Under::strace(&["-ttt"], &[]);
    let pinger = server.connect();
    expect_echo(&pinger, b"before");
    server.server.pause();
    let flood: Vec<_> = (0..FLOOD).map(|_| server.connect()).collect();
    server.server.resume();
    expect_echo(&pinger, b"meanwhile");
    // The server accepts all of them in the end.
    flood.iter().rev().for_each(|stream| expect_echo(stream, b"the flood"));
    drop((pinger, flood));
    let (trace, _) = server.stop();
    let calls = calls(&trace);
    let turns = turns(&calls);
    let accepts = turns.map(|turn| turn.iter().filter(|call| call.name == "accept4").count());
    let accepts: Vec<_> = accepts.collect();
    assert!(accepts.iter().all(|n| *n <= MOST_IN_A_TURN), "{accepts:?}");
    assert!(
        accepts.contains(&MOST_IN_A_TURN),
        "no turn was full, so this test shows nothing: {accepts:?}"
    );
}

/// One connection has megabytes to read. The server reads from it once, and then from all others. Failed when the
/// server read from a connection for as long as it had bytes.
#[test]
fn a_flooder_takes_turns_with_the_others() {
    const PINGERS: usize = 200;
    let server = Under::strace(&["-ttt"], &[]);
    let flooder = server.connect();
    expect_echo(&flooder, b"I come first");
    let pingers: Vec<_> = (0..PINGERS).map(|_| server.connect()).collect();
    pingers.iter().for_each(|stream| expect_echo(stream, b"before"));
    server.server.pause();
    let bytes = pattern(1, 64 << 20);
    let sent = send_until_stuck(&flooder, &bytes);
    pingers.iter().for_each(|mut stream| stream.write_all(b"ping").unwrap());
    server.server.resume();
    pingers.iter().for_each(|stream| expect_bytes(stream, b"ping"));
    expect_bytes(&flooder, &bytes[..sent]);
    drop((flooder, pingers));
    let (trace, _) = server.stop();
    let calls = calls(&trace);
    // Only descriptors that the server also writes to. The descriptor of the signals is read until it is empty.
    let peers = calls.iter().filter(|call| call.name == "sendto").map(|call| call.descriptor);
    let peers: BTreeSet<_> = peers.collect();
    let mut busiest = 0;
    for turn in turns(&calls) {
        let mut read = BTreeSet::new();
        for call in turn.iter().filter(|call| call.name == "recvfrom") {
            let is_first = read.insert(call.descriptor);
            assert!(is_first || !peers.contains(&call.descriptor), "twice in a turn: {call:?}");
        }
        busiest = busiest.max(read.len());
    }
    assert!(sent > 1 << 20 && busiest > PINGERS, "{sent} bytes and {busiest} reads show nothing");
}

/// A read of a Unix socket stops at a passed descriptor, and no edge announces the bytes behind it. From Linux 6.16 on,
/// the server asks its kernel to refuse descriptors, so strace makes that call fail. Failed when the server took a short
/// read of any kind of socket as proof that the socket is empty.
#[test]
fn passed_descriptors_cause_no_stall_and_are_not_kept() {
    let unix = SocketPath::new();
    let inject = "inject=setsockopt:error=ENOPROTOOPT";
    let words = ["-D", "-f", "-o", "{findings}", "-e", inject];
    let server = Under::start_at(&unix.addr, "strace", &words, &[]);
    let stream = connect_unix(&unix.path);
    expect_echo(&stream, b"established");
    let passed = pass_descriptors(&server.server, &stream);
    assert_eq!(passed, ROUNDS, "the kernel refused descriptors, so this test shows nothing");
    stream.shutdown(Shutdown::Write).unwrap();
    expect_end(&stream);
    server.stop();
}

/// The turns of the server: the calls between one wait and the next.
fn turns<'a>(calls: &'a [Call<'a>]) -> impl Iterator<Item = &'a [Call<'a>]> {
    calls.split(|call| call.name == "epoll_wait")
}

fn warnings(log: &[String]) -> usize {
    log.iter().filter(|line| line.contains("cannot accept")).count()
}

fn accepts(trace: &str) -> Vec<Call<'_>> {
    calls(trace).into_iter().filter(|call| call.name == "accept4").collect()
}

/// Expects that this many accepts were made to fail, and that the server paused after each, for less than a second.
#[track_caller]
fn expect_pauses(trace: &str, failures: usize) {
    let accepts = accepts(trace);
    let pauses = accepts.windows(2).filter(|pair| pair[0].is_injected).map(|p| p[1].at - p[0].at);
    let pauses: Vec<_> = pauses.collect();
    assert_eq!(pauses.len(), failures, "{trace}");
    let expected = Duration::from_millis(200)..Duration::from_secs(1);
    assert!(pauses.iter().all(|pause| expected.contains(pause)), "{pauses:?}");
}
