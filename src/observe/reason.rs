//! Reasons, and counts of events by reason.

use std::fmt;
use std::marker::PhantomData;

use crate::text::format::count;

/// The most reasons of one kind.
const MAX_REASONS: usize = 16;

/// One of a fixed set of reasons.
pub trait Reason: Copy + 'static {
    /// All reasons of this kind, in the order of the type.
    const ALL: &'static [Self];

    /// Its place among [all](Self::ALL).
    fn index(self) -> usize;

    /// Its name in metrics, in snake case. Names are stable: dashboards use them.
    fn label(self) -> &'static str;
}

/// Declares an enum of reasons with their labels.
macro_rules! reasons {
    ($(#[$docs:meta])* $name:ident { $($(#[$reason_docs:meta])* $reason:ident = $label:literal,)* }) => {
        $(#[$docs])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$reason_docs])* $reason,)*
        }

        impl Reason for $name {
            const ALL: &'static [Self] = &[$(Self::$reason),*];

            fn index(self) -> usize {
                self as usize
            }

            fn label(self) -> &'static str {
                match self {
                    $(Self::$reason => $label,)*
                }
            }
        }
    };
}
pub(crate) use reasons;

/// Counts events by reason.
#[derive(Clone, Copy)]
pub struct ByReason<R> {
    counts: [u64; MAX_REASONS],
    reasons: PhantomData<R>,
}

impl<R: Reason> ByReason<R> {
    const NONE: Self = {
        assert!(R::ALL.len() <= MAX_REASONS);
        Self { counts: [0; MAX_REASONS], reasons: PhantomData }
    };

    /// Counts one event more.
    pub fn add(&mut self, reason: R) {
        self.counts[reason.index()] += 1;
    }

    /// The events with this reason.
    pub fn get(&self, reason: R) -> u64 {
        self.counts[reason.index()]
    }

    /// The events with any reason.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Each reason, with its events.
    pub fn iter(&self) -> impl Iterator<Item = (R, u64)> {
        R::ALL.iter().copied().zip(self.counts)
    }
}

impl<R: Reason> Default for ByReason<R> {
    fn default() -> Self {
        Self::NONE
    }
}

impl<R: Reason> PartialEq for ByReason<R> {
    fn eq(&self, other: &Self) -> bool {
        self.counts == other.counts
    }
}

impl<R: Reason> Eq for ByReason<R> {}

/// Shows the reasons that occurred.
impl<R: Reason> fmt::Debug for ByReason<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let occurred = self.iter().filter(|(_, count)| *count > 0);
        f.debug_map().entries(occurred.map(|(reason, count)| (reason.label(), count))).finish()
    }
}

/// The reasons that occurred, in brackets.
pub(super) struct Reasons<'a, R>(pub(super) &'a ByReason<R>);

impl<R: Reason> fmt::Display for Reasons<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = " (";
        for (reason, n) in self.0.iter().filter(|(_, n)| *n > 0) {
            write!(f, "{before}{} {}", count(n), reason.label())?;
            before = ", ";
        }
        if before == " (" { Ok(()) } else { f.write_str(")") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{CloseReason, Refusal};

    fn is_complete<R: Reason + PartialEq + fmt::Debug>() {
        let mut counts = ByReason::<R>::default();
        for (i, reason) in R::ALL.iter().enumerate() {
            assert_eq!(reason.index(), i);
            (0..=i).for_each(|_| counts.add(*reason));
        }
        for (i, (reason, count)) in counts.iter().enumerate() {
            assert_eq!((reason, count, counts.get(reason)), (R::ALL[i], i as u64 + 1, count));
        }
        let n = R::ALL.len() as u64;
        assert_eq!(counts.total(), n * (n + 1) / 2);
    }

    #[test]
    fn each_reason_is_counted_apart() {
        is_complete::<Refusal>();
        is_complete::<CloseReason>();
    }

    #[test]
    fn labels_are_distinct_and_in_snake_case() {
        let labels = Refusal::ALL.iter().map(|reason| reason.label());
        let mut labels: Vec<_> = labels.collect();
        for label in &labels {
            assert!(label.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{label}");
        }
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Refusal::ALL.len());
    }

    #[test]
    fn only_reasons_that_occurred_are_shown() {
        let mut counts = ByReason::default();
        counts.add(Refusal::NoMemory);
        assert_eq!(format!("{counts:?}"), r#"{"no_memory": 1}"#);
    }
}
