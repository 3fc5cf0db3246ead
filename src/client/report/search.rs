//! A search for the highest rate: what was tried, and what came of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::client::load;
use crate::client::load::Verdict;

/// A search for the highest rate that keeps to an objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Search {
    pub objective_percentile: f64,
    pub objective_nanoseconds: u64,
    /// In the order in which they were tried.
    pub trials: Vec<Trial>,
    /// None where no rate was kept.
    pub highest_rate_per_second: Option<f64>,
    /// None where none was missed.
    pub missed_rate_per_second: Option<f64>,
    pub was_interrupted: bool,
    pub result: String,
}

/// A rate that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    pub rate_per_second: f64,
    pub was_kept: bool,
    /// None where something went wrong.
    pub percentile_nanoseconds: Option<u64>,
    pub unsent_messages: u64,
    pub finding: String,
}

impl From<&load::Search> for Search {
    fn from(search: &load::Search) -> Self {
        Self {
            objective_percentile: search.objective.percentile,
            objective_nanoseconds: nanoseconds(search.objective.limit),
            trials: search.trials.iter().map(Into::into).collect(),
            highest_rate_per_second: search.highest().map(|trial| trial.rate),
            missed_rate_per_second: search.missed().map(|trial| trial.rate),
            was_interrupted: search.is_interrupted,
            result: search.to_string(),
        }
    }
}

impl From<&load::Trial> for Trial {
    fn from(trial: &load::Trial) -> Self {
        let unsent_messages = match trial.verdict {
            Verdict::Unsent(_, n) => n,
            Verdict::Kept(_) | Verdict::Slow(_) | Verdict::Failed(_) => 0,
        };
        Self {
            rate_per_second: trial.rate,
            was_kept: trial.is_kept(),
            percentile_nanoseconds: trial.found().map(nanoseconds),
            unsent_messages,
            finding: trial.finding(),
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos() as u64
}
