//! The reactor: a poll, a slab of what is polled, and a queue of what has more to do.
//!
//! It knows tokens and readiness, and nothing of echoing. The caller owns the loop: [`Reactor::wait`]
//! fills a list of ready tokens and returns, so no callback runs inside the reactor, and the slab may
//! change freely while the caller walks the list.
//!
//! # Registered once
//!
//! A source is registered for everything when it is inserted, and never re-registered: an event means
//! "something may have changed", and the source is then driven in every direction it wants. Following
//! a source's changing wishes would cost a system call for each change.
//!
//! # Edges, and what to do about them
//!
//! An event is told once, when something changes. So whoever stops before the system call said
//! `WouldBlock` (to let others have their turn, say) must call [`Reactor::again`]; nobody else will
//! mention it.
//!
//! # Stale events
//!
//! A token in the list may belong to a source that was removed while an earlier one was dealt with, or
//! even to another that took its slot since. The first is not found; the second is driven for nothing,
//! which costs it one `WouldBlock`. Readiness is a hint: the system call decides.

use std::io::{self, ErrorKind};
use std::time::Duration;

use mio::event::{Event, Source};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

/// Events fetched by one system call. Enough to share its cost among many, and few enough that what
/// one batch brings is soon dealt with: 12 bytes each on Linux.
const EVENTS_PER_WAIT: usize = 1024;

/// Urgent data makes a read stop short at its mark. Only Linux tells of it here.
#[cfg(any(target_os = "linux", target_os = "android"))]
const INTEREST: Interest = Interest::READABLE.add(Interest::WRITABLE).add(Interest::PRIORITY);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const INTEREST: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// A source that may have something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// What [`Reactor::insert`] returned for it.
    pub token: Token,
    /// The event told of more than bytes: end of file, an error or urgent data. A hint like the rest.
    pub special: bool,
}

/// Polls sources of type `T`, which it owns.
#[derive(Debug)]
pub struct Reactor<T> {
    poll: Poll,
    events: Events,
    slots: Slab<Slot<T>>,
    /// Slots to report without an event. Whether an entry still counts stands in the slot itself.
    queue: Vec<Token>,
}

#[derive(Debug)]
struct Slot<T> {
    source: T,
    queued: Queued,
}

/// Whether a slot is to be reported without an event, and as what. The later outdoes the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Queued {
    No,
    Plain,
    Special,
}

impl<T: Source> Reactor<T> {
    /// An empty reactor with a poll of its own.
    ///
    /// # Errors
    ///
    /// Where the system gives no further poll descriptor: epoll_create1(2).
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_PER_WAIT),
            slots: Slab::new(),
            queue: Vec::new(),
        })
    }

    /// Registers `source` for every kind of event, once and for all.
    ///
    /// # Errors
    ///
    /// Where the system cannot watch it: epoll_ctl(2). The source is dropped then.
    pub fn insert(&mut self, mut source: T) -> io::Result<Token> {
        let entry = self.slots.vacant_entry();
        let token = Token(entry.key());
        self.poll.registry().register(&mut source, token, INTEREST)?;
        entry.insert(Slot { source, queued: Queued::No });
        Ok(token)
    }

    /// The source behind `token`, unless it was removed.
    pub fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        self.slots.get_mut(token.0).map(|slot| &mut slot.source)
    }

    /// Reports `token` with the next [`wait`](Self::wait), which will not block.
    pub fn again(&mut self, token: Token) {
        self.report(Ready { token, special: false });
    }

    /// The same for a source whose readiness no poll tells, in all its particulars.
    pub fn report(&mut self, Ready { token, special }: Ready) {
        let Some(slot) = self.slots.get_mut(token.0) else { return };
        if slot.queued == Queued::No {
            self.queue.push(token);
        }
        slot.queued = slot.queued.max(if special { Queued::Special } else { Queued::Plain });
    }

    /// Takes a source out. It is deregistered first: a duplicate of its descriptor, held elsewhere,
    /// would otherwise go on making events (epoll(7), question 6).
    pub fn remove(&mut self, token: Token) -> Option<T> {
        let mut source = self.slots.try_remove(token.0)?.source;
        // Fails only where the registration is gone already, which is what was wanted.
        let _ = self.poll.registry().deregister(&mut source);
        Some(source)
    }

    /// How many sources there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are no sources.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Every token's number is less than this, at present.
    pub fn token_bound(&self) -> usize {
        self.slots.capacity()
    }

    /// Waits until a source is ready or `timeout` has passed, for ever if it is `None`, and fills `ready`
    /// with each source that is, once. Does not wait while anything is queued by [`again`](Self::again).
    ///
    /// A wait that a signal interrupts ends early with what is queued, so that the caller can look at
    /// the clock before it waits on.
    ///
    /// # Errors
    ///
    /// Only where the poll itself is broken: epoll_wait(2).
    pub fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        ready.clear();
        let timeout = if self.queue.is_empty() { timeout } else { Some(Duration::ZERO) };
        match self.poll.poll(&mut self.events, timeout) {
            Err(e) if e.kind() == ErrorKind::Interrupted => self.events.clear(),
            polled => polled?,
        }
        ready.extend(self.events.iter().map(Ready::from));
        if !self.queue.is_empty() {
            self.report_queue(ready);
        }
        Ok(())
    }

    /// Adds what was queued; to its event, where there is one.
    fn report_queue(&mut self, ready: &mut Vec<Ready>) {
        let slots = &mut self.slots;
        let mut unqueue = |token: Token| match slots.get_mut(token.0) {
            Some(slot) => std::mem::replace(&mut slot.queued, Queued::No),
            None => Queued::No,
        };
        for ready in &mut *ready {
            ready.special |= unqueue(ready.token) == Queued::Special;
        }
        for token in self.queue.drain(..) {
            match unqueue(token) {
                Queued::No => {} // By its event, or it was removed.
                queued => ready.push(Ready { token, special: queued == Queued::Special }),
            }
        }
    }
}

impl From<&Event> for Ready {
    fn from(event: &Event) -> Self {
        let special = event.is_read_closed() | event.is_error() | event.is_priority();
        Self { token: event.token(), special }
    }
}

#[cfg(test)]
mod tests;
