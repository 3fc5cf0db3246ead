//! A report in the format that Gradescope's autograder reads.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use super::case::Severity;
use super::cases;
use super::report::{CaseReport, Report, Verdict};
use crate::net::reason;
use crate::text::Escaped;

/// What each case is worth.
#[derive(Clone, Debug, Default)]
pub(crate) struct Points(Vec<(String, f64)>);

impl Points {
    /// Reads a file of lines such as `bytes/ 2` or `end/half-close-8m 5`. The last line that fits a case says what it is
    /// worth; a case that no line fits is worth one point.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or a line is no such line. The error says so in a line.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let shown = Escaped(&path.to_string_lossy()).to_string();
        let text = fs::read_to_string(path)
            .map_err(|e| io::Error::other(format!("cannot read {shown}: {}", reason(&e))))?;
        let lines = text.lines().enumerate().map(|(n, line)| (n + 1, line.trim()));
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let points = lines.map(|(n, line)| {
            let wrong = || {
                let line = Escaped(line);
                io::Error::other(format!(
                    "{shown}, line {n}: \"{line}\" is no case with its points, such as bytes/all-values 2"
                ))
            };
            let (id, points) = line.split_once(char::is_whitespace).ok_or_else(wrong)?;
            let points: f64 = points.trim().parse().map_err(|_| wrong())?;
            let is_known = cases::all().any(|case| case.id.starts_with(id)) || id.starts_with("sanity/");
            match is_known && points.is_finite() && points >= 0.0 {
                true => Ok((id.into(), points)),
                false => Err(wrong()),
            }
        });
        points.collect::<io::Result<_>>().map(Self)
    }

    fn of(&self, id: &str) -> f64 {
        let fits = |(start, _): &&(String, f64)| id.starts_with(start.as_str());
        self.0.iter().rev().find(fits).map_or(1.0, |(_, points)| *points)
    }
}

/// A report as the results.json of an autograder.
pub(crate) fn gradescope(report: &Report, points: &Points) -> Value {
    json!({
        "execution_time": report.took.as_secs_f64(),
        "output": format!("Level {} of {}.", report.level(), super::LEVELS),
        "tests": report.cases.iter().map(|case| test(case, points.of(case.id))).collect::<Vec<_>>(),
    })
}

/// A case that could not find out, or that is for information only, costs nobody a point.
fn test(case: &CaseReport, max_score: f64) -> Value {
    let is_free = case.severity == Severity::Info && case.verdict != Verdict::NotRun;
    let is_passed = is_free || matches!(case.verdict, Verdict::Pass | Verdict::Inconclusive);
    json!({
        "name": case.id,
        "score": if is_passed { max_score } else { 0.0 },
        "max_score": max_score,
        "status": if is_passed { "passed" } else { "failed" },
        "output": output(case),
    })
}

/// What the student reads of a case.
fn output(case: &CaseReport) -> String {
    let mut text = case.expectation.to_string();
    if let Some(actual) = &case.actual {
        let name = match case.verdict {
            Verdict::Pass => "Note",
            Verdict::Fail => "But",
            Verdict::Inconclusive => "Inconclusive",
            Verdict::NotRun => "Not run",
        };
        text += &format!("\n{name}: {}", Escaped(actual));
    }
    if let Some(mistake) = case.diagnosis.as_ref().and_then(|diagnosis| diagnosis.mistake) {
        text += &format!("\nIt looks as if {}.", mistake.what);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn points(text: &str) -> io::Result<Points> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Points::read(file.path())
    }

    #[test]
    fn the_last_line_that_fits_a_case_says_what_it_is_worth() {
        let points = points("# all\n\nbytes/ 2\nbytes/16m\t0.5\n").unwrap();
        let worth = ["bytes/1m", "bytes/16m", "end/closes"].map(|id| points.of(id));
        assert_eq!(worth, [2.0, 0.5, 1.0]);
    }

    #[test]
    fn a_line_that_gives_no_points_is_named() {
        for line in ["bytes/", "bytes/ two", "bytes/ -1", "bytes/ inf", "bytez/ 1"] {
            let error = points(&format!("end/ 1\n{line}\n")).unwrap_err().to_string();
            assert!(error.contains(", line 2: \""), "{error}");
        }
        let missing = Points::read(Path::new("/nonexistent/points")).unwrap_err().to_string();
        assert_eq!(missing, "cannot read /nonexistent/points: no such file or directory");
    }
}
