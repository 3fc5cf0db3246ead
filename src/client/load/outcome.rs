//! What a load run found.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::ConnectionFailure;
use super::json;
use crate::client::failure::Failure;
use crate::client::latency::Latency;
use crate::text::format::{counted, elapsed};

/// What a run found. If it ended early, all figures are about the part that it ran.
///
/// Serialized, it is the greater part of the JSON that `--json` writes.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// When the measured part began.
    #[serde(rename = "began_unix_seconds", serialize_with = "json::unix_seconds")]
    pub began: SystemTime,
    /// The target rate of an open loop, in messages a second.
    #[serde(skip)]
    pub rate_target: Option<f64>,
    /// The length of the measured part, up to its planned end or the early end of the run.
    #[serde(rename = "measured_seconds", with = "json::seconds")]
    pub measured: Duration,
    /// How the run ended.
    #[serde(skip)]
    pub end: End,
    /// Messages of the measured part whose whole echo came back and was right.
    pub messages: u64,
    /// Messages whose echo was complete within the measured part. The rate is made from them. If the length is
    /// a time, some of them were sent before the measured part.
    pub messages_in_time: u64,
    /// Their bytes, one way.
    #[serde(skip)]
    pub bytes_in_time: u64,
    /// Messages that fell due in the measured part and were not sent by its end. Their connections were gone or
    /// had no room for another message in flight, or the run ended first.
    #[serde(rename = "unsent_messages")]
    pub unsent: u64,
    /// Messages of the measured part that were in flight on a connection when it died, or when the run ended
    /// early. They are not sent again.
    #[serde(rename = "lost_messages")]
    pub lost: u64,
    /// Over UDP, messages of the measured part whose echo came after the timeout. They are not among those lost.
    #[serde(rename = "late_messages")]
    pub late: u64,
    /// Over UDP, echoes of the measured part that came once more.
    #[serde(rename = "duplicate_messages")]
    pub duplicates: u64,
    /// Over UDP, messages of the measured part whose echo came after that of a later one.
    #[serde(rename = "reordered_messages")]
    pub reordered: u64,
    /// Datagrams that this client's own system dropped. Their messages count as lost.
    #[serde(skip)]
    pub dropped: u64,
    /// From when a message was due to the last byte of its echo.
    #[serde(rename = "response_latency_nanoseconds")]
    pub response: Latency,
    /// From when a message was due to when it was given up, unsent, lost or late. Its response would have taken at
    /// least this time.
    #[serde(rename = "unanswered_wait_nanoseconds")]
    pub unanswered: Latency,
    /// From when its first byte was sent to the last byte of its echo.
    #[serde(rename = "service_latency_nanoseconds")]
    pub service: Latency,
    /// From the first step of connecting to the connection.
    #[serde(rename = "connect_latency_nanoseconds")]
    pub connect: Latency,
    /// How late this client itself took messages off the schedule of an open loop. Waiting for a free
    /// connection does not count. In a closed loop, the time for which this client did not run, once for each
    /// connection that had a message in flight.
    #[serde(rename = "lag_nanoseconds")]
    pub lag: Latency,
    /// Connections made, including those before the measured part.
    pub connections_made: u64,
    /// The part of the measured time that this client did not spend waiting.
    #[serde(skip)]
    pub busy: Duration,
    /// Processor time that this client used in the measured part.
    #[serde(skip)]
    pub cpu: Duration,
    /// The part of it that was busy-waiting: [`Options::spin`].
    ///
    /// [`Options::spin`]: super::Options::spin
    #[serde(skip)]
    pub spin_cpu: Duration,
    /// The part of the measured time in which this client did not run: it was stopped, or got no processor.
    #[serde(skip)]
    pub standstill: Duration,
    /// The measured part in intervals of [`Options::interval`].
    ///
    /// [`Options::interval`]: super::Options::interval
    pub intervals: Vec<Interval>,
    /// The first failures in full, the first of each kind, and the one that ended the run.
    #[serde(rename = "troubles")]
    pub failures: Vec<ConnectionFailure>,
    /// The number of all failures.
    #[serde(rename = "trouble_count")]
    pub failure_count: u64,
    /// The number of failures of each kind (`Failure::kind`).
    #[serde(rename = "trouble_counts")]
    pub failure_counts: BTreeMap<&'static str, u64>,
    /// Whether any byte was wrong. No option excuses that.
    pub has_wrong_bytes: bool,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// As planned.
    Complete,
    /// The user asked it to.
    Interrupted,
    /// A failure ended it, or no message came back.
    Failed,
}

/// A part of the measured time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// When it began, counted from the start of the measured part.
    #[serde(rename = "start_seconds", with = "json::seconds")]
    pub start: Duration,
    /// Its length.
    #[serde(rename = "length_seconds", with = "json::seconds")]
    pub length: Duration,
    /// Messages whose echo was complete in it.
    pub messages: u64,
    /// Their bytes, one way.
    pub bytes: u64,
    /// The number of its response times. Messages from before the measured part have none; the last interval
    /// has also those of messages that came back after the end.
    #[serde(default)]
    pub responses: u64,
    /// Half of the responses took no longer.
    #[serde(rename = "p50_nanoseconds", with = "json::nanoseconds")]
    pub p50: Duration,
    /// 99 of 100 responses took no longer.
    #[serde(rename = "p99_nanoseconds", with = "json::nanoseconds")]
    pub p99: Duration,
    /// No response took longer.
    #[serde(rename = "max_nanoseconds", with = "json::nanoseconds")]
    pub max: Duration,
}

impl Outcome {
    /// A run that began at `began`, before anything happened in it.
    pub(in crate::client) fn nothing(began: SystemTime) -> Self {
        Self {
            began,
            rate_target: None,
            measured: Duration::ZERO,
            end: End::Complete,
            messages: 0,
            messages_in_time: 0,
            bytes_in_time: 0,
            unsent: 0,
            lost: 0,
            late: 0,
            duplicates: 0,
            reordered: 0,
            dropped: 0,
            response: Latency::new(),
            unanswered: Latency::new(),
            service: Latency::new(),
            connect: Latency::new(),
            lag: Latency::new(),
            connections_made: 0,
            busy: Duration::ZERO,
            cpu: Duration::ZERO,
            spin_cpu: Duration::ZERO,
            standstill: Duration::ZERO,
            intervals: Vec::new(),
            failures: Vec::new(),
            failure_count: 0,
            failure_counts: BTreeMap::new(),
            has_wrong_bytes: false,
        }
    }

    /// A run that could not begin because of `failure`.
    pub(crate) fn failed(failure: Failure) -> Self {
        let kind = failure.kind();
        let failure = ConnectionFailure::of_run(failure);
        Self {
            end: End::Failed,
            failures: vec![failure],
            failure_count: 1,
            failure_counts: [(kind, 1)].into(),
            ..Self::nothing(SystemTime::now())
        }
    }

    /// A run that the user ended before it began.
    pub(crate) fn interrupted() -> Self {
        Self { end: End::Interrupted, ..Self::nothing(SystemTime::now()) }
    }

    /// Messages that were not answered in time: unsent, lost or late.
    pub(crate) fn unanswered_count(&self) -> u64 {
        self.unsent + self.lost + self.late
    }

    /// The part of the messages sent that were lost, from 0 to 1. Those that came late are not.
    pub(crate) fn lost_fraction(&self) -> f64 {
        let sent = self.messages + self.lost + self.late;
        if sent == 0 { 0.0 } else { self.lost as f64 / sent as f64 }
    }

    /// A lower bound of each message's response time. It is the response time itself, or the time that the
    /// message had waited when it was given up.
    pub(crate) fn at_least(&self) -> Latency {
        let mut all = self.response.clone();
        all.add(&self.unanswered);
        all
    }

    /// The failure that ended the run, if one did.
    pub(crate) fn fatal_failure(&self) -> Option<&ConnectionFailure> {
        self.failures.iter().find(|failure| failure.is_fatal)
    }

    /// Messages a second.
    pub fn rate(&self) -> f64 {
        per_second(self.messages_in_time, self.measured)
    }

    /// Bytes a second, one way.
    pub(crate) fn byte_rate(&self) -> f64 {
        per_second(self.bytes_in_time, self.measured)
    }

    /// The part of the measured time in which this client was busy, from 0 to 1.
    ///
    /// In a closed loop it is the processor time of its work. In an open loop it is the time in which the client
    /// did not wait, if that is more: it includes time that other programs took from the client. In a closed loop
    /// it would include time of the server, if both share a processor.
    pub(crate) fn busy_fraction(&self) -> f64 {
        if self.measured.is_zero() {
            return 0.0;
        }
        let work = self.cpu.saturating_sub(self.spin_cpu);
        let busy = if self.rate_target.is_some() { self.busy.max(work) } else { work };
        (busy.as_secs_f64() / self.measured.as_secs_f64()).min(1.0)
    }

    /// Whether an open loop missed its rate: messages were left unsent, or sending them took too long.
    pub(crate) fn has_missed_rate(&self) -> bool {
        const ENOUGH: f64 = 0.99;
        self.rate_target.is_some_and(|target| {
            let sent = (self.messages + self.lost + self.late) as f64;
            // A run of a number of messages lasts until the last echo. That wait is no part of sending.
            let sending = self.measured.saturating_sub(self.service.max());
            self.unsent > 0 || sent < ENOUGH * target * sending.as_secs_f64()
        })
    }

    /// How this client set the limit, if it did, and not the server. An open loop that reached its rate had no
    /// limit.
    pub(crate) fn client_limit(&self) -> Option<ClientLimit> {
        const BUSY: f64 = 0.95;
        if self.rate_target.is_some() && !self.has_missed_rate() {
            return None;
        }
        let busy = self.busy_fraction();
        let is_busy = (busy >= BUSY).then_some(ClientLimit::Busy(busy));
        self.client_lateness().map(ClientLimit::Late).or(is_busy)
    }

    /// The 99th percentile of how late this client was, if it is high enough to matter to the figures.
    fn client_lateness(&self) -> Option<Duration> {
        const LEAST: Duration = Duration::from_micros(100);
        self.rate_target?;
        let lag = self.lag.percentile(99.0);
        (lag > LEAST && lag > self.response.percentile(99.0) / 10).then_some(lag)
    }

    /// What of this client itself is in the figures, though it set no limit.
    pub(crate) fn warning(&self) -> Option<String> {
        if !self.standstill.is_zero() {
            let stood = elapsed(self.standstill);
            return Some(format!(
                "this client itself stood still for {stood} (it was stopped, or got no processor); rates and \
                 times include that"
            ));
        }
        if self.dropped > 0 {
            let echoes = counted(self.dropped, "echo", "echoes");
            return Some(format!(
                "this client's own system dropped {echoes}, since this client did not read them soon enough: so many of \
                 the lost ones are its own"
            ));
        }
        let late = self.client_lateness().filter(|_| self.client_limit().is_none())?;
        Some(format!(
            "this client woke up late (p99 {}); response times include that, and --spin may lessen it",
            elapsed(late)
        ))
    }
}

/// How this client set the limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ClientLimit {
    /// It had almost no time to wait: this part of the time was work.
    Busy(f64),
    /// The 99th percentile of how late it was.
    Late(Duration),
}

impl fmt::Display for ClientLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy(part) => {
                write!(f, "this client was busy {:.0} % of the time", part * 100.0)?;
            }
            Self::Late(lag) => {
                write!(f, "this client was late with its messages (p99 {})", elapsed(*lag))?;
            }
        }
        f.write_str(", so the server may be able to do more")
    }
}

impl Interval {
    /// Messages a second.
    pub(in crate::client) fn rate(&self) -> f64 {
        per_second(self.messages, self.length)
    }

    /// Bytes a second, one way.
    pub(in crate::client) fn byte_rate(&self) -> f64 {
        per_second(self.bytes, self.length)
    }
}

pub(super) fn per_second(n: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { n as f64 / time.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::super::tests::outcome;
    use super::*;

    /// Failed when the wait for the last echo counted as slow sending, and when nothing did.
    #[test]
    fn slow_sending_misses_a_rate_and_waiting_for_the_last_echo_does_not() {
        // Its 1000 messages have service times of up to a second, and ten seconds were measured.
        for (target, is_missed) in [(100.0, false), (110.0, false), (115.0, true), (1000.0, true)] {
            let outcome = Outcome { rate_target: Some(target), ..outcome() };
            assert_eq!(outcome.has_missed_rate(), is_missed, "{target}");
        }
        let unsent = Outcome { rate_target: Some(1.0), unsent: 1, ..outcome() };
        assert!(unsent.has_missed_rate());
    }
}
