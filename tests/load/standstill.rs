//! A client that was stopped blames no server for it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Child;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::loader::command;
use crate::peers;
use crate::piped::{Client, spawn};
use crate::server::Server;

/// Longer than the timeouts below.
const STANDSTILL: Duration = Duration::from_millis(1500);

fn stop_for_a_while(child: &Child) {
    let pid = Pid::from_child(child);
    kill_process(pid, Signal::STOP).unwrap();
    thread::sleep(STANDSTILL); // The fault that this client has.
    kill_process(pid, Signal::CONT).unwrap();
}

/// Runs with lines of intervals on standard error, and stops it in the middle.
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

/// In a closed and in an open loop, with one and with several in flight.
#[test]
fn a_client_that_was_stopped_calls_nothing_late_and_says_that_it_stood_still() {
    let server = Server::start(&[]);
    for loop_args in [&[][..], &["-p", "20"], &["-r", "500"]] {
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

/// Holds each message until it is told to, which is when the client has been stopped and goes on.
fn slow_echo(mut stream: TcpStream) -> io::Result<()> {
    let mut message = [0; 64];
    loop {
        stream.read_exact(&mut message)?;
        thread::sleep(Duration::from_millis(700)); // The fault that this server has.
        stream.write_all(&message)?;
    }
}

/// What was late before it was stopped is late all the same.
#[test]
fn a_server_that_is_too_slow_is_found_although_the_client_was_stopped() {
    let addr = peers::serve(slow_echo);
    let args = ["-c", "1", "-n", "3", "-W", "300ms", "--json", "-"];
    let child = spawn(&mut command(&[&[&*addr][..], &args].concat()));
    thread::sleep(Duration::from_millis(100)); // Its first message is on the way, or will be.
    stop_for_a_while(&child);
    let ended = Client::collect(child).end();
    let report: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!((ended.code, &report["troubles"][0]["kind"]), (Some(1), &"timeout".into()));
}
