//! Everything that is known of a run, as JSON: docs/load-json.md says what each key means.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::conditions::Conditions;
use super::search::Search;
use super::times::{Times, curve};
use crate::client::load::{self, Cause, Length, Outcome};
use crate::client::probe::Fault;
use crate::net::reason;
use crate::text::Escaped;

/// The schema's name and version. Keys may be added to a version; a key that goes, or comes to mean something
/// else, makes a new one.
pub const SCHEMA: &str = "resound-load/2";

/// The version before, which can still be read. Its response latency includes what was never answered.
const OLDER_SCHEMA: &str = "resound-load/1";

/// A finished run: what it was, what it found, and where. Each key carries its unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub(super) schema: String,
    pub(super) resound_version: String,
    pub(super) server: String,
    pub(super) command: Vec<String>,
    pub(super) conditions: Conditions,
    pub(super) options: Options,
    pub(super) began_unix_seconds: f64,
    pub(super) measured_seconds: f64,
    pub(super) end: End,
    pub(super) messages: u64,
    pub(super) messages_in_time: u64,
    pub(super) rate_messages_per_second: f64,
    pub(super) throughput_bytes_per_second: f64,
    #[serde(default)]
    pub(super) has_missed_rate: bool,
    pub(super) unsent_messages: u64,
    pub(super) lost_messages: u64,
    #[serde(default)]
    pub(super) unanswered_messages: u64,
    #[serde(default)]
    pub(super) unanswered_wait_nanoseconds: Times,
    pub(super) connections_made: u64,
    pub(super) response_latency_nanoseconds: Times,
    pub(super) service_latency_nanoseconds: Times,
    pub(super) connect_latency_nanoseconds: Times,
    pub(super) lag_nanoseconds: Times,
    pub(super) response_percentile_curve_nanoseconds: Vec<(f64, u64)>,
    pub(super) service_percentile_curve_nanoseconds: Vec<(f64, u64)>,
    pub(super) intervals: Vec<Interval>,
    pub(super) generator: Generator,
    pub(super) has_wrong_bytes: bool,
    pub(super) trouble_count: u64,
    #[serde(default)]
    pub(super) trouble_counts: BTreeMap<String, u64>,
    pub(super) troubles: Vec<Trouble>,
    /// None where it was no search.
    pub(super) search: Option<Search>,
}

/// What the run was to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    pub connections: u64,
    pub pipeline_depth: u64,
    /// None in a closed loop.
    pub rate_target_per_second: Option<f64>,
    pub message_bytes_min: u64,
    pub message_bytes_max: u64,
    /// Of this and the next one, one is given.
    pub length_seconds: Option<f64>,
    pub length_messages: Option<u64>,
    pub warmup_seconds: f64,
    pub timeout_seconds: f64,
    #[serde(default)]
    pub wait_seconds: f64,
    pub interval_seconds: f64,
    pub spin_seconds: f64,
    pub connect_rate_per_second: Option<f64>,
    pub reconnect_every_messages: Option<u64>,
    pub keep_going: bool,
    pub source_addresses: Vec<String>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    Complete,
    Interrupted,
    Failed,
}

/// A part of the measured time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    pub start_seconds: f64,
    pub length_seconds: f64,
    pub messages: u64,
    pub bytes: u64,
    #[serde(default)]
    pub responses: u64,
    pub p50_nanoseconds: u64,
    pub p99_nanoseconds: u64,
    pub max_nanoseconds: u64,
}

/// What the run cost this client, and whether that was too much.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    pub busy_fraction: f64,
    pub cpu_seconds: f64,
    #[serde(default)]
    pub spin_cpu_seconds: f64,
    #[serde(default)]
    pub standstill_seconds: f64,
    pub was_bottleneck: bool,
    pub why: Option<String>,
    pub warning: Option<String>,
}

/// Something that went wrong with a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// None if it was before there were any.
    pub connection: Option<u64>,
    pub local: Option<String>,
    pub kind: String,
    pub message: String,
    /// In the stream that came back on this connection, from 0.
    pub offset: Option<u64>,
    pub expected_byte: Option<u8>,
    pub got_byte: Option<u8>,
    /// Whether it ended the run.
    #[serde(default)]
    pub is_fatal: bool,
}

impl Report {
    /// All of a run, which `command` began.
    pub(super) fn of(
        outcome: &Outcome,
        options: &load::Options,
        command: Vec<String>,
        conditions: Conditions,
    ) -> Self {
        let began = outcome.began.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            schema: SCHEMA.into(),
            resound_version: env!("CARGO_PKG_VERSION").into(),
            server: options.server.to_string(),
            command,
            conditions,
            options: options.into(),
            began_unix_seconds: began.as_secs_f64(),
            measured_seconds: outcome.measured.as_secs_f64(),
            end: outcome.end.into(),
            messages: outcome.messages,
            messages_in_time: outcome.messages_in_time,
            rate_messages_per_second: outcome.rate(),
            throughput_bytes_per_second: outcome.byte_rate(),
            has_missed_rate: outcome.has_missed_rate(),
            unsent_messages: outcome.unsent,
            lost_messages: outcome.lost,
            unanswered_messages: outcome.unanswered_count(),
            unanswered_wait_nanoseconds: Times::of(&outcome.unanswered),
            connections_made: outcome.connections_made,
            response_latency_nanoseconds: Times::of(&outcome.response),
            service_latency_nanoseconds: Times::of(&outcome.service),
            connect_latency_nanoseconds: Times::of(&outcome.connect),
            lag_nanoseconds: Times::of(&outcome.lag),
            response_percentile_curve_nanoseconds: curve(&outcome.response),
            service_percentile_curve_nanoseconds: curve(&outcome.service),
            intervals: outcome.intervals.iter().map(Into::into).collect(),
            generator: outcome.into(),
            has_wrong_bytes: outcome.is_wrong,
            trouble_count: outcome.trouble_count,
            trouble_counts: outcome
                .trouble_counts
                .iter()
                .map(|(kind, n)| ((*kind).into(), *n))
                .collect(),
            troubles: outcome.troubles.iter().map(Into::into).collect(),
            search: None,
        }
    }

    /// Adds the search that the run was a part of. A search that the user ended is not complete, whichever of
    /// its runs is reported.
    pub(super) fn set_search(&mut self, search: Option<&load::Search>) {
        self.search = search.map(Into::into);
        if search.is_some_and(|search| search.is_interrupted) && self.end == End::Complete {
            self.end = End::Interrupted;
        }
    }

    /// Whether each message was sent as soon as it was due, which is when the one before it had come back: a
    /// closed loop in which none waits for the socket to take another.
    pub(super) fn has_one_latency(&self) -> bool {
        self.options.rate_target_per_second.is_none() && self.options.pipeline_depth == 1
    }

    /// As text, with a newline at its end.
    pub(super) fn to_json(&self) -> io::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// A report that was written to a file.
    ///
    /// # Errors
    ///
    /// Where there is none, or one that another version understands; the error says so in a line.
    pub fn read(path: &Path) -> io::Result<Self> {
        let shown = path.to_string_lossy();
        let failed =
            |why: &str| io::Error::other(format!("cannot compare with {}: {why}", Escaped(&shown)));
        let text = fs::read_to_string(path).map_err(|e| failed(&reason(&e)))?;
        parse(&text).map_err(|why| failed(&why))
    }
}

fn parse(text: &str) -> Result<Report, String> {
    let none = |e| format!("it is no report of resound load --json: {e}");
    let value: Value = serde_json::from_str(text).map_err(none)?;
    match value.get("schema").and_then(Value::as_str) {
        Some(SCHEMA | OLDER_SCHEMA) => serde_json::from_value(value).map_err(none),
        Some(other) => Err(format!(
            "its schema is {}, and resound {} knows {SCHEMA}",
            Escaped(other),
            env!("CARGO_PKG_VERSION")
        )),
        None => Err("it is no report of resound load --json: it has no schema".into()),
    }
}

impl From<&load::Options> for Options {
    fn from(options: &load::Options) -> Self {
        let (length_seconds, length_messages) = match options.length {
            Length::Time(time) => (Some(time.as_secs_f64()), None),
            Length::Messages(n) => (None, Some(n)),
        };
        Self {
            connections: options.connections as u64,
            pipeline_depth: options.depth as u64,
            rate_target_per_second: options.rate,
            message_bytes_min: *options.sizes.start() as u64,
            message_bytes_max: *options.sizes.end() as u64,
            length_seconds,
            length_messages,
            warmup_seconds: options.warmup.as_secs_f64(),
            timeout_seconds: options.timeout.as_secs_f64(),
            wait_seconds: options.wait.as_secs_f64(),
            interval_seconds: options.interval.as_secs_f64(),
            spin_seconds: options.spin.as_secs_f64(),
            connect_rate_per_second: options.connect_rate,
            reconnect_every_messages: options.reconnect_every,
            keep_going: options.keep_going,
            source_addresses: options.sources.iter().map(load::source_name).collect(),
        }
    }
}

impl From<load::End> for End {
    fn from(end: load::End) -> Self {
        match end {
            load::End::Complete => Self::Complete,
            load::End::Interrupted => Self::Interrupted,
            load::End::Failed => Self::Failed,
        }
    }
}

impl From<&load::Interval> for Interval {
    fn from(interval: &load::Interval) -> Self {
        Self {
            start_seconds: interval.start.as_secs_f64(),
            length_seconds: interval.length.as_secs_f64(),
            messages: interval.messages,
            bytes: interval.bytes,
            responses: interval.responses,
            p50_nanoseconds: interval.p50.as_nanos() as u64,
            p99_nanoseconds: interval.p99.as_nanos() as u64,
            max_nanoseconds: interval.max.as_nanos() as u64,
        }
    }
}

impl From<&Outcome> for Generator {
    fn from(outcome: &Outcome) -> Self {
        let limit = outcome.own_limit();
        Self {
            busy_fraction: outcome.busy_fraction(),
            cpu_seconds: outcome.cpu.as_secs_f64(),
            spin_cpu_seconds: outcome.spin_cpu.as_secs_f64(),
            standstill_seconds: outcome.standstill.as_secs_f64(),
            was_bottleneck: limit.is_some(),
            why: limit.map(|limit| limit.to_string()),
            warning: outcome.warning(),
        }
    }
}

impl From<&load::Trouble> for Trouble {
    fn from(trouble: &load::Trouble) -> Self {
        let (offset, expected_byte, got_byte) = match &trouble.cause {
            Cause::Fault(Fault::Wrong(wrong)) => {
                (Some(wrong.offset), Some(wrong.expected), Some(wrong.got))
            }
            Cause::Fault(Fault::Surplus { offset, bytes }) => {
                (Some(*offset), None, bytes.first().copied())
            }
            Cause::Fault(Fault::Ended { received, .. }) | Cause::TimedOut { received, .. } => {
                (Some(*received), None, None)
            }
            Cause::Connect(_) | Cause::Late { .. } | Cause::Left | Cause::System(_) => {
                (None, None, None)
            }
        };
        Self {
            connection: trouble.connection.map(|number| number as u64),
            local: trouble.local.as_ref().map(ToString::to_string),
            kind: trouble.cause.kind().into(),
            message: Escaped(&trouble.cause.to_string()).to_string(),
            offset,
            expected_byte,
            got_byte,
            is_fatal: trouble.is_fatal,
        }
    }
}

#[cfg(test)]
mod tests;
