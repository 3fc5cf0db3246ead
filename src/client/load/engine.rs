//! The loop of a run.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::thread;
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

use super::alarm::Alarm;
use super::connection::{Connection, Lane, Shared, State, Turn};
use super::plan::Plan;
use super::record::Record;
use super::{Cause, Options, Outcome, Progress, Stage, Trouble, Watch};
use crate::client::probe::Pattern;
use crate::client::{GOODBYE, dial};
use crate::net::{Endpoint, Socket, cannot, delegate_source, with_help};
use crate::reactor::{Reactor, Ready};

/// The most that one read or write moves, in bytes: as much as the server does.
const PIECE_BYTES: usize = 256 << 10;

/// Connections under way at the same time where nobody says how fast to make them: few enough for the
/// shortest of accept queues.
const CONNECTING_AT_ONCE: usize = 100;

/// Messages of an open loop that are begun before events are looked at again.
const MESSAGES_PER_TURN: usize = 256;

/// To wake up takes a processor about this long. The alarm goes off so much before a message is due, and what
/// is left then is spent asking: a message that is late is late in the figures, and a whole wait spent asking
/// would take the processor from a server that shares it.
const WAKE_UP: Duration = Duration::from_micros(50);

/// A connection that has died is replaced after this long, lest a server that refuses all be asked all the
/// time.
const REVIVAL: Duration = Duration::from_millis(100);

/// A connection for which there was no room in the server's accept queue is tried again after this long.
const RETRY: Duration = Duration::from_millis(10);

/// How often the watcher is told of the progress.
const PROGRESS: Duration = Duration::from_millis(100);

/// What the reactor watches.
enum Slot {
    Connection(Connection),
    Signals(Signals),
    /// Has done all that it can do when it has ended a wait.
    Alarm(Alarm),
}

impl Slot {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Connection(connection) => &mut connection.socket,
            Self::Signals(signals) => signals,
            Self::Alarm(alarm) => alarm,
        }
    }
}

delegate_source!(Slot);

/// What changes when anything becomes of a message: how many are settled, in flight and waiting.
type Movement = (u64, usize, u64);

pub(super) struct Engine<'a, W> {
    pub(super) options: &'a Options,
    pub(super) watch: &'a mut W,
    pub(super) shared: Shared,
    pub(super) stage: Stage,
    /// When the stage began.
    pub(super) stage_began: Instant,
    /// Whether the run is over, whatever else there would be to do.
    pub(super) is_over: bool,
    /// How often the user has asked to stop.
    pub(super) interrupts: usize,
    /// When timeouts were last looked for.
    pub(super) swept: Instant,
    /// Connections that are open.
    pub(super) open: usize,
    /// What last moved, and when.
    pub(super) moved: (Movement, Instant),
    peer: Endpoint,
    reactor: Reactor<Slot>,
    /// Goes off when the next message of an open loop is due.
    alarm: Token,
    ready: Vec<Ready>,
    /// Where each connection is, by its number.
    tokens: Vec<Option<Token>>,
    connecting: usize,
    /// Connections on which this end has said goodbye.
    closing: usize,
    /// Those of them that have a successor, and since when. In that order.
    retired: VecDeque<(Instant, Token)>,
    /// Connections that were begun, and not in the place of another.
    begun: usize,
    /// What waits for a connection in the place of one that has died, or that there was no room for, and
    /// until when. In that order.
    dead: Vec<(Instant, Lane)>,
    start: Instant,
    told: Instant,
}

impl<'a, W: Watch> Engine<'a, W> {
    pub(super) fn new(options: &'a Options, peer: Endpoint, watch: &'a mut W) -> io::Result<Self> {
        let now = Instant::now();
        let mut reactor = Reactor::new()?;
        let signals = Signals::new([SIGINT, SIGTERM]);
        let signals = signals.map_err(|e| cannot("watch for", &"signals", &e))?;
        reactor.insert(Slot::Signals(signals))?;
        let alarm = Alarm::new().map_err(|e| cannot("watch", &"the time", &e))?;
        let alarm = reactor.insert(Slot::Alarm(alarm))?;
        Ok(Self {
            options,
            watch,
            shared: Shared {
                pattern: Pattern::new(PIECE_BYTES),
                scratch: vec![0; PIECE_BYTES].into(),
                plan: Plan::new(options, now),
                record: Record::new(options.interval, options.rate),
                in_flight: 0,
                waiting: 0,
                reconnect_every: options.reconnect_every.unwrap_or(u64::MAX),
                timeout: options.timeout,
            },
            stage: Stage::Connecting,
            stage_began: now,
            is_over: false,
            interrupts: 0,
            swept: now,
            open: 0,
            moved: ((0, 0, 0), now),
            peer,
            reactor,
            alarm,
            ready: Vec::new(),
            tokens: vec![None; options.connections],
            connecting: 0,
            closing: 0,
            retired: VecDeque::new(),
            begun: 0,
            dead: Vec::new(),
            start: now,
            told: now,
        })
    }

    /// Runs to the end.
    ///
    /// # Errors
    ///
    /// Only where polling itself fails. What goes wrong with a connection is part of the outcome.
    pub(super) fn run(mut self) -> io::Result<Outcome> {
        let mut now = self.start;
        loop {
            let has_worked = self.turn(now)?;
            if self.is_over {
                return Ok(self.shared.record.finish(self.watch));
            }
            let until = Instant::now();
            if has_worked {
                self.shared.record.worked(until - now);
            }
            self.wait(until)?;
            now = Instant::now();
        }
    }

    /// Deals with all that is ready, and with what it is time for. Returns whether that was anything.
    fn turn(&mut self, now: Instant) -> io::Result<bool> {
        let ready = std::mem::take(&mut self.ready);
        let mut has_worked = !ready.is_empty();
        for ready in &ready {
            self.attend(*ready)?;
        }
        self.ready = ready;
        self.connect(now)?;
        has_worked |= self.dispatch(now);
        self.sweep(now);
        self.advance(now);
        if now >= self.told + PROGRESS {
            self.told = now;
            self.watch.progress(&self.progress(now));
        }
        Ok(has_worked)
    }

    #[inline]
    fn attend(&mut self, Ready { token, special }: Ready) -> io::Result<()> {
        match self.reactor.get_mut(token) {
            Some(Slot::Connection(connection)) => {
                match connection.drive(special, &self.peer, &mut self.shared) {
                    Ok(Turn::Wait) => Ok(()),
                    outcome => self.follow_up(token, outcome),
                }
            }
            Some(Slot::Signals(signals)) => {
                self.interrupts += signals.pending().count();
                Ok(())
            }
            Some(Slot::Alarm(_)) | None => Ok(()),
        }
    }

    #[inline(never)]
    fn follow_up(&mut self, token: Token, outcome: Result<Turn, Cause>) -> io::Result<()> {
        match outcome {
            Ok(Turn::Wait) => {}
            Ok(Turn::Again) => self.reactor.again(token),
            Ok(Turn::Connected) => {
                self.connecting -= 1;
                self.open += 1;
                // There may be something to begin.
                self.reactor.again(token);
            }
            Ok(Turn::Spent) => return self.replace(token),
            Ok(Turn::Closed) => drop(self.take(token)),
            Err(cause) => self.bury(token, cause),
        }
        Ok(())
    }

    /// Takes a connection off the books, with what it had in flight.
    fn take(&mut self, token: Token) -> Option<Lane> {
        let Slot::Connection(Connection { lane, state, .. }) = self.reactor.remove(token)? else {
            return None;
        };
        match state {
            State::Connecting(_) => self.connecting -= 1,
            State::Open => self.open -= 1,
            State::Closing(_) => self.closing -= 1,
        }
        self.shared.in_flight -= lane.probe.in_flight();
        // It may be its successor's by now.
        self.tokens[lane.number].take_if(|of| *of == token);
        Some(lane)
    }

    /// Lets a connection that has had its number of messages end in its own time, and makes another in its
    /// place.
    fn replace(&mut self, token: Token) -> io::Result<()> {
        let Some(Slot::Connection(connection)) = self.reactor.get_mut(token) else { return Ok(()) };
        let now = Instant::now();
        let lane = connection.retire(now);
        self.tokens[lane.number] = None;
        (self.open, self.closing) = (self.open - 1, self.closing + 1);
        self.retired.push_back((now, token));
        // Its end may be there already.
        self.reactor.again(token);
        self.forget(now);
        if self.is_needed(&lane) { self.open(lane, now) } else { Ok(()) }
    }

    /// Closes what was replaced and has not ended by itself: after a while, or where there is too much of it.
    fn forget(&mut self, now: Instant) {
        while let Some((since, token)) = self.retired.front().copied()
            && (now >= since + GOODBYE || self.retired.len() > self.options.connections)
        {
            self.retired.pop_front();
            // If it is not somebody else by now.
            if let Some(Slot::Connection(connection)) = self.reactor.get_mut(token)
                && connection.state == State::Closing(since)
            {
                drop(self.take(token));
            }
        }
    }

    /// Whether there is something to do for a connection that does not exist yet.
    fn is_needed(&self, lane: &Lane) -> bool {
        match self.stage {
            Stage::Connecting | Stage::WarmingUp | Stage::Measuring => true,
            Stage::Draining | Stage::Closing => lane.is_waited_for(),
        }
    }

    /// Says goodbye on all connections, and drops those that are not made yet.
    pub(super) fn say_goodbye(&mut self, now: Instant) {
        self.dead.clear();
        for token in self.tokens.clone().into_iter().flatten() {
            match self.reactor.get_mut(token) {
                Some(Slot::Connection(connection)) if connection.state == State::Open => {
                    connection.say_goodbye(now);
                    (self.open, self.closing) = (self.open - 1, self.closing + 1);
                    self.reactor.again(token);
                }
                _ => drop(self.take(token)),
            }
        }
    }

    /// A connection has died.
    fn bury(&mut self, token: Token, cause: Cause) {
        let local = match self.reactor.get_mut(token) {
            Some(Slot::Connection(connection)) => connection.socket.local_addr().ok(),
            _ => None,
        };
        if let Some(lane) = self.take(token) {
            lane.lose(Instant::now(), &mut self.shared);
            self.note(lane, local, cause);
        }
    }

    fn note(&mut self, lane: Lane, local: Option<Endpoint>, cause: Cause) {
        let is_wrong = matches!(&cause, Cause::Fault(fault) if fault.is_wrong());
        let now = Instant::now();
        self.look_for_movement(now);
        // Nothing excuses wrong bytes, or a server that cannot be reached in the first place, or any more.
        let is_excused = self.options.keep_going
            && !is_wrong
            && self.stage != Stage::Connecting
            && !self.is_forsaken(now);
        let cause = match cause {
            Cause::Connect(e) => {
                Cause::Connect(with_help(cannot("connect to", &self.peer, &e), dial::help))
            }
            cause => cause,
        };
        let connection = lane.number;
        self.shared.record.trouble(Trouble { connection, local, cause, is_fatal: !is_excused });
        if is_excused {
            self.defer(now + REVIVAL, lane);
        } else {
            self.fail();
        }
    }

    /// Has a connection made later.
    fn defer(&mut self, at: Instant, lane: Lane) {
        let place = self.dead.partition_point(|(other, _)| *other <= at);
        self.dead.insert(place, (at, lane));
    }

    /// Begins what connections it is time for.
    fn connect(&mut self, now: Instant) -> io::Result<()> {
        self.forget(now);
        while self.dead.first().is_some_and(|(at, _)| *at <= now) {
            let (_, lane) = self.dead.remove(0);
            if self.is_needed(&lane) {
                self.open(lane, now)?;
            }
        }
        while !self.is_over && self.begun < self.options.connections && self.may_connect(now) {
            let lane = Lane::new(self.begun, self.options.depth);
            self.begun += 1;
            self.open(lane, now)?;
        }
        Ok(())
    }

    fn may_connect(&self, now: Instant) -> bool {
        match self.connect_at() {
            Some(at) => at <= now,
            None => self.connecting + self.dead.len() < CONNECTING_AT_ONCE,
        }
    }

    /// When to begin the next connection, where that was said.
    fn connect_at(&self) -> Option<Instant> {
        let rate = self.options.connect_rate?;
        Some(self.start + Duration::from_secs_f64(self.begun as f64 / rate))
    }

    fn open(&mut self, mut lane: Lane, now: Instant) -> io::Result<()> {
        let sources = &self.options.sources;
        let socket = match sources.get(lane.number % sources.len().max(1)) {
            Some(source) => Socket::connect_from(*source, &self.peer),
            None => Socket::connect(&self.peer),
        };
        match socket {
            Ok(socket) => {
                let number = lane.number;
                let connection = Connection::new(socket, lane, now);
                let token = self.reactor.insert(Slot::Connection(connection))?;
                self.tokens[number] = Some(token);
                self.connecting += 1;
                // A Unix socket is connected by now, and no event may tell.
                self.reactor.again(token);
            }
            // The full accept queue of a Unix socket, connect(2): a TCP one would have it wait.
            Err(e)
                if e.kind() == ErrorKind::WouldBlock
                    && now < lane.refuse(now) + self.options.timeout =>
            {
                self.defer(now + RETRY, lane);
            }
            Err(e) => self.note(lane, None, Cause::Connect(e)),
        }
        Ok(())
    }

    /// Begins what messages of an open loop have fallen due. Returns whether there were any.
    fn dispatch(&mut self, now: Instant) -> bool {
        for done in 0..MESSAGES_PER_TURN {
            let Some((number, due)) = self.shared.plan.fall_due(now) else { return done > 0 };
            let now = Instant::now();
            self.shared.take_up(due, now);
            let Some(token) = self.tokens[number] else {
                let lane = self.dead.iter_mut().find(|(_, lane)| lane.number == number);
                lane.into_iter().for_each(|(_, lane)| lane.wait(&mut self.shared));
                continue;
            };
            if let Some(Slot::Connection(connection)) = self.reactor.get_mut(token)
                && let Err(fault) = connection.fall_due(now, &mut self.shared)
            {
                self.bury(token, fault.into());
            }
        }
        true
    }

    /// Waits for an event, or until it is time for something.
    fn wait(&mut self, now: Instant) -> io::Result<()> {
        let due = self.shared.plan.next_due();
        if due.is_some_and(|due| due <= now + WAKE_UP) {
            self.reactor.wait(Some(Duration::ZERO), &mut self.ready)?;
            if self.ready.is_empty() {
                // Whoever else wants this processor may be the server.
                thread::yield_now();
            }
            return Ok(());
        }
        let wake_up = due.map(|due| due - WAKE_UP);
        if let (Some(at), Some(Slot::Alarm(alarm))) = (wake_up, self.reactor.get_mut(self.alarm)) {
            alarm.set(at, now)?;
        }
        let first = [
            wake_up,
            Some(self.told + PROGRESS),
            self.stage_ends_at(),
            self.dead.first().map(|(at, _)| *at),
            self.connect_at().filter(|_| self.begun < self.options.connections),
        ];
        let first = first.into_iter().flatten().min();
        let timeout = first.map(|at| at.saturating_duration_since(now));
        self.reactor.wait(timeout, &mut self.ready)
    }

    /// Does something to each connection, and has it driven.
    pub(super) fn each(&mut self, mut act: impl FnMut(&mut Connection, &mut Shared)) {
        for token in self.tokens.iter().flatten() {
            if let Some(Slot::Connection(connection)) = self.reactor.get_mut(*token) {
                act(connection, &mut self.shared);
                self.reactor.again(*token);
            }
        }
    }

    /// Gives up what waits to be sent.
    pub(super) fn forgo(&mut self, end: Instant) {
        self.each(|connection, shared| connection.lane.forgo(end, shared));
        self.dead.iter_mut().for_each(|(_, lane)| lane.forgo(end, &mut self.shared));
        self.shared.forgo(end);
    }

    /// Closes the connections that have waited for the server for too long.
    pub(super) fn bury_late(&mut self, now: Instant) {
        let timeout = self.options.timeout;
        let mut late = Vec::new();
        for token in self.tokens.iter().flatten() {
            if let Some(Slot::Connection(connection)) = self.reactor.get_mut(*token)
                && connection.waiting_since().is_some_and(|since| now > since + timeout)
            {
                late.push((*token, connection.timed_out(timeout)));
            }
        }
        late.into_iter().for_each(|(token, cause)| self.bury(token, cause));
    }

    /// Whether every connection is there.
    pub(super) fn is_complete(&self) -> bool {
        self.open == self.options.connections
    }

    /// Whether there is no connection left.
    pub(super) fn is_empty(&self) -> bool {
        self.open + self.connecting + self.closing == 0
    }

    fn progress(&self, now: Instant) -> Progress {
        let (measured, fraction) = self.shared.progress(now);
        Progress {
            stage: self.stage,
            connections: self.open,
            messages: self.shared.record.messages(),
            measured,
            fraction,
        }
    }
}
