//! The loop of a run.

use std::collections::VecDeque;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

use super::connection::{Connection, Lane, Shared, Turn};
use super::plan::Plan;
use super::record::Record;
use super::{Cause, Options, Outcome, Progress, Stage, Watch};
use crate::client::alarm::Alarm;
use crate::client::probe::Pattern;
use crate::net::{Endpoint, cannot, delegate_source};
use crate::reactor::{Reactor, Ready};

/// The most that one read moves, in bytes: as much as the server does...
const READ_BYTES: usize = 256 << 10;
/// ...and one write. A socket takes more than it is read from at a time, and each write wakes the server.
const WRITE_BYTES: usize = 1 << 20;

/// Messages of an open loop that are begun before events are looked at again.
const MESSAGES_PER_TURN: usize = 256;

/// How often the watcher is told of the progress.
const PROGRESS: Duration = Duration::from_millis(100);

/// What the reactor watches.
pub(super) enum Slot {
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
    pub(super) peer: Endpoint,
    pub(super) reactor: Reactor<Slot>,
    /// Goes off when the next message of an open loop is due.
    alarm: Token,
    ready: Vec<Ready>,
    /// Where each connection is, by its number.
    pub(super) tokens: Vec<Option<Token>>,
    pub(super) connecting: usize,
    /// Connections on which this end has said goodbye.
    pub(super) closing: usize,
    /// Those of them that have a successor, and since when. In that order.
    pub(super) retired: VecDeque<(Instant, Token)>,
    /// Connections that were begun, and not in the place of another.
    pub(super) begun: usize,
    /// What waits for a connection in the place of one that has died, or that there was no room for, and
    /// until when. In that order.
    pub(super) dead: Vec<(Instant, Lane)>,
    pub(super) start: Instant,
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
                pattern: Pattern::new(WRITE_BYTES),
                scratch: vec![0; READ_BYTES].into(),
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
                match connection.drive(special, &mut self.shared) {
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
        if due.is_some_and(|due| due <= now + self.options.spin) {
            self.reactor.wait(Some(Duration::ZERO), &mut self.ready)?;
            if self.ready.is_empty() {
                // Whoever else wants this processor may be the server.
                thread::yield_now();
            }
            return Ok(());
        }
        // To wake up takes a while, and a message that is late is late in the figures.
        let wake_up = due.map(|due| due - self.options.spin);
        if let (Some(at), Some(Slot::Alarm(alarm))) = (wake_up, self.reactor.get_mut(self.alarm)) {
            alarm.set(at, now)?;
        }
        let first = [
            wake_up,
            Some(self.told + PROGRESS),
            Some(self.sweeps_at()),
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

    fn progress(&self, now: Instant) -> Progress {
        let (measured, fraction) = self.shared.progress(now);
        Progress {
            stage: self.stage,
            connections: self.open,
            messages: self.shared.record.arrivals(),
            measured,
            fraction,
        }
    }
}
