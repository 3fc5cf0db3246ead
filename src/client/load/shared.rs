//! What all connections of a run share.

use std::time::{Duration, Instant};

use super::clock::Clock;
use super::plan::Plan;
use super::recorder::Recorder;
use super::standstills::Standstills;
use super::{Length, Options};
use crate::client::failure::Failure;
use crate::client::probe::{Message, Pattern};
use crate::net::proxy::HeaderVersion;

/// The most that one read moves, in bytes: as much as the server does...
const READ_BYTES: usize = 256 << 10;
/// ...and one write. A socket takes more than it gives at a time, and each write wakes the server.
const WRITE_BYTES: usize = 1 << 20;

/// The buffers, the plan and the figures of a run.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) pattern: Pattern,
    pub(super) scratch: Box<[u8]>,
    pub(super) plan: Plan,
    pub(super) recorder: Recorder,
    /// Messages in flight, over all connections.
    pub(super) in_flight: usize,
    /// Messages of an open loop that are begun or abandoned, over all connections.
    pub(super) begun: u64,
    pub(super) standstills: Standstills,
    /// A connection is replaced after this many messages.
    pub(super) reconnect_every: u64,
    /// How long an echo may take.
    pub(super) timeout: Duration,
    /// What each connection begins with.
    pub(super) send_proxy: Option<HeaderVersion>,
}

impl Shared {
    pub(super) fn new(options: &Options, clock: &impl Clock, now: Instant) -> Self {
        Self {
            pattern: Pattern::new(WRITE_BYTES),
            scratch: vec![0; READ_BYTES].into(),
            plan: Plan::new(options, now),
            recorder: Recorder::new(options.interval, options.rate, clock.time_of_day()),
            in_flight: 0,
            begun: 0,
            standstills: Standstills::new(now),
            reconnect_every: options.reconnect_every.unwrap_or(u64::MAX),
            timeout: options.timeout,
            send_proxy: options.send_proxy,
        }
    }

    /// A message of an open loop was taken off the schedule at `now`. How late that is is this client's own fault;
    /// whether the connection is free then is the server's.
    pub(super) fn record_lateness(&mut self, due: Instant, now: Instant) {
        if self.plan.counts(due) {
            self.recorder.late(now.saturating_duration_since(due));
        }
    }

    /// A message that was due at `due` will not come back, as is known at `now`.
    pub(super) fn record_lost(&mut self, due: Instant, now: Instant) {
        if self.plan.counts(due) {
            self.recorder.lost(now.saturating_duration_since(due));
        }
    }

    /// A message that was lost has come after all.
    pub(super) fn record_late(&mut self, due: Instant) {
        if self.plan.counts(due) {
            self.recorder.came_late();
        }
    }

    /// The echo of a message that was due at `due` came once more.
    pub(super) fn record_duplicate(&mut self, due: Instant) {
        if self.plan.counts(due) {
            self.recorder.came_again();
        }
    }

    /// Notes whether the echo of a later message came before that of one that was due at `due`.
    pub(super) fn note_order(&mut self, due: Instant, is_reordered: bool) {
        if is_reordered && self.plan.counts(due) {
            self.recorder.came_out_of_order();
        }
    }

    /// Whether more than the timeout has passed at `now` since `then`, without the time that this client stood still.
    pub(super) fn is_overdue(&self, then: Instant, now: Instant) -> bool {
        self.standstills.is_overdue(then, self.timeout, now)
    }

    /// Counts a message whose last byte came back at `now`.
    ///
    /// # Errors
    ///
    /// If it came too late. It counts as lost then.
    #[inline]
    pub(super) fn finish(&mut self, message: &Message, now: Instant) -> Result<(), Failure> {
        self.in_flight -= 1;
        let took = now.saturating_duration_since(message.sent);
        if took > self.timeout && self.is_overdue(message.sent, now) {
            self.record_lost(message.due, now);
            return Err(Failure::Late { timeout: self.timeout, took });
        }
        if self.plan.counts_for_rate(message.due, now) {
            self.recorder.arrived(message);
        }
        if self.plan.counts(message.due) {
            self.recorder.complete(message, took, now);
        }
        Ok(())
    }

    /// Takes the rest off the schedule at `now`, since the run is over.
    pub(super) fn take_rest(&mut self, now: Instant) {
        if let Some(schedule) = self.plan.schedule_mut() {
            let rest = schedule.take_rest();
            self.recorder.late_all(&rest, now);
        }
    }

    /// Messages of an open loop that were due, and are neither begun nor abandoned.
    pub(super) fn waiting(&self) -> u64 {
        self.plan.schedule().map_or(0, |schedule| schedule.taken() - self.begun)
    }

    /// How long the measured part has taken so far, and how much of it is over, from 0 to 1.
    pub(super) fn progress(&self, now: Instant) -> (Duration, f64) {
        let Some(start) = self.plan.start_at() else { return (Duration::ZERO, 0.0) };
        let measured = now.saturating_duration_since(start);
        let fraction = match self.plan.length() {
            Length::Time(time) => measured.as_secs_f64() / time.as_secs_f64(),
            Length::Messages(n) => self.recorder.messages() as f64 / n as f64,
        };
        (measured, fraction.min(1.0))
    }
}

#[cfg(test)]
mod tests;
