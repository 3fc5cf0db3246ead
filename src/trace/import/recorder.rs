//! Makes records of what threads did, with their times and turns.

use std::collections::HashMap;
use std::mem;

use serde_json::{Map, Value};

use crate::trace::record::{Record, name};

/// The data of a record.
pub(super) type Data = Map<String, Value>;

/// Data from keys and values: `data!{"asked": 4096}`.
macro_rules! data {
    ($($key:literal: $value:expr),* $(,)?) => {
        serde_json::Map::from_iter([$(($key.to_string(), serde_json::Value::from($value))),*])
    };
}

pub(super) use data;

/// Who did something, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) thread: u64,
    /// Microseconds since 1970.
    pub(super) time: u64,
}

/// Collects the records of the call that is translated.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    records: Vec<Record>,
    /// When the first record was: time 0.
    began: Option<u64>,
    last: u64,
    /// The first thread. Its records do not name it.
    first: Option<u64>,
    /// How often a wait of each thread has ended.
    turns: HashMap<u64, u64>,
    /// The wait that each thread is in, and since when.
    waits: HashMap<u64, u64>,
    /// The call in words.
    call: Option<String>,
    connections: u64,
}

impl Recorder {
    /// Adds a record.
    pub(super) fn record(&mut self, who: Who, name: &str, group: Option<&str>, data: Data) {
        let began = *self.began.get_or_insert(who.time);
        self.last = self.last.max(who.time.saturating_sub(began));
        let first = *self.first.get_or_insert(who.thread);
        let mut record = Record::new(self.last as f64, name);
        record.group_id = group.map(Into::into);
        record.turn = self.turns.get(&who.thread).copied().unwrap_or(0);
        record.thread = (who.thread != first).then_some(who.thread);
        record.call.clone_from(&self.call);
        record.data = data;
        self.records.push(record);
    }

    /// A thread begins to wait. `timeout`: microseconds, or null for no limit; `None` if it is not known.
    pub(super) fn wait(&mut self, who: Who, timeout: Option<Value>) {
        if self.waits.contains_key(&who.thread) {
            return;
        }
        self.waits.insert(who.thread, who.time);
        let trigger = timeout.as_ref().map(|timeout| match timeout.as_u64() {
            None => "no_limit",
            Some(0) => "queue",
            Some(_) => "deadline",
        });
        let data = timeout.map_or_else(Data::new, |timeout| data! {"timeout": timeout});
        self.record(who, name::WAITS, None, data);
        if let Some(record) = self.records.last_mut() {
            record.trigger = trigger.map(Into::into);
        }
    }

    /// A thread's wait has ended with this many events, if it was seen to begin.
    pub(super) fn wake(&mut self, who: Who, events: u64, is_interrupted: bool) {
        let Some(since) = self.waits.remove(&who.thread) else { return };
        *self.turns.entry(who.thread).or_default() += 1;
        let waited = who.time.saturating_sub(since);
        let mut data = data! {"events": events, "queued": 0, "waited": waited};
        if is_interrupted {
            data.insert("is_interrupted".into(), true.into());
        }
        self.record(who, name::WOKE, None, data);
    }

    /// A wait that has ended reports a source.
    pub(super) fn ready(&mut self, who: Who, group: &str, flags: Data) {
        self.record(who, name::READY, Some(group), flags);
        if let Some(record) = self.records.last_mut() {
            record.trigger = Some("event".into());
        }
    }

    /// What the records that follow say that the call is.
    pub(super) fn call(&mut self, words: Option<String>) {
        self.call = words;
    }

    /// What the next connection is called.
    pub(super) fn next_connection(&mut self) -> String {
        self.connections += 1;
        format!("#{}", self.connections)
    }

    /// The records that were added since the last time.
    pub(super) fn take(&mut self) -> Vec<Record> {
        mem::take(&mut self.records)
    }

    /// The time of the last record, in microseconds since the first.
    pub(super) fn last(&self) -> f64 {
        self.last as f64
    }

    /// When the first record was, in microseconds since 1970.
    pub(super) fn began(&self) -> Option<u64> {
        self.began
    }
}
