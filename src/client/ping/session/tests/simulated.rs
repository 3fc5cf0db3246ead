//! A simulated network with one server, on a clock that only the simulation moves.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::client::drive::Timeout;
use crate::client::ping::network::{Connected, Dialed, Network};
use crate::net::Endpoint;

pub const MS: Duration = Duration::from_millis(1);

/// How long connecting takes, if the script does not say.
pub const CONNECT: Duration = Duration::from_millis(2);

/// How long an echo takes, if the script does not say.
pub const ECHO: Duration = Duration::from_millis(3);

/// How long after the client the server shuts down writing.
pub const CLOSE: Duration = Duration::from_millis(4);

/// The simulated time.
#[derive(Clone)]
pub struct Clock(Rc<Cell<Instant>>);

impl Clock {
    pub fn new() -> Self {
        Self(Rc::new(Cell::new(Instant::now())))
    }

    pub fn now(&self) -> Instant {
        self.0.get()
    }

    pub fn advance(&self, time: Duration) {
        self.0.set(self.now() + time);
    }

    pub fn advance_to(&self, time: Instant) {
        self.0.set(self.now().max(time));
    }
}

/// What comes in reply to a message, and how long after its last byte.
pub type Reply = Box<dyn Fn(&[u8]) -> Vec<(Duration, Arrival)>>;

/// What comes from the server.
#[derive(Clone, Debug)]
pub enum Arrival {
    Bytes(Vec<u8>),
    End,
    Reset,
}

/// How an attempt to connect ends, and after what time.
#[derive(Clone, Copy, Debug)]
pub enum Attempt {
    Succeeds(Duration),
    Fails(Duration),
}

/// The right echo after this time.
pub fn echo(after: Duration) -> Reply {
    Box::new(move |message| vec![(after, Arrival::Bytes(message.to_vec()))])
}

/// Nothing, ever.
pub fn silence() -> Reply {
    Box::new(|_| Vec::new())
}

/// The network, with the script of its server.
pub struct Simulated {
    clock: Clock,
    /// The attempts to connect. Those after the last one succeed.
    pub attempts: VecDeque<Attempt>,
    /// The replies to messages. Those after the last one are right.
    pub replies: VecDeque<Reply>,
    /// A write takes this much at a time, and blocks for a millisecond after that.
    pub room: usize,
    /// How long a read takes.
    pub read: Duration,
    /// Whether each write fails.
    pub is_broken: bool,
    /// Whether the server shuts down writing after the client has.
    pub closes: bool,
    /// The standstills that were reported.
    pub discounted: Duration,
    /// When each message's last byte was sent.
    pub sent_at: Vec<Instant>,
    pub is_retrying: bool,
    message_bytes: usize,
    attempt: Option<(Instant, Attempt)>,
    stream: Option<Stream>,
}

/// A connection.
pub struct Stream {
    clock: Clock,
    message_bytes: usize,
    replies: VecDeque<Reply>,
    sent_at: Vec<Instant>,
    room: usize,
    read: Duration,
    is_broken: bool,
    /// When there is room again.
    writable_at: Instant,
    message: Vec<u8>,
    arrivals: VecDeque<(Instant, Arrival)>,
}

impl Simulated {
    pub fn new(clock: &Clock, message_bytes: usize) -> Self {
        Self {
            clock: clock.clone(),
            attempts: VecDeque::new(),
            replies: VecDeque::new(),
            room: usize::MAX,
            read: Duration::ZERO,
            is_broken: false,
            closes: true,
            discounted: Duration::ZERO,
            sent_at: Vec::new(),
            is_retrying: true,
            message_bytes,
            attempt: None,
            stream: None,
        }
    }

    /// When the next event comes, after now.
    pub fn next_event(&self) -> Option<Instant> {
        let attempt = self.attempt.map(|(at, _)| at);
        let arrival = self.stream.as_ref().and_then(|s| s.arrivals.front().map(|(at, _)| *at));
        let writable = self.stream.as_ref().map(|stream| stream.writable_at);
        let events = [attempt, arrival, writable].into_iter().flatten();
        events.filter(|at| *at > self.clock.now()).min()
    }

    fn peer() -> Endpoint {
        SocketAddr::from(([127, 0, 0, 1], 7)).into()
    }

    fn connected(&mut self, took: Duration) -> Connected {
        let now = self.clock.now();
        self.stream = Some(Stream {
            clock: self.clock.clone(),
            message_bytes: self.message_bytes,
            replies: std::mem::take(&mut self.replies),
            sent_at: std::mem::take(&mut self.sent_at),
            room: self.room,
            read: self.read,
            is_broken: self.is_broken,
            writable_at: now,
            message: Vec::new(),
            arrivals: VecDeque::new(),
        });
        let local = SocketAddr::from(([127, 0, 0, 1], 40_000)).into();
        Connected { peer: Self::peer(), local, took }
    }
}

impl Network for Simulated {
    type Stream = Stream;

    fn connect(&mut self, now: Instant) -> io::Result<()> {
        assert!(self.stream.is_none(), "a ping has one connection at a time");
        let attempt = self.attempts.pop_front().unwrap_or(Attempt::Succeeds(CONNECT));
        let (Attempt::Succeeds(after) | Attempt::Fails(after)) = attempt;
        self.attempt = Some((now + after, attempt));
        Ok(())
    }

    fn poll(&mut self, now: Instant) -> io::Result<Dialed> {
        match self.attempt {
            Some((at, attempt)) if at <= now => {
                self.attempt = None;
                Ok(match attempt {
                    Attempt::Succeeds(took) => Dialed::Connected(self.connected(took)),
                    Attempt::Fails(_) => Dialed::Failed(io::Error::other("nothing listens there")),
                })
            }
            _ => Ok(Dialed::Pending),
        }
    }

    fn poll_timeout(&mut self, now: Instant) -> Timeout {
        match self.attempt {
            Some((at, _)) => Timeout::Owed(at.saturating_duration_since(now)),
            None => Timeout::Never,
        }
    }

    fn is_looking_up(&mut self) -> bool {
        false
    }

    fn discount(&mut self, standstill: Duration) {
        self.discounted += standstill;
        if let Some((at, _)) = &mut self.attempt {
            *at += standstill;
        }
    }

    fn stop_retrying(&mut self) {
        self.is_retrying = false;
    }

    fn stream(&mut self) -> io::Result<&mut Stream> {
        self.stream.as_mut().ok_or_else(|| ErrorKind::NotConnected.into())
    }

    fn shutdown_write(&mut self) {
        if let (true, Some(stream)) = (self.closes, &mut self.stream) {
            stream.arrive(CLOSE, Arrival::End);
        }
    }

    fn close(&mut self) {
        if let Some(stream) = self.stream.take() {
            (self.replies, self.sent_at) = (stream.replies, stream.sent_at);
        }
    }
}

impl Stream {
    fn arrive(&mut self, after: Duration, arrival: Arrival) {
        self.arrivals.push_back((self.clock.now() + after, arrival));
    }

    fn reply(&mut self) {
        let message = std::mem::take(&mut self.message);
        self.sent_at.push(self.clock.now());
        let reply = self.replies.pop_front().unwrap_or_else(|| echo(ECHO));
        for (after, arrival) in reply(&message) {
            self.arrive(after, arrival);
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_broken {
            return Err(ErrorKind::BrokenPipe.into());
        }
        if self.clock.now() < self.writable_at {
            return Err(ErrorKind::WouldBlock.into());
        }
        let n = bytes.len().min(self.room).min(self.message_bytes - self.message.len());
        if n == self.room {
            self.writable_at = self.clock.now() + MS;
        }
        self.message.extend(&bytes[..n]);
        if self.message.len() == self.message_bytes {
            self.reply();
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.arrivals.front_mut() {
            Some((at, _)) if *at > self.clock.now() => Err(ErrorKind::WouldBlock.into()),
            None => Err(ErrorKind::WouldBlock.into()),
            Some((_, Arrival::End)) => Ok(0),
            Some((_, Arrival::Reset)) => Err(ErrorKind::ConnectionReset.into()),
            Some((_, Arrival::Bytes(bytes))) => {
                self.clock.advance(self.read);
                let n = bytes.len().min(buffer.len());
                buffer[..n].copy_from_slice(&bytes[..n]);
                bytes.drain(..n);
                if bytes.is_empty() {
                    self.arrivals.pop_front();
                }
                Ok(n)
            }
        }
    }
}
