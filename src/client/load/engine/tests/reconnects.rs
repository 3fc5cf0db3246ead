//! Connections begin, wait for the server, and are replaced.

use std::io::ErrorKind;

use super::super::super::simulated::Answer;
use super::*;

/// A server that answers to connecting like this, and echoes after a millisecond.
struct Accepting<F>(F);

impl<F: FnMut(usize, Duration) -> Answer> Server for Accepting<F> {
    fn accept(&mut self, connection: usize, at: Duration) -> Answer {
        self.0(connection, at)
    }

    fn receive(&mut self, _: usize, _: Duration, bytes: &[u8]) -> Vec<(Duration, Sent)> {
        vec![(MS, Sent::Bytes(bytes.to_vec()))]
    }
}

#[test]
fn connections_begin_at_the_rate_that_was_asked_for() {
    let options = Options { connections: 5, connect_rate: Some(10.0), ..for_time(100 * MS) };
    let seen = Run::new(options, echo(MS)).run();
    assert_eq!(seen.attempts, [0, 100, 200, 300, 400].map(|ms| ms * MS));
    assert_eq!(seen.stages[1], (400 * MS, Stage::Measuring));
}

#[test]
fn without_a_rate_a_hundred_connections_are_made_at_a_time() {
    let server = Accepting(|_, _| Answer::Accept(50 * MS));
    let seen = Run::new(Options { connections: 250, ..for_time(100 * MS) }, server).run();
    let at = |ms: u32| seen.attempts.iter().filter(|at| **at == ms * MS).count();
    assert_eq!([at(0), at(50), at(100)], [100, 100, 50]);
    assert_eq!(seen.outcome.connections_made, 250);
    assert_times(&seen.outcome.connect, 50 * MS, 50 * MS);
    // Those that the accept queue has no room for are among them.
    let full = Accepting(|_, at| match at < 50 * MS {
        true => Answer::QueueFull,
        false => Answer::Accept(Duration::ZERO),
    });
    let seen = Run::new(Options { connections: 250, ..for_time(100 * MS) }, full).run();
    assert_eq!(seen.attempts.iter().filter(|at| at.is_zero()).count(), 100);
    assert_eq!(seen.outcome.connections_made, 250);
}

#[test]
fn a_server_that_does_not_answer_fails_the_run_when_the_timeout_is_over() {
    for keep_going in [false, true] {
        let options = Options { timeout: 320 * MS, keep_going, ..for_time(S) };
        let seen = Run::new(options, Accepting(|_, _| Answer::Silence)).run();
        seen.assert_end(End::Failed, &[("connect", 1)]);
        assert!(seen.ended > 320 * MS && seen.ended <= 341 * MS, "{:?}", seen.ended);
        let message = seen.outcome.failures[0].to_string();
        assert!(message.contains("no answer within 320 ms"), "{message}");
    }
}

/// It is driven once more before it fails.
#[test]
fn a_connection_whose_event_was_lost_does_not_time_out() {
    let server = Accepting(|_, _| Answer::AcceptUnreported(10 * MS));
    let seen = Run::new(Options { timeout: 320 * MS, ..for_time(S) }, server).run();
    seen.assert_end(End::Complete, &[]);
    assert!(seen.stages[1].0 > 320 * MS, "{:?}", seen.stages);
}

#[test]
fn a_refusal_at_the_start_fails_the_run_at_once() {
    let server = Accepting(|_, _| Answer::Refuse(ErrorKind::ConnectionRefused));
    let options = Options { connections: 3, keep_going: true, ..for_time(S) };
    let seen = Run::new(options, server).run();
    seen.assert_end(End::Failed, &[("connect", 1)]);
    assert_eq!((seen.ended, seen.attempts.len()), (Duration::ZERO, 1));
}

#[test]
fn a_full_accept_queue_is_tried_again_until_it_has_room() {
    let server = Accepting(|_, at| match at < 300 * MS {
        true => Answer::QueueFull,
        false => Answer::Accept(Duration::ZERO),
    });
    let seen = Run::new(Options { connections: 2, ..for_time(100 * MS) }, server).run();
    seen.assert_end(End::Complete, &[]);
    // Each of the two, every 10 ms.
    assert_eq!(seen.attempts.len(), 2 * 31);
    // Their time to connect began with the first attempt.
    assert_times(&seen.outcome.connect, 300 * MS, 300 * MS);
}

#[test]
fn an_accept_queue_that_stays_full_fails_the_run_when_the_timeout_is_over() {
    let server = Accepting(|_, _| Answer::QueueFull);
    let seen = Run::new(Options { timeout: 300 * MS, ..for_time(S) }, server).run();
    seen.assert_end(End::Failed, &[("connect", 1)]);
    assert!(seen.ended > 300 * MS && seen.ended <= 320 * MS, "{:?}", seen.ended);
    assert!(seen.outcome.failures[0].to_string().contains("its accept queue is full"));
}

#[test]
fn a_failed_connection_is_replaced_after_a_tenth_of_a_second() {
    let server = |connection: usize, _: Duration, bytes: &[u8]| {
        let echo = (10 * MS, Sent::Bytes(bytes.to_vec()));
        if connection < 3 { vec![echo, (15 * MS, Sent::End)] } else { vec![echo] }
    };
    let options = Options { length: Length::Messages(9), keep_going: true, ..options() };
    let seen = Run::new(options, server).run();
    seen.assert_end(End::Complete, &[("closed", 3)]);
    // The next message was in flight when the server closed.
    seen.assert_messages(6, 3, 0);
    assert_eq!(seen.attempts, [0, 115, 230, 345].map(|ms| ms * MS));
    assert_eq!(seen.outcome.connections_made, 4);
}

#[test]
fn a_spent_connection_is_replaced_at_once() {
    for rate in [None, Some(100.0)] {
        let options = Options {
            rate,
            length: Length::Messages(40),
            reconnect_every: Some(1),
            spin: Duration::ZERO,
            ..options()
        };
        let seen = Run::new(options, echo(10 * MS)).run();
        seen.assert_end(End::Complete, &[]);
        seen.assert_messages(40, 0, 0);
        assert_eq!(seen.received_bytes, 40 * 64);
        assert_eq!(seen.outcome.measured, 400 * MS);
        // The last message has no successor.
        assert_eq!(seen.outcome.connections_made, 40);
    }
}

/// Otherwise they would use up the descriptors.
#[test]
fn retired_connections_that_the_server_keeps_open_are_no_more_than_the_others() {
    let length = Length::Messages(300);
    let options = Options { connections: 3, length, reconnect_every: Some(1), ..options() };
    let seen = Run::new(options, Ending(|_| Vec::new())).run();
    seen.assert_end(End::Complete, &[]);
    assert_eq!(seen.network.most_open(), 6);
}

/// There is room for ten of them, and two messages a second.
#[test]
fn a_retired_connection_that_the_server_keeps_open_is_removed_after_a_second() {
    let options = Options { connections: 10, reconnect_every: Some(1), ..open_loop(2.0, 10 * S) };
    let seen = Run::new(options, Ending(|_| Vec::new())).run();
    seen.assert_end(End::Complete, &[]);
    let most = seen.network.most_open();
    assert!((12..=13).contains(&most), "{most}");
}

/// Its end came with the echo, so no event reports it after that.
#[test]
fn a_server_that_closes_after_each_message_is_waited_for_no_longer() {
    struct Once;
    impl Server for Once {
        fn receive(&mut self, _: usize, _: Duration, bytes: &[u8]) -> Vec<(Duration, Sent)> {
            vec![(MS, Sent::Bytes(bytes.to_vec())), (MS, Sent::End)]
        }

        fn end(&mut self, _: usize, _: Duration) -> Vec<(Duration, Sent)> {
            Vec::new()
        }
    }
    let options = Options { length: Length::Messages(5), reconnect_every: Some(1), ..options() };
    let seen = Run::new(options, Once).run();
    seen.assert_end(End::Complete, &[]);
    assert_eq!(seen.ended, 5 * MS);
}

/// At the end, the successor of a spent connection is still being made.
#[test]
fn a_connection_that_is_not_made_by_the_end_does_no_harm() {
    let server = Accepting(|connection, _| match connection {
        0 => Answer::Accept(Duration::ZERO),
        _ => Answer::Silence,
    });
    let seen = Run::new(Options { reconnect_every: Some(1), ..for_time(600 * MS) }, server).run();
    seen.assert_end(End::Complete, &[]);
    seen.assert_messages(1, 0, 0);
    assert_eq!(seen.ended, 600 * MS);
}

/// The first connection fails after the measured part, and the second has a message in flight for longer.
#[test]
fn connections_that_fail_at_the_end_are_not_replaced() {
    let server = |connection: usize, _: Duration, bytes: &[u8]| match connection {
        0 => vec![(120 * MS, Sent::Reset)],
        _ => vec![(400 * MS, Sent::Bytes(bytes.to_vec()))],
    };
    let options = Options { connections: 2, keep_going: true, ..for_time(100 * MS) };
    let seen = Run::new(options, server).run();
    seen.assert_end(End::Complete, &[("reset", 1)]);
    seen.assert_messages(1, 1, 0);
    assert_eq!((seen.attempts.len(), seen.ended), (2, 400 * MS));
}
