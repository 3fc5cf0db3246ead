//! From the calls of a program to records.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::descriptors::{Descriptors, Kind, Object, ObjectId};
use super::line::{Call, Line, Result, What};
use super::recorder::{Recorder, Who, data};
use super::{polls, processes, scan, sockets};
use crate::trace::record::{Record, name};

/// The most calls that can be unfinished at once, and the longest that one can become, in bytes.
const MOST_UNFINISHED: usize = 1 << 14;
const LONGEST_CALL: usize = 1 << 20;

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

/// Follows the calls of all threads.
#[derive(Debug, Default)]
pub(super) struct Translator {
    pub(super) descriptors: Descriptors,
    pub(super) recorder: Recorder,
    pub(super) seen: Seen,
    pub(super) program: Option<String>,
    /// A signal has asked the program to end.
    pub(super) is_stopped: bool,
    /// When each unfinished call began, and its text.
    unfinished: HashMap<u64, (u64, String)>,
    /// The last time of any line.
    time: u64,
}

impl Translator {
    /// Translates a line that is no frame.
    pub(super) fn line(&mut self, line: &Line<'_>) {
        let Line::Event { thread, time, what } = *line else {
            self.seen.timeless += u64::from(*line == Line::WithoutTime);
            return;
        };
        self.time = self.time.max(time);
        let who = Who { thread, time };
        if !self.descriptors.knows(thread) {
            self.appear(thread);
        }
        match what {
            What::Call(text) => self.whole(who, text),
            What::Unfinished(text) => self.begin(who, text),
            What::Resumed(rest) => self.resume(who, rest),
            What::Ended(how) => processes::ended(self, who, how),
            What::Signal(name) => processes::signal(self, name),
        }
    }

    /// A thread whose lines begin before the call has returned that starts it, or one that no call started.
    fn appear(&mut self, thread: u64) {
        let calls = self
            .unfinished
            .iter()
            .filter_map(|(parent, (time, text))| Some((time, parent, Call::parse(text)?)));
        let starting = calls
            .filter(|(_, _, call)| processes::starts_thread(call.name))
            .max_by_key(|(time, ..)| **time);
        match starting {
            Some((_, parent, call)) => {
                let is_shared = processes::shares_descriptors(&call);
                self.descriptors.appear_early(*parent, thread, is_shared);
            }
            None => self.descriptors.appear(thread),
        }
    }

    fn whole(&mut self, who: Who, text: &str) {
        let Some(call) = Call::parse(text) else { return };
        if call.result == Result::Unknown && !call.name.starts_with("exit") {
            // It breaks off: the file ends here, or another was appended.
            return self.begin(who, text);
        }
        self.seen.durations += u64::from(call.took.is_some());
        let end = Who { time: who.time.saturating_add(call.took.unwrap_or(0)), ..who };
        polls::begins(self, who, &call);
        self.call(end, &call);
    }

    fn begin(&mut self, who: Who, text: &str) {
        if let Some(call) = Call::parse(text) {
            polls::begins(self, who, &call);
        }
        if self.unfinished.len() < MOST_UNFINISHED && text.len() <= LONGEST_CALL {
            self.unfinished.insert(who.thread, (who.time, text.into()));
        }
    }

    fn resume(&mut self, who: Who, rest: &str) {
        let Some((began, mut text)) = self.unfinished.remove(&who.thread) else { return };
        if text.len() + rest.len() > LONGEST_CALL {
            return;
        }
        text.push_str(rest);
        if let Some(mut call) = Call::parse(&text) {
            self.seen.durations += u64::from(call.took.is_some());
            call.took = call.took.or(Some(who.time.saturating_sub(began)));
            self.call(who, &call);
        }
    }

    /// Translates a call that has ended.
    fn call(&mut self, end: Who, call: &Call<'_>) {
        self.seen.calls += 1;
        self.recorder.call(words(call));
        let _ = sockets::translate(self, end, call)
            || polls::translate(self, end, call)
            || processes::translate(self, end, call);
        self.recorder.call(None);
    }

    /// The records of the calls that had not returned when the file ended.
    pub(super) fn finish(&mut self) {
        let mut threads: Vec<_> = self.unfinished.keys().copied().collect();
        threads.sort_unstable();
        for thread in threads {
            self.never_returned(Who { thread, time: self.time });
        }
    }

    /// Records that a call of a thread had not returned when the thread or the file ended.
    pub(super) fn never_returned(&mut self, who: Who) {
        let Some((began, text)) = self.unfinished.remove(&who.thread) else { return };
        if let Some(mut call) = Call::parse(&text) {
            call.took = Some(who.time.saturating_sub(began));
            self.recorder.call(words(&call));
            sockets::unfinished(self, who, &call);
            self.recorder.call(None);
        }
    }

    /// What an argument stands for. A socket that was open before the trace began is added.
    pub(super) fn object(&mut self, who: Who, arg: &str) -> Option<ObjectId> {
        let (fd, what) = scan::descriptor(arg)?;
        let is_described = sockets::is_stream(what);
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

    /// The records since the last time.
    pub(super) fn take(&mut self) -> Vec<Record> {
        self.recorder.take()
    }
}

/// A call in words: its name, and those arguments that are numbers. No bytes of peers.
fn words(call: &Call<'_>) -> Option<String> {
    let mut words = format!("{}(", call.name);
    for at in 0..6 {
        let arg = call.arg(at);
        let short = match scan::descriptor(arg) {
            Some((fd, _)) => fd.to_string(),
            None if is_plain(arg) => arg.to_string(),
            None => continue,
        };
        let separator = if words.ends_with('(') { "" } else { ", " };
        let _ = write!(words, "{separator}{short}");
    }
    words.push(')');
    Some(words)
}

/// Whether an argument is a name or a number: flags and sizes.
fn is_plain(arg: &str) -> bool {
    !arg.is_empty()
        && arg.len() <= 64
        && !arg.starts_with("0x")
        && arg != "NULL"
        && arg.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_|-".contains(&byte))
}
