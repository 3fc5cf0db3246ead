//! Leaving in order, by degrees.

use std::time::Instant;

use log::info;
use mio::Token;

use super::{ACCEPTS_PER_TURN, Flow, Server, Slot};
use crate::net::Listen;
use crate::observe::{Closed, Observer};
use crate::words::Plural;
use crate::words::figures::setting;

/// Connections that a stopping server takes off an accept queue before it closes it: the usual length
/// of one (`net.core.somaxconn`), and a bound where new ones come as fast as they are taken.
pub(super) const LAST_ACCEPTS: usize = 4096;

/// Where the server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Serving,
    /// Accepting no more, but echoing on wherever something still moves. Whoever is sending does not
    /// know that the server wants to leave, and is not to lose what is already on its way.
    Draining {
        finish_at: Instant,
        until: Instant,
    },
    /// Saying goodbye to each peer as soon as what has arrived is echoed.
    Finishing {
        until: Instant,
    },
    Aborted,
}

impl<L: Listen, O: Observer> Server<L, O> {
    /// Begins to stop: accepts no more, and ends each connection when nothing has moved on it for a
    /// moment, or when half of the drain timeout has passed and what has arrived is echoed. Asked again,
    /// it gives up at once.
    pub fn stop(&mut self) {
        if self.life != Life::Serving {
            self.life = Life::Aborted;
            return;
        }
        self.stop_accepting();
        let (now, timeout) = (self.shared.now, self.config.drain_timeout);
        match self.admission.connections() {
            0 => info!("stopping"),
            n => {
                let (connections, timeout) = (Plural(n as u64, "connection"), setting(timeout));
                info!(
                    "stopping: {connections} to finish, within {timeout}; a second signal stops at once"
                );
            }
        }
        self.life = Life::Draining { finish_at: now + timeout / 2, until: now + timeout };
        self.shared.deadlines.drain(now);
    }

    /// Whoever waits to be accepted believes to be connected, and has perhaps sent something.
    fn stop_accepting(&mut self) {
        for token in std::mem::take(&mut self.listeners) {
            for _ in 0..LAST_ACCEPTS / ACCEPTS_PER_TURN {
                self.accept(token);
            }
            self.reactor.remove(token);
        }
    }

    /// Takes a server that is stopping a step further, if it is time, and says when there is none left.
    pub(super) fn approach_end(&mut self) -> Option<Flow> {
        match self.life {
            Life::Serving => return None,
            Life::Draining { finish_at, until } if finish_at <= self.shared.now => {
                self.life = Life::Finishing { until };
                self.each_connection(Self::finish);
            }
            Life::Draining { .. } => {}
            Life::Finishing { until } if self.shared.now < until => {}
            Life::Finishing { .. } | Life::Aborted => {
                self.each_connection(Self::cut);
            }
        }
        match self.life {
            Life::Aborted => Some(Flow::Aborted),
            _ if self.admission.connections() == 0 => Some(Flow::Stopped),
            _ => None,
        }
    }

    fn each_connection(&mut self, act: impl Fn(&mut Self, Token)) {
        for token in (0..self.reactor.token_bound()).map(Token) {
            if let Some(Slot::Peer(_)) = self.reactor.get_mut(token) {
                act(self, token);
            }
        }
    }

    pub(super) fn finish(&mut self, token: Token) {
        if let Some(Slot::Peer(connection)) = self.reactor.get_mut(token) {
            connection.echo.finish();
            self.reactor.again(token);
        }
    }

    fn cut(&mut self, token: Token) {
        let Some(Slot::Peer(connection)) = self.reactor.get_mut(token) else { return };
        let why = if connection.echo.held_bytes() == 0 { Closed::Parted } else { Closed::Cut };
        self.close(token, why);
    }
}
