//! How a message counts that has come back.

use super::super::simulated::FakeClock;
use super::super::tests::options;
use super::super::{Length, Options};
use super::*;

const S: Duration = Duration::from_secs(1);

/// One second of warm-up, and two that are measured.
fn shared(length: Length, start: Instant) -> Shared {
    let options = Options { warmup: S, length, ..options() };
    let mut shared = Shared::new(&options, &FakeClock::new(), start);
    shared.plan.start(start);
    (shared.in_flight, shared.timeout) = (1, 2 * S);
    shared
}

/// Failed when an echo counted for the rate only if its message was sent in the measured part: those in flight at its
/// beginning were missing.
#[test]
fn the_rate_counts_what_comes_in_the_measured_part_and_latencies_what_is_due_in_it() {
    for (due, came, counts_for_rate, has_latency) in [
        (0.5, 0.9, false, false),
        (0.5, 1.5, true, false),
        (1.0, 2.9, true, true),
        (2.5, 3.0, false, true),
        (3.0, 3.5, false, false),
    ] {
        let start = Instant::now();
        let mut shared = shared(Length::Time(2 * S), start);
        let [due, came] = [due, came].map(|s| start + S.mul_f64(s));
        let message = Message { due, sent: due, bytes: 64 };
        shared.finish(&message, came).unwrap();
        let counted = (shared.recorder.arrivals(), shared.recorder.messages());
        assert_eq!(counted, (counts_for_rate.into(), has_latency.into()), "{message:?}, {came:?}");
        assert_eq!(shared.in_flight, 0);
    }
}

/// Failed when echoes of the warm-up were added.
#[test]
fn the_rate_of_a_number_of_messages_counts_those_only() {
    for (due, counts_for_rate) in [(0.5, false), (1.0, true)] {
        let start = Instant::now();
        let mut shared = shared(Length::Messages(1), start);
        let due = start + S.mul_f64(due);
        let message = Message { due, sent: due, bytes: 64 };
        shared.finish(&message, due + S).unwrap();
        assert_eq!(shared.recorder.arrivals() == 1, counts_for_rate, "{message:?}");
    }
}

#[test]
fn an_echo_that_comes_too_late_is_lost_and_does_not_count_for_the_rate() {
    let start = Instant::now();
    let mut shared = shared(Length::Time(2 * S), start);
    shared.timeout = S / 2;
    let message = Message { due: start + S, sent: start + S, bytes: 64 };
    // The turn begins when it comes.
    shared.standstills.plan(Duration::ZERO, start + 2 * S);
    shared.standstills.after_wait(start + 2 * S);
    let outcome = shared.finish(&message, start + 2 * S);
    assert!(matches!(outcome, Err(Failure::Late { took, .. }) if took == S), "{outcome:?}");
    let record = &shared.recorder;
    assert_eq!((record.arrivals(), record.messages(), record.finished()), (0, 0, 1));
}
