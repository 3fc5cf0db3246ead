//! Names the mistakes that a trace shows: of `resound` itself, or of any server, from [`import`](super::import).
//!
//! A trace is read once, from its beginning to its end. [`sockets`] keeps what is known of each connection and each
//! listener, [`thread`] what a thread has done since it last waited. Each rule stands in a module with those that look
//! at the same thing, and says what it has seen as a [`Finding`].
//!
//! A rule must not accuse a correct server. So most rules look at what follows: a connection that sleeps with bytes
//! left in its socket is only a suspect until an event wakes it. A server that comes back by itself has remembered it.
//!
//! A trace has no bytes and no memory in it. So mistakes with the bytes themselves are found only if they change how
//! many there are, and a buffer without bound only by how much more is read than written.

use std::collections::{BTreeSet, HashMap};
use std::io::BufRead;

use super::reader::{Ending, Reader, Unreadable};
use super::record::{Record, Vantage, name};
use crate::mistake::Mistake;

use finding::{Findings, Scope};
use sockets::{Connection, Listener};
use thread::Thread;

pub(crate) use finding::Finding;

mod finding;
mod sockets;
mod thread;

mod edges;
mod bytes;
mod ends;
mod accepts;
mod turns;

/// The most connections, listeners and threads that are followed at once, and the longest name of one.
const MOST_FOLLOWED: usize = 1 << 17;
const LONGEST_NAME: usize = 256;

/// If threads share the work, or the trace ends, a sleep counts only if it lasted this many microseconds: another thread
/// could be about to act.
const LONG_SLEEP: f64 = 100_000.0;

/// What was found in a trace.
#[derive(Debug)]
pub(crate) struct Report {
    /// The mistakes, in the order in which they were seen.
    pub(crate) findings: Vec<Finding>,
    /// How many records were read.
    pub(crate) records: u64,
    /// How many connections were accepted.
    pub(crate) connections: u64,
    /// Whether the trace ends without a last record, and what is wrong with its last line.
    pub(crate) breaks_off: Option<String>,
}

/// Reads a trace to its end, and names the mistakes that it shows.
///
/// # Errors
///
/// If it is the trace of a client.
pub(crate) fn lint<R: BufRead>(mut reader: Reader<R>) -> Result<Report, String> {
    if reader.header.vantage == Vantage::Client {
        return Err("it is the trace of a client, and lint reads those of servers: of serve --trace, or of trace import".into());
    }
    let mut lint = Lint { vantage: reader.header.vantage, ..Lint::default() };
    let mut damage: Option<Unreadable> = None;
    for record in &mut reader {
        match record {
            Ok(record) => lint.record(&record),
            Err(e) => damage = Some(e),
        }
    }
    lint.finish();
    let breaks_off = match (damage, reader.ending()) {
        (Some(damage), _) => Some(damage.to_string()),
        (None, Ending::Truncated) => Some("it has no last record".into()),
        (None, Ending::Complete { .. }) => None,
    };
    let scope = match (lint.is_proxy, lint.echoed) {
        (true, _) => Scope::All,
        (false, 0) => Scope::Ends,
        (false, _) => Scope::Echoes,
    };
    Ok(Report {
        findings: lint.findings.finish(scope),
        records: lint.number,
        connections: lint.accepted,
        breaks_off,
    })
}

/// What is known while a trace is read.
#[derive(Debug)]
struct Lint {
    vantage: Vantage,
    findings: Findings,
    connections: HashMap<String, Connection>,
    listeners: HashMap<String, Listener>,
    /// By the thread of their records; the first thread is 0.
    threads: HashMap<u64, Thread>,
    /// Connections and listeners that owe a look before their thread may sleep.
    owing: BTreeSet<String>,
    /// The number of the record, from 1, and its time in microseconds.
    number: u64,
    time: f64,
    accepted: u64,
    /// Connections that got back exactly what they sent.
    echoed: u64,
    /// The program makes connections too: what it reads from one, it may write to another.
    is_proxy: bool,
}

impl Default for Lint {
    fn default() -> Self {
        Self {
            vantage: Vantage::Server,
            findings: Findings::default(),
            connections: HashMap::new(),
            listeners: HashMap::new(),
            threads: HashMap::new(),
            owing: BTreeSet::new(),
            number: 0,
            time: 0.0,
            accepted: 0,
            echoed: 0,
            is_proxy: false,
        }
    }
}

/// Where something was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Moment {
    number: u64,
    time: f64,
}

impl Lint {
    fn record(&mut self, record: &Record) {
        self.number += 1;
        self.time = record.time;
        let thread = record.thread.unwrap_or(0);
        if self.threads.len() < MOST_FOLLOWED {
            self.threads.entry(thread).or_default();
        }
        match (record.name.as_str(), record.group_id.as_deref()) {
            (name::WAITS, _) => self.waits(thread, record),
            (name::WOKE, _) => self.woke(thread, record),
            (name::SERVER_FAILED, _) => self.server_failed(),
            (_, Some(group)) if group.len() <= LONGEST_NAME => {
                self.of_source(thread, group, record)
            }
            _ => {}
        }
    }

    fn of_source(&mut self, thread: u64, group: &str, record: &Record) {
        match record.name.as_str() {
            name::LISTENING => self.listens(group),
            name::REGISTERED => self.registered(group, record),
            name::READY => self.ready(thread, group, record),
            name::ACCEPT => self.accept(thread, group, record),
            name::ACCEPTED => self.accepted(thread, group),
            name::CONNECTED => self.is_proxy = true,
            name::READ => self.read(thread, group, record),
            name::WRITE => self.write(thread, group, record),
            name::SHUTDOWN => self.shutdown(group),
            name::CLOSED => self.closed(thread, group, record),
            _ => {}
        }
    }

    fn moment(&self) -> Moment {
        Moment { number: self.number, time: self.time }
    }

    /// Whether several threads did the work. Then one can sleep while another is about to act.
    fn has_threads(&self) -> bool {
        self.threads.len() > 1
    }

    fn listens(&mut self, group: &str) {
        if self.listeners.len() < MOST_FOLLOWED {
            self.listeners.entry(group.into()).or_default();
        }
    }

    fn accepted(&mut self, thread: u64, group: &str) {
        self.accepted += 1;
        if self.connections.len() < MOST_FOLLOWED {
            self.connections.insert(
                group.into(),
                Connection { acceptor: Some(thread), ..Connection::default() },
            );
        }
    }

    fn shutdown(&mut self, group: &str) {
        if let Some(connection) = self.connections.get_mut(group) {
            connection.is_shut = true;
        }
    }

    /// Reports a mistake that was seen at a record.
    fn sure(&mut self, mistake: Mistake, at: Moment, group: &str, because: String) {
        self.findings.add(Finding::sure(mistake, at, group, because));
    }

    fn likely(&mut self, mistake: Mistake, at: Moment, group: &str, because: String) {
        self.findings.add(Finding::likely(mistake, at, group, because));
    }

    /// The end of the trace.
    fn finish(&mut self) {
        self.still_asleep();
        self.still_open();
    }
}

#[cfg(test)]
mod tests;
