//! What the server does when it is time, without any event.

use std::time::Instant;

use mio::Token;

use super::deadlines::Expiry;
use super::stop::Life;
use super::{Server, Slot};
use crate::conn::Next;
use crate::net::{Listen, Stream};
use crate::observe::{Closed, Observer};
use crate::reactor::Reactor;

impl<L: Listen, O: Observer> Server<L, O> {
    /// Tries again to accept where it is time, since there may be no edge to say so.
    pub(super) fn resume_accepting(&mut self) {
        for token in &self.listeners {
            if retry_at(&mut self.reactor, *token).is_some_and(|at| at <= self.shared.now) {
                self.reactor.requeue(*token);
            }
        }
    }

    /// Acts on whatever has passed its deadline, in slices, so that a great many connections do not
    /// hold a turn up.
    pub(super) fn sweep(&mut self) {
        // Whatever has come later is not known yet, and would be held against its peer.
        let now = self.polled;
        let Some(slice) = self.shared.deadlines.slice(self.reactor.token_bound(), now) else {
            return;
        };
        for token in slice.map(Token) {
            let Some(Slot::Peer(connection)) = self.reactor.get_mut(token) else { continue };
            match connection.deadline(&self.shared) {
                Some((at, _)) if at > now => self.shared.deadlines.note(at),
                Some((_, Expiry::Stalled)) => self.look_at_pending(token),
                Some((_, Expiry::Parted)) => self.look_at_lingering(token),
                Some((_, Expiry::Quiet)) => self.finish(token),
                Some((_, Expiry::Idle)) => {
                    connection.timed_out = true;
                    self.finish(token);
                }
                None => {}
            }
        }
    }

    /// Writes what is pending, if that is possible: a peer may take bytes for long before the kernel tells
    /// of room. One that takes nothing has its time, and no more.
    #[cold]
    fn look_at_pending(&mut self, token: Token) {
        let now = self.shared.now;
        let Some(Slot::Peer(connection)) = self.reactor.get_mut(token) else { return };
        let (held, active) = (connection.echo.held_bytes(), connection.active);
        let turn = connection.try_drive(&mut self.shared);
        let is_stuck = connection.active == active && matches!(turn, Ok(Next::Wait));
        if is_stuck && self.shared.deadlines.is_stalled(active, now) {
            return self.close(token, Closed::Stalled);
        }
        connection.note_deadline_after(now, &mut self.shared);
        self.follow_up(token, held, turn);
    }

    /// Lets a peer that was sent everything go when its system has acknowledged it. To close before that is no loss
    /// by itself, for the kernel goes on sending; but if the peer sends anything, it answers with a reset,
    /// and that destroys what is still on its way.
    #[cold]
    fn look_at_lingering(&mut self, token: Token) {
        let now = self.shared.now;
        let Some(Slot::Peer(connection)) = self.reactor.get_mut(token) else { return };
        let left = connection.stream.unacknowledged().unwrap_or(0);
        if left != connection.left {
            connection.left = left;
            connection.active = now;
        } else if left == 0 || self.shared.deadlines.is_stalled(connection.active, now) {
            return self.end(token, Closed::Parted);
        }
        connection.note_deadline_after(now, &mut self.shared);
    }

    /// When the next turn must be taken even if nothing becomes ready.
    pub(super) fn next_timer(&mut self) -> Option<Instant> {
        let now = self.shared.now;
        if self.reactor.has_more() {
            return Some(now);
        }
        let drain = match self.life {
            Life::Draining { finish_at, .. } => Some(self.clock.in_served(finish_at)),
            Life::Finishing { until } => Some(self.clock.in_served(until)),
            Life::Serving | Life::Aborted => None,
        };
        let signals = self.signalled.map(|(at, _)| self.clock.in_served(at));
        let has_connections = self.admission.connections() > 0;
        let sweep = has_connections.then(|| self.shared.deadlines.next(now)).flatten();
        let spin = self.config.spin.filter(|spin| now < self.busy + *spin).map(|_| now);
        let retry = self.listeners.iter().filter_map(|token| retry_at(&mut self.reactor, *token));
        [drain, signals, sweep, spin].into_iter().flatten().chain(retry).min()
    }
}

/// When to try again to accept from a listener, if that went wrong.
pub(super) fn retry_at<L: Listen>(
    reactor: &mut Reactor<Slot<L>>,
    listener: Token,
) -> Option<Instant> {
    match reactor.get_mut(listener) {
        Some(Slot::Listener(acceptor)) => acceptor.retry_at(),
        _ => None,
    }
}
