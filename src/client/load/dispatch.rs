//! From the schedule of an open loop to its connections.

use std::time::Instant;

use super::Reporter;
use super::connection::{Connection, Shared};
use super::engine::{Engine, Place, Slot};

/// Messages of an open loop that are begun before events are looked at again.
const MESSAGES_PER_TURN: usize = 256;

impl<W: Reporter> Engine<'_, W> {
    /// Begins what messages of an open loop have fallen due. Returns whether any was begun.
    pub(super) fn dispatch(&mut self, now: Instant) -> bool {
        let begun = self.shared.begun;
        // If most of what is due cannot be sent anyway, each connection is offered its last message.
        if let Some(schedule) = self.shared.plan.schedule_mut()
            && let Some(surplus) = schedule.take_surplus(now)
        {
            self.shared.recorder.late_all(&surplus, now);
        }
        for _ in 0..MESSAGES_PER_TURN {
            let Some(schedule) = self.shared.plan.schedule_mut() else { break };
            let Some((number, due)) = schedule.take(now) else { break };
            let now = Instant::now();
            self.shared.record_lateness(due, now);
            if let Place::At(token) = self.places[number]
                && let Some(Slot::Connection(connection)) = self.reactor.get_mut(token)
                && let Err(fault) = connection.begin_due(now, &mut self.shared)
            {
                self.fail(token, fault.into());
            }
        }
        self.shared.begun != begun
    }

    /// Does something to each connection, and has it driven.
    pub(super) fn drive_each(&mut self, mut act: impl FnMut(&mut Connection, &mut Shared)) {
        for place in &self.places {
            if let Place::At(token) = place
                && let Some(Slot::Connection(connection)) = self.reactor.get_mut(*token)
            {
                act(connection, &mut self.shared);
                self.reactor.requeue(*token);
            }
        }
    }

    /// Gives up what waits to be sent.
    pub(super) fn abandon_unsent(&mut self, end: Instant) {
        self.shared.take_rest();
        self.drive_each(|connection, shared| connection.lane.abandon_unsent(end, shared));
        for place in &mut self.places {
            if let Place::Waiting(lane) = place {
                lane.abandon_unsent(end, &mut self.shared);
            }
        }
    }
}
