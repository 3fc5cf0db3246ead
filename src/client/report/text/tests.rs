use std::time::Duration;

use super::*;
use crate::client::load::{self, Cause, Length};
use crate::client::report::sample;

/// The lines of the latency table, its heading first.
fn table_of(text: &str) -> Vec<&str> {
    let heading = |line: &&str| line.ends_with("latency") || line.ends_with("service");
    let from = text.lines().skip_while(|line| !heading(line));
    from.take_while(|line| !line.is_empty()).collect()
}

fn summary(outcome: &Outcome, options: &load::Options) -> String {
    Summary(outcome, options).to_string()
}

#[test]
fn all_lines_of_the_table_end_in_the_same_column() {
    let outcome = sample::run(10, 1.0);
    for options in [sample::options(), sample::closed_loop()] {
        let text = summary(&outcome, &options);
        let table = table_of(&text);
        assert_eq!(table.len(), 11, "{text}");
        let width = |line: &&str| line.chars().count();
        assert!(table.iter().all(|line| width(line) == width(&table[0])), "{text}");
    }
}

#[test]
fn an_open_loop_shows_response_and_service_apart() {
    let text = summary(&sample::run(10, 1.0), &sample::options());
    let p50 = table_of(&text)[4];
    let cells: Vec<_> = p50.split_whitespace().collect();
    let [("p50", "µs"), ("p50", "µs")] = [(cells[0], cells[2]), (cells[0], cells[4])] else {
        panic!("{p50}")
    };
    assert_ne!(cells[1], cells[3], "{text}");
    assert!(text.contains("late by 39.6 µs (p99), 40.0 µs (max)"), "{text}");
}

#[test]
fn a_closed_loop_has_one_latency() {
    let outcome = Outcome { lag: crate::client::latency::Latency::new(), ..sample::run(10, 1.0) };
    let text = summary(&outcome, &sample::closed_loop());
    assert!(table_of(&text)[0].trim() == "latency", "{text}");
    assert!(!text.contains("late by"), "{text}");
    assert!(
        !text.contains("limit")
            && !text.contains("unsent")
            && !text.contains("lost")
            && !text.contains("troubles")
            && !text.contains("asked")
            && !text.contains("warning")
    );
}

#[test]
fn figures_stand_in_their_lines() {
    let text = summary(&sample::run(10, 1.0), &sample::closed_loop());
    for line in [
        "rate          2,000 messages/s (20,000 messages in 10.0 s)",
        "throughput    128 kB/s one way",
        "connecting    50 connections made, p50 175 µs, max 250 µs",
        "this client   30.0 % of a processor (3.00 s), late by 39.6 µs (p99), 40.0 µs (max)",
    ] {
        assert!(text.lines().any(|l| l == line), "no {line:?} in\n{text}");
    }
}

#[test]
fn percentiles_that_too_few_messages_stand_behind_are_left_out() {
    let text = summary(&sample::run(1, 1.0), &sample::options());
    assert!(text.contains("p99.9 ") && !text.contains("p99.99"), "{text}");
}

#[test]
fn a_run_of_nothing_has_no_figures() {
    for options in [sample::options(), sample::closed_loop()] {
        let text = summary(&sample::nothing(), &options);
        assert!(text.contains("The run failed before anything was measured.\n"), "{text}");
        assert!(text.contains("rate          0 messages/s (0 messages in 0 ns)\n"), "{text}");
        assert_eq!(table_of(&text).len(), 1, "{text}");
    }
}

#[test]
fn sizes_lengths_and_new_connections_are_said() {
    let options = load::Options {
        sizes: 1..=1024,
        length: Length::Messages(1_000_000),
        warmup: Duration::ZERO,
        connections: 1,
        reconnect_every: Some(1),
        ..sample::closed_loop()
    };
    let text = header(&options, None);
    let plan = "127.0.0.1:7007: 1 connection, closed loop, up to 1 in flight on each, messages of 1 to 1,024 bytes, \
                a new connection after 1 message, 1,000,000 messages";
    assert_eq!(text, plan);
    let text = header(&sample::options(), None);
    let plan = "127.0.0.1:7007: 50 connections, open loop at 2,000 messages/s, up to 1 in flight on each, \
                messages of 64 bytes, 10 s after 1 s of warm-up";
    assert_eq!(text, plan);
    let objective = Objective { percentile: 99.0, limit: Duration::from_millis(1) };
    let text = header(&sample::closed_loop(), Some(objective));
    assert!(text.contains("50 connections, the highest rate with p99 <= 1 ms, up to"), "{text}");
}

#[test]
fn what_was_not_sent_what_was_lost_and_what_set_the_limit_are_said() {
    let outcome = Outcome { unsent: 12, lost: 1, ..sample::run(10, 1.0) };
    let outcome = Outcome { cpu: outcome.measured, ..outcome };
    let text = summary(&outcome, &sample::options());
    assert!(text.contains("\nunsent        12 messages fell due and could not be sent"), "{text}");
    assert!(
        text.contains("\nlost          1 message in flight on connections that died; "),
        "{text}"
    );
    assert!(text.contains("\nlimit         this client was busy 100 % of the time"), "{text}");
}

/// A client that is late with its messages has not kept the server from anything where all were sent.
#[test]
fn a_rate_that_was_missed_is_said_and_lateness_is_put_in_its_place() {
    let mut late = Outcome { rate_target: Some(2_000.0), ..sample::run(10, 1.0) };
    (0..1_000).for_each(|_| late.lag.record(Duration::from_micros(3_600)));
    let text = summary(&late, &sample::options());
    let warning = "\nwarning       this client woke up late (p99 3.60 ms); response times include that, and --spin may lessen it\n";
    assert!(text.contains(warning) && !text.contains("limit"), "{text}");
    let missed = Outcome { rate_target: Some(8_000.0), ..late };
    let options = load::Options { rate: Some(8_000.0), ..sample::options() };
    let text = summary(&missed, &options);
    let rate =
        "rate          2,000 messages/s of 8,000 asked (25.0 %), 20,000 messages in 10.0 s\n";
    let limit = "\nlimit         this client was late with its messages (p99 3.60 ms): the server may be able to do more\n";
    assert!(text.contains(rate) && text.contains(limit) && !text.contains("warning"), "{text}");
}

#[test]
fn troubles_are_counted_and_the_first_of_them_shown_in_a_line_each() {
    let many = || (0..7).flat_map(|_| sample::troubles());
    let outcome = Outcome {
        troubles: many().collect(),
        trouble_count: 1_234,
        trouble_counts: [("altered", 4), ("connect", 1_230)].into(),
        ..sample::run(1, 1.0)
    };
    let text = summary(&outcome, &sample::options());
    assert!(
        text.contains("\ntroubles      1,234 (altered 4, connect 1,230); the first of them:\n"),
        "{text}"
    );
    let shown: Vec<_> = text.lines().filter(|line| line.starts_with("  connection")).collect();
    assert_eq!(shown.len(), TROUBLES_SHOWN, "{text}");
    assert!(shown[0].contains("connection 7 (from 127.0.0.1:40001): wrong byte at offset 5"));
}

#[test]
fn what_somebody_else_wrote_cannot_act_on_the_terminal() {
    let error = std::io::Error::other("\x1b[2Jgone\nconnection 9: all is well");
    let trouble =
        load::Trouble { connection: 1, local: None, cause: Cause::Connect(error), is_fatal: true };
    let outcome = Outcome { troubles: vec![trouble], trouble_count: 1, ..sample::nothing() };
    let text = summary(&outcome, &sample::options());
    let line = "\n  connection 1: \\u{1b}[2Jgone\\nconnection 9: all is well\n";
    assert!(text.ends_with(line), "{text:?}");
}

#[test]
fn interval_lines_stand_under_their_header() {
    let outcome = sample::run(3, 1.0);
    let slow =
        Interval { messages: 3, bytes: 3, max: Duration::from_secs(100), ..outcome.intervals[0] };
    let empty = Interval {
        messages: 0,
        bytes: 0,
        responses: 0,
        length: Duration::ZERO,
        ..outcome.intervals[0]
    };
    for interval in outcome.intervals.iter().chain([&slow, &empty]) {
        let line = interval_line(interval);
        assert_eq!(line.chars().count(), INTERVAL_HEADER.chars().count(), "{line}");
    }
    let line = interval_line(&outcome.intervals[1]);
    let cells: Vec<_> = line.split_whitespace().collect();
    assert_eq!(cells[..5], ["2.0", "s", "1,960", "128", "kB/s"]);
    assert!(interval_line(&empty).contains(" 0 B/s           -           -           -"));
}
