//! What a ping found, as JSON for programs. docs/ping-json.md describes it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::tally::{Datagrams, RecordedFailure, Tally};
use super::{End, Options};
use crate::client::running_stats::RunningStats;
use crate::net::proxy::HeaderVersion;

/// The name and version of the format. The version changes if a program that reads it must change.
const SCHEMA: &str = "resound-ping/1";

/// One object with everything that a ping found.
#[derive(Debug, Serialize)]
pub struct Json<'a> {
    schema: &'static str,
    version: &'static str,
    server: String,
    end: &'static str,
    error: Option<&'a str>,
    message_bytes: usize,
    interval_nanoseconds: u64,
    timeout_nanoseconds: u64,
    wait_nanoseconds: Option<u64>,
    send_proxy_version: Option<u8>,
    elapsed_nanoseconds: u64,
    stood_still_nanoseconds: u64,
    messages: Messages,
    datagrams: Option<DatagramCounts>,
    skipped_due_times: u64,
    connections: u64,
    reconnects: u64,
    connect_nanoseconds: Option<ConnectTimes>,
    echo_nanoseconds: Option<EchoTimes>,
    #[serde(rename = "trouble_counts")]
    failure_counts: &'a BTreeMap<&'static str, u64>,
    #[serde(rename = "troubles")]
    failures: &'a [RecordedFailure],
}

#[derive(Debug, Serialize)]
struct Messages {
    sent: u64,
    received: u64,
    lost: u64,
    wrong: u64,
    under_way: u64,
}

#[derive(Debug, Serialize)]
struct DatagramCounts {
    late: u64,
    duplicates: u64,
    reordered: u64,
}

#[derive(Debug, Serialize)]
struct ConnectTimes {
    min: u64,
    mean: u64,
    max: u64,
}

#[derive(Debug, Serialize)]
struct EchoTimes {
    min: u64,
    mean: u64,
    max: u64,
    standard_deviation: u64,
    jitter: u64,
    p50: Option<u64>,
    p90: Option<u64>,
    p99: Option<u64>,
    p99_9: Option<u64>,
}

impl<'a> Json<'a> {
    /// The object of a ping. `error` is the line on standard error, if there is one.
    pub fn new(options: &Options, tally: &'a Tally, end: &End, error: Option<&'a str>) -> Self {
        Self {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            server: options.server.to_string(),
            end: match end {
                End::Complete => "complete",
                End::Interrupted => "interrupted",
                End::Failed(_) => "failed",
            },
            error,
            message_bytes: options.size,
            interval_nanoseconds: nanoseconds(options.interval),
            timeout_nanoseconds: nanoseconds(options.timeout),
            wait_nanoseconds: options.wait.map(nanoseconds),
            send_proxy_version: options.send_proxy.map(HeaderVersion::number),
            elapsed_nanoseconds: nanoseconds(tally.elapsed),
            stood_still_nanoseconds: nanoseconds(tally.standstill),
            messages: Messages::of(tally),
            datagrams: tally.datagrams.map(DatagramCounts::from),
            skipped_due_times: tally.skipped,
            connections: tally.connect_times.count(),
            reconnects: tally.reconnects(),
            connect_nanoseconds: ConnectTimes::of(&tally.connect_times),
            echo_nanoseconds: EchoTimes::of(tally),
            failure_counts: &tally.failure_counts,
            failures: &tally.failures,
        }
    }
}

impl Messages {
    fn of(tally: &Tally) -> Self {
        let Tally { sent, received, lost, wrong, .. } = *tally;
        Self { sent, received, lost, wrong, under_way: tally.under_way() }
    }
}

impl From<Datagrams> for DatagramCounts {
    fn from(Datagrams { outstanding: _, late, duplicates, reordered }: Datagrams) -> Self {
        Self { late, duplicates, reordered }
    }
}

impl ConnectTimes {
    fn of(times: &RunningStats) -> Option<Self> {
        let [min, mean, max] = [times.min(), times.mean(), times.max()].map(nanoseconds);
        (times.count() > 0).then_some(Self { min, mean, max })
    }
}

impl EchoTimes {
    fn of(tally: &Tally) -> Option<Self> {
        let ConnectTimes { min, mean, max } = ConnectTimes::of(&tally.echo_times)?;
        let at = |percentile| tally.percentile(percentile).map(nanoseconds);
        Some(Self {
            min,
            mean,
            max,
            standard_deviation: nanoseconds(tally.echo_times.stdev()),
            jitter: nanoseconds(tally.echo_times.jitter()),
            p50: at(50.0),
            p90: at(90.0),
            p99: at(99.0),
            p99_9: at(99.9),
        })
    }
}

/// 64 bits hold more than 500 years.
fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_has_its_own_key() {
        let mut tally = Tally::default();
        // The distribution keeps times this short exactly.
        (1..=1501).for_each(|ns| tally.record_echo(Duration::from_nanos(ns)));
        let [min, mean, max] = [1, 751, 1501];
        let expected = serde_json::json!({
            "min": min, "mean": mean, "max": max, "standard_deviation": 433, "jitter": 1,
            "p50": 751, "p90": 1351, "p99": 1486, "p99_9": 1500,
        });
        assert_eq!(serde_json::to_value(EchoTimes::of(&tally)).unwrap(), expected);
        let connect = serde_json::json!({ "min": min, "mean": mean, "max": max });
        assert_eq!(serde_json::to_value(ConnectTimes::of(&tally.echo_times)).unwrap(), connect);
    }
}
