//! A run beside its baseline, in figures.

use std::collections::HashMap;

use maud::{Markup, html};
use serde_json::Value;

use super::super::run_data::RunData;
use super::{section, table};
use crate::text::format::{byte_rate, digits, rate, time};

/// The results of both runs, then the circumstances in which they differ.
pub fn tables(run: &RunData, baseline: &RunData) -> Markup {
    html! {
        (section("Beside the baseline", results(run, baseline)))
        (section("Not as in the baseline", differences(run, baseline)))
    }
}

/// A figure of a run: its name, its value and its format.
type Figure = (&'static str, fn(&RunData) -> Option<f64>, fn(f64) -> String);

const FIGURES: [Figure; 7] = [
    ("messages/s", |run| Some(run.rate), rate),
    ("throughput", |run| Some(run.byte_rate), byte_rate),
    ("p50", |run| float(run.response.p50), nanoseconds),
    ("p90", |run| float(run.response.p90), nanoseconds),
    ("p99", |run| float(run.response.p99), nanoseconds),
    ("p99.9", |run| float(run.response.p99_9), nanoseconds),
    ("max", |run| float(run.response.max), nanoseconds),
];

fn float(nanoseconds: Option<u64>) -> Option<f64> {
    nanoseconds.map(|nanoseconds| nanoseconds as f64)
}

fn nanoseconds(value: f64) -> String {
    time(value as u64)
}

fn results(run: &RunData, baseline: &RunData) -> Markup {
    let row = |(name, of, shown): Figure| {
        let (now, then) = (of(run), of(baseline));
        let ratio = now.zip(then).filter(|(_, then)| *then > 0.0).map(|(now, then)| now / then);
        let cell = |figure: Option<f64>| figure.map_or("–".into(), shown);
        let ratio = ratio.map_or("–".into(), |ratio| format!("{} ×", digits(ratio)));
        (name.to_string(), vec![cell(now), cell(then), ratio])
    };
    table(&["this run", "baseline", "ratio"], &FIGURES.map(row))
}

/// Runs that were not made alike cannot be compared well.
fn differences(run: &RunData, baseline: &RunData) -> Markup {
    let then: HashMap<_, _> = circumstances(baseline).collect();
    let rows: Vec<_> = circumstances(run)
        .map(|(name, now)| (name, now, then.get(name).unwrap_or(&Value::Null)))
        .filter(|(_, now, then)| now != *then)
        .map(|(name, now, then)| (name.replace('_', " "), vec![shown(&now), shown(then)]))
        .collect();
    if rows.is_empty() {
        return html! { p { "Server, options and conditions were the same." } };
    }
    table(&["this run", "baseline"], &rows)
}

/// All options and conditions of a run by their names, in an order that does not depend on the run.
fn circumstances(run: &RunData) -> impl Iterator<Item = (&str, Value)> {
    let given = [("server", &*run.server), ("resound version", &*run.resound_version)];
    let parts = run.options.iter().chain(&run.conditions);
    let parts = parts.map(|(name, value)| (name.as_str(), value.clone()));
    given.into_iter().map(|(name, value)| (name, value.into())).chain(parts)
}

/// A number with six digits or fewer.
fn rounded(number: f64) -> String {
    format!("{number:.5e}").parse().unwrap_or(number).to_string()
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "–".into(),
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => number.as_f64().map_or("–".into(), rounded),
        other => other.to_string(),
    }
}
