//! The echo server: connections and reactor put together, with the limits that keep them civil.
//!
//! [`Server::turn`] is the whole of it: deal with what is ready, look at the deadlines, wait. Nothing
//! in here reads a clock or knows a real socket: the time is a parameter, and what it accepts from is
//! a type parameter, so a simulation runs the very same code.

use std::io;
use std::time::Instant;

use mio::event::Source;
use mio::{Interest, Registry, Token};
use signal_hook::consts::SIGHUP;
use signal_hook_mio::v1_0::Signals;

use crate::conn::{Echo, Turn};
use crate::net::{Endpoint, Listen, Stream, delegate_source};
use crate::observe::{Closed, Event, Observer, Refusal};
use crate::reactor::{Reactor, Ready};

use accept::{Acceptor, Next};
use connection::{Connection, Shared};
use deadlines::{Deadlines, Expiry, ServedClock};
use limits::{Admission, PendingLimit};
use stop::Life;

pub use limits::Config;

mod accept;
mod connection;
mod deadlines;
mod limits;
mod stop;

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
enum Slot<L: Listen> {
    Listener(Acceptor<L>),
    Peer(Connection<L::Stream>),
    Signals(Signals),
}

/// An echo server on everything that was added to it.
pub struct Server<L: Listen, O> {
    config: Config,
    reactor: Reactor<Slot<L>>,
    /// What the last wait found.
    ready: Vec<Ready>,
    listeners: Vec<Token>,
    shared: Shared<O>,
    admission: Admission,
    clock: ServedClock,
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
            reactor: Reactor::new()?,
            ready: Vec::new(),
            listeners: Vec::new(),
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

    /// Says that a source is ready, for those that no poll tells of: the next turn deals with it.
    pub fn wake(&mut self, ready: Ready) {
        self.reactor.report(ready);
    }

    /// Stops in order at the first of these signals, and at once at the second, if that is not SIGHUP.
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
    #[inline(never)]
    pub fn turn(&mut self, now: Instant) -> io::Result<Flow> {
        self.shared.now = self.clock.served(now);
        let ready = std::mem::take(&mut self.ready);
        if !ready.is_empty() {
            self.busy = self.shared.now;
        }
        for ready in &ready {
            self.attend(*ready);
        }
        self.ready = ready;
        self.resume_accepting();
        self.sweep();
        if let Some(end) = self.approach_end() {
            return Ok(end);
        }
        let timer = self.next_timer();
        self.reactor.wait(self.clock.patience(timer), &mut self.ready)?;
        Ok(Flow::Continue)
    }

    #[inline(always)]
    fn attend(&mut self, Ready { token, special }: Ready) {
        if let Some(Slot::Peer(connection)) = self.reactor.get_mut(token) {
            let held = connection.echo.held_bytes();
            match connection.drive(special, &mut self.shared) {
                Ok(Turn::Wait) if connection.echo.held_bytes() == held => {}
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
            Some(Slot::Signals(signals)) => {
                for signal in signals.pending().collect::<Vec<_>>() {
                    // A terminal that closes may say so twice, which is not to press anybody.
                    if signal != SIGHUP || self.life == Life::Serving {
                        self.stop();
                    }
                }
            }
            // It was removed since the wait.
            Some(Slot::Peer(_)) | None => {}
        }
    }

    /// Does what a connection wants done after its turn, before which it held so many bytes. Out of line:
    /// mostly there is nothing to do.
    #[inline(never)]
    fn follow_up(&mut self, token: Token, held: usize, turn: io::Result<Turn>) {
        if let Some(Slot::Peer(connection)) = self.reactor.get_mut(token) {
            connection.hold(held, &mut self.shared);
        }
        match turn {
            Ok(Turn::Wait) => {}
            Ok(Turn::Again) => self.reactor.again(token),
            Ok(Turn::Shut) => {
                self.say_goodbye(token);
                self.reactor.again(token);
            }
            Ok(Turn::Done) => {
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
        if let Some((at, _)) = self.shared.deadlines.of(&connection.echo, connection.active) {
            self.shared.deadlines.note(at);
        }
    }

    fn accept(&mut self, token: Token) {
        let (mut is_fruitless, mut fault) = (true, None);
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(Slot::Listener(acceptor)) = self.reactor.get_mut(token) else { return };
            match acceptor.next(self.shared.now) {
                Next::Connection(stream, peer) => {
                    is_fruitless = false;
                    self.admit(stream, peer);
                }
                Next::NotThisOne(e) => fault = Some(e),
                Next::NoMore => return,
            }
        }
        match (self.reactor.get_mut(token), fault) {
            // One after the other, and nobody between them: that is no longer the fault of each.
            (Some(Slot::Listener(acceptor)), Some(e)) if is_fruitless => {
                acceptor.rest(&e, self.shared.now)
            }
            _ => self.reactor.again(token),
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
            timed_out: false,
        };
        match self.reactor.insert(Slot::Peer(connection)) {
            Ok(_) => self.shared.observer.observe(&peer, Event::Accepted),
            Err(_) => {
                self.admission.release(&peer);
                self.shared.observer.observe(&peer, Event::Refused(Refusal::Unwatchable));
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
        self.shared.pending.hold(echo.held_bytes(), 0);
        self.admission.release(&peer);
        self.shared.observer.observe(&peer, Event::Closed(&why));
        // Its descriptor may be just what accepting was short of.
        for token in &self.listeners {
            if let Some(Slot::Listener(acceptor)) = self.reactor.get_mut(*token) {
                acceptor.cut_rest_short(self.shared.now);
            }
        }
    }

    /// Tries again to accept where it is time, since there may be no edge to say so.
    fn resume_accepting(&mut self) {
        for token in &self.listeners {
            if retry_at(&mut self.reactor, *token).is_some_and(|at| at <= self.shared.now) {
                self.reactor.again(*token);
            }
        }
    }

    /// Acts on whatever has passed its deadline, in slices, so that a great many connections do not
    /// hold a turn up.
    fn sweep(&mut self) {
        let now = self.shared.now;
        let Some(slice) = self.shared.deadlines.slice(self.reactor.token_bound(), now) else {
            return;
        };
        for token in slice.map(Token) {
            let Some(Slot::Peer(connection)) = self.reactor.get_mut(token) else { continue };
            match self.shared.deadlines.of(&connection.echo, connection.active) {
                Some((at, _)) if at > now => self.shared.deadlines.note(at),
                Some((_, Expiry::Close(why))) => self.close(token, why),
                Some((_, Expiry::Quiet)) => self.finish(token),
                Some((_, Expiry::Idle)) => {
                    connection.timed_out = true;
                    self.finish(token);
                }
                None => {}
            }
        }
    }

    /// When the next turn must be taken even if nothing becomes ready.
    fn next_timer(&mut self) -> Option<Instant> {
        let drain = match self.life {
            Life::Draining { finish_at, .. } => Some(finish_at),
            Life::Finishing { until } => Some(until),
            Life::Serving | Life::Aborted => None,
        };
        let sweep =
            (self.admission.connections() > 0).then(|| self.shared.deadlines.next()).flatten();
        let spin = self
            .config
            .spin
            .filter(|spin| self.shared.now < self.busy + *spin)
            .map(|_| self.shared.now);
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
