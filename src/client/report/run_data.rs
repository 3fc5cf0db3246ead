//! What the page plots and compares of a run, read from its JSON.

use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::json::{Report, SCHEMA};
use crate::client::latency::LatencySummary;
use crate::client::load::Interval;
use crate::net::reason;
use crate::text::Escaped;

/// The version before [`SCHEMA`]. Its response latency includes messages that were never answered.
const OLDER_SCHEMA: &str = "resound-load/1";

/// The part of a report that the page plots, and compares with a baseline.
///
/// A run that has just ended is read back from its own JSON, so both sides of a comparison have gone the same
/// way.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct RunData {
    pub server: String,
    pub resound_version: String,
    pub options: Map<String, Value>,
    pub conditions: Map<String, Value>,
    #[serde(rename = "rate_messages_per_second")]
    pub rate: f64,
    #[serde(rename = "throughput_bytes_per_second")]
    pub byte_rate: f64,
    #[serde(rename = "response_latency_nanoseconds")]
    pub response: LatencySummary,
    #[serde(rename = "service_latency_nanoseconds")]
    pub service: LatencySummary,
    #[serde(rename = "response_percentile_curve_nanoseconds")]
    pub response_curve: Vec<(f64, u64)>,
    #[serde(rename = "service_percentile_curve_nanoseconds")]
    pub service_curve: Vec<(f64, u64)>,
    pub intervals: Vec<Interval>,
}

impl RunData {
    /// The data of a run that has just ended.
    pub fn of(report: &Report<'_>) -> io::Result<Self> {
        Ok(serde_json::from_str(&report.to_json()?)?)
    }

    /// Reads a report that was written to a file.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or holds no report of a known version. The error says so in a line.
    pub fn read(path: &Path) -> io::Result<Self> {
        let shown = path.to_string_lossy();
        let failed =
            |why: &str| io::Error::other(format!("cannot compare with {}: {why}", Escaped(&shown)));
        let text = fs::read_to_string(path).map_err(|e| failed(&reason(&e)))?;
        Self::parse(&text).map_err(|why| failed(&why))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let no_report = |e| format!("it is no report of resound load --json: {e}");
        let value: Value = serde_json::from_str(text).map_err(no_report)?;
        match value.get("schema").and_then(Value::as_str) {
            Some(SCHEMA | OLDER_SCHEMA) => Self::from_file(value).map_err(no_report),
            Some(other) => Err(format!(
                "its schema is {}, and resound {} knows {SCHEMA}",
                Escaped(other),
                env!("CARGO_PKG_VERSION")
            )),
            None => Err("it is no report of resound load --json: it has no schema".into()),
        }
    }

    fn from_file(value: Value) -> serde_json::Result<Self> {
        let mut data: Self = serde_json::from_value(value)?;
        // Early reports lack these keys, since the options did not exist.
        data.options.entry("wait_seconds").or_insert_with(|| 0.0.into());
        data.options.entry("send_proxy_version").or_insert(Value::Null);
        Ok(data)
    }

    /// Whether response and service are the same latency, as in [`Options::has_one_latency`].
    ///
    /// [`Options::has_one_latency`]: crate::client::load::Options::has_one_latency
    pub fn has_one_latency(&self) -> bool {
        let option = |key| self.options.get(key).unwrap_or(&Value::Null);
        option("rate_target_per_second").is_null() && *option("pipeline_depth") == 1
    }
}

#[cfg(test)]
mod tests;
