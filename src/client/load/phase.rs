//! Which stage a run is in, and what decides that it ends early.

use std::time::{Duration, Instant};

use super::plan::Plan;
use super::shared::Shared;
use super::{Length, Stage};
use crate::client::CLOSE_TIMEOUT;

/// How long an interrupted run waits for echoes that are under way. A person waits for it to end.
const LAST_ECHOES: Duration = Duration::from_secs(1);

/// What changes if anything happens to a message: how many are finished, in flight and waiting.
type ProgressMark = (u64, usize, u64);

/// The phase of a run.
#[derive(Debug)]
pub(super) struct Phase {
    stage: Stage,
    /// When the stage began.
    since: Instant,
    is_over: bool,
    /// How often the user has asked to stop. Signals that come together ask once.
    interrupts: usize,
    /// What was last seen of the messages, and since when.
    last_progress: (ProgressMark, Instant),
}

/// What an interrupt asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interrupt {
    /// To begin no more messages.
    StopSending,
    /// To abandon what waits to be sent, and to wait for the last echoes.
    AwaitEchoes,
    /// Nothing more: the run is closing.
    Close,
    /// To end the run at once.
    StopNow,
}

impl Phase {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            stage: Stage::Connecting,
            since: now,
            is_over: false,
            interrupts: 0,
            last_progress: ((0, 0, 0), now),
        }
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    pub(super) fn enter(&mut self, stage: Stage, now: Instant) {
        (self.stage, self.since) = (stage, now);
    }

    /// Ends the run.
    pub(super) fn end(&mut self) {
        self.is_over = true;
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// The user asks to stop.
    pub(super) fn interrupt(&mut self) {
        self.interrupts += 1;
    }

    /// No reader wants the rest of the run: the same as one interrupt, however often it is noticed.
    pub(super) fn abandon(&mut self) {
        self.interrupts = self.interrupts.max(1);
    }

    /// What the user's interrupts ask for at `now`, if there was any.
    pub(super) fn interrupt_at(&self, now: Instant) -> Option<Interrupt> {
        match (self.interrupts, self.stage) {
            (0, _) => None,
            (1, Stage::Measuring) => Some(Interrupt::StopSending),
            (1, Stage::Draining) if now < self.since + LAST_ECHOES => Some(Interrupt::AwaitEchoes),
            (1, Stage::Closing) => Some(Interrupt::Close),
            _ => Some(Interrupt::StopNow),
        }
    }

    /// This client did not run for `stood`, which shortens no server's time to close.
    pub(super) fn discount(&mut self, stood: Duration) {
        if self.stage == Stage::Closing {
            self.since += stood;
        }
    }

    /// Notes whether anything has happened to a message since the last call.
    pub(super) fn note_progress(&mut self, shared: &Shared, now: Instant) {
        let mark = (shared.recorder.finished(), shared.in_flight, shared.waiting());
        if mark != self.last_progress.0 {
            self.last_progress = (mark, now);
        }
    }

    /// Whether the run needs the server to go on, and nothing has happened to any message for the timeout.
    pub(super) fn is_stalled(&self, shared: &Shared, now: Instant) -> bool {
        let needs_server = match self.stage {
            // An open loop goes on by itself.
            Stage::Measuring => {
                matches!(shared.plan.length(), Length::Messages(_)) && !shared.plan.is_open_loop()
            }
            Stage::Draining => true,
            Stage::Connecting | Stage::WarmingUp | Stage::Closing => false,
        };
        needs_server && shared.standstills.is_overdue(self.last_progress.1, shared.timeout, now)
    }

    /// When the stage ends, if that is known.
    pub(super) fn ends_at(&self, plan: &Plan) -> Option<Instant> {
        match self.stage {
            Stage::WarmingUp => plan.start_at(),
            Stage::Measuring => plan.end_at(),
            Stage::Closing => Some(self.since + CLOSE_TIMEOUT),
            Stage::Draining if self.interrupts > 0 => Some(self.since + LAST_ECHOES),
            Stage::Connecting | Stage::Draining => None,
        }
    }
}
