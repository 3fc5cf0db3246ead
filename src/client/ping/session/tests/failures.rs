//! What a failure costs, and how it is counted.

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
    let cut: Reply =
        Box::new(|message| vec![(MS, Arrival::Bytes(message[..3].to_vec())), (MS, Arrival::End)]);
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
