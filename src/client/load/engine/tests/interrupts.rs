//! A run ends early if the user asks for it, and its figures are right all the same.

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use super::super::super::simulated::Answer;
use super::*;

const INT: Act = Act::Signals(&[SIGINT]);

/// A server that echoes after 10 ms, and keeps what comes from `end` on.
fn stopping_at(end: Duration) -> impl Server {
    move |_: usize, at: Duration, bytes: &[u8]| match at < end {
        true => vec![(10 * MS, Sent::Bytes(bytes.to_vec()))],
        false => Vec::new(),
    }
}

fn endless() -> Options {
    Options { timeout: 3600 * S, ..for_time(3600 * S) }
}

#[test]
fn an_interrupt_ends_a_run_with_its_figures() {
    for rate in [None, Some(100.0)] {
        let options = Options { rate, spin: Duration::ZERO, ..endless() };
        let seen = Run::new(options, echo(10 * MS)).at(505 * MS, INT).run();
        seen.assert_end(End::Interrupted, &[]);
        // The last echo came after the measured part.
        seen.assert_messages(51, 0, 0);
        assert_eq!((seen.outcome.measured, seen.outcome.messages_in_time), (505 * MS, 50));
        assert_eq!(seen.ended, 510 * MS);
    }
}

#[test]
fn an_interrupted_run_waits_a_second_for_the_last_echo() {
    let seen = Run::new(endless(), stopping_at(100 * MS)).at(505 * MS, INT).run();
    seen.assert_end(End::Interrupted, &[]);
    seen.assert_messages(10, 1, 0);
    // Not when the next report is due.
    assert_eq!(seen.ended, 1505 * MS);
    assert_times(&seen.outcome.unanswered, 1405 * MS, 1405 * MS);
}

#[test]
fn signals_that_come_together_ask_once_and_a_later_one_ends_the_run_at_once() {
    let run = Run::new(endless(), stopping_at(100 * MS));
    let seen = run.at(500 * MS, Act::Signals(&[SIGTERM, SIGTERM, SIGHUP])).at(700 * MS, INT).run();
    seen.assert_end(End::Interrupted, &[]);
    seen.assert_messages(10, 1, 0);
    assert_eq!(seen.ended, 700 * MS);
}

#[test]
fn an_interrupt_abandons_what_an_open_loop_could_not_send() {
    let options = Options { rate: Some(1000.0), spin: Duration::ZERO, ..endless() };
    let seen = Run::new(options, stopping_at(100 * MS)).at(505 * MS + MS / 2, INT).run();
    seen.assert_end(End::Interrupted, &[]);
    // One message every 10 ms, then one in flight, and the others were never sent.
    seen.assert_messages(10, 1, 495);
    assert_eq!(seen.outcome.measured, 505 * MS + MS / 2);
}

#[test]
fn an_interrupt_before_the_measured_part_ends_the_run_at_once() {
    struct Unanswering;
    impl Server for Unanswering {
        fn accept(&mut self, _: usize, _: Duration) -> Answer {
            Answer::Silence
        }

        fn receive(&mut self, _: usize, _: Duration, _: &[u8]) -> Vec<(Duration, Sent)> {
            Vec::new()
        }
    }
    let connecting = Run::new(endless(), Unanswering).at(200 * MS, INT).run();
    let warming_up = |rate| {
        let options = Options { warmup: S, rate, spin: Duration::ZERO, ..endless() };
        Run::new(options, echo(10 * MS)).at(200 * MS, INT).run()
    };
    for seen in [connecting, warming_up(None), warming_up(Some(1000.0))] {
        seen.assert_end(End::Interrupted, &[]);
        seen.assert_messages(0, 0, 0);
        assert_eq!((seen.ended, seen.outcome.measured), (200 * MS, Duration::ZERO));
    }
}

/// Failed when the messages began after the end, if the last connection was made in the same turn.
#[test]
fn no_stage_begins_when_an_interrupt_has_ended_the_run() {
    struct Slow;
    impl Server for Slow {
        fn accept(&mut self, _: usize, _: Duration) -> Answer {
            Answer::Accept(10 * MS)
        }

        fn receive(&mut self, _: usize, _: Duration, _: &[u8]) -> Vec<(Duration, Sent)> {
            Vec::new()
        }
    }
    let seen = Run::new(endless(), Slow).at(10 * MS, INT).run();
    seen.assert_end(End::Interrupted, &[]);
    assert_eq!(
        (seen.stages, seen.outcome.connections_made),
        (vec![(Duration::ZERO, Stage::Connecting)], 1)
    );
}

/// The measured part is over, and the only echo does not come.
#[test]
fn an_interrupt_after_the_measured_part_waits_until_a_second_after_its_end() {
    let options = Options { timeout: 3600 * S, ..for_time(100 * MS) };
    for (asked, ended) in [(300, 1100), (1100, 1100), (1500, 1500)] {
        let seen = Run::new(options.clone(), silent()).at(asked * MS, INT).run();
        seen.assert_end(End::Interrupted, &[]);
        seen.assert_messages(0, 1, 0);
        assert_eq!(seen.ended, ended * MS, "{asked}");
    }
}

/// All echoes have come, and the server does not close.
#[test]
fn an_interrupt_while_the_connections_close_ends_nothing_earlier() {
    let run = || Run::new(for_time(20 * MS), Ending(|_| Vec::new())).at(500 * MS, INT);
    for (run, ended) in [(run(), 1020), (run().at(700 * MS, INT), 700)] {
        let seen = run.run();
        seen.assert_end(End::Interrupted, &[]);
        assert_eq!((seen.outcome.measured, seen.ended), (20 * MS, ended * MS));
    }
}

#[test]
fn a_status_is_shown_when_the_user_asks_for_it_and_the_run_goes_on() {
    let run = Run::new(Options { connections: 2, ..for_time(S) }, echo(10 * MS));
    let seen = run.at(505 * MS, Act::Signals(&[SIGQUIT, SIGQUIT])).run();
    seen.assert_end(End::Complete, &[]);
    let [status] = &seen.reports.statuses[..] else { panic!("{:?}", seen.reports) };
    let shown = (status.stage, status.connections, status.messages, status.measured);
    assert_eq!(shown, (Stage::Measuring, 2, 100, 505 * MS));
}

#[test]
fn a_run_without_a_reader_ends_as_if_it_was_interrupted() {
    let reports = Reports { is_abandoned: true, ..Reports::default() };
    // It is noticed with the first report, at 100 ms.
    let seen = Run::new(endless(), echo(30 * MS)).run_with(reports);
    seen.assert_end(End::Interrupted, &[]);
    assert_eq!((seen.outcome.measured, seen.ended), (120 * MS, 150 * MS));
}

#[test]
fn a_run_without_a_reader_waits_for_the_last_echo_although_each_report_finds_no_reader() {
    let reports = Reports { is_abandoned: true, ..Reports::default() };
    let seen = Run::new(endless(), echo(450 * MS)).run_with(reports);
    seen.assert_end(End::Interrupted, &[]);
    seen.assert_messages(1, 0, 0);
    assert_eq!(seen.ended, 450 * MS);
}
