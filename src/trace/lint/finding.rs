//! What a rule has seen.

use super::Moment;
use crate::mistake::{Confidence, Mistake};

/// A mistake, and the records that show it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding {
    pub(crate) mistake: Mistake,
    pub(crate) confidence: Confidence,
    /// The number of the record that shows it, from 1, and its time in microseconds.
    pub(crate) record: u64,
    pub(crate) time: f64,
    /// The connection or the listener. Empty if it is the server's.
    pub(crate) group: String,
    /// What the trace shows, as a sentence without its full stop.
    pub(crate) because: String,
    /// The first few records that show it too.
    pub(crate) others: Vec<u64>,
    /// How often it was seen.
    pub(crate) times: u64,
    scope: Scope,
}

/// Of which servers something is a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// Of all.
    All,
    /// Of those that are no proxies. A proxy stops reading from one connection while another is blocked.
    Ends,
    /// Of those that echo. Others write what they have not read.
    Echoes,
}

/// The most records that are named beside the first.
const MOST_OTHERS: usize = 4;

impl Finding {
    pub(super) fn sure(mistake: Mistake, at: Moment, group: &str, because: String) -> Self {
        Self::new(mistake, Confidence::Sure, at, group, because)
    }

    pub(super) fn likely(mistake: Mistake, at: Moment, group: &str, because: String) -> Self {
        Self::new(mistake, Confidence::Likely, at, group, because)
    }

    fn new(
        mistake: Mistake,
        confidence: Confidence,
        at: Moment,
        group: &str,
        because: String,
    ) -> Self {
        let (record, time) = (at.number, at.time);
        let others = Vec::new();
        Self {
            mistake,
            confidence,
            record,
            time,
            group: group.into(),
            because,
            others,
            times: 1,
            scope: Scope::All,
        }
    }

    /// Whether it names this record already.
    fn is_at(&self, record: u64) -> bool {
        self.record == record || self.others.contains(&record)
    }

    /// A mistake of servers that echo.
    pub(super) fn of_echo(self) -> Self {
        Self { scope: Scope::Echoes, ..self }
    }

    /// A mistake of servers that are no proxies.
    pub(super) fn of_end(self) -> Self {
        Self { scope: Scope::Ends, ..self }
    }
}

/// All findings, one for each mistake.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    /// Adds a finding. Of several with the same mistake, the first one stays, or the first that is sure.
    pub(super) fn add(&mut self, new: Finding) {
        let Some(old) = self.0.iter_mut().find(|old| old.mistake == new.mistake) else {
            return self.0.push(new);
        };
        old.times += 1;
        if old.confidence == Confidence::Likely && new.confidence == Confidence::Sure {
            let others =
                std::iter::once(old.record).chain(old.others.drain(..)).take(MOST_OTHERS).collect();
            *old = Finding { others, times: old.times, scope: old.scope.min(new.scope), ..new };
        } else if old.others.len() < MOST_OTHERS && !old.is_at(new.record) {
            old.others.push(new.record);
        }
    }

    /// The findings that count for a server of this scope, in the order of their records.
    pub(super) fn finish(self, scope: Scope) -> Vec<Finding> {
        let mut found: Vec<_> =
            self.0.into_iter().filter(|finding| finding.scope <= scope).collect();
        found.sort_by_key(|finding| finding.record);
        found
    }
}
