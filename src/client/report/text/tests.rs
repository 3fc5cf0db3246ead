use std::time::Duration;

use super::*;
use crate::client::failure::Failure;
use crate::client::report::sample;

/// The lines of the latency table, its heading first.
fn table_of(text: &str) -> Vec<&str> {
    let heading = |line: &&str| line.ends_with("latency") || line.ends_with("service");
    let from = text.lines().skip_while(|line| !heading(line));
    from.take_while(|line| !line.is_empty()).collect()
}

fn summary(outcome: &Outcome, options: &Options) -> String {
    Summary { outcome, options, columns: usize::MAX }.to_string()
}

#[test]
fn long_lines_fit_the_terminal() {
    let mut outcome = Outcome { unsent: 12, ..sample::with_failures() };
    outcome.unanswered.record_evenly(Duration::from_secs(1), 0.1, 14);
    outcome.end = End::Interrupted;
    for columns in [80, 40] {
        let text = Summary { outcome: &outcome, options: &sample::options(), columns }.to_string();
        assert!(text.lines().all(|line| line.chars().count() <= columns), "{text}");
        assert!(text.contains("\nunanswered    14 messages (12 not"), "{text}");
        assert!(text.contains(if columns == 80 { "\n              " } else { "\n             " }));
    }
}

#[test]
fn the_lines_of_the_table_are_aligned() {
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
    let outcome = Outcome { lag: Latency::new(), ..sample::run(10, 1.0) };
    let text = summary(&outcome, &sample::closed_loop());
    assert!(table_of(&text)[0].trim() == "latency", "{text}");
    assert!(!text.contains("late by"), "{text}");
    assert!(
        !text.contains("limit")
            && !text.contains("unsent")
            && !text.contains("lost")
            && !text.contains("failures")
            && !text.contains("asked")
            && !text.contains("warning")
    );
}

#[test]
fn each_line_has_its_label_and_figures() {
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
fn percentiles_of_too_few_messages_are_left_out() {
    let text = summary(&sample::run(1, 1.0), &sample::options());
    assert!(text.contains("p99.9 ") && !text.contains("p99.99"), "{text}");
}

#[test]
fn a_run_without_messages_has_no_latencies() {
    for options in [sample::options(), sample::closed_loop()] {
        let text = summary(&sample::nothing(), &options);
        assert!(text.contains("The run failed before anything was measured.\n"), "{text}");
        assert!(text.contains("rate          0 messages/s (0 messages in 0 ns)\n"), "{text}");
        assert_eq!(table_of(&text).len(), 1, "{text}");
    }
}

#[test]
fn the_header_gives_sizes_lengths_and_new_connections() {
    let options = Options {
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
fn unanswered_messages_and_the_limit_have_lines() {
    let mut outcome = Outcome { unsent: 12, lost: 1, ..sample::run(10, 1.0) };
    let max = outcome.response.max();
    outcome.unanswered.record_evenly(Duration::from_millis(1_200), 0.1, 13);
    let outcome = Outcome { cpu: outcome.measured, ..outcome };
    let text = summary(&outcome, &sample::options());
    let line = "\nunanswered    13 messages (12 not sent by the end, 1 lost in flight); each waited 0 ns to 1.20 s \
                without an answer, and the response times do not include them\n";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("\nlimit         this client was busy 100 % of the time"), "{text}");
    assert_eq!(outcome.response.max(), max);
    let mut alike = Outcome { lost: 2, ..sample::run(10, 1.0) };
    // Failed when this was a range from 1.70 s to 1.71 s.
    alike.unanswered.record_evenly(Duration::from_micros(1_705_500), 0.0, 2);
    let text = summary(&alike, &sample::options());
    let line =
        "\nunanswered    2 messages (2 lost in flight); each waited 1.71 s without an answer, and";
    assert!(text.contains(line), "{text}");
}

#[test]
fn busy_waiting_is_shown_apart_from_work() {
    let outcome = Outcome { spin_cpu: Duration::from_secs(2), ..sample::run(10, 1.0) };
    let text = summary(&outcome, &sample::options());
    let line = "\nthis client   10.0 % of a processor (1.00 s) for its work, 20.0 % of a processor (2.00 s) for busy-waiting \
                (--spin), late by ";
    assert!(text.contains(line), "{text}");
}

#[test]
fn a_standstill_of_the_client_is_a_warning() {
    let outcome = Outcome { standstill: Duration::from_millis(1_500), ..sample::run(10, 1.0) };
    let text = summary(&outcome, &sample::closed_loop());
    let line = "\nwarning       this client itself stood still for 1.50 s (it was stopped, or got no processor); ";
    assert!(text.contains(line), "{text}");
}

/// A client that is late, but sent all messages, did not limit the server.
#[test]
fn lateness_is_a_limit_only_if_the_rate_was_missed() {
    let mut late = Outcome { rate_target: Some(2_000.0), ..sample::run(10, 1.0) };
    (0..1_000).for_each(|_| late.lag.record(Duration::from_micros(3_600)));
    let text = summary(&late, &sample::options());
    let warning = "\nwarning       this client woke up late (p99 3.60 ms); response times include that, and --spin may lessen it\n";
    assert!(text.contains(warning) && !text.contains("limit"), "{text}");
    let missed = Outcome { rate_target: Some(8_000.0), ..late };
    let options = Options { rate: Some(8_000.0), ..sample::options() };
    let text = summary(&missed, &options);
    let rate =
        "rate          2,000 messages/s of 8,000 asked (25.0 %), 20,000 messages in 10.0 s\n";
    let limit = "\nlimit         this client was late with its messages (p99 3.60 ms), so the server may be able to do more\n";
    assert!(text.contains(rate) && text.contains(limit) && !text.contains("warning"), "{text}");
}

#[test]
fn each_kind_of_failure_is_shown_once_with_its_number() {
    let many = || (0..7).flat_map(|_| sample::failures());
    let outcome = Outcome {
        failures: many().collect(),
        failure_count: 2_469,
        failure_counts: [("altered", 1), ("connect", 1_230), ("timeout", 1_238)].into(),
        ..sample::run(1, 1.0)
    };
    let text = summary(&outcome, &sample::options());
    // The last line, on standard error, describes the one that ended the run.
    let lines = "\nfailures      2,469\n\
                 \x20 altered            1\n\
                 \x20 connect        1,230  connection 8: connection refused\n\
                 \x20 timeout        1,238  connection 9: no echo within 10 s: 64 of 128 bytes came back, 64 are missing\n";
    assert!(text.ends_with(lines), "{text}");
}

#[test]
fn text_from_outside_cannot_act_on_the_terminal() {
    let error = std::io::Error::other("\x1b[2Jgone\nconnection 9: all is well");
    let failure = ConnectionFailure {
        connection: Some(1),
        local: None,
        failure: Failure::Connect(error),
        is_fatal: false,
    };
    let outcome = Outcome {
        failures: vec![failure],
        failure_count: 1,
        failure_counts: [("connect", 1)].into(),
        ..sample::nothing()
    };
    let text = summary(&outcome, &sample::options());
    let line = "  connection 1: \\u{1b}[2Jgone\\nconnection 9: all is well\n";
    assert!(text.ends_with(line), "{text:?}");
}

#[test]
fn interval_lines_are_aligned_with_their_header() {
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
