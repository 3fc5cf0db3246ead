//! The clients: what talks to an echo server, and watches it while doing so.
//!
//! Each of them stands on the same reactor as the server and owns its own loop: it drives what is ready,
//! reads the clock, and waits again.

use std::io::{self, ErrorKind};

pub mod latency;
pub mod probe;

pub mod dial;

pub mod connect;
pub mod ping;
pub mod load;
pub mod report;

mod patience;

/// Repeats a system call that a signal interrupted, and says `None` where it would block.
fn attempt(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<Option<usize>> {
    loop {
        match call() {
            Ok(n) => return Ok(Some(n)),
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
