//! The search for the highest rate that keeps to an objective.

use std::io::{self, BufRead, BufReader};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::loader::{command, report, run};
use crate::peers;
use crate::piped::{Client, spawn};
use crate::server::Server;

#[test]
fn a_rate_that_keeps_to_the_objective_is_found() {
    let server = Server::start(&[]);
    let args = [server.addr(), "-c", "2", "-d", "100ms", "-r", "max@p50=500ms"];
    let (code, report) = report(&args);
    assert_eq!(code, Some(0), "{report:#}");
    let search = &report["search"];
    assert!(search["highest_rate_per_second"].as_f64().unwrap() > 0.0, "{report:#}");
    let rate = &report["options"]["rate_target_per_second"];
    assert_eq!(*rate, search["highest_rate_per_second"], "{report:#}");
    assert!(search["trials"].as_array().unwrap().iter().any(|trial| trial["was_kept"] == true));
    server.stop();
}

#[test]
fn if_no_rate_is_kept_the_last_one_is_shown() {
    let server = Server::start(&[]);
    let args = [server.addr(), "-c", "2", "-d", "100ms", "-r", "max@p50=1us"];
    let ended = run(&args);
    ended.assert_failed("no rate kept to p50 <= 1 µs");
    let stdout = String::from_utf8_lossy(&ended.stdout);
    assert!(stdout.contains("no rate kept to p50 <= 1 µs; the last one tried:\n"), "{stdout}");
    let (code, report) = report(&args);
    let (search, rate) = (&report["search"], &report["options"]["rate_target_per_second"]);
    let trials = search["trials"].as_array().unwrap();
    assert_eq!((code, &search["highest_rate_per_second"]), (Some(1), &serde_json::Value::Null));
    assert_eq!(*rate, trials.last().unwrap()["rate_per_second"], "{report:#}");
    server.stop();
}

#[test]
fn an_interrupted_search_shows_the_highest_rate_so_far() {
    let server = Server::start(&[]);
    let args = [server.addr(), "-c", "2", "-d", "300ms", "-r", "max@p50=10s"];
    let mut child = spawn(&mut command(&args));
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with(": kept")));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    lines.for_each(|line| drop(line.unwrap()));
    let ended = Client::collect(child).end();
    let stdout = String::from_utf8_lossy(&ended.stdout);
    assert!(stdout.contains("\ninterrupted; highest so far: "), "{stdout}");
    assert_eq!(ended.code, Some(130), "{ended:?}");
    server.stop();
}

/// A server that pauses before the 80th echo of each connection. In 200 ms, only a rate of 400 a second gets there.
fn pausing_at_the_80th(stream: TcpStream) -> io::Result<()> {
    peers::acting_at(&stream, 80, || {
        thread::sleep(Duration::from_millis(900)); // The fault of this server.
    })
}

#[test]
fn a_rate_at_which_echoes_time_out_is_missed_and_the_search_goes_on() {
    let addr = peers::serve(pausing_at_the_80th);
    let args = ["-c", "1", "-d", "200ms", "-W", "300ms", "-r", "max@p50=250ms"];
    let (code, report) = report(&[&[&*addr][..], &args].concat());
    assert_eq!(code, Some(0), "{report:#}");
    let trials = report["search"]["trials"].as_array().unwrap();
    let timed_out = |trial: &serde_json::Value| {
        trial["was_kept"] == false && trial["finding"].as_str().unwrap().contains("no echo within")
    };
    let first = trials.iter().position(timed_out).expect("a timeout");
    assert!(first + 1 < trials.len(), "{report:#}");
    assert!(report["search"]["highest_rate_per_second"].as_f64().unwrap() < 400.0, "{report:#}");
}
