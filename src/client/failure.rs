//! What can go wrong between a client and a server, and how it is described.
//!
//! `ping` and `load` share [`Failure`]. Each of them wraps it in a type of its own that names the message or
//! the connection that failed.

use std::fmt;
use std::io;
use std::time::Duration;

use super::probe::Fault;
use super::probe::datagrams::BadDatagram;
use crate::net::reason;
use crate::text::format::{count, elapsed, setting};

/// The number of failures that a client records in full. It counts the others by [kind](Failure::kind).
pub const MAX_RECORDED: usize = 20;

/// What can go wrong with a message or its connection.
#[derive(Debug)]
pub enum Failure {
    /// No connection could be made.
    Connect(io::Error),
    /// The echo is wrong, or the connection ended before the echo was complete.
    Fault(Fault),
    /// A datagram came back that is not the one that was sent.
    Datagram(BadDatagram),
    /// The echo was not complete when the timeout expired.
    TimedOut {
        timeout: Duration,
        /// Bytes that had come back by then.
        received: u64,
        /// Bytes that should have come back by then.
        expected: u64,
    },
    /// The echo was complete, but only after the timeout.
    Late { timeout: Duration, took: Duration },
    /// The server closed the connection while no echo was outstanding.
    Closed,
    /// The client's own system failed.
    System(io::Error),
}

impl Failure {
    /// One word for summaries, the same for all failures of a kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Fault(fault) => fault.kind(),
            Self::Datagram(bad) => bad.kind(),
            Self::TimedOut { .. } | Self::Late { .. } => "timeout",
            Self::Closed => "closed",
            Self::System(_) => "system",
        }
    }

    /// Whether bytes came back that differ from what was sent. Missing bytes alone are not wrong.
    pub fn is_wrong(&self) -> bool {
        match self {
            Self::Fault(fault) => fault.is_wrong(),
            Self::Datagram(_) => true,
            _ => false,
        }
    }
}

/// If every byte came back before an orderly end, the connection was [closed](Failure::Closed) without a fault.
impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Ended { received, sent, error: None } if received == sent => Self::Closed,
            fault => Self::Fault(fault),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) | Self::System(error) => f.write_str(&reason(error)),
            Self::Fault(fault) => fault.fmt(f),
            Self::Datagram(bad) => bad.fmt(f),
            Self::TimedOut { timeout, received, expected } => {
                let missing = count(expected - received);
                let (timeout, received, expected) =
                    (setting(*timeout), count(*received), count(*expected));
                write!(
                    f,
                    "no echo within {timeout}: {received} of {expected} bytes came back, {missing} are \
                     missing"
                )
            }
            Self::Late { timeout, took } => {
                write!(f, "no echo within {}: it took {}", setting(*timeout), elapsed(*took))
            }
            Self::Closed => {
                f.write_str("the server closed the connection while no message was in flight")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn ended(received: u64, error: Option<io::Error>) -> Fault {
        Fault::Ended { received, sent: 64, error }
    }

    #[track_caller]
    fn check(failure: &Failure, kind: &str, text: &str) {
        assert_eq!((failure.kind(), &*failure.to_string()), (kind, text));
    }

    #[test]
    fn each_failure_has_a_kind_and_a_text() {
        let refused = io::Error::from_raw_os_error(rustix::io::Errno::CONNREFUSED.raw_os_error());
        check(&Failure::Connect(refused), "connect", "connection refused");
        let timed_out = Failure::TimedOut { timeout: S, received: 1064, expected: 2128 };
        let text = "no echo within 1 s: 1,064 of 2,128 bytes came back, 1,064 are missing";
        check(&timed_out, "timeout", text);
        let late = Failure::Late { timeout: S, took: S * 2 };
        check(&late, "timeout", "no echo within 1 s: it took 2.00 s");
        let text = "the server closed the connection while no message was in flight";
        check(&Failure::Closed, "closed", text);
        let memory = Failure::System(ErrorKind::OutOfMemory.into());
        check(&memory, "system", "out of memory");
    }

    #[test]
    fn only_an_orderly_end_with_no_byte_missing_is_no_fault() {
        assert!(matches!(ended(64, None).into(), Failure::Closed));
        for fault in [ended(63, None), ended(64, Some(ErrorKind::ConnectionReset.into()))] {
            let failure = Failure::from(fault);
            assert!(matches!(failure, Failure::Fault(_)) && !failure.is_wrong(), "{failure:?}");
        }
    }

    #[test]
    fn bytes_that_were_never_sent_are_wrong() {
        assert!(Failure::from(Fault::Surplus { offset: 64, bytes: [1].into() }).is_wrong());
    }
}
