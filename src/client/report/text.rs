//! A run as a summary in aligned text, and each of its intervals as a line.

use std::fmt;
use std::time::Duration;

use super::table::{latency_columns, rows};
use crate::client::latency::{Latency, LatencySummary};
use crate::client::load::{
    ConnectionFailure, End, Interval, Length, Objective, Options, Outcome, Search,
};
use crate::net::Addr;
use crate::text::format::{byte_rate, count, counted, elapsed, percent, rate, setting, time};
use crate::text::{Escaped, wrapped};

/// The header of the lines that [`interval_line`] makes.
pub const INTERVAL_HEADER: &str =
    "    time        msg/s   throughput         p50         p99         max";

/// An interval in a line, under [`INTERVAL_HEADER`]. Its time is that of its end.
pub fn interval_line(interval: &Interval) -> String {
    let times = [interval.p50, interval.p99, interval.max].map(|time| match interval.responses {
        0 => "-".into(),
        _ => elapsed(time),
    });
    let [p50, p99, max] = times;
    format!(
        "{:>6.1} s {:>12} {:>12} {p50:>11} {p99:>11} {max:>11}",
        (interval.start + interval.length).as_secs_f64(),
        rate(interval.rate()),
        byte_rate(interval.byte_rate()),
    )
}

/// The width of a label, and of the space behind it.
const LABEL: usize = 14;

/// A run in a screenful of text.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a> {
    pub outcome: &'a Outcome,
    pub options: &'a Options,
    /// The width of the terminal. Longer lines are broken.
    pub columns: usize,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(ending) = ending(self.outcome, None) {
            writeln!(f, "{}", wrapped(&ending, 0, self.columns))?;
        }
        writeln!(f)?;
        self.flow(f)?;
        writeln!(f)?;
        self.latencies(f)?;
        writeln!(f)?;
        self.client(f)?;
        self.failures(f)
    }
}

impl Summary<'_> {
    /// A line with a label, aligned with the others.
    fn line(
        &self,
        f: &mut fmt::Formatter<'_>,
        label: &str,
        text: impl fmt::Display,
    ) -> fmt::Result {
        let line = format!("{label:<LABEL$}{text}");
        writeln!(f, "{}", wrapped(&line, LABEL, self.columns))
    }

    fn flow(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = self.outcome;
        let rate = format!("{} messages/s", rate(outcome.rate()));
        let messages = counted(outcome.messages_in_time, "message", "messages");
        let measured = elapsed(outcome.measured);
        let rate = match asked(outcome) {
            Some(asked) => format!("{rate} {asked}, {messages} in {measured}"),
            None => format!("{rate} ({messages} in {measured})"),
        };
        self.line(f, "rate", rate)?;
        self.line(f, "throughput", format_args!("{} one way", byte_rate(outcome.byte_rate())))
    }

    fn latencies(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = latency_columns(self.outcome, self.options);
        let cells = |f: &mut fmt::Formatter<'_>, label: &str, cells: Vec<String>| {
            write!(f, "{label:<8}")?;
            cells.iter().try_for_each(|cell| write!(f, "{cell:>12}"))?;
            writeln!(f)
        };
        cells(f, "", columns.iter().map(|(name, _)| (*name).into()).collect())?;
        for (label, times) in rows(&columns) {
            let times = times.into_iter().map(|time| time.map_or("-".into(), self::time));
            cells(f, label, times.collect())?;
        }
        Ok(())
    }

    /// Connecting, this client, and what a reader must know about it to trust the figures.
    fn client(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = self.outcome;
        self.line(f, "connecting", connecting(outcome))?;
        let this = [Some(cost(outcome)), lateness(&outcome.lag)];
        self.line(f, "this client", this.into_iter().flatten().collect::<Vec<_>>().join(", "))?;
        datagrams(self.outcome, self.options)
            .iter()
            .try_for_each(|text| self.line(f, "datagrams", text))?;
        unanswered(outcome).iter().try_for_each(|text| self.line(f, "unanswered", text))?;
        outcome.client_limit().iter().try_for_each(|limit| self.line(f, "limit", limit))?;
        outcome.warning().iter().try_for_each(|warning| self.line(f, "warning", warning))
    }

    /// Each kind of failure once, with its number and its first. The one that ended the run is not described:
    /// the last line, on standard error, does that.
    fn failures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.outcome.failure_count == 0 {
            return Ok(());
        }
        self.line(f, "failures", count(self.outcome.failure_count))?;
        for (kind, n, first) in kinds(self.outcome) {
            let first = first.filter(|first| !first.is_fatal).map(described);
            let text = format!("  {kind:<9} {:>10}  {}", count(n), first.unwrap_or_default());
            writeln!(f, "{}", wrapped(text.trim_end(), LABEL, self.columns))?;
        }
        Ok(())
    }
}

/// The plan of a run, or of a search for the highest rate, in a line.
pub fn header(options: &Options, objective: Option<Objective>) -> String {
    let plan = match objective {
        Some(objective) => plan_of(options, format!("the highest rate with {objective}")),
        None => plan(options),
    };
    format!("{}: {plan}", options.server)
}

/// The plan of a run, in a line.
pub(super) fn plan(options: &Options) -> String {
    let kind = match options.rate {
        None => "closed loop".into(),
        Some(target) => format!("open loop at {} messages/s", rate(target)),
    };
    plan_of(options, kind)
}

fn plan_of(options: &Options, kind: String) -> String {
    let mut parts = vec![
        counted(options.connections as u64, "connection", "connections"),
        kind,
        format!("up to {} in flight on each", count(options.depth as u64)),
        sizes(*options.sizes.start() as u64, *options.sizes.end() as u64),
    ];
    if let Some(every) = options.reconnect_every {
        parts.push(format!("a new connection after {}", counted(every, "message", "messages")));
    }
    let length = match options.length {
        Length::Time(length) => setting(length),
        Length::Messages(n) => counted(n, "message", "messages"),
    };
    parts.push(match options.warmup {
        Duration::ZERO => length,
        warmup => format!("{length} after {} of warm-up", setting(warmup)),
    });
    parts.join(", ")
}

fn sizes(min: u64, max: u64) -> String {
    if min < max {
        format!("messages of {} to {} bytes", count(min), count(max))
    } else {
        format!("messages of {}", counted(min, "byte", "bytes"))
    }
}

/// How a run or its search ended, unless it ended as planned: then its figures are about a part of it.
pub(super) fn ending(outcome: &Outcome, search: Option<&Search>) -> Option<String> {
    if search.is_some_and(|search| search.is_interrupted) {
        return Some("The search was interrupted before it was done.".into());
    }
    let how = match outcome.end {
        End::Complete => return None,
        End::Interrupted => "was interrupted",
        End::Failed => "failed",
    };
    if outcome.measured.is_zero() {
        return Some(format!("The run {how} before anything was measured."));
    }
    let after = elapsed(outcome.measured);
    Some(format!("The run {how} after {after} of measuring; all figures are about that part."))
}

/// How many messages were not answered in time, if any. No figure of the responses includes them.
pub(super) fn unanswered(outcome: &Outcome) -> Option<String> {
    if outcome.unanswered.is_empty() {
        return None;
    }
    let messages = counted(outcome.unanswered_count(), "message", "messages");
    let [min, max] = [outcome.unanswered.min(), outcome.unanswered.max()].map(elapsed);
    let range = if min == max { min } else { format!("{min} to {max}") };
    let parts = [
        (outcome.unsent, "not sent by the end"),
        (outcome.lost, "lost in flight"),
        (outcome.late, "late"),
    ];
    let parts =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", count(*n)));
    let parts = parts.collect::<Vec<_>>().join(", ");
    Some(format!(
        "{messages} ({parts}); each waited {range} without an answer, and the response times do not include them"
    ))
}

/// What became of the datagrams of a run over UDP.
pub(super) fn datagrams(outcome: &Outcome, options: &Options) -> Option<String> {
    let Outcome { lost, late, duplicates, reordered, .. } = *outcome;
    matches!(options.server, Addr::Udp { .. }).then(|| {
        let [lost, late, reordered] = [lost, late, reordered].map(count);
        let duplicates = counted(duplicates, "duplicate", "duplicates");
        let part = percent(outcome.lost_fraction());
        format!("{lost} lost ({part}), {late} late, {duplicates}, {reordered} reordered")
    })
}

/// How late this client was, if it had a schedule.
pub(super) fn lateness(lag: &Latency) -> Option<String> {
    let LatencySummary { p99, max, .. } = LatencySummary::of(lag);
    let max = time(max?);
    Some(match p99 {
        Some(p99) => format!("late by {} (p99), {max} (max)", time(p99)),
        None => format!("late by up to {max}"),
    })
}

/// The rate that was asked for, if the run missed it.
pub(super) fn asked(outcome: &Outcome) -> Option<String> {
    let target = outcome.rate_target.filter(|_| outcome.has_missed_rate())?;
    Some(format!("of {} asked ({})", rate(target), percent(outcome.rate() / target)))
}

/// The processor time that this client used, for its work and for busy-waiting.
pub(super) fn cost(outcome: &Outcome) -> String {
    let of_one = |cpu: Duration| {
        let whole = outcome.measured.as_secs_f64();
        let part = if whole > 0.0 { cpu.as_secs_f64() / whole } else { 0.0 };
        format!("{} of a processor ({})", percent(part), elapsed(cpu))
    };
    let Outcome { cpu, spin_cpu: spin, .. } = *outcome;
    if spin.is_zero() {
        return of_one(cpu);
    }
    let work = of_one(cpu.saturating_sub(spin));
    format!("{work} for its work, {} for busy-waiting (--spin)", of_one(spin))
}

/// How many connections were made, and how long that took.
fn connecting(outcome: &Outcome) -> String {
    let made = format!("{} made", counted(outcome.connections_made, "connection", "connections"));
    let rows = LatencySummary::of(&outcome.connect).rows();
    let shown = rows.iter().filter(|(name, _)| ["p50", "p99", "max"].contains(name));
    let times = shown.filter_map(|(name, t)| Some(format!("{name} {}", time((*t)?))));
    [made].into_iter().chain(times).collect::<Vec<_>>().join(", ")
}

/// The kinds of failure, how many there are of each, and the first of each.
pub(super) fn kinds(
    outcome: &Outcome,
) -> impl Iterator<Item = (&'static str, u64, Option<&ConnectionFailure>)> {
    outcome.failure_counts.iter().map(|(kind, n)| {
        let first = outcome.failures.iter().find(|failure| failure.failure.kind() == *kind);
        (*kind, *n, first)
    })
}

/// A failure in a line, safe to print.
pub(super) fn described(failure: &ConnectionFailure) -> String {
    Escaped(&failure.to_string()).to_string()
}

#[cfg(test)]
mod tests;
