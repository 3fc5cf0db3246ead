//! What is part of a time, and what is not.

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
    assert_eq!((report.tally.echo_times.min(), report.tally.echo_times.max()), (MS * 6, MS * 17));
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
    assert_eq!((report.tally.connect_times.max(), report.tally.echo_times.max()), (MS * 400, ECHO));
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
    // The session does not report this end.
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
