//! Servers that cannot be reached, or not yet, and limits of this machine.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::loader::{command, fine, report, run};
use crate::piped::{Client, Ended, spawn};
use crate::server::Server;

/// An address at which no server listens yet.
fn free_addr() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn a_run_that_finds_no_server_has_a_report() {
    let refused = free_addr();
    for (addr, words) in [
        (&*refused, "connection refused"),
        ("no.such.host.invalid:7", "cannot resolve no.such.host.invalid:7"),
        ("unix:/nowhere/at/all", "no such file or directory"),
    ] {
        for args in [&[][..], &["-r", "max@p99=1ms"], &["--keep-going"]] {
            let (code, report) = report(&[&[addr, "-c", "2", "-d", "50ms"], args].concat());
            assert_eq!((code, &report["end"]), (Some(1), &"failed".into()), "{report:#}");
            let trouble = &report["troubles"][0];
            assert_eq!((&trouble["kind"], &trouble["is_fatal"]), (&"connect".into(), &true.into()));
            let message = trouble["message"].as_str().unwrap();
            assert!(message.contains(words), "{message}");
            assert_eq!(report["messages"], 0);
        }
    }
}

#[test]
fn a_server_that_comes_up_within_the_wait_is_loaded() {
    let addr = free_addr();
    let args = [&*addr, "-c", "3", "-n", "30", "--wait", "30s", "--json", "-"];
    let mut child = spawn(&mut command(&args));
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("trying again")));
    let server = Server::start_at(&[&addr], &[]);
    let ended = Client::collect(child).end();
    let report: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!((&report["messages"], &report["connections_made"]), (&30.into(), &3.into()));
    // The connection that found the server is one of the three.
    assert!(server.stop().contains("3 connections, "));
    let began = Instant::now();
    let ended = run(&[&free_addr(), "--wait", "300ms"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.lines().last().unwrap().contains("connection refused"), "{ended:?}");
    assert!(began.elapsed() >= Duration::from_millis(100), "{:?}", began.elapsed());
}

/// The connection that finds the address is one of the four.
#[test]
fn a_server_that_is_named_gets_as_many_connections_as_asked_for() {
    let server = Server::start(&[]);
    let port = server.addr().rsplit(':').next().unwrap();
    let report = fine(&[&format!("localhost:{port}"), "-c", "4", "-n", "40"]);
    assert_eq!(report["connections_made"], 4, "{report:#}");
    assert!(server.stop().contains("4 connections, "));
}

/// Kills the server of a run. Returns the processor time of the run for each failure, in seconds.
fn cost_of_a_failure(connections: &str) -> f64 {
    let mut server = Server::start(&[]);
    let args = [server.addr(), "-c", connections, "-d", "1500ms", "-r", "5k", "--keep-going"];
    let mut child = spawn(&mut command(&[&args[..], &["-i", "100ms", "--json", "-"]].concat()));
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("B/s")));
    server.signal(Signal::KILL);
    server.wait();
    lines.for_each(|line| drop(line.unwrap()));
    let ended = Client::collect(child).end();
    let report: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let count = |key: &str| report[key].as_u64().unwrap();
    // Each message is answered or unanswered.
    assert_eq!(count("messages") + count("unanswered_messages"), 7_500, "{ended:?}");
    assert!(report["troubles"].as_array().unwrap().len() <= 20);
    report["generator"]["cpu_seconds"].as_f64().unwrap() / count("trouble_count") as f64
}

/// With more failures, each has a smaller share in the other costs of a run. Failed when the client searched for each
/// failed connection among all of them.
#[test]
fn thousands_of_failed_connections_cost_no_more_each_than_hundreds() {
    let [few, many] = ["500", "6000"].map(cost_of_a_failure);
    assert!(many < few, "{many} for each of many, {few} for each of few");
}

/// Runs with `kib` KiB of address space.
fn limited(kib: usize, args: &[&str]) -> Ended {
    let mut limited = Command::new("sh");
    let script = format!("ulimit -v {kib}; exec \"$@\"");
    limited.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_resound"), "load"]).args(args);
    limited.stdout(Stdio::piped()).stderr(Stdio::piped());
    Client::start(&mut limited).end()
}

#[test]
fn a_run_that_needs_too_much_memory_is_refused_in_one_line() {
    let server = Server::start(&[]);
    for args in [
        &["-c", "2000", "-p", "100k"][..],
        &["-c", "200", "-p", "100k", "-s", "1g"],
        &["-c", "1", "-d", "8760h", "-i", "10ms"],
    ] {
        let ended = limited(200_000, &[&[server.addr()], args].concat());
        assert_eq!((ended.code, ended.stderr.lines().count()), (Some(2), 1), "{args:?}: {ended:?}");
        assert!(ended.stderr.contains(" MB of memory"), "{ended:?}");
    }
    let fits =
        limited(200_000, &[server.addr(), "-c", "10", "-p", "1k", "-n", "1k", "--json", "-"]);
    assert_eq!(fits.code, Some(0), "{fits:?}");
    let report: Value = serde_json::from_slice(&fits.stdout).unwrap();
    assert_eq!(report["messages"], 1_000);
    server.stop();
}
