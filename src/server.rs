//! The echo server: one event loop over listeners, connections and services.
//!
//! [`Server::run`] is the page to read first: wait, look at the clock, handle each event, handle the timeouts, look at the
//! outcome. Nothing else blocks or reads a clock: the time is a parameter. What the server accepts from is a type
//! parameter, so a simulator calls the same verbs on listeners, streams and a clock that are made up.
//!
//! # Example
//!
//! ```no_run
//! use std::time::Instant;
//! use resound::net::{Addr, Listener, ListenOptions};
//! use resound::observe::Counters;
//! use resound::server::{Config, Server};
//!
//! let mut counters = Counters::default();
//! let mut server = Server::new(Config::default(), &mut counters, Instant::now())?;
//! let endpoints = "127.0.0.1:7007".parse::<Addr>()?.resolve()?;
//! let (listeners, _) = Listener::bind_all(&endpoints, |_| ListenOptions::default())?;
//! server.listen(listeners.into_iter().zip(endpoints))?;
//! server.run()?;
//! println!("{counters}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::io;
use std::time::Instant;

use mio::event::Source;
use mio::{Interest, Registry, Token};

use crate::conn::Next;
use crate::net::{Listen, Stream, delegate_source};
use crate::observe::{At, Closed, ConnId, Event, Expiry, Observer};
use crate::reactor::{READY_CAPACITY, Reactor, Ready};

use accept::Listening;
use clock::ServedClock;
use connection::{Connection, Shared};
use deadlines::Deadlines;
use gate::Gate;
use limits::{Admission, PendingLimit};
use proxy::Proxied;
use service::Services;
use shutdown::Shutdown;
use spin::Spin;

pub use accept::ListenAt;
pub use config::Config;
pub use metrics::Metrics;
pub use notify::Notify;
pub use service::{Action, Context, Service, Stage};
pub use signals::StopOnSignals;

mod config;
mod limits;
mod rate;
mod source_rates;
mod gate;
mod clock;
mod spin;
mod turns;
mod deadlines;
mod connection;
mod proxy;
mod accept;
mod timeouts;
mod waits;
mod shutdown;
mod service;
mod signals;
mod udp;
mod metrics;
mod notify;

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was asked to stop. Its connections finished, or the drain timeout passed.
    Stopped,
    /// It was asked to stop twice.
    Aborted,
}

/// What the reactor polls.
///
/// A tag of its own tells a connection from the rest by one comparison. Without it, the compiler hides the tag in a
/// field of the largest variant, where each echo needs several instructions to find it.
#[repr(u8)]
enum Slot<L: Listen> {
    Listener(L),
    Connection(Connection<L::Stream>),
    Service(Box<dyn Service>),
    Proxied(Proxied<L::Stream>),
}

/// An echo server on everything that was added to it.
pub struct Server<L: Listen, O> {
    config: Config,
    reactor: Reactor<Slot<L>>,
    listeners: Vec<Listening>,
    /// Why a listener is gone for good. The server ends with it.
    lost_listener: Option<io::Error>,
    services: Services,
    /// Whether it has UDP sockets.
    answers_datagrams: bool,
    gate: Gate,
    admission: Admission,
    last_id: ConnId,
    shared: Shared<O>,
    clock: ServedClock,
    shutdown: Shutdown,
    spin: Option<Spin>,
    /// The number of turns in which something was ready, and whether the turn under way is timed.
    turn: u32,
    is_timed: bool,
    /// When the last wait ended: what happened before is in its events.
    woke: Instant,
}

impl<L: Listen, O: Observer> Server<L, O> {
    /// A server that does not listen anywhere yet.
    ///
    /// # Errors
    ///
    /// If the system gives no poll descriptor: epoll_create1(2).
    pub fn new(config: Config, observer: O, now: Instant) -> io::Result<Self> {
        Ok(Self {
            reactor: Reactor::new()?,
            listeners: Vec::new(),
            lost_listener: None,
            services: Services::default(),
            answers_datagrams: false,
            gate: Gate::new(&config, now),
            admission: Admission::new(&config),
            last_id: ConnId::default(),
            shared: Shared {
                scratch: vec![0; config.buffer_bytes].into(),
                pending: PendingLimit::new(&config),
                deadlines: Deadlines::new(&config, now),
                observer,
            },
            clock: ServedClock::new(now),
            shutdown: Shutdown::Serving,
            spin: config.spin.map(|time| Spin::new(time, now)),
            turn: 0,
            is_timed: false,
            woke: now,
            config,
        })
    }

    /// Serves until it is [stopped](Self::stop), by a [service](Service) for example.
    ///
    /// # Errors
    ///
    /// If polling itself fails, or if a listener was lost and the server has stopped for it. What goes wrong with one
    /// connection ends that one alone.
    pub fn run(&mut self) -> io::Result<Outcome> {
        let mut ready = Vec::with_capacity(READY_CAPACITY);
        self.advance(Instant::now()); // It may have taken a while to get here.
        loop {
            if let Some(outcome) = self.take_outcome() {
                return outcome;
            }
            let timeout = self.poll_timeout();
            self.wait(timeout, &mut ready)?; // The only call that blocks.
            let began = Instant::now();
            let now = self.begin_turn(began, ready.len());
            let now = self.handle_events(&ready, now);
            self.handle_timeouts(now);
            if self.is_timed_turn() {
                self.end_turn(began.elapsed());
            }
        }
    }

    /// A wait has ended at `now`, on the caller's clock, with this many events. Returns the time of the turn: the caller's,
    /// less the time in which the server was suspended. `now` must not go backwards.
    pub fn begin_turn(&mut self, now: Instant, ready: usize) -> Instant {
        self.woke = self.clock.advance(now);
        self.is_timed = ready > 0 && self.count_turn();
        self.shared.observer.observe(At::server(self.woke), Event::Woke { ready });
        self.woke
    }

    /// Whether a turn was late not long ago. Then the caller looks at the clock after each event, and
    /// [advances](Self::advance) the time: that shows whether the work is slow or the server was suspended.
    pub fn is_slow(&self) -> bool {
        self.clock.is_watching()
    }

    #[inline(never)] // On its own, the loop keeps more in registers.
    fn handle_events(&mut self, ready: &[Ready], now: Instant) -> Instant {
        if self.is_slow() {
            return self.handle_slowly(ready, now);
        }
        for event in ready {
            self.handle_event(*event, now);
        }
        now
    }

    /// Handles each event, and looks at the clock after it. Only slow turns need that: see [`is_slow`](Self::is_slow).
    #[cold]
    fn handle_slowly(&mut self, ready: &[Ready], mut now: Instant) -> Instant {
        for event in ready {
            self.handle_event(*event, now);
            now = self.advance(Instant::now());
        }
        now
    }

    /// The caller's clock shows `now`, within a turn. Returns the time from here on. Signals and the steps of stopping do
    /// not wait for the end of a slow turn.
    #[cold]
    pub fn advance(&mut self, now: Instant) -> Instant {
        let now = self.clock.advance(now);
        self.serve_due();
        self.advance_shutdown(now);
        now
    }

    /// Handles an event. For a connection that means: drive both directions.
    #[inline(always)]
    pub fn handle_event(&mut self, Ready { token, exceptional }: Ready, now: Instant) {
        if let Some(Slot::Connection(connection)) = self.reactor.get_mut(token) {
            // Compiled twice: if the connection just echoes, the compiler leaves out all the rest.
            let next = if connection.echo.is_echoing_freely() {
                connection.drive(exceptional, now, &mut self.shared)
            } else {
                connection.drive_apart(exceptional, now, &mut self.shared)
            };
            match next {
                Ok(Next::Wait) => {}
                next => self.apply(token, next, now),
            }
        } else {
            self.handle_control(token, now);
        }
    }

    /// Handles an event that is not a connection's, or that is stale: its source was removed since the wait.
    #[inline(never)]
    fn handle_control(&mut self, token: Token, now: Instant) {
        match self.reactor.get_mut(token) {
            Some(Slot::Listener(_)) => self.accept(token, now),
            Some(Slot::Service(_)) => self.serve(token),
            Some(Slot::Proxied(_)) => self.read_header(token, now),
            Some(Slot::Connection(_)) | None => {}
        }
    }

    /// Does what a drive asks for.
    #[inline(never)]
    fn apply(&mut self, token: Token, next: io::Result<Next>, now: Instant) {
        match next {
            Ok(Next::Wait) => {}
            Ok(Next::Yield) => {
                self.report(token, Event::Yielded, now);
                self.reactor.requeue(token);
            }
            Ok(Next::ShutdownWrite) => {
                self.shutdown_write(token, now);
                self.reactor.requeue(token);
            }
            Ok(Next::Close) => {
                self.shutdown_write(token, now);
                self.close(token, Closed::Finished, now);
            }
            Err(e) => self.close(token, Closed::Failed(e), now),
        }
    }

    #[track_caller]
    fn report(&mut self, token: Token, event: Event<'_>, now: Instant) {
        if let Some(Slot::Connection(connection)) = self.reactor.get_mut(token) {
            connection.report(event, now, &mut self.shared.observer);
        }
    }

    /// Says to a peer that it was sent everything.
    fn shutdown_write(&mut self, token: Token, now: Instant) {
        let Some(Slot::Connection(connection)) = self.reactor.get_mut(token) else { return };
        // If this fails, the connection is gone already, as the next read finds.
        let _ = connection.stream.shutdown_write();
        connection.last_active = now;
        connection.note_deadline(&mut self.shared.deadlines);
        connection.report(Event::HalfClosed, now, &mut self.shared.observer);
    }

    #[track_caller]
    fn close(&mut self, token: Token, why: Closed, now: Instant) {
        let Some(Slot::Connection(connection)) = self.reactor.remove(token) else { return };
        let Connection { id, stream, echo, peer, permit, expired, .. } = connection;
        let why = match why {
            Closed::ByServer | Closed::Finished if expired == Some(Expiry::Idle) => Closed::Idle,
            why => why,
        };
        drop(stream);
        let is_cut = echo.is_short() && why.is_by_server();
        self.shared.pending.account(echo.buffered_bytes(), 0);
        // Before the observer, which may need memory.
        drop(echo);
        self.admission.release(permit);
        let event = Event::Closed { why: &why, is_cut };
        self.shared.observer.observe(At::conn(now, id, &peer), event);
        self.end_backoff(now);
    }
}

impl<L: Listen> Slot<L> {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Listener(listener) => listener,
            Self::Connection(connection) => &mut connection.stream,
            Self::Service(service) => &mut **service,
            Self::Proxied(proxied) => &mut proxied.stream,
        }
    }
}

delegate_source!(Slot<L>, L: Listen);

#[cfg(test)]
mod tests;
