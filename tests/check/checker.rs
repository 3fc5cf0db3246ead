//! Runs `resound check` for a test, on servers that it plays.

use std::net::{TcpListener, TcpStream};
use std::thread;

use serde_json::Value;

use crate::command::resound;

/// A server that does this with each connection, on a thread of its own. It ends with the test.
pub fn serving(act: impl Fn(TcpStream) + Copy + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || act(stream));
        }
    });
    addr
}

/// Runs to the end. Returns the exit code and the report.
#[track_caller]
pub fn check(args: &[&str]) -> (Option<i32>, Value) {
    let output = resound(&[&["check", "--json", "--seed", "7"], args].concat());
    let report = serde_json::from_slice(&output.stdout);
    (output.status.code(), report.unwrap_or_else(|e| panic!("{e}: {output:?}")))
}

/// The case with this id.
#[track_caller]
pub fn case<'a>(report: &'a Value, id: &str) -> &'a Value {
    let cases = report["cases"].as_array().unwrap();
    cases.iter().find(|case| case["id"] == id).unwrap_or_else(|| panic!("no {id}: {report:#}"))
}

/// The ids of the cases with this verdict.
pub fn with_verdict(report: &Value, verdict: &str) -> Vec<String> {
    let cases = report["cases"].as_array().unwrap().iter();
    let ids = cases.filter(|case| case["verdict"] == verdict).map(|case| &case["id"]);
    ids.map(|id| id.as_str().unwrap().into()).collect()
}
