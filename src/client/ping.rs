//! `resound ping`: one message at a time at a steady pace, every byte checked, and how long each echo took.
//!
//! It looks like ping(8) and means the same by the same words, as far as a stream allows: there is one
//! connection and one message in flight, for bytes that come back say nothing of which message they belong
//! to but by their place. So an echo that is lost or wrong costs the connection, and the next message gets
//! a new one. The time to connect is told apart from the echoes' times.
//!
//! # When messages are sent
//!
//! At fixed times, an interval apart, from the first connection on: a late echo does not shift those after
//! it. A message that is due while another's echo is outstanding waits for that, or for its time-out, and
//! is then sent at once. If several fall due meanwhile, one is sent; the rest are
//! [skipped](Tally::skipped), since they would be a burst, and no ping.

use std::io;
use std::time::{Duration, Instant};

use crate::client::drive::drive;
use crate::net::Addr;

use session::Session;
use sockets::Sockets;

pub use json::Json;
pub use notice::{Activity, Notice, Summary};
pub use tally::{MessageFailure, RecordedFailure, Tally};

mod tally;
mod notice;
mod schedule;
mod network;
mod session;
mod sockets;
mod json;

/// What `resound ping` was asked to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server to ping.
    pub server: Addr,
    /// Messages to send; no end of them if `None`. At least 1.
    pub count: Option<u64>,
    /// From when one message is due to when the next one is. At least a millisecond.
    pub interval: Duration,
    /// The size of a message in bytes. At least 1.
    pub size: usize,
    /// How long to wait for an echo, and for a connection, with the look-up of the server's name.
    pub timeout: Duration,
    /// How long to wait for a server that is not up.
    pub wait: Option<Duration>,
}

/// How a ping ended.
#[derive(Debug)]
pub enum End {
    /// All that was asked for was sent.
    Complete,
    /// By SIGINT, SIGTERM or SIGHUP.
    Interrupted,
    /// There was no first connection, or nothing more could be said.
    Failed(io::Error),
}

/// Pings until it has sent as many messages as asked for, or a signal tells it to stop; reports each step to
/// `say`, and gives what it found and how it ended. An error of `say` ends it too.
pub fn run(options: &Options, say: impl FnMut(&Notice<'_>) -> io::Result<()>) -> (Tally, End) {
    let began = Instant::now();
    let mut tally = Tally::default();
    let end = Sockets::new(options).and_then(|network| {
        drive(&mut Session::new(options, network, &mut tally, say, began), began)
    });
    tally.elapsed = began.elapsed();
    (tally, end.unwrap_or_else(End::Failed))
}
