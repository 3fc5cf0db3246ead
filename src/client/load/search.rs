//! A search, by trial runs, for the highest rate that keeps to an objective.

use std::fmt;
use std::time::Duration;

use super::{End, Objective, Options, Outcome, Prepared, Reporter, Verdict};
use crate::signals::is_stop;
use crate::text::format::{self, counted, elapsed};

/// The search ends when the rates that were kept and missed are this close.
const CLOSE_RATIO: f64 = 1.03;

/// The search ends after this number of trials in any case.
const MAX_TRIALS: usize = 12;

/// If even this part of a closed loop's rate misses the objective, no rate is tried below it.
const LOWEST_PART: f64 = 1.0 / 1000.0;

/// A run at a rate, on the way to the highest.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// The objective of the search.
    pub objective: Objective,
    /// The rate that was tried, in messages a second.
    pub rate: f64,
    /// Whether the rate kept to the objective.
    pub verdict: Verdict,
    /// If the rate missed the objective: how this client itself contributed to that.
    pub client_note: Option<String>,
}

/// A search for the highest rate, and how far it came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Search {
    /// The objective.
    pub objective: Objective,
    /// The rates that were tried, one after the other.
    pub trials: Vec<Trial>,
    /// Whether the user ended it.
    pub is_interrupted: bool,
}

/// A finished search, with the run that shows its result.
#[derive(Debug)]
pub(crate) struct Found {
    /// The run at the highest rate that kept to the objective, or the last run if none did.
    pub outcome: Outcome,
    /// The trials that led to it.
    pub search: Search,
}

impl Trial {
    fn of(rate: f64, objective: Objective, outcome: &Outcome) -> Self {
        let verdict = objective.judge(outcome);
        let client_note =
            outcome.client_limit().map(|limit| limit.to_string()).or(outcome.warning());
        let client_note = client_note.filter(|_| !matches!(verdict, Verdict::Kept(_)));
        Self { objective, rate, verdict, client_note }
    }

    /// Whether the rate kept to the objective.
    pub fn is_kept(&self) -> bool {
        matches!(self.verdict, Verdict::Kept(_))
    }

    /// The time at the objective's percentile, if the trial did not fail.
    pub fn found(&self) -> Option<Duration> {
        match self.verdict {
            Verdict::Kept(found) | Verdict::Slow(found) | Verdict::Unsent(found, _) => Some(found),
            Verdict::Failed(_) => None,
        }
    }

    /// The finding, as a line.
    pub fn finding(&self) -> String {
        let figure = self.found().map_or(String::new(), |found| {
            format!("p{} {}", self.objective.percentile, elapsed(found))
        });
        let mut finding = match &self.verdict {
            Verdict::Kept(_) | Verdict::Slow(_) => figure,
            Verdict::Unsent(_, n) => {
                let messages = counted(*n, "message", "messages");
                format!("{figure}, but {messages} could not be sent in time")
            }
            Verdict::Failed(why) => why.clone(),
        };
        if let Some(client_note) = &self.client_note {
            finding += &format!("; {client_note}");
        }
        finding
    }
}

impl Search {
    /// The highest rate that kept to the objective.
    pub fn highest(&self) -> Option<&Trial> {
        self.trials.iter().filter(|trial| trial.is_kept()).max_by(|a, b| a.rate.total_cmp(&b.rate))
    }

    /// The lowest rate that missed the objective.
    pub fn missed(&self) -> Option<&Trial> {
        self.trials.iter().filter(|trial| !trial.is_kept()).min_by(|a, b| a.rate.total_cmp(&b.rate))
    }
}

/// Searches for the highest rate that keeps to the objective, in runs of the length that the options give.
///
/// The first run is a closed loop, which shows where to begin. Each further run tries a rate between the highest
/// that was kept and the lowest that was missed. A rate at which a run fails was missed. Wrong bytes end the
/// search.
pub(crate) fn search(
    options: &Options,
    objective: Objective,
    reporter: &mut impl Reporter,
) -> Found {
    let nothing = Search { objective, trials: Vec::new(), is_interrupted: false };
    match Prepared::new(options) {
        Ok(mut prepared) => search_with(options, nothing, &mut prepared, reporter),
        Err(failure) => Found { outcome: Outcome::failed(failure), search: nothing },
    }
}

fn search_with(
    options: &Options,
    search: Search,
    prepared: &mut Prepared,
    reporter: &mut impl Reporter,
) -> Found {
    let most = prepared.run(&Options { rate: None, ..options.clone() }, reporter);
    let mut bracket = Bracket::new(most.rate());
    let is_interrupted = most.end == End::Interrupted;
    let is_over = is_interrupted || most.has_wrong_bytes || most.messages_in_time == 0;
    let mut found = Found { outcome: most, search: Search { is_interrupted, ..search } };
    while !is_over && found.search.trials.len() < MAX_TRIALS {
        let Some(rate) = bracket.next() else { break };
        // A signal between two runs must not be lost.
        let outcome = match prepared.signals.pending().any(is_stop) {
            true => Outcome::interrupted(),
            false => prepared.run(&Options { rate: Some(rate), ..options.clone() }, reporter),
        };
        if outcome.end == End::Interrupted {
            found.interrupt(outcome);
            break;
        }
        let trial = Trial::of(rate, found.search.objective, &outcome);
        reporter.trial(&trial);
        bracket.tried(rate, trial.is_kept());
        if found.add(trial, outcome) {
            break;
        }
    }
    found
}

impl Found {
    /// The user stopped the search during this run.
    fn interrupt(&mut self, outcome: Outcome) {
        self.search.is_interrupted = true;
        if self.search.highest().is_none() && outcome.messages > 0 {
            self.outcome = outcome;
        }
    }

    /// Adds a trial. Returns whether its bytes were wrong, which ends the search.
    fn add(&mut self, trial: Trial, outcome: Outcome) -> bool {
        let has_wrong_bytes = outcome.has_wrong_bytes;
        if trial.is_kept() || has_wrong_bytes || self.search.highest().is_none() {
            self.outcome = outcome;
        }
        self.search.trials.push(trial);
        has_wrong_bytes
    }
}

/// The bounds of the highest rate that are known so far.
#[derive(Debug)]
struct Bracket {
    /// A guess of the highest possible rate.
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

    /// The rate to try next, unless the bounds are good enough.
    fn next(&self) -> Option<f64> {
        match (self.kept, self.missed) {
            (None, None) => Some(self.most / 2.0),
            (Some(kept), None) => Some(kept * 1.5),
            (None, Some(missed)) => {
                Some(missed / 4.0).filter(|rate| *rate >= self.most * LOWEST_PART)
            }
            (Some(kept), Some(missed)) => {
                (missed / kept > CLOSE_RATIO).then_some((kept * missed).sqrt())
            }
        }
        .map(|rate| rate.max(1.0))
        .filter(|rate| self.missed.is_none_or(|missed| *rate < missed))
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_kept() { "kept" } else { "missed" };
        write!(f, "tried {}/s: {}: {verdict}", format::rate(self.rate), self.finding())
    }
}

/// The result so far.
impl fmt::Display for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { objective, is_interrupted, .. } = self;
        let Some(highest) = self.highest() else {
            let interrupted = if *is_interrupted { "interrupted; " } else { "" };
            return if self.trials.is_empty() {
                write!(f, "{interrupted}no rate was tried")
            } else {
                write!(f, "{interrupted}no rate kept to {objective}")
            };
        };
        let rate = format::rate(highest.rate);
        if *is_interrupted {
            return write!(f, "interrupted; highest so far: {rate} messages/s keep to {objective}");
        }
        write!(f, "highest rate that keeps to {objective}: {rate} messages/s; ")?;
        match self.missed() {
            Some(missed) => {
                write!(f, "{}/s missed it: {}", format::rate(missed.rate), missed.finding())
            }
            None => f.write_str("none that was tried missed it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches on a server that keeps to the objective up to the rate `limit`.
    fn search_for(limit: f64, most: f64) -> Bracket {
        let mut bracket = Bracket::new(most);
        for _ in 0..MAX_TRIALS {
            let Some(rate) = bracket.next() else { break };
            bracket.tried(rate, rate <= limit);
        }
        bracket
    }

    #[test]
    fn the_search_finds_the_highest_rate() {
        for limit in [3_000.0, 20_000.0, 51_000.0, 99_000.0, 170_000.0] {
            let bracket = search_for(limit, 100_000.0);
            let (kept, missed) = (bracket.kept.unwrap(), bracket.missed.unwrap());
            assert!(kept <= limit && limit < missed, "{limit}: {bracket:?}");
            assert!(missed / kept < 1.1, "{limit}: {bracket:?}");
        }
    }

    /// Failed when one message a second was tried again and again.
    #[test]
    fn a_rate_that_was_missed_is_not_tried_again() {
        for most in [0.5, 3.0, 100.0, 1e6] {
            let bracket = search_for(0.0, most);
            assert!(bracket.missed.unwrap() >= 1.0 && bracket.next().is_none(), "{bracket:?}");
        }
    }

    fn trial(rate: f64, verdict: Verdict) -> Trial {
        let objective = Objective { percentile: 99.0, limit: Duration::from_millis(5) };
        Trial { objective, rate, verdict, client_note: None }
    }

    #[test]
    fn a_trial_says_why_it_missed() {
        let found = Duration::from_micros(4_900);
        let late = Some("this client was late".to_string());
        for (trial, text) in [
            (trial(900.0, Verdict::Kept(found)), "tried 900/s: p99 4.90 ms: kept"),
            (
                trial(28_771.0, Verdict::Unsent(found, 312)),
                "tried 28,771/s: p99 4.90 ms, but 312 messages could not be sent in time: missed",
            ),
            (
                Trial { client_note: late, ..trial(1e4, Verdict::Slow(2 * found)) },
                "tried 10,000/s: p99 9.80 ms; this client was late: missed",
            ),
            (trial(1e4, Verdict::Failed("no echo".into())), "tried 10,000/s: no echo: missed"),
        ] {
            assert_eq!(trial.to_string(), text);
        }
    }

    #[test]
    fn a_search_states_its_result() {
        let (objective, found) =
            (trial(0.0, Verdict::Slow(Duration::ZERO)).objective, Duration::from_millis(1));
        let (kept, slow) = (Verdict::Kept(found), Verdict::Slow(9 * found));
        let all = [
            trial(100.0, kept.clone()),
            trial(400.0, slow.clone()),
            trial(200.0, kept),
            trial(300.0, slow),
        ];
        let say = |trials: &[Trial], is_interrupted| {
            Search { objective, trials: trials.into(), is_interrupted }.to_string()
        };
        let keeps = "highest rate that keeps to p99 <= 5 ms: ";
        assert_eq!(
            say(&all, false),
            format!("{keeps}200 messages/s; 300/s missed it: p99 9.00 ms")
        );
        let alone = format!("{keeps}100 messages/s; none that was tried missed it");
        assert_eq!(say(&all[..1], false), alone);
        let so_far = "interrupted; highest so far: 100 messages/s keep to p99 <= 5 ms";
        assert_eq!(say(&all[..2], true), so_far);
        assert_eq!(say(&all[1..2], false), "no rate kept to p99 <= 5 ms");
        assert_eq!(say(&[], true), "interrupted; no rate was tried");
    }

    #[test]
    fn a_search_gives_up_far_below_the_rate_of_a_closed_loop() {
        let bracket = search_for(0.5, 100_000.0);
        assert_eq!((bracket.kept, bracket.next()), (None, None));
    }
}
