//! Accepting: batches, admission, back-off, and the accept queues of a server that stops.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use mio::Token;
use rustix::io::Errno;

use super::connection::{Connection, refuse};
use super::limits::Permit;
use super::proxy::Proxied;
use super::{Server, Slot};
use crate::conn::Echo;
use crate::net::{Endpoint, Listen, reason};
use crate::observe::{At, Event, Observer, Refusal, Refused};

/// Connections accepted from one listener in one turn. A flood of new connections then delays the established ones
/// by well under a millisecond, at some 5 µs each.
pub(super) const ACCEPTS_PER_TURN: usize = 64;

/// Connections that a stopping server accepts from one listener before it closes it: the usual length of an accept
/// queue (`net.core.somaxconn`), and a bound if new ones arrive as fast as they are accepted.
pub(super) const LAST_ACCEPTS: usize = 4096;

/// How long the server backs off a listener or a UDP socket that fails, unless a connection ends sooner. Long enough to
/// cost nothing, and short enough that a waiting client hardly notices.
pub(super) const BACK_OFF: Duration = Duration::from_millis(500);

/// How often the server looks into an accept queue that can [fill without an event](Listen::fills_silently). A client
/// hardly notices, and one system call in this time costs nothing.
const LOOK: Duration = Duration::from_secs(1);

/// A listener is given up after this many failures in a row from which there is no recovery.
const ATTEMPTS: u32 = 3;

/// What a server must know of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAt {
    /// Where it listens.
    pub at: Endpoint,
    /// Whether each connection must begin with the header of the PROXY protocol.
    pub is_proxied: bool,
}

/// A plain listener.
impl From<Endpoint> for ListenAt {
    fn from(at: Endpoint) -> Self {
        Self { at, is_proxied: false }
    }
}

/// A listener on the reactor, and whether accepting from it works.
#[derive(Debug)]
pub(super) struct Listening {
    token: Token,
    at: Endpoint,
    is_proxied: bool,
    /// When to accept next although there is no event.
    retry: Option<Retry>,
    /// [`Listen::fills_silently`]
    fills_silently: bool,
    /// [`Listen::has_successor`]
    has_successor: bool,
    /// Failures in a row from which there is no recovery. The listener is lost when they reach [`ATTEMPTS`].
    hopeless: u32,
}

/// When to accept although there is no event, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Retry {
    at: Instant,
    why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// Accepting failed, and events are ignored until then. No event comes for what the queue holds by then, and none at
    /// all if it is full.
    BackOff,
    /// The queue can fill without an event.
    Look,
}

impl Listening {
    /// The accept queue was empty at `now`.
    fn on_empty(&mut self, now: Instant) {
        self.retry = self.fills_silently.then(|| Retry { at: now + LOOK, why: Why::Look });
    }

    pub(super) fn is(&self, token: Token) -> bool {
        self.token == token
    }

    /// Where it listens.
    pub(super) fn at(&self) -> &Endpoint {
        &self.at
    }

    /// Whether it is gone for good.
    fn is_lost(&self) -> bool {
        self.hopeless == ATTEMPTS
    }

    fn is_backed_off(&self, now: Instant) -> bool {
        self.retry.is_some_and(|retry| retry.why == Why::BackOff && now < retry.at)
    }
}

impl<L: Listen, O: Observer> Server<L, O> {
    /// Accepts from each of `listeners` too, and says so when all of them can be connected to.
    ///
    /// # Errors
    ///
    /// If the system cannot register one of them: epoll_ctl(2).
    pub fn listen(
        &mut self,
        listeners: impl IntoIterator<Item = (L, impl Into<ListenAt>)>,
    ) -> io::Result<()> {
        let (first, now) = (self.listeners.len(), self.clock.now());
        for (listener, at) in listeners {
            let (fills_silently, has_successor) =
                (listener.fills_silently(), listener.has_successor());
            let token = self.reactor.insert(Slot::Listener(listener))?;
            let ListenAt { at, is_proxied } = at.into();
            let mut listening = Listening {
                token,
                at,
                is_proxied,
                retry: None,
                fills_silently,
                has_successor,
                hopeless: 0,
            };
            listening.on_empty(now);
            self.listeners.push(listening);
        }
        for Listening { at, is_proxied, .. } in &self.listeners[first..] {
            let event = Event::Listening { at, is_proxied: *is_proxied };
            self.shared.observer.observe(At::server(now), event);
        }
        Ok(())
    }

    /// Accepts a batch from the listener with this token.
    pub(super) fn accept(&mut self, token: Token, now: Instant) {
        let Some(i) = self.listeners.iter().position(|l| l.token == token) else { return };
        let listening = &self.listeners[i];
        if listening.is_backed_off(now) || listening.is_lost() {
            return;
        }
        let (mut none_accepted, mut failure) = (true, None);
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(Slot::Listener(listener)) = self.reactor.get_mut(token) else { return };
            match listener.accept() {
                Ok((stream, peer)) => {
                    none_accepted = false;
                    self.admit(i, stream, peer, now);
                }
                Err(e) if Fault::of(&e) == Fault::PerConnection => failure = Some(e),
                Err(e) => return self.end_batch(i, &e, now),
            }
            self.listeners[i].hopeless = 0;
        }
        match failure {
            // Every accept of the batch failed: treat it as the listener's problem.
            Some(e) if none_accepted => self.back_off(i, &e, now),
            _ => self.reactor.requeue(token),
        }
    }

    /// Accepting from a listener ended with `error`.
    fn end_batch(&mut self, i: usize, error: &io::Error, now: Instant) {
        let listening = &mut self.listeners[i];
        let fault = Fault::of(error);
        listening.hopeless = if fault == Fault::Gone { listening.hopeless + 1 } else { 0 };
        if fault == Fault::QueueEmpty {
            listening.on_empty(now);
        } else if listening.is_lost() {
            self.lose_listener(i, error, now);
        } else {
            self.back_off(i, error, now);
        }
    }

    /// Stops accepting from a listener for a while.
    fn back_off(&mut self, i: usize, error: &io::Error, now: Instant) {
        let listening = &mut self.listeners[i];
        let (listener, retry) = (&listening.at, now + BACK_OFF);
        listening.retry = Some(Retry { at: retry, why: Why::BackOff });
        let event = Event::AcceptFailed { listener, error, retry };
        self.shared.observer.observe(At::server(now), event);
    }

    #[cold]
    fn lose_listener(&mut self, i: usize, error: &io::Error, now: Instant) {
        let listening = &mut self.listeners[i];
        listening.retry = None;
        let text = format!("the listener on {} is gone for good: {}", listening.at, reason(error));
        let error = io::Error::new(error.kind(), text);
        self.shared.observer.observe(At::server(now), Event::ListenerLost(&error));
        self.lost_listener = Some(error);
    }

    /// Whether there is a listener that is not lost, or a UDP socket.
    pub(super) fn is_reachable(&self) -> bool {
        self.answers_datagrams || self.listeners.iter().any(|listening| !listening.is_lost())
    }

    /// A descriptor is free again: it may be what accepting failed for.
    pub(super) fn end_backoff(&mut self, now: Instant) {
        let retries = self.listeners.iter_mut().filter_map(|listening| listening.retry.as_mut());
        for retry in retries.filter(|retry| retry.why == Why::BackOff) {
            retry.at = retry.at.min(now);
        }
    }

    /// Requeues the listeners whose time has come, since no event comes for them.
    pub(super) fn resume_accepting(&mut self, now: Instant) {
        for listening in &self.listeners {
            if listening.retry.is_some_and(|retry| retry.at <= now) {
                self.reactor.requeue(listening.token);
            }
        }
    }

    /// When to accept from a listener although there is no event.
    pub(super) fn accept_deadline(&self) -> Option<Instant> {
        self.listeners.iter().filter_map(|listening| listening.retry).map(|retry| retry.at).min()
    }

    /// Accepts what the queues hold, and closes the listeners. A peer in an accept queue is connected as far as it
    /// knows, and may have sent something. A queue that has a successor is left to it: there, the peers are served for
    /// as long as they want.
    pub(super) fn stop_accepting(&mut self, now: Instant) {
        for i in 0..self.listeners.len() {
            if self.listeners[i].has_successor {
                continue;
            }
            for _ in 0..LAST_ACCEPTS / ACCEPTS_PER_TURN {
                self.accept(self.listeners[i].token, now);
            }
        }
        self.close_listeners();
    }

    pub(super) fn close_listeners(&mut self) {
        for listening in std::mem::take(&mut self.listeners) {
            self.reactor.remove(listening.token);
        }
    }

    /// Serves a connection, or refuses it by dropping it.
    fn admit(&mut self, i: usize, stream: L::Stream, peer: Endpoint, now: Instant) {
        self.last_id = self.last_id.next();
        let (id, is_proxied) = (self.last_id, self.listeners[i].is_proxied);
        let admitted =
            if is_proxied { self.admit_proxy(&peer, now) } else { self.admit_client(&peer, now) };
        let registered = match admitted {
            Ok(permit) if is_proxied => {
                let proxied = Proxied::new((id, stream), (peer.clone(), permit), now);
                self.register(Slot::Proxied(proxied), permit)
            }
            Ok(permit) => {
                let (echo, named) = (self.new_echo(), (peer.clone(), permit));
                let connection = Connection::new((id, stream), echo, named, now);
                self.register(Slot::Connection(connection), permit)
            }
            Err(why) => Err(refuse(stream, why)),
        };
        let event = match registered {
            Ok(()) if is_proxied => return,
            Ok(()) => Event::Accepted,
            Err(refused) => Event::Refused { refused, start: &[] },
        };
        self.shared.observer.observe(At::conn(now, id, &peer), event);
    }

    /// A client that comes too often does not use up the rate of all.
    fn admit_client(&mut self, client: &Endpoint, now: Instant) -> Result<Permit, Refused> {
        self.gate.judge_client(client, now)?;
        self.gate.judge_accept(now)?;
        self.admission.admit(client)
    }

    fn register(&mut self, slot: Slot<L>, permit: Permit) -> Result<(), Refused> {
        let Err(e) = self.reactor.insert(slot) else { return Ok(()) };
        self.admission.release(permit);
        let is_memory = e.kind() == ErrorKind::OutOfMemory;
        Err(if is_memory { Refusal::NoMemory } else { Refusal::RegisterFailed }.into())
    }

    pub(super) fn new_echo(&self) -> Echo {
        if self.config.once { Echo::once() } else { Echo::new() }
    }
}

/// Whose fault an error of accept(2) is, and so what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// No fault: the queue is empty.
    QueueEmpty,
    /// One connection's: go on with the next. Linux passes network errors that are pending on the new socket as errors
    /// of accept(2), and asks that they be treated so.
    PerConnection,
    /// There is no listener any more: an administrator closed it (`ss -K`).
    Gone,
    /// The machine's: descriptors or memory ran out. Any unknown error counts as this, since the server then neither
    /// spins nor gives up.
    Exhausted,
}

impl Fault {
    fn of(error: &io::Error) -> Self {
        if error.kind() == ErrorKind::WouldBlock {
            return Self::QueueEmpty;
        }
        match Errno::from_io_error(error) {
            Some(
                Errno::INTR
                | Errno::CONNABORTED
                | Errno::CONNRESET
                | Errno::PROTO
                | Errno::PERM
                | Errno::NETDOWN
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::OPNOTSUPP
                | Errno::NETUNREACH
                | Errno::TIMEDOUT,
            ) => Self::PerConnection,
            Some(Errno::INVAL | Errno::BADF | Errno::NOTSOCK) => Self::Gone,
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Some(Errno::NONET) => Self::PerConnection,
            _ => Self::Exhausted,
        }
    }
}

#[cfg(test)]
mod tests;
