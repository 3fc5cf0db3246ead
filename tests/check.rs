//! `resound check` against `resound serve`, and against servers with a mistake that the tests play.

#![allow(clippy::unwrap_used, reason = "clippy allows it in tests, but not in their helpers")]

#[allow(dead_code, reason = "other tests share it, and need more of it")]
#[path = "support/command.rs"]
mod command;
#[path = "support/deadline.rs"]
mod deadline;

#[allow(dead_code, reason = "other tests share it, and need more of it")]
#[path = "support/server.rs"]
mod server;

#[path = "check/checker.rs"]
mod checker;

#[path = "check/mistakes.rs"]
mod mistakes;
#[path = "check/played.rs"]
mod played;
#[path = "check/reports.rs"]
mod reports;
#[path = "check/usage.rs"]
mod usage;
#[path = "check/whole.rs"]
mod whole;
