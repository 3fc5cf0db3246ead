//! From one stage of a run to the next.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use super::connection::{Connection, Shared, State};
use super::engine::Engine;
use super::{Cause, Length, Stage, Watch};
use crate::client::GOODBYE;
use crate::text::format::setting;

/// Timeouts are noticed this part of themselves late, at the most...
const LATENESS: u32 = 16;
/// ...and not looked for more often than this.
const MIN_SWEEP: Duration = Duration::from_millis(1);

/// How long an interrupted run waits for echoes that are under way. A person waits for it to end.
const LAST_ECHOES: Duration = Duration::from_secs(1);

impl<W: Watch> Engine<'_, W> {
    /// Takes the run a stage further, if it is time.
    pub(super) fn advance(&mut self, now: Instant) {
        self.roll(now);
        self.look_for_movement(now);
        self.obey(now);
        match self.stage {
            Stage::Connecting if self.is_complete() => {
                // Not `now`: the connections took their part of this turn.
                self.shared.plan.start(Instant::now());
                self.enter(Stage::WarmingUp, now);
                self.each(|_, _| {}); // Each may begin.
            }
            Stage::Measuring => self.measure(now),
            Stage::Closing if self.is_empty() => self.is_over = true,
            Stage::Connecting | Stage::WarmingUp | Stage::Draining | Stage::Closing => {}
        }
        if self.stage == Stage::WarmingUp
            && let Some(start) = self.shared.plan.start_at().filter(|at| *at <= Instant::now())
        {
            self.shared.record.start(start, self.watch);
            self.enter(Stage::Measuring, now);
        }
        if self.stage == Stage::Draining && self.shared.in_flight == 0 && self.shared.waiting() == 0
        {
            // Not `now`: the last echo came later in this turn.
            self.shared.record.end(Instant::now(), self.watch);
            self.enter(Stage::Closing, now);
            self.say_goodbye(now);
        }
        if self.stage == Stage::Closing && now >= self.stage_began + GOODBYE {
            self.is_over = true;
        }
    }

    /// Notes when anything became of a message.
    pub(super) fn look_for_movement(&mut self, now: Instant) {
        let Shared { record, in_flight, .. } = &self.shared;
        let movement = (record.settled(), *in_flight, self.shared.waiting());
        if movement != self.moved.0 {
            self.moved = (movement, now);
        }
    }

    /// Whether the run can only go on with the server, and nothing has become of any message for so long that
    /// the server has to be given up.
    pub(super) fn is_forsaken(&self, now: Instant) -> bool {
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
        is_waiting && standstills.is_overdue(self.moved.1, timeout, now)
    }

    fn enter(&mut self, stage: Stage, now: Instant) {
        (self.stage, self.stage_began) = (stage, now);
    }

    /// Closes the intervals that are over. That takes its time, and what came in this turn was not to wait for it.
    fn roll(&mut self, now: Instant) {
        // So many messages are measured until the last of them has come back.
        if matches!(self.stage, Stage::Measuring | Stage::Draining) {
            let end = self.shared.plan.end_at();
            self.shared.record.roll(end.map_or(now, |end| end.min(now)), self.watch);
        }
    }

    fn measure(&mut self, now: Instant) {
        let end = self.shared.plan.end_at();
        if !self.shared.plan.is_over(now) {
            return;
        }
        if let Some(end) = end {
            self.shared.record.end(end, self.watch);
            self.forgo(end);
        }
        self.enter(Stage::Draining, now);
    }

    /// Stops early where the user asks for it: in order at first, and then at once.
    fn obey(&mut self, now: Instant) {
        if self.interrupts == 0 {
            return;
        }
        self.shared.record.interrupt();
        let is_first = self.interrupts == 1 && self.stage == Stage::Measuring;
        match self.stage {
            Stage::Measuring if is_first => self.shared.plan.stop(now),
            // Done once: it leaves nothing that waits.
            Stage::Draining if self.interrupts == 1 && self.shared.waiting() > 0 => self.forgo(now),
            Stage::Draining if self.interrupts == 1 && now < self.stage_began + LAST_ECHOES => {}
            Stage::Closing if self.interrupts == 1 => {}
            _ => self.give_up(now),
        }
    }

    /// Something went wrong that ends the run.
    pub(super) fn fail(&mut self) {
        self.shared.record.fail();
        self.give_up(Instant::now());
    }

    /// Ends the run at once. What waits or is in flight counts as unanswered.
    fn give_up(&mut self, now: Instant) {
        self.forgo(now);
        self.each(|connection, shared| connection.lane.lose(now, shared));
        self.shared.record.end(now, self.watch);
        self.is_over = true;
    }

    /// When the stage is over, where that is known.
    pub(super) fn stage_ends_at(&self) -> Option<Instant> {
        match self.stage {
            Stage::WarmingUp => self.shared.plan.start_at(),
            Stage::Measuring => self.shared.plan.end_at(),
            Stage::Closing => Some(self.stage_began + GOODBYE),
            Stage::Draining if self.interrupts > 0 => Some(self.stage_began + LAST_ECHOES),
            Stage::Connecting | Stage::Draining => None,
        }
    }

    /// When to look for timeouts next.
    pub(super) fn sweeps_at(&self) -> Instant {
        self.swept + (self.options.timeout / LATENESS).max(MIN_SWEEP)
    }

    /// Looks for timeouts, if it is time.
    pub(super) fn sweep(&mut self, now: Instant) -> io::Result<()> {
        if now < self.sweeps_at() {
            return Ok(());
        }
        self.swept = now;
        self.bury_late(now)
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
            Length::Messages(n) => self.record.messages() as f64 / n as f64,
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
