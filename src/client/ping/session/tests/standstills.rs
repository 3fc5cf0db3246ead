//! Times in which the program does not run.

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

#[test]
fn a_server_that_keeps_its_connection_has_its_whole_time_to_close_after_a_stop() {
    let mut run = run(1);
    run.server.closes = false;
    run.stopped = Some((MS * 50, MS * 5000));
    let report = run.report();
    report.assert_complete();
    assert!(report.tally.standstill >= MS * 4800, "{:?}", report.tally.standstill);
    assert_eq!(report.took, CONNECT + ECHO + CLOSE_TIMEOUT + report.tally.standstill);
}
