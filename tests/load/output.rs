//! What the client writes, and where.

use std::fs::{self, File};

use serde_json::Value;

use crate::loader::{command, run};
use crate::piped::Client;
use crate::server::Server;

/// A script looks at the files, and standard output may have no reader.
#[cfg(target_os = "linux")]
#[test]
fn reports_are_written_although_standard_output_is_full() {
    let server = Server::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("run.json");
    let args = [server.addr(), "-n", "100", "--json", json.to_str().unwrap()];
    let mut command = command(&args);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let ended = Client::start(command.stdout(full)).end();
    ended.assert_failed("cannot write to standard output: no space left on device");
    let report: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    assert_eq!(report["messages"], 100);
    server.stop();
}

#[test]
fn interval_lines_go_to_standard_error_if_the_json_is_on_standard_output() {
    let server = Server::start(&[]);
    let ended = run(&[server.addr(), "-d", "300ms", "-i", "100ms", "--json", "-"]);
    let report: Result<Value, _> = serde_json::from_slice(&ended.stdout);
    assert!(report.is_ok(), "{ended:?}");
    assert!(ended.stderr.lines().any(|line| line.contains("p99")), "{ended:?}");
    assert_eq!(ended.stderr.lines().filter(|line| line.contains("B/s")).count(), 3, "{ended:?}");
    server.stop();
}

#[test]
fn the_first_line_says_what_the_run_does() {
    let server = Server::start(&[]);
    let args = [server.addr(), "-c", "3", "-n", "9"];
    let plan = format!("{}: 3 connections, closed loop, ", server.addr());
    let ended = run(&args);
    assert!(String::from_utf8_lossy(&ended.stdout).starts_with(&plan), "{ended:?}");
    let ended = run(&[&args[..], &["--json", "-"]].concat());
    assert!(ended.stderr.starts_with(&plan), "{ended:?}");
    let ended = run(&[&args[..], &["-q", "--json", "-"]].concat());
    assert_eq!(ended.stderr, "");
    server.stop();
}

/// There are no figures, and the reason appears once.
#[test]
fn a_run_that_never_began_is_one_line_of_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    drop(listener);
    let ended = run(&[&addr, "-c", "3"]);
    assert_eq!((ended.code, ended.stderr.lines().count()), (Some(1), 1), "{ended:?}");
    assert_eq!(String::from_utf8_lossy(&ended.stdout).lines().count(), 1, "{ended:?}");
}
