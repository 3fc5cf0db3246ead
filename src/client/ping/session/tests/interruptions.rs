//! What an interrupt counts as.

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

/// Both come in one turn.
#[test]
fn a_ping_whose_server_closes_as_the_signal_comes_is_complete() {
    let mut run = run(1);
    run.interrupted = Some(CONNECT + ECHO + CLOSE);
    run.report().assert_complete();
}

#[test]
fn a_connection_that_ends_as_the_signal_comes_is_no_news() {
    let close =
        |message: &[u8]| vec![(ECHO, Arrival::Bytes(message.to_vec())), (MS * 50, Arrival::End)];
    let report = interrupted(CONNECT + MS * 50, Box::new(close));
    assert!(matches!(report.end, Ok(End::Interrupted)));
    assert!(report.lines.iter().all(|line| !line.contains("closed")), "{:#?}", report.lines);
}
