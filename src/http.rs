//! A small HTTP/1.1 server for probes and scrapes, on a reactor of its own: RFC 9110, RFC 9112.
//!
//! It answers one request on each connection, a GET or a HEAD, and closes the connection. The caller decides what is
//! served: it gives [`HttpServer::turn`] a function from a request to a response.
//!
//! Everything that clients can make it hold or do is bounded: their number, the bytes of a request, the time of a
//! connection, and the work of a turn.
//!
//! An [`HttpServer`] is itself a source: the descriptor of its poll is readable while a socket of its own has an event.
//! So it takes one slot in the reactor of a larger program, whose loop does not change for it.

use std::io::{self, ErrorKind};
use std::mem;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use crate::net::{Endpoint, Listen, delegate_source};
use crate::reactor::{Reactor, Ready};

use client::{Client, Next};

pub use client::answer_to;
pub use request::Request;
pub use response::{Response, StatusCode};

mod response;
mod request;
mod client;

/// Clients at once: a few scrapers and probes, each with a client to spare. A further one takes the place of the oldest
/// that has sent nothing. If there is none, it waits in the accept queue.
pub const MAX_CLIENTS: usize = 16;

/// Clients accepted in one turn. More of them than there are places only push each other out.
const ACCEPTS_PER_TURN: usize = MAX_CLIENTS;

/// The longest head of a request: its first line and its headers.
pub const MAX_HEAD_BYTES: usize = 8 << 10;

/// The most headers in it. A browser sends some twenty.
const MAX_HEADERS: usize = 64;

/// How long a client may take, from when it is accepted until it has its response and has closed.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The same while there are [`MAX_CLIENTS`]. Others may wait for a place then: a probe of Kubernetes waits for a second,
/// and tries again.
const CROWDED_TIMEOUT: Duration = Duration::from_secs(1);

/// Clients that are driven in one turn. Each can ask for a response, which takes some 50 µs to make, and the rest of
/// the program waits.
const DRIVES_PER_TURN: usize = 4;

/// How long to wait after accept(2) has failed, for lack of descriptors for example.
const BACK_OFF: Duration = Duration::from_millis(500);

/// Makes the response to a request. `None` means that there is nothing of this path.
pub type Answer<'a> = dyn FnMut(&Request<'_>) -> Option<Response> + 'a;

enum Slot<L: Listen> {
    Listener(L),
    Client(Client<L::Stream>),
}

/// Answers requests on everything that it [listens](Self::listen) on.
pub struct HttpServer<L: Listen> {
    reactor: Reactor<Slot<L>>,
    /// The list of one turn, kept for its memory.
    ready: Vec<Ready>,
    listeners: Vec<(Token, Endpoint)>,
    /// Each client, and when it was accepted: the oldest is the first.
    clients: Vec<(Token, Instant)>,
    /// When to accept again after a failure.
    retry_at: Option<Instant>,
    /// The failure, until the caller takes it, and the number of its listener.
    failure: Option<(usize, io::Error)>,
    /// When the last turn began.
    now: Instant,
}

impl<L: Listen> HttpServer<L> {
    /// A server that does not listen anywhere yet.
    ///
    /// # Errors
    ///
    /// If the system gives no poll descriptor: epoll_create1(2).
    pub fn new(now: Instant) -> io::Result<Self> {
        Ok(Self {
            reactor: Reactor::new()?,
            ready: Vec::new(),
            listeners: Vec::new(),
            clients: Vec::with_capacity(MAX_CLIENTS),
            retry_at: None,
            failure: None,
            now,
        })
    }

    /// Accepts from `listener` too, whose address is `at`.
    ///
    /// # Errors
    ///
    /// If the system cannot register it: epoll_ctl(2).
    pub fn listen(&mut self, listener: L, at: Endpoint) -> io::Result<()> {
        self.listeners.push((self.reactor.insert(Slot::Listener(listener))?, at));
        Ok(())
    }

    /// The addresses that it listens at.
    pub fn addresses(&self) -> impl Iterator<Item = &Endpoint> {
        self.listeners.iter().map(|(_, at)| at)
    }

    /// The address of a listener that could not accept, why, and when it is tried again.
    pub fn take_accept_failure(&mut self) -> Option<(&Endpoint, io::Error, Instant)> {
        let (number, error) = self.failure.take()?;
        Some((&self.listeners[number].1, error, self.now + BACK_OFF))
    }

    /// Accepts, reads, answers and times out, and never blocks. The caller calls it if this source is ready, if the
    /// [deadline](Self::deadline) has come, and again while it [has more](Self::has_more) to do.
    ///
    /// # Errors
    ///
    /// If polling fails: epoll_wait(2).
    pub fn turn(&mut self, now: Instant, answer: &mut Answer<'_>) -> io::Result<()> {
        self.now = now;
        if self.retry_at.take_if(|at| *at <= now).is_some() {
            self.requeue_listeners();
        }
        let mut ready = mem::take(&mut self.ready);
        self.reactor.wait(Some(Duration::ZERO), &mut ready)?;
        let mut drives_left = DRIVES_PER_TURN;
        // What was queued stands at the end. It goes first, since it waits longer than what has an event.
        for Ready { token, .. } in ready.iter().rev() {
            self.handle(*token, &mut drives_left, answer);
        }
        self.ready = ready;
        self.time_out();
        Ok(())
    }

    /// Whether the last turn left something for the next. No event comes for that.
    pub fn has_more(&self) -> bool {
        self.reactor.has_more()
    }

    /// When to call [`turn`](Self::turn) although this source is not ready. `None` while it has more to do: the next turn
    /// comes anyway.
    pub fn deadline(&self) -> Option<Instant> {
        if self.has_more() {
            return None;
        }
        let oldest = self.clients.first().map(|(_, since)| *since + self.timeout());
        oldest.into_iter().chain(self.retry_at).min()
    }

    fn handle(&mut self, token: Token, drives_left: &mut usize, answer: &mut Answer<'_>) {
        match self.reactor.get_mut(token) {
            Some(Slot::Listener(_)) => self.accept(token),
            Some(Slot::Client(_)) if *drives_left == 0 => self.reactor.requeue(token),
            Some(Slot::Client(client)) => {
                *drives_left -= 1;
                if client.drive(answer) == Next::Close {
                    self.remove(token);
                }
            }
            None => {}
        }
    }

    /// Accepts while there is room for clients. Each new client is ready as soon as it has sent something.
    fn accept(&mut self, token: Token) {
        for _ in 0..ACCEPTS_PER_TURN {
            if self.retry_at.is_some() {
                return;
            }
            if self.clients.len() == MAX_CLIENTS && self.oldest_silent().is_none() {
                return;
            }
            let Some(Slot::Listener(listener)) = self.reactor.get_mut(token) else { return };
            let accepted = listener.accept();
            let inserted = accepted
                .and_then(|(stream, _)| self.reactor.insert(Slot::Client(Client::new(stream))));
            match inserted {
                Ok(client) => self.add(client),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) => self.back_off(token, e),
            }
        }
        self.reactor.requeue(token);
    }

    fn back_off(&mut self, token: Token, error: io::Error) {
        self.retry_at = Some(self.now + BACK_OFF);
        let number = self.listeners.iter().position(|(listener, _)| *listener == token);
        self.failure = number.map(|number| (number, error));
    }

    /// Adds a client, which was accepted because there is room or a silent client.
    fn add(&mut self, client: Token) {
        if self.clients.len() == MAX_CLIENTS
            && let Some(silent) = self.oldest_silent()
        {
            self.remove(silent);
        }
        self.clients.push((client, self.now));
    }

    /// The oldest client that has sent nothing. Without its place, clients that send nothing would keep those out that
    /// do.
    fn oldest_silent(&mut self) -> Option<Token> {
        let Self { reactor, clients, .. } = self;
        let mut tokens = clients.iter().map(|(token, _)| *token);
        tokens.find(|token| {
            matches!(reactor.get_mut(*token), Some(Slot::Client(client)) if client.is_silent())
        })
    }

    fn timeout(&self) -> Duration {
        if self.clients.len() == MAX_CLIENTS { CROWDED_TIMEOUT } else { TIMEOUT }
    }

    /// Closes the clients whose time is over, the oldest first. A client that has sent what was not read yet has its turn
    /// first: it is not to blame if the server was suspended.
    fn time_out(&mut self) {
        let mut i = 0;
        while let Some((token, since)) = self.clients.get(i).copied()
            && since + self.timeout() <= self.now
        {
            let Some(Slot::Client(client)) = self.reactor.get_mut(token) else { return };
            if client.has_unread() {
                self.reactor.requeue(token);
                i += 1;
            } else {
                client.time_out();
                self.remove(token);
            }
        }
    }

    fn remove(&mut self, token: Token) {
        if self.clients.len() == MAX_CLIENTS {
            // No event comes for those that wait in the accept queues already.
            self.requeue_listeners();
        }
        self.reactor.remove(token);
        self.clients.retain(|(client, _)| *client != token);
    }

    fn requeue_listeners(&mut self) {
        self.listeners.iter().for_each(|(listener, _)| self.reactor.requeue(*listener));
    }
}

impl<L: Listen> Slot<L> {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Listener(listener) => listener,
            Self::Client(client) => client.source(),
        }
    }
}

delegate_source!(Slot<L>, L: Listen);

/// A poll can only become readable, so it is registered for that alone: kqueue would refuse more.
impl<L: Listen> Source for HttpServer<L> {
    fn register(&mut self, registry: &Registry, token: Token, _: Interest) -> io::Result<()> {
        SourceFd(&self.reactor.as_raw_fd()).register(registry, token, Interest::READABLE)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, _: Interest) -> io::Result<()> {
        SourceFd(&self.reactor.as_raw_fd()).reregister(registry, token, Interest::READABLE)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.reactor.as_raw_fd()).deregister(registry)
    }
}

#[cfg(test)]
mod tests;
