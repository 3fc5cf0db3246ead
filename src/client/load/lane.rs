//! What outlives a connection, and goes on in the one that replaces it.

use std::collections::TryReserveError;
use std::time::Instant;

use super::Options;
use super::plan::Plan;
use super::probing::Probing;
use super::shared::Shared;

/// The place of one connection among all of them, with its messages.
#[derive(Debug)]
pub(super) struct Lane<P> {
    /// The number of the connection, from 0.
    pub(super) number: usize,
    pub(super) probe: P,
    /// How many messages were begun or abandoned.
    begun: u64,
    /// Since when the server's accept queue has been full, if it is.
    queue_full_since: Option<Instant>,
}

impl<P: Probing> Lane<P> {
    /// # Errors
    ///
    /// If there is no memory for its messages in flight.
    pub(super) fn new(number: usize, options: &Options) -> Result<Self, TryReserveError> {
        let probe = P::try_new(number, options)?;
        Ok(Self { number, probe, begun: 0, queue_full_since: None })
    }

    /// Whether a message of an open loop waits for it.
    pub(super) fn is_waited_for(&self, plan: &Plan) -> bool {
        plan.schedule().is_some_and(|schedule| schedule.taken_of(self.number) > self.begun)
    }

    /// The server's accept queue is full. Returns since when it has been.
    pub(super) fn note_full_queue(&mut self, now: Instant) -> Instant {
        *self.queue_full_since.get_or_insert(now)
    }

    /// A new connection begins at `now`. Returns since when this lane has been connecting: from the first time that the
    /// accept queue was full, if it was.
    pub(super) fn restart(&mut self, now: Instant) -> Instant {
        self.probe.restart();
        self.queue_full_since.take().unwrap_or(now)
    }

    /// What goes on in another connection. This one keeps the rest, and begins no more messages.
    pub(super) fn hand_on(&mut self) -> Self {
        Self { probe: self.probe.hand_on(), ..*self }
    }

    /// The connection has failed at `now`: what was in flight is lost, and not sent again.
    pub(super) fn abandon_in_flight(&self, now: Instant, shared: &mut Shared) {
        for due in self.probe.dues() {
            shared.record_lost(due, now);
        }
    }

    /// Abandons what waits to be sent, since the run ended at `end`.
    pub(super) fn abandon_unsent(&mut self, end: Instant, shared: &mut Shared) {
        let Some(schedule) = shared.plan.schedule() else { return };
        shared.recorder.unsent(&schedule.waiting(self.number, self.begun), end);
        let taken = schedule.taken_of(self.number);
        shared.begun += taken - self.begun;
        self.begun = taken;
    }

    /// Begins the next message if there is one by `now`. Returns whether there was.
    ///
    /// A message of an open loop that has waited is due when the schedule says: a queue of those times would have no
    /// bound.
    #[inline]
    pub(super) fn begin_next(&mut self, now: Instant, shared: &mut Shared) -> bool {
        let Some(due) = self.next_due(now, shared) else { return false };
        self.probe.begin(shared.plan.size(), due);
        self.begun += 1;
        shared.in_flight += 1;
        true
    }

    #[inline]
    fn next_due(&self, now: Instant, shared: &mut Shared) -> Option<Instant> {
        let Some(schedule) = shared.plan.schedule() else {
            return shared.plan.take(now).then_some(now);
        };
        let due = schedule.due_of(self.number, self.begun)?;
        shared.begun += 1;
        Some(due)
    }
}
