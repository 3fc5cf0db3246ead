//! The loop of a run.

use std::io;
use std::mem;
use std::thread;
use std::time::{Duration, Instant};

use mio::Token;
use signal_hook::consts::SIGQUIT;
use signal_hook_mio::v1_0::Signals;

use super::clock::Clock;
use super::connection::Next;
use super::connections::{Connections, Slot};
use super::link::Connect;
use super::phase::Phase;
use super::schedule::Schedule;
use super::shared::Shared;
use super::{Options, Outcome, Progress, Reporter};
use crate::client::alarm::Alarm;
use crate::client::failure::Failure;
use crate::net::cannot;
use crate::reactor::Ready;
use crate::signals::is_stop;

/// How often the reporter is called.
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// Timeouts are noticed late by this fraction of their length...
const SWEEPS_PER_TIMEOUT: u32 = 16;
/// ...but not looked for more often than this.
const MIN_SWEEP: Duration = Duration::from_millis(1);

/// Runs a load over connections that `N` makes, by the clock `C`, and reports to `R`.
pub(super) struct Engine<'a, N: Connect, C, R> {
    pub(super) options: &'a Options,
    pub(super) clock: C,
    pub(super) reporter: &'a mut R,
    pub(super) phase: Phase,
    pub(super) connections: Connections<'a, N>,
    pub(super) shared: Shared,
    signals: Token,
    /// Goes off when the next message of an open loop is due.
    alarm: Token,
    ready: Vec<Ready>,
    last: Last,
}

/// When the engine last did what it does at intervals.
#[derive(Debug)]
struct Last {
    /// The search for timeouts.
    sweep: Instant,
    report: Instant,
    /// The processor time that was used by the last report.
    cpu: Duration,
}

impl<'a, N: Connect, C: Clock, R: Reporter> Engine<'a, N, C, R> {
    pub(super) fn new(
        options: &'a Options,
        network: N,
        clock: C,
        signals: &'a mut Signals,
        reporter: &'a mut R,
    ) -> io::Result<Self> {
        let now = clock.now();
        let mut connections = Connections::new(network, options, now)?;
        let signals = connections.reactor.insert(Slot::Signals(signals))?;
        let alarm = Alarm::new().map_err(|e| cannot("watch", &"the time", &e))?;
        let alarm = connections.reactor.insert(Slot::Alarm(alarm))?;
        Ok(Self {
            phase: Phase::new(now),
            shared: Shared::new(options, &clock, now),
            last: Last { sweep: now, report: now, cpu: clock.cpu_time() },
            options,
            clock,
            reporter,
            connections,
            signals,
            alarm,
            ready: Vec::new(),
        })
    }

    /// Runs to the end. Whatever goes wrong is part of the outcome.
    pub(super) fn run(mut self) -> Outcome {
        let mut now = self.last.report;
        while !self.phase.is_over() {
            match self.turn(now) {
                Ok(done) => now = done,
                Err(e) => self.fail_run(Failure::System(e)),
            }
        }
        self.finish()
    }

    /// Waits, and handles what came. Returns when that was done.
    fn turn(&mut self, now: Instant) -> io::Result<Instant> {
        let timeout = self.poll_timeout(now)?;
        self.wait(timeout)?; // The only call that blocks.
        Ok(self.handle(self.clock.now()))
    }

    /// Ends the run.
    pub(super) fn finish(mut self) -> Outcome {
        // The signals outlive this reactor: a search uses them for its next run.
        drop(self.connections.reactor.remove(self.signals));
        self.shared.recorder.dropped(self.connections.dropped());
        self.shared.recorder.finish(self.reporter)
    }

    /// How long to wait at `now`, until something is due.
    pub(super) fn poll_timeout(&mut self, now: Instant) -> io::Result<Duration> {
        let due = self.shared.plan.schedule().and_then(Schedule::next_due);
        let left = if due.is_some_and(|due| due <= now + self.options.spin) {
            self.shared.recorder.cost().begin_spin(&self.clock);
            Duration::ZERO
        } else {
            self.shared.recorder.cost().end_spin(&self.clock);
            // To wake up takes a while, and a message that is late is late in the figures.
            let wake_up = due.map(|due| due - self.options.spin);
            if let Some(at) = wake_up {
                self.set_alarm(at)?;
            }
            self.next_timeout(wake_up, now).saturating_duration_since(now)
        };
        Ok(self.shared.standstills.plan(left, now))
    }

    fn set_alarm(&mut self, at: Instant) -> io::Result<()> {
        match self.connections.reactor.get_mut(self.alarm) {
            Some(Slot::Alarm(alarm)) => alarm.set(at),
            _ => Ok(()),
        }
    }

    /// When something is due next. `wake_up` is when to wake up for a message.
    fn next_timeout(&self, wake_up: Option<Instant>, now: Instant) -> Instant {
        let first = [
            wake_up,
            self.phase.ends_at(&self.shared.plan),
            self.connections.next_deferred(),
            self.connections.next_new(now),
            self.interval_end(),
        ];
        let always = self.next_report().min(self.next_sweep());
        first.into_iter().flatten().fold(always, Instant::min)
    }

    fn next_report(&self) -> Instant {
        self.last.report + REPORT_EVERY
    }

    fn next_sweep(&self) -> Instant {
        self.last.sweep + (self.options.timeout / SWEEPS_PER_TIMEOUT).max(MIN_SWEEP)
    }

    /// Waits for events, for `timeout` if none come.
    pub(super) fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        self.connections.reactor.wait(Some(timeout), &mut self.ready)?;
        if timeout.is_zero() && self.ready.is_empty() {
            // Another program that wants this processor may be the server.
            thread::yield_now();
        }
        Ok(())
    }

    /// Handles what the wait brought, which ended at `now`. Returns when that was done.
    pub(super) fn handle(&mut self, now: Instant) -> Instant {
        let stood = self.shared.standstills.after_wait(now);
        self.note_standstill(stood);
        let ready = mem::take(&mut self.ready);
        for ready in &ready {
            self.handle_event(*ready);
            if self.phase.is_over() {
                // All messages are accounted for: what comes now would count twice.
                break;
            }
        }
        let has_worked = self.handle_timeouts(now) || !ready.is_empty();
        self.ready = ready;
        let done = self.clock.now();
        if has_worked {
            self.shared.recorder.cost().add_work(done - now);
        }
        let worked = || self.clock.cpu_time().saturating_sub(self.last.cpu);
        let stood = self.shared.standstills.after_turn(done - now, worked, done);
        self.note_standstill(stood);
        done
    }

    /// This client did not run for `stood`.
    fn note_standstill(&mut self, stood: Duration) {
        if stood.is_zero() {
            return;
        }
        let connections = self.shared.in_flight.min(self.connections.counts().open) as u64;
        self.shared.recorder.stood_still(stood, connections);
        self.phase.discount(stood);
    }

    #[inline]
    pub(super) fn handle_event(&mut self, Ready { token, exceptional }: Ready) {
        match self.connections.reactor.get_mut(token) {
            Some(Slot::Connection(connection)) => {
                match connection.drive(exceptional, &self.clock, &mut self.shared) {
                    Ok(Next::Wait) => {}
                    next => self.apply(token, next),
                }
            }
            Some(Slot::Signals(signals)) => {
                let batch: Vec<_> = signals.pending().collect();
                self.handle_signals(&batch);
            }
            Some(Slot::Alarm(_)) | None => {}
        }
    }

    /// Applies the result of a drive.
    #[inline(never)]
    fn apply(&mut self, token: Token, next: Result<Next, Failure>) {
        match next {
            Ok(Next::Wait) => {}
            Ok(Next::Yield) => self.connections.reactor.requeue(token),
            Ok(Next::Opened) => self.connections.note_open(token),
            Ok(Next::Spent) => self.replace(token),
            Ok(Next::Closed) => drop(self.connections.remove(token)),
            Err(failure) => self.fail(token, failure),
        }
    }

    /// Handles signals that came together. They are one request to stop: timeout(1) sends the same signal twice.
    pub(super) fn handle_signals(&mut self, batch: &[i32]) {
        if batch.iter().any(|signal| is_stop(*signal)) {
            self.phase.interrupt();
        }
        if batch.contains(&SIGQUIT) {
            let progress = self.progress(self.clock.now());
            self.reporter.status(&progress);
        }
    }

    /// Does what is due at `now`. Returns whether a message was begun.
    fn handle_timeouts(&mut self, now: Instant) -> bool {
        self.connect(now);
        let has_begun = self.dispatch(now);
        if now >= self.next_sweep() {
            self.last.sweep = now;
            self.fail_overdue(now);
        }
        if !self.phase.is_over() {
            self.advance(now);
        }
        if now >= self.next_report() {
            self.report(now);
        }
        has_begun
    }

    fn report(&mut self, now: Instant) {
        (self.last.report, self.last.cpu) = (now, self.clock.cpu_time());
        let progress = self.progress(now);
        self.reporter.progress(&progress);
        if self.reporter.is_abandoned() {
            self.phase.abandon();
        }
    }

    fn progress(&self, now: Instant) -> Progress {
        let (measured, fraction) = self.shared.progress(now);
        Progress {
            stage: self.phase.stage(),
            connections: self.connections.counts().open,
            messages: self.shared.recorder.arrivals(),
            failures: self.shared.recorder.failures(),
            measured,
            fraction,
        }
    }
}

#[cfg(test)]
mod tests;
