//! The counts and times of a session on a simulated clock and network. No test waits.

use std::time::{Duration, Instant};

use super::*;
use crate::client::standstill::Standstill;

use simulated::{
    Arrival, Attempt, CLOSE, CONNECT, Clock, ECHO, MS, Reply, Simulated, echo, silence,
};

mod simulated;

const SIZE: usize = 8;

/// A ping to run.
struct Run {
    options: Options,
    clock: Clock,
    server: Simulated,
    /// When the program is stopped and continues, as by SIGSTOP and SIGCONT.
    stopped: Option<(Duration, Duration)>,
    /// When SIGINT comes.
    interrupted: Option<Duration>,
    /// How long the output of a line takes.
    line: Duration,
}

/// What a ping found.
struct Report {
    tally: Tally,
    end: io::Result<End>,
    /// When each message was sent, counted from the first.
    sent: Vec<Duration>,
    lines: Vec<String>,
    /// When the ping ended, counted from its start.
    took: Duration,
    turns: u32,
    /// The standstills that the network was notified of.
    discounted: Duration,
}

/// A ping of `count` messages, one each second, with a timeout of half a second.
fn run(count: u64) -> Run {
    let clock = Clock::new();
    Run {
        options: Options {
            server: "127.0.0.1:7".parse().unwrap(),
            count: Some(count),
            interval: MS * 1000,
            size: SIZE,
            timeout: MS * 500,
            wait: None,
        },
        server: Simulated::new(&clock, SIZE),
        clock,
        stopped: None,
        interrupted: None,
        line: Duration::ZERO,
    }
}

impl Run {
    fn replies(mut self, replies: impl IntoIterator<Item = Reply>) -> Self {
        self.server.replies = replies.into_iter().collect();
        self
    }

    fn attempts(mut self, attempts: impl IntoIterator<Item = Attempt>) -> Self {
        self.server.attempts = attempts.into_iter().collect();
        self
    }

    /// Runs the ping to its end, turn by turn, as `drive` does.
    fn report(self) -> Report {
        let Self { options, clock, server, stopped, interrupted, line } = self;
        let (start, mut lines, mut tally) = (clock.now(), Vec::new(), Tally::default());
        let notify = |notice: &Notice<'_>| {
            clock.advance(line);
            lines.push(notice.to_string());
            Ok(())
        };
        let mut session = Session::new(&options, server, &mut tally, notify, start);
        let mut turns = Turns { clock: &clock, start, stopped, interrupted, count: 0 };
        let end = turns.run(&mut session);
        session.network.close();
        let discounted = session.network.discounted;
        let sent = session.network.sent_at.clone();
        let sent = sent.iter().map(|at| *at - sent[0]).collect();
        drop(session);
        let (took, turns) = (clock.now() - start, turns.count);
        Report { tally, end, sent, lines, took, turns, discounted }
    }
}

/// The loop around a session.
struct Turns<'a> {
    clock: &'a Clock,
    start: Instant,
    stopped: Option<(Duration, Duration)>,
    interrupted: Option<Duration>,
    count: u32,
}

impl Turns<'_> {
    fn run(&mut self, session: &mut Session<'_, Simulated, impl Notify>) -> io::Result<End> {
        let mut now = self.start;
        let mut standstill = Standstill::new(now, Duration::ZERO);
        loop {
            self.count += 1;
            assert!(self.count < 100_000, "the session spins");
            let timeout = standstill.plan(session.poll_timeout(now));
            self.wait(timeout.map(|timeout| now + timeout), session.network.next_event());
            now = self.clock.now();
            let stood_still = standstill.end(now, Duration::ZERO);
            if !stood_still.is_zero() {
                session.discount(stood_still, now);
            }
            if self.interrupted.is_some_and(|at| now >= self.start + at) {
                session.stop();
            }
            session.handle_echo(now)?;
            session.handle_timeout(now)?;
            if let Some(end) = session.outcome() {
                return Ok(end);
            }
        }
    }

    fn wait(&mut self, timeout: Option<Instant>, event: Option<Instant>) {
        let signal = self.interrupted.map(|at| self.start + at);
        let wake = [timeout, event, signal].into_iter().flatten().min();
        self.clock.advance_to(wake.expect("a wait without an end"));
        if let Some((from, to)) = self.stopped
            && self.clock.now() >= self.start + from
        {
            self.clock.advance_to(self.start + to);
        }
    }
}

impl Report {
    #[track_caller]
    fn assert_counts(&self, received: u64, lost: u64, wrong: u64, reconnects: u64) {
        let Tally { received: r, lost: l, wrong: w, .. } = self.tally;
        let found = (r, l, w, self.tally.reconnects());
        assert_eq!(found, (received, lost, wrong, reconnects), "{:#?}", self.lines);
    }

    #[track_caller]
    fn assert_complete(&self) {
        assert!(matches!(self.end, Ok(End::Complete)), "{:?} {:#?}", self.end, self.lines);
    }

    #[track_caller]
    fn assert_sent_at(&self, milliseconds: &[u32]) {
        let expected: Vec<_> = milliseconds.iter().map(|ms| MS * *ms).collect();
        assert_eq!(self.sent, expected, "{:#?}", self.lines);
    }

    #[track_caller]
    fn assert_line(&self, line: &str) {
        assert!(self.lines.iter().any(|found| found == line), "{:#?}", self.lines);
    }

    fn failures(&self) -> Vec<&str> {
        self.tally.failures.iter().map(|failure| &*failure.text).collect()
    }
}

mod times {
    use super::*;

    #[test]
    fn an_echo_takes_from_the_first_write_to_the_last_byte() {
        let halves: Reply = Box::new(|message| {
            let (first, second) = message.split_at(SIZE / 2);
            let bytes = |half: &[u8]| Arrival::Bytes(half.to_vec());
            vec![(MS * 5, bytes(first)), (MS * 17, bytes(second))]
        });
        let report = run(2).replies([echo(MS * 6), halves]).report();
        report.assert_complete();
        assert_eq!(
            (report.tally.echo_times.min(), report.tally.echo_times.max()),
            (MS * 6, MS * 17)
        );
        report.assert_line("8 bytes from 127.0.0.1:7: seq=2 time=17.000 ms");
    }

    /// Failed when the time ended with the turn that began before the read.
    #[test]
    fn reading_the_last_byte_is_part_of_an_echo() {
        let mut run = run(1);
        run.server.read = MS * 7;
        assert_eq!(run.report().tally.echo_times.max(), ECHO + MS * 7);
    }

    #[test]
    fn a_message_that_the_network_takes_in_pieces_counts_from_its_first_byte() {
        let mut run = run(1);
        run.server.room = 3;
        let report = run.report();
        // Its three pieces go out a millisecond apart.
        assert_eq!(report.tally.echo_times.max(), ECHO + MS * 2);
    }

    #[test]
    fn connecting_is_no_part_of_an_echo() {
        let report = run(1).attempts([Attempt::Succeeds(MS * 400)]).report();
        assert_eq!(
            (report.tally.connect_times.max(), report.tally.echo_times.max()),
            (MS * 400, ECHO)
        );
    }

    /// Failed when a message was sent, or its time taken, in the turn that printed the line before.
    #[test]
    fn slow_output_is_no_part_of_an_echo() {
        let mut run = run(3);
        run.options.interval = MS * 50;
        run.line = MS * 90;
        let report = run.report();
        report.assert_counts(3, 0, 0, 0);
        assert_eq!((report.tally.echo_times.min(), report.tally.echo_times.max()), (ECHO, ECHO));
    }

    #[test]
    fn the_run_ends_when_the_server_has_closed_too() {
        let report = run(2).report();
        report.assert_complete();
        assert_eq!(report.took, CONNECT + MS * 1000 + ECHO + CLOSE);
        // That is no line: nothing follows.
        assert!(report.lines.last().unwrap().contains("seq=2 time="), "{:#?}", report.lines);
    }

    #[test]
    fn a_server_that_never_closes_ends_the_run_after_the_close_timeout() {
        let mut run = run(1);
        run.server.closes = false;
        let report = run.report();
        report.assert_complete();
        report.assert_counts(1, 0, 0, 0);
        assert_eq!(report.took, CONNECT + ECHO + CLOSE_TIMEOUT);
    }
}

mod failures {
    use super::*;

    #[test]
    fn an_echo_after_its_timeout_is_lost_and_not_taken_for_the_next() {
        let report = run(2).replies([echo(MS * 700)]).report();
        report.assert_complete();
        report.assert_counts(1, 1, 0, 1);
        assert_eq!(report.failures(), ["no echo for seq=1 within 500 ms: 0 of 8 bytes came back"]);
        assert_eq!((report.tally.echo_times.count(), report.tally.echo_times.max()), (1, ECHO));
    }

    #[test]
    fn an_echo_that_comes_just_as_its_timeout_expires_is_received() {
        run(1).replies([echo(MS * 500)]).report().assert_counts(1, 0, 0, 0);
        run(1).replies([echo(MS * 501)]).report().assert_counts(0, 1, 0, 0);
    }

    #[test]
    fn a_timeout_reports_how_much_of_the_echo_came() {
        let part: Reply = Box::new(|message| vec![(MS, Arrival::Bytes(message[..3].to_vec()))]);
        let report = run(2).replies([echo(MS), part]).report();
        report.assert_counts(1, 1, 0, 0);
        assert_eq!(report.failures(), ["no echo for seq=2 within 500 ms: 3 of 8 bytes came back"]);
    }

    /// The echo itself is right, so it counts as received.
    #[test]
    fn an_echo_that_comes_twice_is_received_once_and_wrong_once() {
        let twice: Reply = Box::new(|message| {
            vec![(MS, Arrival::Bytes(message.to_vec())), (MS * 2, Arrival::Bytes(message.to_vec()))]
        });
        let report = run(2).replies([twice]).report();
        report.assert_counts(2, 0, 1, 1);
        let [failure] = &report.failures()[..] else { panic!("{:#?}", report.lines) };
        let expected = "seq=1 (offsets 0 to 7): more came back than was sent, from offset 8 on: ";
        assert!(failure.starts_with(expected), "{failure}");
    }

    #[test]
    fn bytes_after_the_last_echo_are_found_while_the_connection_closes() {
        let late: Reply = Box::new(|message| {
            let surplus = (ECHO + CLOSE / 2, Arrival::Bytes(vec![33]));
            vec![(ECHO, Arrival::Bytes(message.to_vec())), surplus]
        });
        let report = run(1).replies([late]).report();
        report.assert_complete();
        report.assert_counts(1, 0, 1, 0);
    }

    #[test]
    fn a_reset_while_an_echo_is_due_loses_the_message() {
        let reset: Reply = Box::new(|_| vec![(MS, Arrival::Reset)]);
        let report = run(2).replies([reset]).report();
        report.assert_counts(1, 1, 0, 1);
        let expected = "seq=1: the connection broke after 0 of 8 bytes: connection reset";
        assert_eq!(report.failures(), [expected]);
    }

    #[test]
    fn an_end_within_an_echo_counts_the_bytes_of_that_message() {
        let cut: Reply = Box::new(|message| {
            vec![(MS, Arrival::Bytes(message[..3].to_vec())), (MS, Arrival::End)]
        });
        let report = run(2).replies([echo(MS), cut]).report();
        report.assert_counts(1, 1, 0, 0);
        let expected = "seq=2: the server closed the connection after 3 of 8 bytes";
        assert_eq!(report.failures(), [expected]);
    }

    #[test]
    fn a_connection_on_which_a_write_fails_loses_the_message() {
        let mut run = run(1);
        run.server.is_broken = true;
        let report = run.report();
        report.assert_counts(0, 1, 0, 0);
        let expected = "seq=1: the connection broke after 0 of 8 bytes: broken pipe";
        assert_eq!(report.failures(), [expected]);
    }

    #[test]
    fn a_server_that_closes_between_messages_costs_a_connection_and_no_message() {
        let closing = || -> Reply {
            Box::new(|message| vec![(ECHO, Arrival::Bytes(message.to_vec())), (ECHO, Arrival::End)])
        };
        let report = run(3).replies([closing(), closing(), closing()]).report();
        report.assert_complete();
        report.assert_counts(3, 0, 0, 2);
        let closed = "the server closed the connection; reconnecting for seq=2";
        report.assert_line(closed);
        // The session connects when the next message is due.
        let apart = 1000 + CONNECT.as_millis() as u32;
        report.assert_sent_at(&[0, apart, 2 * 1000 + CONNECT.as_millis() as u32]);
    }

    #[test]
    fn without_a_first_connection_the_ping_fails_and_nothing_is_lost() {
        let report = run(3).attempts([Attempt::Fails(MS)]).report();
        assert_eq!(report.end.unwrap_err().to_string(), "nothing listens there");
        assert_eq!((report.tally.sent, report.tally.lost), (0, 0));
    }

    #[test]
    fn each_message_without_a_connection_is_lost() {
        let refused = Attempt::Fails(MS);
        let attempts = [Attempt::Succeeds(CONNECT), refused, refused];
        let reset: Reply = Box::new(|_| vec![(MS, Arrival::Reset)]);
        let report = run(4).attempts(attempts).replies([reset]).report();
        report.assert_complete();
        report.assert_counts(1, 3, 0, 1);
        assert_eq!(report.tally.failure_counts["connect"], 2);
        assert_eq!(report.failures()[1], "seq=2: nothing listens there");
    }

    #[test]
    fn a_server_is_waited_for_only_before_the_first_connection() {
        let (options, clock) = (run(1).options, Clock::new());
        let (server, mut tally) = (Simulated::new(&clock, SIZE), Tally::default());
        let notify = |_: &Notice<'_>| Ok(());
        let mut session = Session::new(&options, server, &mut tally, notify, clock.now());
        session.handle_timeout(clock.now()).unwrap();
        assert!(session.network.is_retrying);
        clock.advance(CONNECT);
        session.handle_timeout(clock.now()).unwrap();
        assert!(!session.network.is_retrying);
    }
}

mod schedule {
    use super::*;

    #[test]
    fn messages_are_an_interval_apart_whatever_their_echoes_take() {
        let mut run = run(5).replies([echo(MS), echo(MS * 49), echo(MS * 20), echo(MS * 50)]);
        run.options.interval = MS * 50;
        let report = run.report();
        report.assert_sent_at(&[0, 50, 100, 150, 200]);
        assert_eq!(report.tally.skipped, 0);
    }

    #[test]
    fn the_schedule_begins_with_the_first_connection() {
        let report = run(2).attempts([Attempt::Succeeds(MS * 450)]).report();
        report.assert_sent_at(&[0, 1000]);
    }

    #[test]
    fn of_the_messages_that_fall_due_while_an_echo_is_outstanding_one_is_sent() {
        let mut run = run(3).replies([echo(MS * 490)]);
        run.options.interval = MS * 50;
        let report = run.report();
        // Nine messages fall due, at 50, 100 … 450. One of them is sent when the echo is there.
        report.assert_sent_at(&[0, 490, 500]);
        assert_eq!(report.tally.skipped, 8);
    }

    #[test]
    fn of_the_messages_that_fall_due_before_a_timeout_one_is_sent() {
        let mut run = run(3).replies([silence()]);
        run.options.interval = MS * 60;
        let report = run.report();
        // Eight messages fall due, at 60, 120 … 480. One of them gets a new connection after the timeout.
        report.assert_sent_at(&[0, 500 + CONNECT.as_millis() as u32, 540]);
        assert_eq!(report.tally.skipped, 7);
    }

    #[test]
    fn no_turn_comes_while_nothing_is_due() {
        let mut run = run(2);
        run.options.interval = MS * 1000 * 3600;
        let report = run.report();
        report.assert_counts(2, 0, 0, 0);
        assert!(report.turns < 20, "{} turns", report.turns);
    }

    #[test]
    fn a_late_echo_does_not_shift_the_messages_after_it() {
        let mut run = run(4).replies([echo(MS * 450)]);
        run.options.interval = MS * 400;
        run.report().assert_sent_at(&[0, 450, 800, 1200]);
    }

    #[test]
    fn a_lost_message_holds_up_the_schedule_for_its_timeout_only() {
        let mut run = run(3).replies([silence()]);
        run.options.interval = MS * 400;
        // The second message needs a new connection.
        let report = run.report();
        report.assert_sent_at(&[0, 500 + CONNECT.as_millis() as u32, 800]);
    }
}

mod standstills {
    use super::*;

    /// Failed when a client that was stopped called its echo late.
    #[test]
    fn an_echo_that_comes_while_the_client_is_stopped_is_received() {
        let mut run = run(2).replies([echo(MS * 100)]);
        run.stopped = Some((MS * 50, MS * 5000));
        let report = run.report();
        report.assert_complete();
        report.assert_counts(2, 0, 0, 0);
        assert!(report.tally.standstill >= MS * 4800, "{:?}", report.tally.standstill);
        assert!(report.tally.echo_times.max() <= MS * 200, "{:?}", report.tally.echo_times.max());
    }

    #[test]
    fn an_echo_that_comes_after_the_stop_has_its_whole_timeout() {
        // The client is stopped 50 ms after its message, for 4,950 ms. Of its own 500 ms, it has 450 left.
        for (after_stop, is_received) in [(300, true), (600, false)] {
            let mut run = run(1).replies([echo(MS * 5000 + MS * after_stop)]);
            run.stopped = Some((CONNECT + MS * 50, CONNECT + MS * 5000));
            let report = run.report();
            report.assert_counts(u64::from(is_received), u64::from(!is_received), 0, 0);
        }
    }

    #[test]
    fn a_stop_while_connecting_does_not_count_against_the_connection() {
        let mut run = run(1).attempts([Attempt::Succeeds(MS * 100)]);
        run.stopped = Some((MS * 50, MS * 5000));
        let report = run.report();
        report.assert_counts(1, 0, 0, 0);
        assert!(report.discounted >= MS * 4800, "{:?}", report.discounted);
        assert_eq!(report.discounted, report.tally.standstill);
    }

    #[test]
    fn of_the_messages_that_fall_due_while_the_client_is_stopped_one_is_sent() {
        let mut run = run(3);
        run.stopped = Some((MS * 500, MS * 10_500));
        let report = run.report();
        report.assert_counts(3, 0, 0, 0);
        // Due at 1000, 2000 … 10000. The last of them is sent.
        assert_eq!(report.tally.skipped, 9);
        let resumed = 10_500 - CONNECT.as_millis() as u32;
        report.assert_sent_at(&[0, resumed, 11_000]);
    }

    #[test]
    fn a_terminal_that_takes_no_output_is_a_standstill() {
        let mut run = run(2);
        run.line = MS * 3000;
        let report = run.report();
        report.assert_counts(2, 0, 0, 0);
        // At least the lines for the start, the connection and the first echo.
        assert!(report.tally.standstill >= MS * 9000, "{:?}", report.tally.standstill);
        assert_eq!(report.tally.echo_times.max(), ECHO);
    }
}

mod interruptions {
    use super::*;

    #[track_caller]
    fn interrupted(after: Duration, reply: Reply) -> Report {
        let mut run = run(9).replies([reply]);
        run.interrupted = Some(after);
        run.report()
    }

    #[test]
    fn a_message_whose_echo_is_outstanding_is_neither_received_nor_lost() {
        let report = interrupted(CONNECT + MS * 20, echo(MS * 30));
        assert!(matches!(report.end, Ok(End::Interrupted)));
        report.assert_counts(0, 0, 0, 0);
        assert_eq!((report.tally.sent, report.tally.is_under_way), (1, true));
    }

    #[test]
    fn an_echo_that_has_come_by_then_is_received() {
        let report = interrupted(CONNECT + MS * 30, echo(MS * 30));
        assert!(matches!(report.end, Ok(End::Interrupted)));
        report.assert_counts(1, 0, 0, 0);
        assert!(!report.tally.is_under_way);
        assert_eq!(report.tally.echo_times.max(), MS * 30);
    }

    #[test]
    fn no_message_is_sent_after_the_interrupt() {
        let mut run = run(9).replies([echo(MS * 30)]);
        run.options.interval = MS * 30;
        run.interrupted = Some(CONNECT + MS * 30);
        let report = run.report();
        report.assert_counts(1, 0, 0, 0);
        assert_eq!((report.tally.sent, report.tally.is_under_way), (1, false));
    }

    #[test]
    fn a_connection_that_is_being_made_is_under_way() {
        let report = interrupted(CONNECT / 2, echo(MS));
        assert!(matches!(report.end, Ok(End::Interrupted)));
        assert_eq!((report.tally.sent, report.tally.is_under_way), (1, true));
    }

    #[test]
    fn no_message_is_under_way_between_two() {
        let report = interrupted(MS * 500, echo(MS));
        report.assert_counts(1, 0, 0, 0);
        assert_eq!((report.tally.sent, report.tally.is_under_way), (1, false));
    }

    #[test]
    fn a_ping_that_only_waits_for_the_server_to_close_is_complete() {
        let mut run = run(1);
        run.interrupted = Some(CONNECT + ECHO + CLOSE / 2);
        let report = run.report();
        report.assert_complete();
        assert_eq!(report.took, CONNECT + ECHO + CLOSE / 2);
    }
}

/// Every script of what a server can do with three messages, checked against what each must count as.
mod exhaustive {
    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Deed {
        Echo,
        Silence,
        Part,
        Alter,
        Twice,
        EchoAndClose,
        Close,
        Reset,
        /// The server refuses the connection, if one is needed; else it echoes.
        Refuse,
    }

    use Deed::*;

    const DEEDS: [Deed; 9] =
        [Echo, Silence, Part, Alter, Twice, EchoAndClose, Close, Reset, Refuse];

    const MESSAGES: u32 = 3;

    fn reply(deed: Deed) -> Reply {
        Box::new(move |message| {
            let whole = (ECHO, Arrival::Bytes(message.to_vec()));
            match deed {
                Echo | Refuse => vec![whole],
                Silence => Vec::new(),
                Part => vec![(ECHO, Arrival::Bytes(message[..3].to_vec()))],
                Alter => vec![(ECHO, Arrival::Bytes(message.iter().map(|byte| !byte).collect()))],
                Twice => vec![whole.clone(), (ECHO * 2, whole.1)],
                EchoAndClose => vec![whole, (ECHO, Arrival::End)],
                Close => vec![(ECHO, Arrival::End)],
                Reset => vec![(ECHO, Arrival::Reset)],
            }
        })
    }

    /// What the counts must be.
    #[derive(Debug, Default, PartialEq)]
    struct Counts {
        received: u64,
        lost: u64,
        wrong: u64,
        connections: u64,
    }

    impl Counts {
        fn expected(script: &[Deed]) -> Self {
            let (mut counts, mut is_connected) = (Self::default(), false);
            for (i, deed) in script.iter().enumerate() {
                // The first connection is never refused: that would end the ping.
                if !is_connected && i > 0 && matches!(deed, Refuse) {
                    counts.lost += 1;
                    continue;
                }
                counts.connections += u64::from(!is_connected);
                is_connected = matches!(deed, Echo | Refuse);
                match deed {
                    Echo | Refuse | EchoAndClose => counts.received += 1,
                    Silence | Part | Close | Reset => counts.lost += 1,
                    Alter => counts.wrong += 1,
                    Twice => {
                        (counts.received, counts.wrong) = (counts.received + 1, counts.wrong + 1)
                    }
                }
            }
            counts
        }

        fn found(tally: &Tally) -> Self {
            let Tally { received, lost, wrong, .. } = *tally;
            Self { received, lost, wrong, connections: tally.connect_times.count() }
        }
    }

    /// A ping with the replies and the attempts to connect of a script.
    fn set_up(script: &[Deed]) -> Run {
        let (mut replies, mut attempts, mut is_connected) = (Vec::new(), Vec::new(), false);
        for (i, deed) in script.iter().enumerate() {
            let is_refused = !is_connected && i > 0 && matches!(deed, Refuse);
            match is_refused {
                true => attempts.push(Attempt::Fails(MS)),
                false if !is_connected => attempts.push(Attempt::Succeeds(CONNECT)),
                false => {}
            }
            if !is_refused {
                replies.push(reply(*deed));
                is_connected = matches!(deed, Echo | Refuse);
            }
        }
        run(script.len().try_into().unwrap()).replies(replies).attempts(attempts)
    }

    #[test]
    fn the_counts_of_every_short_script_are_right() {
        let mut scripts = 0;
        for number in 0..DEEDS.len().pow(MESSAGES) {
            let deed = |i| DEEDS[number / DEEDS.len().pow(i) % DEEDS.len()];
            let script: Vec<_> = (0..MESSAGES).map(deed).collect();
            let report = set_up(&script).report();
            report.assert_complete();
            assert_eq!(Counts::found(&report.tally), Counts::expected(&script), "{script:?}");
            let echo = &report.tally.echo_times;
            assert!(echo.count() == 0 || (echo.min(), echo.max()) == (ECHO, ECHO), "{script:?}");
            assert_eq!(report.tally.skipped, 0, "{script:?}");
            scripts += 1;
        }
        assert_eq!(scripts, 729);
    }
}
