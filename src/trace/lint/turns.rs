//! What a thread does between two waits: nothing, too much for one connection, or to wait for one of them.

use super::thread::{Fruitless, Turn, Wait};
use super::{Lint, Moment};
use crate::mistake::Mistake;
use crate::text::format::count;
use crate::trace::record::{Record, name};

/// This many wake-ups in a row that achieve nothing are no coincidence.
const MANY_TURNS: u64 = 30;

/// A turn with this many reads of one connection that lasts this many microseconds keeps the others waiting.
const MANY_READS: u64 = 1_000;
const LONG_TURN: f64 = 100_000.0;

/// A call that takes this many microseconds has waited.
const LONG_CALL: u64 = 10_000;

impl Lint {
    pub(super) fn waits(&mut self, thread: u64, record: &Record) {
        let at = self.moment();
        let timeout = record.data.get("timeout");
        let can_sleep = timeout.and_then(serde_json::Value::as_f64) != Some(0.0);
        let has_limit = timeout.is_some_and(|timeout| !timeout.is_null());
        let Some(of) = self.threads.get_mut(&thread) else { return };
        of.turns += 1;
        of.wait = Some(Wait { can_sleep });
        let finding = fruitless(&mut of.fruitless, &of.turn, at);
        of.turn = Turn::default();
        if let Some((mistake, at, group, because)) = finding {
            self.likely(mistake, at, &group, because);
        }
        if can_sleep {
            self.sleeps(has_limit);
        }
    }

    pub(super) fn woke(&mut self, thread: u64, record: &Record) {
        let waited = record.data.get("waited").and_then(serde_json::Value::as_f64).unwrap_or(0.0);
        let time = self.time;
        let Some(of) = self.threads.get_mut(&thread) else { return };
        of.turn = Turn {
            began: time,
            events: record.number("events").unwrap_or(0),
            is_interrupted: record.flag("is_interrupted"),
            ..Turn::default()
        };
        if of.wait.take().is_some_and(|wait| wait.can_sleep) {
            self.paused(thread, waited);
        }
    }

    /// The number of a thread's turn.
    pub(super) fn turn_of(&self, thread: u64) -> u64 {
        self.threads.get(&thread).map_or(0, |thread| thread.turns)
    }

    /// A thread has achieved something.
    pub(super) fn fruitful(&mut self, thread: u64) {
        if let Some(thread) = self.threads.get_mut(&thread) {
            thread.turn.is_fruitful = true;
            thread.turn.is_interrupted = false;
        }
    }

    pub(super) fn count_event(
        &mut self,
        thread: u64,
        group: &str,
        is_listener: bool,
        record: &Record,
    ) {
        let Some(thread) = self.threads.get_mut(&thread) else { return };
        thread.turn.known += 1;
        let says_more =
            ["readable", "read_closed", "error", "priority"].iter().any(|flag| record.flag(flag));
        thread.turn.only_writable += u64::from(!says_more);
        thread.turn.of_listeners += u64::from(is_listener);
        thread.fruitless.group = group.into();
    }

    /// Counts a read that took bytes, and says so if there were far too many in this turn.
    pub(super) fn count_read(&mut self, thread: u64, group: &str, took: u64) {
        let (time, at) = (self.time, self.moment());
        let Some(of) = self.threads.get_mut(&thread) else { return };
        of.turn.is_fruitful = true;
        let reads = of.turn.reads.entry(group.into()).or_default();
        reads.0 += 1;
        reads.1 = reads.1.saturating_add(took);
        let (n, bytes) = *reads;
        let lasted = time - of.turn.began;
        if of.turns > 0 && n >= MANY_READS && lasted >= LONG_TURN && !of.turn.is_reported {
            of.turn.is_reported = true;
            let because = format!(
                "since it last looked for events, {:.0} ms ago, it has read {} times from this connection, {} bytes",
                lasted / 1000.0,
                count(n),
                count(bytes)
            );
            self.likely(Mistake::GREEDY_PEER, at, group, because);
        }
    }

    /// Says so if a call waits for one peer on a thread that has others to serve.
    pub(super) fn blocks(&mut self, thread: u64, group: &str, record: &Record) {
        let took = record.number("took").unwrap_or(0);
        if !record.flag("is_blocking") || took < LONG_CALL {
            return;
        }
        let is_loop = self.turn_of(thread) > 0;
        let acceptor = self.connections.get(group).and_then(|connection| connection.acceptor);
        // It accepts and serves on the only thread that there is.
        let is_sequential = !self.has_threads() && acceptor == Some(thread);
        if is_loop || is_sequential {
            let call = match record.name.as_str() {
                name::ACCEPT => "accept",
                name::WRITE => "write",
                _ => "read",
            };
            let because = format!(
                "a {call} on a blocking socket waited for {:.0} ms, and its thread served no other client meanwhile",
                took as f64 / 1000.0
            );
            self.sure(Mistake::BLOCKING_SOCKET, self.moment(), group, because);
        }
    }
}

/// Counts a turn that achieved nothing, and says so if it is one of many in a row.
fn fruitless(
    so_far: &mut Fruitless,
    turn: &Turn,
    at: Moment,
) -> Option<(Mistake, Moment, String, String)> {
    let is_known = turn.events > 0 && turn.known == turn.events;
    // Of several processes that accept from one listener, one gets the connection, and the others nothing.
    if !is_known || turn.is_fruitful || turn.of_listeners > 0 {
        let group = std::mem::take(&mut so_far.group);
        *so_far = Fruitless { group, ..Fruitless::default() };
        return None;
    }
    let first = *so_far.first.get_or_insert(at);
    so_far.turns += 1;
    so_far.only_writable += u64::from(turn.only_writable == turn.events);
    if so_far.turns != MANY_TURNS {
        return None;
    }
    let is_writable = so_far.only_writable * 2 > MANY_TURNS;
    let mistake = if is_writable { Mistake::ALWAYS_WRITABLE } else { Mistake::WOKEN_FOR_NOTHING };
    let what = if is_writable { ", each only because a socket is writable" } else { "" };
    let because = format!(
        "from here on, it was woken {MANY_TURNS} times in a row{what}, and read, wrote and accepted nothing"
    );
    Some((mistake, first, so_far.group.clone(), because))
}
