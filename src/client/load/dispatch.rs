//! From the schedule of an open loop to its connections.

use std::time::Instant;

use super::Reporter;
use super::clock::Clock;
use super::connection::Connection;
use super::engine::Engine;
use super::link::Connect;
use super::shared::Shared;

/// Messages of an open loop that are begun before events are handled again.
const MESSAGES_PER_TURN: usize = 256;

impl<N: Connect, C: Clock, R: Reporter> Engine<'_, N, C, R> {
    /// Begins the messages of an open loop that have fallen due. Returns whether any was begun.
    pub(super) fn dispatch(&mut self, now: Instant) -> bool {
        let begun = self.shared.begun;
        // If most of what is due cannot be sent anyway, each connection is offered its last message only.
        if let Some(schedule) = self.shared.plan.schedule_mut()
            && let Some(surplus) = schedule.take_surplus(now)
        {
            self.shared.recorder.late_all(&surplus, now);
        }
        for _ in 0..MESSAGES_PER_TURN {
            let Some(schedule) = self.shared.plan.schedule_mut() else { break };
            let Some((number, due)) = schedule.take(now) else { break };
            // The messages before it took their part of this turn.
            let now = self.clock.now();
            self.shared.record_lateness(due, now);
            if let Some((token, connection)) = self.connections.by_number(number)
                && let Err(failure) = connection.begin_due(now, &mut self.shared)
            {
                self.fail(token, failure);
            }
        }
        self.shared.begun != begun
    }

    /// Calls `act` for each connection, and has it driven.
    pub(super) fn drive_each(
        &mut self,
        mut act: impl FnMut(&mut Connection<N::Link>, &mut Shared),
    ) {
        for number in self.connections.numbers() {
            if let Some((token, connection)) = self.connections.by_number(number) {
                act(connection, &mut self.shared);
                self.connections.reactor.requeue(token);
            }
        }
    }

    /// Abandons what waits to be sent, since the run ended at `end`.
    pub(super) fn abandon_unsent(&mut self, end: Instant) {
        self.shared.take_rest(self.clock.now());
        self.drive_each(|connection, shared| connection.lane.abandon_unsent(end, shared));
        for lane in self.connections.deferred() {
            lane.abandon_unsent(end, &mut self.shared);
        }
    }
}
