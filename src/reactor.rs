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
//! `WouldBlock` (to let others have their turn, say) must call [`Reactor::requeue`]; nobody else will
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

use crate::memory;

/// Events fetched by one system call. Enough to share its cost among many, and few enough that what
/// one batch brings is soon dealt with: 12 bytes each on Linux.
const EVENTS_PER_WAIT: usize = 1024;

/// Room in a list of ready sources that lets a wait report something of everything, without memory for more.
pub const READY_CAPACITY: usize = 2 * EVENTS_PER_WAIT;

/// What the slab begins with.
const FIRST_SLOTS: usize = 4;

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
    pub exceptional: bool,
}

/// Polls sources of type `T`, which it owns.
#[derive(Debug)]
pub struct Reactor<T> {
    poll: Poll,
    events: Events,
    slots: Slab<Slot<T>>,
    /// Slots to report without an event. Whether an entry still counts stands in the slot itself.
    queue: Vec<Token>,
    /// The queue could not grow: some slots that are queued are missing from it.
    queue_is_short: bool,
    /// Something was queued by [`Reactor::requeue`] since the last wait, and not only reported from outside.
    has_more: bool,
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
    Exceptional,
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
            queue_is_short: false,
            has_more: false,
        })
    }

    /// Registers `source` for every kind of event, once and for all.
    ///
    /// # Errors
    ///
    /// Where the system cannot watch it, epoll_ctl(2), or there is no memory for it. The source is dropped
    /// then.
    pub fn insert(&mut self, mut source: T) -> io::Result<Token> {
        self.reserve_slot()?;
        let entry = self.slots.vacant_entry();
        let token = Token(entry.key());
        self.poll.registry().register(&mut source, token, INTEREST)?;
        entry.insert(Slot { source, queued: Queued::No });
        Ok(token)
    }

    /// Makes sure that the slab has room for one more.
    ///
    /// A slab that finds no memory ends the program. So this tries first whether there is as much as it will
    /// ask for, and gives that back: with a single thread, it is still there then.
    fn reserve_slot(&mut self) -> io::Result<()> {
        let capacity = self.slots.capacity();
        if self.slots.len() < capacity {
            return Ok(());
        }
        let more = capacity.max(FIRST_SLOTS);
        let bytes = (capacity + more) * (size_of::<Slot<T>>() + size_of::<usize>());
        if !memory::is_available(bytes) {
            return Err(ErrorKind::OutOfMemory.into());
        }
        self.slots.reserve_exact(more);
        Ok(())
    }

    /// The source behind `token`, unless it was removed.
    pub fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        self.slots.get_mut(token.0).map(|slot| &mut slot.source)
    }

    /// Reports `token` with the next [`wait`](Self::wait), which will not block.
    pub fn requeue(&mut self, token: Token) {
        self.has_more = true;
        self.inject(Ready { token, exceptional: false });
    }

    /// The same for a source whose readiness no poll tells, in all its particulars.
    pub fn inject(&mut self, Ready { token, exceptional }: Ready) {
        let Some(slot) = self.slots.get_mut(token.0) else { return };
        if slot.queued == Queued::No {
            let is_full = self.queue.len() == self.queue.capacity();
            if is_full && self.queue.try_reserve(1).is_err() {
                self.queue_is_short = true;
            } else {
                self.queue.push(token);
            }
        }
        slot.queued =
            slot.queued.max(if exceptional { Queued::Exceptional } else { Queued::Plain });
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

    /// Whether the next [`wait`](Self::wait) will not block, since [`requeue`](Self::requeue) was called.
    pub fn has_more(&self) -> bool {
        self.has_more
    }

    fn has_queued(&self) -> bool {
        !self.queue.is_empty() || self.queue_is_short
    }

    /// Every token's number is less than this, at present.
    pub fn token_bound(&self) -> usize {
        self.slots.capacity()
    }

    /// Waits until a source is ready or `timeout` has passed, for ever if it is `None`, and fills `ready`
    /// with each source that is, once. Does not wait while anything is queued by [`requeue`](Self::requeue).
    ///
    /// If there is no memory for a longer list, what is queued is reported over several waits: as much as there is
    /// room for, beside the events. A list with [`READY_CAPACITY`] from the start always has some.
    ///
    /// A wait that a signal interrupts ends early with what is queued, so that the caller can look at
    /// the clock before it waits on.
    ///
    /// # Errors
    ///
    /// Only where the poll itself is broken: epoll_wait(2).
    pub fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        ready.clear();
        let has_queued = self.has_queued();
        let timeout = if has_queued { Some(Duration::ZERO) } else { timeout };
        match self.poll.poll(&mut self.events, timeout) {
            Err(e) if e.kind() == ErrorKind::Interrupted => self.events.clear(),
            polled => polled?,
        }
        ready.extend(self.events.iter().map(Ready::from));
        if has_queued {
            self.report_queue(ready);
        }
        Ok(())
    }

    /// Adds what was queued; to its event, where there is one.
    fn report_queue(&mut self, ready: &mut Vec<Ready>) {
        for ready in &mut *ready {
            ready.exceptional |= self.unqueue(ready.token) == Queued::Exceptional;
        }
        if self.queue_is_short || ready.capacity() - ready.len() < self.queue.len() {
            return self.report_in_part(ready);
        }
        let slots = &mut self.slots;
        for token in &self.queue {
            if let Some(slot) = slots.get_mut(token.0) {
                let queued = std::mem::replace(&mut slot.queued, Queued::No);
                if queued != Queued::No {
                    ready.push(Ready { token: *token, exceptional: queued == Queued::Exceptional });
                }
            }
        }
        self.queue.clear();
        self.has_more = false;
    }

    /// The same if the list or the queue must grow. Without memory for all, the rest stays in the queue.
    #[cold]
    fn report_in_part(&mut self, ready: &mut Vec<Ready>) {
        let _ = ready.try_reserve(self.queue.len());
        let mut queue = std::mem::take(&mut self.queue);
        let fit = queue.len().min(ready.capacity() - ready.len());
        for token in queue.drain(..fit) {
            self.report_queued(token, ready);
        }
        self.has_more = !queue.is_empty();
        self.queue = queue;
        if self.queue_is_short {
            self.report_missing(ready);
        }
    }

    fn report_queued(&mut self, token: Token, ready: &mut Vec<Ready>) {
        match self.unqueue(token) {
            Queued::No => {} // By its event, or it was removed.
            queued => ready.push(Ready { token, exceptional: queued == Queued::Exceptional }),
        }
    }

    /// Adds, in place of a queue that could not grow, whatever is queued, as far as there is room.
    #[cold]
    fn report_missing(&mut self, ready: &mut Vec<Ready>) {
        self.queue.clear();
        self.queue_is_short = false;
        for token in (0..self.token_bound()).map(Token) {
            if ready.len() == ready.capacity() {
                // There may be more.
                (self.queue_is_short, self.has_more) = (true, true);
                return;
            }
            self.report_queued(token, ready);
        }
    }

    fn unqueue(&mut self, token: Token) -> Queued {
        match self.slots.get_mut(token.0) {
            Some(slot) => std::mem::replace(&mut slot.queued, Queued::No),
            None => Queued::No,
        }
    }
}

impl From<&Event> for Ready {
    fn from(event: &Event) -> Self {
        let exceptional = event.is_read_closed() | event.is_error() | event.is_priority();
        Self { token: event.token(), exceptional }
    }
}

#[cfg(test)]
mod tests;
