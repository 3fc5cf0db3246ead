//! `resound load` as a whole, against `resound serve` and against servers that the tests play.
//!
//! What a run counts, and when it ends, is tested in `src/client/load/engine/tests/`, on a fake clock.

#![allow(clippy::unwrap_used, reason = "clippy allows it in tests, but not in their helpers")]

#[allow(dead_code, reason = "other tests share it, and need more of it")]
#[path = "support/command.rs"]
mod command;
#[path = "support/deadline.rs"]
mod deadline;
#[allow(dead_code, reason = "other tests share it, and need more of it")]
#[path = "support/peers.rs"]
mod peers;
#[allow(dead_code, reason = "other tests share it, and need more of it")]
#[path = "support/piped.rs"]
mod piped;
#[allow(dead_code, reason = "other tests share it, and need more of it")]
#[path = "support/pty.rs"]
mod pty;
#[allow(dead_code, reason = "other tests share it, and need more of it")]
#[path = "support/server.rs"]
mod server;

#[path = "load/loader.rs"]
mod loader;

#[path = "load/accounts.rs"]
mod accounts;
#[path = "load/ends.rs"]
mod ends;
#[path = "load/findings.rs"]
mod findings;
#[path = "load/figures.rs"]
mod figures;
#[path = "load/output.rs"]
mod output;
#[path = "load/files.rs"]
mod files;
#[path = "load/reaching.rs"]
mod reaching;
#[path = "load/search.rs"]
mod search;
#[path = "load/signals.rs"]
mod signals;
#[path = "load/standstill.rs"]
mod standstill;
#[path = "load/terminal.rs"]
mod terminal;
#[path = "load/usage.rs"]
mod usage;
#[path = "load/udp.rs"]
mod udp;
