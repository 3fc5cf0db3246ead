//! When the next turn is due without an event, and what the server does then.

use std::time::Instant;

use mio::Token;

use super::{Server, Slot};
use crate::conn::Next;
use crate::net::{Listen, Stream};
use crate::observe::{Closed, Event, Expiry, Observer};

impl<L: Listen, O: Observer> Server<L, O> {
    /// When the next turn is due even without an event and with an empty queue, in served time.
    pub(super) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let has_connections = self.admission.connections() > 0;
        let sweep = has_connections.then(|| self.shared.deadlines.next(now)).flatten();
        let on_callers_clock = self.shutdown_deadline().into_iter().chain(self.service_deadline());
        let served = on_callers_clock.map(|at| self.clock.in_served(at));
        served.chain(sweep).chain(self.accept_deadline()).min()
    }

    /// Does what time has made due: timeouts, back-offs that are over, deadlines of services, the next step of stopping.
    pub fn handle_timeouts(&mut self, now: Instant) {
        self.resume_accepting(now);
        self.sweep(now);
        self.serve_due();
        self.advance_shutdown(now);
    }

    /// Acts on the connections whose deadlines have passed. It looks at a bounded number of slots, so that a great many
    /// connections do not hold a turn up.
    pub(super) fn sweep(&mut self, now: Instant) {
        // What has come since the last wait is not known yet, and must not count against its peer.
        let expired_by = self.woke;
        let bound = self.reactor.token_bound();
        let Some(slots) = self.shared.deadlines.slice(bound, expired_by) else { return };
        for token in slots.map(Token) {
            match self.reactor.get_mut(token) {
                Some(Slot::Connection(_)) => self.look_at_connection(token, expired_by, now),
                Some(Slot::Proxied(_)) => self.look_at_proxied(token, expired_by, now),
                _ => {}
            }
        }
    }

    fn look_at_connection(&mut self, token: Token, expired_by: Instant, now: Instant) {
        let Some(Slot::Connection(connection)) = self.reactor.get_mut(token) else { return };
        match connection.deadline(&self.shared.deadlines) {
            Some((at, _)) if at > expired_by => self.shared.deadlines.note(at),
            Some((_, Expiry::Stalled)) => self.look_at_pending(token, now),
            Some((_, Expiry::Lingering)) => self.look_at_lingering(token, now),
            Some((_, expiry)) => {
                connection.expire(expiry, now, &mut self.shared.observer);
                self.finish(token);
            }
            None => {}
        }
    }

    /// Writes what is pending if the peer takes it, and closes a connection whose peer took nothing for the stall
    /// timeout. A peer may take bytes long before the kernel reports room.
    #[cold]
    fn look_at_pending(&mut self, token: Token, now: Instant) {
        let Some(Slot::Connection(connection)) = self.reactor.get_mut(token) else { return };
        let last_active = connection.last_active;
        let next = connection.drive_apart(false, now, &mut self.shared);
        let is_stuck = connection.last_active == last_active && matches!(next, Ok(Next::Wait));
        if is_stuck && self.shared.deadlines.is_stalled(last_active, now) {
            connection.report(Event::Expired(Expiry::Stalled), now, &mut self.shared.observer);
            return self.close(token, Closed::Stalled, now);
        }
        connection.note_deadline_after(now, &mut self.shared.deadlines);
        self.apply(token, next, now);
    }

    /// Closes a lingering connection when its peer's system has acknowledged everything. To close earlier is no loss by
    /// itself, since the kernel goes on sending; but if the peer then sends anything, the kernel answers with a reset,
    /// which destroys what is still on its way.
    #[cold]
    fn look_at_lingering(&mut self, token: Token, now: Instant) {
        let Some(Slot::Connection(connection)) = self.reactor.get_mut(token) else { return };
        let left = connection.stream.unacknowledged().unwrap_or(0);
        if left != connection.unacknowledged {
            connection.unacknowledged = left;
            connection.last_active = now;
        } else if left == 0 || self.shared.deadlines.is_stalled(connection.last_active, now) {
            connection.report(Event::Expired(Expiry::Lingering), now, &mut self.shared.observer);
            return self.end(token, Closed::ByServer, now);
        }
        connection.note_deadline_after(now, &mut self.shared.deadlines);
    }
}
