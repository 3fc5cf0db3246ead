//! A run as JSON. docs/load-json.md says what each key means.

use std::io;

use serde::Serialize;

use super::conditions::Conditions;
use crate::client::load::{End, Options, Outcome, Search};

/// The schema's name and version. Keys may be added to a version. A new version begins if a key is removed, or
/// changes its meaning.
pub const SCHEMA: &str = "resound-load/2";

/// A finished run: its outcome, what follows from it, and the circumstances. Each key carries its unit.
#[derive(Serialize)]
pub struct Report<'a> {
    schema: &'static str,
    pub resound_version: &'static str,
    server: String,
    pub command: Vec<String>,
    pub conditions: Conditions,
    pub options: &'a Options,
    pub end: End,
    #[serde(flatten)]
    pub outcome: &'a Outcome,
    rate_messages_per_second: f64,
    throughput_bytes_per_second: f64,
    has_missed_rate: bool,
    unanswered_messages: u64,
    response_percentile_curve_nanoseconds: Vec<(f64, u64)>,
    service_percentile_curve_nanoseconds: Vec<(f64, u64)>,
    generator: Generator,
    /// The search that found the run's rate.
    pub search: Option<&'a Search>,
}

/// What the run cost this client, and whether that was too much.
#[derive(Serialize)]
struct Generator {
    busy_fraction: f64,
    cpu_seconds: f64,
    spin_cpu_seconds: f64,
    standstill_seconds: f64,
    was_bottleneck: bool,
    why: Option<String>,
    warning: Option<String>,
    /// Echoes that this client's own system dropped.
    dropped_datagrams: u64,
}

impl<'a> Report<'a> {
    /// All of a run that `command` began.
    pub fn new(
        outcome: &'a Outcome,
        options: &'a Options,
        search: Option<&'a Search>,
        command: Vec<String>,
        conditions: Conditions,
    ) -> Self {
        Self {
            schema: SCHEMA,
            resound_version: env!("CARGO_PKG_VERSION"),
            server: options.server.to_string(),
            command,
            conditions,
            options,
            end: end(outcome, search),
            outcome,
            rate_messages_per_second: outcome.rate(),
            throughput_bytes_per_second: outcome.byte_rate(),
            has_missed_rate: outcome.has_missed_rate(),
            unanswered_messages: outcome.unanswered_count(),
            response_percentile_curve_nanoseconds: outcome.response.percentile_curve(),
            service_percentile_curve_nanoseconds: outcome.service.percentile_curve(),
            generator: outcome.into(),
            search,
        }
    }

    /// As text, with a newline at its end.
    pub fn to_json(&self) -> io::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

/// If the user ends a search, it is not complete, though the run that is reported may be.
fn end(outcome: &Outcome, search: Option<&Search>) -> End {
    match outcome.end {
        End::Complete if search.is_some_and(|search| search.is_interrupted) => End::Interrupted,
        end => end,
    }
}

impl From<&Outcome> for Generator {
    fn from(outcome: &Outcome) -> Self {
        let limit = outcome.client_limit();
        Self {
            busy_fraction: outcome.busy_fraction(),
            cpu_seconds: outcome.cpu.as_secs_f64(),
            spin_cpu_seconds: outcome.spin_cpu.as_secs_f64(),
            standstill_seconds: outcome.standstill.as_secs_f64(),
            was_bottleneck: limit.is_some(),
            why: limit.map(|limit| limit.to_string()),
            warning: outcome.warning(),
            dropped_datagrams: outcome.dropped,
        }
    }
}

#[cfg(test)]
mod tests;
