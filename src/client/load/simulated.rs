//! A network with a server that a test plays, and a clock that it moves: every time of a run is exact.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use mio::Token;

use super::link::{Attempt, Connect};
use super::probing::Probing;
use crate::client::probe::Probe;
use crate::client::probe::datagrams::DatagramProbe;
use crate::net::Endpoint;
use crate::reactor::Ready;

use fake_link::FakeLink;

pub(super) use fake_clock::FakeClock;

mod fake_clock;
mod fake_link;

/// What a server answers to an attempt to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It accepts after this long.
    Accept(Duration),
    /// It accepts after this long, and no event reports it.
    AcceptUnreported(Duration),
    Refuse(ErrorKind),
    /// It has no room in its accept queue, as only a Unix socket says.
    QueueFull,
    /// It does not answer.
    Silence,
}

/// What a server sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Bytes(Vec<u8>),
    /// An urgent mark: an event that reports more than bytes.
    Urgent,
    /// It shuts down writing.
    End,
    Reset,
}

/// A server that a test plays. Times run from the beginning of the test. Connections are numbered in the order in which
/// they begin.
pub(super) trait Server {
    fn accept(&mut self, connection: usize, at: Duration) -> Answer {
        let _ = (connection, at);
        Answer::Accept(Duration::ZERO)
    }

    /// Bytes have come. Returns what it sends, and how long after that.
    fn receive(&mut self, connection: usize, at: Duration, bytes: &[u8]) -> Vec<(Duration, Sent)>;

    /// The client has shut down writing.
    fn end(&mut self, connection: usize, at: Duration) -> Vec<(Duration, Sent)> {
        let _ = (connection, at);
        vec![(Duration::ZERO, Sent::End)]
    }
}

/// A closure is a server that accepts at once, and closes as soon as the client does.
impl<F: FnMut(usize, Duration, &[u8]) -> Vec<(Duration, Sent)>> Server for F {
    fn receive(&mut self, connection: usize, at: Duration, bytes: &[u8]) -> Vec<(Duration, Sent)> {
        self(connection, at, bytes)
    }
}

/// The state of one connection, and what is on the way to the client.
#[derive(Debug, Default)]
struct Wire {
    token: Option<Token>,
    is_connected: bool,
    /// What reading or connecting fails with.
    error: Option<ErrorKind>,
    incoming: VecDeque<u8>,
    /// Over UDP, instead of that.
    datagrams: VecDeque<Vec<u8>>,
    has_ended: bool,
    /// When the last of what is on the way arrives.
    last_arrival: Duration,
}

#[derive(Debug)]
enum Arrival {
    Connected { is_reported: bool },
    Sent(Sent),
}

struct World {
    /// Whether nothing overtakes what was sent before.
    is_ordered: bool,
    server: Box<dyn Server>,
    wires: Vec<Wire>,
    /// By time, and in the order in which they were sent.
    arrivals: BTreeMap<(Duration, usize), (usize, Arrival)>,
    sent: usize,
    received_bytes: usize,
    attempts: Vec<Duration>,
    reads: usize,
    /// How many connections the client has.
    open: usize,
    most_open: usize,
}

/// A probe for whose messages there is a network.
pub(super) trait FakeProbe: Probing + 'static {
    /// Whether each write is a datagram.
    const HAS_DATAGRAMS: bool;
}

impl FakeProbe for Probe {
    const HAS_DATAGRAMS: bool = false;
}

impl FakeProbe for DatagramProbe {
    const HAS_DATAGRAMS: bool = true;
}

/// A network with one server, and the clock of both ends.
pub(super) struct FakeNetwork<P> {
    pub(super) clock: FakeClock,
    peer: Endpoint,
    world: Rc<RefCell<World>>,
    probe: PhantomData<P>,
}

impl<P> Clone for FakeNetwork<P> {
    fn clone(&self) -> Self {
        Self {
            clock: self.clock.clone(),
            peer: self.peer.clone(),
            world: self.world.clone(),
            ..*self
        }
    }
}

impl<P: FakeProbe> FakeNetwork<P> {
    pub(super) fn new(server: impl Server + 'static) -> Self {
        let world = World {
            is_ordered: !P::HAS_DATAGRAMS,
            server: Box::new(server),
            wires: Vec::new(),
            arrivals: BTreeMap::new(),
            sent: 0,
            received_bytes: 0,
            attempts: Vec::new(),
            reads: 0,
            open: 0,
            most_open: 0,
        };
        Self {
            clock: FakeClock::new(),
            peer: Endpoint::Unix(None),
            world: Rc::new(RefCell::new(world)),
            probe: PhantomData,
        }
    }
}

impl<P> FakeNetwork<P> {
    /// When something arrives next.
    pub(super) fn next_arrival(&self) -> Option<Duration> {
        self.world.borrow().arrivals.keys().next().map(|(at, _)| *at)
    }

    /// Delivers what has arrived by now. Returns one event for each connection, as epoll_wait(2) does.
    pub(super) fn deliver(&self) -> Vec<Ready> {
        let mut world = self.world.borrow_mut();
        let mut ready: Vec<Ready> = Vec::new();
        while let Some(first) = world.arrivals.first_entry() {
            if first.key().0 > self.clock.elapsed() {
                break;
            }
            let (number, arrival) = first.remove();
            let wire = &mut world.wires[number];
            let is_reported = !matches!(arrival, Arrival::Connected { is_reported: false });
            let exceptional = wire.arrive(arrival);
            let Some(token) = wire.token.filter(|_| is_reported) else { continue };
            match ready.iter_mut().find(|ready| ready.token == token) {
                Some(ready) => ready.exceptional |= exceptional,
                None => ready.push(Ready { token, exceptional }),
            }
        }
        ready
    }

    /// How many bytes the server has got.
    pub(super) fn received_bytes(&self) -> usize {
        self.world.borrow().received_bytes
    }

    /// How often the client has read.
    pub(super) fn reads(&self) -> usize {
        self.world.borrow().reads
    }

    /// The highest number of connections that the client had at the same time.
    pub(super) fn most_open(&self) -> usize {
        self.world.borrow().most_open
    }

    /// When each attempt to connect began.
    pub(super) fn attempts(&self) -> Vec<Duration> {
        self.world.borrow().attempts.clone()
    }
}

impl World {
    fn send(&mut self, number: usize, at: Duration, arrival: Arrival) {
        let wire = &mut self.wires[number];
        wire.last_arrival = if self.is_ordered { wire.last_arrival.max(at) } else { at };
        self.sent += 1;
        self.arrivals.insert((wire.last_arrival, self.sent), (number, arrival));
    }

    fn send_all(&mut self, number: usize, now: Duration, answers: Vec<(Duration, Sent)>) {
        for (delay, sent) in answers {
            self.send(number, now + delay, Arrival::Sent(sent));
        }
    }
}

impl Wire {
    /// Returns whether the event is about more than bytes.
    fn arrive(&mut self, arrival: Arrival) -> bool {
        let is_urgent = matches!(arrival, Arrival::Sent(Sent::Urgent));
        match arrival {
            Arrival::Sent(Sent::Urgent) => {}
            Arrival::Connected { .. } => self.is_connected = true,
            Arrival::Sent(Sent::Bytes(bytes)) => {
                self.incoming.extend(&bytes);
                self.datagrams.push_back(bytes);
            }
            Arrival::Sent(Sent::End) => self.has_ended = true,
            Arrival::Sent(Sent::Reset) => self.error = Some(ErrorKind::ConnectionReset),
        }
        is_urgent || self.has_ended || self.error.is_some()
    }
}

impl<P: FakeProbe> Connect for FakeNetwork<P> {
    type Link = FakeLink<P>;

    fn peer(&self) -> &Endpoint {
        &self.peer
    }

    fn connect(&mut self, _: usize) -> io::Result<Attempt<FakeLink<P>>> {
        let now = self.clock.elapsed();
        let world = &mut *self.world.borrow_mut();
        let number = world.wires.len();
        world.attempts.push(now);
        let answer = world.server.accept(number, now);
        match answer {
            Answer::QueueFull => return Err(ErrorKind::WouldBlock.into()),
            Answer::Refuse(kind) => return Err(kind.into()),
            Answer::Accept(delay) | Answer::AcceptUnreported(delay) => {
                world.wires.push(Wire::default());
                let is_reported = matches!(answer, Answer::Accept(_));
                world.send(number, now + delay, Arrival::Connected { is_reported });
            }
            Answer::Silence => world.wires.push(Wire::default()),
        }
        world.open += 1;
        world.most_open = world.most_open.max(world.open);
        Ok(Attempt { link: FakeLink { number, network: self.clone() }, took: Duration::ZERO })
    }
}
