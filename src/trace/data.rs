//! Records as the recorder writes them: borrowed, so that a record costs no allocation.

use std::fmt;
use std::io::{self, ErrorKind};
use std::time::Duration;

use mio::event::Event;
use serde::{Serialize, Serializer};

use super::sources::Place;
use crate::net::{Endpoint, reason};

/// A [`Record`](super::record::Record) to write.
#[derive(Serialize)]
pub(super) struct Line<'a, D> {
    pub(super) time: Micros,
    pub(super) name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) group_id: Option<Group<'a>>,
    pub(super) turn: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trigger: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) place: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<D>,
}

/// What a record is about.
#[derive(Clone, Copy)]
pub(super) enum Group<'a> {
    Connection(u64),
    Listener(&'a Endpoint),
}

impl fmt::Display for Group<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(id) => write!(f, "#{id}"),
            Self::Listener(at) => write!(f, "listener:{at}"),
        }
    }
}

impl Serialize for Group<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{}:{}", self.path(), self.line))
    }
}

/// A duration in microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Micros(pub(super) Duration);

impl Serialize for Micros {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(self.0.as_nanos() as f64 / 1000.0)
    }
}

/// A wait that begins.
#[derive(Serialize)]
pub(super) struct Waits {
    pub(super) timeout: Option<Micros>,
}

/// A wait that ended.
#[derive(Serialize)]
pub(super) struct Woke {
    pub(super) events: usize,
    pub(super) queued: usize,
    pub(super) waited: Micros,
}

/// A system call.
#[derive(Serialize)]
pub(super) struct Call<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) asked: Option<usize>,
    pub(super) result: CallResult<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kernel: Option<Queues>,
}

/// What waits in the server for room.
#[derive(Serialize)]
pub(super) struct Pending {
    pub(super) bytes: usize,
}

/// What a system call returned.
#[derive(Clone, Copy)]
pub(super) enum CallResult<'a> {
    Bytes(usize),
    End,
    Connection,
    Failed(&'a io::Error),
}

impl<'a> CallResult<'a> {
    /// Of a read into a buffer that is not empty.
    pub(super) fn of_read(result: &'a io::Result<usize>) -> Self {
        match result {
            Ok(0) => Self::End,
            result => Self::of_write(result),
        }
    }

    pub(super) fn of_write(result: &'a io::Result<usize>) -> Self {
        match result {
            Ok(n) => Self::Bytes(*n),
            Err(e) => Self::Failed(e),
        }
    }
}

impl Serialize for CallResult<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bytes(n) => to.serialize_u64(*n as u64),
            Self::End => to.serialize_str("end"),
            Self::Connection => to.serialize_str("connection"),
            Self::Failed(e) if e.kind() == ErrorKind::WouldBlock => to.serialize_str("would_block"),
            Self::Failed(e) => to.serialize_str(&reason(e)),
        }
    }
}

/// What a socket held before a call, in bytes. A queue is missing if the system does not say.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Queues {
    /// Not read yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) receive_queue: Option<u64>,
    /// Written, and not acknowledged by the peer's system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) send_queue: Option<u32>,
}

/// What an event of the poll says. What it does not say is left out.
#[derive(Serialize)]
pub(super) struct Readiness {
    #[serde(skip_serializing_if = "is_false")]
    readable: bool,
    #[serde(skip_serializing_if = "is_false")]
    writable: bool,
    #[serde(skip_serializing_if = "is_false")]
    read_closed: bool,
    #[serde(skip_serializing_if = "is_false")]
    write_closed: bool,
    #[serde(skip_serializing_if = "is_false")]
    error: bool,
    #[serde(skip_serializing_if = "is_false")]
    priority: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

impl From<&Event> for Readiness {
    fn from(event: &Event) -> Self {
        Self {
            readable: event.is_readable(),
            writable: event.is_writable(),
            read_closed: event.is_read_closed(),
            write_closed: event.is_write_closed(),
            error: event.is_error(),
            priority: event.is_priority(),
        }
    }
}
