//! What is read and written, and whether the two add up.

use super::sockets::{Connection, LastRead, LastWrite};
use super::{Finding, Lint, Moment};
use crate::mistake::Mistake;
use crate::text::format::count;
use crate::trace::record::{Outcome, Record};

/// A server that reads on with this many bytes pending has no bound, or one that is no bound. Bounds of servers are some
/// kilobytes to some megabytes.
const FAR_TOO_MUCH: u64 = 8 << 20;

/// Two parts of a program can each read the end of a stream. More reads than that are a mistake.
const MANY_ENDS: u32 = 3;

impl Lint {
    pub(super) fn read(&mut self, thread: u64, group: &str, record: &Record) {
        self.look(group);
        self.blocks(thread, group, record);
        let at = self.moment();
        let turn = self.turn_of(thread);
        let Some(connection) = self.connections.get_mut(group) else { return };
        let asked = record.number("asked").unwrap_or(0);
        connection.watch.is_told = false;
        let mut finding = None;
        match record.outcome() {
            Some(Outcome::Bytes(took)) => {
                connection.took_bytes(took, asked);
                connection.read_in = Some((thread, turn));
                finding = unbounded(connection, at, group);
                self.count_read(thread, group, took);
            }
            Some(Outcome::WouldBlock) => connection.last_read = Some(LastRead::Dry),
            Some(Outcome::End) => {
                finding = connection.take_end(at, group);
                self.fruitful(thread);
            }
            Some(Outcome::Failed(_)) => {
                connection.is_failed = true;
                self.fruitful(thread);
            }
            Some(Outcome::Connection) | None => {}
        }
        finding.into_iter().for_each(|finding| self.findings.add(finding));
        self.review(group);
    }

    pub(super) fn write(&mut self, thread: u64, group: &str, record: &Record) {
        self.blocks(thread, group, record);
        let at = self.moment();
        let Some(connection) = self.connections.get_mut(group) else { return };
        let asked = record.number("asked").unwrap_or(0);
        let finding = wrong_bytes(connection, asked, at, group);
        connection.is_off |= finding.is_some();
        connection.note_lost(asked, at);
        connection.count_write(asked, at);
        connection.wrote_at = at.time;
        match record.outcome() {
            Some(Outcome::Bytes(took)) => {
                connection.gave_bytes(took, asked);
                if took > 0 {
                    self.fruitful(thread);
                }
            }
            Some(Outcome::WouldBlock) => {
                connection.last_write = Some(LastWrite::Blocked);
                connection.was_blocked = true;
            }
            Some(Outcome::Failed(_)) => connection.is_failed = true,
            _ => {}
        }
        finding.into_iter().for_each(|finding| self.findings.add(finding));
        self.review(group);
    }
}

impl Connection {
    fn took_bytes(&mut self, took: u64, asked: u64) {
        self.read = self.read.saturating_add(took);
        (self.took, self.asked) = (took, asked);
        self.counts.reads += 1;
        self.last_read = Some(if took < asked { LastRead::Short } else { LastRead::Full });
        if !self.is_blocked() {
            self.was_blocked = false;
        }
    }

    fn take_end(&mut self, at: Moment, group: &str) -> Option<Finding> {
        self.last_read = Some(LastRead::End);
        self.watch.is_end_told = false;
        self.has_ended = true;
        self.ends += 1;
        (self.ends >= MANY_ENDS).then(|| {
            let because = "the read returns the end of the stream for the third time, without a write between";
            Finding::sure(Mistake::END_IGNORED, at, group, because.into())
        })
    }

    /// Whether a write offers the buffer of the last read, of which that had filled a part.
    fn offers_whole(&self, asked: u64) -> bool {
        asked == self.asked && self.took < self.asked
    }

    fn count_write(&mut self, asked: u64, at: Moment) {
        self.counts.writes += 1;
        if self.offers_whole(asked) && self.counts.writes == self.counts.reads {
            self.counts.whole += 1;
            self.first_whole.get_or_insert(at);
        }
    }

    /// The rest of a short write must come first. If a write has only the bytes of the last read, that rest is lost.
    fn note_lost(&mut self, asked: u64, at: Moment) {
        if let Some(LastWrite::Short { rest, .. }) = self.last_write
            && asked == self.took
            && asked != rest
            && asked < self.pending()
        {
            self.lost_at.get_or_insert(at);
            self.lost_bytes = self.lost_bytes.saturating_add(rest);
        }
    }

    fn gave_bytes(&mut self, took: u64, asked: u64) {
        if took > 0 {
            self.ends = 0;
        }
        self.wrote = self.wrote.saturating_add(took);
        self.last_write = Some(match took < asked {
            true => LastWrite::Short { rest: asked - took, asked },
            false => LastWrite::Whole,
        });
        self.was_blocked |= took < asked;
    }
}

/// A read while far too much is pending.
fn unbounded(connection: &Connection, at: Moment, group: &str) -> Option<Finding> {
    let is_unbounded =
        connection.wrote > 0 && connection.pending() > FAR_TOO_MUCH && !connection.is_off;
    is_unbounded.then(|| {
        let because = format!(
            "it reads on, although {} bytes are pending that its client does not take",
            count(connection.pending())
        );
        Finding::likely(Mistake::UNBOUNDED_OUTPUT, at, group, because).of_echo()
    })
}

/// A write of more bytes than there are: which mistake that is.
fn wrong_bytes(connection: &Connection, asked: u64, at: Moment, group: &str) -> Option<Finding> {
    let pending = connection.pending();
    if connection.is_off || connection.read == 0 || asked <= pending {
        return None;
    }
    match connection.last_write {
        Some(LastWrite::Short { asked: before, rest }) if asked == before => {
            let because = format!(
                "a write took {} of {} bytes, and the next one offers all {} again",
                count(before - rest),
                count(before),
                count(asked)
            );
            Some(Finding::sure(Mistake::SENT_TWICE, at, group, because).of_echo())
        }
        // What the whole connection shows.
        _ if connection.offers_whole(asked) => None,
        _ => {
            let because = format!(
                "{} bytes are there to send, and the write offers {}",
                count(pending),
                count(asked)
            );
            Some(Finding::likely(Mistake::TEXT_ONLY, at, group, because).of_echo())
        }
    }
}
