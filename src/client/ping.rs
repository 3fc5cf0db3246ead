//! `resound ping`: sends one message at a time at a steady pace, checks every byte of its echo, and measures how
//! long the echo took.
//!
//! It looks like ping(8), and uses its words in the same sense. In a stream, only the offset of a byte shows
//! which message it belongs to. So there is one connection with one message in flight, and after a lost or
//! wrong echo the next message gets a new connection. The time to connect is no part of an echo's time.
//!
//! # When messages are sent
//!
//! At fixed times, an interval apart, from the first connection on: a late echo does not shift the messages
//! after it. A message that is due while an echo is outstanding waits for that echo or its timeout, and then
//! goes out at once. If several messages fall due meanwhile, only one is sent. The others are
//! [skipped](Tally::skipped): they would be a burst and not a ping.
//!
//! # How it is built
//!
//! A `Session` holds the state and does the counting. It knows no socket and reads no clock: `Sockets` gives it
//! a connection, and the clients' common loop gives it the time. Tests run it on a simulated server.

use std::io;
use std::time::{Duration, Instant};

use crate::client::drive::drive;
use crate::net::Addr;
use crate::net::proxy::HeaderVersion;

use session::Session;
use sockets::Sockets;

pub use json::Json;
pub use notice::{Notice, Summary};
pub use tally::Tally;

mod tally;
mod notice;
mod schedule;
mod network;
mod session;
mod watch;
mod sockets;
mod datagrams;
mod json;

/// What `resound ping` was asked to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server to ping.
    pub server: Addr,
    /// The number of messages, at least 1. If `None`, it sends messages until a signal comes.
    pub count: Option<u64>,
    /// The time between the due times of two messages, at least a millisecond.
    pub interval: Duration,
    /// The size of a message in bytes. At least 1; over UDP from
    /// [`LEAST_BYTES`](crate::client::probe::datagrams::LEAST_BYTES) to
    /// [`MOST_BYTES`](crate::client::probe::datagrams::MOST_BYTES).
    pub size: usize,
    /// How long to wait for an echo. Also how long to wait for a connection, including the look-up of the
    /// server's name.
    pub timeout: Duration,
    /// How long to retry before the first connection if the server is not up; `None` if not at all.
    pub wait: Option<Duration>,
    /// Whether each connection begins with a PROXY header, and of which version.
    pub send_proxy: Option<HeaderVersion>,
}

/// How a ping ended.
#[derive(Debug)]
pub enum End {
    /// All messages were sent.
    Complete,
    /// SIGINT, SIGTERM or SIGHUP ended it.
    Interrupted,
    /// There was no first connection, or the system failed.
    Failed(io::Error),
}

/// Pings until all messages are sent, or a signal ends it. Reports each step to `notify`, and returns what it
/// found and how it ended. An error of `notify` ends it too.
pub fn run(options: &Options, notify: impl FnMut(&Notice<'_>) -> io::Result<()>) -> (Tally, End) {
    let began = Instant::now();
    let mut tally = Tally::default();
    let end = match options.server {
        Addr::Udp { .. } => datagrams::sockets::run(options, &mut tally, notify, began),
        _ => Sockets::new(options).and_then(|network| {
            drive(&mut Session::new(options, network, &mut tally, notify, began), began)
        }),
    };
    tally.elapsed = began.elapsed();
    (tally, end.unwrap_or_else(End::Failed))
}
