//! What is counted, and how reasons are put into words.

use std::io::ErrorKind;

use super::*;

fn somewhere() -> At<'static> {
    At::conn(Instant::now(), ConnId::default(), &Endpoint::Unix(None))
}

fn failed(kind: ErrorKind) -> Closed {
    Closed::Failed(kind.into())
}

/// Every reason to close, and what it counts as.
fn reasons() -> [(Closed, CloseReason); 10] {
    [
        (Closed::Finished, CloseReason::Finished),
        (Closed::ByServer, CloseReason::ByServer),
        (Closed::Idle, CloseReason::Idle),
        (Closed::Stalled, CloseReason::Stalled),
        (Closed::Aborted, CloseReason::Aborted),
        (failed(ErrorKind::ConnectionReset), CloseReason::Reset),
        (failed(ErrorKind::ConnectionAborted), CloseReason::Reset),
        (failed(ErrorKind::BrokenPipe), CloseReason::Reset),
        (failed(ErrorKind::TimedOut), CloseReason::TimedOut),
        (failed(ErrorKind::OutOfMemory), CloseReason::Failed),
    ]
}

#[test]
fn resets_and_timeouts_are_recognized() {
    for (why, reason) in reasons() {
        assert_eq!(why.reason(), reason, "{why:?}");
    }
    assert!(failed(ErrorKind::OutOfMemory).is_by_server() && Closed::Idle.is_by_server());
    assert!(!failed(ErrorKind::TimedOut).is_by_server());
}

/// Everything once or twice, to two observers.
fn counted() -> Counters {
    let mut counters = [Counters::default(); 2];
    let [one, other] = &mut counters;
    let mut both = (one, other);
    for _ in 0..2 {
        both.observe(somewhere(), Event::Accepted);
        both.observe(somewhere(), Event::Read(20));
        both.observe(somewhere(), Event::Wrote(10));
        both.observe(somewhere(), Event::WriteBlocked);
        both.observe(somewhere(), Event::Woke { ready: 7 });
        both.observe(somewhere(), Event::TurnTimed(Duration::from_micros(5)));
        let (listener, error) = (&Endpoint::Unix(None), &ErrorKind::Other.into());
        let event = Event::AcceptFailed { listener, error, retry: Instant::now() };
        both.observe(somewhere(), event);
    }
    for why in [Refusal::MaxConnections, Refusal::MaxPerIp, Refusal::NoMemory] {
        both.observe(somewhere(), Event::Refused { refused: why.into(), start: &[] });
    }
    for (why, _) in &reasons() {
        let is_cut = matches!(why, Closed::Aborted | Closed::Stalled);
        both.observe(somewhere(), Event::Closed { why, is_cut });
    }
    let [one, other] = counters;
    assert_eq!(one, other, "both saw the same");
    one
}

#[test]
fn everything_is_counted() {
    let counters = counted();
    let Counters { accepted, bytes_in, bytes_out, cut, .. } = counters;
    assert_eq!((accepted, bytes_in, bytes_out, cut), (2, 40, 20, 2));
    assert_eq!((counters.refused.total(), counters.refused.get(Refusal::MaxPerIp)), (3, 1));
    assert_eq!((counters.closed.total(), counters.closed.get(CloseReason::Stalled)), (10, 1));
    assert_eq!((counters.reset(), counters.timed_out()), (3, 3));
    let Counters { blocked_writes, accept_back_offs, turns, events, turn_times, .. } = counters;
    assert_eq!((blocked_writes, accept_back_offs, turns, events), (2, 2, 2, 14));
    assert_eq!((turn_times.count(), turn_times.sum()), (2, Duration::from_micros(10)));
}

/// A service finds the counts wherever the counter stands among the observers.
#[test]
fn the_counts_are_found_among_several_observers() {
    let mut counters = Counters { accepted: 3, ..Counters::default() };
    assert!(().counters().is_none() && ((), ServerLog::default()).counters().is_none());
    for found in [
        (&mut counters, ()).counters().copied(),
        ((), &mut counters).counters().copied(),
        (((), &mut counters), ()).counters().copied(),
    ] {
        assert_eq!(found.map(|counters| counters.accepted), Some(3));
    }
}

#[test]
fn counts_are_written_in_one_line() {
    assert_eq!(
        counted().to_string(),
        "2 connections, 40 bytes in, 20 bytes out, 3 refused, 3 reset, 3 timed out, 2 cut off"
    );
}

#[test]
fn long_counts_are_written_with_commas() {
    let many = Counters { accepted: 1234, bytes_in: 5_678_901, ..Counters::default() };
    let said = many.to_string();
    assert!(said.starts_with("1,234 connections, 5,678,901 bytes in, 0 bytes out"), "{said}");
}

#[test]
fn one_connection_and_one_byte_are_in_the_singular() {
    let one = Counters { accepted: 1, bytes_in: 1, bytes_out: 1, ..Counters::default() };
    let said = one.to_string();
    assert!(said.starts_with("1 connection, 1 byte in, 1 byte out, 0 refused"), "{said}");
}

#[test]
fn reasons_are_short_phrases() {
    for (why, expected) in [
        (Closed::Finished, "all echoed"),
        (Closed::ByServer, "finished by the server"),
        (Closed::Idle, "idle timeout"),
        (Closed::Stalled, "stall timeout: it took nothing"),
        (Closed::Aborted, "aborted as the server stops"),
        (failed(ErrorKind::BrokenPipe), "broken pipe"),
    ] {
        assert_eq!(why.to_string(), expected);
    }
    for (why, expected) in [
        (Refusal::MaxConnections, "max connections reached"),
        (Refusal::MaxPerIp, "max connections per IP address reached"),
        (Refusal::RegisterFailed, "the system could not register it"),
        (Refusal::NoMemory, "there is no memory for it"),
        (Refusal::Denied, "its address may not connect"),
        (Refusal::AcceptRate, "accept rate reached"),
        (Refusal::AcceptRatePerIp, "accept rate per IP address reached"),
        (Refusal::UnknownProxy, "not the address of a known proxy"),
        (Refusal::HeaderMissing, "no PROXY header"),
        (Refusal::HeaderMalformed, "malformed PROXY header"),
        (Refusal::HeaderOversized, "PROXY header too long"),
        (Refusal::HeaderIncomplete, "ended within its PROXY header"),
        (Refusal::HeaderTimedOut, "PROXY header not complete in time"),
    ] {
        assert_eq!(why.to_string(), expected);
    }
}

#[test]
fn datagrams_are_in_the_line_if_the_server_answers_any() {
    let peer = &Endpoint::udp(([127, 0, 0, 1], 5000).into());
    let mut counters = Counters::default();
    for event in [
        Event::DatagramEchoed { peer, bytes: 1000 },
        Event::DatagramEchoed { peer, bytes: 234 },
        Event::DatagramDropped { peer, why: DatagramDrop::LowPort, error: None },
        Event::KernelDropped { socket: peer, datagrams: 6 },
    ] {
        counters.observe(At::server(Instant::now()), event);
    }
    assert!(counters.to_string().ends_with("0 cut off"));
    let listening = Event::Listening { at: peer, is_proxied: false };
    counters.observe(At::server(Instant::now()), listening);
    let expected =
        "; 2 datagrams of 1,234 bytes echoed, 1 dropped (1 low_port), 6 dropped by the kernel";
    assert!(counters.to_string().ends_with(expected), "{counters}");
    let said =
        Status { counters, connections: 0, pending_bytes: 0, is_stopping: false }.to_string();
    assert!(said.ends_with(expected), "{said}");
}
