//! The kernel, the network and the peers: what the server's system calls act on.
//!
//! Edges work as in epoll. An edge arises when something changes, and is delivered once. The event reports what is true
//! at the time of delivery, and there is no event if nothing is ready then.

use std::collections::{HashSet, VecDeque};
use std::io::{self, ErrorKind};
use std::time::Duration;

use mio::Token;
use resound::observe::ConnId;
use resound::reactor::Ready;
use rustix::io::Errno;

use crate::clock::Clock;
use crate::coverage::{Coverage, Feature};
use crate::datagrams::{SOCKETS, Udp};
use crate::gate::Gate;
use crate::grammar::PER_CONNECTION;
use crate::header::Header;
use crate::kit::rng::Rng;
use crate::metrics::Http;
use crate::scenario::{LISTENERS, PROXIED, Queue, SERVICES, Scenario};
use crate::socket::{Peer, Place, Socket};

/// Connection attempts that wait while the accept queue is full.
const WAITING: usize = 64;

/// The last byte of the address of a proxy that the server does not know.
const UNKNOWN_PROXY: u8 = 9;

#[derive(Debug)]
pub struct World {
    pub scenario: Scenario,
    pub rng: Rng,
    pub clock: Clock,
    pub sockets: Vec<Socket>,
    /// The sockets that are not gone.
    pub alive: Vec<usize>,
    /// Of those, the ones that the server has accepted.
    pub accepted: Vec<usize>,
    pub listeners: [Listening; LISTENERS],
    /// Accepted connections for which there are descriptors.
    pub descriptors: usize,
    pub request: Request,
    /// Whether faults are injected.
    pub has_faults: bool,
    /// The first failure.
    pub failure: Option<String>,
    /// The number of this turn, and the system calls in it.
    pub turn: u64,
    pub calls: usize,
    /// Connections that the server closed in this turn.
    pub closed: usize,
    /// Closed connections whose end the server has not reported, less those whose end it reported before closing them.
    pub unreported: i64,
    /// The most connections at once, and the slots that were ever used, since the server started.
    pub most_accepted: usize,
    pub tokens_used: usize,
    /// The identifiers of connections since the server started.
    pub conns: HashSet<ConnId>,
    /// Tokens with events in the last turn, and in this one.
    pub batches: [Vec<Token>; 2],
    /// Turns since the server should have stopped.
    pub late_turns: usize,
    pub totals: Totals,
    /// The turn in which the server notified its services that it stops or drains.
    pub notified_in: u64,
    pub http: Http,
    pub udp: Udp,
    pub gate: Gate,
    pub coverage: Coverage,
}

/// What the server did since it was started.
#[derive(Debug, Default)]
pub struct Totals {
    pub accepted: u64,
    pub read: u64,
    pub written: u64,
}

/// What the server was asked to do.
#[derive(Clone, Copy, Debug)]
pub enum Request {
    None,
    /// To stop, since when on the caller's clock. It still accepts, for the drain delay.
    Leave {
        raw: Duration,
    },
    /// To stop, and it drains: since when, on the served clock and on the caller's.
    Stop {
        since: Duration,
        raw: Duration,
    },
    /// To stop at once: while it drained, or before.
    Abort {
        has_drained: bool,
    },
}

#[derive(Debug, Default)]
pub struct Listening {
    pub token: Option<Token>,
    pub is_open: bool,
    pub queue: VecDeque<usize>,
    pub waiting: VecDeque<usize>,
    /// What the next calls of accept fail with.
    pub failing: VecDeque<Errno>,
    pub edge: bool,
    pub calls: usize,
    /// Whether a connection was accepted in this turn.
    pub has_accepted: bool,
    pub futile: usize,
    /// Failures in a row.
    pub failures: usize,
    /// Whether the server may back off: accepting has failed since the queue was last found empty.
    pub has_failed: bool,
    pub exhaustion: Option<Exhaustion>,
    /// The turn by which the server must retry, since a descriptor was freed.
    pub retry_due: Option<u64>,
    /// Connections joined the queue without an event.
    pub is_silent: bool,
    /// When the server looked into the empty queue without an event.
    pub looked: Duration,
    /// Since when the queue holds connections that the server has no reason to leave...
    pub unserved_since: Option<Duration>,
    /// ...and for how many turns it has been too late.
    pub late_turns: usize,
}

/// Accepting fails because descriptors are short.
#[derive(Debug)]
pub struct Exhaustion {
    pub since: Duration,
    pub failures: u32,
    pub allowed: u32,
}

impl World {
    pub fn new(scenario: Scenario) -> Self {
        Self {
            scenario,
            rng: Rng::new(0),
            clock: Clock::default(),
            sockets: Vec::new(),
            alive: Vec::new(),
            accepted: Vec::new(),
            listeners: Default::default(),
            descriptors: usize::MAX,
            request: Request::None,
            has_faults: true,
            failure: None,
            turn: 0,
            calls: 0,
            closed: 0,
            unreported: 0,
            most_accepted: 0,
            tokens_used: 0,
            conns: HashSet::new(),
            batches: Default::default(),
            late_turns: 0,
            totals: Totals::default(),
            notified_in: 0,
            http: Http::default(),
            udp: Udp::default(),
            gate: Gate::default(),
            coverage: Coverage::default(),
        }
    }

    pub fn fail(&mut self, what: impl FnOnce() -> String) {
        if self.failure.is_none() {
            self.failure = Some(what());
        }
    }

    /// Whether the server has drained for at least `time`, on the caller's clock.
    pub fn has_stopped_for(&self, time: Duration) -> bool {
        match self.request {
            Request::None | Request::Leave { .. } => false,
            Request::Stop { raw, .. } => self.clock.raw - raw >= time,
            Request::Abort { .. } => true,
        }
    }

    /// Whether the server drains, or must stop at once.
    pub fn is_stopping(&self) -> bool {
        !matches!(self.request, Request::None | Request::Leave { .. })
    }

    /// Whether the server has begun to drain.
    pub fn has_drained(&self) -> bool {
        self.is_stopping() && !matches!(self.request, Request::Abort { has_drained: false })
    }

    /// Whether it is time to drain: the server may do so before it reports it.
    pub fn may_drain(&self) -> bool {
        match self.request {
            Request::None => false,
            Request::Leave { raw } => self.clock.raw - raw >= self.scenario.config.drain_delay,
            Request::Stop { .. } | Request::Abort { .. } => true,
        }
    }

    /// What the server does if it is asked to stop now.
    pub fn next_request(&self) -> Request {
        let (served, raw) = (self.clock.served, self.clock.raw);
        match self.request {
            Request::None if self.scenario.config.drain_delay.is_zero() => {
                Request::Stop { since: served, raw }
            }
            Request::None => Request::Leave { raw },
            Request::Leave { .. } => Request::Abort { has_drained: false },
            Request::Stop { .. } => Request::Abort { has_drained: true },
            Request::Abort { .. } => self.request,
        }
    }

    /// Whether a fault with this rate happens now.
    pub fn chance(&mut self, of_1024: u32) -> bool {
        self.has_faults && self.rng.chance(of_1024)
    }

    pub fn connect(&mut self, listener: usize, ip: u8, spaces: [u64; 2]) {
        if !self.listeners[listener].is_open || self.listeners[listener].waiting.len() >= WAITING {
            return;
        }
        let id = self.sockets.len();
        let socket = self.new_socket(listener, ip, spaces);
        self.sockets.push(socket);
        self.alive.push(id);
        self.listeners[listener].waiting.push_back(id);
        self.enqueue(listener);
    }

    fn new_socket(&mut self, listener: usize, ip: u8, spaces: [u64; 2]) -> Socket {
        let id = self.sockets.len();
        if listener != PROXIED {
            return Socket::new(id, listener == 0, ip, spaces);
        }
        let ip = if self.rng.below(16) == 0 { UNKNOWN_PROXY } else { ip };
        let mut header = Header::new(&mut self.rng, id);
        if self.rng.chance(512) {
            header.send_all();
        }
        let socket = Socket::new(id, self.scenario.are_proxies_tcp, ip, spaces);
        Socket { header: Some(header), ..socket }
    }

    /// Moves waiting connection attempts into the accept queue while there is room.
    pub fn enqueue(&mut self, listener: usize) {
        let backlog = self.scenario.backlog;
        while self.listeners[listener].queue.len() < backlog
            && let Some(id) = self.listeners[listener].waiting.pop_front()
        {
            self.sockets[id].place = Place::Queued;
            let is_silent = self.scenario.queues[listener] == Queue::Shared
                && self.chance(self.scenario.fault_rates.unreported);
            let listening = &mut self.listeners[listener];
            listening.queue.push_back(id);
            listening.edge |= !is_silent;
            listening.is_silent |= is_silent;
        }
        let listening = &self.listeners[listener];
        if !listening.waiting.is_empty() {
            self.coverage.note(Feature::FullQueue);
        }
    }

    /// Lets the network move bytes of all connections. Returns whether any moved.
    pub fn flow(&mut self) -> bool {
        let Self { sockets, alive, rng, has_faults, clock, .. } = self;
        let mut flowed = false;
        for id in alive.iter() {
            flowed |= sockets[*id].flow(rng, !*has_faults, clock.served);
        }
        (0..LISTENERS).for_each(|listener| self.enqueue(listener));
        flowed | self.answer_half_closes()
    }

    /// A peer that has read the end of its echo ends its own stream too, sooner or later.
    fn answer_half_closes(&mut self) -> bool {
        let Self { sockets, accepted, rng, has_faults, .. } = self;
        let mut answered = false;
        for id in accepted.iter() {
            let socket = &mut sockets[*id];
            let sees_end = socket.ledger.half_closed_at.is_some() && socket.taken == socket.written;
            if sees_end && socket.is_alive() && !socket.fin && (!*has_faults || rng.chance(200)) {
                socket.fin = true;
                answered = true;
            }
        }
        answered
    }

    /// Something may arrive between two system calls.
    pub fn meanwhile(&mut self, id: usize) {
        if self.chance(self.scenario.fault_rates.meanwhile) {
            self.sockets[id].flow(&mut self.rng, false, self.clock.served);
        }
        if self.chance(self.scenario.fault_rates.reset) {
            self.coverage.note(Feature::ResetMidTurn);
            self.sockets[id].fail_with(Errno::CONNRESET, &mut self.rng);
        }
    }

    /// Delivers the edges, each once.
    pub fn deliver_events(&mut self, events: &mut Vec<Ready>) {
        for listener in 0..LISTENERS {
            events.extend(self.listener_event(listener));
        }
        for socket in 0..SOCKETS {
            events.extend(self.udp_event(socket));
        }
        for at in 0..self.accepted.len() {
            events.extend(self.socket_event(self.accepted[at]));
        }
        if self.chance(self.scenario.fault_rates.spurious) {
            events.push(self.spurious());
        }
        if !events.is_empty() && self.has_faults {
            let by = self.rng.index(events.len());
            events.rotate_left(by);
        }
        self.batches[1].extend(events.iter().map(|ready| ready.token));
    }

    fn listener_event(&mut self, listener: usize) -> Option<Ready> {
        if !self.listeners[listener].edge || self.chance(self.scenario.fault_rates.withheld) {
            return None;
        }
        let listening = &mut self.listeners[listener];
        let token = listening.token?;
        listening.edge = false;
        listening.futile = 0;
        (!listening.queue.is_empty()).then_some(Ready { token, exceptional: false })
    }

    fn socket_event(&mut self, id: usize) -> Option<Ready> {
        if !self.sockets[id].edge || self.chance(self.scenario.fault_rates.withheld) {
            return None;
        }
        let socket = &mut self.sockets[id];
        let token = socket.token?;
        socket.edge = false;
        socket.ledger.futile = 0;
        socket.poll().map(|exceptional| Ready { token, exceptional })
    }

    /// An event for no reason, perhaps for a source that is gone.
    fn spurious(&mut self) -> Ready {
        self.coverage.note(Feature::Spurious);
        let token = Token(self.rng.index(LISTENERS + SERVICES + 2 + self.accepted.len()));
        for id in &self.accepted {
            if self.sockets[*id].token == Some(token) {
                self.sockets[*id].ledger.futile = 0;
            }
        }
        for listening in self.listeners.iter_mut().filter(|l| l.token == Some(token)) {
            listening.futile = 0;
        }
        self.udp.excuse(token);
        Ready { token, exceptional: self.rng.chance(512) }
    }

    /// accept(2), as far as the kernel goes.
    pub fn accept(&mut self, listener: usize) -> io::Result<usize> {
        if self.chance(self.scenario.fault_rates.meanwhile) {
            self.enqueue(listener);
        }
        let listening = &mut self.listeners[listener];
        match listening.failing.front().copied() {
            // Such an error needs a connection to fail.
            Some(error) if PER_CONNECTION.contains(&error) && listening.queue.is_empty() => {}
            Some(error) => return Err(self.fail_to_accept(listener, error)),
            None => {}
        }
        if self.accepted.len() >= self.descriptors {
            return Err(Errno::MFILE.into());
        }
        let Some(id) = self.listeners[listener].queue.pop_front() else {
            return Err(ErrorKind::WouldBlock.into());
        };
        self.enqueue(listener);
        self.sockets[id].place = Place::Accepted;
        self.accepted.push(id);
        Ok(id)
    }

    fn fail_to_accept(&mut self, listener: usize, error: Errno) -> io::Error {
        let listening = &mut self.listeners[listener];
        listening.failing.pop_front();
        if PER_CONNECTION.contains(&error) {
            self.coverage.note(Feature::AcceptFailsPerConnection);
            if error != Errno::INTR
                && let Some(id) = listening.queue.pop_front()
            {
                self.remove(id);
            }
        }
        error.into()
    }

    /// Forgets a socket that the server has closed, or that it can no longer accept.
    pub fn remove(&mut self, id: usize) {
        self.sockets[id].place = Place::Gone;
        self.alive.retain(|other| *other != id);
        self.accepted.retain(|other| *other != id);
    }

    /// Closes a listener with all that waits in its queue, unless the next server has that queue too.
    pub fn close_listener(&mut self, listener: usize) {
        let listening = std::mem::take(&mut self.listeners[listener]);
        if self.scenario.queues[listener] == Queue::Inherited {
            let Listening { queue, waiting, .. } = listening;
            self.listeners[listener] =
                Listening { queue, waiting, is_open: true, ..Listening::default() };
            return;
        }
        listening.queue.into_iter().chain(listening.waiting).for_each(|id| self.remove(id));
    }

    /// The peer that `index` means, if it can still act.
    pub fn nth_peer(&mut self, index: u16) -> Option<&mut Socket> {
        let id = *self.alive.get(usize::from(index).checked_rem(self.alive.len())?)?;
        Some(&mut self.sockets[id]).filter(|socket| socket.is_alive())
    }

    /// Injects no more faults: errors stop, and each peer reads.
    pub fn stop_faults(&mut self) {
        self.has_faults = false;
        self.descriptors = usize::MAX;
        self.http.send_all();
        self.udp.stop_failing();
        for listening in &mut self.listeners {
            listening.failing.clear();
        }
        for id in &self.alive {
            let socket = &mut self.sockets[*id];
            socket.is_reading = true;
            socket.send_header();
            socket.ledger.unfinished_turns = 0;
            // The kernel gives up a connection whose peer acknowledges nothing.
            if socket.peer == Peer::Vanished
                && (socket.pending() > 0 || socket.unacknowledged() > 0)
            {
                socket.fail_with(Errno::TIMEDOUT, &mut self.rng);
            }
        }
    }

    /// Prepares for a new server, after one has ended.
    pub fn restart(&mut self) {
        self.request = Request::None;
        self.clock.served = self.clock.raw;
        self.most_accepted = 0;
        self.tokens_used = 0;
        self.conns.clear();
        self.totals = Totals::default();
        self.gate = Gate::default();
        self.late_turns = 0;
    }
}
