//! A run ends, and in the right way, if the server fails.

use std::io::ErrorKind;

use super::super::super::simulated::Answer;
use super::*;

/// A server that closes each connection `delay` after it has got its `n`th message, and echoes none.
fn closing_after(n: usize, delay: Duration) -> impl Server {
    let mut received = Vec::new();
    move |connection: usize, _: Duration, bytes: &[u8]| {
        received.resize(received.len().max(connection + 1), 0);
        received[connection] += bytes.len();
        if received[connection] == n * 64 { vec![(delay, Sent::End)] } else { Vec::new() }
    }
}

#[test]
fn a_run_in_which_no_echo_came_back_has_failed() {
    // The first message falls due while it warms up, and the next after the end.
    let options = Options { warmup: 100 * MS, ..open_loop(1.0, 300 * MS) };
    let seen = Run::new(options, echo(MS)).run();
    seen.assert_end(End::Failed, &[]);
    seen.assert_messages(0, 0, 0);
}

/// The larger message takes more reads than a turn has. A short read does not hide the end behind it.
#[test]
fn an_end_that_comes_with_the_echo_is_noticed_at_once() {
    for size in [64, 9 << 17] {
        let mut received = 0;
        let server = move |_: usize, _: Duration, bytes: &[u8]| {
            received += bytes.len();
            let echo = (MS, Sent::Bytes(bytes.to_vec()));
            if received == size { vec![echo, (MS, Sent::End)] } else { vec![echo] }
        };
        let seen = Run::new(Options { sizes: size..=size, ..open_loop(1.0, 10 * S) }, server).run();
        seen.assert_end(End::Failed, &[("closed", 1)]);
        seen.assert_messages(1, 0, 0);
        assert_eq!(seen.ended, MS, "{size}");
    }
}

#[test]
fn messages_in_flight_on_a_failed_connection_are_lost_and_not_sent_again() {
    for rate in [None, Some(1000.0)] {
        let options = Options {
            rate,
            length: Length::Messages(20),
            depth: 5,
            keep_going: true,
            spin: Duration::ZERO,
            ..options()
        };
        let seen = Run::new(options, closing_after(5, 50 * MS)).run();
        seen.assert_end(End::Failed, &[("closed", 4)]);
        seen.assert_messages(0, 20, 0);
        assert_eq!(seen.received_bytes, 20 * 64);
        // The last of five was sent 50 ms before its connection ended.
        assert!(seen.outcome.unanswered.min() >= 50 * MS - MS / 10);
    }
}

#[test]
fn a_connection_fails_when_its_echo_is_overdue() {
    let timeout = 800 * MS;
    let seen = Run::new(Options { timeout, ..for_time(10 * S) }, silent()).run();
    seen.assert_end(End::Failed, &[("timeout", 1)]);
    seen.assert_messages(0, 1, 0);
    // Timeouts are looked for sixteen times in each.
    assert!(seen.ended > timeout && seen.ended <= timeout + 51 * MS, "{:?}", seen.ended);
    let message = seen.outcome.failures[0].to_string();
    let line = "connection 0: no echo within 800 ms: 0 of 64 bytes came back, 64 are missing";
    assert_eq!(message, line);
}

/// Failed when each of them counted the messages of the others as lost once more.
#[test]
fn messages_of_connections_that_fail_together_are_lost_once() {
    let options = Options { connections: 10, timeout: S, ..for_time(10 * S) };
    let seen = Run::new(options.clone(), silent()).run();
    seen.assert_end(End::Failed, &[("timeout", 1)]);
    seen.assert_messages(0, 10, 0);
    let resetting = |_: usize, _: Duration, _: &[u8]| vec![(MS, Sent::Reset)];
    let seen = Run::new(options, resetting).run();
    seen.assert_end(End::Failed, &[("reset", 1)]);
    seen.assert_messages(0, 10, 0);
}

/// The echo of the second connection comes in the turn in which the first one fails.
#[test]
fn an_echo_that_comes_when_the_run_has_failed_is_lost() {
    let server = |connection: usize, _: Duration, bytes: &[u8]| match connection {
        0 => vec![(MS, Sent::Reset)],
        _ => vec![(MS, Sent::Bytes(bytes.to_vec()))],
    };
    let seen = Run::new(Options { connections: 2, ..for_time(S) }, server).run();
    seen.assert_end(End::Failed, &[("reset", 1)]);
    seen.assert_messages(0, 2, 0);
}

/// Timeouts are looked for every 19 ms, so this echo is read first.
#[test]
fn an_echo_that_comes_a_little_too_late_is_too_late() {
    let options = Options { timeout: 300 * MS, length: Length::Messages(1), ..options() };
    let seen = Run::new(options, echo(305 * MS)).run();
    seen.assert_end(End::Failed, &[("timeout", 1)]);
    seen.assert_messages(0, 1, 0);
    let message = seen.outcome.failures[0].to_string();
    assert_eq!(message, "connection 0: no echo within 300 ms: it took 305 ms");
}

#[test]
fn an_echo_that_is_missing_at_the_end_is_waited_for() {
    let server = |_: usize, at: Duration, bytes: &[u8]| match at < 40 * MS {
        true => vec![(10 * MS, Sent::Bytes(bytes.to_vec()))],
        false => Vec::new(),
    };
    let seen = Run::new(Options { timeout: 320 * MS, ..for_time(50 * MS) }, server).run();
    seen.assert_end(End::Failed, &[("timeout", 1)]);
    seen.assert_messages(4, 1, 0);
    assert!(seen.ended >= 360 * MS && seen.ended <= 381 * MS, "{:?}", seen.ended);
}

/// A server that resets the first connection when it gets a message, and refuses all after that.
struct Gone;

impl Server for Gone {
    fn accept(&mut self, connection: usize, _: Duration) -> Answer {
        match connection {
            0 => Answer::Accept(Duration::ZERO),
            _ => Answer::Refuse(ErrorKind::ConnectionRefused),
        }
    }

    fn receive(&mut self, _: usize, _: Duration, _: &[u8]) -> Vec<(Duration, Sent)> {
        vec![(Duration::ZERO, Sent::Reset)]
    }
}

#[test]
fn a_server_that_is_gone_is_waited_for_as_long_as_the_timeout() {
    // Both messages of the open loop are due by the time that the first is sent.
    for (rate, n) in [(Some(1e8), 2), (None, 9)] {
        let options = Options {
            rate,
            length: Length::Messages(n),
            keep_going: true,
            timeout: S,
            spin: Duration::ZERO,
            ..options()
        };
        let seen = Run::new(options, Gone).run();
        // It is asked each 100 ms.
        seen.assert_end(End::Failed, &[("connect", 11), ("reset", 1)]);
        assert_eq!(seen.ended, 1100 * MS);
        assert_eq!(seen.attempts.len(), 12);
    }
}

/// The messages are due a second apart, and the server closes in between.
#[test]
fn a_server_that_closes_while_nothing_is_due_is_not_given_up() {
    let server = |_: usize, _: Duration, bytes: &[u8]| {
        vec![(MS, Sent::Bytes(bytes.to_vec())), (400 * MS, Sent::End)]
    };
    let length = Length::Messages(3);
    let options = Options { length, timeout: 300 * MS, keep_going: true, ..open_loop(1.0, S) };
    let seen = Run::new(options, server).run();
    seen.assert_end(End::Complete, &[("closed", 2)]);
    seen.assert_messages(3, 0, 0);
}

/// All echoes have come, so a reset takes nothing away.
#[test]
fn a_reset_in_answer_to_a_shutdown_is_no_failure() {
    for reconnect_every in [None, Some(2)] {
        let options = Options { length: Length::Messages(10), reconnect_every, ..options() };
        let seen = Run::new(options, Ending(|_| vec![(MS, Sent::Reset)])).run();
        seen.assert_end(End::Complete, &[]);
        seen.assert_messages(10, 0, 0);
    }
}

/// A server that closes, and sends more this long after the client has shut down writing.
fn surplus(delay: Duration) -> impl Server {
    let surplus = move || Sent::Bytes(b"one more thing".to_vec());
    Ending(move |_| vec![(delay, surplus()), (Duration::ZERO, Sent::End)])
}

#[test]
fn bytes_after_the_shutdown_are_a_surplus() {
    for reconnect_every in [None, Some(1)] {
        let options = Options { reconnect_every, ..for_time(20 * MS) };
        let seen = Run::new(options, surplus(MS / 2)).run();
        seen.assert_end(End::Failed, &[("surplus", 1)]);
    }
}

#[test]
fn a_server_that_does_not_close_is_waited_for_during_a_second() {
    let seen = Run::new(for_time(20 * MS), surplus(10 * S)).run();
    seen.assert_end(End::Complete, &[]);
    assert_eq!(seen.ended, 1020 * MS);
}

/// Resets 22 connections, and sends a wrong byte on the next.
#[test]
fn what_ends_a_run_is_recorded_however_much_failed_before() {
    let server = |connection: usize, _: Duration, bytes: &[u8]| match connection {
        0..22 => vec![(MS, Sent::Reset)],
        _ => {
            let mut wrong = bytes.to_vec();
            wrong[9] ^= 1;
            vec![(MS, Sent::Bytes(wrong))]
        }
    };
    let options = Options { length: Length::Messages(100), keep_going: true, ..options() };
    let seen = Run::new(options, server).run();
    seen.assert_end(End::Failed, &[("altered", 1), ("reset", 22)]);
    seen.assert_messages(0, 23, 0);
    let failures = &seen.outcome.failures;
    assert_eq!((failures.len(), failures[19].failure.kind()), (20, "altered"));
    assert!(seen.outcome.has_wrong_bytes && failures[19].is_fatal);
}

/// Failed when all messages up to the planned end counted as unsent, except those of the connection that failed.
#[test]
fn a_run_that_fails_early_counts_what_was_due_by_then() {
    let server = |connection: usize, at: Duration, bytes: &[u8]| match at < 100 * MS {
        true => vec![(Duration::ZERO, Sent::Bytes(bytes.to_vec()))],
        false if connection == 0 => vec![(50 * MS, Sent::Reset)],
        false => Vec::new(),
    };
    let options = Options { connections: 2, ..open_loop(1000.0, 60 * S) };
    let seen = Run::new(options, server).run();
    seen.assert_end(End::Failed, &[("reset", 1)]);
    assert_eq!(seen.ended, 150 * MS);
    // Messages at 100 and 101 ms were in flight, and the others up to 149 or 150 ms waited.
    let unsent = seen.outcome.unsent;
    assert!((48..=49).contains(&unsent), "{unsent}");
    seen.assert_messages(100, 2, unsent);
}

/// Echoes during 50 ms, and sends more 80 ms after the client has shut down writing.
struct LateSurplus;

impl Server for LateSurplus {
    fn receive(&mut self, _: usize, at: Duration, bytes: &[u8]) -> Vec<(Duration, Sent)> {
        if at < 50 * MS { vec![(MS, Sent::Bytes(bytes.to_vec()))] } else { Vec::new() }
    }

    fn end(&mut self, _: usize, _: Duration) -> Vec<(Duration, Sent)> {
        vec![(80 * MS, Sent::Bytes(b"one more thing".to_vec()))]
    }
}

/// Failed when the place of the successor became that of the retired connection, with fewer messages begun.
#[test]
fn a_surplus_of_a_retired_connection_changes_no_figure_of_its_successor() {
    let options = Options { reconnect_every: Some(3), ..open_loop(100.0, S) };
    let seen = Run::new(options, LateSurplus).run();
    seen.assert_end(End::Failed, &[("surplus", 1)]);
    assert_eq!(seen.ended, 101 * MS);
    // The sixth message is in flight, and the next five wait for it.
    seen.assert_messages(5, 1, 5);
}

/// A server that echoes after a millisecond, but resets the connection 20 ms after a message that comes at `at`.
fn resetting(at: Duration) -> impl Server {
    move |_: usize, now: Duration, bytes: &[u8]| match now < at {
        true => vec![(MS, Sent::Bytes(bytes.to_vec()))],
        false => vec![(20 * MS, Sent::Reset)],
    }
}

/// Failed when a run that failed after its planned end was measured until then. The client does not run meanwhile.
#[test]
fn a_run_that_fails_after_its_planned_end_is_measured_until_that_end() {
    for (rate, unsent) in [(None, 0), (Some(100.0), 16)] {
        let options = Options { rate, spin: Duration::ZERO, ..for_time(270 * MS) };
        let run = Run::new(options, resetting(100 * MS)).at(105 * MS, Act::StandStill(800 * MS));
        let seen = run.run();
        seen.assert_end(End::Failed, &[("reset", 1)]);
        assert_eq!((seen.outcome.measured, seen.ended), (270 * MS, 905 * MS));
        assert_eq!((seen.outcome.lost, seen.outcome.unsent), (1, unsent));
    }
}

/// Failed when messages counted, but nothing was measured. The client does not run when the warm-up ends.
#[test]
fn a_run_that_ends_before_it_notices_the_end_of_its_warm_up_is_measured_from_that_end() {
    let interrupt = Act::Signals(&[signal_hook::consts::SIGINT]);
    for (reset_at, end) in [(40, End::Failed), (1000, End::Interrupted)] {
        let options = Options { warmup: 100 * MS, ..open_loop(100.0, S) };
        let run = Run::new(options, resetting(reset_at * MS));
        let run =
            run.at(50 * MS + MS / 2, Act::StandStill(200 * MS)).at(51 * MS, interrupt.clone());
        let seen = run.run();
        assert_eq!((seen.outcome.end, seen.ended), (end, 250 * MS + MS / 2));
        assert_eq!(seen.outcome.measured, 150 * MS + MS / 2);
        // Those that are due from 100 ms to 250 ms.
        seen.assert_messages(0, 0, 16);
    }
}
