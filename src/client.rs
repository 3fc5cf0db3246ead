//! The clients: what talks to an echo server, and watches it while doing so.
//!
//! Each of them stands on the same reactor as the server and owns its own loop: it drives what is ready,
//! reads the clock, and waits again.

use std::io::{self, ErrorKind};
use std::time::Duration;

pub mod latency;
pub mod running_stats;
mod rng;
pub mod probe;
pub mod failure;

pub mod dial;
mod standstill;
#[cfg_attr(not(any(target_os = "linux", target_os = "android")), path = "client/no_alarm.rs")]
mod alarm;

pub mod connect;
pub mod ping;
pub mod load;
pub mod report;

mod patience;

/// A server that has had our end answers with its own. One that does not within this time may be as slow
/// with it as it likes: all echoes have come.
const GOODBYE: Duration = Duration::from_secs(1);

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
