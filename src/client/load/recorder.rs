//! Bookkeeping: from single messages to an [`Outcome`].

use std::time::{Duration, Instant, SystemTime};

use super::cost::{Cost, Usage};
use super::outcome::TROUBLES_KEPT;
use super::schedule::Series;
use super::{Cause, End, Interval, Outcome, Reporter, Trouble};
use crate::client::latency::Latency;
use crate::client::probe::{Fault, Message};

/// Enters what happens into an outcome.
#[derive(Debug)]
pub(super) struct Recorder {
    outcome: Outcome,
    /// When the measured part began, once it has.
    start: Option<Instant>,
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
    pub(super) fn new(interval: Duration, rate_target: Option<f64>) -> Self {
        Self {
            outcome: Outcome { rate_target, ..Outcome::nothing(SystemTime::now()) },
            start: None,
            is_over: false,
            cost: Cost::default(),
            interval_length: interval,
            current: Current {
                start: Duration::ZERO,
                messages: 0,
                bytes: 0,
                responses: Latency::new(),
            },
        }
    }

    /// The measured part has begun.
    pub(super) fn start(&mut self, at: Instant, reporter: &mut impl Reporter) {
        self.start = Some(at);
        self.cost.start();
        self.outcome.began = SystemTime::now() - at.elapsed();
        reporter.start(self.outcome.began);
    }

    pub(super) fn connected(&mut self, took: Duration) {
        self.outcome.connections_made += 1;
        self.outcome.connect.record(took);
    }

    /// The last byte of an echo came while the measured part went on, whenever its message was begun.
    #[inline]
    pub(super) fn arrived(&mut self, message: &Message) {
        self.current.messages += 1;
        self.current.bytes += message.bytes as u64;
    }

    /// The last byte of a message that counts came at `now`, perhaps after the end of the measured part, and
    /// it `took` so long since it was sent.
    #[inline]
    pub(super) fn complete(&mut self, message: &Message, took: Duration, now: Instant) {
        // In a closed loop mostly the same.
        let waited = if message.due == message.sent { took } else { now - message.due };
        self.current.responses.record(waited);
        self.outcome.service.record(took);
        self.outcome.messages += 1;
    }

    /// A message that counts was taken off the schedule this late.
    pub(super) fn late(&mut self, lag: Duration) {
        self.outcome.lag.record(lag);
    }

    /// Messages that count were taken off the schedule at `now`, and only now.
    pub(super) fn late_all(&mut self, series: &Series, now: Instant) {
        let longest = now.saturating_duration_since(series.first);
        self.outcome.lag.record_evenly(longest, series.gap_seconds, series.count);
    }

    /// Messages that count were never sent by `end`, and will not be.
    pub(super) fn unsent(&mut self, series: &Series, end: Instant) {
        self.outcome.unsent += series.count;
        let longest = end.saturating_duration_since(series.first);
        self.outcome.unanswered.record_evenly(longest, series.gap_seconds, series.count);
    }

    /// A message that counts was in flight when its connection died, after it had waited for `waited`.
    pub(super) fn lost(&mut self, waited: Duration) {
        self.outcome.lost += 1;
        self.outcome.unanswered.record(waited);
    }

    /// What this client does with its time.
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

    pub(super) fn trouble(&mut self, trouble: Trouble) {
        self.outcome.trouble_count += 1;
        *self.outcome.trouble_counts.entry(trouble.cause.kind()).or_default() += 1;
        self.outcome.is_wrong |= matches!(&trouble.cause, Cause::Fault(fault) if fault.is_wrong());
        if self.outcome.troubles.len() < TROUBLES_KEPT {
            self.outcome.troubles.push(trouble);
        } else {
            self.keep_rare(trouble);
        }
    }

    /// Keeps a trouble beyond the first if it is the first of its kind, or ended the run: in the place of the
    /// last that is not.
    fn keep_rare(&mut self, trouble: Trouble) {
        let troubles = &mut self.outcome.troubles;
        let kind = trouble.cause.kind();
        let is_known = troubles.iter().any(|kept| kept.cause.kind() == kind);
        if is_known && !trouble.is_fatal {
            return;
        }
        let is_common = |at: &usize| {
            let kept = &troubles[*at];
            let is_alike = |other: &Trouble| other.cause.kind() == kept.cause.kind();
            !kept.is_fatal && troubles[..*at].iter().any(is_alike)
        };
        if let Some(at) = (0..troubles.len()).rev().find(is_common) {
            troubles.remove(at);
            troubles.push(trouble);
        }
    }

    pub(super) fn failures(&self) -> u64 {
        self.outcome.trouble_count
    }

    /// Messages that count of which it is known what became of them.
    pub(super) fn settled(&self) -> u64 {
        self.outcome.messages + self.outcome.lost + self.outcome.unsent
    }

    pub(super) fn messages(&self) -> u64 {
        self.outcome.messages
    }

    /// Echoes that have come while the measured part went on.
    pub(super) fn arrivals(&self) -> u64 {
        self.outcome.messages_in_time + self.current.messages
    }

    pub(super) fn mark_failed(&mut self) {
        self.outcome.end = End::Failed;
    }

    pub(super) fn mark_interrupted(&mut self) {
        if self.outcome.end == End::Complete {
            self.outcome.end = End::Interrupted;
        }
    }

    /// Closes the intervals that were over before `now`. One that ends just then may be the last one, to
    /// which all belongs that comes to light after it.
    pub(super) fn roll(&mut self, now: Instant, reporter: &mut impl Reporter) {
        let Some(start) = self.start else { return };
        while now.saturating_duration_since(start) > self.current.start + self.interval_length {
            self.close(self.interval_length, reporter);
        }
    }

    fn close(&mut self, length: Duration, reporter: &mut impl Reporter) {
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
        // Very many in very little memory are not kept; their figures are part of the whole.
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

    /// The measured part is over, and was so at `end`, unless it was over before.
    pub(super) fn end(&mut self, end: Instant, reporter: &mut impl Reporter) {
        let Some(start) = self.start.filter(|_| !self.is_over) else { return };
        self.is_over = true;
        self.roll(end, reporter);
        self.outcome.measured = end.saturating_duration_since(start);
        if let Some(Usage { busy, cpu, spin_cpu }) = self.cost.end() {
            (self.outcome.busy, self.outcome.cpu, self.outcome.spin_cpu) = (busy, cpu, spin_cpu);
        }
    }

    /// All is over.
    pub(super) fn finish(mut self, reporter: &mut impl Reporter) -> Outcome {
        // What brought nothing back has not gone well, whatever else can be said of it.
        if self.outcome.messages == 0 && self.outcome.end == End::Complete {
            self.mark_failed();
        }
        let rest = self.outcome.measured.saturating_sub(self.current.start);
        // What came to light after the end belongs to the last interval, whose length it does not change.
        if !rest.is_zero() || !self.current.responses.is_empty() {
            self.close(rest, reporter);
        }
        self.outcome
    }
}

/// A fault, where the connection is at no fault when it has nothing to say.
impl From<Fault> for Cause {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Ended { received, sent, error: None } if received == sent => Self::Left,
            fault => Self::Fault(fault),
        }
    }
}
