//! A client that was stopped does not blame the server.

use std::io::{BufRead, BufReader};
use std::process::Child;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::loader::command;
use crate::piped::{Client, spawn};
use crate::server::Server;

/// Longer than the timeout below.
const STANDSTILL: Duration = Duration::from_millis(1500);

fn stop_for_a_while(child: &Child) {
    let pid = Pid::from_child(child);
    kill_process(pid, Signal::STOP).unwrap();
    thread::sleep(STANDSTILL); // The fault of this client.
    kill_process(pid, Signal::CONT).unwrap();
}

/// Starts a run, and stops it after the first line of an interval. Returns the exit code and the report.
fn report_of_stopped(args: &[&str]) -> (Option<i32>, Value) {
    let mut child = spawn(&mut command(&[args, &["-i", "20ms", "--json", "-"]].concat()));
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("B/s")));
    stop_for_a_while(&child);
    let rest = thread::spawn(move || lines.map(Result::unwrap).collect::<Vec<_>>());
    let ended = Client::collect(child).end();
    let report = serde_json::from_slice(&ended.stdout);
    (ended.code, report.unwrap_or_else(|e| panic!("{e}: {:?}", rest.join())))
}

#[test]
fn a_client_that_was_stopped_fails_nothing_and_reports_its_standstill() {
    let server = Server::start(&[]);
    for loop_args in [&[][..], &["-r", "500"]] {
        let args = [server.addr(), "-c", "3", "-d", "1200ms", "-W", "800ms"];
        let (code, report) = report_of_stopped(&[&args[..], loop_args].concat());
        assert_eq!((code, &report["trouble_count"]), (Some(0), &0.into()), "{report:#}");
        let stood = report["generator"]["standstill_seconds"].as_f64().unwrap();
        assert!(stood > 0.5 && stood < 30.0, "{stood}: {report:#}");
        let warning = report["generator"]["warning"].as_str().unwrap();
        assert!(warning.starts_with("this client itself stood still for "), "{warning}");
        let lag = report["lag_nanoseconds"]["max"].as_f64().unwrap();
        assert!(lag > 500e6, "{loop_args:?}: {report:#}");
    }
    server.stop();
}
