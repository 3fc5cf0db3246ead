//! Connections and listeners that sleep without an event to come: edges that were used up, reading that does not resume,
//! and listeners that are not tried again.

use super::sockets::{Connection, Listener, Suspect, Why};
use super::{Finding, LONG_SLEEP, Lint, Moment};
use crate::mistake::Mistake;
use crate::text::format::count;
use crate::trace::record::Record;

impl Lint {
    pub(super) fn registered(&mut self, group: &str, record: &Record) {
        if let Some(connection) = self.connections.get_mut(group) {
            connection.watch.register(record);
            if connection.watch.wants_readable {
                // The poll reports what is there already.
                connection.last_read = None;
                connection.suspect = None;
            }
        } else if let Some(listener) = self.listeners.get_mut(group) {
            listener.watch.register(record);
            listener.last = None;
            listener.suspect = None;
        }
        self.review(group);
    }

    pub(super) fn ready(&mut self, thread: u64, group: &str, record: &Record) {
        // What comes from the server's own queue is no edge.
        if record.trigger.as_deref() == Some("queue") {
            return;
        }
        let is_listener = self.listeners.contains_key(group);
        self.count_event(thread, group, is_listener, record);
        let (watch, suspect) =
            match (self.connections.get_mut(group), self.listeners.get_mut(group)) {
                (Some(connection), _) => {
                    connection.is_failed |= record.flag("error");
                    (&mut connection.watch, &mut connection.suspect)
                }
                (None, Some(listener)) => (&mut listener.watch, &mut listener.suspect),
                (None, None) => return,
            };
        watch.tell(record);
        if let Some(suspect) = suspect
            && (record.flag("readable") || record.flag("read_closed"))
        {
            suspect.is_told = true;
        }
        self.review(group);
    }

    /// Notes whether a connection or a listener must be looked at before its thread sleeps.
    pub(super) fn review(&mut self, group: &str) {
        let owes = match (self.connections.get(group), self.listeners.get(group)) {
            (Some(connection), _) => connection.suspect.is_none() && connection.owes().is_some(),
            (None, Some(listener)) => listener.suspect.is_none() && listener.owes(false).is_some(),
            (None, None) => false,
        };
        match owes {
            true => drop(self.owing.insert(group.into())),
            false => drop(self.owing.remove(group)),
        }
    }

    /// A thread goes to sleep: what still owes a look becomes a suspect.
    pub(super) fn sleeps(&mut self, has_limit: bool) {
        let since = self.moment();
        for group in std::mem::take(&mut self.owing) {
            let suspect = |why| Suspect { since, why, is_told: false };
            if let Some(connection) = self.connections.get_mut(&group) {
                connection.suspect = connection.owes().map(suspect);
            } else if let Some(listener) = self.listeners.get_mut(&group) {
                listener.suspect = listener.owes(has_limit).map(suspect);
                listener.is_relieved = false;
            }
        }
    }

    /// The server looks at a connection. If it has slept until an event, it is guilty; if it came back by itself, it had
    /// remembered the connection.
    pub(super) fn look(&mut self, group: &str) {
        let suspect = match (self.connections.get_mut(group), self.listeners.get_mut(group)) {
            (Some(connection), _) => connection.suspect.take(),
            (None, Some(listener)) => listener.suspect.take(),
            (None, None) => None,
        };
        let Some(suspect) = suspect else { return };
        let has_slept = !self.has_threads() || self.time - suspect.since.time >= LONG_SLEEP;
        if suspect.is_told && has_slept {
            self.convict(group, suspect);
        }
    }

    /// The end of a connection that was a suspect until then, or of the trace.
    pub(super) fn never_looked(&mut self, group: &str, suspect: Suspect) {
        if self.time - suspect.since.time >= LONG_SLEEP {
            self.convict(group, suspect);
        }
    }

    /// What is still a suspect when the trace ends.
    pub(super) fn still_asleep(&mut self) {
        let connections =
            self.connections.iter().filter_map(|(group, of)| Some((group.clone(), of.suspect?)));
        let listeners =
            self.listeners.iter().filter_map(|(group, of)| Some((group.clone(), of.suspect?)));
        let mut asleep: Vec<_> = connections.chain(listeners).collect();
        asleep.sort_by_key(|(_, suspect)| suspect.since.number);
        asleep.into_iter().for_each(|(group, suspect)| self.never_looked(&group, suspect));
    }

    fn convict(&mut self, group: &str, suspect: Suspect) {
        let slept = slept(suspect.since, self.time);
        let at = suspect.since;
        match (self.connections.get(group), self.listeners.get(group)) {
            (Some(connection), _) => self.convict_connection(
                group,
                at,
                suspect.why,
                &before(connection, suspect.why),
                &slept,
            ),
            (None, Some(listener)) => {
                let is_relieved = listener.is_relieved;
                self.convict_listener(group, at, suspect.why, is_relieved, &slept);
            }
            (None, None) => {}
        }
    }

    fn convict_connection(&mut self, group: &str, at: Moment, why: Why, before: &str, slept: &str) {
        let mistake = match why {
            Why::AfterPressure => Mistake::STUCK_BACK_PRESSURE,
            _ => Mistake::UNDRAINED_EDGE,
        };
        self.findings.add(
            Finding::likely(mistake, at, group, format!("{before}, and then it slept {slept}"))
                .of_end(),
        );
    }

    fn convict_listener(
        &mut self,
        group: &str,
        at: Moment,
        why: Why,
        is_relieved: bool,
        slept: &str,
    ) {
        if why == Why::LastAccept {
            let because =
                format!("it accepted a connection, did not ask for another, and slept {slept}");
            return self.likely(Mistake::UNDRAINED_LISTENER, at, group, because);
        }
        let because = format!("an accept failed, and it slept {slept} without trying again");
        match is_relieved {
            true => self.sure(
                Mistake::DEAF_LISTENER,
                at,
                group,
                because + ", although connections had closed",
            ),
            false => self.likely(Mistake::DEAF_LISTENER, at, group, because),
        }
    }
}

/// What a connection did before it slept.
fn before(connection: &Connection, why: Why) -> String {
    let Connection { took, asked, .. } = connection;
    match why {
        Why::AfterPressure => {
            "reading stopped while bytes were pending, it did not resume after their last write"
                .into()
        }
        Why::Unread => "an event said that it is readable, it was not read".into(),
        _ if took == asked => {
            format!(
                "the last read took all {} bytes that it asked for, so that there may be more",
                count(*took)
            )
        }
        _ => format!(
            "the last read took {} bytes and left the end of the stream, which its event had reported",
            count(*took)
        ),
    }
}

/// For how long something slept, in words.
fn slept(since: Moment, now: f64) -> String {
    format!("for {:.3} ms", (now - since.time) / 1000.0)
}

impl Listener {
    /// A connection was closed: there is a descriptor for another one.
    pub(super) fn relieve(&mut self) {
        self.is_relieved |= self.suspect.is_some();
    }
}
