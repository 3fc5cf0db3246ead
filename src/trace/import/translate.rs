//! From the calls of a program to records.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::line::{Call, Line, Result, What};
use super::program::Program;
use super::recorder::Who;
use super::{polls, processes, scan, sockets};
use crate::trace::record::Record;

/// The most calls that can be unfinished at once, and the longest that one can become, in bytes.
const MOST_UNFINISHED: usize = 1 << 14;
const LONGEST_CALL: usize = 1 << 20;

/// Follows the calls of all threads.
#[derive(Debug, Default)]
pub(super) struct Translator {
    pub(super) program: Program,
    /// When each unfinished call began, and its text.
    unfinished: HashMap<u64, (u64, String)>,
    /// The last time of any line.
    time: u64,
}

impl Translator {
    /// Translates a line that is no frame.
    pub(super) fn line(&mut self, line: &Line<'_>) {
        let Line::Event { thread, time, what } = *line else {
            self.program.seen.timeless += u64::from(*line == Line::WithoutTime);
            return;
        };
        self.time = self.time.max(time);
        let who = Who { thread, time };
        if !self.program.descriptors.knows(thread) {
            self.appear(thread);
        }
        match what {
            What::Call(text) => self.whole(who, text),
            What::Unfinished(text) => self.begin(who, text),
            What::Resumed(rest) => self.resume(who, rest),
            What::Ended(how) => self.ended(who, how),
            What::Signal(name) => processes::signal(&mut self.program, name),
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
                self.program.descriptors.appear_early(*parent, thread, is_shared);
            }
            None => self.program.descriptors.appear(thread),
        }
    }

    fn whole(&mut self, who: Who, text: &str) {
        let Some(call) = Call::parse(text) else { return };
        if call.result == Result::Unknown && !call.name.starts_with("exit") {
            // It breaks off: the file ends here, or another was appended.
            return self.begin(who, text);
        }
        self.program.seen.durations += u64::from(call.took.is_some());
        let end = Who { time: who.time.saturating_add(call.took.unwrap_or(0)), ..who };
        polls::begins(&mut self.program, who, &call);
        self.call(end, &call);
    }

    fn begin(&mut self, who: Who, text: &str) {
        if let Some(call) = Call::parse(text) {
            polls::begins(&mut self.program, who, &call);
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
            self.program.seen.durations += u64::from(call.took.is_some());
            call.took = call.took.or(Some(who.time.saturating_sub(began)));
            self.call(who, &call);
        }
    }

    /// Translates a call that has ended.
    fn call(&mut self, end: Who, call: &Call<'_>) {
        self.program.seen.calls += 1;
        self.program.recorder.call(words(call));
        let _ = sockets::translate(&mut self.program, end, call)
            || polls::translate(&mut self.program, end, call)
            || processes::translate(&mut self.program, end, call);
        self.program.recorder.call(None);
    }

    /// The records of the calls that had not returned when the file ended.
    pub(super) fn finish(&mut self) {
        let mut threads: Vec<_> = self.unfinished.keys().copied().collect();
        threads.sort_unstable();
        for thread in threads {
            self.never_returned(Who { thread, time: self.time });
        }
    }

    fn ended(&mut self, who: Who, how: &str) {
        self.never_returned(who);
        processes::ended(&mut self.program, who, how);
    }

    /// Records that a call of a thread had not returned when the thread or the file ended.
    fn never_returned(&mut self, who: Who) {
        let Some((began, text)) = self.unfinished.remove(&who.thread) else { return };
        if let Some(mut call) = Call::parse(&text) {
            call.took = Some(who.time.saturating_sub(began));
            self.program.recorder.call(words(&call));
            sockets::unfinished(&mut self.program, who, &call);
            self.program.recorder.call(None);
        }
    }

    /// The records since the last time.
    pub(super) fn take(&mut self) -> Vec<Record> {
        self.program.recorder.take()
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
