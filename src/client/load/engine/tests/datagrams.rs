//! Runs over UDP.

use std::cell::Cell;
use std::rc::Rc;

use super::random::{Dice, check};
use super::*;
use crate::client::rng::xorshift;

/// What a server does with a datagram.
type Answers = Vec<(Duration, Sent)>;

/// Over UDP, with a timeout of 100 ms.
fn over_udp(options: Options) -> Options {
    Options { server: "udp:127.0.0.1:7".parse().unwrap(), timeout: 100 * MS, ..options }
}

/// A number of messages in a closed loop.
fn messages(n: u64) -> Options {
    over_udp(Options { length: Length::Messages(n), ..options() })
}

/// A server that does this with the n-th datagram, counted from 1 over all connections.
fn nth(mut act: impl FnMut(u64, Vec<u8>) -> Answers + 'static) -> impl Server {
    let mut n = 0;
    move |_: usize, _: Duration, bytes: &[u8]| {
        n += 1;
        act(n, bytes.to_vec())
    }
}

/// Expects these numbers: answered, lost, late, duplicates, reordered.
#[track_caller]
fn assert_counts(seen: &Seen<DatagramProbe>, counts: [u64; 5]) {
    let Outcome { messages, lost, late, duplicates, reordered, unsent, .. } = seen.outcome;
    assert_eq!([messages, lost, late, duplicates, reordered], counts);
    seen.assert_messages(messages, lost, unsent);
}

#[test]
fn every_datagram_that_comes_back_is_a_message() {
    let options = Options { depth: 4, sizes: 8..=1400, ..messages(1000) };
    let seen = Run::over_udp(options, nth(|_, echo| vec![(MS, Sent::Bytes(echo))])).run();
    seen.assert_end(End::Complete, &[]);
    assert_counts(&seen, [1000, 0, 0, 0, 0]);
    assert_times(&seen.outcome.service, MS, MS);
    assert_eq!(seen.ended.as_millis(), 250, "four at a time");
}

/// In a closed loop, the message that is lost keeps its place for the timeout.
#[test]
fn a_lost_message_is_counted_and_the_run_goes_on() {
    let server = nth(|n, echo| if n == 3 { vec![] } else { vec![(MS, Sent::Bytes(echo))] });
    let seen = Run::over_udp(messages(10), server).run();
    seen.assert_end(End::Complete, &[]);
    assert_counts(&seen, [9, 1, 0, 0, 0]);
    // The search for what is overdue is a sixteenth of the timeout late at most.
    let waited = seen.outcome.unanswered.max();
    assert!((100 * MS..=107 * MS).contains(&waited), "{waited:?}");
}

/// Failed when it counted as lost, and as an echo of no message.
#[test]
fn a_late_echo_is_not_lost() {
    let server = nth(|n, echo| {
        let delay = if n == 3 { 150 * MS } else { 20 * MS };
        vec![(delay, Sent::Bytes(echo))]
    });
    let seen = Run::over_udp(Options { depth: 2, ..messages(20) }, server).run();
    seen.assert_end(End::Complete, &[]);
    assert_counts(&seen, [19, 0, 1, 0, 0]);
}

/// Failed when an echo that was late at the end of a run, or when its socket was replaced, counted as lost.
#[test]
fn the_last_late_echoes_are_waited_for() {
    let server = || {
        nth(|n, echo| {
            let delay = if n % 10 == 0 { 900 * MS } else { MS };
            vec![(delay, Sent::Bytes(echo))]
        })
    };
    let seen = Run::over_udp(messages(20), server()).run();
    assert_counts(&seen, [18, 0, 2, 0, 0]);
    let options = Options { reconnect_every: Some(10), ..messages(20) };
    let seen = Run::over_udp(options, server()).run();
    assert_counts(&seen, [18, 0, 2, 0, 0]);
}

/// An echo can come after the timeout and before the search for what is overdue.
#[test]
fn an_echo_is_late_from_the_timeout_on() {
    let server = nth(|n, echo| {
        let delay = if n == 1 { 100 * MS + MS / 10 } else { MS };
        vec![(delay, Sent::Bytes(echo))]
    });
    let seen = Run::over_udp(messages(2), server).run();
    seen.assert_end(End::Complete, &[]);
    assert_counts(&seen, [1, 0, 1, 0, 0]);
}

#[test]
fn doubled_and_reordered_echoes_are_counted() {
    let mut kept = None;
    let server = nth(move |n, echo| match n {
        3 => vec![(MS, Sent::Bytes(echo.clone())), (MS, Sent::Bytes(echo))],
        5 => {
            kept = Some(echo);
            vec![]
        }
        7 => {
            let earlier = kept.take().into_iter().map(|earlier| (MS, Sent::Bytes(earlier)));
            [(MS, Sent::Bytes(echo))].into_iter().chain(earlier).collect()
        }
        _ => vec![(MS, Sent::Bytes(echo))],
    });
    let seen = Run::over_udp(Options { depth: 3, ..messages(30) }, server).run();
    seen.assert_end(End::Complete, &[]);
    assert_counts(&seen, [30, 0, 0, 1, 1]);
}

/// In an open loop, a message that is lost holds up no other.
#[test]
fn messages_are_sent_at_their_times_whatever_is_lost() {
    let options = over_udp(Options { depth: 1000, ..open_loop(1000.0, S) });
    let server = nth(|n, echo| if n % 2 == 0 { vec![] } else { vec![(MS, Sent::Bytes(echo))] });
    let seen = Run::over_udp(options, server).run();
    seen.assert_end(End::Complete, &[]);
    assert_counts(&seen, [500, 500, 0, 0, 0]);
    assert_times(&seen.outcome.response, MS, MS);
    assert!(!seen.outcome.has_missed_rate());
}

#[test]
fn a_datagram_that_was_never_sent_ends_the_run() {
    type Change = fn(&mut Vec<u8>);
    let changes: [(Change, &str); 5] = [
        (|echo| *echo.last_mut().unwrap() ^= 1, "altered"),
        (|echo| echo.truncate(19), "length"),
        (|echo| echo.push(0), "length"),
        (|echo| echo.clear(), "surplus"),
        (|echo| echo[0] = 1, "surplus"),
    ];
    for (change, kind) in changes {
        let server = nth(move |n, mut echo| {
            if n == 2 {
                change(&mut echo);
            }
            vec![(MS, Sent::Bytes(echo))]
        });
        let options = Options { keep_going: true, ..messages(10) };
        let seen = Run::over_udp(options, server).run();
        seen.assert_end(End::Failed, &[(kind, 1)]);
        assert_counts(&seen, [1, 1, 0, 0, 0]);
        assert!(seen.outcome.has_wrong_bytes);
    }
}

/// The network reports a closed port with the next call.
#[test]
fn a_refused_socket_fails_as_a_connection_does() {
    struct Refusing;
    impl Server for Refusing {
        fn receive(&mut self, connection: usize, _: Duration, bytes: &[u8]) -> Answers {
            let answer = if connection == 0 { Sent::Reset } else { Sent::Bytes(bytes.to_vec()) };
            vec![(MS, answer)]
        }
    }
    let seen = Run::over_udp(messages(10), Refusing).run();
    seen.assert_end(End::Failed, &[("system", 1)]);
    let seen = Run::over_udp(Options { keep_going: true, ..messages(10) }, Refusing).run();
    seen.assert_end(End::Complete, &[("system", 1)]);
    assert_counts(&seen, [9, 1, 0, 0, 0]);
    assert_eq!(seen.attempts.len(), 2);
}

#[test]
fn sockets_are_replaced_and_numbers_begin_again() {
    let options = Options { reconnect_every: Some(3), depth: 2, ..messages(100) };
    let seen = Run::over_udp(options, nth(|_, echo| vec![(MS, Sent::Bytes(echo))])).run();
    seen.assert_end(End::Complete, &[]);
    assert_counts(&seen, [100, 0, 0, 0, 0]);
    assert_eq!(seen.attempts.len(), 34);
}

/// A server that loses, delays and doubles, and knows how often.
struct Careless {
    dice: Dice,
    lost: Rc<Cell<u64>>,
}

impl Server for Careless {
    fn receive(&mut self, _: usize, _: Duration, bytes: &[u8]) -> Answers {
        let echo = || Sent::Bytes(bytes.to_vec());
        match self.dice.below(12) {
            0 => {
                self.lost.set(self.lost.get() + 1);
                vec![]
            }
            1 => vec![(self.dice.time(MS), echo()), (self.dice.time(300 * MS), echo())],
            2 => vec![(self.dice.time(300 * MS), echo())],
            _ => vec![(self.dice.time(5 * MS), echo())],
        }
    }
}

#[test]
fn the_figures_of_every_run_over_udp_add_up() {
    for seed in 0..200 {
        let mut dice = Dice(xorshift(seed + 1));
        let lost = Rc::new(Cell::new(0));
        let options = over_udp(Options {
            depth: 1 + dice.below(20) as usize,
            connections: 1 + dice.below(3) as usize,
            rate: dice.once_in(2).then_some(1000.0),
            reconnect_every: dice.once_in(4).then(|| 1 + dice.below(10)),
            length: Length::Messages(1 + dice.below(300)),
            spin: Duration::ZERO,
            ..options()
        });
        let server = Careless { dice, lost: lost.clone() };
        let seen = Run::over_udp(options.clone(), server).run();
        let Outcome { lost: counted, unsent, .. } = seen.outcome;
        assert_eq!(unsent, 0, "{seed}");
        match options.reconnect_every {
            None => assert_eq!(counted, lost.get(), "{seed}"),
            // A socket that was replaced may have to go before its late echoes come: as many wait as there are connections.
            Some(_) => assert!(counted >= lost.get(), "{seed}: {counted} of {}", lost.get()),
        }
        check(seed, &options, &seen);
    }
}

/// The messages in flight are lost after their timeout.
#[test]
fn a_silent_server_ends_the_run_without_an_echo() {
    let options = over_udp(Options { depth: 2, ..for_time(S) });
    let seen = Run::over_udp(options, silent()).run();
    seen.assert_end(End::Failed, &[]);
    assert_eq!((seen.outcome.messages, seen.outcome.lost), (0, 20));
    assert_eq!(seen.outcome.measured, S);
}

#[test]
fn a_standstill_of_the_client_makes_no_echo_late() {
    let server = nth(|_, echo| vec![(50 * MS, Sent::Bytes(echo))]);
    let run = Run::over_udp(messages(10), server).at(75 * MS, Act::StandStill(S));
    let seen = run.run();
    seen.assert_end(End::Complete, &[]);
    assert_counts(&seen, [10, 0, 0, 0, 0]);
}
