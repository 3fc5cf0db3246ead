//! An echo server in which each client has its turn, and no silent client stays.
//!
//! The step from `accept_trouble.rs`: in a turn of the loop, a client may write once and read once. If it may have more
//! to do, it goes on the *ready queue*, and the next wait does not block. A client that moves no byte for a minute is
//! closed. This is `src/server.rs` in small.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(0);

/// The server reads from a client only while fewer bytes than this are pending for it.
const PENDING_LIMIT: usize = 4 << 20;

/// Connections that are accepted in one turn: while more are waiting, the clients have their turns too.
const ACCEPTS_PER_TURN: usize = 16;

/// How long the server waits after an accept that failed, before it tries again.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a client may move no byte, and how often the server looks for such clients.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

pub fn serve(listener: std::net::TcpListener) -> io::Result<()> {
    let mut now = Instant::now();
    let mut server = Server::new(listener, now)?;
    let mut events = Events::with_capacity(1024);
    loop {
        server.wait(&mut events, now)?; // The only call that blocks.
        now = Instant::now(); // The only look at the clock.
        for token in server.take_ready(&events) {
            server.handle(token, now);
        }
        server.handle_timeouts(now);
    }
}

struct Server {
    poll: Poll,
    listener: TcpListener,
    clients: HashMap<Token, Client>,
    /// The token of the last client. No two clients have the same token, also one after the other.
    last: usize,
    /// The ready queue: what may have more to do, although no event will say so.
    ready: BTreeSet<Token>,
    /// When to try to accept again, after an accept that failed.
    retry: Option<Instant>,
    next_sweep: Instant,
    buffer: [u8; 256],
}

impl Server {
    fn new(listener: std::net::TcpListener, now: Instant) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let (poll, mut listener) = (Poll::new()?, TcpListener::from_std(listener));
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            poll,
            listener,
            clients: HashMap::new(),
            last: 0,
            ready: BTreeSet::new(),
            retry: None,
            next_sweep: now + SWEEP_INTERVAL,
            buffer: [0; 256],
        })
    }

    fn wait(&mut self, events: &mut Events, now: Instant) -> io::Result<()> {
        match self.poll.poll(events, self.timeout(now)) {
            Err(e) if e.kind() == ErrorKind::Interrupted => Ok(()), // By a signal.
            polled => polled,
        }
    }

    /// How long the next wait may block.
    fn timeout(&self, now: Instant) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let sweep = (!self.clients.is_empty()).then_some(self.next_sweep);
        let deadline = [sweep, self.retry].into_iter().flatten().min();
        deadline.map(|at| at.saturating_duration_since(now))
    }

    /// What has an event, and what is on the ready queue, each once.
    fn take_ready(&mut self, events: &Events) -> BTreeSet<Token> {
        let mut ready = mem::take(&mut self.ready);
        ready.extend(events.iter().map(Event::token));
        ready
    }

    fn handle(&mut self, token: Token, now: Instant) {
        if token == LISTENER {
            return self.accept(now);
        }
        // A stale token belongs to a client that was closed. It finds no client, since no other one gets this token.
        let Some(client) = self.clients.get_mut(&token) else { return };
        match client.step(&mut self.buffer) {
            Ok(0) if !client.is_done() => {} // Each direction would block: an event says when to go on.
            Ok(0) | Err(_) => drop(self.clients.remove(&token)),
            Ok(_) => {
                client.last_moved = now;
                self.ready.insert(token);
            }
        }
    }

    fn accept(&mut self, now: Instant) {
        if self.retry.is_some() {
            return; // The listener is tried again after the pause.
        }
        for _ in 0..ACCEPTS_PER_TURN {
            match self.listener.accept() {
                Ok((stream, _)) => self.add(stream, now),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == ErrorKind::ConnectionAborted => {}
                Err(_) => return self.retry = Some(now + PAUSE),
            }
        }
        self.ready.insert(LISTENER);
    }

    /// Registers a client, once, for both directions. If that fails, the connection is closed.
    fn add(&mut self, mut stream: TcpStream, now: Instant) {
        self.last += 1;
        let (token, both) = (Token(self.last), Interest::READABLE | Interest::WRITABLE);
        if self.poll.registry().register(&mut stream, token, both).is_ok() {
            let pending = VecDeque::new();
            self.clients
                .insert(token, Client { stream, pending, has_ended: false, last_moved: now });
        }
    }

    fn handle_timeouts(&mut self, now: Instant) {
        if self.retry.is_some_and(|at| at <= now) {
            self.retry = None;
            self.accept(now);
        }
        if self.next_sweep <= now {
            self.next_sweep = now + SWEEP_INTERVAL;
            self.clients.retain(|_, client| now - client.last_moved < IDLE_TIMEOUT);
        }
    }
}

struct Client {
    stream: TcpStream,
    /// What was read and is not written yet.
    pending: VecDeque<u8>,
    /// A read has returned 0: the client has sent everything.
    has_ended: bool,
    last_moved: Instant,
}

impl Client {
    /// Writes once and reads once, and returns how many bytes moved. 0 means that each direction would block.
    fn step(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.write(buffer.len())? + self.read(buffer)?)
    }

    /// Whether the client has ended and has its whole echo.
    fn is_done(&self) -> bool {
        self.has_ended && self.pending.is_empty()
    }

    /// Writes the first part of what is pending, as far as the socket takes it. Returns how much that was.
    fn write(&mut self, most: usize) -> io::Result<usize> {
        if self.pending.is_empty() {
            return Ok(0);
        }
        let (first, _) = self.pending.as_slices();
        let n = or_nothing(self.stream.write(&first[..first.len().min(most)]))?;
        self.pending.drain(..n);
        Ok(n)
    }

    /// Reads once, unless the client has ended or too much is pending. Returns how much that was.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.has_ended || self.pending.len() >= PENDING_LIMIT {
            return Ok(0);
        }
        let read = self.stream.read(buffer);
        self.has_ended = matches!(read, Ok(0));
        let n = or_nothing(read)?;
        self.pending.extend(&buffer[..n]);
        Ok(n)
    }
}

/// 0 for a call that would block.
fn or_nothing(moved: io::Result<usize>) -> io::Result<usize> {
    match moved {
        Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(0),
        moved => moved,
    }
}
