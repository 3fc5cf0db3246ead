//! `resound connect`: talks to an echo server, and reports an echo that differs from what was sent.
//!
//! On a terminal it is a conversation. The user sends one message at a time, and sees each step. Any other standard
//! input goes to the server as a stream, and its echo to standard output. With [`Options::reconnect`], it goes line by
//! line instead.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use crate::net::Addr;
use crate::net::proxy::HeaderVersion;

mod exchange;
mod unasked;
mod totals;
mod notice;
mod ledger;
mod pump;
mod echo_output;
mod watched;
mod client_io;
mod lines;
mod stream;
mod terminal;

#[cfg(test)]
mod scripted;

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server to talk to.
    pub server: Addr,
    /// Whether each message gets its own connection.
    pub reconnect: bool,
    /// How long to wait for a connection, and for each further byte of an echo.
    pub timeout: Duration,
    /// How long to go on trying until the server is up.
    pub wait: Option<Duration>,
    /// Whether each connection begins with a PROXY header, and of which version.
    pub send_proxy: Option<HeaderVersion>,
    /// Whether a conversation shows bytes in hexadecimal.
    pub hex: bool,
    /// The file to which a conversation adds its steps.
    pub log: Option<PathBuf>,
}

/// Talks to the server until the input ends.
///
/// # Errors
///
/// A line for people: the server could not be reached, or did not echo faithfully, or standard input
/// or output failed.
pub fn run(options: &Options) -> io::Result<()> {
    match io::stdin().is_terminal() {
        true => terminal::run(options),
        false if options.reconnect => lines::run(options),
        false => stream::run(options),
    }
}
