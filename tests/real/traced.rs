//! Faults that strace brings about, and those of which only its trace shows that they change nothing. The
//! numbers are those of the project's list of faults.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use crate::programs::{Call, Under, calls};
use crate::wire::{echo_of, expect_echo, expect_end, pattern, stuff};

/// FAULTS 3. Failed when an interrupted wait ended the server, and when an interrupted read or write ended its
/// connection.
#[test]
fn interrupted_system_calls_are_retried() {
    const INTERRUPTED: [&str; 4] = ["epoll_wait", "recvfrom", "sendto", "accept4"];
    // Not to the last: the handler of the signal that stops it sends too, to wake the server, and what never
    // blocks is never interrupted but by strace.
    let inject = format!("inject={}:error=EINTR:when=3..1000+7", INTERRUPTED.join(","));
    // Small reads, for more of them to be interrupted.
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
    let all = "7 connections, 18874379 bytes in, 18874379 bytes out, 0 refused, 0 reset";
    assert!(log.last().unwrap().contains(all), "{log:#?}");
}

/// FAULTS 15. Failed when accepting did not rest, and when it waited for the next edge.
#[test]
fn accepting_pauses_and_resumes_when_the_system_runs_short() {
    for error in ["ENFILE", "ENOMEM", "ENOBUFS"] {
        // The bystander takes the first two: itself, and then nobody.
        let inject = format!("inject=accept4:error={error}:when=3..5");
        let mut server = Under::strace(&["-ttt", "-e", &inject], &[]);
        let bystander = server.connect();
        expect_echo(&bystander, b"before");
        let waiting = server.connect();
        server.server.expect_line("cannot accept on ");
        expect_echo(&bystander, b"meanwhile");
        expect_echo(&waiting, b"served after all");
        let (trace, log) = server.stop();
        assert_eq!(complaints(&log), 1, "{error}: {log:#?}");
        expect_rests(&trace, 3);
    }
}

/// A want that comes and goes is no reason to fill the log either. FAULTS 15. Failed
/// when each was complained of.
#[test]
fn repeated_shortages_are_logged_once() {
    let inject = "inject=accept4:error=ENFILE:when=3+3";
    let server = Under::strace(&["-ttt", "-e", inject], &[]);
    for _ in 0..4 {
        expect_echo(server.connect(), b"served, sooner or later");
    }
    let (trace, log) = server.stop();
    assert_eq!(complaints(&log), 1, "{log:#?}");
    assert!(accepts(&trace).iter().filter(|call| call.is_injected).count() >= 3, "{trace}");
}

/// FAULTS 16. Failed when it was taken for a want of the machine.
#[test]
fn a_connection_that_is_gone_before_accept_is_skipped() {
    for error in ["ECONNABORTED", "EPROTO"] {
        let inject = format!("inject=accept4:error={error}:when=1..4");
        let server = Under::strace(&["-ttt", "-e", &inject], &[]);
        let stream = server.connect();
        expect_echo(&stream, b"the next");
        let (trace, log) = server.stop();
        assert_eq!(accepts(&trace).iter().filter(|call| call.is_injected).count(), 4, "{trace}");
        assert_eq!(complaints(&log), 0, "{error}: {log:#?}");
    }
}

/// FAULTS 17. A flood of connections holds the established ones up for as long as it takes to accept 64.
/// Failed when all that waited were accepted in one turn.
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
    // All are accepted in the end.
    flood.iter().rev().for_each(|stream| expect_echo(stream, b"the flood"));
    drop((pinger, flood));
    let (trace, _) = server.stop();
    let calls = calls(&trace);
    let turns = turns(&calls);
    let accepts = turns.map(|turn| turn.iter().filter(|call| call.name == "accept4").count());
    let accepts: Vec<_> = accepts.collect();
    assert!(accepts.iter().all(|n| *n <= MOST_IN_A_TURN), "{accepts:?}");
    assert!(accepts.contains(&MOST_IN_A_TURN), "this shows nothing: {accepts:?}");
}

/// FAULTS 18. Somebody who has sent megabytes is read from once, and then all the others are. Failed when a
/// connection was driven for as long as it had something.
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
    let sent = stuff(&flooder, &bytes);
    pingers.iter().for_each(|mut stream| stream.write_all(b"ping").unwrap());
    server.server.resume();
    pingers.iter().for_each(|mut stream| stream.read_exact(&mut [0; 4]).unwrap());
    let mut echo = vec![0; sent];
    (&flooder).read_exact(&mut echo).unwrap();
    assert!(echo == bytes[..sent]);
    drop((flooder, pingers));
    let (trace, _) = server.stop();
    let calls = calls(&trace);
    // And not those of the signals' descriptor, which is read until it is empty.
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

/// What the server does between one wait and the next.
fn turns<'a>(calls: &'a [Call<'a>]) -> impl Iterator<Item = &'a [Call<'a>]> {
    calls.split(|call| call.name == "epoll_wait")
}

fn complaints(log: &[String]) -> usize {
    log.iter().filter(|line| line.contains("cannot accept")).count()
}

fn accepts(trace: &str) -> Vec<Call<'_>> {
    calls(trace).into_iter().filter(|call| call.name == "accept4").collect()
}

/// Expects that so many accepts were made to fail, and that after each the server rested, but not for long.
#[track_caller]
fn expect_rests(trace: &str, failures: usize) {
    let accepts = accepts(trace);
    let rests = accepts.windows(2).filter(|pair| pair[0].is_injected).map(|p| p[1].at - p[0].at);
    let rests: Vec<_> = rests.collect();
    assert_eq!(rests.len(), failures, "{trace}");
    let tolerable = Duration::from_millis(200)..Duration::from_secs(1);
    assert!(rests.iter().all(|rest| tolerable.contains(rest)), "{rests:?}");
}
