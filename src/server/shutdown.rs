//! Stopping: announce it, close the listeners, let connections finish, then close those that are left.

use std::io;
use std::time::Instant;

use mio::Token;

use super::{Outcome, Server, Slot, Stage};
use crate::conn::Next;
use crate::net::Listen;
use crate::observe::{At, Closed, Event, Observer};

/// How far a server has stopped. Its deadlines are on the caller's clock: a program that stops a server relies on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shutdown {
    Serving,
    /// Accepts and echoes as before. A load balancer that asks a service learns that the server is about to stop.
    Delaying {
        drain_at: Instant,
    },
    /// Accepts no more, and echoes on while something moves. A peer that is sending does not know that the server
    /// wants to stop, and must not lose what is on its way.
    Draining {
        finish_at: Instant,
        until: Instant,
    },
    /// Shuts down each connection as soon as what has arrived is echoed.
    Finishing {
        until: Instant,
    },
    Aborted,
}

impl Shutdown {
    /// What services know of it.
    pub(super) fn stage(self) -> Stage {
        match self {
            Self::Serving => Stage::Serving,
            Self::Delaying { .. } => Stage::Leaving,
            Self::Draining { .. } | Self::Finishing { .. } | Self::Aborted => Stage::Draining,
        }
    }
}

impl<L: Listen, O: Observer> Server<L, O> {
    /// Begins to stop. For the [drain delay](super::Config::drain_delay), it only lets the services know, unless there
    /// is nothing left that it could accept from. Then it accepts no more, and ends each connection when nothing has
    /// moved on it for a moment, or when half of the drain timeout has passed and what has arrived is echoed. Called
    /// again, it stops at once.
    pub fn stop(&mut self) {
        match self.shutdown {
            Shutdown::Serving if self.config.drain_delay.is_zero() || !self.is_reachable() => {
                self.drain();
            }
            Shutdown::Serving => self.delay_drain(),
            _ => {
                self.close_listeners();
                self.shutdown = Shutdown::Aborted;
            }
        }
    }

    fn delay_drain(&mut self) {
        let delay = self.config.drain_delay;
        self.shutdown = Shutdown::Delaying { drain_at: self.clock.real() + delay };
        let at = At::server(self.clock.now());
        self.shared.observer.observe(at, Event::DrainDelayed { delay });
        self.notify_services();
    }

    fn drain(&mut self) {
        let (now, real) = (self.clock.now(), self.clock.real());
        self.stop_accepting(now);
        let (connections, timeout) = (self.admission.connections(), self.config.drain_timeout);
        let event = Event::Draining { connections, timeout };
        self.shared.observer.observe(At::server(now), event);
        self.shutdown = Shutdown::Draining { finish_at: real + timeout / 2, until: real + timeout };
        self.shared.deadlines.drain(now);
        self.notify_services();
    }

    /// Takes a server that is stopping a step further, if it is time.
    pub(super) fn advance_shutdown(&mut self, now: Instant) {
        let real = self.clock.real();
        match self.shutdown {
            Shutdown::Serving if self.lost_listener.is_some() => self.stop(),
            Shutdown::Delaying { drain_at } if drain_at <= real || !self.is_reachable() => {
                self.drain();
            }
            Shutdown::Draining { finish_at, until } if finish_at <= real => {
                self.shutdown = Shutdown::Finishing { until };
                self.each_connection(Self::finish, now);
            }
            Shutdown::Finishing { until } if until <= real => self.abort_connections(now),
            Shutdown::Aborted => self.abort_connections(now),
            _ => {}
        }
    }

    /// When [`advance_shutdown`](Self::advance_shutdown) has something to do, on the caller's clock.
    pub(super) fn shutdown_deadline(&self) -> Option<Instant> {
        match self.shutdown {
            Shutdown::Delaying { drain_at } => Some(drain_at),
            Shutdown::Draining { finish_at, .. } => Some(finish_at),
            Shutdown::Finishing { until } => Some(until),
            Shutdown::Aborted => Some(self.clock.real()),
            Shutdown::Serving => None,
        }
    }

    /// How the server ended, if it has. If it ended for the loss of a listener, the error says so, once.
    pub fn take_outcome(&mut self) -> Option<io::Result<Outcome>> {
        let outcome = match self.shutdown {
            Shutdown::Serving | Shutdown::Delaying { .. } => return None,
            _ if self.admission.connections() > 0 => return None,
            Shutdown::Aborted => Outcome::Aborted,
            Shutdown::Draining { .. } | Shutdown::Finishing { .. } => Outcome::Stopped,
        };
        Some(self.lost_listener.take().map_or(Ok(outcome), Err))
    }

    fn abort_connections(&mut self, now: Instant) {
        self.each_connection(|server, token| server.end(token, Closed::Aborted, now), now);
    }

    /// Acts on each connection, and ends those whose headers have not come.
    fn each_connection(&mut self, act: impl Fn(&mut Self, Token), now: Instant) {
        for token in (0..self.reactor.token_bound()).map(Token) {
            match self.reactor.get_mut(token) {
                Some(Slot::Connection(_)) => act(self, token),
                Some(Slot::Proxied(_)) => self.end_proxied(token, None, now),
                _ => {}
            }
        }
    }

    /// Asks a connection to end.
    pub(super) fn finish(&mut self, token: Token) {
        if let Some(Slot::Connection(connection)) = self.reactor.get_mut(token) {
            connection.echo.finish();
            self.reactor.requeue(token);
        }
    }

    /// Closes a connection as it is. A last read shows whether its peer still sends: then it is closed as `short`.
    #[cold]
    pub(super) fn end(&mut self, token: Token, short: Closed, now: Instant) {
        let Some(Slot::Connection(connection)) = self.reactor.get_mut(token) else { return };
        if connection.echo.buffered_bytes() > 0 {
            return self.close(token, short, now);
        }
        connection.echo.abandon();
        let why = match connection.drive_apart(false, now, &mut self.shared) {
            Err(e) => Closed::Failed(e),
            Ok(_) if connection.echo.is_short() => short,
            Ok(Next::Close) => Closed::Finished,
            Ok(_) => Closed::ByServer,
        };
        self.close(token, why, now);
    }
}
