//! A `resound load` of a test's own.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::piped::{Client, Ended};

pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_resound"));
    command.arg("load").args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub fn run(args: &[&str]) -> Ended {
    Client::start(&mut command(args)).end()
}

/// Runs to an end that is reported as JSON, and gives the exit code and the report.
#[track_caller]
pub fn report(args: &[&str]) -> (Option<i32>, Value) {
    let ended = run(&[args, &["--json", "-"]].concat());
    let report = serde_json::from_slice(&ended.stdout);
    (ended.code, report.unwrap_or_else(|e| panic!("{e}: {ended:?}")))
}

/// Expects that all went well, and gives the report.
#[track_caller]
pub fn fine(args: &[&str]) -> Value {
    let (code, report) = report(args);
    assert_eq!((code, &report["trouble_count"]), (Some(0), &Value::from(0)), "{report:#}");
    report
}
