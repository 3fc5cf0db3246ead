//! Writes the steps of a run into the file of a trace.

use std::cell::{RefCell, RefMut};
use std::collections::HashMap;
use std::io;
use std::mem;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::data::{Call, CallResult, Group, Line, Micros, Pending};
use super::file::{Stamp, TraceFile};
use super::record::{Header, name};
use super::sources::{self, Place};
use crate::net::Endpoint;
use crate::observe::WaitsUntil;
use crate::text::Excerpt;

/// What to record, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// The file.
    pub path: PathBuf,
    /// The trace ends before its file becomes longer than this.
    pub limit_bytes: usize,
    /// Whether to ask before each read and each write what the socket holds.
    pub with_kernel: bool,
}

/// Records a run: an observer of the server, and what its [listeners](super::Traced) and their streams report to. All
/// clones write to one trace.
#[derive(Clone, Debug)]
pub struct Recorder(Rc<RefCell<Recording>>);

/// A trace that is being written.
#[derive(Debug)]
pub(super) struct Recording {
    file: TraceFile,
    with_kernel: bool,
    began: Instant,
    stamp: Stamp,
    /// The wait that is under way, if there is one.
    pub(super) wait: Option<Wait>,
    /// Connections that were accepted, so that streams have the numbers that the server gives them.
    accepted: u64,
    pub(super) connections: HashMap<u64, Totals>,
    /// Of each source, whether its text is in the trace.
    has_text: [bool; sources::COUNT],
}

/// A wait of the loop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    /// Since the trace began.
    pub(super) began: Duration,
    pub(super) timeout: Option<Duration>,
    pub(super) until: WaitsUntil,
    pub(super) place: Option<Place>,
}

/// What has happened on a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) read: u64,
    pub(super) wrote: u64,
    pub(super) pending: usize,
    /// Whether it is served: before that, only the header of a proxy is read.
    pub(super) is_served: bool,
}

/// A record without its time and its data.
pub(super) struct Draft<'a> {
    pub(super) name: &'static str,
    pub(super) group: Option<Group<'a>>,
    pub(super) trigger: Option<&'static str>,
    pub(super) place: Option<Place>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(name: &'static str, group: Option<Group<'a>>, place: Option<Place>) -> Self {
        Self { name, group, trigger: None, place }
    }

    pub(super) fn because(self, trigger: &'static str) -> Self {
        Self { trigger: Some(trigger), ..self }
    }
}

impl Recorder {
    /// Begins a trace at `now`. Nothing is written before the server waits for the first time: if it cannot start, an
    /// older trace stays.
    ///
    /// # Errors
    ///
    /// If the file cannot be written; the error says so in a line.
    pub fn begin(options: &Options, header: &Header, now: Instant) -> io::Result<Self> {
        let mut file = TraceFile::open(&options.path, options.limit_bytes)?;
        let stamp = Stamp { time: Duration::ZERO, turn: 0 };
        file.add(header, stamp);
        Ok(Self(Rc::new(RefCell::new(Recording {
            file,
            with_kernel: options.with_kernel,
            began: now,
            stamp,
            wait: None,
            accepted: 0,
            connections: HashMap::new(),
            has_text: [false; sources::COUNT],
        }))))
    }

    /// Ends the trace: the server has stopped, or failed with this error.
    pub fn finish(&self, error: Option<&io::Error>) {
        self.0.borrow_mut().finish(error);
    }

    /// The trace, unless it has ended.
    pub(super) fn recording(&self) -> Option<RefMut<'_, Recording>> {
        Some(self.0.borrow_mut()).filter(|recording| !recording.file.has_ended())
    }

    /// Whether to ask what a socket holds before a call.
    pub(super) fn wants_kernel(&self) -> bool {
        self.recording().is_some_and(|recording| recording.with_kernel)
    }

    /// Records an accept. Returns the number of the connection, if there is one.
    pub(super) fn accepted<T>(
        &self,
        at: &Endpoint,
        place: Option<Place>,
        accepted: &io::Result<T>,
    ) -> u64 {
        let Some(mut recording) = self.recording() else { return 0 };
        let result = accepted.as_ref().map_or_else(CallResult::Failed, |_| CallResult::Connection);
        let draft = Draft::new(name::ACCEPT, Some(Group::Listener(at)), place);
        recording.add(draft, Some(Call { asked: None, result, kernel: None }));
        recording.accepted += u64::from(accepted.is_ok());
        recording.accepted
    }
}

impl Recording {
    /// Adds a record at this moment. `data` is `None` if there is nothing to say.
    pub(super) fn add(&mut self, draft: Draft<'_>, data: Option<impl Serialize>) {
        self.tick();
        self.add_as_of(self.stamp.time, draft, data);
    }

    /// Adds a record of what happened at this time since the trace began.
    pub(super) fn add_as_of(
        &mut self,
        time: Duration,
        draft: Draft<'_>,
        data: Option<impl Serialize>,
    ) {
        let Draft { name, group: group_id, trigger, place } = draft;
        place.iter().for_each(|place| self.add_text(time, *place));
        let (time, turn) = (Micros(time), self.stamp.turn);
        self.file.add(&Line { time, name, group_id, turn, trigger, place, data }, self.stamp);
    }

    /// Adds the text of a source, unless it is there.
    fn add_text(&mut self, time: Duration, place: Place) {
        if self.has_text[place.source] {
            return;
        }
        self.has_text[place.source] = true;
        self.add_as_of(time, Draft::new(name::SOURCE, None, None), Some(place.source()));
    }

    /// Takes the time since the trace began, and returns it.
    pub(super) fn tick(&mut self) -> Duration {
        self.stamp.time = self.began.elapsed();
        self.stamp.time
    }

    pub(super) fn begin_turn(&mut self) {
        self.stamp.turn += 1;
    }

    /// Puts what was recorded into the file.
    pub(super) fn flush(&mut self) {
        self.file.flush();
    }

    /// What is known of a connection. Without memory for it, that stays nothing.
    pub(super) fn totals(&mut self, id: u64) -> &mut Totals {
        if self.connections.try_reserve(1).is_err() {
            self.connections.clear();
        }
        self.connections.entry(id).or_default()
    }

    /// A connection has written `n` bytes, and has `pending` left: a server writes all that it has.
    pub(super) fn wrote(&mut self, id: u64, n: usize, pending: usize, place: Option<Place>) {
        let totals = self.totals(id);
        totals.wrote += n as u64;
        if mem::replace(&mut totals.pending, pending) != pending {
            let draft = Draft::new(name::PENDING, Some(Group::Connection(id)), place);
            self.add(draft, Some(Pending { bytes: pending }));
        }
    }

    fn finish(&mut self, error: Option<&io::Error>) {
        self.tick();
        let why = if error.is_some() { "error" } else { "stopped" };
        let detail = error.map(|error| Excerpt(&error.to_string()).to_string());
        self.file.end(why, detail, self.stamp);
        self.file.finish();
    }
}
