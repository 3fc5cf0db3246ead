//! A report in the format that build servers read: JUnit XML.

use std::io;

use quick_junit::{NonSuccessKind, Report as Document, TestCase, TestCaseStatus, TestSuite};

use super::report::{CaseReport, Report, Verdict};
use crate::text::Escaped;

/// A report as XML.
///
/// # Errors
///
/// If it cannot be written, which has no cause that is known.
pub(crate) fn junit(report: &Report) -> io::Result<String> {
    let mut document = Document::new("resound check");
    let mut suite = TestSuite::new(report.server.as_str());
    suite.set_time(report.took);
    for case in &report.cases {
        suite.add_test_case(test_case(case));
    }
    document.add_test_suite(suite);
    document.to_string().map_err(io::Error::other)
}

fn test_case(case: &CaseReport) -> TestCase {
    let actual = case.actual.as_deref().unwrap_or_default();
    let message = Escaped(actual).to_string();
    let status = match case.verdict {
        Verdict::Pass => TestCaseStatus::success(),
        Verdict::Fail => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(message).set_type(case.severity.name());
            status.set_description(description(case));
            status
        }
        Verdict::Inconclusive | Verdict::NotRun => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(message);
            status
        }
    };
    let mut test = TestCase::new(case.id, status);
    test.set_time(case.took);
    test
}

/// What a person reads of a case that failed.
fn description(case: &CaseReport) -> String {
    let because = case.diagnosis.as_ref().and_then(|diagnosis| {
        let mistake = diagnosis.mistake?;
        Some(format!("It looks as if {} ({}).\n", mistake.what, diagnosis.confidence.name()))
    });
    let timeline: String = case.evidence.timeline.iter().map(|line| format!("{line}\n")).collect();
    format!("{}\n{}{timeline}", case.expectation, because.unwrap_or_default())
}
