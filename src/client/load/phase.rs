//! From one stage of a run to the next.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use super::connection::{Connection, Shared, State};
use super::engine::Engine;
use super::{Cause, Length, Reporter, Stage};
use crate::client::CLOSE_TIMEOUT;
use crate::text::format::setting;

/// Timeouts are noticed this part of themselves late, at the most...
const LATENESS: u32 = 16;
/// ...and not looked for more often than this.
const MIN_SWEEP: Duration = Duration::from_millis(1);

/// How long an interrupted run waits for echoes that are under way. A person waits for it to end.
const LAST_ECHOES: Duration = Duration::from_secs(1);

impl<W: Reporter> Engine<'_, W> {
    /// Takes the run a stage further, if it is time.
    pub(super) fn advance(&mut self, now: Instant) {
        self.roll(now);
        self.note_progress(now);
        self.apply_interrupts(now);
        match self.stage {
            Stage::Connecting if self.is_complete() => {
                // Not `now`: the connections took their part of this turn.
                self.shared.plan.start(Instant::now());
                self.enter(Stage::WarmingUp, now);
                self.drive_each(|_, _| {}); // Each may begin.
            }
            Stage::Measuring => self.measure(now),
            Stage::Closing if self.is_empty() => self.is_over = true,
            Stage::Connecting | Stage::WarmingUp | Stage::Draining | Stage::Closing => {}
        }
        if self.stage == Stage::WarmingUp
            && let Some(start) = self.shared.plan.start_at().filter(|at| *at <= Instant::now())
        {
            self.shared.recorder.start(start, self.reporter);
            self.enter(Stage::Measuring, now);
        }
        if self.stage == Stage::Draining && self.shared.in_flight == 0 && self.shared.waiting() == 0
        {
            // Not `now`: the last echo came later in this turn.
            self.shared.recorder.end(Instant::now(), self.reporter);
            self.enter(Stage::Closing, now);
            self.shutdown_write(now);
        }
        if self.stage == Stage::Closing && now >= self.stage_began + CLOSE_TIMEOUT {
            self.is_over = true;
        }
    }

    /// Notes when anything became of a message.
    pub(super) fn note_progress(&mut self, now: Instant) {
        let Shared { recorder, in_flight, .. } = &self.shared;
        let mark = (recorder.settled(), *in_flight, self.shared.waiting());
        if mark != self.last_progress.0 {
            self.last_progress = (mark, now);
        }
    }

    /// Whether the run can only go on with the server, and nothing has become of any message for so long that
    /// the server has to be given up.
    pub(super) fn is_stalled(&self, now: Instant) -> bool {
        let is_waiting = match self.stage {
            // An open loop goes on by itself.
            Stage::Measuring => {
                let is_open_loop = self.shared.plan.is_open_loop();
                matches!(self.options.length, Length::Messages(_)) && !is_open_loop
            }
            Stage::Draining => true,
            Stage::Connecting | Stage::WarmingUp | Stage::Closing => false,
        };
        let (standstills, timeout) = (&self.shared.standstills, self.options.timeout);
        is_waiting && standstills.is_overdue(self.last_progress.1, timeout, now)
    }

    fn enter(&mut self, stage: Stage, now: Instant) {
        (self.stage, self.stage_began) = (stage, now);
    }

    /// Closes the intervals that are over. That takes its time, and what came in this turn was not to wait for it.
    fn roll(&mut self, now: Instant) {
        // So many messages are measured until the last of them has come back.
        if matches!(self.stage, Stage::Measuring | Stage::Draining) {
            let end = self.shared.plan.end_at();
            self.shared.recorder.roll(end.map_or(now, |end| end.min(now)), self.reporter);
        }
    }

    fn measure(&mut self, now: Instant) {
        let end = self.shared.plan.end_at();
        if !self.shared.plan.is_over(now) {
            return;
        }
        if let Some(end) = end {
            self.shared.recorder.end(end, self.reporter);
            self.abandon_unsent(end);
        }
        self.enter(Stage::Draining, now);
    }

    /// Stops early where the user asks for it: in order at first, and then at once.
    fn apply_interrupts(&mut self, now: Instant) {
        if self.interrupts == 0 {
            return;
        }
        self.shared.recorder.mark_interrupted();
        let is_first = self.interrupts == 1 && self.stage == Stage::Measuring;
        match self.stage {
            Stage::Measuring if is_first => self.shared.plan.stop(now),
            // Done once: it leaves nothing that waits.
            Stage::Draining if self.interrupts == 1 && self.shared.waiting() > 0 => {
                self.abandon_unsent(now)
            }
            Stage::Draining if self.interrupts == 1 && now < self.stage_began + LAST_ECHOES => {}
            Stage::Closing if self.interrupts == 1 => {}
            _ => self.stop_now(now),
        }
    }

    /// Something went wrong that ends the run.
    pub(super) fn end_failed(&mut self) {
        self.shared.recorder.mark_failed();
        self.stop_now(Instant::now());
    }

    /// Ends the run at once. What waits or is in flight counts as unanswered.
    fn stop_now(&mut self, now: Instant) {
        self.abandon_unsent(now);
        self.drive_each(|connection, shared| connection.lane.lose(now, shared));
        self.shared.recorder.end(now, self.reporter);
        self.is_over = true;
    }

    /// When the stage is over, where that is known.
    pub(super) fn stage_ends_at(&self) -> Option<Instant> {
        match self.stage {
            Stage::WarmingUp => self.shared.plan.start_at(),
            Stage::Measuring => self.shared.plan.end_at(),
            Stage::Closing => Some(self.stage_began + CLOSE_TIMEOUT),
            Stage::Draining if self.interrupts > 0 => Some(self.stage_began + LAST_ECHOES),
            Stage::Connecting | Stage::Draining => None,
        }
    }

    /// When to look for timeouts next.
    pub(super) fn next_sweep(&self) -> Instant {
        self.last_sweep + (self.options.timeout / LATENESS).max(MIN_SWEEP)
    }

    /// Looks for timeouts, if it is time.
    pub(super) fn sweep(&mut self, now: Instant) -> io::Result<()> {
        if now < self.next_sweep() {
            return Ok(());
        }
        self.last_sweep = now;
        self.fail_overdue(now)
    }
}

impl Shared {
    /// How long the measured part has been going on, and how much of it is over.
    pub(super) fn progress(&self, now: Instant) -> (Duration, f64) {
        let measured = match self.plan.start_at() {
            Some(start) => now.saturating_duration_since(start),
            None => return (Duration::ZERO, 0.0),
        };
        let fraction = match self.plan.length() {
            Length::Time(time) => measured.as_secs_f64() / time.as_secs_f64(),
            Length::Messages(n) => self.recorder.messages() as f64 / n as f64,
        };
        (measured, fraction.min(1.0))
    }
}

impl Connection {
    /// Why it failed if nothing came for `after`.
    pub(super) fn timed_out(&self, after: Duration) -> Cause {
        if let State::Connecting(_) = self.state {
            let why = format!("no answer within {}", setting(after));
            return Cause::Connect(io::Error::new(ErrorKind::TimedOut, why));
        }
        let (sent, received) = self.lane.probe.progress();
        Cause::TimedOut { after, received, sent }
    }
}
