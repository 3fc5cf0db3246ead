//! How a bench's connections are made.

use std::io;
use std::time::{Duration, Instant};

use super::{Bench, PeerId, Slot, Waited};
use crate::client::check::peer::{Ending, Peer};
use crate::client::check::problem::{Problem, Symptom};
use crate::net::{Socket, reason};

/// Connections that are begun in one second. xinetd(8) switches a service off for a while after 50.
const CONNECTIONS_PER_SECOND: usize = 45;

/// How long a connection may take to be made.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);

/// How often a connection to a full accept queue is tried again.
const QUEUE_RETRY: Duration = Duration::from_millis(5);

impl Bench<'_> {
    /// Begins a connection.
    ///
    /// # Errors
    ///
    /// That the system refuses it at once.
    pub(in crate::client::check) fn begin(&mut self) -> Result<PeerId, Problem> {
        self.pace();
        let refused = |e: io::Error| Problem::of(Symptom::NotConnected(reason(&e)));
        let socket = self.begun().map_err(refused)?;
        let now = Instant::now();
        let recorded = self.recording.connection(&self.server, now);
        let peer = Box::new(Peer::new(socket, recorded, now));
        let id = PeerId(self.reactor.insert(Slot::Peer(peer)).map_err(refused)?);
        self.reactor.requeue(id.0);
        self.peers.push(id);
        Ok(id)
    }

    /// A Unix socket with a full accept queue refuses at once, where TCP tries again by itself: connect(2).
    fn begun(&mut self) -> io::Result<Socket> {
        let end = Instant::now() + CONNECT_PATIENCE;
        loop {
            match Socket::connect(&self.server) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && Instant::now() < end => {
                    self.run_for(QUEUE_RETRY);
                }
                outcome => return outcome,
            }
            if self.is_interrupted {
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
    }

    /// Waits until one more connection does not exceed the rate at which inetd and its like give up a service.
    fn pace(&mut self) {
        let now = Instant::now();
        if let Some(oldest) = self.recent.front().copied()
            && self.recent.len() == CONNECTIONS_PER_SECOND
        {
            self.recent.pop_front();
            let paused = Duration::from_secs(1).saturating_sub(now - oldest);
            self.deadline += paused;
            self.run_for(paused);
        }
        self.recent.push_back(Instant::now());
    }

    /// Makes a connection.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub(in crate::client::check) fn connect(&mut self) -> Result<PeerId, Problem> {
        let id = self.begin()?;
        self.await_connection(id)?;
        Ok(id)
    }

    /// Waits until a connection is made.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub(in crate::client::check) fn await_connection(&mut self, id: PeerId) -> Result<(), Problem> {
        let patience = std::mem::replace(&mut self.patience, CONNECT_PATIENCE);
        let is_over = |bench: &mut Self| {
            let peer = bench.peer(id);
            peer.is_connected || peer.ending.is_some()
        };
        let waited = self.run(&[id], is_over);
        self.patience = patience;
        let peer = self.peer(id);
        match &peer.ending {
            Some(Ending::Broken(why)) if !peer.is_connected => {
                Err(Problem::of(Symptom::NotConnected(why.clone())))
            }
            _ if waited != Waited::Done => {
                Err(Problem::of(Symptom::NotConnected("no answer".into())))
            }
            _ => Ok(()),
        }
    }
}
