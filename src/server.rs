//! The echo server: connections and reactor put together, with the limits that keep them civil.
//!
//! [`Server::turn`] is the whole of it: deal with what is ready, look at the deadlines, wait. Nothing
//! in here reads a clock or knows a real socket: the time is a parameter, and what it accepts from is
//! a type parameter, so a simulation runs the very same code.

use std::io::{self, ErrorKind};
use std::time::Instant;

use mio::event::Source;
use mio::{Interest, Registry, Token};
use signal_hook_mio::v1_0::Signals;

use crate::conn::{Echo, Next};
use crate::net::{Endpoint, Listen, Stream, delegate_source};
use crate::observe::{Closed, Event, Observer, Refusal};
use crate::reactor::{READY_CAPACITY, Reactor, Ready};

use accept::{Accept, Acceptor};
use clock::ServedClock;
use connection::{Connection, Shared};
use deadlines::Deadlines;
use limits::{Admission, PendingLimit};
use stop::Life;

pub use limits::Config;

mod accept;
mod clock;
mod connection;
mod deadlines;
mod limits;
mod stop;
mod sweep;

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

/// What the reactor watches.
///
/// With a tag of its own, a connection is told from the rest by one comparison. Without, the compiler would hide the
/// tag in a field of the largest, which takes several instructions of each echo to find there.
#[repr(u8)]
enum Slot<L: Listen> {
    Listener(Acceptor<L>),
    Peer(Connection<L::Stream>),
    Signals(Signals),
}

/// An echo server on everything that was added to it.
pub struct Server<L: Listen, O> {
    config: Config,
    reactor: Reactor<Slot<L>>,
    /// What the last wait found, and how much of it was dealt with since.
    ready: Vec<Ready>,
    attended: usize,
    listeners: Vec<Token>,
    /// Why a listener is gone for good, which ends the server.
    lost_listener: Option<io::Error>,
    shared: Shared<O>,
    admission: Admission,
    clock: ServedClock,
    life: Life,
    /// When to read the signals that have come, and where.
    signalled: Option<(Instant, Token)>,
    /// When something was last ready.
    busy: Instant,
    /// When the last wait ended: what happened before is in its events.
    polled: Instant,
}

impl<L: Listen, O: Observer> Server<L, O> {
    /// A server that does not listen anywhere yet.
    ///
    /// # Errors
    ///
    /// Where the system gives no poll descriptor.
    pub fn new(config: Config, observer: O, now: Instant) -> io::Result<Self> {
        Ok(Self {
            reactor: Reactor::new()?,
            ready: Vec::with_capacity(READY_CAPACITY),
            attended: 0,
            listeners: Vec::new(),
            lost_listener: None,
            shared: Shared {
                scratch: vec![0; config.buffer_bytes].into(),
                pending: PendingLimit::new(&config),
                deadlines: Deadlines::new(&config, now),
                observer,
                now,
            },
            admission: Admission::new(&config),
            clock: ServedClock::new(now),
            life: Life::Serving,
            signalled: None,
            busy: now,
            polled: now,
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

    /// Says that a source is ready, for those that no poll tells of: the next turn deals with it.
    pub fn wake(&mut self, ready: Ready) {
        self.reactor.inject(ready);
    }

    /// Stops in order at the first of these signals, and at once at the second, if that is not SIGHUP.
    ///
    /// # Errors
    ///
    /// Where the system cannot watch them.
    pub fn obey(&mut self, signals: Signals) -> io::Result<()> {
        self.reactor.insert(Slot::Signals(signals)).map(drop)
    }

    /// Deals with what the last turn's wait found ready, then with deadlines, then waits. While turns are slow,
    /// each call deals with one thing only, and a call of its own waits.
    ///
    /// `now` must not go backwards. Real servers pass `Instant::now()`.
    ///
    /// # Errors
    ///
    /// Where polling itself fails, or a listener was gone for good and the server has stopped for it. What goes wrong
    /// with one connection ends that one alone.
    #[inline(never)]
    pub fn turn(&mut self, now: Instant) -> io::Result<Flow> {
        self.shared.now = self.clock.served(now);
        if !self.is_mid_turn() {
            self.polled = self.shared.now;
        }
        let is_piece = self.attend_ready() && self.clock.is_watching();
        if !is_piece {
            self.resume_accepting();
            self.sweep();
        }
        self.read_signals();
        if let Some(end) = self.approach_end() {
            return self.lost_listener.take().map_or(Ok(end), Err);
        }
        if is_piece {
            self.clock.works();
            return Ok(Flow::Continue);
        }
        let timer = self.next_timer();
        self.attended = 0;
        self.reactor.wait(self.clock.waits(timer, self.polled), &mut self.ready)?;
        Ok(Flow::Continue)
    }

    /// Whether the last [`turn`](Self::turn) was but a piece of one, and did not wait.
    pub fn is_mid_turn(&self) -> bool {
        self.attended > 0
    }

    /// Deals with what is ready: with all of it, or with one thing while turns are slow.
    #[inline(always)]
    fn attend_ready(&mut self) -> bool {
        let ready = std::mem::take(&mut self.ready);
        let rest = &ready[self.attended..];
        let part = if self.clock.is_watching() { &rest[..rest.len().min(1)] } else { rest };
        let has_attended = !part.is_empty();
        if has_attended {
            self.busy = self.shared.now;
        }
        for ready in part {
            self.attend(*ready);
        }
        self.attended += part.len();
        self.ready = ready;
        has_attended
    }

    #[inline(always)]
    fn attend(&mut self, Ready { token, exceptional }: Ready) {
        if let Some(Slot::Peer(connection)) = self.reactor.get_mut(token) {
            let held = connection.echo.held_bytes();
            match connection.drive(exceptional, &mut self.shared) {
                Ok(Next::Wait) if connection.echo.held_bytes() == held => {}
                turn => self.follow_up(token, held, turn),
            }
        } else {
            self.attend_other(token);
        }
    }

    #[inline(never)]
    fn attend_other(&mut self, token: Token) {
        match self.reactor.get_mut(token) {
            Some(Slot::Listener(_)) => self.accept(token),
            Some(Slot::Signals(_)) => self.expect_signals(token),
            // It was removed since the wait.
            Some(Slot::Peer(_)) | None => {}
        }
    }

    /// Does what a connection wants done after its turn, before which it held so many bytes. Out of line:
    /// mostly there is nothing to do.
    #[inline(never)]
    fn follow_up(&mut self, token: Token, held: usize, turn: io::Result<Next>) {
        if let Some(Slot::Peer(connection)) = self.reactor.get_mut(token) {
            connection.hold(held, &mut self.shared);
        }
        match turn {
            Ok(Next::Wait) => {}
            Ok(Next::Yield) => self.reactor.requeue(token),
            Ok(Next::ShutdownWrite) => {
                self.say_goodbye(token);
                self.reactor.requeue(token);
            }
            Ok(Next::Close) => {
                self.say_goodbye(token);
                self.close(token, Closed::Finished);
            }
            Err(e) => self.close(token, Closed::Failed(e)),
        }
    }

    /// Tells a peer that it has been sent everything.
    fn say_goodbye(&mut self, token: Token) {
        let Some(Slot::Peer(connection)) = self.reactor.get_mut(token) else { return };
        // If that fails, the connection is gone already, as the next read will find.
        let _ = connection.stream.shutdown_write();
        connection.active = self.shared.now;
        connection.note_deadline(&mut self.shared);
    }

    fn accept(&mut self, token: Token) {
        let (mut is_fruitless, mut fault) = (true, None);
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(Slot::Listener(acceptor)) = self.reactor.get_mut(token) else { return };
            match acceptor.next(self.shared.now) {
                Accept::Connection(stream, peer) => {
                    is_fruitless = false;
                    self.admit(stream, peer);
                }
                Accept::PerConnectionError(e) => fault = Some(e),
                Accept::BackedOff => return,
                Accept::ListenerGone(e) => return self.lost_listener = Some(e),
            }
        }
        match (self.reactor.get_mut(token), fault) {
            // One after the other, and nobody between them: that is no longer the fault of each.
            (Some(Slot::Listener(acceptor)), Some(e)) if is_fruitless => {
                acceptor.rest(&e, self.shared.now)
            }
            _ => self.reactor.requeue(token),
        }
    }

    /// Serves a connection, or refuses it by dropping it.
    fn admit(&mut self, stream: L::Stream, peer: Endpoint) {
        if let Err(why) = self.admission.admit(&peer) {
            return self.shared.observer.observe(&peer, Event::Refused(why));
        }
        let echo = if self.config.once { Echo::once() } else { Echo::new() };
        let connection = Connection {
            stream,
            echo,
            peer: peer.clone(),
            active: self.shared.now,
            left: 0,
            timed_out: false,
        };
        match self.reactor.insert(Slot::Peer(connection)) {
            Ok(_) => self.shared.observer.observe(&peer, Event::Accepted),
            Err(e) => {
                let why = match e.kind() {
                    ErrorKind::OutOfMemory => Refusal::NoMemory,
                    _ => Refusal::Unwatchable,
                };
                self.admission.release(&peer);
                self.shared.observer.observe(&peer, Event::Refused(why));
            }
        }
    }

    fn close(&mut self, token: Token, why: Closed) {
        let Some(Slot::Peer(connection)) = self.reactor.remove(token) else { return };
        let Connection { stream, echo, peer, timed_out, .. } = connection;
        let why = match why {
            Closed::Parted | Closed::Finished if timed_out => Closed::Idle,
            why => why,
        };
        drop(stream);
        let is_cut = echo.is_short() && why.is_by_server();
        self.shared.pending.hold(echo.held_bytes(), 0);
        // Before anything is said about it, which may need memory.
        drop(echo);
        self.admission.release(&peer);
        self.shared.observer.observe(&peer, Event::Closed { why: &why, is_cut });
        // Its descriptor may be just what accepting was short of.
        for token in &self.listeners {
            if let Some(Slot::Listener(acceptor)) = self.reactor.get_mut(*token) {
                acceptor.cut_rest_short(self.shared.now);
            }
        }
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

#[cfg(test)]
mod tests;
