//! When messages are sent.

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
