//! One of the connections of a run: a probe with its socket.

use std::collections::TryReserveError;
use std::time::{Duration, Instant};

use super::Cause;
use super::plan::Plan;
use super::recorder::Recorder;
use super::standstills::Standstills;
use crate::client::dial;
use crate::client::probe::{Fault, Message, Pattern, Probe, Received};
use crate::net::{Socket, Stream as _};

/// Reads from one connection before the others have their turn.
const READS_PER_TURN: usize = 4;

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: Socket,
    pub(super) state: State,
    pub(super) lane: Lane,
    /// How many messages were begun since it was made.
    begun: u64,
    /// Whether a short read proves nothing, going by the last event.
    is_exceptional: bool,
}

/// What outlives a connection, and goes on in the one that takes its place.
#[derive(Debug)]
pub(super) struct Lane {
    /// From 0.
    pub(super) number: usize,
    pub(super) probe: Probe,
    /// How many messages were begun, or given up.
    begun: u64,
    /// Since when the server's accept queue has had no room for it, if so.
    pub(super) queue_full_since: Option<Instant>,
}

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Since then.
    Connecting(Instant),
    Open,
    /// This end has said goodbye, then.
    Closing(Instant),
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) pattern: Pattern,
    pub(super) scratch: Box<[u8]>,
    pub(super) plan: Plan,
    pub(super) recorder: Recorder,
    /// Messages in flight, over all connections.
    pub(super) in_flight: usize,
    /// Messages of an open loop that are begun, or given up, over all connections.
    pub(super) begun: u64,
    pub(super) standstills: Standstills,
    /// After how many messages a connection is replaced.
    pub(super) reconnect_every: u64,
    /// How long an echo may take.
    pub(super) timeout: Duration,
}

/// What is to become of a connection after its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Wait,
    /// There may be more to do, of which no event will tell.
    Yield,
    /// It was made.
    Opened,
    /// It has had its number of messages, and all have come back.
    Spent,
    /// The server has said goodbye too.
    Closed,
}

impl Shared {
    /// A message of an open loop was taken off the schedule at `now`. Whether its connection is free is the
    /// server's affair; how late that is is ours.
    pub(super) fn record_lateness(&mut self, due: Instant, now: Instant) {
        if self.plan.counts(due) {
            self.recorder.late(now.saturating_duration_since(due));
        }
    }

    /// Enters a message that has come back whole.
    ///
    /// # Errors
    ///
    /// It came too late.
    #[inline]
    fn finish(&mut self, message: &Message, now: Instant) -> Result<(), Cause> {
        self.in_flight -= 1;
        let took = now.saturating_duration_since(message.sent);
        let counts = self.plan.counts(message.due);
        if took > self.timeout && self.standstills.is_overdue(message.sent, self.timeout, now) {
            if counts {
                self.recorder.lost(now.saturating_duration_since(message.due));
            }
            return Err(Cause::Late { after: self.timeout, took });
        }
        if self.plan.counts_for_rate(message.due, now) {
            self.recorder.arrived(message);
        }
        if counts {
            self.recorder.complete(message, took, now);
        }
        Ok(())
    }

    /// Takes what is on the schedule still, as the run is over.
    pub(super) fn take_rest(&mut self) {
        if let Some(schedule) = self.plan.schedule_mut() {
            let rest = schedule.take_rest();
            self.recorder.late_all(&rest, Instant::now());
        }
    }

    /// Messages of an open loop that were due, and are not begun.
    pub(super) fn waiting(&self) -> u64 {
        self.plan.schedule().map_or(0, |schedule| schedule.taken() - self.begun)
    }
}

impl Lane {
    /// # Errors
    ///
    /// If there is no memory for the messages that may be in flight.
    pub(super) fn new(number: usize, depth: usize) -> Result<Self, TryReserveError> {
        let probe = Probe::try_new(number, depth)?;
        Ok(Self { number, probe, begun: 0, queue_full_since: None })
    }

    /// Whether a message of an open loop waits for it.
    pub(super) fn is_waited_for(&self, plan: &Plan) -> bool {
        plan.schedule().is_some_and(|schedule| schedule.taken_of(self.number) > self.begun)
    }

    /// There was no room for it in the server's accept queue. Gives since when.
    pub(super) fn refuse(&mut self, now: Instant) -> Instant {
        *self.queue_full_since.get_or_insert(now)
    }

    /// Its connection has died: what was in flight will not come back, and is not sent again. Its wait until
    /// `now` counts.
    pub(super) fn lose(&self, now: Instant, shared: &mut Shared) {
        for due in self.probe.dues() {
            if shared.plan.counts(due) {
                shared.recorder.lost(now.saturating_duration_since(due));
            }
        }
    }

    /// Gives up what waits to be sent, as the run is over: its waits until `end` count.
    pub(super) fn abandon_unsent(&mut self, end: Instant, shared: &mut Shared) {
        let Some(schedule) = shared.plan.schedule() else { return };
        shared.recorder.unsent(&schedule.waiting(self.number, self.begun), end);
        let taken = schedule.taken_of(self.number);
        shared.begun += taken - self.begun;
        self.begun = taken;
    }

    /// When the next message is due, if it may be begun by now.
    #[inline]
    fn next_due(&mut self, now: Instant, shared: &mut Shared) -> Option<Instant> {
        let Some(schedule) = shared.plan.schedule() else {
            return shared.plan.take(now).then_some(now);
        };
        let due = schedule.due_of(self.number, self.begun)?;
        shared.begun += 1;
        Some(due)
    }
}

impl Connection {
    /// A connection that is being made since `now`.
    pub(super) fn new(socket: Socket, mut lane: Lane, now: Instant) -> Self {
        lane.probe.restart();
        let since = lane.queue_full_since.take().unwrap_or(now);
        Self { socket, state: State::Connecting(since), lane, begun: 0, is_exceptional: false }
    }

    /// Deals with an event, or with what is left of one.
    #[inline]
    pub(super) fn drive(&mut self, exceptional: bool, shared: &mut Shared) -> Result<Next, Cause> {
        self.is_exceptional |= exceptional;
        match self.state {
            State::Open => self.exchange(shared),
            State::Connecting(since) => self.finish_connecting(since, shared),
            State::Closing(_) => self.finish_closing(shared),
        }
    }

    fn finish_connecting(&mut self, since: Instant, shared: &mut Shared) -> Result<Next, Cause> {
        if dial::outcome(&self.socket).map_err(Cause::Connect)?.is_none() {
            return Ok(Next::Wait);
        }
        self.state = State::Open;
        shared.recorder.connected(since.elapsed());
        Ok(Next::Opened)
    }

    /// Receives, begins what may begin, and sends.
    #[inline]
    fn exchange(&mut self, shared: &mut Shared) -> Result<Next, Cause> {
        for _ in 0..READS_PER_TURN {
            let Shared { pattern, scratch, .. } = shared;
            let received = self.lane.probe.receive(&mut self.socket, pattern, scratch)?;
            // After the read and before the write: what one echo took, and the next is counted from.
            let now = Instant::now();
            self.complete(now, shared)?;
            if received == Received::End {
                return Err(Cause::Left);
            }
            self.begin(now, shared)?;
            if self.is_spent(shared) {
                // Before another read: the server may have been spent too.
                return Ok(Next::Spent);
            }
            match received {
                Received::Short(_) if self.socket.short_read_drains() && !self.is_exceptional => {}
                Received::Short(_) | Received::More(_) => continue,
                Received::Nothing | Received::End => self.is_exceptional = false,
            }
            return Ok(Next::Wait);
        }
        Ok(Next::Yield)
    }

    fn may_begin(&self, shared: &Shared) -> bool {
        self.lane.probe.has_room() && self.begun < shared.reconnect_every
    }

    fn is_spent(&self, shared: &Shared) -> bool {
        self.begun >= shared.reconnect_every && self.lane.probe.in_flight() == 0
    }

    /// Takes what has come back whole off the books.
    ///
    /// # Errors
    ///
    /// It came too late.
    #[inline]
    fn complete(&mut self, now: Instant, shared: &mut Shared) -> Result<(), Cause> {
        while let Some(message) = self.lane.probe.complete() {
            shared.finish(&message, now)?;
        }
        Ok(())
    }

    /// Begins and sends as many messages as there are to be, and room for.
    ///
    /// # Errors
    ///
    /// The connection is gone.
    #[inline]
    pub(super) fn begin(&mut self, now: Instant, shared: &mut Shared) -> Result<(), Fault> {
        while self.may_begin(shared) {
            let Some(due) = self.lane.next_due(now, shared) else { break };
            self.lane.probe.begin(shared.plan.size(), due);
            self.lane.begun += 1;
            self.begun += 1;
            shared.in_flight += 1;
        }
        if self.lane.probe.is_sent() {
            return Ok(());
        }
        self.lane.probe.send(&mut self.socket, &shared.pattern, now)
    }

    /// A message of an open loop has fallen due.
    ///
    /// # Errors
    ///
    /// The connection is gone.
    pub(super) fn begin_due(&mut self, now: Instant, shared: &mut Shared) -> Result<(), Fault> {
        if self.state != State::Open || !self.may_begin(shared) {
            return Ok(());
        }
        self.begin(now, shared)
    }

    /// Says goodbye to a connection that has had its number of messages, and gives what goes on in another.
    pub(super) fn retire(&mut self, now: Instant) -> Lane {
        self.shutdown_write(now);
        let lane = &mut self.lane;
        Lane { probe: lane.probe.hand_on(), ..*lane }
    }

    /// Says goodbye. What comes after that can only be surplus.
    pub(super) fn shutdown_write(&mut self, now: Instant) {
        self.state = State::Closing(now);
        // Fails only where the connection is gone, which the next read will find.
        let _ = self.socket.shutdown_write();
    }

    fn finish_closing(&mut self, shared: &mut Shared) -> Result<Next, Cause> {
        loop {
            let Shared { pattern, scratch, .. } = shared;
            match self.lane.probe.receive(&mut self.socket, pattern, scratch) {
                // All had come back: in which way the server leaves then is its own affair.
                Ok(Received::End) | Err(Fault::Ended { .. }) => return Ok(Next::Closed),
                Ok(Received::Nothing) => return Ok(Next::Wait),
                Ok(Received::Short(_) | Received::More(_)) => {}
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    /// Since when it has been waiting for the server, if it is.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        match self.state {
            State::Connecting(since) => Some(since),
            State::Open => self.lane.probe.waiting_since(),
            State::Closing(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
