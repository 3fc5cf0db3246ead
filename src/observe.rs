//! The seam through which counters, logs, traces and tests see what the server did.
//!
//! The server reports every [`Event`] to an [`Observer`]. It writes no log and keeps no counts itself. It is generic over
//! its observer, so that an observer that ignores an event costs nothing. A tuple of two observers is an observer.
//!
//! # Example
//!
//! ```
//! use resound::observe::{At, Event, Observer};
//!
//! /// Counts the connections whose peers were slower than the server.
//! #[derive(Default)]
//! struct SlowReaders(u64);
//!
//! impl Observer for SlowReaders {
//!     fn observe(&mut self, _: At<'_>, event: Event<'_>) {
//!         if let Event::WriteBlocked = event {
//!             self.0 += 1;
//!         }
//!     }
//! }
//! ```

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use crate::net::Endpoint;

pub use closed::{CloseReason, Closed};
pub use connections::ConnectionLog;
pub use counters::Counters;
pub use datagram::DatagramDrop;
pub use log::ServerLog;
pub use reason::{ByReason, Reason};
pub use refused::{Limit, Refusal, Refused};
pub use status::Status;
pub use turns::TurnTimes;

mod reason;
mod closed;
mod refused;
mod datagram;
mod turns;
mod counters;
mod status;
mod rate_limit;
mod log;
mod connections;

/// Identifies one connection of a server. No other connection of that server ever has the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(u64);

impl ConnId {
    /// Its number. Connections are counted from 1 as they are accepted.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The identifier of the connection that is accepted after this one.
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// When something happened, and to which connection.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// The time of the turn in which it happened. It stands still while the server is suspended.
    pub now: Instant,
    /// The connection and its peer, or `None` if it happened to the server itself.
    pub conn: Option<(ConnId, &'a Endpoint)>,
}

impl<'a> At<'a> {
    /// Something happened to the server.
    pub fn server(now: Instant) -> Self {
        Self { now, conn: None }
    }

    /// Something happened to the connection `id`, whose peer is `peer`.
    pub fn conn(now: Instant, id: ConnId, peer: &'a Endpoint) -> Self {
        Self { now, conn: Some((id, peer)) }
    }
}

/// Something that the server did, or that happened to it.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The server listens, and can be connected to, or sent datagrams.
    Listening {
        /// The address of the listener.
        at: &'a Endpoint,
        /// Whether each connection must begin with the header of a proxy.
        is_proxied: bool,
    },
    /// Metrics are served there.
    MetricsListening(&'a Endpoint),
    /// A wait ended, with this many sources ready.
    Woke {
        /// The number of sources, listeners and services among them.
        ready: usize,
    },
    /// A wait begins. Only for an observer that [wants waits](Observer::wants_waits), as the next two events.
    Waits {
        /// How long it may block; without a limit if `None`.
        timeout: Option<Duration>,
        /// What bounds it.
        until: WaitsUntil,
    },
    /// The wait ended, with this many events of the poll and of the ready queue.
    Polled {
        /// Events of the poll.
        events: usize,
        /// Sources that had more to do.
        queued: usize,
    },
    /// A source is ready: a connection, a listener, or neither.
    Ready {
        /// The address of the listener, if it is one.
        listener: Option<&'a Endpoint>,
        /// What the poll reports of it. `None` if it was in the ready queue.
        event: Option<&'a mio::event::Event>,
    },
    /// A turn ended, and took this long from the end of its wait. The server times one turn in many, and each turn
    /// after one that was late.
    TurnTimed(Duration),
    /// The system could not accept on a listener: the server backs off.
    AcceptFailed {
        /// The address of the listener.
        listener: &'a Endpoint,
        /// What accept(2) returned.
        error: &'a io::Error,
        /// When the server tries again, unless a connection ends sooner.
        retry: Instant,
    },
    /// The system could not receive datagrams: the server waits a while.
    ReceiveFailed {
        /// The address of the socket.
        socket: &'a Endpoint,
        /// What recvmsg(2) returned.
        error: &'a io::Error,
    },
    /// A datagram was answered with all of its bytes.
    DatagramEchoed {
        /// Its sender.
        peer: &'a Endpoint,
        /// Its length.
        bytes: usize,
    },
    /// A datagram was received and not answered.
    DatagramDropped {
        /// Its sender.
        peer: &'a Endpoint,
        /// The reason.
        why: DatagramDrop,
        /// What sendmsg(2) returned, if that is the reason.
        error: Option<&'a io::Error>,
    },
    /// The kernel has dropped datagrams since the last such event, for lack of room or for a wrong checksum.
    KernelDropped {
        /// The address of the socket.
        socket: &'a Endpoint,
        /// How many.
        datagrams: u32,
    },
    /// A listener is gone for good, as the error says. The server stops for it.
    ListenerLost(&'a io::Error),
    /// The server was asked to stop. It goes on accepting before it drains.
    DrainDelayed {
        /// For how long.
        delay: Duration,
    },
    /// The server stops: it accepts no more, and lets its connections finish.
    Draining {
        /// Connections that are left.
        connections: usize,
        /// How long they may take.
        timeout: Duration,
    },
    /// A signal asked how the server is doing.
    StatusRequested(&'a Status),
    /// A message to the service manager could not be sent. It is not repeated.
    NotifyFailed(&'a io::Error),
    /// The connection was accepted and is served.
    Accepted,
    /// A proxy passes the connection on, and its header names the client: the connection's peer from here on.
    Proxied {
        /// The proxy.
        by: &'a Endpoint,
    },
    /// The connection was accepted and closed before it was served.
    Refused {
        /// The reason, and the limit behind it.
        refused: Refused,
        /// If it should have begun with the header of a proxy, its first bytes. Empty otherwise.
        start: &'a [u8],
    },
    /// This many bytes were read from the peer.
    Read(usize),
    /// This many bytes were written to the peer.
    Wrote(usize),
    /// The peer takes no more for now: what is left is pending.
    WriteBlocked,
    /// The connection may have more to do, and lets the others have their turn first.
    Yielded,
    /// The writing side was shut down: the peer was sent all of its echo.
    HalfClosed,
    /// A timeout of the connection is over.
    Expired(Expiry),
    /// The connection was closed.
    Closed {
        /// The reason.
        why: &'a Closed,
        /// Whether the server ended it although fewer bytes were written to its peer than were read from it.
        is_cut: bool,
    },
}

/// A timeout of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Nothing was read or written for the idle timeout: the connection is asked to end.
    Idle,
    /// The peer took nothing of what is pending for the stall timeout: the connection is closed.
    Stalled,
    /// The peer did not close after its echo was complete: the connection is closed.
    Lingering,
    /// Nothing moved while the server is stopping: the connection is asked to end.
    Quiet,
}

/// What bounds a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsUntil {
    /// Something is in the ready queue: the wait only polls.
    Queue,
    /// The server polls instead of sleeping.
    Spin,
    /// A deadline.
    Deadline,
    /// Nothing.
    NoLimit,
}

/// Sees everything that the server does.
pub trait Observer {
    /// `event` happened at `at`.
    fn observe(&mut self, at: At<'_>, event: Event<'_>);

    /// The counts of this observer, if it counts. A service that reports the state of the server asks for them.
    fn counters(&self) -> Option<&Counters> {
        None
    }

    /// Whether the server must report its waits, and what each source is ready for. It asks in each turn, so the answer
    /// must be a constant: then a server whose observer wants none of that has no code for it.
    #[inline(always)]
    fn wants_waits(&self) -> bool {
        false
    }
}

/// Ignores every event.
impl Observer for () {
    fn observe(&mut self, _: At<'_>, _: Event<'_>) {}
}

/// An observer that asks for its caller gets the place in the server.
impl<A: Observer, B: Observer> Observer for (A, B) {
    #[track_caller]
    #[inline(always)]
    fn observe(&mut self, at: At<'_>, event: Event<'_>) {
        self.0.observe(at, event);
        self.1.observe(at, event);
    }

    fn counters(&self) -> Option<&Counters> {
        self.0.counters().or_else(|| self.1.counters())
    }

    #[inline(always)]
    fn wants_waits(&self) -> bool {
        self.0.wants_waits() || self.1.wants_waits()
    }
}

impl<O: Observer> Observer for &mut O {
    #[track_caller]
    #[inline(always)]
    fn observe(&mut self, at: At<'_>, event: Event<'_>) {
        (**self).observe(at, event);
    }

    fn counters(&self) -> Option<&Counters> {
        (**self).counters()
    }

    #[inline(always)]
    fn wants_waits(&self) -> bool {
        (**self).wants_waits()
    }
}

#[cfg(test)]
mod tests;
