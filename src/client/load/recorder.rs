//! From single messages to an [`Outcome`].

use std::time::{Duration, Instant, SystemTime};

use super::clock::Clock;
use super::cost::{Cost, Usage};
use super::schedule::Series;
use super::{ConnectionFailure, End, Interval, Outcome, Reporter};
use crate::client::failure::MAX_RECORDED;
use crate::client::latency::Latency;
use crate::client::probe::Message;

/// Records what happens in a run.
#[derive(Debug)]
pub(super) struct Recorder {
    outcome: Outcome,
    /// When the measured part began, if it has.
    start: Option<Instant>,
    /// Whether the measured part is over.
    is_over: bool,
    cost: Cost,
    interval_length: Duration,
    current: Current,
}

/// The interval that is under way.
#[derive(Debug)]
struct Current {
    start: Duration,
    messages: u64,
    bytes: u64,
    responses: Latency,
}

impl Recorder {
    /// The measured part has not begun. Until it does, `created` stands for its beginning.
    pub(super) fn new(interval: Duration, rate_target: Option<f64>, created: SystemTime) -> Self {
        let responses = Latency::new();
        Self {
            outcome: Outcome { rate_target, ..Outcome::nothing(created) },
            start: None,
            is_over: false,
            cost: Cost::default(),
            interval_length: interval,
            current: Current { start: Duration::ZERO, messages: 0, bytes: 0, responses },
        }
    }

    /// The measured part began at `start`, which was `began` by the time of day.
    pub(super) fn start(
        &mut self,
        start: Instant,
        began: SystemTime,
        clock: &impl Clock,
        reporter: &mut impl Reporter,
    ) {
        self.start = Some(start);
        self.cost.start(clock);
        self.outcome.began = began;
        reporter.start(began);
    }

    /// A connection was made, which took `took`.
    pub(super) fn connected(&mut self, took: Duration) {
        self.outcome.connections_made += 1;
        self.outcome.connect.record(took);
    }

    /// The last byte of an echo came within the measured part. Its message may have begun earlier.
    #[inline]
    pub(super) fn arrived(&mut self, message: &Message) {
        self.current.messages += 1;
        self.current.bytes += message.bytes as u64;
    }

    /// The last byte of a message that counts came at `now`, and `took` after the first was sent. That may be after the
    /// end of the measured part.
    #[inline]
    pub(super) fn complete(&mut self, message: &Message, took: Duration, now: Instant) {
        // In a closed loop they are mostly the same.
        let waited = if message.due == message.sent { took } else { now - message.due };
        self.current.responses.record(waited);
        self.outcome.service.record(took);
        self.outcome.messages += 1;
    }

    /// A message that counts was taken off the schedule `lag` after it was due.
    pub(super) fn late(&mut self, lag: Duration) {
        self.outcome.lag.record(lag);
    }

    /// Messages that count were taken off the schedule at `now`.
    pub(super) fn late_all(&mut self, series: &Series, now: Instant) {
        let longest = now.saturating_duration_since(series.first);
        self.outcome.lag.record_evenly(longest, series.gap_seconds, series.count);
    }

    /// Messages that count were not sent by `end`, and will not be.
    pub(super) fn unsent(&mut self, series: &Series, end: Instant) {
        self.outcome.unsent += series.count;
        let longest = end.saturating_duration_since(series.first);
        self.outcome.unanswered.record_evenly(longest, series.gap_seconds, series.count);
    }

    /// A message that counts was in flight on a connection that failed, `waited` after it was due.
    pub(super) fn lost(&mut self, waited: Duration) {
        self.outcome.lost += 1;
        self.outcome.unanswered.record(waited);
    }

    /// A message that counts as lost has come after all.
    pub(super) fn came_late(&mut self) {
        self.outcome.lost -= 1;
        self.outcome.late += 1;
    }

    /// An echo of a message that counts came once more.
    pub(super) fn came_again(&mut self) {
        self.outcome.duplicates += 1;
    }

    /// The echo of a message that counts came after that of a later one.
    pub(super) fn came_out_of_order(&mut self) {
        self.outcome.reordered += 1;
    }

    /// This machine has dropped `n` datagrams that had come back.
    pub(super) fn dropped(&mut self, n: u64) {
        self.outcome.dropped += n;
    }

    /// What the run costs this client.
    #[inline]
    pub(super) fn cost(&mut self) -> &mut Cost {
        &mut self.cost
    }

    /// This client did not run for `stood`, while messages were in flight on `connections`.
    pub(super) fn stood_still(&mut self, stood: Duration, connections: u64) {
        if self.start.is_none() || self.is_over {
            return;
        }
        self.outcome.standstill += stood;
        // An open loop is late with what fell due meanwhile, which shows by itself.
        if self.outcome.rate_target.is_none() {
            self.outcome.lag.record_evenly(stood, 0.0, connections);
        }
    }

    /// A connection has failed, or the run.
    pub(super) fn failed(&mut self, failed: ConnectionFailure) {
        self.outcome.failure_count += 1;
        *self.outcome.failure_counts.entry(failed.failure.kind()).or_default() += 1;
        self.outcome.has_wrong_bytes |= failed.failure.is_wrong();
        if self.outcome.failures.len() < MAX_RECORDED {
            self.outcome.failures.push(failed);
        } else {
            self.keep_rare(failed);
        }
    }

    /// Keeps one more failure if it is the first of its kind, or ended the run. It replaces the last that is neither.
    fn keep_rare(&mut self, failed: ConnectionFailure) {
        let all = &mut self.outcome.failures;
        let kind = failed.failure.kind();
        let is_known = all.iter().any(|kept| kept.failure.kind() == kind);
        if is_known && !failed.is_fatal {
            return;
        }
        let is_common = |at: &usize| {
            let kept = &all[*at];
            let is_alike = |other: &ConnectionFailure| other.failure.kind() == kept.failure.kind();
            !kept.is_fatal && all[..*at].iter().any(is_alike)
        };
        if let Some(at) = (0..all.len()).rev().find(is_common) {
            all.remove(at);
            all.push(failed);
        }
    }

    /// How many failures there were.
    pub(super) fn failures(&self) -> u64 {
        self.outcome.failure_count
    }

    /// Messages that count and are answered, late, lost or abandoned.
    pub(super) fn finished(&self) -> u64 {
        self.outcome.messages + self.outcome.unanswered_count()
    }

    /// Messages that count and are answered.
    pub(super) fn messages(&self) -> u64 {
        self.outcome.messages
    }

    /// Echoes that have come within the measured part.
    pub(super) fn arrivals(&self) -> u64 {
        self.outcome.messages_in_time + self.current.messages
    }

    /// The run ends since something has failed.
    pub(super) fn mark_failed(&mut self) {
        self.outcome.end = End::Failed;
    }

    /// The run ends since the user asks for it.
    pub(super) fn mark_interrupted(&mut self) {
        if self.outcome.end == End::Complete {
            self.outcome.end = End::Interrupted;
        }
    }

    /// Closes the intervals that ended before `now`. One that ends at `now` may be the last, to which everything belongs
    /// that is known later.
    pub(super) fn close_intervals(&mut self, now: Instant, reporter: &mut impl Reporter) {
        let Some(start) = self.start else { return };
        while now.saturating_duration_since(start) > self.current.start + self.interval_length {
            self.close_interval(self.interval_length, reporter);
        }
    }

    /// When the current interval can be closed, if the measured part has begun.
    pub(super) fn interval_end(&self) -> Option<Instant> {
        Some(self.start? + self.current.start + self.interval_length + Duration::from_nanos(1))
    }

    fn close_interval(&mut self, length: Duration, reporter: &mut impl Reporter) {
        let Current { start, messages, bytes, responses } = &mut self.current;
        let interval = Interval {
            start: *start,
            length,
            messages: *messages,
            bytes: *bytes,
            responses: responses.count(),
            p50: responses.percentile(50.0),
            p99: responses.percentile(99.0),
            max: responses.max(),
        };
        reporter.interval(&interval, responses);
        // If memory runs out, the interval is missing from the list, and still part of the whole.
        if self.outcome.intervals.try_reserve(1).is_ok() {
            self.outcome.intervals.push(interval);
        }
        self.outcome.messages_in_time += *messages;
        self.outcome.bytes_in_time += *bytes;
        self.outcome.response.add(responses);
        *start += length;
        (*messages, *bytes) = (0, 0);
        responses.clear();
    }

    /// The measured part ended at `end`, unless it ended before.
    pub(super) fn end(&mut self, end: Instant, clock: &impl Clock, reporter: &mut impl Reporter) {
        let Some(start) = self.start.filter(|_| !self.is_over) else { return };
        self.is_over = true;
        self.close_intervals(end, reporter);
        self.outcome.measured = end.saturating_duration_since(start);
        if let Some(Usage { busy, cpu, spin_cpu }) = self.cost.end(clock) {
            (self.outcome.busy, self.outcome.cpu, self.outcome.spin_cpu) = (busy, cpu, spin_cpu);
        }
    }

    /// The run is over.
    pub(super) fn finish(mut self, reporter: &mut impl Reporter) -> Outcome {
        // A run in which no echo came back is no success.
        if self.outcome.messages == 0 && self.outcome.end == End::Complete {
            self.mark_failed();
        }
        let rest = self.outcome.measured.saturating_sub(self.current.start);
        // The last interval includes the responses that came after its end. Its length does not.
        if !rest.is_zero() || !self.current.responses.is_empty() {
            self.close_interval(rest, reporter);
        }
        self.outcome
    }
}
