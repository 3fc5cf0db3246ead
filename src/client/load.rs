//! `resound load`: many connections at once, every byte checked, and how long each echo took.
//!
//! On one thread and the same reactor as the server. Messages are sent in a *closed loop*, each as soon as
//! an earlier one has come back, or in an *open loop*, at a rate and a time that do not depend on the
//! server: a message that cannot be sent when it is due, since its connection has as many in flight as it
//! may, waits, and its wait counts. A closed loop cannot show what a server's pauses do to those who come
//! meanwhile, for nobody comes.

use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use crate::client::dial::{self, Family, Limits};
use crate::client::latency::Latency;
use crate::net::{Addr, Endpoint};

use engine::Engine;

pub use outcome::{Cause, End, Interval, Outcome, OwnLimit, Trouble};
pub use search::{Found, Search, Trial, search};
pub use threshold::{Objective, Threshold, Verdict};

mod outcome;
mod plan;
mod record;
mod connection;
mod engine;
mod lives;
mod stages;
mod threshold;
mod search;

/// What a run is to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server to load.
    pub server: Addr,
    /// Connections, all open at once. At least 1.
    pub connections: usize,
    /// When the measured part is over.
    pub length: Length,
    /// Messages a second over all connections, each due at its own time: an open loop. A closed loop if
    /// `None`. More than 0.
    pub rate: Option<f64>,
    /// The sizes of messages in bytes, each as likely as the others. At least 1.
    pub sizes: RangeInclusive<usize>,
    /// Messages that a connection may have in flight. At least 1.
    pub depth: usize,
    /// Connections begun a second, or as fast as they are made.
    pub connect_rate: Option<f64>,
    /// How long to go on before the measured part.
    pub warmup: Duration,
    /// How long an echo, or a connection, may take before the run fails.
    pub timeout: Duration,
    /// This machine's addresses to connect from, in turn, of one family. The system's choice if there are none.
    pub sources: Vec<IpAddr>,
    /// After how many messages a connection is replaced by a new one.
    pub reconnect_every: Option<u64>,
    /// Whether to replace a connection that has died, and go on.
    pub keep_going: bool,
    /// How long the [intervals](Outcome::intervals) are.
    pub interval: Duration,
    /// In an open loop, how long before a message is due to ask for the time, and not to sleep any more.
    pub spin: Duration,
}

/// When the measured part of a run is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// After so long.
    Time(Duration),
    /// After so many messages over all connections: sent, or fallen due, whether they come back or are
    /// lost with a connection that dies.
    Messages(u64),
}

/// Is told how a run gets on.
pub trait Watch {
    /// The measured part begins.
    fn start(&mut self, began: SystemTime);

    /// An interval of the measured part is over: its figures, and its responses.
    fn interval(&mut self, interval: &Interval, responses: &Latency);

    /// Called several times a second.
    fn progress(&mut self, progress: &Progress);
}

/// Loads the server until the measured part is over, something goes wrong, or the user asks to stop.
///
/// # Errors
///
/// Where there is nothing to load: an address that cannot be resolved, or of which none can be reached. What
/// goes wrong later is part of the outcome.
pub fn run(options: &Options, watch: &mut impl Watch) -> io::Result<Outcome> {
    Engine::new(options, peer(options)?, watch)?.run()
}

/// The address to load: if there are several, the first that answers.
fn peer(options: &Options) -> io::Result<Endpoint> {
    let family = options.sources.first().map(Family::of);
    let mut peers = options.server.resolve()?;
    peers.retain(|peer| family.is_none() || peer.ip().as_ref().map(Family::of) == family);
    if let Ok([peer]) = <[Endpoint; 1]>::try_from(peers) {
        return Ok(peer);
    }
    let limits = Limits { family, ..Limits::new(options.timeout) };
    Ok(dial::dial(&options.server, limits, |_| Ok(()))?.peer)
}

/// Nobody looks.
impl Watch for () {
    fn start(&mut self, _: SystemTime) {}
    fn interval(&mut self, _: &Interval, _: &Latency) {}
    fn progress(&mut self, _: &Progress) {}
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// What it is doing.
    pub stage: Stage,
    /// Connections that are open.
    pub connections: usize,
    /// Messages of the measured part whose echo has come back.
    pub messages: u64,
    /// How long the measured part has been going on.
    pub measured: Duration,
    /// How much of the measured part is over, from 0 to 1.
    pub fraction: f64,
}

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Opening its connections.
    Connecting,
    /// Sending messages that do not count.
    WarmingUp,
    /// Sending messages that count.
    Measuring,
    /// Waiting for the last echoes.
    Draining,
    /// Saying goodbye, and looking whether anything comes that was not sent.
    Closing,
}

#[cfg(test)]
mod tests;
