//! A report for people: one line for each case, the failures in full, and the summary last.

use std::fmt;

use super::problem::Difference;
use super::report::{CaseReport, Report, Verdict};
use crate::text::Escaped;
use crate::text::format::{counted, elapsed};

/// The space that an explanation is indented by.
const INDENT: &str = "           ";

/// A report as text.
pub(crate) struct Text<'a> {
    pub(crate) report: &'a Report,
    /// The words that run the case with an id again.
    pub(crate) again: &'a dyn Fn(&str) -> String,
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for case in &self.report.cases {
            self.case(f, case)?;
        }
        writeln!(f)?;
        self.summary(f)
    }
}

impl Text<'_> {
    fn case(&self, f: &mut fmt::Formatter<'_>, case: &CaseReport) -> fmt::Result {
        let mark = match case.verdict {
            Verdict::Pass => "pass",
            Verdict::Fail => "FAIL",
            Verdict::Inconclusive => "unsure",
            Verdict::NotRun => "-",
        };
        write!(f, "{mark:>6}  {:<26}", case.id)?;
        match (case.verdict, &case.actual) {
            (Verdict::Fail, _) => writeln!(f, " {}", case.expectation)?,
            (Verdict::NotRun, Some(why)) => writeln!(f, " not run: {}", Escaped(why))?,
            (_, Some(note)) => writeln!(f, " {}", Escaped(note))?,
            (_, None) => writeln!(f)?,
        }
        if case.verdict == Verdict::Fail { self.failure(f, case) } else { Ok(()) }
    }

    fn failure(&self, f: &mut fmt::Formatter<'_>, case: &CaseReport) -> fmt::Result {
        if let Some(actual) = &case.actual {
            writeln!(f, "{INDENT}But {} ({}).", Escaped(actual), case.severity.name())?;
        }
        if let Some(difference) = &case.evidence.difference {
            write!(f, "{}", Shown(difference))?;
        }
        if let Some(diagnosis) = &case.diagnosis {
            match diagnosis.mistake {
                Some(mistake) => {
                    let (what, how) = (mistake.what, diagnosis.confidence.name());
                    writeln!(f, "{INDENT}It looks as if {what} ({how}: {}).", diagnosis.because)?;
                    let hint = mistake.specimen.map(|name| format!("resound zoo hint {name}; "));
                    let hint = hint.unwrap_or_default();
                    writeln!(f, "{INDENT}See: {hint}docs/guide/src/{}.md", mistake.chapter)?;
                }
                None => writeln!(f, "{INDENT}The check cannot tell which mistake this is.")?,
            }
        }
        for line in &case.evidence.timeline {
            writeln!(f, "{INDENT}{}", Escaped(line))?;
        }
        if let Some(local) = &case.evidence.local {
            writeln!(f, "{INDENT}Our end was {local}.")?;
        }
        writeln!(f, "{INDENT}Again: {}", (self.again)(case.id))?;
        writeln!(f)
    }

    fn summary(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.report;
        let cases = |n: usize| counted(n as u64, "case", "cases");
        let verdicts = [
            (Verdict::Pass, "passed"),
            (Verdict::Fail, "failed"),
            (Verdict::Inconclusive, "inconclusive"),
            (Verdict::NotRun, "not run"),
        ];
        let counts = verdicts.map(|(verdict, name)| (report.count(verdict), name));
        let counts: Vec<_> =
            counts.iter().filter(|(n, _)| *n > 0).map(|(n, name)| format!("{n} {name}")).collect();
        let (all, took) = (cases(report.cases.len()), elapsed(report.took));
        writeln!(f, "{all} in {took}: {} (seed {})", counts.join(", "), report.seed)?;
        match (report.level(), report.is_selection()) {
            (0, true) => f.write_str("no level, since cases of level 1 were not tried")?,
            (level, true) => {
                write!(f, "level {level} of {}, as far as it was tried", super::LEVELS)?
            }
            (level, false) => write!(f, "level {level} of {}", super::LEVELS)?,
        }
        match report.next() {
            Some(next) => {
                write!(f, "; next: {} ({})", next.id, next.expectation.trim_end_matches('.'))
            }
            None => Ok(()),
        }
    }
}

/// What was sent and what came, around the first difference.
struct Shown<'a>(&'a Difference);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { offset, from, expected, actual } = self.0;
        for (name, bytes) in [("sent", expected), ("came", actual)] {
            write!(f, "{INDENT}{name} from offset {from:>8}:")?;
            for (at, byte) in (*from..).zip(bytes) {
                let (open, close) = if at == *offset { ("[", "]") } else { (" ", "") };
                write!(f, "{open}{byte:02x}{close}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
