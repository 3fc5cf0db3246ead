//! The counts and times of a ping.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::client::failure::{Failure, MAX_RECORDED};
use crate::client::latency::Latency;
use crate::client::running_stats::RunningStats;

/// What a ping has found so far. Its memory does not depend on the number of messages.
#[derive(Debug, Default)]
pub struct Tally {
    /// Messages that were begun, including those for which there was no connection.
    pub sent: u64,
    /// Messages whose echo came back whole, right and in time.
    pub received: u64,
    /// Messages whose echo did not come back whole in time, including those for which there was no connection.
    pub lost: u64,
    /// How often bytes came that are no echo. If they came after a right echo, its message counts as
    /// [received](Self::received) too.
    pub wrong: u64,
    /// Whether an echo was outstanding, or a connection for a message was being made, when a signal ended the ping.
    pub is_under_way: bool,
    /// What only datagrams can be; `None` if the ping is not over UDP.
    pub datagrams: Option<Datagrams>,
    /// Due times at which no message was sent: one message was waiting already, either for the echo before it or
    /// because this program stood still. Over UDP, as many as can be remembered were waiting for their echoes.
    pub skipped: u64,
    /// How long this program did not run, because it or its output was stopped.
    pub standstill: Duration,
    /// The times from the start of the attempt that succeeded to its connection.
    pub connect_times: RunningStats,
    /// The times from the first write of a message to the read that completed its echo.
    pub echo_times: RunningStats,
    /// The same times as a distribution.
    pub echo_distribution: Latency,
    /// How long the ping lasted.
    pub elapsed: Duration,
    /// The number of failures of each [kind](Failure::kind).
    pub failure_counts: BTreeMap<&'static str, u64>,
    /// The first [`MAX_RECORDED`] failures.
    pub failures: Vec<RecordedFailure>,
}

/// Counts of a ping over UDP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Datagrams {
    /// Messages whose echo was still outstanding when the ping ended.
    pub outstanding: u64,
    /// Messages whose echo came after the timeout, or after they had counted as refused. They do not count as lost.
    pub late: u64,
    /// Echoes that came a second time or more often.
    pub duplicates: u64,
    /// Echoes that came after the echo of a later message.
    pub reordered: u64,
}

/// A failure of one message.
#[derive(Debug)]
pub struct MessageFailure {
    /// The number of the message, from 1.
    pub sequence: u64,
    /// The offsets of the message's first and last byte on its connection.
    pub offsets: (u64, u64),
    /// What went wrong. The figures of a [`Fault::Ended`] are those of the message, not of the connection.
    ///
    /// [`Fault::Ended`]: crate::client::probe::Fault::Ended
    pub failure: Failure,
}

/// What a tally keeps of a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordedFailure {
    /// The number of the message, from 1.
    pub sequence: u64,
    /// One word, the same for all failures of a kind.
    pub kind: &'static str,
    /// A line for the user.
    pub text: String,
}

impl Tally {
    /// Counts a right echo.
    pub fn record_echo(&mut self, took: Duration) {
        self.received += 1;
        self.echo_times.record(took);
        self.echo_distribution.record(took);
    }

    /// Counts a failure: as wrong if bytes came back that are no echo, else as lost.
    pub fn record_failure(&mut self, failed: &MessageFailure) {
        match failed.failure.is_wrong() {
            true => self.wrong += 1,
            false => self.lost += 1,
        }
        let kind = failed.failure.kind();
        *self.failure_counts.entry(kind).or_default() += 1;
        if self.failures.len() < MAX_RECORDED {
            let (sequence, text) = (failed.sequence, failed.to_string());
            self.failures.push(RecordedFailure { sequence, kind, text });
        }
    }

    /// Messages that were neither answered nor given up when the ping ended.
    pub fn under_way(&self) -> u64 {
        self.datagrams.map_or(u64::from(self.is_under_way), |datagrams| datagrams.outstanding)
    }

    /// The number of connections after the first.
    pub fn reconnects(&self) -> u64 {
        self.connect_times.count().saturating_sub(1)
    }

    /// A time that this percentage of echoes did not exceed; `None` if there are
    /// [too few](Latency::known_percentile) to say.
    pub fn percentile(&self, percentile: f64) -> Option<Duration> {
        // The distribution is exact only to a thousandth.
        let time = self.echo_distribution.known_percentile(percentile)?;
        Some(time.clamp(self.echo_times.min(), self.echo_times.max()))
    }

    /// Checks that every echo came back right.
    ///
    /// # Errors
    ///
    /// If not, what the last line says of it.
    pub fn verdict(&self) -> Result<(), String> {
        let Self { sent, lost, wrong, .. } = self;
        let late = self.datagrams.map_or(0, |datagrams| datagrams.late);
        let outcomes =
            [(*lost, "did not come back"), (late, "came late"), (*wrong, "came back wrong")];
        let mut phrases = Vec::new();
        for (n, what) in outcomes.into_iter().filter(|(n, _)| *n > 0) {
            let of = if phrases.is_empty() { format!(" of {sent} echoes") } else { String::new() };
            phrases.push(format!("{n}{of} {what}"));
        }
        match phrases.is_empty() {
            true if self.received == 0 => Err("no echo came back".into()),
            true => Ok(()),
            false => Err(phrases.join(", and ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn tally_of(milliseconds: &[u32]) -> Tally {
        let mut tally = Tally::default();
        milliseconds.iter().for_each(|ms| tally.record_echo(MS * *ms));
        tally
    }

    #[test]
    fn without_echoes_there_are_no_percentiles_and_no_reconnects() {
        let tally = tally_of(&[]);
        assert_eq!((tally.percentile(50.0), tally.reconnects()), (None, 0));
    }

    #[test]
    fn percentiles_stay_between_the_shortest_and_the_longest() {
        let mut tally = Tally::default();
        let time = Duration::from_nanos(123_456_789);
        (0..1000).for_each(|_| tally.record_echo(time));
        for percentile in [0.0, 50.0, 90.0, 99.9] {
            assert_eq!(tally.percentile(percentile), Some(time));
        }
    }

    #[test]
    fn the_first_failures_are_recorded_and_all_are_counted() {
        let mut tally = Tally::default();
        for sequence in 1..=1000 {
            let failure = Failure::TimedOut { timeout: MS, received: 0, expected: 9 };
            tally.record_failure(&MessageFailure { sequence, offsets: (0, 8), failure });
        }
        assert_eq!((tally.lost, tally.failure_counts["timeout"]), (1000, 1000));
        assert_eq!(tally.failures.len(), MAX_RECORDED);
        assert_eq!((tally.failures[0].sequence, tally.failures[0].kind), (1, "timeout"));
    }

    #[test]
    fn the_verdict_counts_lost_and_wrong_echoes() {
        let verdict = |received, lost, wrong| {
            Tally { sent: 9, received, lost, wrong, ..Tally::default() }.verdict()
        };
        assert_eq!(verdict(9, 0, 0), Ok(()));
        assert_eq!(verdict(0, 0, 0), Err("no echo came back".into()));
        assert_eq!(verdict(7, 2, 0), Err("2 of 9 echoes did not come back".into()));
        assert_eq!(verdict(8, 0, 1), Err("1 of 9 echoes came back wrong".into()));
        let both = "2 of 9 echoes did not come back, and 1 came back wrong";
        assert_eq!(verdict(6, 2, 1), Err(both.into()));
    }
}
