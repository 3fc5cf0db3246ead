//! Tries the cases, one after the other, and finds out after each whether the server still answers.

use std::io;
use std::iter;
use std::time::{Duration, Instant};

use super::bench::Bench;
use super::case::{Case, Finding, Need, Severity};
use super::cases::datagrams;
use super::diagnosis::{Diagnosis, diagnose};
use super::problem::{Problem, Symptom};
use super::report::{CaseReport, Verdict};
use crate::mistake::Confidence;
use crate::net::Endpoint;

/// The longest time that all cases may take together.
const BUDGET: Duration = Duration::from_secs(40);
/// The longest time for one of them.
const CASE_LIMIT: Duration = Duration::from_secs(10);
/// However often a server was silent, it is given this long.
const LEAST_PATIENCE: Duration = Duration::from_millis(400);

/// How long a process may take to end after its connections are closed.
const DEATH_PATIENCE: Duration = Duration::from_millis(100);

/// Cases that others stand on: what begins with the first needs the second to be passed.
const PREREQUISITES: &[(&str, &str)] = &[
    ("bytes/1m", "bytes/buffer-sizes"),
    ("many/churn", "many/burst"),
    ("many/mixed", "many/burst"),
    ("end/", "many/burst"),
    ("pressure/", "many/burst"),
    ("hostile/", "many/burst"),
    ("process/", "many/burst"),
    ("bytes/16m", "bytes/1m"),
    ("many/at-once", "many/second"),
    ("many/burst", "many/second"),
    ("many/mixed", "many/at-once"),
    ("end/half-close-64k", "end/closes"),
    ("end/half-close-8m", "end/half-close-64k"),
    ("end/with-data", "end/closes"),
    ("end/empty", "end/closes"),
    ("pressure/", "bytes/1m"),
    ("pressure/again", "pressure/read-late"),
    ("pressure/read-slowly", "pressure/read-late"),
    ("pressure/others", "many/second"),
    ("hostile/", "many/second"),
    ("process/idle-blocked", "bytes/1m"),
    ("process/out-of-descriptors", "many/second"),
];

/// The first and the last case: whether there is an echo server at all, and still.
const SANITY: [&str; 2] = ["sanity/first", "sanity/last"];

/// What the random bytes of one case follow from. Not 0.
fn seed_of(seed: u64, id: &str) -> u64 {
    // FNV-1a, so that it is the same number in each version.
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    id.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, mix).max(1)
}

/// A message that every echo server answers, even one that waits for a line end.
const HELLO: &[u8] = b"resound\n";

fn sanity(id: &'static str, expectation: &'static str) -> Case {
    Case {
        id,
        level: 1,
        severity: Severity::Rfc862,
        expectation,
        rationale: "Nothing else can be tried on a server that does not answer.",
        needs: Need::Nothing,
        run: hello,
    }
}

fn hello(bench: &mut Bench<'_>) -> Result<Finding, Problem> {
    if let Endpoint::Udp(_) = bench.server {
        return datagrams::hello(bench);
    }
    let peer = bench.connect()?;
    bench.exchange(peer, HELLO)?;
    Ok(Finding::Fine)
}

/// What becomes of cases if there is no server to try them on.
pub(super) fn not_started(
    cases: impl Iterator<Item = &'static Case>,
    error: &io::Error,
) -> Vec<CaseReport> {
    let problem = Problem::other(error.to_string());
    let first = CaseReport::new(&first(), Err(problem), None, Duration::ZERO);
    let others = cases.map(|case| CaseReport::left_open(case, format!("{} failed", SANITY[0])));
    iter::once(first).chain(others).collect()
}

fn first() -> Case {
    sanity(SANITY[0], "The server can be connected to, and sends a line back.")
}

/// Tries cases on one server.
pub(super) struct Runner<'a, 'b> {
    bench: &'a mut Bench<'b>,
    /// How long a server may be silent at first.
    patience: Duration,
    began: Instant,
    seed: u64,
    reports: Vec<CaseReport>,
    /// How often the server was silent for the whole patience.
    silences: u32,
    /// Why no more cases are tried.
    is_gone: Option<&'static str>,
}

impl<'a, 'b> Runner<'a, 'b> {
    /// Of a check that began then: a server that is slow to start leaves less time to the cases.
    pub(super) fn new(bench: &'a mut Bench<'b>, began: Instant) -> Self {
        let (patience, seed) = (bench.patience, bench.seed);
        Self { bench, patience, began, seed, reports: Vec::new(), silences: 0, is_gone: None }
    }

    /// Tries these cases, with a check of the server's sanity before and after them. Calls `progress` before each.
    pub(super) fn run(
        mut self,
        cases: &[&'static Case],
        mut progress: impl FnMut(&'static str, usize, usize),
    ) -> Vec<CaseReport> {
        let last = SANITY[1];
        self.try_case(&first());
        if self.reports[0].verdict != Verdict::Pass {
            self.is_gone = Some("sanity/first failed");
        }
        for (n, case) in cases.iter().enumerate() {
            progress(case.id, n + 1, cases.len());
            match (self.end(), self.obstacle(case)) {
                (Some(why), _) => self.reports.push(CaseReport::left_open(case, why.into())),
                (None, Some(why)) => self.reports.push(CaseReport::not_run(case, why)),
                (None, None) => self.try_case(case),
            }
        }
        match self.is_gone {
            Some(why) => self.reports.push(CaseReport::not_run(
                &sanity(last, "The server still sends a line back."),
                why.into(),
            )),
            None => self.try_case(&sanity(last, "The server still sends a line back.")),
        }
        self.reports
    }

    /// Why no case can be tried any more, if that is so.
    fn end(&self) -> Option<&'static str> {
        match self.is_gone {
            Some(why) => Some(why),
            None if self.bench.is_interrupted => Some("interrupted"),
            None if self.began.elapsed() > BUDGET => {
                Some("the server has taken all the time that there is")
            }
            None => None,
        }
    }

    /// Why a case cannot be tried, if something stands in its way.
    fn obstacle(&mut self, case: &Case) -> Option<String> {
        match case.needs {
            Need::Process if self.bench.process().is_none() => {
                return Some("it needs the server's process: give --pid or a command".into());
            }
            Need::Command if self.bench.started.is_none() => {
                return Some("it needs a command that starts the server".into());
            }
            _ => {}
        }
        let needed = PREREQUISITES.iter().filter(|(id, _)| case.id.starts_with(id));
        needed.filter_map(|(_, on)| self.reports.iter().find(|report| report.id == *on)).find_map(
            |report| match report.verdict {
                Verdict::Fail => Some(format!("{} failed", report.id)),
                // What stood in its way stands in this one's too.
                Verdict::NotRun => report.actual.clone(),
                Verdict::Pass | Verdict::Inconclusive => None,
            },
        )
    }

    fn try_case(&mut self, case: &Case) {
        let began = Instant::now();
        let left = BUDGET.saturating_sub(self.began.elapsed()).max(LEAST_PATIENCE);
        self.bench.deadline = began + CASE_LIMIT.min(left);
        self.bench.patience = (self.patience / (1 + self.silences)).max(LEAST_PATIENCE);
        self.bench.is_out_of_time = false;
        self.bench.recording.begin_case(case.id, case.expectation, began);
        // The bytes of a case are the same ones if it is tried alone.
        self.bench.seed = seed_of(self.seed, case.id);
        let outcome = (case.run)(self.bench);
        // Without what the diagnosis tries.
        let records = self.bench.recording.end_case(Instant::now());
        let outcome = self.with_death(outcome).or_else(|problem| match problem.symptom {
            Symptom::Silent { .. } | Symptom::NotEnded if self.bench.is_out_of_time => {
                Ok(Finding::Inconclusive("the server was too slow for this case".into()))
            }
            _ => Err(problem),
        });
        if outcome.as_ref().is_err_and(|problem| matches!(problem.symptom, Symptom::Silent { .. }))
        {
            self.silences += 1;
        }
        let diagnosis = match &outcome {
            Err(problem) if !self.bench.is_interrupted => {
                let diagnosis = diagnose(self.bench, case, problem);
                Some(self.as_before(case, diagnosis))
            }
            _ => None,
        };
        self.bench.clear();
        let mut report = CaseReport::new(case, outcome, diagnosis, began.elapsed());
        if !SANITY.contains(&case.id) {
            self.expect_canary(case, &mut report);
        }
        if report.verdict == Verdict::Fail {
            report.records = records;
        }
        self.bench.cases_tried = self.reports.len();
        self.reports.push(report);
    }

    /// If a diagnosis is not sure, and an earlier one was, both may have the same cause. A server that spins for one
    /// reason does so in other cases too.
    fn as_before(&self, case: &Case, diagnosis: Diagnosis) -> Diagnosis {
        let mut earlier =
            self.reports.iter().filter_map(|report| Some((report, report.diagnosis.as_ref()?)));
        let cause = match diagnosis.mistake {
            None => earlier.rfind(|(_, other)| other.confidence == Confidence::Sure),
            Some(_) if case.id.starts_with("process/") => {
                earlier.find(|(_, other)| other.mistake.is_some_and(|mistake| mistake.spins()))
            }
            Some(_) => None,
        };
        match cause {
            Some((report, other)) if diagnosis.confidence != Confidence::Sure => {
                other.again(report.id)
            }
            _ => diagnosis,
        }
    }

    /// If the server has died, that is what the case has found.
    fn with_death(&mut self, outcome: Result<Finding, Problem>) -> Result<Finding, Problem> {
        if let Err(Problem { symptom: Symptom::Ended { .. } | Symptom::NotConnected(_), .. }) =
            outcome
        {
            // A process closes its connections while it ends.
            self.bench.await_death(DEATH_PATIENCE);
        }
        match (self.bench.death(), outcome) {
            (Some(how), Err(problem)) => Err(Problem { symptom: Symptom::Died(how), ..problem }),
            (Some(how), Ok(_)) => Err(Problem::of(Symptom::Died(how))),
            (None, outcome) => outcome,
        }
    }

    /// Whether the server still answers. If it does not, that is charged to the case.
    fn expect_canary(&mut self, case: &Case, report: &mut CaseReport) {
        self.bench.deadline = Instant::now() + CASE_LIMIT;
        let outcome = hello(self.bench);
        let Err(problem) = self.with_death(outcome) else {
            return self.bench.clear();
        };
        if self.bench.is_interrupted {
            return self.bench.clear();
        }
        if report.verdict != Verdict::Fail {
            let problem = match problem.symptom {
                Symptom::Died(_) => problem,
                symptom => {
                    Problem::other(format!("after this case, the server was deaf: {symptom}"))
                }
            };
            let diagnosis = diagnose(self.bench, case, &problem);
            *report = CaseReport::new(case, Err(problem), Some(diagnosis), report.took);
        }
        self.bench.clear();
        let left = BUDGET.saturating_sub(self.began.elapsed());
        if self.bench.started.as_ref().is_some_and(|started| started.took > left) {
            self.is_gone = Some("there is no time to start the server again");
        } else if self.bench.started.is_none() || self.bench.restart().is_err() {
            self.is_gone = Some("the server no longer answers");
        }
    }
}
