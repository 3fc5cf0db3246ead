//! Leaving in order, by degrees.

use std::time::Instant;

use log::{error, info};
use mio::Token;
use signal_hook::consts::SIGHUP;

use super::{ACCEPTS_PER_TURN, Flow, Server, Slot};
use crate::conn::Next;
use crate::net::Listen;
use crate::observe::{Closed, Observer};
use crate::signals::{TOGETHER, is_stop};
use crate::text::Plural;
use crate::text::format::setting;

/// Connections that a stopping server takes off an accept queue before it closes it: the usual length
/// of one (`net.core.somaxconn`), and a bound where new ones come as fast as they are taken.
pub(super) const LAST_ACCEPTS: usize = 4096;

/// Where the server is in its life. Its ends are on the caller's clock: whoever stops a server counts on that.
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
    /// A signal has come. The rest of a burst may still be on its way, so all are read a little later.
    pub(super) fn expect_signals(&mut self, token: Token) {
        self.signalled.get_or_insert((self.clock.real() + TOGETHER, token));
    }

    /// Reads the signals that came together, if it is time.
    pub(super) fn read_signals(&mut self) {
        let Some((at, token)) = self.signalled else { return };
        if at > self.clock.real() {
            return;
        }
        self.signalled = None;
        if let Some(Slot::Signals(signals)) = self.reactor.get_mut(token) {
            let batch: Vec<_> = signals.pending().collect();
            self.request(&batch);
        }
    }

    /// Does what signals ask for that came at once. However many they are, they are one request: timeout(1) sends
    /// SIGTERM twice, and systemd may send SIGHUP with it.
    pub fn request(&mut self, signals: &[i32]) {
        let is_serving = self.life == Life::Serving;
        // A terminal that closes may say so twice, and that must not press.
        let counts = |signal: &i32| is_stop(*signal) && (is_serving || *signal != SIGHUP);
        if signals.iter().any(counts) {
            self.stop();
        }
    }

    /// Begins to stop: accepts no more, and ends each connection when nothing has moved on it for a
    /// moment, or when half of the drain timeout has passed and what has arrived is echoed. Asked again,
    /// it gives up at once.
    pub fn stop(&mut self) {
        if self.life != Life::Serving {
            self.life = Life::Aborted;
            return;
        }
        self.stop_accepting();
        let (now, timeout) = (self.clock.real(), self.config.drain_timeout);
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
        self.shared.deadlines.drain(self.shared.now);
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
        let now = self.clock.real();
        match self.life {
            Life::Serving => match &self.lost_listener {
                None => return None,
                Some(e) => {
                    error!("{e}; stopping");
                    self.stop();
                }
            },
            Life::Draining { finish_at, until } if finish_at <= now => {
                self.life = Life::Finishing { until };
                self.each_connection(Self::finish);
            }
            Life::Draining { .. } => {}
            Life::Finishing { until } if now < until => {}
            Life::Finishing { .. } | Life::Aborted => {
                self.each_connection(|server, token| server.end(token, Closed::Cut));
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
            self.reactor.requeue(token);
        }
    }

    /// Closes a connection as it is. A last look at what its peer still sends tells whether it is `short`.
    #[cold]
    pub(super) fn end(&mut self, token: Token, short: Closed) {
        let Some(Slot::Peer(connection)) = self.reactor.get_mut(token) else { return };
        if connection.echo.held_bytes() > 0 {
            return self.close(token, short);
        }
        connection.echo.abandon();
        let why = match connection.try_drive(&mut self.shared) {
            Err(e) => Closed::Failed(e),
            Ok(_) if connection.echo.is_short() => short,
            Ok(Next::Close) => Closed::Finished,
            Ok(_) => Closed::Parted,
        };
        self.close(token, why);
    }
}
