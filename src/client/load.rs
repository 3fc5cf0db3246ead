//! `resound load`: many connections at once. It checks every byte, and measures how long each echo takes.
//!
//! It runs on one thread, on the same reactor as the server.
//!
//! In a *closed loop*, each message is sent as soon as an earlier one has come back. In an *open loop*, messages are due
//! at fixed times, however slow the server is. If a connection has no room for a message when that is due, the message
//! waits, and its wait counts. A closed loop sends nothing while the server pauses, so it cannot show what a pause does
//! to the messages of others.
//!
//! # Parts
//!
//! The `engine` has the loop: wait, read the clock, handle events, do what it is time for. It knows no sockets and no
//! clock, but `link` and `clock`: so a test can play the server, and knows every time. The other files are what the
//! engine consists of (`phase`, `connections`, `shared`), and what it does with them (`connecting`,
//! `dispatch`, `failing`, `advance`).

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use signal_hook::consts::SIGQUIT;
use signal_hook_mio::v1_0::Signals;

use crate::client::failure::Failure;
use crate::client::latency::Latency;
use crate::net::proxy::HeaderVersion;
use crate::net::{Addr, Endpoint};
use crate::signals;

use clock::SystemClock;
use contact::{NoContact, contact};
use datagrams::DatagramNetwork;
use engine::Engine;
use link::{Connect, Network};
use outcome::per_second;

pub use connection_failure::ConnectionFailure;
pub(crate) use memory::check_memory;
pub use outcome::{End, Interval, Outcome};
pub use search::Trial;
pub(crate) use search::{Found, Search, search};
pub(crate) use threshold::Threshold;
pub use threshold::{Objective, Verdict};

mod json;
mod connection_failure;
mod outcome;
mod clock;
mod schedule;
mod plan;
mod cost;
mod recorder;
mod standstills;
mod shared;
mod probing;
mod lane;
mod contact;
mod link;
mod datagrams;
mod connection;
mod connections;
mod phase;
mod engine;
mod dispatch;
mod connecting;
mod failing;
mod advance;
mod memory;
mod threshold;
mod search;

/// What a run does.
#[derive(Clone, Debug, Serialize)]
pub struct Options {
    /// The server to load.
    #[serde(skip)]
    pub server: Addr,
    /// The number of connections, all open at once. At least 1.
    pub connections: usize,
    /// When the measured part is over.
    #[serde(flatten, serialize_with = "json::length")]
    pub length: Length,
    /// In an open loop, the messages a second over all connections: more than 0. `None` for a closed loop.
    #[serde(rename = "rate_target_per_second")]
    pub rate: Option<f64>,
    /// The sizes of messages in bytes, each as likely as the others. At least 1.
    #[serde(flatten, serialize_with = "json::sizes")]
    pub sizes: RangeInclusive<usize>,
    /// How many messages a connection may have in flight. At least 1.
    #[serde(rename = "pipeline_depth")]
    pub depth: usize,
    /// How many connections begin a second. `None` if each begins as soon as another is made.
    #[serde(rename = "connect_rate_per_second")]
    pub connect_rate: Option<f64>,
    /// How long the run sends messages before the measured part.
    #[serde(rename = "warmup_seconds", with = "json::seconds")]
    pub warmup: Duration,
    /// How long an echo may take, and how long it may take to connect.
    #[serde(rename = "timeout_seconds", with = "json::seconds")]
    pub timeout: Duration,
    /// How long to wait for a server that is not up, before the first connection.
    #[serde(rename = "wait_seconds", with = "json::seconds")]
    pub wait: Duration,
    /// The addresses of this machine to connect from, in turn: of one family, and with port 0. If there are none, the
    /// system chooses.
    #[serde(rename = "source_addresses", serialize_with = "json::sources")]
    pub sources: Vec<SocketAddr>,
    /// Whether each connection begins with a PROXY header, and of which version.
    #[serde(rename = "send_proxy_version", serialize_with = "json::header_version")]
    pub send_proxy: Option<HeaderVersion>,
    /// A connection is replaced after this many messages.
    #[serde(rename = "reconnect_every_messages")]
    pub reconnect_every: Option<u64>,
    /// Whether to replace a connection that has failed, and go on.
    pub keep_going: bool,
    /// The length of the [intervals](Outcome::intervals).
    #[serde(rename = "interval_seconds", with = "json::seconds")]
    pub interval: Duration,
    /// In an open loop, busy-wait for this long before each message is due.
    #[serde(rename = "spin_seconds", with = "json::seconds")]
    pub spin: Duration,
}

impl Options {
    /// Whether response and service times are the same. In a closed loop with one message in flight, each message is
    /// sent at the moment when it is due.
    pub(in crate::client) fn has_one_latency(&self) -> bool {
        self.rate.is_none() && self.depth == 1
    }
}

/// An address to connect from as a person writes it, without its port.
pub(crate) fn source_name(source: &SocketAddr) -> String {
    match source {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
        _ => source.ip().to_string(),
    }
}

/// When the measured part of a run is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// After this time.
    Time(Duration),
    /// After this many messages over all connections. Those that are lost with a connection are among them.
    Messages(u64),
}

/// Shows how a run gets on.
pub trait Reporter {
    /// The measured part begins.
    fn start(&mut self, began: SystemTime);

    /// An interval of the measured part is over, with these figures and responses.
    fn interval(&mut self, interval: &Interval, responses: &Latency);

    /// A trial of a search is over.
    fn trial(&mut self, _trial: &Trial) {}

    /// Called ten times a second.
    fn progress(&mut self, progress: &Progress);

    /// The user asks for the progress by SIGQUIT.
    fn status(&mut self, _progress: &Progress) {}

    /// Whether the reader has left. The run then ends as if the user had interrupted it.
    fn is_abandoned(&self) -> bool {
        false
    }
}

/// Loads the server until the measured part is over, the run fails, or the user asks to stop. Failures are part of the
/// outcome.
pub fn run(options: &Options, reporter: &mut impl Reporter) -> Outcome {
    match Prepared::new(options) {
        Ok(mut prepared) => prepared.run(options, reporter),
        Err(failure) => Outcome::failed(failure),
    }
}

/// What one run leaves to the next of a search.
struct Prepared {
    signals: Signals,
    /// The server, if it is loaded over UDP.
    datagram_peer: Option<Endpoint>,
}

impl Prepared {
    fn new(options: &Options) -> Result<Self, Failure> {
        // Before the signals are watched: a look-up blocks, and then a signal ends the program.
        let datagram_peer = match options.server {
            Addr::Udp { .. } => Some(datagrams::find_peer(options).map_err(Failure::Connect)?),
            _ => None,
        };
        let signals = signals::watch(&[SIGQUIT]).map_err(Failure::System)?;
        Ok(Self { signals, datagram_peer })
    }

    fn run(&mut self, options: &Options, reporter: &mut impl Reporter) -> Outcome {
        let Self { signals, datagram_peer } = self;
        if let Some(peer) = datagram_peer {
            let network = DatagramNetwork::new(peer, &options.sources);
            return run_on(network, options, signals, reporter);
        }
        match contact(options, signals, reporter) {
            Ok(contact) => {
                let network = Network::new(contact, &options.sources);
                run_on(network, options, signals, reporter)
            }
            Err(NoContact::Interrupted) => Outcome::interrupted(),
            Err(NoContact::Failed(failure)) => Outcome::failed(failure),
        }
    }
}

fn run_on(
    network: impl Connect,
    options: &Options,
    signals: &mut Signals,
    reporter: &mut impl Reporter,
) -> Outcome {
    match Engine::new(options, network, SystemClock, signals, reporter) {
        Ok(mut engine) => {
            // A signal may have come before there was a reactor to report it.
            if signals::is_stop_requested() {
                engine.phase.interrupt();
            }
            engine.run()
        }
        Err(e) => Outcome::failed(Failure::System(e)),
    }
}

/// Shows nothing.
impl Reporter for () {
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
    /// Failures so far.
    pub failures: u64,
    /// How long the measured part has taken so far.
    pub measured: Duration,
    /// How much of the measured part is over, from 0 to 1.
    pub fraction: f64,
}

impl Progress {
    /// Messages a second. The first millisecond counts as a whole one, so that the rate does not jump about.
    pub(crate) fn rate(&self) -> f64 {
        per_second(self.messages, self.measured.max(Duration::from_millis(1)))
    }

    /// The progress in this stage before anything has happened.
    fn none(stage: Stage) -> Self {
        Self {
            stage,
            connections: 0,
            messages: 0,
            failures: 0,
            measured: Duration::ZERO,
            fraction: 0.0,
        }
    }
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
    /// Closing its connections, and looking for bytes that were never sent.
    Closing,
}

#[cfg(test)]
mod simulated;
#[cfg(test)]
pub(in crate::client) mod tests;
