//! From one stage of a run to the next.

use std::time::Instant;

use super::clock::Clock;
use super::engine::Engine;
use super::link::Connect;
use super::phase::Interrupt;
use super::{Reporter, Stage};

impl<N: Connect, C: Clock, R: Reporter> Engine<'_, N, C, R> {
    /// Takes the run a stage further, if it is time.
    pub(super) fn advance(&mut self, now: Instant) {
        self.close_intervals(now);
        self.phase.note_progress(&self.shared, now);
        self.apply_interrupts(now);
        if self.phase.is_over() {
            return;
        }
        match self.phase.stage() {
            Stage::Connecting if self.connections.is_complete() => self.begin_messages(now),
            Stage::Measuring if self.shared.plan.is_over(now) => self.drain(now),
            Stage::Closing if self.connections.is_empty() => self.phase.end(),
            _ => {}
        }
        if self.phase.stage() == Stage::WarmingUp {
            self.begin_measuring(now);
        }
        if self.phase.stage() == Stage::Draining && self.is_drained() {
            self.close(now);
        }
        let is_closing = self.phase.stage() == Stage::Closing;
        if is_closing && self.phase.ends_at(&self.shared.plan).is_some_and(|end| end <= now) {
            self.phase.end();
        }
    }

    /// Closes the intervals that are over. What came in this turn is handled before that, which takes a while.
    fn close_intervals(&mut self, now: Instant) {
        // A number of messages is measured until the last of them has come back.
        if matches!(self.phase.stage(), Stage::Measuring | Stage::Draining) {
            let end = self.shared.plan.end_at();
            self.shared
                .recorder
                .close_intervals(end.map_or(now, |end| end.min(now)), self.reporter);
        }
    }

    /// When the current interval can be closed, unless it is the last.
    pub(super) fn interval_end(&self) -> Option<Instant> {
        let is_measuring = matches!(self.phase.stage(), Stage::Measuring | Stage::Draining);
        let end = self.shared.recorder.interval_end().filter(|_| is_measuring)?;
        self.shared.plan.end_at().is_none_or(|last| end <= last).then_some(end)
    }

    /// Stops early if the user asks for it: in an orderly way at first, and then at once.
    fn apply_interrupts(&mut self, now: Instant) {
        let Some(interrupt) = self.phase.interrupt_at(now) else { return };
        self.shared.recorder.mark_interrupted();
        match interrupt {
            Interrupt::StopSending => self.shared.plan.stop(now),
            Interrupt::AwaitEchoes if self.shared.waiting() > 0 => self.abandon_unsent(now),
            Interrupt::AwaitEchoes | Interrupt::Close => {}
            Interrupt::StopNow => self.stop_now(now),
        }
    }

    /// All connections are open.
    fn begin_messages(&mut self, now: Instant) {
        // Not at `now`: the connections took their part of this turn.
        self.shared.plan.start(self.clock.now());
        self.phase.enter(Stage::WarmingUp, now);
        self.drive_each(|_, _| {}); // Each may begin.
    }

    /// Begins the measured part, if the warm-up is over.
    fn begin_measuring(&mut self, now: Instant) {
        let clock_now = self.clock.now();
        let Some(start) = self.shared.plan.start_at().filter(|at| *at <= clock_now) else { return };
        let began = self.clock.time_of_day() - (clock_now - start);
        self.shared.recorder.start(start, began, &self.clock, self.reporter);
        self.phase.enter(Stage::Measuring, now);
    }

    /// No more messages begin. What is in flight may come back.
    fn drain(&mut self, now: Instant) {
        if let Some(end) = self.shared.plan.end_at() {
            self.shared.recorder.end(end, &self.clock, self.reporter);
            self.abandon_unsent(end);
        }
        self.phase.enter(Stage::Draining, now);
    }

    fn is_drained(&self) -> bool {
        self.shared.in_flight == 0 && self.shared.waiting() == 0
    }

    /// All messages are finished. What comes while the connections close is a surplus.
    fn close(&mut self, now: Instant) {
        // Not at `now`: the last echo came later in this turn.
        self.shared.recorder.end(self.clock.now(), &self.clock, self.reporter);
        self.phase.enter(Stage::Closing, now);
        self.connections.close_all(now);
    }

    /// Ends the run at once. What waits or is in flight counts as unanswered.
    pub(super) fn stop_now(&mut self, now: Instant) {
        debug_assert!(!self.phase.is_over(), "each message counts once");
        if self.phase.stage() == Stage::WarmingUp {
            // If this turn or its wait took long, some messages count already.
            self.begin_measuring(now);
        }
        // What would have been due later does not count.
        self.shared.plan.stop(now);
        // It may have been planned for an earlier time.
        let end = self.shared.plan.end_at().unwrap_or(now);
        self.abandon_unsent(end);
        self.drive_each(|connection, shared| connection.lane.abandon_in_flight(now, shared));
        self.shared.recorder.end(end, &self.clock, self.reporter);
        self.phase.end();
    }
}
