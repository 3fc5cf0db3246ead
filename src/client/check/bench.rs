//! What a case works with: connections to the server, on one reactor, and the time that it may take.
//!
//! A case is written as a conversation, one step after the other. Each step queues what to send, and then runs the reactor
//! until the answer is there. So a step can have any number of connections, and still reads from top to bottom.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::{Interest, Registry, Token};
use signal_hook_mio::v1_0::Signals;

use super::affinity::OneProcessor;
use super::letterbox::Letterbox;
use super::peer::Peer;
use super::problem::{Problem, Symptom};
use super::process::ProcessTree;
use super::profile::Profile;
use super::recording::Recording;
use super::server::{Started, Subject};
use super::timeline::Moment;
use crate::net::{Endpoint, Stream, delegate_source, reason};
use crate::reactor::{Reactor, Ready};

pub(super) use super::peer::PeerId;
pub(super) use turns::Waited;

use pool::pool;

mod pool;
mod connecting;
mod turns;

/// How long a datagram may take to come back. It is sent again after that.
const DATAGRAM_PATIENCE: Duration = Duration::from_millis(500);

/// The most that one read takes.
const READ_BYTES: usize = 256 << 10;

/// What the reactor watches.
pub(super) enum Slot<'a> {
    Peer(Box<Peer>),
    Letterbox(Box<Letterbox>),
    Signals(&'a mut Signals),
}

impl Slot<'_> {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Peer(peer) => &mut peer.socket,
            Self::Letterbox(letterbox) => &mut letterbox.socket,
            Self::Signals(signals) => *signals,
        }
    }
}

delegate_source!(Slot<'_>);

/// A UDP socket of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LetterboxId(Token);

/// The connections of a case.
pub(super) struct Bench<'a> {
    pub(super) server: Endpoint,
    reactor: Reactor<Slot<'a>>,
    ready: Vec<Ready>,
    scratch: Box<[u8]>,
    signals: Token,
    peers: Vec<PeerId>,
    letterboxes: Vec<LetterboxId>,
    /// When the last connections began.
    recent: VecDeque<Instant>,
    /// How long nothing may move before a server counts as silent.
    pub(super) patience: Duration,
    /// When the case must be over.
    pub(super) deadline: Instant,
    /// Whether a wait ended since the case was out of time, although something moved.
    pub(super) is_out_of_time: bool,
    /// Whether a signal asks to stop.
    pub(super) is_interrupted: bool,
    pub(super) seed: u64,
    /// Random bytes. They repeat themselves after this many, which is no multiple of the size of a buffer.
    pub(super) pool: Box<[u8]>,
    pub(super) profile: Profile,
    /// How many cases the server has been through, without the first check of its sanity.
    pub(super) cases_tried: usize,
    pub(super) started: Option<Started>,
    process: Option<ProcessTree>,
    pub(super) recording: Recording,
}

impl<'a> Bench<'a> {
    /// A bench for this server. A signal interrupts it.
    ///
    /// # Errors
    ///
    /// If the system gives no further descriptors.
    pub(super) fn new(
        Subject { server, started, process }: Subject,
        signals: &'a mut Signals,
        Settings { patience, profile, seed, recording }: Settings,
    ) -> io::Result<Self> {
        let mut reactor = Reactor::new()?;
        let signals = reactor.insert(Slot::Signals(signals))?;
        Ok(Self {
            server,
            reactor,
            ready: Vec::new(),
            scratch: vec![0; READ_BYTES].into(),
            signals,
            peers: Vec::new(),
            letterboxes: Vec::new(),
            recent: VecDeque::new(),
            patience,
            deadline: Instant::now(),
            is_out_of_time: false,
            is_interrupted: false,
            seed,
            pool: pool(profile, seed),
            profile,
            cases_tried: 0,
            started,
            process,
            recording,
        })
    }

    /// The server's process, if it is known and lives.
    pub(super) fn process(&mut self) -> Option<ProcessTree> {
        match &mut self.started {
            Some(started) => Some(started.tree()),
            None => self.process,
        }
    }

    /// Has the server and this client take turns on one processor until the outcome is dropped, if a command started the
    /// server: others' servers stay where they are.
    pub(super) fn share_processor(&self) -> Option<OneProcessor> {
        self.started.as_ref().and_then(|started| OneProcessor::for_client_and(started.tree()))
    }

    /// How the server's process has ended, if it is known and has.
    pub(super) fn death(&mut self) -> Option<String> {
        match (&mut self.started, self.process) {
            (Some(started), _) => started.ending(),
            (None, Some(process)) if !process.exists() => Some("its process is gone".into()),
            (None, _) => None,
        }
    }

    /// Waits a little for the end of the server's process, if that is known.
    pub(super) fn await_death(&mut self, time: Duration) {
        if self.process().is_some() {
            self.deadline += time;
            self.run_until(Instant::now() + time, |bench| bench.death().is_some());
        }
    }

    /// Starts the server again, if a command started it.
    ///
    /// # Errors
    ///
    /// Why it does not start.
    pub(super) fn restart(&mut self) -> io::Result<()> {
        let Some(started) = &mut self.started else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let restarted = started.restart();
        let is_interrupted = |e: &io::Error| e.kind() == io::ErrorKind::Interrupted;
        self.is_interrupted |= restarted.as_ref().is_err_and(is_interrupted);
        restarted
    }

    /// The peer behind an id, which is valid until the case is over.
    pub(super) fn peer(&mut self, id: PeerId) -> &mut Peer {
        match self.reactor.get_mut(id.0) {
            Some(Slot::Peer(peer)) => peer,
            _ => unreachable!("a case uses its own peers only, until it drops them"),
        }
    }

    /// Queues bytes to send.
    pub(super) fn send(&mut self, id: PeerId, bytes: &[u8]) {
        self.peer(id).send(bytes);
        self.reactor.requeue(id.0);
    }

    /// Ends this direction, once all is sent.
    pub(super) fn end(&mut self, id: PeerId) {
        self.peer(id).end();
        self.reactor.requeue(id.0);
    }

    /// Begins or ceases to read.
    pub(super) fn set_reading(&mut self, id: PeerId, is_reading: bool) {
        let what = if is_reading { "began to read" } else { "ceased to read" };
        self.peer(id).add(Moment::Did(what.into()), Instant::now());
        self.allow(id, if is_reading { usize::MAX } else { 0 });
    }

    /// Reads up to this many bytes, and no more.
    pub(super) fn allow(&mut self, id: PeerId, bytes: usize) {
        self.peer(id).allow(bytes);
        self.reactor.requeue(id.0);
    }

    /// Opens a UDP socket.
    ///
    /// # Errors
    ///
    /// If the system gives no further socket.
    pub(super) fn open_letterbox(&mut self, server: SocketAddr) -> Result<LetterboxId, Problem> {
        let refused = |e: io::Error| Problem::of(Symptom::NotConnected(reason(&e)));
        let letterbox = Box::new(Letterbox::new(server).map_err(refused)?);
        let token = self.reactor.insert(Slot::Letterbox(letterbox)).map_err(refused)?;
        self.letterboxes.push(LetterboxId(token));
        Ok(LetterboxId(token))
    }

    /// The UDP socket behind an id, which is valid until the case is over.
    pub(super) fn letterbox(&mut self, id: LetterboxId) -> &mut Letterbox {
        match self.reactor.get_mut(id.0) {
            Some(Slot::Letterbox(letterbox)) => letterbox,
            _ => unreachable!("a case uses its own sockets only"),
        }
    }

    /// Waits until `count` datagrams have come in all, or none comes for the patience.
    pub(super) fn await_datagrams(&mut self, id: LetterboxId, count: usize) {
        let end = Instant::now() + self.patience.min(DATAGRAM_PATIENCE);
        self.run_until(end, |bench| {
            let letterbox = bench.letterbox(id);
            letterbox.received.len() >= count || letterbox.refused.is_some()
        });
    }

    /// Closes a connection, at once.
    pub(super) fn drop_peer(&mut self, id: PeerId) {
        self.peers.retain(|peer| *peer != id);
        self.reactor.remove(id.0);
    }

    /// The connections that are there.
    pub(super) fn peers(&self) -> Vec<PeerId> {
        self.peers.clone()
    }

    /// Closes all connections but one.
    pub(super) fn drop_all_but(&mut self, id: PeerId) {
        for other in self.peers.clone() {
            if other != id {
                self.drop_peer(other);
            }
        }
    }

    /// Closes a connection by a reset.
    pub(super) fn reset(&mut self, id: PeerId) {
        self.peer(id).socket.reset_on_close();
        self.drop_peer(id);
    }

    /// Closes all connections. The case is over.
    pub(super) fn clear(&mut self) {
        for id in std::mem::take(&mut self.peers) {
            self.reactor.remove(id.0);
        }
        for id in std::mem::take(&mut self.letterboxes) {
            self.reactor.remove(id.0);
        }
    }
}

/// How to check a server.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) patience: Duration,
    pub(super) profile: Profile,
    pub(super) seed: u64,
    pub(super) recording: Recording,
}

/// The signals outlive the bench.
impl Drop for Bench<'_> {
    fn drop(&mut self) {
        drop(self.reactor.remove(self.signals));
    }
}
