//! `resound connect` as a whole, against servers that run in the tests.

#![allow(clippy::unwrap_used, reason = "clippy allows it in tests, but not in their helpers")]

#[path = "support/deadline.rs"]
mod deadline;
#[allow(dead_code, reason = "each user of the kit needs a part of it")]
#[path = "kit/mod.rs"]
mod kit;
#[path = "support/long_stream.rs"]
mod long_stream;
#[allow(dead_code, reason = "other tests share it, and need more of it")]
#[path = "support/peers.rs"]
mod peers;
#[path = "support/piped.rs"]
mod piped;
#[path = "support/pty.rs"]
mod pty;

#[path = "connect/faults.rs"]
mod faults;
#[path = "connect/lines.rs"]
mod lines;
#[path = "connect/screen.rs"]
mod screen;
#[path = "connect/shared.rs"]
mod shared;
#[path = "connect/signals.rs"]
mod signals;
#[path = "connect/stream.rs"]
mod stream;
#[path = "connect/terminal.rs"]
mod terminal;
