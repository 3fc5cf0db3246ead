//! What is counted, and how reasons are put into words.

use super::*;

fn somewhere() -> At<'static> {
    At::conn(Instant::now(), ConnId::default(), &Endpoint::Unix(None))
}

fn failed(kind: ErrorKind) -> Closed {
    Closed::Failed(kind.into())
}

/// Every reason to close, with whether it counts as a reset and as a timeout.
fn reasons() -> [(Closed, bool, bool); 10] {
    [
        (Closed::Finished, false, false),
        (Closed::ByServer, false, false),
        (Closed::Idle, false, true),
        (Closed::Stalled, false, true),
        (Closed::Aborted, false, false),
        (failed(ErrorKind::ConnectionReset), true, false),
        (failed(ErrorKind::ConnectionAborted), true, false),
        (failed(ErrorKind::BrokenPipe), true, false),
        (failed(ErrorKind::TimedOut), false, true),
        (failed(ErrorKind::OutOfMemory), false, false),
    ]
}

#[test]
fn resets_and_timeouts_are_recognized() {
    for (why, is_reset, is_timeout) in reasons() {
        assert_eq!((why.is_reset(), why.is_timeout()), (is_reset, is_timeout), "{why:?}");
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
    }
    for why in [Refusal::MaxConnections, Refusal::MaxPerIp, Refusal::NoMemory] {
        both.observe(somewhere(), Event::Refused(why));
    }
    for (why, ..) in &reasons() {
        let is_cut = matches!(why, Closed::Aborted | Closed::Stalled);
        both.observe(somewhere(), Event::Closed { why, is_cut });
    }
    let [one, other] = counters;
    assert_eq!(one, other, "both saw the same");
    one
}

#[test]
fn everything_is_counted() {
    let expected = Counters {
        accepted: 2,
        refused: 3,
        bytes_in: 40,
        bytes_out: 20,
        reset: 3,
        timed_out: 3,
        cut: 2,
    };
    assert_eq!(counted(), expected);
}

#[test]
fn counts_are_written_in_one_line() {
    assert_eq!(
        counted().to_string(),
        "2 connections, 40 bytes in, 20 bytes out, 3 refused, 3 reset, 3 timed out, 2 cut off"
    );
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
    ] {
        assert_eq!(why.to_string(), expected);
    }
}
