//! All connections of a run, in the reactor that watches them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::mem;
use std::ops::Range;
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::{Interest, Registry, Token};
use signal_hook_mio::v1_0::Signals;

use super::Options;
use super::connection::{Connection, State};
use super::lane::Lane;
use super::link::{Attempt, Connect, Link};
use crate::client::alarm::Alarm;
use crate::net::{Endpoint, delegate_source};
use crate::reactor::Reactor;

/// Without a rate, this many connections are made at the same time: few enough for the shortest of accept queues.
const MAX_CONNECTING: usize = 100;

/// What the reactor watches.
pub(super) enum Slot<'a, L: Link> {
    Connection(Connection<L>),
    Signals(&'a mut Signals),
    /// Ends a wait, and needs nothing after that.
    Alarm(Alarm),
}

/// The probe of a network's connections.
pub(super) type LinkProbe<N> = <<N as Connect>::Link as Link>::Probe;

/// What there is of the connection with a number.
#[derive(Debug)]
enum Place<P> {
    /// There is none.
    Empty,
    At(Token),
    /// It waits in the reconnect queue.
    Waiting(Box<Lane<P>>),
}

/// How many connections are in each [`State`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) connecting: usize,
    pub(super) open: usize,
    pub(super) closing: usize,
}

/// The connections, and those that are not made yet.
pub(super) struct Connections<'a, N: Connect> {
    pub(super) reactor: Reactor<Slot<'a, N::Link>>,
    network: N,
    /// New connections a second.
    rate: Option<f64>,
    /// When the first of them may begin.
    start: Instant,
    /// By the number of the connection.
    places: Vec<Place<LinkProbe<N>>>,
    counts: Counts,
    /// How many connections were begun, without those that replace another.
    begun: usize,
    /// Datagrams that this machine has dropped, of connections that are gone.
    dropped: u64,
    /// Connections that are closing and have a successor, by when they began to close.
    retired: VecDeque<(Instant, Token)>,
    /// The numbers of the connections to make again, and when.
    reconnect_queue: BinaryHeap<Reverse<(Instant, usize)>>,
}

impl<L: Link> Slot<'_, L> {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Connection(connection) => &mut connection.link,
            Self::Signals(signals) => *signals,
            Self::Alarm(alarm) => alarm,
        }
    }
}

delegate_source!(Slot<'_, L>, L: Link);

impl<'a, N: Connect> Connections<'a, N> {
    /// There is no connection yet. The first may begin at `start`.
    pub(super) fn new(network: N, options: &Options, start: Instant) -> io::Result<Self> {
        Ok(Self {
            reactor: Reactor::new()?,
            network,
            rate: options.connect_rate,
            start,
            places: (0..options.connections).map(|_| Place::Empty).collect(),
            counts: Counts::default(),
            begun: 0,
            dropped: 0,
            retired: VecDeque::new(),
            reconnect_queue: BinaryHeap::new(),
        })
    }

    pub(super) fn peer(&self) -> &Endpoint {
        self.network.peer()
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Datagrams that this machine has dropped.
    pub(super) fn dropped(&mut self) -> u64 {
        let open = self.numbers().map(|number| {
            self.by_number(number).map_or(0, |(_, connection)| connection.link.dropped())
        });
        open.sum::<u64>() + self.dropped
    }

    /// Whether every connection is open.
    pub(super) fn is_complete(&self) -> bool {
        self.counts.open == self.places.len()
    }

    /// Whether there is no connection left.
    pub(super) fn is_empty(&self) -> bool {
        let Counts { connecting, open, closing } = self.counts;
        connecting + open + closing == 0
    }

    #[inline]
    pub(super) fn get_mut(&mut self, token: Token) -> Option<&mut Connection<N::Link>> {
        match self.reactor.get_mut(token) {
            Some(Slot::Connection(connection)) => Some(connection),
            _ => None,
        }
    }

    /// The token of the connection with this number, if there is one.
    #[inline]
    pub(super) fn token(&self, number: usize) -> Option<Token> {
        match self.places.get(number) {
            Some(Place::At(token)) => Some(*token),
            _ => None,
        }
    }

    /// The connection with this number, and its token, if there is one.
    #[inline]
    pub(super) fn by_number(&mut self, number: usize) -> Option<(Token, &mut Connection<N::Link>)> {
        let token = self.token(number)?;
        Some((token, self.get_mut(token)?))
    }

    /// The numbers that connections have, whether they exist or not.
    pub(super) fn numbers(&self) -> Range<usize> {
        0..self.places.len()
    }

    /// When the next new connection may be begun; `None` if there is none, or if others must be made first.
    pub(super) fn next_new(&self, now: Instant) -> Option<Instant> {
        let is_free = self.counts.connecting + self.reconnect_queue.len() < MAX_CONNECTING;
        match self.rate {
            _ if self.begun == self.places.len() => None,
            Some(rate) => Some(self.start + Duration::from_secs_f64(self.begun as f64 / rate)),
            None => is_free.then_some(now),
        }
    }

    /// The number of the next new connection, which is begun now.
    pub(super) fn begin_new(&mut self) -> usize {
        self.begun += 1;
        self.begun - 1
    }

    /// Begins to connect for the connection with this number.
    pub(super) fn connect(&mut self, number: usize) -> io::Result<Attempt<N::Link>> {
        self.network.connect(number)
    }

    /// Adds a connection that is being made.
    ///
    /// # Errors
    ///
    /// If the system cannot watch it.
    pub(super) fn insert(&mut self, connection: Connection<N::Link>) -> io::Result<()> {
        let number = connection.lane.number;
        let token = self.reactor.insert(Slot::Connection(connection))?;
        self.places[number] = Place::At(token);
        self.counts.connecting += 1;
        // A Unix socket is connected by now, and there may be no event.
        self.reactor.requeue(token);
        Ok(())
    }

    /// A connection was made. It is driven again, since it may begin its messages.
    pub(super) fn note_open(&mut self, token: Token) {
        self.counts.connecting -= 1;
        self.counts.open += 1;
        self.reactor.requeue(token);
    }

    /// Closes a connection that is spent. Returns what goes on in another.
    pub(super) fn retire(&mut self, token: Token, now: Instant) -> Option<Lane<LinkProbe<N>>> {
        let lane = self.get_mut(token)?.retire(now);
        self.places[lane.number] = Place::Empty;
        self.retired.push_back((now, token));
        self.note_closing(token);
        Some(lane)
    }

    fn note_closing(&mut self, token: Token) {
        self.counts.open -= 1;
        self.counts.closing += 1;
        // The server may have closed already.
        self.reactor.requeue(token);
    }

    /// The next retired connection to remove: one that has been closing for too long, or that exceeds the number of
    /// connections.
    pub(super) fn next_to_reap(&mut self, is_overdue: impl Fn(Instant) -> bool) -> Option<Token> {
        while let Some((since, token)) = self.retired.front().copied()
            && (is_overdue(since) || self.retired.len() > self.places.len())
        {
            self.retired.pop_front();
            // Unless it is gone, and its token another's.
            if self.get_mut(token).is_some_and(|retired| retired.state == State::Closing(since)) {
                return Some(token);
            }
        }
        None
    }

    /// Closes the connections that are open at `now`, and removes those that are not made yet.
    pub(super) fn close_all(&mut self, now: Instant) {
        self.reconnect_queue.clear();
        for number in 0..self.places.len() {
            match self.by_number(number) {
                Some((token, connection)) if connection.state == State::Open => {
                    connection.shutdown_write(now);
                    self.note_closing(token);
                }
                Some((token, _)) => drop(self.remove(token)),
                None => self.places[number] = Place::Empty,
            }
        }
    }

    /// Has a connection made at `at`.
    pub(super) fn defer(&mut self, at: Instant, lane: Lane<LinkProbe<N>>) {
        let number = lane.number;
        debug_assert!(matches!(self.places[number], Place::Empty), "it has no successor");
        self.reconnect_queue.push(Reverse((at, number)));
        self.places[number] = Place::Waiting(Box::new(lane));
    }

    /// When the next deferred connection must be made.
    pub(super) fn next_deferred(&self) -> Option<Instant> {
        self.reconnect_queue.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the next deferred connection whose time has come.
    pub(super) fn take_deferred(&mut self, now: Instant) -> Option<Lane<LinkProbe<N>>> {
        self.next_deferred().filter(|at| *at <= now)?;
        let Reverse((_, number)) = self.reconnect_queue.pop()?;
        match mem::replace(&mut self.places[number], Place::Empty) {
            Place::Waiting(lane) => Some(*lane),
            Place::Empty | Place::At(_) => None,
        }
    }

    /// The lanes that are deferred.
    pub(super) fn deferred(&mut self) -> impl Iterator<Item = &mut Lane<LinkProbe<N>>> {
        self.places.iter_mut().filter_map(|place| match place {
            Place::Waiting(lane) => Some(lane.as_mut()),
            Place::Empty | Place::At(_) => None,
        })
    }

    /// Removes a connection. Returns what it leaves, which includes the messages that are in flight.
    pub(super) fn remove(&mut self, token: Token) -> Option<Lane<LinkProbe<N>>> {
        let Slot::Connection(Connection { link, lane, state, .. }) = self.reactor.remove(token)?
        else {
            return None;
        };
        self.dropped += link.dropped();
        match state {
            State::Connecting(_) => self.counts.connecting -= 1,
            State::Open => self.counts.open -= 1,
            State::Closing(_) => self.counts.closing -= 1,
        }
        // The place may be its successor's by now.
        if self.token(lane.number) == Some(token) {
            self.places[lane.number] = Place::Empty;
        }
        Some(lane)
    }
}
