//! The client and the server count the same.

use std::io::{BufRead, BufReader};

use rustix::process::{Pid, Signal, kill_process};

use crate::loader::{command, fine, run};
use crate::piped::{Client, spawn};
use crate::server::Server;

#[test]
fn every_message_is_sent_once_and_comes_back() {
    let server = Server::start(&[]);
    let report = fine(&[server.addr(), "-c", "20", "-n", "5000", "-p", "3", "-s", "100"]);
    assert_eq!(report["messages"], 5000);
    assert_eq!(report["response_latency_nanoseconds"]["count"], 5000);
    assert_eq!(report["options"]["connections"], 20);
    let last = server.stop();
    assert!(last.contains("20 connections, 500,000 bytes in, 500,000 bytes out, "), "{last}");
}

#[test]
fn large_messages_and_ranges_of_sizes_come_back_too() {
    let server = Server::start(&[]);
    for (size, n) in [("1m", "40"), ("1-100k", "300")] {
        fine(&[server.addr(), "-c", "3", "-n", n, "-p", "2", "-s", size]);
    }
    server.stop();
}

#[test]
fn a_unix_socket_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let unix = format!("unix:{}", dir.path().join("echo").display());
    let server = Server::start_at(&[&unix], &[]);
    let report = fine(&[&unix, "-c", "10", "-n", "1000"]);
    assert_eq!(report["messages"], 1000);
    server.stop();
}

#[test]
fn an_open_loop_sends_exactly_what_falls_due() {
    let server = Server::start(&[]);
    let report = fine(&[server.addr(), "-c", "7", "-r", "2k", "-d", "500ms", "--warmup", "100ms"]);
    let count = |key: &str| report[key].as_u64().unwrap();
    let (messages, unsent) = (count("messages"), count("unsent_messages"));
    assert_eq!(messages + unsent, 1000, "{report:#}");
    assert_eq!(report["response_latency_nanoseconds"]["count"], messages);
    assert_eq!(report["options"]["rate_target_per_second"], 2000.0);
    // The server counts the 200 messages of the warm-up too. On a busy machine, some are unsent.
    let log = server.stop();
    let (_, after) = log.split_once(": 7 connections, ").expect(&log);
    let bytes: u64 = after.split_once(" bytes in, ").unwrap().0.replace(',', "").parse().unwrap();
    assert_eq!(bytes % 64, 0, "{log}");
    assert!((1..=200).contains(&(bytes / 64 - messages)), "{log}\n{report:#}");
}

#[test]
fn an_interrupted_run_prints_the_figures_so_far() {
    let server = Server::start(&[]);
    let mut child = spawn(&mut command(&[server.addr(), "-d", "1h", "-i", "50ms"]));
    // After the first line of an interval, the measured part goes on.
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("p99")));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let rest: Vec<_> = lines.map(Result::unwrap).collect();
    let ended = Client::collect(child).end();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert!(rest.iter().any(|line| line.contains("interrupted")), "{rest:#?}");
    server.stop();
}

#[test]
fn a_missed_threshold_fails_the_run() {
    let server = Server::start(&[]);
    let args = [server.addr(), "-n", "100"];
    let ended = run(&[&args[..], &["--fail-if", "p50>1h", "--fail-if", "errors>0"]].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let ended = run(&[&args[..], &["--fail-if", "p50>1h", "--fail-if", "rate<100m"]].concat());
    ended.assert_failed("failed: rate<100m: it was ");
    // The line names each threshold that was missed.
    let more = ["--fail-if", "rate>5", "--fail-if", "errors>0", "--fail-if", "p50<1h"];
    let ended = run(&[&args[..], &more].concat());
    ended.assert_failed("failed: rate>5: it was ");
    let last = ended.stderr.lines().last().unwrap();
    assert!(last.contains("; p50<1h: it was ") && !last.contains("errors"), "{last}");
    server.stop();
}
