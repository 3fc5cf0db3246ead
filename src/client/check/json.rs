//! A report as JSON. docs/check-json.md says what each key means.

use serde_json::{Value, json};

use super::problem::Difference;
use super::report::{CaseReport, Report, Verdict};

/// The schema's name and version.
const SCHEMA: &str = "resound-check/1";

/// A report as a JSON object.
pub(crate) fn json(report: &Report) -> Value {
    json!({
        "schema": SCHEMA,
        "resound_version": env!("CARGO_PKG_VERSION"),
        "server": report.server,
        "seed": report.seed,
        "seconds": report.took.as_secs_f64(),
        "was_interrupted": report.is_interrupted,
        "level": report.level(),
        "levels": super::LEVELS,
        "passed": report.count(Verdict::Pass),
        "failed": report.count(Verdict::Fail),
        "inconclusive": report.count(Verdict::Inconclusive),
        "not_run": report.count(Verdict::NotRun),
        "cases": report.cases.iter().map(case).collect::<Vec<_>>(),
    })
}

fn case(case: &CaseReport) -> Value {
    let is_failed = case.verdict == Verdict::Fail;
    json!({
        "id": case.id,
        "level": case.level,
        "severity": case.severity.name(),
        "verdict": case.verdict.name(),
        "seconds": case.took.as_secs_f64(),
        "note": case.actual.as_ref().filter(|_| !is_failed),
        "cause": is_failed.then(|| cause(case)),
        "diagnosis": case.diagnosis.as_ref().filter(|_| is_failed).map(|diagnosis| json!({
            "mistake": diagnosis.mistake.map(|mistake| mistake.what),
            "confidence": diagnosis.confidence.name(),
            "because": diagnosis.because,
            "specimen": diagnosis.mistake.and_then(|mistake| mistake.specimen),
            "chapter": diagnosis.mistake.map(|mistake| mistake.chapter),
        })),
    })
}

fn cause(case: &CaseReport) -> Value {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let difference = case.evidence.difference.as_ref();
    json!({
        "expected": case.expectation,
        "actual": case.actual,
        "rationale": case.rationale,
        "help": case.diagnosis.as_ref().and_then(|d| d.mistake).and_then(|m| m.specimen)
            .map(|specimen| format!("resound zoo hint {specimen}")),
        "local": case.evidence.local,
        "difference": difference.map(|Difference { offset, from, expected, actual }| json!({
            "offset": offset,
            "from": from,
            "expected_hex": hex(expected),
            "actual_hex": hex(actual),
        })),
        "timeline": case.evidence.timeline,
    })
}
