//! Runs `resound load` for a test.

use std::process::Command;

use serde_json::Value;

use crate::command;
use crate::piped::{Client, Ended};

pub fn command(args: &[&str]) -> Command {
    command::command(&[&["load"], args].concat())
}

pub fn run(args: &[&str]) -> Ended {
    Client::start(&mut command(args)).end()
}

/// Runs to the end. Returns the exit code and the report.
#[track_caller]
pub fn report(args: &[&str]) -> (Option<i32>, Value) {
    let ended = run(&[args, &["--json", "-"]].concat());
    let report = serde_json::from_slice(&ended.stdout);
    (ended.code, report.unwrap_or_else(|e| panic!("{e}: {ended:?}")))
}

/// Runs to the end, and expects success. Returns the report.
#[track_caller]
pub fn fine(args: &[&str]) -> Value {
    let (code, report) = report(args);
    assert_eq!((code, &report["trouble_count"]), (Some(0), &Value::from(0)), "{report:#}");
    report
}
