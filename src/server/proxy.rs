//! Connections of a proxy, until it has named its client in the header of the PROXY protocol.
//!
//! The server peeks at the header, and reads it once it is complete. Until then its bytes stay in the socket, so a
//! connection owns no buffer for them. Each further byte makes a new edge, also behind bytes that are unread: epoll(7),
//! question 9. The connection then becomes an ordinary one in its place, and what follows the header is echoed.

use std::io::{self, ErrorKind};
use std::time::Instant;

use mio::Token;

use super::connection::{Connection, refuse};
use super::deadlines::Deadlines;
use super::limits::Permit;
use super::{Server, Slot};
use crate::net::proxy::{Header, HeaderFault, MAX_HEADER_BYTES};
use crate::net::{Endpoint, Listen, Stream};
use crate::observe::{At, Closed, ConnId, Event, Expiry, Observer, Refusal, Refused};

/// The bytes that are reported of a refused header.
const REPORTED_BYTES: usize = 64;

/// A connection whose client is not known yet.
#[derive(Debug)]
pub(super) struct Proxied<S> {
    id: ConnId,
    pub(super) stream: S,
    proxy: Endpoint,
    permit: Permit,
    /// When the first byte of the header came, or when the connection was accepted if none has come.
    since: Instant,
    has_begun: bool,
}

/// What a look at a header shows.
enum Look {
    /// An event comes if there is more to see.
    Wait,
    /// A signal interrupted the look.
    Yield,
    /// The header has come, and is read.
    Named(Option<Endpoint>),
    Refused(Refusal),
    /// The peer has ended without a byte.
    Ended,
    Failed(io::Error),
}

impl<S: Stream> Proxied<S> {
    pub(super) fn new(
        (id, stream): (ConnId, S),
        (proxy, permit): (Endpoint, Permit),
        now: Instant,
    ) -> Self {
        Self { id, stream, proxy, permit, since: now, has_begun: false }
    }

    /// Looks at what has come of the header.
    ///
    /// An urgent byte (`MSG_OOB`) in the header stops the peek short of its mark, each time: nothing reads up to the
    /// mark, since that would need a buffer. So the header stays incomplete and is refused when its time is over, or at
    /// once if the peer ends. No proxy sends such a byte.
    fn look(&mut self, now: Instant) -> Look {
        let mut start = [0; MAX_HEADER_BYTES];
        let mut is_closed = false;
        loop {
            let come = match self.stream.peek(&mut start) {
                Ok(0) => return Look::Ended,
                Ok(n) => &start[..n],
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Look::Wait,
                Err(e) if e.kind() == ErrorKind::Interrupted => return Look::Yield,
                Err(e) => return Look::Failed(e),
            };
            match Header::parse(come) {
                Ok(Header::Complete { bytes, client }) => {
                    return match self.stream.read_exact(&mut start[..bytes]) {
                        Ok(()) => Look::Named(client),
                        Err(e) => Look::Failed(e),
                    };
                }
                Err(fault) => return Look::Refused(fault.into()),
                Ok(Header::Incomplete) if is_closed => {
                    return Look::Refused(Refusal::HeaderIncomplete);
                }
                Ok(Header::Incomplete) => self.begin(now),
            }
            // More may have come between the peek and the end: look again.
            is_closed = self.stream.is_read_closed();
            if !is_closed {
                return Look::Wait;
            }
        }
    }

    /// A part of the header has come: from its first byte on, it has a timeout of its own.
    fn begin(&mut self, now: Instant) {
        if !self.has_begun {
            (self.has_begun, self.since) = (true, now);
        }
    }

    /// What happens to it at `now`.
    pub(super) fn at(&self, now: Instant) -> At<'_> {
        At::conn(now, self.id, &self.proxy)
    }

    /// When it must be looked at although there is no event.
    fn deadline(&self, deadlines: &Deadlines) -> Option<Instant> {
        deadlines.header_wait(self.has_begun).map(|wait| self.since + wait)
    }
}

impl<L: Listen, O: Observer> Server<L, O> {
    /// Admits a connection whose peer may name the client, if it is a known proxy. The permissions of a Unix socket's
    /// file decide who can connect to it.
    pub(super) fn admit_proxy(&mut self, peer: &Endpoint, now: Instant) -> Result<Permit, Refused> {
        if !peer.ip().is_none_or(|ip| self.config.proxies.contains(ip)) {
            return Err(Refusal::UnknownProxy.into());
        }
        self.gate.judge_accept(now)?;
        self.admission.admit_unnamed()
    }

    /// Handles an event of a connection that waits for its header.
    #[cold]
    pub(super) fn read_header(&mut self, token: Token, now: Instant) {
        let Some(Slot::Proxied(proxied)) = self.reactor.get_mut(token) else { return };
        match proxied.look(now) {
            Look::Wait => {
                let deadline = proxied.deadline(&self.shared.deadlines);
                deadline.into_iter().for_each(|at| self.shared.deadlines.note(at));
            }
            Look::Yield => self.reactor.requeue(token),
            Look::Named(client) => self.serve_client(token, client, now),
            Look::Refused(why) => self.refuse_header(token, why, now),
            Look::Ended => {
                self.serve_unnamed(token, now);
                self.drive_first(token, now);
            }
            Look::Failed(error) => {
                self.serve_unnamed(token, now);
                self.close(token, Closed::Failed(error), now);
            }
        }
    }

    /// Serves the client that a header names, or the proxy itself if it names none.
    fn serve_client(&mut self, token: Token, client: Option<Endpoint>, now: Instant) {
        let Some(Slot::Proxied(Proxied { id, proxy, .. })) = self.reactor.get_mut(token) else {
            return;
        };
        let (id, is_named) = (*id, client.is_some());
        let peer = client.unwrap_or_else(|| proxy.clone());
        if is_named {
            let event = Event::Proxied { by: proxy };
            self.shared.observer.observe(At::conn(now, id, &peer), event);
        }
        let judged = self.gate.judge_client(&peer, now);
        match judged.and_then(|()| self.admission.name(&peer)) {
            Ok(permit) => {
                self.convert(token, Some((peer, permit)), now);
                self.drive_first(token, now);
            }
            Err(refused) => self.refuse_proxied(token, Some(&peer), (refused, &[]), now),
        }
    }

    /// Makes an ordinary connection of one that sent no header: it is over, and is counted as such.
    fn serve_unnamed(&mut self, token: Token, now: Instant) {
        self.convert(token, None, now);
    }

    /// Makes an ordinary connection of one that waited for its header, of this peer or of its proxy.
    fn convert(&mut self, token: Token, named: Option<(Endpoint, Permit)>, now: Instant) {
        let echo = self.new_echo();
        self.reactor.replace_with(token, |slot| match slot {
            Slot::Proxied(Proxied { id, stream, proxy, permit, .. }) => {
                let named = named.unwrap_or((proxy, permit));
                Slot::Connection(Connection::new((id, stream), echo, named, now))
            }
            slot => slot,
        });
        self.report(token, Event::Accepted, now);
    }

    /// Echoes what came behind the header. Its event is over, so a short read proves nothing.
    fn drive_first(&mut self, token: Token, now: Instant) {
        let Some(Slot::Connection(connection)) = self.reactor.get_mut(token) else { return };
        let next = connection.drive_apart(true, now, &mut self.shared);
        self.apply(token, next, now);
    }

    /// Closes a connection that has no proper header.
    fn refuse_header(&mut self, token: Token, why: Refusal, now: Instant) {
        let Some(Slot::Proxied(proxied)) = self.reactor.get_mut(token) else { return };
        let mut start = [0; REPORTED_BYTES];
        let n = proxied.stream.peek(&mut start).unwrap_or(0);
        self.refuse_proxied(token, None, (why.into(), &start[..n]), now);
    }

    /// Closes a connection of this peer, or of its proxy if the peer is not known, which began with `start`.
    fn refuse_proxied(
        &mut self,
        token: Token,
        peer: Option<&Endpoint>,
        (refused, start): (Refused, &[u8]),
        now: Instant,
    ) {
        let Some(Slot::Proxied(proxied)) = self.reactor.remove(token) else { return };
        let Proxied { id, stream, proxy, permit, .. } = proxied;
        let refused = refuse(stream, refused);
        self.admission.release(permit);
        let event = Event::Refused { refused, start };
        self.shared.observer.observe(At::conn(now, id, peer.unwrap_or(&proxy)), event);
        self.end_backoff(now);
    }

    /// Acts on a connection that waits for its header if its deadline has passed.
    pub(super) fn look_at_proxied(&mut self, token: Token, expired_by: Instant, now: Instant) {
        let Some(Slot::Proxied(proxied)) = self.reactor.get_mut(token) else { return };
        match proxied.deadline(&self.shared.deadlines) {
            Some(at) if at > expired_by => self.shared.deadlines.note(at),
            Some(_) => {
                let expiry = self.shared.deadlines.silence_expiry();
                self.end_proxied(token, Some(expiry), now);
            }
            None => {}
        }
    }

    /// Ends a connection that waits for its header, since this timeout has passed, or since the server must stop. If a
    /// part of the header has come, the rest is late.
    pub(super) fn end_proxied(&mut self, token: Token, expiry: Option<Expiry>, now: Instant) {
        let Some(Slot::Proxied(proxied)) = self.reactor.get_mut(token) else { return };
        if proxied.has_begun {
            return self.refuse_header(token, Refusal::HeaderTimedOut, now);
        }
        self.serve_unnamed(token, now);
        if let Some(expiry) = expiry
            && let Some(Slot::Connection(connection)) = self.reactor.get_mut(token)
        {
            connection.expire(expiry, now, &mut self.shared.observer);
        }
        // What comes at this moment is lost.
        let short = if expiry.is_some() { Closed::ByServer } else { Closed::Aborted };
        self.end(token, short, now);
    }
}

impl From<HeaderFault> for Refusal {
    fn from(fault: HeaderFault) -> Self {
        match fault {
            HeaderFault::Missing => Self::HeaderMissing,
            HeaderFault::Malformed => Self::HeaderMalformed,
            HeaderFault::Oversized => Self::HeaderOversized,
        }
    }
}

#[cfg(test)]
mod tests;
