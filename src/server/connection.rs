//! A connection of the server's: an echo, its stream, and what the server must know besides.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Instant;

use super::deadlines::{Deadlines, Expiry};
use super::limits::PendingLimit;
use crate::conn::{Echo, Next, ShortRead};
use crate::net::{Endpoint, Stream};
use crate::observe::{Event, Observer};

/// One peer's connection.
#[derive(Debug)]
pub(super) struct Connection<S> {
    pub(super) stream: S,
    pub(super) echo: Echo,
    pub(super) peer: Endpoint,
    /// When bytes last moved, as far as was seen, or the goodbye was said.
    pub(super) active: Instant,
    /// How many bytes its peer had yet to acknowledge when it was last looked at after the goodbye.
    pub(super) left: u32,
    /// Whether it is ending because it was idle for too long.
    pub(super) timed_out: bool,
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared<O> {
    /// Where bytes rest between a read and the write that follows, whosesoever they are.
    pub(super) scratch: Box<[u8]>,
    pub(super) pending: PendingLimit,
    pub(super) deadlines: Deadlines,
    pub(super) observer: O,
    /// The time of this turn.
    pub(super) now: Instant,
}

impl<S: Stream> Connection<S> {
    /// Gives the connection its turn.
    #[inline(always)] // This is the path of every echo.
    pub(super) fn drive<O: Observer>(
        &mut self,
        exceptional: bool,
        shared: &mut Shared<O>,
    ) -> io::Result<Next> {
        let Self { stream, echo, peer, active, .. } = self;
        let plain = stream.short_read_drains() && !exceptional;
        let hint = if plain { ShortRead::MeansEmpty } else { ShortRead::ProvesNothing };
        let room = shared.pending.room();
        let observer = &mut shared.observer;
        let mut tap = Tap { io: stream, peer, observer, active, now: &shared.now };
        echo.drive(&mut tap, hint, &mut shared.scratch[..room])
    }

    /// The same, off the path of an echo: there has been no event.
    #[cold]
    #[inline(never)]
    pub(super) fn try_drive<O: Observer>(&mut self, shared: &mut Shared<O>) -> io::Result<Next> {
        self.drive(false, shared)
    }

    /// Enters into the accounts that it held `before` bytes before its turn.
    pub(super) fn hold<O>(&mut self, before: usize, shared: &mut Shared<O>) {
        shared.pending.hold(before, self.echo.held_bytes());
        if before == 0 && self.echo.held_bytes() > 0 {
            // They have come now, even if none has gone.
            self.active = shared.now;
            self.note_deadline(shared);
        }
    }

    /// When something is to be done about it although there is no event, and what.
    pub(super) fn deadline<O>(&self, shared: &Shared<O>) -> Option<(Instant, Expiry)> {
        shared.deadlines.of(&self.echo, self.left, self.active)
    }

    /// Sees to it that its deadline is not missed.
    pub(super) fn note_deadline<O>(&self, shared: &mut Shared<O>) {
        self.note_deadline_after(self.active, shared);
    }

    /// The same when it was looked at until `time`.
    pub(super) fn note_deadline_after<O>(&self, time: Instant, shared: &mut Shared<O>) {
        if let Some((at, _)) = shared.deadlines.after(time, &self.echo, self.left, self.active) {
            shared.deadlines.note(at);
        }
    }
}

/// A stream, with everything that goes through it told to the observer.
struct Tap<'a, S, O> {
    io: &'a mut S,
    peer: &'a Endpoint,
    observer: &'a mut O,
    /// Stamped at each write, and so whenever anything moves: what is read is written, or held. After the
    /// goodbye it is neither, for a peer that talks on is not to put the end off.
    active: &'a mut Instant,
    now: &'a Instant,
}

#[cold]
fn tell_if_blocked(observer: &mut impl Observer, peer: &Endpoint, error: &io::Error) {
    if error.kind() == ErrorKind::WouldBlock {
        observer.observe(peer, Event::Blocked);
    }
}

impl<S: Read, O: Observer> Read for Tap<'_, S, O> {
    #[inline(always)]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.io.read(buffer);
        if let Ok(n @ 1..) = read {
            self.observer.observe(self.peer, Event::Read(n));
        }
        read
    }
}

impl<S: Write, O: Observer> Write for Tap<'_, S, O> {
    #[inline(always)]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.io.write(bytes);
        match &written {
            Ok(n) => {
                *self.active = *self.now;
                self.observer.observe(self.peer, Event::Wrote(*n));
            }
            Err(e) => tell_if_blocked(self.observer, self.peer, e),
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.io.flush()
    }
}

#[cfg(test)]
mod tests;
