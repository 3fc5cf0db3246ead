//! What can go wrong with a run.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::client::probe::Fault;
use crate::net::{Endpoint, reason};
use crate::text::format::{count, elapsed, setting};

/// Something that went wrong with a connection.
#[derive(Debug)]
pub struct Trouble {
    /// The number of the connection, from 0. None if it was before there were any.
    pub connection: Option<usize>,
    /// Its end at this side, where it had one.
    pub local: Option<Endpoint>,
    /// What went wrong.
    pub cause: Cause,
    /// Whether it ended the run.
    pub is_fatal: bool,
}

/// What can go wrong with a connection.
#[derive(Debug)]
pub enum Cause {
    /// It could not be made.
    Connect(io::Error),
    /// Its echo was not what was sent, or ended.
    Fault(Fault),
    /// No echo came for so long.
    TimedOut {
        /// How long that was.
        after: Duration,
        /// Bytes that had come back by then.
        received: u64,
        /// Bytes that had been sent by then.
        sent: u64,
    },
    /// An echo came, and too late.
    Late {
        /// How long it might have taken.
        after: Duration,
        /// How long it took.
        took: Duration,
    },
    /// The server ended it while nothing was in flight.
    Left,
    /// The system does not do what the client needs.
    System(io::Error),
}

impl Cause {
    /// What to call it in a summary: one word, always the same for the same kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Fault(fault) => fault.kind(),
            Self::TimedOut { .. } | Self::Late { .. } => "timeout",
            Self::Left => "closed",
            Self::System(_) => "system",
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(connection) = self.connection {
            write!(f, "connection {connection}")?;
            if let Some(local) = &self.local {
                write!(f, " (from {local})")?;
            }
            f.write_str(": ")?;
        }
        self.cause.fmt(f)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(e) | Self::System(e) => f.write_str(&reason(e)),
            Self::Fault(fault) => fault.fmt(f),
            Self::TimedOut { after, received, sent } => {
                let [received, sent, missing] = [*received, *sent, sent - received].map(count);
                let after = setting(*after);
                write!(
                    f,
                    "no echo within {after}: {received} of {sent} bytes came back, {missing} are missing"
                )
            }
            Self::Late { after, took } => {
                write!(f, "no echo within {}: it took {}", setting(*after), elapsed(*took))
            }
            Self::Left => {
                f.write_str("the server closed the connection while nothing was in flight")
            }
        }
    }
}
