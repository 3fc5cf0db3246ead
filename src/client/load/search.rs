//! The highest rate at which a server keeps to an objective, by trial.

use std::fmt;
use std::time::Duration;

use signal_hook_mio::v1_0::Signals;

use super::{End, Objective, Options, Outcome, Reporter, Verdict, run_under, watch_signals};
use crate::signals::is_stop;
use crate::text::format::{self, counted, time};

/// The search ends when what was kept and what was missed are this close.
const CLOSE: f64 = 1.03;

/// And after so many trials in any case.
const MAX_TRIALS: usize = 12;

/// Where the objective is missed even at this part of what a closed loop reaches, it is out of reach.
const LOWEST: f64 = 1.0 / 1000.0;

/// A run at a rate, on the way to the highest.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// What it was to keep to.
    pub objective: Objective,
    /// What was tried, in messages a second.
    pub rate: f64,
    /// Whether that kept to the objective.
    pub verdict: Verdict,
    /// What this client itself had to do with it where it did not.
    pub own_part: Option<String>,
}

/// A search for the highest rate, and how far it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// What rates were to keep to.
    pub objective: Objective,
    /// Which were tried, in that order.
    pub trials: Vec<Trial>,
    /// Whether the user ended it.
    pub is_interrupted: bool,
}

/// What a search came to.
#[derive(Debug)]
pub struct Found {
    /// The run at the highest rate that kept to the objective; where none did, the last.
    pub outcome: Outcome,
    /// How it came to that.
    pub search: Search,
}

impl Trial {
    fn of(rate: f64, objective: Objective, outcome: &Outcome) -> Self {
        let verdict = objective.judge(outcome);
        let own_part = outcome.own_limit().map(|limit| limit.to_string()).or(outcome.warning());
        let own_part = own_part.filter(|_| !matches!(verdict, Verdict::Kept(_)));
        Self { objective, rate, verdict, own_part }
    }

    /// Whether it kept to the objective.
    pub fn is_kept(&self) -> bool {
        matches!(self.verdict, Verdict::Kept(_))
    }

    /// What the percentile of the objective was, where there was one.
    pub fn found(&self) -> Option<Duration> {
        match self.verdict {
            Verdict::Kept(found) | Verdict::Slow(found) | Verdict::Unsent(found, _) => Some(found),
            Verdict::Failed(_) => None,
        }
    }

    /// What was found, in words.
    pub fn finding(&self) -> String {
        let figure = self.found().map_or(String::new(), |found| {
            format!("p{} {}", self.objective.percentile, time(found.as_nanos() as u64))
        });
        let mut finding = match &self.verdict {
            Verdict::Kept(_) | Verdict::Slow(_) => figure,
            Verdict::Unsent(_, n) => {
                let messages = counted(*n, "message", "messages");
                format!("{figure}, but {messages} could not be sent in time")
            }
            Verdict::Failed(why) => why.clone(),
        };
        if let Some(own_part) = &self.own_part {
            finding += &format!("; {own_part}");
        }
        finding
    }
}

impl Search {
    /// The highest rate that kept to the objective.
    pub fn highest(&self) -> Option<&Trial> {
        self.trials.iter().filter(|trial| trial.is_kept()).max_by(|a, b| a.rate.total_cmp(&b.rate))
    }

    /// The lowest rate that did not.
    pub fn missed(&self) -> Option<&Trial> {
        self.trials.iter().filter(|trial| !trial.is_kept()).min_by(|a, b| a.rate.total_cmp(&b.rate))
    }
}

/// Runs again and again, each time as long as the options say, between the rates that were kept and those
/// that were not. The first run is a closed loop, which shows where to begin. A rate at which something goes
/// wrong was not kept, and the search goes on, unless bytes were wrong.
pub fn search(
    options: &Options,
    objective: Objective,
    reporter: &mut impl Reporter,
    tell: impl FnMut(&Trial),
) -> Found {
    let nothing = Search { objective, trials: Vec::new(), is_interrupted: false };
    match watch_signals() {
        Ok(mut signals) => search_under(options, nothing, &mut signals, reporter, tell),
        Err(cause) => Found { outcome: Outcome::failed(cause), search: nothing },
    }
}

fn search_under(
    options: &Options,
    search: Search,
    signals: &mut Signals,
    reporter: &mut impl Reporter,
    mut tell: impl FnMut(&Trial),
) -> Found {
    let most = run_under(&Options { rate: None, ..options.clone() }, signals, reporter);
    let mut bracket = Bracket::new(most.rate());
    let is_interrupted = most.end == End::Interrupted;
    let is_over = is_interrupted || most.is_wrong || most.messages_in_time == 0;
    let mut found = Found { outcome: most, search: Search { is_interrupted, ..search } };
    while !is_over && found.search.trials.len() < MAX_TRIALS {
        let Some(rate) = bracket.next() else { break };
        // One that comes between two runs must not be lost.
        let outcome = match signals.pending().any(is_stop) {
            true => Outcome::interrupted(),
            false => run_under(&Options { rate: Some(rate), ..options.clone() }, signals, reporter),
        };
        if outcome.end == End::Interrupted {
            found.interrupt(outcome);
            break;
        }
        let trial = Trial::of(rate, found.search.objective, &outcome);
        tell(&trial);
        bracket.tried(rate, trial.is_kept());
        if found.add(trial, outcome) {
            break;
        }
    }
    found
}

impl Found {
    /// The user has asked to stop in the middle of this run.
    fn interrupt(&mut self, outcome: Outcome) {
        self.search.is_interrupted = true;
        if self.search.highest().is_none() && outcome.messages > 0 {
            self.outcome = outcome;
        }
    }

    /// Another rate was tried. Returns whether bytes were wrong.
    fn add(&mut self, trial: Trial, outcome: Outcome) -> bool {
        let is_wrong = outcome.is_wrong;
        if trial.is_kept() || is_wrong || self.search.highest().is_none() {
            self.outcome = outcome;
        }
        self.search.trials.push(trial);
        is_wrong
    }
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
        .filter(|rate| self.missed.is_none_or(|missed| *rate < missed))
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_kept() { "kept" } else { "missed" };
        write!(f, "tried {}/s: {}: {verdict}", format::rate(self.rate), self.finding())
    }
}

/// What it has come to.
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

    /// Failed when a message a second was tried until there were no trials left.
    #[test]
    fn a_rate_that_was_missed_is_not_tried_again() {
        for most in [0.5, 3.0, 100.0, 1e6] {
            let bracket = search_for(0.0, most);
            assert!(bracket.missed.unwrap() >= 1.0 && bracket.next().is_none(), "{bracket:?}");
        }
    }

    fn trial(rate: f64, verdict: Verdict) -> Trial {
        let objective = Objective { percentile: 99.0, limit: Duration::from_millis(5) };
        Trial { objective, rate, verdict, own_part: None }
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
                Trial { own_part: late, ..trial(1e4, Verdict::Slow(2 * found)) },
                "tried 10,000/s: p99 9.80 ms; this client was late: missed",
            ),
            (trial(1e4, Verdict::Failed("no echo".into())), "tried 10,000/s: no echo: missed"),
        ] {
            assert_eq!(trial.to_string(), text);
        }
    }

    #[test]
    fn a_search_says_what_it_has_come_to() {
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
    fn what_is_out_of_reach_is_given_up() {
        let bracket = search_for(0.5, 100_000.0);
        assert_eq!((bracket.kept, bracket.next()), (None, None));
    }
}
