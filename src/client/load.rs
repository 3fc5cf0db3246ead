//! `resound load`: many connections at once, every byte checked, and how long each echo took.
//!
//! On one thread and the same reactor as the server. Messages are sent in a *closed loop*, each as soon as
//! an earlier one has come back, or in an *open loop*, at a rate and a time that do not depend on the
//! server: a message that cannot be sent when it is due, since its connection has as many in flight as it
//! may, waits, and its wait counts. A closed loop cannot show what a server's pauses do to those who come
//! meanwhile, for nobody comes.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use signal_hook::consts::SIGQUIT;
use signal_hook_mio::v1_0::Signals;

use crate::client::latency::Latency;
use crate::net::{Addr, cannot};
use crate::signals;

use contact::{NoContact, contact};
use engine::Engine;

pub use memory::check_memory;
pub use outcome::{ClientLimit, End, Interval, Outcome};
pub use search::{Found, Search, Trial, search};
pub use threshold::{Objective, Threshold, Verdict};
pub use trouble::{Cause, Trouble};

mod json;
mod trouble;
mod outcome;
mod schedule;
mod plan;
mod cost;
mod recorder;
mod standstills;
mod connection;
mod contact;
mod engine;
mod dispatch;
mod connections;
mod phase;
mod memory;
mod threshold;
mod search;

/// What a run is to do.
#[derive(Clone, Debug, Serialize)]
pub struct Options {
    /// The server to load.
    #[serde(skip)]
    pub server: Addr,
    /// Connections, all open at once. At least 1.
    pub connections: usize,
    /// When the measured part is over.
    #[serde(flatten, serialize_with = "json::length")]
    pub length: Length,
    /// Messages a second over all connections, each due at its own time: an open loop. A closed loop if
    /// `None`. More than 0.
    #[serde(rename = "rate_target_per_second")]
    pub rate: Option<f64>,
    /// The sizes of messages in bytes, each as likely as the others. At least 1.
    #[serde(flatten, serialize_with = "json::sizes")]
    pub sizes: RangeInclusive<usize>,
    /// Messages that a connection may have in flight. At least 1.
    #[serde(rename = "pipeline_depth")]
    pub depth: usize,
    /// Connections begun a second, or as fast as they are made.
    #[serde(rename = "connect_rate_per_second")]
    pub connect_rate: Option<f64>,
    /// How long to go on before the measured part.
    #[serde(rename = "warmup_seconds", with = "json::seconds")]
    pub warmup: Duration,
    /// How long an echo, or a connection, may take before the run fails.
    #[serde(rename = "timeout_seconds", with = "json::seconds")]
    pub timeout: Duration,
    /// How long to try again and again while the server is not up, before the first connection.
    #[serde(rename = "wait_seconds", with = "json::seconds")]
    pub wait: Duration,
    /// This machine's addresses to connect from, in turn, of one family and with port 0. The system's choice if
    /// there are none.
    #[serde(rename = "source_addresses", serialize_with = "json::sources")]
    pub sources: Vec<SocketAddr>,
    /// After how many messages a connection is replaced by a new one.
    #[serde(rename = "reconnect_every_messages")]
    pub reconnect_every: Option<u64>,
    /// Whether to replace a connection that has died, and go on.
    pub keep_going: bool,
    /// How long the [intervals](Outcome::intervals) are.
    #[serde(rename = "interval_seconds", with = "json::seconds")]
    pub interval: Duration,
    /// In an open loop, how long before a message is due to busy-wait.
    #[serde(rename = "spin_seconds", with = "json::seconds")]
    pub spin: Duration,
}

impl Options {
    /// Whether response and service latency are the same: in a closed loop with one message in flight, each
    /// message is sent as soon as it is due, which is when the echo of the one before has come.
    pub(in crate::client) fn has_one_latency(&self) -> bool {
        self.rate.is_none() && self.depth == 1
    }
}

/// How a person writes an address to connect from: without its port.
pub fn source_name(source: &SocketAddr) -> String {
    match source {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
        _ => source.ip().to_string(),
    }
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
pub trait Reporter {
    /// The measured part begins.
    fn start(&mut self, began: SystemTime);

    /// An interval of the measured part is over: its figures, and its responses.
    fn interval(&mut self, interval: &Interval, responses: &Latency);

    /// Called several times a second.
    fn progress(&mut self, progress: &Progress);

    /// The user asks how things stand (SIGQUIT).
    fn status(&mut self, _progress: &Progress) {}

    /// Whether no one wants the rest of the run, which then ends as if the user had asked it to.
    fn is_abandoned(&self) -> bool {
        false
    }
}

/// Loads the server until the measured part is over, something goes wrong, or the user asks to stop. All that
/// goes wrong is part of the outcome.
pub fn run(options: &Options, reporter: &mut impl Reporter) -> Outcome {
    match watch_signals() {
        Ok(mut signals) => run_under(options, &mut signals, reporter),
        Err(cause) => Outcome::failed(cause),
    }
}

fn watch_signals() -> Result<Signals, Cause> {
    signals::watch(&[SIGQUIT]).map_err(|e| Cause::System(cannot("watch for", &"signals", &e)))
}

/// As [`run`], for a caller that goes on to watch the signals afterwards.
fn run_under(options: &Options, signals: &mut Signals, reporter: &mut impl Reporter) -> Outcome {
    let contact = match contact(options, signals, reporter) {
        Ok(contact) => contact,
        Err(NoContact::Interrupted) => return Outcome::interrupted(),
        Err(NoContact::Failed(cause)) => return Outcome::failed(cause),
    };
    match Engine::new(options, contact, signals, reporter) {
        Ok(engine) => engine.run(),
        Err(e) => Outcome::failed(Cause::System(e)),
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
    /// What has gone wrong so far.
    pub failures: u64,
    /// How long the measured part has been going on.
    pub measured: Duration,
    /// How much of the measured part is over, from 0 to 1.
    pub fraction: f64,
}

impl Progress {
    /// In this stage, before anything has happened.
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
    /// Saying goodbye, and looking whether anything comes that was not sent.
    Closing,
}

#[cfg(test)]
mod tests;
