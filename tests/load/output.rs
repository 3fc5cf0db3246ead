//! What is written, and where.

use std::fs::{self, File};

use serde_json::Value;

use crate::loader::{command, run};
use crate::piped::Client;
use crate::server::Server;

/// Files first: they are what a script will look at, and standard output may be nobody's.
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
fn interval_lines_do_not_stand_in_the_way_of_the_json() {
    let server = Server::start(&[]);
    let ended = run(&[server.addr(), "-d", "300ms", "-i", "100ms", "--json", "-"]);
    let report: Result<Value, _> = serde_json::from_slice(&ended.stdout);
    assert!(report.is_ok(), "{ended:?}");
    assert!(ended.stderr.lines().any(|line| line.contains("p99")), "{ended:?}");
    assert_eq!(ended.stderr.lines().filter(|line| line.contains("MB/s")).count(), 3, "{ended:?}");
    server.stop();
}
