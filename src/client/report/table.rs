//! Latencies side by side, as the text and the page show them.

use crate::client::latency::LatencySummary;
use crate::client::load::{Options, Outcome};

/// A latency under its name.
pub type Column = (&'static str, LatencySummary);

/// The latencies of a run: only one if each message was sent as soon as it was due.
pub fn latency_columns(outcome: &Outcome, options: &Options) -> Vec<Column> {
    let response = LatencySummary::of(&outcome.response);
    if options.has_one_latency() {
        return vec![("latency", response)];
    }
    vec![("response", response), ("service", LatencySummary::of(&outcome.service))]
}

/// The figures of all columns, in rows with their names. Rows without figures are left out.
pub fn rows(columns: &[Column]) -> Vec<(&'static str, Vec<Option<u64>>)> {
    let rows: Vec<_> = columns.iter().map(|(_, summary)| summary.rows()).collect();
    let names = LatencySummary::default().rows();
    let row = |i: usize| (names[i].0, rows.iter().map(|rows| rows[i].1).collect::<Vec<_>>());
    let has_figures = |(_, row): &(_, Vec<Option<u64>>)| row.iter().any(Option::is_some);
    (0..names.len()).map(row).filter(has_figures).collect()
}
