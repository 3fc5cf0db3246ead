//! Reports and logs have each message once.

use std::fs;
use std::io;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

use crate::loader::fine;
use crate::peers;
use crate::server::Server;

const MS: u64 = 1_000_000;

/// How many responses an HdrHistogram log has in all, and how long the longest took, in nanoseconds.
fn logged(log: &[u8]) -> (u64, u64) {
    let histogram = |entry: LogEntry| -> Option<Histogram<u64>> {
        let LogEntry::Interval(interval) = entry else { return None };
        let encoded = STANDARD.decode(interval.encoded_histogram()).unwrap();
        Some(Deserializer::new().deserialize(&mut &encoded[..]).unwrap())
    };
    let entries = IntervalLogIterator::new(log).map(Result::unwrap);
    let all: Vec<_> = entries.filter_map(histogram).collect();
    (all.iter().map(Histogram::len).sum(), all.iter().map(Histogram::max).max().unwrap())
}

/// A server that pauses once, after 50 messages.
fn pausing(stream: TcpStream) -> io::Result<()> {
    peers::acting_at(&stream, 51, || {
        thread::sleep(Duration::from_millis(550)); // The fault of this server.
    })
}

/// The server still pauses when the measured part ends, so its slowest echoes come after the end.
#[test]
fn echoes_after_the_end_are_in_the_log_and_in_the_last_interval() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("run.hlog");
    let hdr = log.to_str().unwrap();
    for depth in ["1", "3"] {
        let addr = peers::serve(pausing);
        let args = ["-c", "1", "-r", "1k", "-d", "300ms", "-i", "100ms", "-p", depth];
        let report = fine(&[&[&*addr][..], &args, &["--hdr", hdr]].concat());
        let response = &report["response_latency_nanoseconds"];
        let answered = response["count"].as_u64().unwrap();
        let unanswered = &report["unanswered_wait_nanoseconds"];
        assert_eq!(report["unsent_messages"], unanswered["count"], "{report:#}");
        assert_eq!(answered + unanswered["count"].as_u64().unwrap(), 300, "{report:#}");
        // The last unsent message was due just before the end, and the first about 50 ms after the beginning.
        assert!(unanswered["min"].as_u64().unwrap() < 100 * MS, "{report:#}");
        assert!(unanswered["max"].as_u64().unwrap() >= 100 * MS, "{report:#}");
        assert!(response["max"].as_u64().unwrap() >= 500 * MS, "{report:#}");
        let intervals = report["intervals"].as_array().unwrap();
        let all = |key| intervals.iter().map(move |interval| interval[key].as_u64().unwrap());
        let longest = all("max_nanoseconds").max().unwrap();
        let found = (all("responses").sum::<u64>(), longest.into());
        assert_eq!(found, (answered, response["max"].clone()));
        assert_eq!(logged(&fs::read(&log).unwrap()), (answered, longest), "{report:#}");
        assert_eq!(all("messages").sum::<u64>(), report["messages_in_time"].as_u64().unwrap());
    }
}

/// A reader can align the log with others by the time of day.
#[test]
fn the_log_and_the_report_have_the_same_beginning() {
    // The last interval is closed long after its end: when the last echo comes.
    let addr = peers::serve(pausing);
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("run.hlog");
    let args = [&*addr, "-c", "1", "-r", "1k", "-d", "300ms"];
    let report = fine(&[&args[..], &["--hdr", log.to_str().unwrap()]].concat());
    let log = fs::read(&log).unwrap();
    let LogEntry::StartTime(start) = IntervalLogIterator::new(&log).next().unwrap().unwrap() else {
        panic!("no start")
    };
    let began = report["began_unix_seconds"].as_f64().unwrap();
    // The log has whole milliseconds.
    assert!((start.as_secs_f64() - began).abs() < 0.002, "{start:?} for {began}");
}

/// The measured part of a run with a number of messages ends with the last echo.
#[test]
fn the_only_message_of_a_run_takes_no_longer_than_the_run() {
    let server = Server::start(&[]);
    // The turn that reads the end of a large message takes a while.
    for _ in 0..10 {
        let report = fine(&[server.addr(), "-c", "1", "-n", "1", "-s", "4m"]);
        let response = report["response_latency_nanoseconds"]["max"].as_f64().unwrap() / 1e9;
        // Response times are exact to a thousandth.
        assert!(report["measured_seconds"].as_f64().unwrap() >= response * 0.999, "{report:#}");
    }
    server.stop();
}
