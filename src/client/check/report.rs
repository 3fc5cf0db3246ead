//! What a check found, case by case.

use std::time::Duration;

use super::case::{Case, Finding, Severity};
use super::diagnosis::Diagnosis;
use super::problem::{Evidence, Problem};
use crate::trace::record::Record;

/// What a check found.
#[derive(Debug)]
pub(crate) struct Report {
    /// The server, as the user named it.
    pub(crate) server: String,
    pub(crate) seed: u64,
    pub(crate) took: Duration,
    pub(crate) cases: Vec<CaseReport>,
    pub(crate) is_interrupted: bool,
    /// The lowest level of which the user left a case out, if one was left out.
    pub(super) first_left_out: Option<u8>,
}

/// The verdict on a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Fail,
    /// The case could not find out.
    Inconclusive,
    /// The case was not tried.
    NotRun,
}

impl Verdict {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
            Self::NotRun => "not_run",
        }
    }
}

/// What became of one case.
#[derive(Clone, Debug)]
pub(crate) struct CaseReport {
    pub(crate) id: &'static str,
    pub(crate) level: u8,
    pub(super) severity: Severity,
    pub(super) expectation: &'static str,
    pub(super) rationale: &'static str,
    pub(crate) verdict: Verdict,
    pub(super) took: Duration,
    /// What happened instead, why it is not known, or what is worth knowing.
    pub(super) actual: Option<String>,
    pub(super) evidence: Evidence,
    pub(super) diagnosis: Option<Diagnosis>,
    /// Whether it was not tried although it could have been: there was no time for it, or no server any more.
    pub(super) is_open: bool,
    /// What its connections did, if it failed and that was wanted.
    pub(super) records: Vec<Record>,
}

impl CaseReport {
    pub(super) fn new(
        case: &Case,
        outcome: Result<Finding, Problem>,
        diagnosis: Option<Diagnosis>,
        took: Duration,
    ) -> Self {
        let mut report = Self { took, diagnosis, ..Self::blank(case) };
        (report.verdict, report.actual) = match outcome {
            Ok(Finding::Fine) => (Verdict::Pass, None),
            Ok(Finding::Note(note)) => (Verdict::Pass, Some(note)),
            Ok(Finding::Inconclusive(why)) => (Verdict::Inconclusive, Some(why)),
            Err(problem) => {
                report.evidence = *problem.evidence;
                (Verdict::Fail, Some(problem.symptom.to_string()))
            }
        };
        report
    }

    /// A case that was not tried, for this reason.
    pub(super) fn not_run(case: &Case, why: String) -> Self {
        Self { actual: Some(why), ..Self::blank(case) }
    }

    /// A case that was not tried although it could have been, for this reason.
    pub(super) fn left_open(case: &Case, why: String) -> Self {
        Self { is_open: true, ..Self::not_run(case, why) }
    }

    /// Whether the server is not known to do what the case wants, and could be.
    fn is_missing(&self) -> bool {
        let counts = self.severity != Severity::Info;
        counts && (self.verdict == Verdict::Fail || self.is_open)
    }

    fn blank(case: &Case) -> Self {
        Self {
            id: case.id,
            level: case.level,
            severity: case.severity,
            expectation: case.expectation,
            rationale: case.rationale,
            verdict: Verdict::NotRun,
            took: Duration::ZERO,
            actual: None,
            evidence: Evidence::default(),
            diagnosis: None,
            is_open: false,
            records: Vec::new(),
        }
    }
}

impl Report {
    /// How many cases have this verdict.
    pub(crate) fn count(&self, verdict: Verdict) -> usize {
        self.cases.iter().filter(|case| case.verdict == verdict).count()
    }

    /// The highest level of which no case failed, was left open or was left out, and none of a lower level.
    pub(crate) fn level(&self) -> u8 {
        let missing = self.cases.iter().filter(|case| case.is_missing()).map(|case| case.level);
        missing.chain(self.first_left_out).map(|level| level - 1).min().unwrap_or(super::LEVELS)
    }

    /// Whether there was no server to try anything on.
    pub(crate) fn is_unstarted(&self) -> bool {
        self.took.is_zero()
    }

    /// Whether the user tried cases that tell nothing of a level.
    pub(super) fn is_selection(&self) -> bool {
        self.first_left_out.is_some_and(|level| level == self.level() + 1)
    }

    /// The first case of the lowest level that failed or was left open.
    pub(crate) fn next(&self) -> Option<&CaseReport> {
        let missing = self.cases.iter().filter(|case| case.is_missing());
        missing.min_by_key(|case| case.level)
    }
}
