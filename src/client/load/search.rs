//! The highest rate at which a server keeps to an objective, by trial.

use std::fmt;
use std::io;

use super::{Objective, Options, Outcome, Watch, run};

/// The search ends when what was kept and what was missed are this close.
const CLOSE: f64 = 1.03;

/// And after so many trials in any case.
const MAX_TRIALS: usize = 12;

/// Where the objective is missed even at this part of what a closed loop reaches, it is out of reach.
const LOWEST: f64 = 1.0 / 1000.0;

/// A run at a rate, on the way to the highest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trial {
    /// What was tried, in messages a second.
    pub rate: f64,
    /// What the percentile of the objective was.
    pub found: std::time::Duration,
    /// Whether that kept to the objective.
    pub is_kept: bool,
}

/// What a search came to.
#[derive(Debug)]
pub struct Found {
    /// The run at the highest rate that kept to the objective; where none did, the last.
    pub outcome: Outcome,
    /// Its rate, in messages a second; `None` where no rate kept to the objective.
    pub rate: Option<f64>,
    /// The lowest rate that did not.
    pub missed: Option<f64>,
}

/// Runs again and again, each time as long as the options say, between the rates that were kept and those
/// that were not. The first run is a closed loop, which shows where to begin.
///
/// # Errors
///
/// As [`run`].
pub fn search(
    options: &Options,
    objective: Objective,
    watch: &mut impl Watch,
    mut tell: impl FnMut(&Trial),
) -> io::Result<Found> {
    let most = run(&Options { rate: None, ..options.clone() }, watch)?;
    if !most.is_fine() || most.end != super::End::Complete {
        return Ok(Found { outcome: most, rate: None, missed: None });
    }
    let mut bracket = Bracket::new(most.rate());
    let mut found = Found { outcome: most, rate: None, missed: None };
    for _ in 0..MAX_TRIALS {
        let Some(rate) = bracket.next() else { break };
        let outcome = run(&Options { rate: Some(rate), ..options.clone() }, watch)?;
        let is_kept = objective.is_kept_by(&outcome);
        tell(&Trial { rate, found: outcome.response.percentile(objective.percentile), is_kept });
        bracket.tried(rate, is_kept);
        let is_over = outcome.end != super::End::Complete;
        if is_kept || found.rate.is_none() || is_over {
            found.outcome = outcome;
        }
        if is_over {
            return Ok(Found { rate: None, ..found });
        }
        (found.rate, found.missed) = (bracket.kept, bracket.missed);
    }
    Ok(found)
}

/// What is known of the highest rate.
#[derive(Debug)]
struct Bracket {
    /// A guess of the most that is possible.
    most: f64,
    kept: Option<f64>,
    missed: Option<f64>,
}

impl Bracket {
    fn new(most: f64) -> Self {
        Self { most: most.max(1.0), kept: None, missed: None }
    }

    fn tried(&mut self, rate: f64, is_kept: bool) {
        if is_kept {
            self.kept = Some(self.kept.map_or(rate, |kept| kept.max(rate)));
        } else {
            self.missed = Some(self.missed.map_or(rate, |missed| missed.min(rate)));
        }
    }

    /// The rate to try next, if it is worth it.
    fn next(&self) -> Option<f64> {
        match (self.kept, self.missed) {
            (None, None) => Some(self.most / 2.0),
            (Some(kept), None) => Some(kept * 1.5),
            (None, Some(missed)) => Some(missed / 4.0).filter(|rate| *rate >= self.most * LOWEST),
            (Some(kept), Some(missed)) => (missed / kept > CLOSE).then_some((kept * missed).sqrt()),
        }
        .map(|rate| rate.max(1.0))
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rate, found, is_kept } = self;
        let verdict = if *is_kept { "kept" } else { "missed" };
        write!(f, "tried {rate:>10.0} messages/s: {found:>8.1?}, {verdict}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches on a server that keeps to the objective up to that rate.
    fn search_for(limit: f64, most: f64) -> Bracket {
        let mut bracket = Bracket::new(most);
        for _ in 0..MAX_TRIALS {
            let Some(rate) = bracket.next() else { break };
            bracket.tried(rate, rate <= limit);
        }
        bracket
    }

    #[test]
    fn the_highest_rate_is_found_wherever_it_is() {
        for limit in [3_000.0, 20_000.0, 51_000.0, 99_000.0, 170_000.0] {
            let bracket = search_for(limit, 100_000.0);
            let (kept, missed) = (bracket.kept.unwrap(), bracket.missed.unwrap());
            assert!(kept <= limit && limit < missed, "{limit}: {bracket:?}");
            assert!(missed / kept < 1.1, "{limit}: {bracket:?}");
        }
    }

    #[test]
    fn what_is_out_of_reach_is_given_up() {
        let bracket = search_for(0.5, 100_000.0);
        assert_eq!((bracket.kept, bracket.next()), (None, None));
    }
}
