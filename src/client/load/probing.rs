//! What a run needs of a probe, whether its messages travel in a stream or in datagrams.

use std::collections::TryReserveError;
use std::io::{Read, Write};
use std::time::Instant;

use super::Options;
use super::shared::Shared;
use crate::client::failure::Failure;
use crate::client::probe::{Fault, Probe, Received};

/// The messages of one connection: sends them, and checks what comes back.
pub(super) trait Probing: Sized {
    /// Reads from one connection before the others have their turn.
    const READS_PER_TURN: usize;

    /// A probe that has sent nothing yet, for the connection with this number.
    ///
    /// # Errors
    ///
    /// If there is no memory for its messages in flight.
    fn try_new(number: usize, options: &Options) -> Result<Self, TryReserveError>;

    /// Starts again on a new connection, and forgets the messages in flight.
    fn restart(&mut self);

    /// What goes on in a second connection. No message may be in flight here, and none can be begun any more.
    fn hand_on(&mut self) -> Self;

    /// Whether another message may be [begun](Self::begin).
    fn has_room(&self) -> bool;

    /// The number of messages in flight.
    fn in_flight(&self) -> usize;

    /// When the messages in flight were due.
    fn dues(&self) -> impl Iterator<Item = Instant>;

    /// When the oldest message in flight was sent, or when it was due if it is not sent yet.
    fn waiting_since(&self) -> Option<Instant>;

    /// Begins a message. There must be [room](Self::has_room) for it.
    fn begin(&mut self, bytes: usize, due: Instant);

    /// Whether the socket has taken all that was begun.
    fn is_sent(&self) -> bool;

    /// Sends what was begun, until all is sent or the socket would block. `now` is the time of sending.
    ///
    /// # Errors
    ///
    /// If the connection is gone.
    fn send(
        &mut self,
        io: &mut impl Write,
        shared: &mut Shared,
        now: Instant,
    ) -> Result<(), Failure>;

    /// Reads once, and checks what came.
    ///
    /// # Errors
    ///
    /// What is wrong with it. After that, the connection must not be used.
    fn receive(&mut self, io: &mut impl Read, shared: &mut Shared) -> Result<Received, Failure>;

    /// Counts the messages whose echo the last read has completed, at `now`.
    ///
    /// # Errors
    ///
    /// If one came too late for the connection to go on.
    fn complete(&mut self, now: Instant, shared: &mut Shared) -> Result<(), Failure>;

    /// Gives up the messages that are overdue at `now`.
    ///
    /// # Errors
    ///
    /// If the connection cannot go on without their echoes.
    fn give_up_overdue(&mut self, now: Instant, shared: &mut Shared) -> Result<(), Failure>;

    /// Reads what comes once this end has shut down writing, and all echoes have come. Returns whether that was all.
    ///
    /// # Errors
    ///
    /// If it was never sent.
    fn read_rest(
        &mut self,
        io: &mut impl Read,
        now: Instant,
        shared: &mut Shared,
    ) -> Result<bool, Failure>;
}

/// In a stream, a message that is lost holds up all that follow.
impl Probing for Probe {
    const READS_PER_TURN: usize = 4;

    fn try_new(number: usize, options: &Options) -> Result<Self, TryReserveError> {
        Self::try_new(number, options.depth)
    }

    fn restart(&mut self) {
        self.restart();
    }

    fn hand_on(&mut self) -> Self {
        self.hand_on()
    }

    #[inline]
    fn has_room(&self) -> bool {
        self.has_room()
    }

    #[inline]
    fn in_flight(&self) -> usize {
        self.in_flight()
    }

    fn dues(&self) -> impl Iterator<Item = Instant> {
        self.dues()
    }

    fn waiting_since(&self) -> Option<Instant> {
        self.waiting_since()
    }

    #[inline]
    fn begin(&mut self, bytes: usize, due: Instant) {
        self.begin(bytes, due);
    }

    #[inline]
    fn is_sent(&self) -> bool {
        self.is_sent()
    }

    #[inline]
    fn send(
        &mut self,
        io: &mut impl Write,
        shared: &mut Shared,
        now: Instant,
    ) -> Result<(), Failure> {
        Ok(self.send(io, &shared.pattern, now)?)
    }

    #[inline]
    fn receive(&mut self, io: &mut impl Read, shared: &mut Shared) -> Result<Received, Failure> {
        let Shared { pattern, scratch, .. } = shared;
        Ok(self.receive(io, pattern, scratch)?)
    }

    #[inline]
    fn complete(&mut self, now: Instant, shared: &mut Shared) -> Result<(), Failure> {
        while let Some(message) = self.complete() {
            shared.finish(&message, now)?;
        }
        Ok(())
    }

    fn give_up_overdue(&mut self, _: Instant, shared: &mut Shared) -> Result<(), Failure> {
        let (sent, received) = self.progress();
        Err(Failure::TimedOut { timeout: shared.timeout, received, expected: sent })
    }

    fn read_rest(
        &mut self,
        io: &mut impl Read,
        _: Instant,
        shared: &mut Shared,
    ) -> Result<bool, Failure> {
        let Shared { pattern, scratch, .. } = shared;
        loop {
            match self.receive(io, pattern, scratch) {
                // All echoes had come: how the server closes after that is its own affair.
                Ok(Received::End) | Err(Fault::Ended { .. }) => return Ok(true),
                Ok(Received::Nothing) => return Ok(false),
                Ok(Received::Short(_) | Received::More(_)) => {}
                Err(fault) => return Err(fault.into()),
            }
        }
    }
}
