//! How connections end: with all of their bytes, after all of them were read, and for a reason.

use super::sockets::{Connection, Counts, LastRead};
use super::{Finding, LONG_SLEEP, Lint, Moment};
use crate::mistake::Mistake;
use crate::text::format::count;
use crate::trace::record::{Record, Vantage};

impl Lint {
    pub(super) fn closed(&mut self, thread: u64, group: &str, record: &Record) {
        self.fruitful(thread);
        self.listeners.values_mut().for_each(super::Listener::relieve);
        let Some(connection) = self.connections.remove(group) else { return };
        self.owing.remove(group);
        self.echoed += u64::from(connection.read > 0 && connection.read == connection.wrote);
        // Killed, or stopped: that is no mistake with this connection.
        let is_stopped = record.text("why") == Some("the process ended");
        let turn = (thread, self.turn_of(thread));
        let finding = match is_stopped || connection.is_failed || connection.acceptor.is_none() {
            true => None,
            false => ending(
                &connection,
                self.moment(),
                group,
                (self.vantage == Vantage::SystemCalls).then_some(turn),
            ),
        };
        let was_found = finding.is_some();
        finding.into_iter().for_each(|finding| self.findings.add(finding));
        if let Some(suspect) = connection.suspect.filter(|_| !was_found) {
            self.connections.insert(group.into(), connection);
            self.never_looked(group, suspect);
            self.connections.remove(group);
        }
    }

    /// Connections that are open when the trace ends: what they have lost stays lost.
    pub(super) fn still_open(&mut self) {
        let mut open: Vec<_> = std::mem::take(&mut self.connections).into_iter().collect();
        open.sort_by_key(|(_, connection)| connection.lost_at.map(|at| at.number));
        for (group, connection) in open {
            self.echoed += u64::from(connection.read > 0 && connection.read == connection.wrote);
            whole_buffer(&connection, &group)
                .into_iter()
                .for_each(|finding| self.findings.add(finding));
            let is_idle = self.time - connection.wrote_at >= LONG_SLEEP;
            if let Some(at) = connection.lost().filter(|_| connection.is_short() && is_idle) {
                self.findings.add(lost(&connection, at, &group));
            }
        }
    }
}

/// Which mistake the end of a connection shows. `turn`: the thread and the turn, if nothing but calls is known.
fn ending(
    connection: &Connection,
    at: Moment,
    group: &str,
    turn: Option<(u64, u64)>,
) -> Option<Finding> {
    let found = whole_buffer(connection, group).or_else(|| missing(connection, at, group));
    if found.is_some() || connection.has_ended || connection.is_shut {
        return found;
    }
    let is_at_once = turn.is_some() && turn == connection.read_in;
    hang_up(connection, at, group)
        .or_else(|| short_read(connection, at, group).filter(|_| is_at_once))
}

/// Less was written than read.
fn missing(connection: &Connection, at: Moment, group: &str) -> Option<Finding> {
    if !connection.is_short() {
        return None;
    }
    if let Some(lost_at) = connection.lost() {
        return Some(lost(connection, lost_at, group));
    }
    connection.has_ended.then(|| {
        let (pending, read) = (count(connection.pending()), count(connection.read));
        let because =
            format!("it closes at the end of the stream with {pending} of {read} bytes pending");
        Finding::sure(Mistake::HALF_CLOSE_DROPS_TAIL, at, group, because).of_echo()
    })
}

fn lost(connection: &Connection, at: Moment, group: &str) -> Finding {
    let because = format!(
        "after a write that took a part, the next one offers only what was read since; in the end, {} of {} bytes are \
         missing",
        count(connection.pending()),
        count(connection.read)
    );
    Finding::sure(Mistake::LOST_TAIL, at, group, because).of_echo()
}

/// Each read was short, and each was answered by one write of the size of the buffer. Of a server that answers with
/// something else, that is not so for all.
fn whole_buffer(connection: &Connection, group: &str) -> Option<Finding> {
    let Counts { reads, writes, whole } = connection.counts;
    let at = connection.first_whole.filter(|_| reads == writes && writes == whole)?;
    let because = format!(
        "each read took a part of {} bytes, and each write offers {}, the size of the whole buffer",
        count(connection.asked),
        count(connection.asked)
    );
    Some(Finding::likely(Mistake::WHOLE_BUFFER, at, group, because))
}

/// It closes after an event with the client's end, and did not look what came before the end.
fn hang_up(connection: &Connection, at: Moment, group: &str) -> Option<Finding> {
    // If all is echoed, the end may be all that was left: HAProxy knows it from the event.
    let is_full = connection.last_read == Some(LastRead::Full);
    let may_have_more = connection.read == 0 || connection.is_short() || is_full;
    if !(connection.watch.is_told && connection.watch.is_end_told && may_have_more) {
        return None;
    }
    let because = "an event says that the client has ended, and it closes without reading what came before the end";
    Some(match is_full {
        true => {
            let because = format!("{because}; the last read was full");
            Finding::sure(Mistake::HANG_UP_FIRST, at, group, because)
        }
        false => Finding::likely(Mistake::HANG_UP_FIRST, at, group, because.into()),
    })
}

/// It closes after a short read, with everything echoed.
fn short_read(connection: &Connection, at: Moment, group: &str) -> Option<Finding> {
    let is_echoed = connection.read == connection.wrote && connection.read > 0;
    (is_echoed && connection.last_read == Some(LastRead::Short)).then(|| {
        let (took, asked) = (count(connection.took), count(connection.asked));
        let because = format!(
            "it closes after a read that took {took} of {asked} bytes, and the client has not ended"
        );
        Finding::likely(Mistake::SHORT_READ_ENDS, at, group, because)
    })
}
