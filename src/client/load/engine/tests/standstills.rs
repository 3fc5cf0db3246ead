//! A client that did not run blames no server for it.

use super::*;

/// In a closed and in an open loop, with one message and with several in flight.
#[test]
fn a_client_that_stood_still_fails_nothing_and_says_so() {
    for (rate, depth) in [(None, 1), (None, 20), (Some(500.0), 1)] {
        let options = Options {
            connections: 3,
            rate,
            depth,
            timeout: 800 * MS,
            spin: Duration::ZERO,
            ..for_time(2500 * MS)
        };
        let run = Run::new(options, echo(10 * MS)).at(305 * MS, Act::StandStill(1500 * MS));
        let seen = run.run();
        seen.assert_end(End::Complete, &[]);
        // Known to within a wait.
        let stood = seen.outcome.standstill;
        assert!(stood > 1400 * MS && stood <= 1500 * MS, "{stood:?}");
        assert!(seen.outcome.warning().unwrap().starts_with("this client itself stood still for "));
        assert!(seen.outcome.lag.max() > 1400 * MS, "{:?}", seen.outcome.lag.max());
        // Once for each connection, however many messages are in flight on it; or once for each message.
        let times = if rate.is_none() { 3 } else { 1250 };
        assert_eq!(seen.outcome.lag.count(), times, "{rate:?}, {depth}");
    }
}

#[test]
fn a_server_that_is_too_slow_is_found_although_the_client_stood_still() {
    let options = Options { timeout: 320 * MS, ..for_time(10 * S) };
    let run = Run::new(options, silent()).at(100 * MS, Act::StandStill(1500 * MS));
    let seen = run.run();
    seen.assert_end(End::Failed, &[("timeout", 1)]);
    // It had waited for 100 ms before, and waits for the rest after that.
    assert!(seen.ended > 1820 * MS && seen.ended <= 1950 * MS, "{:?}", seen.ended);
}

/// The echo came while the client stood still: there is nothing to wait for after that.
#[test]
fn what_came_meanwhile_is_read_before_anything_is_overdue() {
    let options = Options { timeout: 320 * MS, length: Length::Messages(1), ..options() };
    let run = Run::new(options, echo(400 * MS)).at(50 * MS, Act::StandStill(1500 * MS));
    run.run().assert_end(End::Complete, &[]);
}

#[test]
fn a_standstill_takes_nothing_from_the_time_to_close() {
    let slow_to_close = |at| vec![(3 * S - at, Sent::Bytes(b"surplus".to_vec()))];
    let run =
        Run::new(for_time(20 * MS), Ending(slow_to_close)).at(500 * MS, Act::StandStill(2400 * MS));
    run.run().assert_end(End::Failed, &[("surplus", 1)]);
}

#[test]
fn a_standstill_after_the_measured_part_is_no_part_of_it() {
    let run = Run::new(for_time(100 * MS), echo(400 * MS));
    let seen = run.at(200 * MS, Act::StandStill(S)).run();
    seen.assert_end(End::Complete, &[]);
    assert_eq!((seen.outcome.standstill, seen.ended), (Duration::ZERO, 1200 * MS));
}
