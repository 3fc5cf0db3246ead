//! The session on a scripted link, with times that are exact.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::super::tally::Datagrams;
use super::*;

const MS: Duration = Duration::from_millis(1);
const SIZE: usize = 20;

/// What is sent, and what comes back.
#[derive(Default)]
struct Wire {
    sent: Vec<Vec<u8>>,
    /// What the next sends return; after that, they succeed.
    refusals: VecDeque<ErrorKind>,
    arriving: VecDeque<io::Result<Vec<u8>>>,
    /// The server's other addresses.
    others: VecDeque<Endpoint>,
}

#[derive(Clone, Default)]
struct Scripted(Rc<RefCell<Wire>>);

impl Link for Scripted {
    fn send(&mut self, datagram: &[u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        if let Some(kind) = wire.refusals.pop_front() {
            return Err(kind.into());
        }
        wire.sent.push(datagram.to_vec());
        Ok(datagram.len())
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let next = self.0.borrow_mut().arriving.pop_front();
        let datagram = next.unwrap_or(Err(ErrorKind::WouldBlock.into()))?;
        buffer[..datagram.len()].copy_from_slice(&datagram);
        Ok(datagram.len())
    }

    fn next_address(&mut self) -> Option<Endpoint> {
        self.0.borrow_mut().others.pop_front()
    }
}

/// A session of some messages at 10 ms, with a timeout of 100 ms, and the lines that it printed.
struct Ping {
    link: Scripted,
    options: Options,
    tally: Tally,
    lines: Vec<String>,
    end: Option<End>,
}

impl Ping {
    /// Runs a session. `act` is called before each millisecond, and says what happens on the wire.
    fn run(count: u64, act: impl FnMut(u32, &mut Wire)) -> Self {
        Self::run_for(count, 1000, act)
    }

    fn run_for(count: u64, milliseconds: u32, act: impl FnMut(u32, &mut Wire)) -> Self {
        let options = Options {
            server: "udp:127.0.0.1:7".parse().unwrap(),
            count: Some(count),
            interval: 10 * MS,
            size: SIZE,
            timeout: 100 * MS,
            wait: None,
            send_proxy: None,
        };
        Self::run_with(options, milliseconds, act)
    }

    fn run_with(options: Options, milliseconds: u32, mut act: impl FnMut(u32, &mut Wire)) -> Self {
        let link = Scripted::default();
        let (mut tally, mut lines, mut end) = (Tally::default(), Vec::new(), None);
        let start = Instant::now();
        {
            let notify = |notice: &Notice<'_>| {
                lines.push(notice.to_string());
                Ok(())
            };
            let peer = Endpoint::udp(([127, 0, 0, 1], 7).into());
            let of = (link.clone(), peer);
            let mut session = DatagramSession::new(&options, of, &mut tally, notify, start);
            session.start().unwrap();
            for ms in 0..milliseconds {
                let now = start + MS * ms;
                act(ms, &mut link.0.borrow_mut());
                while session.receive(now).unwrap() {}
                session.handle_timeout(now).unwrap();
                end = session.outcome();
                if end.is_some() {
                    break;
                }
            }
        }
        Self { link, options, tally, lines, end }
    }

    fn counts(&self) -> [u64; 6] {
        let Tally { sent, received, lost, datagrams, .. } = &self.tally;
        let Datagrams { late, duplicates, reordered, .. } = datagrams.unwrap();
        [*sent, *received, *lost, late, duplicates, reordered]
    }
}

/// Echoes everything that was sent so far and not echoed yet.
fn echo(wire: &mut Wire) {
    let echoes: Vec<_> = wire.sent.drain(..).map(Ok).collect();
    wire.arriving.extend(echoes);
}

#[test]
fn each_message_is_a_datagram_with_its_number_and_its_own_bytes() {
    let mut all = Vec::new();
    let ping = Ping::run(3, |_, wire| {
        all.extend(wire.sent.iter().cloned());
        echo(wire);
    });
    let numbers: Vec<_> = all.iter().map(|sent| sent[..8].to_vec()).collect();
    assert_eq!(numbers, [1_u64, 2, 3].map(|n| n.to_be_bytes().to_vec()));
    assert!(all.iter().all(|sent| sent.len() == SIZE));
    assert_ne!(all[0][8..], all[1][8..]);
    assert_eq!(ping.counts(), [3, 3, 0, 0, 0, 0]);
    assert!(matches!(ping.end, Some(End::Complete)));
    assert_eq!(ping.tally.verdict(), Ok(()));
    assert_eq!(ping.lines[0], "PING udp:127.0.0.1:7 (udp:127.0.0.1:7) 20 bytes over UDP");
    assert_eq!(ping.lines[1], "20 bytes from udp:127.0.0.1:7: seq=1 time=1.000 ms");
}

/// Failed when a lost echo held the next message up.
#[test]
fn a_lost_echo_delays_no_other_message() {
    let mut sent_at = Vec::new();
    let ping = Ping::run(5, |ms, wire| {
        sent_at.extend(wire.sent.iter().map(|_| ms - 1));
        wire.sent.retain(|sent| sent[7] != 2);
        echo(wire);
    });
    assert_eq!(sent_at, [0, 10, 20, 30, 40]);
    assert_eq!(ping.counts(), [5, 4, 1, 0, 0, 0]);
    assert!(ping.lines.last().unwrap().starts_with("no echo for seq=2 within 100 ms"));
    assert_eq!(ping.tally.verdict(), Err("1 of 5 echoes did not come back".into()));
}

#[test]
fn late_echoes_are_told_from_lost_ones_and_doubled_ones_from_both() {
    let mut first = None;
    let ping = Ping::run(15, |ms, wire| {
        if ms == 1 {
            first = wire.sent.pop();
        }
        // It comes after its timeout, and then again.
        if ms == 120 || ms == 121 {
            wire.arriving.extend(first.clone().map(Ok));
        }
        echo(wire);
    });
    assert_eq!(ping.counts(), [15, 14, 0, 1, 1, 0]);
    let said = ["seq=1 time=120.000 ms (late)", "seq=1 (duplicate)"];
    assert!(said.iter().all(|said| ping.lines.iter().any(|line| line.ends_with(said))));
    assert_eq!(ping.tally.verdict(), Err("1 of 15 echoes came late".into()));
}

#[test]
fn echoes_out_of_order_are_counted_and_right() {
    let mut kept = None;
    let ping = Ping::run(3, |ms, wire| {
        if ms == 1 {
            kept = wire.sent.pop();
        }
        echo(wire);
        if ms == 15 {
            wire.arriving.extend(kept.take().map(Ok));
        }
    });
    assert_eq!(ping.counts(), [3, 3, 0, 0, 0, 1]);
    assert_eq!(ping.tally.verdict(), Ok(()));
}

#[test]
fn a_datagram_that_is_no_echo_is_wrong() {
    type Change = fn(&mut Vec<u8>);
    let changes: [(Change, &str, &str); 5] = [
        (|echo| echo[19] ^= 1, "altered", "the byte at offset 19 is"),
        (|echo| echo.truncate(19), "length", "19 bytes came back instead of 20 bytes"),
        (|echo| echo.push(0), "length", "21 bytes came back instead of 20 bytes"),
        (|echo| echo.truncate(7), "surplus", "no echo of a recent message"),
        (|echo| echo[0] = 1, "surplus", "no echo of a recent message"),
    ];
    for (change, kind, text) in changes {
        let ping = Ping::run(1, |_, wire| {
            wire.sent.iter_mut().for_each(change);
            echo(wire);
        });
        assert_eq!((ping.tally.wrong, ping.tally.failure_counts[kind]), (1, 1), "{:?}", ping.lines);
        assert!(ping.tally.failures[0].text.contains(text), "{:?}", ping.tally.failures);
        assert_eq!(ping.tally.received, 0);
    }
}

/// The network reports a closed port with the next call.
#[test]
fn a_refused_message_is_lost_at_once() {
    let ping = Ping::run(2, |_, wire| {
        let refusals = wire.sent.drain(..).map(|_| Err(ErrorKind::ConnectionRefused.into()));
        wire.arriving.extend(refusals.collect::<Vec<_>>());
    });
    assert_eq!(ping.counts(), [2, 0, 2, 0, 0, 0]);
    assert_eq!(ping.lines[1..], ["seq=1: connection refused", "seq=2: connection refused"]);
}

/// Failed when the message that met the error of an earlier one was not sent.
#[test]
fn an_error_that_a_send_reports_belongs_to_the_message_before() {
    let ping = Ping::run(2, |ms, wire| {
        if ms == 9 {
            wire.sent.clear();
            wire.refusals.push_back(ErrorKind::ConnectionRefused);
        }
        if ms > 9 {
            echo(wire);
        }
    });
    assert_eq!(ping.counts(), [2, 1, 1, 0, 0, 0]);
    assert_eq!(ping.lines[1], "seq=1: connection refused");
}

/// Failed when an error that came for each attempt to send counted against an earlier message too, whose echo was wrong
/// then.
#[test]
fn a_message_that_cannot_be_sent_takes_no_earlier_one_with_it() {
    let mut kept = None;
    let ping = Ping::run(2, |ms, wire| {
        kept = kept.take().or(wire.sent.pop());
        match ms {
            10 => wire.refusals.extend([ErrorKind::NetworkUnreachable; 2]),
            15 => wire.arriving.extend(kept.take().map(Ok)),
            _ => {}
        }
    });
    assert_eq!((ping.counts(), ping.tally.wrong), ([2, 1, 1, 0, 0, 0], 0), "{:?}", ping.lines);
    assert_eq!(ping.lines[1], "seq=2: network unreachable");
}

/// A server that starts while messages are on their way. Failed when a refusal counted against the last message: the echo
/// of that one was wrong then, and the one that was refused timed out.
#[test]
fn a_refusal_counts_against_the_oldest_message() {
    let mut on_the_way = VecDeque::new();
    let ping = Ping::run(6, |ms, wire| {
        on_the_way.extend(wire.sent.drain(..).map(|sent| (ms - 1, sent)));
        while let Some((sent_at, message)) = on_the_way.pop_front() {
            if ms < sent_at + 35 {
                on_the_way.push_front((sent_at, message));
                break;
            }
            let is_up = sent_at >= 20;
            let refused = Err(ErrorKind::ConnectionRefused.into());
            wire.arriving.push_back(if is_up { Ok(message) } else { refused });
        }
    });
    assert_eq!((ping.counts(), ping.tally.wrong), ([6, 4, 2, 0, 0, 0], 0), "{:?}", ping.lines);
    assert_eq!(ping.lines[1..3], ["seq=1: connection refused", "seq=2: connection refused"]);
}

/// Nothing says which message the network refuses. Failed when the echo of a message that counted as refused was wrong.
#[test]
fn an_echo_of_a_message_that_counted_as_refused_is_late() {
    let mut kept = None;
    let ping = Ping::run(2, |ms, wire| {
        if ms == 1 {
            kept = wire.sent.pop();
        }
        if ms == 12 {
            wire.sent.clear();
            wire.arriving.push_back(Err(ErrorKind::ConnectionRefused.into()));
            wire.arriving.extend(kept.take().map(Ok));
        }
    });
    assert_eq!((ping.counts(), ping.tally.wrong), ([2, 0, 1, 1, 0, 0], 0), "{:?}", ping.lines);
}

/// Fault 53. Failed when only the first address was tried.
#[test]
fn an_address_that_refuses_is_left_for_the_next_before_anything_else_came() {
    let ping = Ping::run(3, |ms, wire| match ms {
        0 => wire.others.push_back(Endpoint::udp(([127, 0, 0, 2], 7).into())),
        1 => {
            wire.sent.clear();
            wire.arriving.push_back(Err(ErrorKind::ConnectionRefused.into()));
        }
        2.. => echo(wire),
    });
    assert_eq!(ping.counts(), [3, 3, 0, 0, 0, 0], "{:?}", ping.lines);
    let failed = "cannot reach udp:127.0.0.1:7: connection refused; trying the next address";
    assert_eq!(ping.lines[1], failed);
    assert!(ping.lines[2].starts_with("20 bytes from udp:127.0.0.2:7: seq=1 time="));
    assert_eq!(ping.tally.verdict(), Ok(()));
}

#[test]
fn an_address_that_has_answered_is_not_left() {
    let ping = Ping::run(2, |ms, wire| {
        wire.others = [Endpoint::udp(([127, 0, 0, 2], 7).into())].into();
        if ms > 10 && wire.sent.pop().is_some() {
            wire.arriving.push_back(Err(ErrorKind::ConnectionRefused.into()));
        }
        echo(wire);
    });
    assert_eq!(ping.counts(), [2, 1, 1, 0, 0, 0], "{:?}", ping.lines);
    assert_eq!(ping.link.0.borrow().others.len(), 1);
}

/// Failed when all messages that were due meanwhile were sent in a burst.
#[test]
fn messages_that_are_due_while_no_more_can_be_remembered_are_skipped() {
    let options = Options {
        server: "udp:127.0.0.1:7".parse().unwrap(),
        count: None,
        interval: MS,
        size: SIZE,
        timeout: MS * (REMEMBERED as u32 + 1000),
        wait: None,
        send_proxy: None,
    };
    let mut sent = Vec::new();
    let last = REMEMBERED as u32 + 1010;
    let ping = Ping::run_with(options, last, |ms, wire| {
        sent.extend(wire.sent.drain(..).map(|_| ms - 1));
    });
    let most = sent.chunk_by(|a, b| a == b).map(<[_]>::len).max();
    assert_eq!(
        (most, ping.tally.sent, ping.tally.skipped),
        (Some(1), REMEMBERED as u64 + 10, 1000)
    );
}

/// Fault 3. Failed when a signal that came during a send cost a message.
#[test]
fn a_send_that_a_signal_interrupts_is_tried_again() {
    let ping = Ping::run(1, |ms, wire| {
        if ms == 0 {
            wire.refusals.extend([ErrorKind::Interrupted; 2]);
        }
        echo(wire);
    });
    assert_eq!(ping.counts(), [1, 1, 0, 0, 0, 0], "{:?}", ping.lines);
}

#[test]
fn a_message_that_the_system_does_not_take_is_lost() {
    let ping = Ping::run(1, |ms, wire| {
        if ms == 0 {
            wire.refusals.push_back(ErrorKind::WouldBlock);
        }
    });
    assert_eq!((ping.counts(), ping.tally.failure_counts["system"]), ([1, 0, 1, 0, 0, 0], 1));
}

#[test]
fn messages_in_flight_at_the_end_are_under_way() {
    let ping = Ping::run_for(100, 25, |_, _| {});
    assert_eq!((ping.tally.sent, ping.tally.under_way(), ping.tally.lost), (3, 3, 0));
    let summary = super::super::Summary { server: &ping.options.server, tally: &ping.tally };
    let expected = "3 sent, 0 received, 0 lost (0 %), 0 late, 0 wrong, 0 duplicates, 0 reordered, 3 still under way";
    assert!(summary.to_string().contains(expected), "{summary}");
    assert_eq!(ping.link.0.borrow().sent.len(), 3);
}
