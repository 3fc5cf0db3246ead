//! The clients. They talk to an echo server, and watch how it answers.
//!
//! Each stands on the same reactor as the server.

use std::io::{self, ErrorKind, Write};
use std::time::Duration;

pub mod latency;
pub(crate) mod running_stats;
pub(crate) mod rng;
pub mod probe;
pub(crate) mod failure;

mod standstill;
mod drive;
mod idle_timer;
#[cfg_attr(not(any(target_os = "linux", target_os = "android")), path = "client/no_alarm.rs")]
pub(crate) mod alarm;

pub(crate) mod dial;
mod datagram_socket;

pub(crate) mod connect;
pub(crate) mod ping;
pub mod load;
pub(crate) mod report;
pub(crate) mod check;

/// How long a client waits for the server to close too, once the client has shut down writing. After that the
/// client closes alone: all echoes have come.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Repeats a system call that a signal interrupted. Returns `None` if it would block.
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

/// Writes the bytes from `written` on, until the sink would block, and counts them in `written`. Returns whether all are
/// written.
fn write_rest(sink: &mut impl Write, bytes: &[u8], written: &mut usize) -> io::Result<bool> {
    while *written < bytes.len() {
        match attempt(|| sink.write(&bytes[*written..]))? {
            Some(0) => return Err(ErrorKind::WriteZero.into()),
            Some(n) => *written += n,
            None => return Ok(false),
        }
    }
    Ok(true)
}
