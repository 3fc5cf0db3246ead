//! When messages are sent.

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use super::peers::{self, serve};
use super::pinger::{json, ping};

const INTERVAL_NANOS: u64 = 50_000_000;

#[test]
fn messages_are_an_interval_apart() {
    let ended = ping(&["--json", "-c", "5", "-i", "50ms", &serve(peers::faithful)]);
    let json = json(&ended);
    let due_times = 4 + json["skipped_due_times"].as_u64().unwrap();
    assert!(json["elapsed_nanoseconds"].as_u64().unwrap() >= due_times * INTERVAL_NANOS, "{json}");
}

/// A server that takes its time with the first message, and echoes the others at once.
fn slow_at_first(time: Duration) -> String {
    let mut is_first = true;
    serve(move |stream| {
        let mut message = [0; 56];
        while (&stream).read_exact(&mut message).is_ok() {
            if std::mem::take(&mut is_first) {
                thread::sleep(time);
            }
            (&stream).write_all(&message)?;
        }
        Ok(())
    })
}

/// What fell due meanwhile would be a burst.
#[test]
fn of_what_fell_due_while_an_echo_was_outstanding_one_message_is_sent() {
    let addr = slow_at_first(Duration::from_millis(510));
    let ended = ping(&["--json", "-c", "2", "-i", "50ms", &addr]);
    let json = json(&ended);
    assert_eq!(json["messages"]["received"], 2);
    // Ten were due, and one was sent.
    assert!(json["skipped_due_times"].as_u64().unwrap() >= 9, "{json}");
}

/// Where each message waited for an interval after the last echo, it would take 2.9 seconds.
#[test]
fn a_late_echo_does_not_shift_the_messages_after_it() {
    let addr = slow_at_first(Duration::from_millis(900));
    let ended = ping(&["--json", "-c", "3", "-i", "1s", &addr]);
    let elapsed = Duration::from_nanos(json(&ended)["elapsed_nanoseconds"].as_u64().unwrap());
    let expected = Duration::from_secs(2)..Duration::from_millis(2800);
    assert!(expected.contains(&elapsed), "{elapsed:?}");
}

/// Waits are in whole milliseconds and round up: that cost a tenth of the messages, of which it was said that
/// an echo was outstanding. A busy machine can delay a run, but not every run.
#[test]
fn a_millisecond_is_kept() {
    let skipped = || {
        let ended = ping(&["--json", "-c", "200", "-i", "1ms", &serve(peers::faithful)]);
        json(&ended)["skipped_due_times"].as_u64().unwrap()
    };
    let runs: Vec<_> = std::iter::repeat_with(skipped).take(5).collect();
    assert!(runs.iter().any(|skipped| *skipped <= 2), "{runs:?}");
}
