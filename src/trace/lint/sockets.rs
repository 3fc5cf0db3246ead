//! What is known of a connection and of a listener.

use super::Moment;
use crate::trace::record::Record;

/// A connection, as far as the trace shows it.
#[derive(Debug, Default)]
pub(super) struct Connection {
    /// The thread that accepted it.
    pub(super) acceptor: Option<u64>,
    pub(super) watch: Watch,
    pub(super) read: u64,
    pub(super) wrote: u64,
    pub(super) last_read: Option<LastRead>,
    pub(super) last_write: Option<LastWrite>,
    /// When it was written to, in microseconds.
    pub(super) wrote_at: f64,
    /// What the last read was offered, and what it took.
    pub(super) asked: u64,
    pub(super) took: u64,
    pub(super) counts: Counts,
    /// The first write that offered a buffer that a read had not filled.
    pub(super) first_whole: Option<Moment>,
    /// A write was short or blocked since the last read.
    pub(super) was_blocked: bool,
    /// A read has said that the peer has ended, and how many have since bytes were written.
    pub(super) has_ended: bool,
    pub(super) ends: u32,
    /// This end has shut down writing.
    pub(super) is_shut: bool,
    /// A call on it has failed, or an event said so: the peer is gone.
    pub(super) is_failed: bool,
    /// The write after a short one seems not to have begun with its rest; the bytes of all such rests.
    pub(super) lost_at: Option<Moment>,
    pub(super) lost_bytes: u64,
    /// A sum is wrong already: further sums prove nothing.
    pub(super) is_off: bool,
    /// The turn and the thread of the last read.
    pub(super) read_in: Option<(u64, u64)>,
    pub(super) suspect: Option<Suspect>,
}

/// How many calls moved bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) reads: u64,
    pub(super) writes: u64,
    /// Writes that offered a whole buffer, of which the read before had filled a part.
    pub(super) whole: u64,
}

/// What a poll watches, and what it has reported since the last read or accept.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watch {
    /// `None` if nothing watches it.
    pub(super) mode: Option<Mode>,
    /// Whether the poll was asked for readable events.
    pub(super) wants_readable: bool,
    /// An event said that it is readable, and no read or accept followed.
    pub(super) is_told: bool,
    /// An event reported the peer's end, an error or urgent data, and the end was not read since. A short read proves nothing
    /// then.
    pub(super) is_end_told: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Edge,
    Level,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastRead {
    /// It took as much as it had asked for: there can be more.
    Full,
    Short,
    /// It would have blocked.
    Dry,
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastWrite {
    Whole,
    /// The rest of this many bytes was not taken, of this many that were offered.
    Short {
        rest: u64,
        asked: u64,
    },
    Blocked,
}

/// Something that sleeps, although it should have looked once more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Suspect {
    pub(super) since: Moment,
    pub(super) why: Why,
    /// An event has come since.
    pub(super) is_told: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The last read was full, or left an end that an event had reported.
    LastRead,
    /// An event came, and no read followed.
    Unread,
    /// Reading stopped for bytes that could not be written, and they are gone.
    AfterPressure,
    /// The last accept took a connection.
    LastAccept,
    /// The last accept failed, since descriptors or memory were short.
    FailedAccept,
}

impl Connection {
    /// Bytes that were read and not written yet.
    pub(super) fn pending(&self) -> u64 {
        self.read.saturating_sub(self.wrote)
    }

    /// The moment at which the rest of a short write was lost, if exactly such rests are missing now. A server that writes in parts of one
    /// size can seem to lose some, but what it still has is pending too.
    pub(super) fn lost(&self) -> Option<Moment> {
        let last = match self.last_write {
            Some(LastWrite::Short { rest, .. }) => rest,
            _ => 0,
        };
        self.lost_at.filter(|_| self.pending() == self.lost_bytes.saturating_add(last))
    }

    /// Whether less was written than read, as far as that can be said.
    pub(super) fn is_short(&self) -> bool {
        self.pending() > 0 && self.wrote > 0 && !self.is_off
    }

    /// Whether it waits for its peer to take bytes.
    pub(super) fn is_blocked(&self) -> bool {
        matches!(self.last_write, Some(LastWrite::Short { .. } | LastWrite::Blocked))
    }

    /// Why its thread must not sleep now, if so: no event will come for what the socket holds.
    pub(super) fn owes(&self) -> Option<Why> {
        let is_over = self.is_failed || self.is_blocked() || self.last_read == Some(LastRead::End);
        if is_over || self.watch.mode.is_none() {
            return None;
        }
        if !self.watch.wants_readable {
            // Also if the poll would report it again and again: it was not asked to.
            return (self.was_blocked && self.pending() == 0).then_some(Why::AfterPressure);
        }
        let is_left = match self.last_read {
            Some(LastRead::Full) => true,
            Some(LastRead::Short) => self.watch.is_end_told,
            _ => false,
        };
        let why = match () {
            () if self.watch.is_told && !self.was_blocked => Why::Unread,
            () if self.was_blocked => Why::AfterPressure,
            () => Why::LastRead,
        };
        (self.watch.mode == Some(Mode::Edge) && (is_left || self.watch.is_told)).then_some(why)
    }
}

/// A listener.
#[derive(Debug, Default)]
pub(super) struct Listener {
    pub(super) watch: Watch,
    pub(super) last: Option<LastAccept>,
    /// Failures in a row, without a pause.
    pub(super) failures: u64,
    pub(super) first_failure: Option<Moment>,
    /// The thread whose last accept failed.
    pub(super) failed_in: Option<u64>,
    /// A connection was closed since it is a suspect: there is a descriptor again.
    pub(super) is_relieved: bool,
    pub(super) suspect: Option<Suspect>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastAccept {
    Connection,
    Dry,
    Failed,
}

impl Listener {
    /// Why its thread must not sleep now, if so. `has_limit`: whether the sleep has a limit, after which it can try again.
    pub(super) fn owes(&self, has_limit: bool) -> Option<Why> {
        if self.watch.mode != Some(Mode::Edge) || !self.watch.wants_readable {
            return None;
        }
        match self.last {
            Some(LastAccept::Connection) => Some(Why::LastAccept),
            Some(LastAccept::Failed) if !has_limit => Some(Why::FailedAccept),
            _ => None,
        }
    }
}

impl Watch {
    /// A poll watches it from now on. It reports at once what it finds, also what it has reported before.
    pub(super) fn register(&mut self, record: &Record) {
        let is_edge = record.text("mode") == Some("edge");
        self.mode = Some(if is_edge { Mode::Edge } else { Mode::Level });
        self.wants_readable =
            record.text("interest").is_some_and(|words| words.contains("readable"));
        self.is_told = false;
    }

    /// The poll reports an event.
    pub(super) fn tell(&mut self, record: &Record) {
        self.is_told |= record.flag("readable") || record.flag("read_closed");
        self.is_end_told |=
            ["read_closed", "error", "priority"].iter().any(|flag| record.flag(flag));
    }
}
