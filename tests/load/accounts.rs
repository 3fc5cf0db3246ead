//! Whatever becomes of a message, it shows in the figures.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::loader::{command, fine, report};
use crate::peers;
use crate::piped::{Client, spawn};
use crate::server::Server;

const MS: u64 = 1_000_000;

/// Takes five messages, keeps them for a while, and closes.
fn losing_five(mut stream: TcpStream) -> io::Result<()> {
    stream.read_exact(&mut [0; 5 * 64])?;
    thread::sleep(Duration::from_millis(50)); // The fault that this server has.
    stream.shutdown(Shutdown::Write)?;
    io::copy(&mut stream, &mut io::sink()).map(drop)
}

/// As many are sent as were asked for, and no more: a server that loses all of them cannot keep a run going
/// for ever. Each has waited for its echo at least until its connection died.
#[test]
fn messages_lost_with_their_connections_are_counted_and_not_sent_again() {
    for loop_args in [&[][..], &["-r", "1k"]] {
        let addr = peers::serve(losing_five);
        let args =
            [&[&*addr, "-c", "1", "-n", "20", "-p", "5", "--keep-going"], loop_args].concat();
        let (code, report) = report(&args);
        assert_eq!((code, &report["end"]), (Some(1), &"failed".into()), "{report:#}");
        for (key, count) in [("messages", 0), ("lost_messages", 20), ("trouble_count", 4)] {
            assert_eq!(report[key], count, "{key}, {loop_args:?}: {report:#}");
        }
        // They have no response time, and are known to have waited.
        let unanswered = &report["unanswered_wait_nanoseconds"];
        assert_eq!(
            (&unanswered["count"], is_least(unanswered, 50)),
            (&20.into(), true),
            "{report:#}"
        );
        for latency in ["response_latency_nanoseconds", "service_latency_nanoseconds"] {
            assert_eq!(report[latency]["count"], 0, "{report:#}");
        }
    }
}

fn is_least(times: &Value, ms: u64) -> bool {
    times["min"].as_u64().unwrap() >= ms * MS
}

/// How many responses an HdrHistogram log has in all, and the longest, in nanoseconds.
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

/// Pauses once, after 50 messages.
fn pausing(mut stream: TcpStream) -> io::Result<()> {
    let mut message = [0; 64];
    for number in 0.. {
        stream.read_exact(&mut message)?;
        if number == 50 {
            thread::sleep(Duration::from_millis(550)); // The fault that this server has.
        }
        stream.write_all(&message)?;
    }
    Ok(())
}

/// A server that still pauses when the time is over makes its worst figures then: echoes that come late. What was
/// never sent is counted apart: how long it would have taken no one knows.
#[test]
fn what_comes_to_light_after_the_end_is_in_the_log_and_in_the_last_interval() {
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
        // The last was due just before the end, and the first some 50 ms after the beginning.
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

/// Failed when intervals ceased with the last message that was sent, however long its echo took.
#[test]
fn a_number_of_messages_has_intervals_until_the_last_has_come_back() {
    let addr = peers::serve(pausing);
    let report = fine(&[&addr, "-c", "1", "-n", "51", "-i", "10ms"]);
    let intervals = report["intervals"].as_array().unwrap();
    let last = intervals.iter().rfind(|interval| interval["messages"] != 0).unwrap();
    assert!(last["start_seconds"].as_f64().unwrap() > 0.0, "{report:#}");
    assert!(last["max_nanoseconds"].as_u64().unwrap() >= 500 * MS, "{report:#}");
}

/// Whoever aligns a log with another by the time of day takes its start at its word.
#[test]
fn the_log_begins_when_the_report_says_that_it_did() {
    // The last interval is closed when the last echo is there, long after its end.
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
    // Which the log has in whole milliseconds.
    assert!((start.as_secs_f64() - began).abs() < 0.002, "{start:?} for {began}");
}

/// The client stands still for a while, and the server does not: it is the client that is late then, with all
/// that fell due meanwhile.
#[test]
fn a_pause_of_the_client_is_put_down_to_the_client() {
    let server = Server::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("run.json");
    let args = [server.addr(), "-c", "2", "-r", "1k", "-d", "1s", "--fail-if", "lag>10ms"];
    let args = [&args[..], &["-i", "50ms", "--json", json.to_str().unwrap()]].concat();
    let mut child = spawn(&mut command(&args));
    // The first line of an interval tells that messages are being measured.
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("kB/s")));
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::STOP).unwrap();
    thread::sleep(Duration::from_millis(550)); // The fault that this client has.
    kill_process(pid, Signal::CONT).unwrap();
    lines.for_each(|line| drop(line.unwrap()));
    Client::collect(child).end().assert_failed("");
    let report: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    let lag = &report["lag_nanoseconds"];
    // Of 1000 messages 500 were late, by up to 500 ms.
    assert_eq!(lag["count"], 1000, "{report:#}");
    assert!(lag["p90"].as_u64().unwrap() >= 300 * MS, "{report:#}");
    server.stop();
}

/// The measured part of a run of so many messages ends with the last echo, and not before.
#[test]
fn a_message_takes_no_longer_than_the_run_that_it_is_all_of() {
    let server = Server::start(&[]);
    // The last turn that reads of a large message takes a while.
    for _ in 0..10 {
        let report = fine(&[server.addr(), "-c", "1", "-n", "1", "-s", "4m"]);
        let response = report["response_latency_nanoseconds"]["max"].as_f64().unwrap() / 1e9;
        // Which is known to a thousandth.
        assert!(report["measured_seconds"].as_f64().unwrap() >= response * 0.999, "{report:#}");
    }
    server.stop();
}
