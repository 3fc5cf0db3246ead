//! A connection of the server: an echo, its stream, and what the server must remember about it.

use std::io;
use std::time::Instant;

use super::deadlines::Deadlines;
use super::limits::{PendingLimit, Permit};
use crate::conn::{Drive, Echo, Next, ShortRead};
use crate::net::{Endpoint, Stream};
use crate::observe::{At, ConnId, Event, Expiry, Observer, Refusal, Refused};

/// One peer's connection.
#[derive(Debug)]
pub(super) struct Connection<S> {
    pub(super) id: ConnId,
    pub(super) stream: S,
    pub(super) echo: Echo,
    /// What is shown. The limits count it under what its permit says.
    pub(super) peer: Endpoint,
    pub(super) permit: Permit,
    /// When bytes last moved as far as the server saw, or when it shut down writing.
    pub(super) last_active: Instant,
    /// Bytes that the peer's system had not acknowledged when a lingering connection was last looked at.
    pub(super) unacknowledged: u32,
    /// The timeout for which the server asked it to end, if it did.
    pub(super) expired: Option<Expiry>,
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared<O> {
    /// Holds the bytes of one drive, between its read and its write.
    pub(super) scratch: Box<[u8]>,
    pub(super) pending: PendingLimit,
    pub(super) deadlines: Deadlines,
    pub(super) observer: O,
}

impl<S: Stream> Connection<S> {
    /// A connection that was accepted, or whose client was named, at `now`.
    pub(super) fn new(
        (id, stream): (ConnId, S),
        echo: Echo,
        (peer, permit): (Endpoint, Permit),
        now: Instant,
    ) -> Self {
        Self { id, stream, echo, peer, permit, last_active: now, unacknowledged: 0, expired: None }
    }

    /// Drives the echo, and enters all that it did into the accounts. This is the path of every echo.
    #[inline(always)]
    pub(super) fn drive<O: Observer>(
        &mut self,
        exceptional: bool,
        now: Instant,
        shared: &mut Shared<O>,
    ) -> io::Result<Next> {
        let is_plain = self.stream.short_read_drains() && !exceptional;
        let short_read = if is_plain { ShortRead::MeansEmpty } else { ShortRead::ProvesNothing };
        let scratch = &mut shared.scratch[..shared.pending.read_budget()];
        let before = self.echo.buffered_bytes();
        let Drive { read, wrote, blocked, next } =
            self.echo.drive(&mut self.stream, short_read, scratch);
        if read > 0 {
            self.report(Event::Read(read), now, &mut shared.observer);
        }
        if wrote > 0 {
            self.last_active = now;
            self.report(Event::Wrote(wrote), now, &mut shared.observer);
        }
        if blocked {
            self.report(Event::WriteBlocked, now, &mut shared.observer);
        }
        if before == 0 && read == wrote {
            return next; // The common case: all that was read is written.
        }
        self.account(before, next, now, shared)
    }

    /// The same, off the path of an echo.
    #[cold]
    #[inline(never)]
    pub(super) fn drive_apart<O: Observer>(
        &mut self,
        exceptional: bool,
        now: Instant,
        shared: &mut Shared<O>,
    ) -> io::Result<Next> {
        self.drive(exceptional, now, shared)
    }

    #[track_caller]
    #[inline(always)]
    pub(super) fn report(&self, event: Event<'_>, now: Instant, observer: &mut impl Observer) {
        observer.observe(At::conn(now, self.id, &self.peer), event);
    }

    /// Enters what the connection buffers into the accounts. It buffered `before` bytes before a drive.
    #[cold]
    fn account<O>(
        &mut self,
        before: usize,
        next: io::Result<Next>,
        now: Instant,
        shared: &mut Shared<O>,
    ) -> io::Result<Next> {
        let after = self.echo.buffered_bytes();
        shared.pending.account(before, after);
        if before == 0 && after > 0 {
            // Bytes arrived, even if none was written.
            self.last_active = now;
            self.note_deadline(&mut shared.deadlines);
        }
        next
    }

    /// When the connection must be looked at although there is no event, and for which timeout.
    pub(super) fn deadline(&self, deadlines: &Deadlines) -> Option<(Instant, Expiry)> {
        deadlines.of(&self.echo, self.unacknowledged, self.last_active)
    }

    /// Notes that it was silent for too long.
    pub(super) fn expire(&mut self, expiry: Expiry, now: Instant, observer: &mut impl Observer) {
        self.expired.get_or_insert(expiry);
        self.report(Event::Expired(expiry), now, observer);
    }

    /// Makes sure that a sweep comes in time for its deadline.
    pub(super) fn note_deadline(&self, deadlines: &mut Deadlines) {
        self.note_deadline_after(self.last_active, deadlines);
    }

    /// Makes sure that a sweep comes in time for its first deadline after `time`.
    pub(super) fn note_deadline_after(&self, time: Instant, deadlines: &mut Deadlines) {
        let deadline = deadlines.after(time, &self.echo, self.unacknowledged, self.last_active);
        if let Some((at, _)) = deadline {
            deadlines.note(at);
        }
    }
}

/// Closes a connection. A client that may not connect gets a reset, and the system remembers nothing of it.
pub(super) fn refuse(stream: impl Stream, refused: Refused) -> Refused {
    use Refusal::{AcceptRate, AcceptRatePerIp, Denied, UnknownProxy};
    if matches!(refused.why, Denied | AcceptRate | AcceptRatePerIp | UnknownProxy) {
        stream.reset_on_close();
    }
    refused
}

#[cfg(test)]
mod tests;
