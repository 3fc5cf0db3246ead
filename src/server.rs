//! The echo server: connections and reactor put together, with the limits that keep them civil.
//!
//! [`Server::turn`] is the whole of it: deal with what is ready, look at the deadlines, wait. Nothing
//! in here reads a clock or knows a real socket: the time is a parameter, and what it accepts from is
//! a type parameter, so a simulation runs the very same code.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Instant;

use log::info;
use mio::event::Source;
use mio::{Interest, Registry, Token};
use signal_hook_mio::v1_0::Signals;

use crate::conn::{Echo, Readiness, Turn};
use crate::net::{Endpoint, Listen, Stream, delegate_source};
use crate::observe::{Closed, Event, Observer};
use crate::reactor::{Reactor, Ready};

use accept::{Acceptor, Next};
use deadlines::{Deadlines, ServedClock};
use limits::{Admission, PendingLimit};

pub use limits::Config;

mod accept;
mod deadlines;
mod limits;

/// Connections taken off one accept queue in one turn. A flood of new connections then holds the
/// established ones up for well under a millisecond, at some 5 µs each.
const ACCEPTS_PER_TURN: usize = 64;

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// Take another turn.
    Continue,
    /// The server was told to stop, and has: in order, or because the drain timeout had passed.
    Stopped,
    /// The server was told to stop at once.
    Aborted,
}

/// Where the server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Serving,
    /// Accepting no more, and waiting for what is pending until the given time.
    Draining(Instant),
    Aborted,
}

/// What the reactor watches.
enum Slot<L: Listen> {
    Listener(Acceptor<L>),
    Peer(Connection<L::Stream>),
    Signals(Signals),
}

/// A connection, and what the server must know of it beyond its echo.
struct Connection<S> {
    stream: S,
    echo: Echo,
    peer: Endpoint,
    /// When bytes last moved.
    active: Instant,
}

/// An echo server on everything that was added to it.
pub struct Server<L: Listen, O> {
    config: Config,
    observer: O,
    reactor: Reactor<Slot<L>>,
    /// What the last wait found.
    ready: Vec<Ready>,
    listeners: Vec<Token>,
    /// Where bytes rest between a read and the write that follows, whosesoever they are.
    scratch: Box<[u8]>,
    pending: PendingLimit,
    admission: Admission,
    clock: ServedClock,
    deadlines: Deadlines,
    life: Life,
    /// When something was last ready.
    busy: Instant,
}

impl<L: Listen, O: Observer> Server<L, O> {
    /// A server that does not listen anywhere yet.
    ///
    /// # Errors
    ///
    /// Where the system gives no poll descriptor.
    pub fn new(config: Config, observer: O, now: Instant) -> io::Result<Self> {
        Ok(Self {
            observer,
            reactor: Reactor::new()?,
            ready: Vec::new(),
            listeners: Vec::new(),
            scratch: vec![0; config.buffer_bytes].into(),
            pending: PendingLimit::new(&config),
            admission: Admission::new(&config),
            clock: ServedClock::new(now),
            deadlines: Deadlines::new(&config, now),
            life: Life::Serving,
            busy: now,
            config,
        })
    }

    /// Accepts from `listener` too, which the log calls `name`.
    ///
    /// # Errors
    ///
    /// Where the system cannot watch it.
    pub fn listen(&mut self, listener: L, name: String) -> io::Result<()> {
        let acceptor = Acceptor::new(listener, name);
        self.listeners.push(self.reactor.insert(Slot::Listener(acceptor))?);
        Ok(())
    }

    /// Stops in order at the first of these signals, and at once at the second.
    ///
    /// # Errors
    ///
    /// Where the system cannot watch them.
    pub fn obey(&mut self, signals: Signals) -> io::Result<()> {
        self.reactor.insert(Slot::Signals(signals)).map(drop)
    }

    /// Deals with what the last turn's wait found ready, then with deadlines, then waits.
    ///
    /// `now` must not go backwards. Real servers pass `Instant::now()`.
    ///
    /// # Errors
    ///
    /// Only where polling itself fails. What goes wrong with one connection ends that one alone.
    pub fn turn(&mut self, now: Instant) -> io::Result<Flow> {
        let now = self.clock.served(now);
        let ready = std::mem::take(&mut self.ready);
        if !ready.is_empty() {
            self.busy = now;
        }
        for ready in &ready {
            self.attend(*ready, now);
        }
        self.ready = ready;
        self.resume_accepting(now);
        self.sweep(now);
        match self.life {
            Life::Draining(until) if until <= now => self.cut_all(now),
            Life::Aborted => self.cut_all(now),
            Life::Serving | Life::Draining(_) => {}
        }
        if let Some(end) = self.end() {
            return Ok(end);
        }
        let timer = self.next_timer(now);
        self.reactor.wait(self.clock.patience(timer), &mut self.ready)?;
        Ok(Flow::Continue)
    }

    fn end(&self) -> Option<Flow> {
        match self.life {
            Life::Aborted => Some(Flow::Aborted),
            Life::Draining(_) if self.admission.connections() == 0 => Some(Flow::Stopped),
            Life::Serving | Life::Draining(_) => None,
        }
    }

    /// Begins to stop: accepts no more, echoes what has arrived, and says goodbye to each peer, for no
    /// longer than the drain timeout. Asked again, it gives up at once.
    pub fn stop(&mut self, now: Instant) {
        if self.life != Life::Serving {
            self.life = Life::Aborted;
            return;
        }
        for token in self.listeners.drain(..) {
            self.reactor.remove(token);
        }
        info!("stopping: {} connections to finish", self.admission.connections());
        self.life = Life::Draining(now + self.config.drain_timeout);
        self.deadlines.allow_lingering();
        for key in 0..self.reactor.token_bound() {
            if let Some(Slot::Peer(connection)) = self.reactor.get_mut(Token(key)) {
                connection.echo.finish();
                self.reactor.again(Token(key));
            }
        }
    }

    fn attend(&mut self, ready: Ready, now: Instant) {
        match self.reactor.get_mut(ready.token) {
            Some(Slot::Peer(_)) => self.drive(ready, now),
            Some(Slot::Listener(_)) => self.accept(ready.token, now),
            Some(Slot::Signals(signals)) => {
                for _ in 0..signals.pending().count() {
                    self.stop(now);
                }
            }
            // It was removed since the wait.
            None => {}
        }
    }

    fn drive(&mut self, ready: Ready, now: Instant) {
        let Some(Slot::Peer(connection)) = self.reactor.get_mut(ready.token) else { return };
        let Connection { stream, echo, peer, active } = connection;
        let plain = !ready.special && stream.short_read_drains();
        let hint = if plain { Readiness::ShortReadDrains } else { Readiness::ReadOn };
        let held = echo.held_bytes();
        let room = self.pending.room();
        let mut tap = Tap { io: stream, peer, observer: &mut self.observer, moved: false };
        let turn = echo.drive(&mut tap, hint, &mut self.scratch[..room]);
        // A peer that talks on after the goodbye is not to put it off.
        if tap.moved && !echo.is_lingering() {
            *active = now;
        }
        self.pending.replace(held, echo.held_bytes());
        match turn {
            Ok(Turn::Wait) => {}
            Ok(Turn::Again) => self.reactor.again(ready.token),
            Ok(Turn::Shut) => {
                // If that fails the connection is gone, as the next read will find.
                let _ = stream.shutdown_write();
                if let Some((at, _)) = self.deadlines.of(echo, *active) {
                    self.deadlines.note(at);
                }
                self.reactor.again(ready.token);
            }
            Ok(Turn::Done) if echo.is_lingering() => self.close(ready.token, Closed::Parted, now),
            Ok(Turn::Done) => {
                let _ = stream.shutdown_write();
                self.close(ready.token, Closed::Finished, now);
            }
            Err(e) => self.close(ready.token, Closed::Failed(e), now),
        }
    }

    fn accept(&mut self, token: Token, now: Instant) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(Slot::Listener(acceptor)) = self.reactor.get_mut(token) else { return };
            match acceptor.next(now) {
                Next::Connection(stream, peer) => self.admit(stream, peer, now),
                Next::NotThisOne => {}
                Next::NoMore => return,
            }
        }
        self.reactor.again(token);
    }

    /// Serves a connection, or refuses it by dropping it.
    fn admit(&mut self, stream: L::Stream, peer: Endpoint, now: Instant) {
        if let Err(why) = self.admission.admit(&peer) {
            return self.observer.observe(&peer, Event::Refused(why));
        }
        self.observer.observe(&peer, Event::Accepted);
        let echo = if self.config.once { Echo::once() } else { Echo::new() };
        let connection = Connection { stream, echo, peer: peer.clone(), active: now };
        if let Err(e) = self.reactor.insert(Slot::Peer(connection)) {
            self.admission.release(&peer);
            self.observer.observe(&peer, Event::Closed(&Closed::Failed(e)));
        }
    }

    fn close(&mut self, token: Token, why: Closed, now: Instant) {
        let Some(Slot::Peer(Connection { echo, peer, .. })) = self.reactor.remove(token) else {
            return;
        };
        self.pending.replace(echo.held_bytes(), 0);
        self.admission.release(&peer);
        self.observer.observe(&peer, Event::Closed(&why));
        // Its descriptor may be just what accepting was short of.
        for token in &self.listeners {
            if let Some(Slot::Listener(acceptor)) = self.reactor.get_mut(*token) {
                acceptor.cut_rest_short(now);
            }
        }
    }

    /// Tries again to accept where it is time, since there may be no edge to say so.
    fn resume_accepting(&mut self, now: Instant) {
        for token in &self.listeners {
            if retry_at(&mut self.reactor, *token).is_some_and(|at| at <= now) {
                self.reactor.again(*token);
            }
        }
    }

    /// Closes whatever has passed its deadline, in slices, so that a great many connections do not
    /// hold a turn up.
    fn sweep(&mut self, now: Instant) {
        let Some(slice) = self.deadlines.slice(self.reactor.token_bound(), now) else { return };
        for token in slice.map(Token) {
            let Some(Slot::Peer(connection)) = self.reactor.get_mut(token) else { continue };
            match self.deadlines.of(&connection.echo, connection.active) {
                Some((at, why)) if at <= now => self.close(token, why, now),
                Some((at, _)) => self.deadlines.note(at),
                None => {}
            }
        }
    }

    fn cut_all(&mut self, now: Instant) {
        for key in 0..self.reactor.token_bound() {
            self.close(Token(key), Closed::Cut, now);
        }
    }

    /// When the next turn must be taken even if nothing becomes ready.
    fn next_timer(&mut self, now: Instant) -> Option<Instant> {
        let drain = match self.life {
            Life::Draining(until) => Some(until),
            Life::Serving | Life::Aborted => None,
        };
        let sweep = (self.admission.connections() > 0).then(|| self.deadlines.next()).flatten();
        let spin = self.config.spin.filter(|spin| now < self.busy + *spin).map(|_| now);
        let retry = self.listeners.iter().filter_map(|token| retry_at(&mut self.reactor, *token));
        [drain, sweep, spin].into_iter().flatten().chain(retry).min()
    }
}

/// When to try again to accept from a listener, if that went wrong.
fn retry_at<L: Listen>(reactor: &mut Reactor<Slot<L>>, listener: Token) -> Option<Instant> {
    match reactor.get_mut(listener) {
        Some(Slot::Listener(acceptor)) => acceptor.retry_at(),
        _ => None,
    }
}

/// A connection's stream, with everything that goes through it told to the observer.
struct Tap<'a, S, O> {
    io: &'a mut S,
    peer: &'a Endpoint,
    observer: &'a mut O,
    /// Whether any bytes went through.
    moved: bool,
}

impl<S: Read, O: Observer> Read for Tap<'_, S, O> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.io.read(buffer)?;
        if n > 0 {
            self.moved = true;
            self.observer.observe(self.peer, Event::Read(n));
        }
        Ok(n)
    }
}

impl<S: Write, O: Observer> Write for Tap<'_, S, O> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.io.write(bytes);
        match &written {
            Ok(n) => {
                self.moved = true;
                self.observer.observe(self.peer, Event::Wrote(*n));
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                self.observer.observe(self.peer, Event::Blocked);
            }
            Err(_) => {}
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.io.flush()
    }
}

impl<L: Listen> Slot<L> {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Listener(acceptor) => acceptor.source(),
            Self::Peer(connection) => &mut connection.stream,
            Self::Signals(signals) => signals,
        }
    }
}

delegate_source!(Slot<L>, L: Listen);
