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

use super::connection::{Connection, Lane, Next, Shared};
use super::contact::Contact;
use super::cost::cpu_time;
use super::plan::Plan;
use super::recorder::Recorder;
use super::schedule::Schedule;
use super::standstills::Standstills;
use super::{Cause, Options, Outcome, Progress, Reporter, Stage, Trouble};
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
type ProgressMark = (u64, usize, u64);

pub(super) struct Engine<'a, W> {
    pub(super) options: &'a Options,
    pub(super) reporter: &'a mut W,
    pub(super) shared: Shared,
    pub(super) stage: Stage,
    /// When the stage began.
    pub(super) stage_began: Instant,
    /// Whether the run is over, whatever else there would be to do.
    pub(super) is_over: bool,
    /// How often the user has asked to stop. Signals that come together ask once.
    pub(super) interrupts: usize,
    /// When timeouts were last looked for.
    pub(super) last_sweep: Instant,
    /// Connections that are open.
    pub(super) open: usize,
    /// The last sign of progress, and when it was seen.
    pub(super) last_progress: (ProgressMark, Instant),
    pub(super) peer: Endpoint,
    /// A connection that is there already: the first.
    pub(super) first: Option<dial::Established>,
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
    pub(super) reconnect_queue: BinaryHeap<Reverse<(Instant, usize)>>,
    pub(super) start: Instant,
    last_reported: Instant,
    /// The processor time that was used by then.
    cpu_at_report: Duration,
}

impl<'a, W: Reporter> Engine<'a, W> {
    pub(super) fn new(
        options: &'a Options,
        Contact { peer, first }: Contact,
        signals: &'a mut Signals,
        reporter: &'a mut W,
    ) -> io::Result<Self> {
        let now = Instant::now();
        let mut reactor = Reactor::new()?;
        let signals = reactor.insert(Slot::Signals(signals))?;
        let alarm = Alarm::new().map_err(|e| cannot("watch", &"the time", &e))?;
        let alarm = reactor.insert(Slot::Alarm(alarm))?;
        Ok(Self {
            options,
            reporter,
            shared: Shared {
                pattern: Pattern::new(WRITE_BYTES),
                scratch: vec![0; READ_BYTES].into(),
                plan: Plan::new(options, now),
                recorder: Recorder::new(options.interval, options.rate),
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
            last_sweep: now,
            open: 0,
            last_progress: ((0, 0, 0), now),
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
            reconnect_queue: BinaryHeap::new(),
            start: now,
            last_reported: now,
            cpu_at_report: cpu_time(),
        })
    }

    /// Runs to the end, for better or worse.
    pub(super) fn run(mut self) -> Outcome {
        let mut now = self.start;
        while !self.is_over {
            match self.step(now) {
                Ok(next) => now = next,
                Err(e) => self.fail_run(Cause::System(e)),
            }
        }
        // They outlive this reactor, and may get another.
        drop(self.reactor.remove(self.signals));
        self.shared.recorder.finish(self.reporter)
    }

    /// Does all that there is to do, and waits for more. Returns when that came.
    fn step(&mut self, now: Instant) -> io::Result<Instant> {
        let has_worked = self.turn(now)?;
        let done = Instant::now();
        if has_worked {
            self.shared.recorder.cost().worked(done - now);
        }
        let cpu_at_report = self.cpu_at_report;
        let worked = || cpu_time().saturating_sub(cpu_at_report);
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
        self.shared.recorder.stood_still(stood, connections);
        if self.stage == Stage::Closing {
            self.stage_began += stood;
        }
    }

    /// Ends the run for something that is no connection's fault.
    pub(super) fn fail_run(&mut self, cause: Cause) {
        let trouble = Trouble { connection: None, local: None, cause, is_fatal: true };
        self.shared.recorder.trouble(trouble);
        self.end_failed();
    }

    /// Deals with all that is ready, and with what it is time for. Returns whether that was anything.
    fn turn(&mut self, now: Instant) -> io::Result<bool> {
        let ready = std::mem::take(&mut self.ready);
        let mut has_worked = !ready.is_empty();
        for ready in &ready {
            self.handle_event(*ready)?;
        }
        self.ready = ready;
        self.connect(now);
        has_worked |= self.dispatch(now);
        self.sweep(now)?;
        self.advance(now);
        if now >= self.last_reported + PROGRESS {
            self.tell(now);
        }
        Ok(has_worked)
    }

    fn tell(&mut self, now: Instant) {
        (self.last_reported, self.cpu_at_report) = (now, cpu_time());
        self.reporter.progress(&self.progress(now));
        if self.reporter.is_abandoned() {
            self.interrupts = self.interrupts.max(1);
        }
    }

    #[inline]
    pub(super) fn handle_event(&mut self, Ready { token, exceptional }: Ready) -> io::Result<()> {
        match self.reactor.get_mut(token) {
            Some(Slot::Connection(connection)) => {
                match connection.drive(exceptional, &mut self.shared) {
                    Ok(Next::Wait) => Ok(()),
                    outcome => self.apply(token, outcome),
                }
            }
            Some(Slot::Signals(signals)) => {
                let batch: Vec<_> = signals.pending().collect();
                self.handle_signals(&batch);
                Ok(())
            }
            Some(Slot::Alarm(_)) | None => Ok(()),
        }
    }

    /// Signals have come, all at once: timeout(1) sends the same one twice.
    fn handle_signals(&mut self, batch: &[i32]) {
        self.interrupts += usize::from(batch.iter().any(|signal| is_stop(*signal)));
        if batch.contains(&SIGQUIT) {
            self.reporter.status(&self.progress(Instant::now()));
        }
    }

    #[inline(never)]
    fn apply(&mut self, token: Token, outcome: Result<Next, Cause>) -> io::Result<()> {
        match outcome {
            Ok(Next::Wait) => {}
            Ok(Next::Yield) => self.reactor.requeue(token),
            Ok(Next::Opened) => {
                self.connecting -= 1;
                self.open += 1;
                // There may be something to begin.
                self.reactor.requeue(token);
            }
            Ok(Next::Spent) => self.replace(token),
            Ok(Next::Closed) => drop(self.remove(token)),
            Err(cause) => self.fail(token, cause),
        }
        Ok(())
    }

    /// Waits for an event, or until it is time for something.
    fn wait(&mut self, now: Instant) -> io::Result<()> {
        let due = self.shared.plan.schedule().and_then(Schedule::next_due);
        if due.is_some_and(|due| due <= now + self.options.spin) {
            self.shared.recorder.cost().spins();
            let timeout = self.shared.standstills.plan(Duration::ZERO, now);
            self.reactor.wait(Some(timeout), &mut self.ready)?;
            if self.ready.is_empty() {
                // Another program that wants this processor may be the server.
                thread::yield_now();
            }
            return Ok(());
        }
        self.shared.recorder.cost().sleeps();
        // To wake up takes a while, and a message that is late is late in the figures.
        let wake_up = due.map(|due| due - self.options.spin);
        if let (Some(at), Some(Slot::Alarm(alarm))) = (wake_up, self.reactor.get_mut(self.alarm)) {
            alarm.set(at)?;
        }
        let first = [
            wake_up,
            Some(self.last_reported + PROGRESS),
            Some(self.next_sweep()),
            self.stage_ends_at(),
            self.reconnect_queue.peek().map(|Reverse((at, _))| *at),
            self.next_connect().filter(|_| self.begun < self.options.connections),
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
            messages: self.shared.recorder.arrivals(),
            failures: self.shared.recorder.failures(),
            measured,
            fraction,
        }
    }
}
