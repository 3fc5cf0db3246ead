//! The reactor: a poll, a slab of what is polled, and a queue of what has more to do.
//!
//! It knows tokens and readiness, and nothing of echoing. The caller owns the loop: [`Reactor::wait`] fills a list of
//! ready tokens and returns. So no callback runs inside the reactor, and the slab may change freely while the caller
//! walks the list.
//!
//! # Registered once
//!
//! A source is registered for every kind of event when it is inserted, and never re-registered. An event means
//! "something may have changed": the caller then drives the source in every direction. To follow what a source wants
//! would cost a system call for each change.
//!
//! # Edges
//!
//! mio is edge-triggered: an event comes once, when something changes. A caller that stops before a system call said
//! `WouldBlock`, to let other sources have their turn, must call [`Reactor::requeue`], since no further event comes.
//!
//! # Stale events
//!
//! A token in the list may belong to a source that was removed while an earlier one was handled, or to another source
//! that took its slot since. The first is not found; the second is driven for nothing, which costs one `WouldBlock`.
//! Readiness is a hint: the system call decides.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use mio::net::TcpListener;
//! use resound::reactor::Reactor;
//!
//! let mut reactor = Reactor::new()?;
//! let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
//! let token = reactor.insert(listener)?;
//! let mut ready = Vec::new();
//!
//! reactor.requeue(token); // As if accept(2) had not said WouldBlock yet.
//! reactor.wait(Some(Duration::from_secs(1)), &mut ready)?;
//! assert_eq!(ready[0].token, token);
//! # Ok::<(), std::io::Error>(())
//! ```

use std::io::{self, ErrorKind};
use std::mem;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use mio::event::{Event, Source};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::memory;

/// Events fetched by one system call, at 12 bytes each on Linux. Enough to share its cost among many, and few enough
/// that the caller soon takes the time again.
const EVENTS_PER_WAIT: usize = 1024;

/// A list of ready sources with this capacity always has room for something of everything.
pub const READY_CAPACITY: usize = 2 * EVENTS_PER_WAIT;

/// The slots of a new slab.
const FIRST_SLOTS: usize = 4;

/// Urgent data makes a read stop short at its mark. Only Linux reports it.
#[cfg(any(target_os = "linux", target_os = "android"))]
const INTEREST: Interest = Interest::READABLE.add(Interest::WRITABLE).add(Interest::PRIORITY);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const INTEREST: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// A source that may have something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// What [`Reactor::insert`] returned for it.
    pub token: Token,
    /// The event reported more than bytes: end of file, an error or urgent data. This too is a hint.
    pub exceptional: bool,
}

/// Polls sources of type `T`, which it owns.
#[derive(Debug)]
pub struct Reactor<T> {
    poll: Poll,
    events: Events,
    sources: Slab<T>,
    /// Slots to report without an event, each once.
    queue: Vec<Token>,
    /// Of each slot, whether it is in the queue. A mark outlives its source, so the queue is never longer than the slab.
    marks: Vec<Mark>,
}

/// Whether a slot is in the queue, and as what. A later mark prevails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    NotQueued,
    /// In the queue, but the source was reported or removed.
    Cancelled,
    Plain,
    Exceptional,
}

impl<T: Source> Reactor<T> {
    /// An empty reactor with a poll of its own.
    ///
    /// # Errors
    ///
    /// If the system gives no further poll descriptor: epoll_create1(2).
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_PER_WAIT),
            sources: Slab::new(),
            queue: Vec::new(),
            marks: Vec::new(),
        })
    }

    /// Registers `source` for every kind of event.
    ///
    /// # Errors
    ///
    /// If the system cannot register it, epoll_ctl(2), or if there is no memory for it. Then the source is dropped.
    pub fn insert(&mut self, mut source: T) -> io::Result<Token> {
        if self.sources.len() == self.sources.capacity() {
            self.add_slots(self.sources.capacity().max(FIRST_SLOTS))?;
        }
        let entry = self.sources.vacant_entry();
        let token = Token(entry.key());
        self.poll.registry().register(&mut source, token, INTEREST)?;
        entry.insert(source);
        Ok(token)
    }

    /// Makes room for `more` sources, and for all of them in the queue.
    fn add_slots(&mut self, more: usize) -> io::Result<()> {
        let slots = self.sources.capacity() + more;
        // A slab keeps a word beside some types of source.
        let slot_bytes = size_of::<T>() + size_of::<(usize, Token, Mark)>();
        if !memory::is_available(slots * slot_bytes) {
            return Err(ErrorKind::OutOfMemory.into());
        }
        self.sources.reserve_exact(more);
        // As many as the slab has room for, if that is more than it was asked for.
        let slots = self.sources.capacity();
        self.queue.reserve_exact(slots - self.queue.len());
        self.marks.resize(slots, Mark::NotQueued);
        Ok(())
    }

    /// The source behind `token`, unless it was removed.
    pub fn get(&self, token: Token) -> Option<&T> {
        self.sources.get(token.0)
    }

    /// The source behind `token`, unless it was removed.
    pub fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        self.sources.get_mut(token.0)
    }

    /// Puts what `change` makes of a source in its place. It must be the same source to the system, in another state:
    /// it stays registered as it is, and stays queued if it was.
    pub fn replace_with(&mut self, token: Token, change: impl FnOnce(T) -> T) {
        let Some(source) = self.sources.try_remove(token.0) else { return };
        let source = change(source);
        let place = self.sources.vacant_entry();
        debug_assert_eq!(place.key(), token.0, "a slab fills the place that was freed last");
        place.insert(source);
    }

    /// Reports `token` with the next [`wait`](Self::wait), which does not block.
    pub fn requeue(&mut self, token: Token) {
        self.inject(Ready { token, exceptional: false });
    }

    /// Reports `ready` with the next [`wait`](Self::wait), as if an event had come for it. For sources that no poll
    /// reports, and for events that are deferred.
    pub fn inject(&mut self, Ready { token, exceptional }: Ready) {
        if !self.sources.contains(token.0) {
            return;
        }
        let mark = &mut self.marks[token.0];
        if *mark == Mark::NotQueued {
            self.queue.push(token);
        }
        *mark = (*mark).max(if exceptional { Mark::Exceptional } else { Mark::Plain });
    }

    /// Takes a source out. It is deregistered first: if a duplicate of its descriptor is open elsewhere, the system
    /// would otherwise go on reporting events (epoll(7), question 6).
    pub fn remove(&mut self, token: Token) -> Option<T> {
        let mut source = self.sources.try_remove(token.0)?;
        let mark = &mut self.marks[token.0];
        *mark = (*mark).min(Mark::Cancelled);
        // Fails only if the registration is gone already, which is what was wanted.
        let _ = self.poll.registry().deregister(&mut source);
        Some(source)
    }

    /// Whether something is queued, so that the next [`wait`](Self::wait) does not block.
    pub fn has_more(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Every token's number is less than this, at present.
    pub fn token_bound(&self) -> usize {
        self.sources.capacity()
    }

    /// Waits until a source is ready or `timeout` has passed, without a limit if it is `None`, and fills `ready` with
    /// each source that is ready, once. Does not block while anything is queued.
    ///
    /// If there is no memory for a longer list, several waits report what is queued: as much as there is room for
    /// beside the events. A list that starts with [`READY_CAPACITY`] always has some.
    ///
    /// A wait that a signal interrupts ends early with what is queued.
    ///
    /// # Errors
    ///
    /// If polling fails: epoll_wait(2).
    pub fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        ready.clear();
        let timeout = if self.has_more() { Some(Duration::ZERO) } else { timeout };
        match self.poll.poll(&mut self.events, timeout) {
            Err(e) if e.kind() == ErrorKind::Interrupted => self.events.clear(),
            polled => polled?,
        }
        ready.extend(self.events.iter().map(Ready::from));
        if self.has_more() {
            self.report_queue(ready);
        }
        Ok(())
    }

    /// Each event of the last wait, with its source unless that was removed since. The list that the wait filled begins
    /// with these events.
    pub fn events(&self) -> impl Iterator<Item = (&Event, Option<&T>)> {
        self.events.iter().map(|event| (event, self.get(event.token())))
    }

    /// Adds what is queued, as far as there is memory. The rest stays queued.
    fn report_queue(&mut self, ready: &mut Vec<Ready>) {
        let _ = ready.try_reserve(self.queue.len());
        self.report_queued(ready.capacity() - ready.len(), ready);
    }

    /// Adds the first `most` of what is queued: to a source's event if one came, and as an entry of its own if not.
    fn report_queued(&mut self, most: usize, ready: &mut Vec<Ready>) {
        for ready in &mut *ready {
            let mark = &mut self.marks[ready.token.0];
            ready.exceptional |= *mark == Mark::Exceptional;
            *mark = (*mark).min(Mark::Cancelled); // The entry stays in the queue.
        }
        let most = most.min(self.queue.len());
        for token in &self.queue[..most] {
            let mark = mem::replace(&mut self.marks[token.0], Mark::NotQueued);
            if mark > Mark::Cancelled {
                ready.push(Ready { token: *token, exceptional: mark == Mark::Exceptional });
            }
        }
        self.queue.drain(..most);
    }
}

/// The poll's own descriptor. It is readable while events wait, so a reactor can be a source of another one: epoll(7),
/// question 4.
impl<T> AsRawFd for Reactor<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
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
