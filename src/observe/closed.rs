//! Why connections are closed.

use std::fmt;
use std::io::{self, ErrorKind};

use super::reason::{Reason, reasons};
use crate::net::reason;

/// Why a connection was closed.
#[derive(Debug)]
pub enum Closed {
    /// Its peer had finished, and was sent all of its echo.
    Finished,
    /// The server had finished: after one echo, or because it stops.
    ByServer,
    /// Nothing was read or written for the idle timeout.
    Idle,
    /// Its peer took nothing of what was pending for the stall timeout.
    Stalled,
    /// It was not done when the server had to stop.
    Aborted,
    /// A system call failed.
    Failed(io::Error),
}

reasons! {
    /// Why a connection was closed, without what the system said.
    CloseReason {
        /// [`Closed::Finished`].
        Finished = "finished",
        /// [`Closed::ByServer`].
        ByServer = "by_server",
        /// [`Closed::Idle`].
        Idle = "idle",
        /// [`Closed::Stalled`].
        Stalled = "stalled",
        /// [`Closed::Aborted`].
        Aborted = "aborted",
        /// The peer, or something on the way to it, broke the connection off.
        Reset = "reset",
        /// The kernel gave the peer up.
        TimedOut = "timed_out",
        /// Another system call failed.
        Failed = "failed",
    }
}

impl Closed {
    /// The reason, without what the system said.
    pub fn reason(&self) -> CloseReason {
        use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut};
        match self {
            Self::Finished => CloseReason::Finished,
            Self::ByServer => CloseReason::ByServer,
            Self::Idle => CloseReason::Idle,
            Self::Stalled => CloseReason::Stalled,
            Self::Aborted => CloseReason::Aborted,
            Self::Failed(e) => match e.kind() {
                ConnectionReset | ConnectionAborted | BrokenPipe => CloseReason::Reset,
                TimedOut => CloseReason::TimedOut,
                _ => CloseReason::Failed,
            },
        }
    }

    /// Whether the server ended it, and not its peer or the network.
    pub fn is_by_server(&self) -> bool {
        !matches!(self, Self::Failed(e) if e.kind() != ErrorKind::OutOfMemory)
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("all echoed"),
            Self::ByServer => f.write_str("finished by the server"),
            Self::Idle => f.write_str("idle timeout"),
            Self::Stalled => f.write_str("stall timeout: it took nothing"),
            Self::Aborted => f.write_str("aborted as the server stops"),
            Self::Failed(e) => f.write_str(&reason(e)),
        }
    }
}
