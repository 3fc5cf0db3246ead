//! What a load run found.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::json;
use super::trouble::{Cause, Trouble};
use crate::client::latency::Latency;
use crate::text::format::time;

/// This many troubles are kept in full; the rest are counted.
pub const TROUBLES_KEPT: usize = 20;

/// What a run found. If it ended early, all figures are about the part that it ran.
///
/// Serialized, it is the greater part of the JSON that `--json` writes.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// When the measured part began.
    #[serde(rename = "began_unix_seconds", serialize_with = "json::unix_seconds")]
    pub began: SystemTime,
    /// Messages a second that it was to send, in an open loop.
    #[serde(skip)]
    pub rate_target: Option<f64>,
    /// How long the measured part was, up to its end as planned, or to where the run ended early.
    #[serde(rename = "measured_seconds", with = "json::seconds")]
    pub measured: Duration,
    /// How the run ended.
    #[serde(skip)]
    pub end: End,
    /// Messages of the measured part whose whole echo came back, and was right.
    pub messages: u64,
    /// Messages whose echo was complete within the measured part: what the rate is made of. Where that is a
    /// length of time, whenever they were begun.
    pub messages_in_time: u64,
    /// Their bytes, one way.
    #[serde(skip)]
    pub bytes_in_time: u64,
    /// Messages that fell due in the measured part and were never sent, as their connections had as many
    /// in flight as they may.
    #[serde(rename = "unsent_messages")]
    pub unsent: u64,
    /// Messages of the measured part that were in flight on a connection when it died, and are not sent
    /// again.
    #[serde(rename = "lost_messages")]
    pub lost: u64,
    /// From when a message was due to the last byte of its echo.
    #[serde(rename = "response_latency_nanoseconds")]
    pub response: Latency,
    /// From when a message was due to when it was given up, unsent or lost: its response would have taken at
    /// least as long.
    #[serde(rename = "unanswered_wait_nanoseconds")]
    pub unanswered: Latency,
    /// From when its first byte was sent to the last byte of its echo.
    #[serde(rename = "service_latency_nanoseconds")]
    pub service: Latency,
    /// From the first step of connecting to the connection.
    #[serde(rename = "connect_latency_nanoseconds")]
    pub connect: Latency,
    /// How late this client itself was to take messages off the schedule of an open loop: whether their
    /// connections were free is no part of it. In a closed loop, how long it stood still, once for each
    /// connection that had a message in flight.
    #[serde(rename = "lag_nanoseconds")]
    pub lag: Latency,
    /// Connections made, those before the measured part included.
    pub connections_made: u64,
    /// The part of the measured time that this client did not spend waiting.
    #[serde(skip)]
    pub busy: Duration,
    /// Processor time that this client used in the measured part.
    #[serde(skip)]
    pub cpu: Duration,
    /// The part of it that went into asking for the time before a message was due: [`Options::spin`].
    ///
    /// [`Options::spin`]: super::Options::spin
    #[serde(skip)]
    pub spin_cpu: Duration,
    /// For how long of the measured part this client did not run, since it was stopped or got no processor.
    #[serde(skip)]
    pub standstill: Duration,
    /// The measured part, second by second or whatever was asked for.
    pub intervals: Vec<Interval>,
    /// What went wrong, the first of it in full, and in any case what ended the run.
    pub troubles: Vec<Trouble>,
    /// How much went wrong.
    pub trouble_count: u64,
    /// How much of it was of which [kind](Cause::kind).
    pub trouble_counts: BTreeMap<&'static str, u64>,
    /// Whether any byte was wrong, which no option excuses.
    #[serde(rename = "has_wrong_bytes")]
    pub is_wrong: bool,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// As planned.
    Complete,
    /// The user asked it to.
    Interrupted,
    /// Something went wrong.
    Failed,
}

/// A part of the measured time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// When it began, from the beginning of the measured part.
    #[serde(rename = "start_seconds", with = "json::seconds")]
    pub start: Duration,
    /// How long it was.
    #[serde(rename = "length_seconds", with = "json::seconds")]
    pub length: Duration,
    /// Messages whose echo was complete in it.
    pub messages: u64,
    /// Their bytes, one way.
    pub bytes: u64,
    /// Response times that it has: of those messages that were not begun before the measured part; in the last
    /// interval also of what came back after the end.
    #[serde(default)]
    pub responses: u64,
    /// Half of the responses took no longer.
    #[serde(rename = "p50_nanoseconds", with = "json::nanoseconds")]
    pub p50: Duration,
    /// 99 of 100 of them took no longer.
    #[serde(rename = "p99_nanoseconds", with = "json::nanoseconds")]
    pub p99: Duration,
    /// None of them took longer.
    #[serde(rename = "max_nanoseconds", with = "json::nanoseconds")]
    pub max: Duration,
}

impl Outcome {
    /// A run that began then, and in which nothing has happened yet.
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
            troubles: Vec::new(),
            trouble_count: 0,
            trouble_counts: BTreeMap::new(),
            is_wrong: false,
        }
    }

    /// A run that could not begin, and why.
    pub fn failed(cause: Cause) -> Self {
        let kind = cause.kind();
        let trouble = Trouble { connection: None, local: None, cause, is_fatal: true };
        Self {
            end: End::Failed,
            troubles: vec![trouble],
            trouble_count: 1,
            trouble_counts: [(kind, 1)].into(),
            ..Self::nothing(SystemTime::now())
        }
    }

    /// A run that the user ended before it began.
    pub fn interrupted() -> Self {
        Self { end: End::Interrupted, ..Self::nothing(SystemTime::now()) }
    }

    /// Messages that were never answered: not sent, or lost.
    pub fn unanswered_count(&self) -> u64 {
        self.unsent + self.lost
    }

    /// How long every message took at the least: its response time, or if it was never answered how long it
    /// had waited by then.
    pub fn at_least(&self) -> Latency {
        let mut all = self.response.clone();
        all.add(&self.unanswered);
        all
    }

    /// What ended the run, if something that went wrong did.
    pub fn fatal_trouble(&self) -> Option<&Trouble> {
        self.troubles.iter().find(|trouble| trouble.is_fatal)
    }

    /// Whether all went well.
    pub fn is_fine(&self) -> bool {
        self.trouble_count == 0 && self.end != End::Failed
    }

    /// Messages a second.
    pub fn rate(&self) -> f64 {
        per_second(self.messages_in_time, self.measured)
    }

    /// Bytes a second, one way.
    pub fn byte_rate(&self) -> f64 {
        per_second(self.bytes_in_time, self.measured)
    }

    /// Which part of the measured time this client was busy, from 0 to 1: the processor time that it used for its
    /// work. In an open loop, when it did not wait, if that is more: it may be kept from its work by others,
    /// and is late then. In a closed loop the server may be what it is kept by, if they share a processor.
    pub fn busy_fraction(&self) -> f64 {
        if self.measured.is_zero() {
            return 0.0;
        }
        let work = self.cpu.saturating_sub(self.spin_cpu);
        let busy = if self.rate_target.is_some() { self.busy.max(work) } else { work };
        (busy.as_secs_f64() / self.measured.as_secs_f64()).min(1.0)
    }

    /// Whether an open loop fell short of its rate: not all was sent, or it took longer than it was to.
    pub fn has_missed_rate(&self) -> bool {
        const MOST: f64 = 0.99;
        self.rate_target.is_some_and(|target| {
            let sent = (self.messages + self.lost) as f64;
            // Where a number of messages was asked for, it lasts until the last echo, which is no part of sending.
            let sending = self.measured.saturating_sub(self.service.max());
            self.unsent > 0 || sent < MOST * target * sending.as_secs_f64()
        })
    }

    /// Why it was this client, and not the server, that set the limit, if it was. There is none where an open
    /// loop got to its rate.
    pub fn own_limit(&self) -> Option<OwnLimit> {
        const BUSY: f64 = 0.95;
        if self.rate_target.is_some() && !self.has_missed_rate() {
            return None;
        }
        let busy = self.busy_fraction();
        let is_busy = (busy >= BUSY).then_some(OwnLimit::Busy(busy));
        self.own_lateness().map(OwnLimit::Late).or(is_busy)
    }

    /// How late this client itself was with one of 100 messages, where that matters to the figures.
    pub fn own_lateness(&self) -> Option<Duration> {
        const MOST: Duration = Duration::from_micros(100);
        self.rate_target?;
        let lag = self.lag.percentile(99.0);
        (lag > MOST && lag > self.response.percentile(99.0) / 10).then_some(lag)
    }

    /// What to know of this client where it set no limit, and is in the figures all the same.
    pub fn warning(&self) -> Option<String> {
        let shown = |duration: Duration| time(duration.as_nanos() as u64);
        if !self.standstill.is_zero() {
            let stood = shown(self.standstill);
            return Some(format!(
                "this client itself stood still for {stood} (it was stopped, or got no processor); rates and \
                 times include that"
            ));
        }
        let late = self.own_lateness().filter(|_| self.own_limit().is_none()).map(shown)?;
        Some(format!(
            "this client woke up late (p99 {late}); response times include that, and --spin may lessen it"
        ))
    }
}

/// How this client itself set the limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OwnLimit {
    /// It had next to no time to wait: this part of all was work.
    Busy(f64),
    /// It was this late with one of 100 messages.
    Late(Duration),
}

impl fmt::Display for OwnLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy(part) => {
                write!(f, "this client was busy {:.0} % of the time", part * 100.0)?;
            }
            Self::Late(lag) => {
                let lag = time(lag.as_nanos() as u64);
                write!(f, "this client was late with its messages (p99 {lag})")?;
            }
        }
        f.write_str(": the server may be able to do more")
    }
}

fn per_second(n: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { n as f64 / time.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::super::tests::outcome;
    use super::*;

    /// Failed when waiting for the last echo was taken for being slow to send, and when nothing was.
    #[test]
    fn a_rate_is_missed_by_who_sends_too_slowly_and_not_by_who_waits_for_the_last_echo() {
        // Its 1000 messages have service times of up to a second, and ten seconds were measured.
        for (target, is_missed) in [(100.0, false), (110.0, false), (115.0, true), (1000.0, true)] {
            let outcome = Outcome { rate_target: Some(target), ..outcome() };
            assert_eq!(outcome.has_missed_rate(), is_missed, "{target}");
        }
        let unsent = Outcome { rate_target: Some(1.0), unsent: 1, ..outcome() };
        assert!(unsent.has_missed_rate());
    }
}
