//! The program `resound ping`, against servers that the tests play.

#![allow(clippy::unwrap_used, reason = "clippy allows it in tests, but not in their helpers")]

#[allow(dead_code, reason = "other tests share it, and need more of it")]
#[path = "support/peers.rs"]
mod peers;
#[allow(dead_code, reason = "other tests share it, and need more of it")]
#[path = "support/command.rs"]
mod command;
#[path = "support/deadline.rs"]
mod deadline;
#[allow(dead_code, reason = "other tests share it, and need more of it")]
#[path = "support/piped.rs"]
mod piped;
#[allow(dead_code, reason = "other tests share it, and need more of it")]
#[path = "support/server.rs"]
mod server;

#[path = "ping/ends.rs"]
mod ends;
#[path = "ping/faults.rs"]
mod faults;
#[path = "ping/output.rs"]
mod output;
#[path = "ping/pinger.rs"]
mod pinger;
#[path = "ping/reach.rs"]
mod reach;
#[path = "ping/usage.rs"]
mod usage;
#[path = "ping/udp.rs"]
mod udp;
