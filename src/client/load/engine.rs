//! The loop of a run.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::{Interest, Registry, Token};
use signal_hook::consts::SIGQUIT;
use signal_hook_mio::v1_0::Signals;

use super::connection::{Connection, Lane, Shared, Turn};
use super::contact::Contact;
use super::cost::cpu_time;
use super::plan::Plan;
use super::record::Record;
use super::schedule::Schedule;
use super::standstills::Standstills;
use super::{Cause, Options, Outcome, Progress, Stage, Trouble, Watch};
use crate::client::alarm::Alarm;
use crate::client::dial;
use crate::client::probe::Pattern;
use crate::net::{Endpoint, cannot, delegate_source};
use crate::reactor::{Reactor, Ready};
use crate::signals::{is_stop, is_stop_requested};

/// The most that one read moves, in bytes: as much as the server does...
const READ_BYTES: usize = 256 << 10;
/// ...and one write. A socket takes more than it is read from at a time, and each write wakes the server.
const WRITE_BYTES: usize = 1 << 20;

/// How often the watcher is told of the progress.
const PROGRESS: Duration = Duration::from_millis(100);

/// What the reactor watches.
pub(super) enum Slot<'a> {
    Connection(Connection),
    Signals(&'a mut Signals),
    /// Has done all that it can do when it has ended a wait.
    Alarm(Alarm),
}

/// Which connection has a number.
#[derive(Debug)]
pub(super) enum Place {
    /// There is none, and none is wanted for now.
    Nowhere,
    At(Token),
    /// It waits to be made in the place of one that has died, or that there was no room for.
    Waiting(Box<Lane>),
}

impl Slot<'_> {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Connection(connection) => &mut connection.socket,
            Self::Signals(signals) => *signals,
            Self::Alarm(alarm) => alarm,
        }
    }
}

delegate_source!(Slot<'_>);

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
    /// How often the user has asked to stop. Signals that come together ask once.
    pub(super) interrupts: usize,
    /// When timeouts were last looked for.
    pub(super) swept: Instant,
    /// Connections that are open.
    pub(super) open: usize,
    /// What last moved, and when.
    pub(super) moved: (Movement, Instant),
    pub(super) peer: Endpoint,
    /// A connection that is there already: the first.
    pub(super) first: Option<dial::Connection>,
    pub(super) reactor: Reactor<Slot<'a>>,
    /// Goes off when the next message of an open loop is due.
    alarm: Token,
    signals: Token,
    ready: Vec<Ready>,
    pub(super) places: Vec<Place>,
    pub(super) connecting: usize,
    /// Connections on which this end has said goodbye.
    pub(super) closing: usize,
    /// Those of them that have a successor, and since when. In that order.
    pub(super) retired: VecDeque<(Instant, Token)>,
    /// Connections that were begun, and not in the place of another.
    pub(super) begun: usize,
    /// Connections that [wait](Place::Waiting) to be made, and until when.
    pub(super) queue: BinaryHeap<Reverse<(Instant, usize)>>,
    pub(super) start: Instant,
    told: Instant,
    /// The processor time that was used by then.
    cpu_told: Duration,
}

impl<'a, W: Watch> Engine<'a, W> {
    pub(super) fn new(
        options: &'a Options,
        Contact { peer, first }: Contact,
        signals: &'a mut Signals,
        watch: &'a mut W,
    ) -> io::Result<Self> {
        let now = Instant::now();
        let mut reactor = Reactor::new()?;
        let signals = reactor.insert(Slot::Signals(signals))?;
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
                begun: 0,
                standstills: Standstills::new(now),
                reconnect_every: options.reconnect_every.unwrap_or(u64::MAX),
                timeout: options.timeout,
            },
            stage: Stage::Connecting,
            stage_began: now,
            is_over: false,
            // One may have come before there was anything to report it.
            interrupts: usize::from(is_stop_requested()),
            swept: now,
            open: 0,
            moved: ((0, 0, 0), now),
            peer,
            first,
            reactor,
            alarm,
            signals,
            ready: Vec::new(),
            places: (0..options.connections).map(|_| Place::Nowhere).collect(),
            connecting: 0,
            closing: 0,
            retired: VecDeque::new(),
            begun: 0,
            queue: BinaryHeap::new(),
            start: now,
            told: now,
            cpu_told: cpu_time(),
        })
    }

    /// Runs to the end, for better or worse.
    pub(super) fn run(mut self) -> Outcome {
        let mut now = self.start;
        while !self.is_over {
            match self.step(now) {
                Ok(next) => now = next,
                Err(e) => self.break_down(Cause::System(e)),
            }
        }
        // They outlive this reactor, and may get another.
        drop(self.reactor.remove(self.signals));
        self.shared.record.finish(self.watch)
    }

    /// Does all that there is to do, and waits for more. Returns when that came.
    fn step(&mut self, now: Instant) -> io::Result<Instant> {
        let has_worked = self.turn(now)?;
        let done = Instant::now();
        if has_worked {
            self.shared.record.cost().worked(done - now);
        }
        let cpu_told = self.cpu_told;
        let worked = || cpu_time().saturating_sub(cpu_told);
        let stood = self.shared.standstills.after_turn(done - now, worked, done);
        self.stood_still(stood);
        if self.is_over {
            return Ok(done);
        }
        self.wait(done)?;
        let now = Instant::now();
        let stood = self.shared.standstills.after_wait(now);
        self.stood_still(stood);
        Ok(now)
    }

    fn stood_still(&mut self, stood: Duration) {
        if stood.is_zero() {
            return;
        }
        let connections = self.shared.in_flight.min(self.open) as u64;
        self.shared.record.stood_still(stood, connections);
        if self.stage == Stage::Closing {
            self.stage_began += stood;
        }
    }

    /// Ends the run for something that is no connection's fault.
    pub(super) fn break_down(&mut self, cause: Cause) {
        let trouble = Trouble { connection: None, local: None, cause, is_fatal: true };
        self.shared.record.trouble(trouble);
        self.fail();
    }

    /// Deals with all that is ready, and with what it is time for. Returns whether that was anything.
    fn turn(&mut self, now: Instant) -> io::Result<bool> {
        let ready = std::mem::take(&mut self.ready);
        let mut has_worked = !ready.is_empty();
        for ready in &ready {
            self.attend(*ready)?;
        }
        self.ready = ready;
        self.connect(now);
        has_worked |= self.dispatch(now);
        self.sweep(now)?;
        self.advance(now);
        if now >= self.told + PROGRESS {
            self.tell(now);
        }
        Ok(has_worked)
    }

    fn tell(&mut self, now: Instant) {
        (self.told, self.cpu_told) = (now, cpu_time());
        self.watch.progress(&self.progress(now));
        if self.watch.is_abandoned() {
            self.interrupts = self.interrupts.max(1);
        }
    }

    #[inline]
    pub(super) fn attend(&mut self, Ready { token, exceptional }: Ready) -> io::Result<()> {
        match self.reactor.get_mut(token) {
            Some(Slot::Connection(connection)) => {
                match connection.drive(exceptional, &mut self.shared) {
                    Ok(Turn::Wait) => Ok(()),
                    outcome => self.follow_up(token, outcome),
                }
            }
            Some(Slot::Signals(signals)) => {
                let batch: Vec<_> = signals.pending().collect();
                self.heed(&batch);
                Ok(())
            }
            Some(Slot::Alarm(_)) | None => Ok(()),
        }
    }

    /// Signals have come, all at once: timeout(1) sends the same one twice.
    fn heed(&mut self, batch: &[i32]) {
        self.interrupts += usize::from(batch.iter().any(|signal| is_stop(*signal)));
        if batch.contains(&SIGQUIT) {
            self.watch.status(&self.progress(Instant::now()));
        }
    }

    #[inline(never)]
    fn follow_up(&mut self, token: Token, outcome: Result<Turn, Cause>) -> io::Result<()> {
        match outcome {
            Ok(Turn::Wait) => {}
            Ok(Turn::Again) => self.reactor.requeue(token),
            Ok(Turn::Connected) => {
                self.connecting -= 1;
                self.open += 1;
                // There may be something to begin.
                self.reactor.requeue(token);
            }
            Ok(Turn::Spent) => self.replace(token),
            Ok(Turn::Closed) => drop(self.take(token)),
            Err(cause) => self.bury(token, cause),
        }
        Ok(())
    }

    /// Waits for an event, or until it is time for something.
    fn wait(&mut self, now: Instant) -> io::Result<()> {
        let due = self.shared.plan.schedule().and_then(Schedule::next_due);
        if due.is_some_and(|due| due <= now + self.options.spin) {
            self.shared.record.cost().spins();
            let timeout = self.shared.standstills.plan(Duration::ZERO, now);
            self.reactor.wait(Some(timeout), &mut self.ready)?;
            if self.ready.is_empty() {
                // Another program that wants this processor may be the server.
                thread::yield_now();
            }
            return Ok(());
        }
        self.shared.record.cost().sleeps();
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
            self.queue.peek().map(|Reverse((at, _))| *at),
            self.connect_at().filter(|_| self.begun < self.options.connections),
        ];
        let first = first.into_iter().flatten().min().unwrap_or(now).max(now);
        let timeout = self.shared.standstills.plan(first - now, now);
        self.reactor.wait(Some(timeout), &mut self.ready)
    }

    pub(super) fn progress(&self, now: Instant) -> Progress {
        let (measured, fraction) = self.shared.progress(now);
        Progress {
            stage: self.stage,
            connections: self.open,
            messages: self.shared.record.arrivals(),
            failures: self.shared.record.failures(),
            measured,
            fraction,
        }
    }
}
