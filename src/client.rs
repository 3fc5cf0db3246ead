//! The clients: what talks to an echo server, and watches it while doing so.
//!
//! Each of them stands on the same reactor as the server and owns its own loop: it drives what is ready,
//! reads the clock, and waits again.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::time::Duration;

use crate::net::cannot;

pub mod latency;
mod figures;
mod random;
pub mod probe;

pub mod dial;

pub mod connect;
pub mod ping;
pub mod load;
pub mod report;

mod patience;

/// A server that has had our end answers with its own. One that does not within this time may be as slow
/// with it as it likes: all echoes have come.
const GOODBYE: Duration = Duration::from_secs(1);

/// Writes a line to standard output, which is flushed with each. Not by `println!`, which panics where standard
/// output is closed.
pub(crate) fn say(line: &dyn Display) -> io::Result<()> {
    writeln!(io::stdout(), "{line}").map_err(|e| cannot("write to", &"standard output", &e))
}

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
