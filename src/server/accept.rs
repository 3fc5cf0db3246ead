//! Accepting: which errors concern one connection, and which the whole machine.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use log::warn;
use mio::event::Source;
use rustix::io::Errno;

use crate::net::{Endpoint, Listen, reason};

/// How long accepting rests when it fails, unless a connection ends sooner. Long enough to cost nothing,
/// and short enough that a waiting client hardly notices.
const REST: Duration = Duration::from_millis(500);

/// A listener that fails in a way from which there is no recovery is tried this often before it is given up.
const ATTEMPTS: u32 = 3;

/// The log is told of a failure once in this time, however often accepting fails and recovers.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// A listener, and whether accepting from it goes well.
#[derive(Debug)]
pub(super) struct Acceptor<L> {
    listener: L,
    /// When to try again, from the time that descriptors or memory ran out until the accept queue has
    /// been emptied. No edge will tell: the queue may be full, and then it makes no more of them.
    retry_at: Option<Instant>,
    record: Box<Record>,
}

/// What is seldom needed. It has a place of its own, since a listener and each of a great many connections take
/// the same room.
#[derive(Debug)]
struct Record {
    /// What the log calls the listener.
    name: String,
    complained_at: Option<Instant>,
    /// How often accepting failed, one attempt after the other, as it does where there is no listener any more.
    hopeless: u32,
}

/// What came of an attempt to accept.
#[derive(Debug)]
pub(super) enum Accept<S> {
    Connection(S, Endpoint),
    /// That one was gone before it could be accepted; there may be others.
    PerConnectionError(io::Error),
    /// Accept no more until there is an event, or the time to try again has come.
    BackedOff,
    /// The listener is gone for good, as the error says.
    ListenerGone(io::Error),
}

impl<L: Listen> Acceptor<L> {
    pub(super) fn new(listener: L, name: String) -> Self {
        let record = Record { name, complained_at: None, hopeless: 0 };
        Self { listener, retry_at: None, record: record.into() }
    }

    pub(super) fn source(&mut self) -> &mut dyn Source {
        &mut self.listener
    }

    /// When to try again although there was no event.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Something was set free: if accepting rests, it need not rest any longer.
    pub(super) fn cut_rest_short(&mut self, now: Instant) {
        self.retry_at = self.retry_at.map(|at| at.min(now));
    }

    pub(super) fn next(&mut self, now: Instant) -> Accept<L::Stream> {
        if self.retry_at.is_some_and(|at| now < at) {
            return Accept::BackedOff;
        }
        let fault = self.listener.accept().map_err(|e| (Fault::of(&e), e));
        if !matches!(fault, Err((Fault::Gone, _))) {
            self.record.hopeless = 0;
        }
        match fault {
            Ok((stream, peer)) => return Accept::Connection(stream, peer),
            Err((Fault::OfOne, e)) => return Accept::PerConnectionError(e),
            Err((Fault::QueueEmpty, _)) => self.retry_at = None,
            Err((Fault::Exhausted, e)) => self.rest(&e, now),
            Err((Fault::Gone, e)) => return self.try_again_or_give_up(&e, now),
        }
        Accept::BackedOff
    }

    #[cold]
    fn try_again_or_give_up(&mut self, error: &io::Error, now: Instant) -> Accept<L::Stream> {
        self.record.hopeless += 1;
        if self.record.hopeless < ATTEMPTS {
            self.rest(error, now);
            return Accept::BackedOff;
        }
        self.retry_at = None;
        let (name, reason) = (&self.record.name, reason(error));
        let text = format!("the listener on {name} is gone for good: {reason}");
        Accept::ListenerGone(io::Error::new(error.kind(), text))
    }

    /// Stops trying for a while.
    pub(super) fn rest(&mut self, error: &io::Error, now: Instant) {
        self.retry_at = Some(now + REST);
        if self.record.complained_at.is_none_or(|at| at + COMPLAINT_INTERVAL <= now) {
            self.record.complained_at = Some(now);
            let reason = reason(error);
            warn!(
                "cannot accept on {} for now: {reason}; trying again all along",
                self.record.name
            );
        }
    }
}

/// Whose fault an error of accept(2) is, and so what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Nobody's: all were accepted.
    QueueEmpty,
    /// That one connection's: go on with the next. Linux passes network errors that are already
    /// pending on the new socket as errors of accept, and asks that they be treated so.
    OfOne,
    /// There is no listener any more: an administrator has closed it (`ss -K`).
    Gone,
    /// The machine's: descriptors or memory ran out. Anything unheard of counts as this, for it
    /// neither spins nor gives up.
    Exhausted,
}

impl Fault {
    fn of(error: &io::Error) -> Self {
        if error.kind() == ErrorKind::WouldBlock {
            return Self::QueueEmpty;
        }
        match Errno::from_io_error(error) {
            Some(
                Errno::INTR
                | Errno::CONNABORTED
                | Errno::CONNRESET
                | Errno::PROTO
                | Errno::PERM
                | Errno::NETDOWN
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::OPNOTSUPP
                | Errno::NETUNREACH
                | Errno::TIMEDOUT,
            ) => Self::OfOne,
            Some(Errno::INVAL | Errno::BADF | Errno::NOTSOCK) => Self::Gone,
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Some(Errno::NONET) => Self::OfOne,
            _ => Self::Exhausted,
        }
    }
}

#[cfg(test)]
mod tests;
