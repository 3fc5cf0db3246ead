//! One connection to the server under check: what was sent on it, what came back, and when.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Instant;

use mio::Token;

use super::recording::Recorded;
use super::timeline::{Moment, Timeline};
use crate::client::dial;
use crate::net::{Endpoint, Socket, Stream, reason};

/// The bytes that one turn moves in each direction: others must have their turn too.
const BYTES_PER_TURN: usize = 4 << 20;

/// Bytes that are kept of what was never sent. A server that floods is stopped there.
const MAX_SURPLUS: usize = 64 << 10;

/// A connection of a case, by its place in the reactor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PeerId(pub(super) Token);

/// How the server ended its direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// In an orderly way: an end of file.
    Closed,
    /// By a reset, or another error.
    Broken(String),
}

/// One connection. Whatever is sent on it must come back.
pub(super) struct Peer {
    pub(super) socket: Socket,
    pub(super) is_connected: bool,
    /// Everything to send, from the first byte on.
    message: Vec<u8>,
    /// How much of that the system has taken.
    sent: usize,
    /// Whether this end shuts down writing once all is sent, and whether it has.
    ends: (bool, bool),
    /// How many bytes it may still read. A peer that may read none is one that the server must wait for.
    allowance: usize,
    /// Whether there is always more to send.
    floods: bool,
    received: Vec<u8>,
    /// How many of the received bytes are known to be right.
    checked: usize,
    pub(super) ending: Option<Ending>,
    /// Bytes moved so far, and a change of state counts as one.
    pub(super) progress: u64,
    pub(super) timeline: Timeline,
    recorded: Recorded,
    pub(super) local: Option<Endpoint>,
}

impl Peer {
    /// A connection that is being made.
    pub(super) fn new(socket: Socket, recorded: Recorded, now: Instant) -> Self {
        Self {
            socket,
            is_connected: false,
            message: Vec::new(),
            sent: 0,
            ends: (false, false),
            allowance: usize::MAX,
            floods: false,
            received: Vec::new(),
            checked: 0,
            ending: None,
            progress: 0,
            timeline: Timeline::new(now),
            recorded,
            local: None,
        }
    }

    /// Adds bytes to send.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.message.extend_from_slice(bytes);
    }

    /// Has it send what it was given again and again.
    pub(super) fn flood(&mut self) {
        self.floods = true;
    }

    /// Has this end shut down writing once all is sent.
    pub(super) fn end(&mut self) {
        self.ends.0 = true;
    }

    /// Has it read no more than this from now on.
    pub(super) fn allow(&mut self, bytes: usize) {
        self.allowance = bytes;
    }

    /// How many bytes it may still read.
    pub(super) fn allowance(&self) -> usize {
        self.allowance
    }

    /// Forgets what is not sent yet.
    pub(super) fn forget_unsent(&mut self) {
        self.message.truncate(self.sent);
    }

    /// All bytes that are to be sent, or were.
    pub(super) fn message(&self) -> &[u8] {
        &self.message
    }

    /// How many bytes the system has taken.
    pub(super) fn sent(&self) -> usize {
        self.sent
    }

    /// Whether all is sent, and this end has shut down writing if it was asked to.
    pub(super) fn is_sent(&self) -> bool {
        self.sent == self.message.len() && self.ends.0 == self.ends.1
    }

    /// Whether this end has shut down writing.
    pub(super) fn has_ended(&self) -> bool {
        self.ends.1
    }

    /// What has come back.
    pub(super) fn received(&self) -> &[u8] {
        &self.received
    }

    /// The offset of the first byte that is not the one that was sent there, or that was never sent.
    pub(super) fn first_wrong(&self) -> Option<usize> {
        (self.checked < self.received.len()).then_some(self.checked)
    }

    /// Whether everything has come back, and nothing else.
    pub(super) fn is_echoed(&self) -> bool {
        self.checked == self.message.len() && self.received.len() == self.checked
    }

    /// Does what can be done without waiting. Returns whether there may be more to do.
    pub(super) fn drive(&mut self, scratch: &mut [u8], now: Instant) -> bool {
        if self.ending.is_some() || !self.connect(now) {
            return false;
        }
        let more_to_read = self.read(scratch, now);
        if self.floods {
            self.renew();
        }
        self.write(scratch, now) | more_to_read
    }

    /// Sends again what has come back. The bytes before that are forgotten.
    fn renew(&mut self) {
        let back = self.message.drain(..self.checked).collect::<Vec<_>>();
        self.message.extend(back);
        self.received.drain(..self.checked);
        (self.sent, self.checked) = (self.sent - self.checked, 0);
    }

    fn connect(&mut self, now: Instant) -> bool {
        if self.is_connected {
            return true;
        }
        match dial::outcome(&self.socket) {
            Ok(None) => return false,
            Ok(local) => {
                (self.local, self.is_connected) = (local, true);
                self.note(Moment::Connected, now);
            }
            Err(e) => self.finish(&e, now),
        }
        self.is_connected
    }

    fn read(&mut self, scratch: &mut [u8], now: Instant) -> bool {
        let mut left = BYTES_PER_TURN;
        while self.allowance.min(left) > 0
            && self.received.len() <= self.message.len() + MAX_SURPLUS
        {
            let most = scratch.len().min(self.allowance);
            match self.socket.read(&mut scratch[..most]) {
                Ok(0) => {
                    self.ending = Some(Ending::Closed);
                    self.note(Moment::Closed, now);
                    return false;
                }
                Ok(n) => {
                    self.received.extend_from_slice(&scratch[..n]);
                    (left, self.allowance) = (left.saturating_sub(n), self.less_allowance(n));
                    self.check();
                    self.progress += n as u64;
                    self.add(Moment::Received(n), now);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return false,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => {
                    self.finish(&e, now);
                    return false;
                }
            }
        }
        left == 0
    }

    fn less_allowance(&self, n: usize) -> usize {
        if self.allowance == usize::MAX { usize::MAX } else { self.allowance - n }
    }

    /// Compares what has come since the last time.
    fn check(&mut self) {
        let sent = &self.message[..self.sent];
        let until = self.received.len().min(sent.len());
        let (came, sent) = (&self.received[self.checked..until], &sent[self.checked..until]);
        let right = match came == sent {
            true => came.len(),
            false => came.iter().zip(sent).take_while(|(came, sent)| came == sent).count(),
        };
        self.checked += right;
    }

    fn write(&mut self, scratch: &mut [u8], now: Instant) -> bool {
        let mut left = BYTES_PER_TURN;
        while self.sent < self.message.len() && left > 0 {
            let end = self.message.len().min(self.sent + left);
            match self.socket.write(&self.message[self.sent..end]) {
                Ok(n) => {
                    self.sent += n;
                    left = left.saturating_sub(n);
                    self.progress += n as u64;
                    self.add(Moment::Sent(n), now);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return false,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => {
                    // What came before that can still be read.
                    self.read(scratch, now);
                    self.ending = None;
                    self.finish(&e, now);
                    return false;
                }
            }
        }
        if self.sent == self.message.len() && self.ends == (true, false) {
            self.ends.1 = true;
            // If that fails, the connection is gone, as the next read finds.
            let _ = self.socket.shutdown_write();
            self.note(Moment::Ended, now);
        }
        left == 0
    }

    fn finish(&mut self, error: &io::Error, now: Instant) {
        let why = reason(error);
        self.ending = Some(Ending::Broken(why.clone()));
        self.note(Moment::Broken(why), now);
    }

    fn note(&mut self, moment: Moment, now: Instant) {
        self.progress += 1;
        self.add(moment, now);
    }

    /// Notes what happened on it.
    pub(super) fn add(&mut self, moment: Moment, now: Instant) {
        self.recorded.add(&moment, self.local.as_ref(), now);
        self.timeline.add(moment, now);
    }
}
