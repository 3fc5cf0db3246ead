//! What the connections of a case did, as records of a trace.

use std::cell::RefCell;
use std::mem;
use std::rc::Rc;
use std::time::Instant;

use serde_json::{Value, json};

use super::timeline::Moment;
use crate::net::Endpoint;
use crate::trace::record::{Record, name};

/// The most records that are kept of a case.
const MOST: usize = 50_000;

/// Records what happens from one case to the next, if that is wanted. All clones write into one list.
#[derive(Clone, Debug)]
pub(super) struct Recording(Option<Rc<RefCell<Records>>>);

#[derive(Debug)]
struct Records {
    began: Instant,
    /// How many connections were begun, in all cases.
    connections: u64,
    records: Vec<Record>,
    left_out: usize,
}

/// One connection that is recorded.
#[derive(Debug)]
pub(super) struct Recorded {
    recording: Recording,
    id: u64,
    server: String,
}

impl Recording {
    pub(super) fn new(is_wanted: bool, began: Instant) -> Self {
        let records = || Records { began, connections: 0, records: Vec::new(), left_out: 0 };
        Self(is_wanted.then(|| Rc::new(RefCell::new(records()))))
    }

    /// A connection to `server` begins at `now`.
    pub(super) fn connection(&self, server: &Endpoint, now: Instant) -> Recorded {
        let id = self.0.as_ref().map_or(0, |records| {
            let mut records = records.borrow_mut();
            records.connections += 1;
            records.connections
        });
        let recorded = Recorded { recording: self.clone(), id, server: server.to_string() };
        recorded.add_record(name::CONNECTING, json!({}), now);
        recorded
    }

    /// Adds a record of this name at `now`, about `group` if there is one.
    fn add(&self, name: &str, group: Option<String>, data: Value, now: Instant) {
        let Some(records) = &self.0 else { return };
        let records = &mut *records.borrow_mut();
        if records.records.len() == MOST {
            records.left_out += 1;
            return;
        }
        let time = records.time(now);
        let data = if let Value::Object(data) = data { data } else { Default::default() };
        records.records.push(Record { group_id: group, data, ..Record::new(time, name) });
    }

    /// Begins a case, and forgets what was recorded before.
    pub(super) fn begin_case(&self, id: &str, title: &str, now: Instant) {
        self.end_case(now);
        self.add(name::CASE_BEGAN, None, json!({ "id": id, "title": title }), now);
    }

    /// Takes out what was recorded of a case. The last record is its end at `now`, as yet without a verdict.
    pub(super) fn end_case(&self, now: Instant) -> Vec<Record> {
        let Some(records) = &self.0 else { return Vec::new() };
        let records = &mut *records.borrow_mut();
        let mut taken = mem::take(&mut records.records);
        let left_out = mem::take(&mut records.left_out);
        if let Some(last) = taken.last().filter(|_| left_out > 0) {
            let mut mark = Record::new(last.time, name::MARK);
            let title = format!("{left_out} more records are left out");
            mark.data.insert("title".into(), title.into());
            taken.push(mark);
        }
        taken.push(Record::new(records.time(now), name::CASE_ENDED));
        taken
    }
}

impl Records {
    fn time(&self, now: Instant) -> f64 {
        now.saturating_duration_since(self.began).as_nanos() as f64 / 1000.0
    }
}

impl Recorded {
    /// Adds what happened at `now`. `local` is this end's address, once it is known.
    pub(super) fn add(&self, moment: &Moment, local: Option<&Endpoint>, now: Instant) {
        let (name, data) = match moment {
            Moment::Connected => {
                let mut data = json!({ "peer": self.server });
                local.into_iter().for_each(|local| data["local"] = local.to_string().into());
                (name::CONNECTED, data)
            }
            Moment::Sent(n) => (name::SENT, json!({ "result": n })),
            Moment::Received(n) => (name::RECEIVED, json!({ "result": n })),
            Moment::Ended => (name::SHUTDOWN, json!({})),
            Moment::Closed => (name::RECEIVED, json!({ "result": "end" })),
            Moment::Broken(why) => (name::CLOSED, json!({ "why": "failed", "error": why })),
            Moment::Did(what) => (name::MARK, json!({ "title": what })),
        };
        self.add_record(name, data, now);
    }

    fn add_record(&self, name: &str, data: Value, now: Instant) {
        self.recording.add(name, Some(format!("#{}", self.id)), data, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_keeps_a_bounded_number_of_records() {
        let recording = Recording::new(true, Instant::now());
        for _ in 0..MOST + 7 {
            recording.add(name::SENT, None, json!({}), Instant::now());
        }
        let taken = recording.end_case(Instant::now());
        assert_eq!(taken.len(), MOST + 2);
        assert_eq!(taken[MOST].text("title"), Some("7 more records are left out"));
        assert_eq!(recording.end_case(Instant::now()).len(), 1);
        let unwanted = Recording::new(false, Instant::now());
        unwanted.add(name::SENT, None, json!({}), Instant::now());
        assert!(unwanted.end_case(Instant::now()).is_empty());
    }
}
