//! The kernel, the network and everybody else: what the server's system calls act on.
//!
//! Edges are kept as epoll keeps them. One arises when something changes; it is told once; and what is
//! told is what is true at the time of telling, if anything still is.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::time::Duration;

use mio::Token;
use resound::observe::ConnId;
use resound::reactor::Ready;
use rustix::io::Errno;

use crate::clock::Clock;
use crate::coverage::{Coverage, Feature};
use crate::grammar::OF_ONE;
use crate::kit::rng::Rng;
use crate::scenario::Scenario;
use crate::socket::{Peer, Place, Socket};

/// Connection attempts that go on while the accept queue is full.
const WAITING: usize = 64;

#[derive(Debug)]
pub struct World {
    pub scenario: Scenario,
    pub rng: Rng,
    pub clock: Clock,
    pub sockets: Vec<Socket>,
    /// Those which are not gone.
    pub alive: Vec<usize>,
    /// Those which the server has accepted.
    pub live: Vec<usize>,
    pub listeners: [Listening; 2],
    /// How many connections can be accepted before there are no descriptors left.
    pub descriptors: usize,
    pub life: Life,
    /// Faults have stopped.
    pub is_calm: bool,
    /// The first thing that was wrong.
    pub wrong: Option<String>,
    /// The number of this turn, and the system calls in it.
    pub turn: u64,
    pub calls: usize,
    /// Connections that went in this turn.
    pub gone: usize,
    /// Connections that went and of whose end the server has not told, less those it told of too soon.
    pub unannounced: i64,
    /// The most connections at once, and the slots used for all, since the server started.
    pub most_live: usize,
    pub tokens_used: usize,
    /// The newest identifier of a connection.
    pub last_conn: Option<ConnId>,
    /// Whose events this turn deals with, and whose the next one will.
    pub batches: [Vec<Token>; 2],
    /// Turns since the server should have stopped.
    pub late: usize,
    pub coverage: Coverage,
}

/// What was asked of the server.
#[derive(Clone, Copy, Debug)]
pub enum Life {
    Serving,
    /// Since then, as the server has it and as the wall has it.
    Stopping {
        since: Duration,
        raw: Duration,
    },
    Aborted,
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
    pub vain: usize,
    /// How often accepting has failed since somebody was accepted.
    pub failures: usize,
    /// Whether accepting has failed for want of something since the queue was last seen to be empty.
    pub has_failed: bool,
    pub exhaustion: Option<Exhaustion>,
    /// The turn in which accepting is to be tried again at the latest, since a descriptor was set free.
    pub due: Option<u64>,
    /// There has been somebody to accept, and no reason not to, since then...
    pub deaf: Option<Duration>,
    /// ...and for so many turns for too long.
    pub late: usize,
}

/// Accepting fails for want of descriptors.
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
            live: Vec::new(),
            listeners: Default::default(),
            descriptors: usize::MAX,
            life: Life::Serving,
            is_calm: false,
            wrong: None,
            turn: 0,
            calls: 0,
            gone: 0,
            unannounced: 0,
            most_live: 0,
            tokens_used: 0,
            last_conn: None,
            batches: Default::default(),
            late: 0,
            coverage: Coverage::default(),
        }
    }

    pub fn fail(&mut self, what: impl FnOnce() -> String) {
        if self.wrong.is_none() {
            self.wrong = Some(what());
        }
    }

    /// Whether the server was told to stop so long ago, on the wall's clock.
    pub fn has_stopped_for(&self, time: Duration) -> bool {
        match self.life {
            Life::Serving => false,
            Life::Stopping { raw, .. } => self.clock.raw - raw >= time,
            Life::Aborted => true,
        }
    }

    pub fn is_stopping(&self) -> bool {
        !matches!(self.life, Life::Serving)
    }

    /// Whether something happens that may happen so often of 1024 times.
    pub fn chance(&mut self, of_1024: u32) -> bool {
        !self.is_calm && self.rng.chance(of_1024)
    }

    pub fn connect(&mut self, listener: usize, ip: u8, spaces: [u64; 2]) {
        if !self.listeners[listener].is_open || self.listeners[listener].waiting.len() >= WAITING {
            return;
        }
        let id = self.sockets.len();
        self.sockets.push(Socket::new(id, listener, ip, spaces));
        self.alive.push(id);
        self.listeners[listener].waiting.push_back(id);
        self.enqueue(listener);
    }

    /// Lets in whoever waits, while there is room in the accept queue.
    pub fn enqueue(&mut self, listener: usize) {
        let backlog = self.scenario.backlog;
        let listening = &mut self.listeners[listener];
        while listening.queue.len() < backlog
            && let Some(id) = listening.waiting.pop_front()
        {
            self.sockets[id].place = Place::Queued;
            listening.queue.push_back(id);
            listening.edge = true;
        }
        if !listening.waiting.is_empty() {
            self.coverage.note(Feature::FullQueue);
        }
    }

    /// Lets the network do its part for everybody. Returns whether there was any.
    pub fn flow(&mut self) -> bool {
        let Self { sockets, alive, rng, is_calm, clock, .. } = self;
        let mut flowed = false;
        for id in alive.iter() {
            flowed |= sockets[*id].flow(rng, *is_calm, clock.served);
        }
        (0..2).for_each(|listener| self.enqueue(listener));
        flowed | self.answer_goodbyes()
    }

    /// Whoever has been told goodbye, and sees it, says goodbye too, sooner or later.
    fn answer_goodbyes(&mut self) -> bool {
        let Self { sockets, live, rng, is_calm, .. } = self;
        let mut answered = false;
        for id in live.iter() {
            let socket = &mut sockets[*id];
            let sees = socket.ledger.goodbye.is_some() && socket.taken == socket.written;
            if sees && socket.is_alive() && !socket.fin && (*is_calm || rng.chance(200)) {
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
            self.sockets[id].break_off(Errno::CONNRESET, &mut self.rng);
        }
    }

    /// Tells of the edges, of each once.
    pub fn tell(&mut self, told: &mut Vec<Ready>) {
        for listener in 0..2 {
            told.extend(self.tell_listener(listener));
        }
        for at in 0..self.live.len() {
            told.extend(self.tell_socket(self.live[at]));
        }
        if self.chance(self.scenario.fault_rates.spurious) {
            told.push(self.spurious());
        }
        if !told.is_empty() && !self.is_calm {
            let by = self.rng.index(told.len());
            told.rotate_left(by);
        }
        self.batches[1].extend(told.iter().map(|ready| ready.token));
    }

    fn tell_listener(&mut self, listener: usize) -> Option<Ready> {
        if !self.listeners[listener].edge || self.chance(self.scenario.fault_rates.withheld) {
            return None;
        }
        let listening = &mut self.listeners[listener];
        let token = listening.token?;
        listening.edge = false;
        listening.vain = 0;
        (!listening.queue.is_empty()).then_some(Ready { token, exceptional: false })
    }

    fn tell_socket(&mut self, id: usize) -> Option<Ready> {
        if !self.sockets[id].edge || self.chance(self.scenario.fault_rates.withheld) {
            return None;
        }
        let socket = &mut self.sockets[id];
        let token = socket.token?;
        socket.edge = false;
        socket.ledger.vain = 0;
        socket.poll().map(|exceptional| Ready { token, exceptional })
    }

    /// An event about nothing, perhaps of somebody who is gone.
    fn spurious(&mut self) -> Ready {
        self.coverage.note(Feature::Spurious);
        let token = Token(self.rng.index(4 + self.live.len()));
        for id in &self.live {
            if self.sockets[*id].token == Some(token) {
                self.sockets[*id].ledger.vain = 0;
            }
        }
        for listening in self.listeners.iter_mut().filter(|l| l.token == Some(token)) {
            listening.vain = 0;
        }
        Ready { token, exceptional: self.rng.chance(512) }
    }

    /// accept(2), as far as the kernel goes.
    pub fn accept(&mut self, listener: usize) -> io::Result<usize> {
        if self.chance(self.scenario.fault_rates.meanwhile) {
            self.enqueue(listener);
        }
        let listening = &mut self.listeners[listener];
        match listening.failing.front().copied() {
            // Needs somebody to have gone wrong.
            Some(error) if OF_ONE.contains(&error) && listening.queue.is_empty() => {}
            Some(error) => return Err(self.fail_to_accept(listener, error)),
            None => {}
        }
        if self.live.len() >= self.descriptors {
            return Err(Errno::MFILE.into());
        }
        let Some(id) = self.listeners[listener].queue.pop_front() else {
            return Err(ErrorKind::WouldBlock.into());
        };
        self.enqueue(listener);
        self.sockets[id].place = Place::Accepted;
        self.live.push(id);
        Ok(id)
    }

    fn fail_to_accept(&mut self, listener: usize, error: Errno) -> io::Error {
        let listening = &mut self.listeners[listener];
        listening.failing.pop_front();
        if OF_ONE.contains(&error) {
            self.coverage.note(Feature::AcceptFailsOfOne);
            if error != Errno::INTR
                && let Some(id) = listening.queue.pop_front()
            {
                self.lose(id);
            }
        }
        error.into()
    }

    /// The server has no more to do with it.
    pub fn lose(&mut self, id: usize) {
        self.sockets[id].place = Place::Gone;
        self.alive.retain(|other| *other != id);
        self.live.retain(|other| *other != id);
    }

    /// The queue of a listener that is closed goes with it.
    pub fn close_listener(&mut self, listener: usize) {
        let listening = std::mem::take(&mut self.listeners[listener]);
        listening.queue.into_iter().chain(listening.waiting).for_each(|id| self.lose(id));
    }

    /// Somebody who can still do something.
    pub fn somebody(&mut self, who: u16) -> Option<&mut Socket> {
        let id = *self.alive.get(usize::from(who).checked_rem(self.alive.len())?)?;
        Some(&mut self.sockets[id]).filter(|socket| socket.is_alive())
    }

    /// From now on everybody who can means well.
    pub fn calm(&mut self) {
        self.is_calm = true;
        self.descriptors = usize::MAX;
        for listening in &mut self.listeners {
            listening.failing.clear();
        }
        for id in &self.alive {
            let socket = &mut self.sockets[*id];
            socket.is_reading = true;
            socket.ledger.unasked = 0;
            // The kernel gives up what nobody acknowledges.
            if socket.peer == Peer::Vanished && (socket.pending() > 0 || socket.left() > 0) {
                socket.break_off(Errno::TIMEDOUT, &mut self.rng);
            }
        }
    }

    /// A new server is about to take the place of one that has ended.
    pub fn restart(&mut self) {
        self.life = Life::Serving;
        self.clock.served = self.clock.raw;
        self.most_live = 0;
        self.tokens_used = 0;
        self.last_conn = None;
        self.late = 0;
    }
}
