//! A ping over UDP: each message is one datagram, which carries its number.
//!
//! A late or lost echo holds up no other message, so there can be several in flight. The number shows whether an echo
//! is the first of its message, late, a duplicate, or out of order. As a [`Session`](super::session), the engine has no
//! socket and reads no clock: [`Link`] gives it the one, and its caller the other.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use super::notice::{Activity, Notice};
use super::schedule::Schedule;
use super::session::Notify;
use super::tally::{MessageFailure, Tally};
use super::{End, Options};
use crate::client::datagram_socket::is_of_network;
use crate::client::dial::DialProgress;
use crate::client::drive::Timeout;
use crate::client::failure::Failure;
use crate::client::probe::Pattern;
use crate::client::probe::datagrams::{BadDatagram, check, number_of, write_message};
use crate::client::probe::window::{Arrival, Window};
use crate::net::{Endpoint, cannot};

mod lookup;
pub(super) mod sockets;

/// Longer than each datagram.
const BUFFER_BYTES: usize = 1 << 16;

/// Datagrams that are received in one turn. A server that sends without an end does not keep messages from being sent.
const RECEIVED_PER_TURN: usize = 256;

/// The most messages that are remembered.
const REMEMBERED: usize = 1 << 16;

/// The number of the only stream of the [pattern](Pattern).
const STREAM: usize = 0;

/// A socket that exchanges datagrams with one server.
pub(super) trait Link {
    /// Sends one datagram.
    ///
    /// # Errors
    ///
    /// Of send(2). An error can also be about an earlier datagram.
    fn send(&mut self, datagram: &[u8]) -> io::Result<usize>;

    /// Receives one datagram, and returns its length.
    ///
    /// # Errors
    ///
    /// Of recv(2). An error other than `WouldBlock` is about an earlier datagram that was sent.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Goes on with the next of the server's addresses, and returns it. `None` if there is none left.
    fn next_address(&mut self) -> Option<Endpoint>;
}

/// A ping over UDP under way.
pub(super) struct DatagramSession<'a, L, S> {
    options: &'a Options,
    link: L,
    peer: Endpoint,
    notify: S,
    schedule: Schedule,
    window: Window<()>,
    pattern: Pattern,
    message: Box<[u8]>,
    buffer: Box<[u8]>,
    is_stopping: bool,
    tally: &'a mut Tally,
}

impl<'a, L: Link, S: Notify> DatagramSession<'a, L, S> {
    /// A session whose first message is due at once. It counts in `tally`.
    pub(super) fn new(
        options: &'a Options,
        (link, peer): (L, Endpoint),
        tally: &'a mut Tally,
        notify: S,
        now: Instant,
    ) -> Self {
        Self {
            options,
            link,
            peer,
            notify,
            schedule: Schedule::new(options.interval, now),
            window: Window::new(REMEMBERED),
            pattern: Pattern::new(options.size),
            message: vec![0; options.size].into(),
            buffer: vec![0; BUFFER_BYTES].into(),
            is_stopping: false,
            tally,
        }
    }

    /// Reports that the ping begins.
    pub(super) fn start(&mut self) -> io::Result<()> {
        let (server, bytes) = (&self.options.server, self.options.size);
        (self.notify)(&Notice::Start { server, peer: &self.peer, bytes })
    }

    /// How long the caller may wait for an event.
    pub(super) fn poll_timeout(&self, now: Instant) -> Timeout {
        let until_due = self.wants_to_send().then(|| self.schedule.left(now));
        let until_late = self.window.oldest().map(|(_, sent)| {
            self.options.timeout.saturating_sub(now.saturating_duration_since(sent))
        });
        match (until_due, until_late) {
            (Some(due), Some(late)) => Timeout::Owed(due.min(late)),
            (None, Some(late)) => Timeout::Owed(late),
            (Some(due), None) => Timeout::Idle(due),
            (None, None) => Timeout::Idle(Duration::ZERO),
        }
    }

    /// When the next message is due, if one is left.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.wants_to_send().then(|| self.schedule.due())
    }

    /// Leaves out a time before `now` in which the program did not run: it counts against no echo.
    pub(super) fn discount(&mut self, standstill: Duration, now: Instant) {
        self.tally.standstill += standstill;
        self.window.discount(standstill);
        self.tally.skipped += self.schedule.resume(now);
    }

    /// Receives what is there. Returns whether there may be more.
    pub(super) fn receive(&mut self, now: Instant) -> io::Result<bool> {
        for _ in 0..RECEIVED_PER_TURN {
            match self.link.receive(&mut self.buffer) {
                Ok(len) => self.handle(len, now)?,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => self.refused(e, now)?,
            }
        }
        Ok(true)
    }

    /// Does what is due at `now`.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> io::Result<()> {
        if !self.is_all_sent() && !self.window.has_room_for(1) {
            // All together would be a burst.
            self.tally.skipped += self.schedule.resume(now);
        }
        let is_overdue = |sent_at| now.saturating_duration_since(sent_at) >= self.options.timeout;
        while let Some(sequence) = self.window.expire(is_overdue) {
            let (timeout, expected) = (self.options.timeout, self.options.size as u64);
            self.fail(sequence, Failure::TimedOut { timeout, received: 0, expected })?;
        }
        if self.wants_to_send() && self.schedule.left(now).is_zero() {
            self.send(now)?;
        }
        self.tally.datagrams.get_or_insert_default().outstanding = self.window.outstanding();
        Ok(())
    }

    /// Ends the session.
    pub(super) fn stop(&mut self) {
        self.is_stopping = true;
    }

    /// How the session ended, once it has.
    pub(super) fn outcome(&self) -> Option<End> {
        let is_complete = self.is_all_sent() && self.window.outstanding() == 0;
        match self.is_stopping {
            true => Some(if is_complete { End::Complete } else { End::Interrupted }),
            false => is_complete.then_some(End::Complete),
        }
    }

    /// Reports the counts so far, and the message that waits longest.
    pub(super) fn report_status(&mut self, now: Instant) -> io::Result<()> {
        let activity = match self.window.oldest() {
            Some((sequence, sent)) => {
                Activity::Waiting { sequence, waited: now.saturating_duration_since(sent) }
            }
            None => Activity::None,
        };
        (self.notify)(&Notice::Status { tally: self.tally, activity })
    }

    fn is_all_sent(&self) -> bool {
        self.options.count.is_some_and(|count| self.tally.sent >= count)
    }

    fn wants_to_send(&self) -> bool {
        !self.is_stopping && !self.is_all_sent() && self.window.has_room_for(1)
    }

    fn send(&mut self, now: Instant) -> io::Result<()> {
        self.schedule.begin(now);
        write_message(&mut self.message, self.tally.sent + 1, STREAM, &self.pattern);
        let (sent, earlier) = self.try_to_send();
        let number = self.window.send((), now);
        self.tally.sent += 1;
        match sent {
            Ok(_) => {}
            Err(e) => {
                self.window.fail_last();
                self.fail(number, refusal(e))?;
            }
        }
        earlier.map_or(Ok(()), |e| self.refused(e, now))
    }

    /// Sends the message. An error of the network is about an earlier message, unless it comes again: the socket reports
    /// it once, instead of sending.
    fn try_to_send(&mut self) -> (io::Result<usize>, Option<io::Error>) {
        match self.send_once() {
            Err(e) if is_of_network(&e) && self.window.outstanding() > 0 => {
                let sent = self.send_once();
                let is_same = sent.as_ref().is_err_and(|again| again.kind() == e.kind());
                (sent, (!is_same).then_some(e))
            }
            sent => (sent, None),
        }
    }

    fn send_once(&mut self) -> io::Result<usize> {
        loop {
            match self.link.send(&self.message) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                sent => return sent,
            }
        }
    }

    /// A datagram came back.
    fn handle(&mut self, len: usize, now: Instant) -> io::Result<()> {
        let number = number_of(&self.buffer[..len]);
        let arrival = number.map_or(Arrival::Unknown, |number| self.window.arrive(number, now));
        let Some(sequence) = number.filter(|_| arrival != Arrival::Unknown) else {
            return self.fail(self.tally.sent, Failure::Datagram(BadDatagram::Unknown));
        };
        let (came, bytes) = (&self.buffer[..len], self.options.size);
        if let Err(bad) = check(came, sequence, bytes, (STREAM, &self.pattern)) {
            return self.fail(sequence, Failure::Datagram(bad));
        }
        let peer = &self.peer;
        let counts = self.tally.datagrams.get_or_insert_default();
        match arrival {
            Arrival::Echo { took, is_reordered } => {
                counts.reordered += u64::from(is_reordered);
                self.tally.record_echo(took);
                (self.notify)(&Notice::Echo { sequence, bytes, peer, took })
            }
            Arrival::Late { took } => {
                counts.late += 1;
                self.tally.lost -= 1;
                (self.notify)(&Notice::LateEcho { sequence, bytes, peer, took })
            }
            Arrival::Duplicate | Arrival::Unknown => {
                counts.duplicates += 1;
                (self.notify)(&Notice::Duplicate { sequence, bytes, peer })
            }
        }
    }

    /// The network refuses a message. Nothing says which: the oldest is the most likely. If its echo comes after all, it is
    /// late.
    fn refused(&mut self, error: io::Error, now: Instant) -> io::Result<()> {
        let is_first_word = self.tally.sent == self.window.outstanding();
        if is_first_word && let Some(next) = self.link.next_address() {
            return self.start_again_at(next, &error, now);
        }
        match self.window.expire(|_| true) {
            Some(sequence) => self.fail(sequence, refusal(error)),
            None => Ok(()),
        }
    }

    /// Starts again at another address of the server's name, since nothing listens at the one before.
    fn start_again_at(
        &mut self,
        next: Endpoint,
        error: &io::Error,
        now: Instant,
    ) -> io::Result<()> {
        let before = std::mem::replace(&mut self.peer, next);
        self.window = Window::new(REMEMBERED);
        self.schedule = Schedule::new(self.options.interval, now);
        self.tally.sent = 0;
        let failed = DialProgress::Failed(cannot("reach", &before, error));
        (self.notify)(&Notice::Dialing(&failed))
    }

    fn fail(&mut self, sequence: u64, failure: Failure) -> io::Result<()> {
        let offsets = (0, self.options.size as u64 - 1);
        let failed = MessageFailure { sequence, offsets, failure };
        self.tally.record_failure(&failed);
        (self.notify)(&Notice::Failed(&failed))
    }
}

/// Why a message could not be sent, or did not arrive.
fn refusal(error: io::Error) -> Failure {
    if is_of_network(&error) { Failure::Connect(error) } else { Failure::System(error) }
}

#[cfg(test)]
mod tests;
