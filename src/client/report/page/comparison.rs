//! A run beside its baseline, in figures.

use serde_json::Value;

use super::super::Report;
use super::{Html, section, table};
use crate::text::format::{byte_rate, digits, rate, time};

/// What came out, and what went in, where it was not the same.
pub fn tables(report: &Report, baseline: &Report) -> String {
    let results = section("Beside the baseline", &results(report, baseline));
    results + &section("Not as in the baseline", &differences(report, baseline))
}

fn results(report: &Report, baseline: &Report) -> String {
    type Figure = (&'static str, fn(&Report) -> Option<f64>, fn(f64) -> String);
    const NANOSECONDS: fn(f64) -> String = |nanoseconds| time(nanoseconds as u64);
    let figures: [Figure; 7] = [
        ("messages/s", |r| Some(r.rate_messages_per_second), rate),
        ("throughput", |r| Some(r.throughput_bytes_per_second), byte_rate),
        ("p50", |r| float(r.response_latency_nanoseconds.p50), NANOSECONDS),
        ("p90", |r| float(r.response_latency_nanoseconds.p90), NANOSECONDS),
        ("p99", |r| float(r.response_latency_nanoseconds.p99), NANOSECONDS),
        ("p99.9", |r| float(r.response_latency_nanoseconds.p99_9), NANOSECONDS),
        ("max", |r| float(r.response_latency_nanoseconds.max), NANOSECONDS),
    ];
    let row = |(name, of, shown): Figure| {
        let (now, then) = (of(report), of(baseline));
        let ratio = now.zip(then).filter(|(_, then)| *then > 0.0).map(|(now, then)| now / then);
        let cell = |figure: Option<f64>| figure.map_or("–".into(), shown);
        let ratio = ratio.map_or("–".into(), |ratio| format!("{} ×", digits(ratio)));
        (name.to_string(), vec![cell(now), cell(then), ratio])
    };
    table(&["this run", "baseline", "ratio"].map(Into::into), figures.into_iter().map(row))
}

fn float(nanoseconds: Option<u64>) -> Option<f64> {
    nanoseconds.map(|nanoseconds| nanoseconds as f64)
}

/// Figures of runs that were not run alike say little about each other.
fn differences(report: &Report, baseline: &Report) -> String {
    let (now, then) = (circumstances(report), circumstances(baseline));
    let differ = now.into_iter().zip(then).filter(|(now, then)| now != then);
    let mut rows = differ
        .map(|((name, now), (_, then))| {
            let cells = [now, then].map(|value| Html(&shown(&value)).to_string());
            (name.replace('_', " "), cells.into())
        })
        .peekable();
    if rows.peek().is_none() {
        return "<p>Server, options and conditions were the same.\n".into();
    }
    table(&["this run", "baseline"].map(Into::into), rows)
}

/// All that was given, in an order that does not depend on the run.
fn circumstances(report: &Report) -> Vec<(String, Value)> {
    let named = |(name, value): (&str, &str)| (name.to_string(), Value::from(value));
    let given = [("server", &*report.server), ("resound version", &*report.resound_version)];
    let parts = [serde_json::to_value(&report.options), serde_json::to_value(&report.conditions)];
    let parts = parts.into_iter().filter_map(|part| match part {
        Ok(Value::Object(part)) => Some(part),
        _ => None,
    });
    given.into_iter().map(named).chain(parts.flatten()).collect()
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "–".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
