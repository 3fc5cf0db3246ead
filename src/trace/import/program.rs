//! What is known of the program that strace recorded, while its calls are translated.

use super::descriptors::{Descriptors, Kind, Object, ObjectId};
use super::recorder::{Recorder, Who, data};
use super::scan;
use crate::trace::record::name;

/// What of strace's options is missing.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Calls without a time.
    pub(super) timeless: u64,
    pub(super) calls: u64,
    pub(super) durations: u64,
    /// Sockets that strace described, and arguments that must be sockets, but that it did not describe.
    pub(super) described: u64,
    pub(super) bare: u64,
    pub(super) waits: u64,
    pub(super) io_uring: u64,
    pub(super) frames: u64,
}

/// The program: its descriptors, and the records that are made of its calls.
#[derive(Debug, Default)]
pub(super) struct Program {
    pub(super) descriptors: Descriptors,
    pub(super) recorder: Recorder,
    pub(super) seen: Seen,
    pub(super) name: Option<String>,
    /// A signal has asked it to end.
    pub(super) is_stopped: bool,
}

impl Program {
    /// What an argument stands for. A socket that was open before the trace began is added.
    pub(super) fn object(&mut self, who: Who, arg: &str) -> Option<ObjectId> {
        let (fd, what) = scan::descriptor(arg)?;
        let is_described = scan::is_stream(what);
        self.seen.described += u64::from(is_described);
        let found = self.descriptors.find(who.thread, fd);
        if found.is_some() || !is_described || !what.contains("->") {
            return found;
        }
        let id = self.insert(who, fd, Kind::Connection(Default::default()))?;
        let group = self.recorder.next_connection();
        self.descriptors.object(id)?.group = Some(group);
        Some(id)
    }

    /// Adds a descriptor. What stood under its number is closed, if that was not seen.
    pub(super) fn insert(&mut self, who: Who, fd: i32, kind: Kind) -> Option<ObjectId> {
        let (id, closed) = self.descriptors.insert(who.thread, fd, kind);
        closed.into_iter().for_each(|gone| self.gone(who, gone, "closed"));
        id
    }

    /// Records that an object is gone.
    pub(super) fn gone(&mut self, who: Who, (_, object): (ObjectId, Object), why: &str) {
        if let (Kind::Connection(totals), Some(group)) = (&object.kind, &object.group) {
            let data = data! {
                "why": why, "read": totals.read, "wrote": totals.wrote, "is_cut": totals.is_cut,
            };
            self.recorder.record(who, name::CLOSED, Some(group), data);
        }
    }

    /// What records call an object.
    pub(super) fn group(&mut self, id: ObjectId) -> Option<String> {
        self.descriptors.object(id)?.group.clone()
    }
}
