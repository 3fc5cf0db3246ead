//! `resound connect`: talk to an echo server, and say when what comes back is not what was sent.
//!
//! On a terminal it is a conversation, one message at a time, and says each step. Anything else on
//! standard input is streamed to the server, and its echo to standard output: whole, or with
//! [`Options::reconnect`] line by line.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use crate::net::Addr;

mod exchange;
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

/// What `resound connect` was asked to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server to talk to.
    pub server: Addr,
    /// Whether each message gets a connection of its own.
    pub reconnect: bool,
    /// How long to wait for a connection, and for each further byte of an echo.
    pub timeout: Duration,
    /// How long to try again and again until the server is up.
    pub wait: Option<Duration>,
    /// Whether a conversation shows bytes in hexadecimal.
    pub hex: bool,
    /// The file that a conversation is added to.
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
