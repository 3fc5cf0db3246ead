//! A run as a summary in aligned text, and its intervals as a line each.

use std::fmt;

use super::Report;
use super::conditions::Conditions;
use super::json::{End, Generator, Options, Trouble};
use super::times::{Times, latency_columns, rows};
use crate::client::load::{self, Interval, Objective, Outcome};
use crate::text::format::{byte_rate, count, counted, percent, rate, seconds, time, time_mark};

/// Above the lines that [`interval_line`] makes.
pub const INTERVAL_HEADER: &str =
    "    time        msg/s   throughput         p50         p99         max";

/// An interval in a line, under [`INTERVAL_HEADER`]. Its time is when it ended.
pub fn interval_line(interval: &Interval) -> String {
    let length = interval.length.as_secs_f64();
    let per_second = |n: u64| if length > 0.0 { n as f64 / length } else { 0.0 };
    let times = [interval.p50, interval.p99, interval.max].map(|time| match interval.responses {
        0 => "-".into(),
        _ => self::time(time.as_nanos() as u64),
    });
    let [p50, p99, max] = times;
    format!(
        "{:>6.1} s {:>12} {:>12} {p50:>11} {p99:>11} {max:>11}",
        (interval.start + interval.length).as_secs_f64(),
        rate(per_second(interval.messages)),
        byte_rate(per_second(interval.bytes)),
    )
}

/// A run in a screenful, for people.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a>(pub &'a Outcome, pub &'a load::Options);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A person who has just started it knows the command and the machine.
        let report = Report::of(self.0, self.1, Vec::new(), Conditions::default());
        if let Some(ending) = ending(&report) {
            writeln!(f, "{ending}")?;
        }
        writeln!(f)?;
        flow(&report, f)?;
        latencies(&report, f)?;
        client(&report, f)?;
        troubles(&report, f)
    }
}

/// What is about to be done, in a line: a run, or a search for the highest rate.
pub fn header(options: &load::Options, objective: Option<Objective>) -> String {
    let server = &options.server;
    let options = options.into();
    let plan = match objective {
        Some(objective) => plan_of(&options, format!("the highest rate with {objective}")),
        None => plan(&options),
    };
    format!("{server}: {plan}")
}

/// What was run, in a line.
pub(super) fn plan(options: &Options) -> String {
    let kind = match options.rate_target_per_second {
        None => "closed loop".into(),
        Some(target) => format!("open loop at {} messages/s", rate(target)),
    };
    plan_of(options, kind)
}

fn plan_of(options: &Options, kind: String) -> String {
    let seconds = |seconds: f64| time_mark(seconds * 1e9);
    let mut parts = vec![
        counted(options.connections, "connection", "connections"),
        kind,
        format!("up to {} in flight on each", count(options.pipeline_depth)),
        sizes(options.message_bytes_min, options.message_bytes_max),
    ];
    if let Some(every) = options.reconnect_every_messages {
        parts.push(format!("a new connection after {}", counted(every, "message", "messages")));
    }
    let length = match (options.length_seconds, options.length_messages) {
        (Some(length), _) => seconds(length),
        (None, n) => counted(n.unwrap_or(0), "message", "messages"),
    };
    parts.push(match options.warmup_seconds {
        0.0 => length,
        warmup => format!("{length} after {} of warm-up", seconds(warmup)),
    });
    parts.join(", ")
}

fn sizes(min: u64, max: u64) -> String {
    match max {
        _ if min < max => format!("messages of {} to {} bytes", count(min), count(max)),
        _ => format!("messages of {}", counted(min, "byte", "bytes")),
    }
}

/// What to know about figures of a run that did not end as planned.
pub(super) fn ending(report: &Report) -> Option<String> {
    let how = match report.end {
        End::Complete => return None,
        End::Interrupted => "was interrupted",
        End::Failed => "failed",
    };
    let after = seconds(report.measured_seconds);
    if report.search.as_ref().is_some_and(|search| search.was_interrupted) {
        return Some("The search was interrupted; all figures are of what it got to.".into());
    }
    Some(match report.measured_seconds {
        0.0 => format!("The run {how} before anything was measured."),
        _ => {
            format!("The run {how} after {after} of measuring; all figures are of what it got to.")
        }
    })
}

/// What was never answered, if anything: it is in no figure of the responses.
pub(super) fn unanswered(report: &Report) -> Option<String> {
    let messages = counted(report.unanswered_messages, "message", "messages");
    let wait = &report.unanswered_wait_nanoseconds;
    let least = match (wait.min?, wait.max?) {
        (min, max) if time(min) == time(max) => format!("each waited {} in vain", time(min)),
        (min, max) => format!("each waited {} to {} in vain", time(min), time(max)),
    };
    let parts = [
        (report.unsent_messages, "not sent, for want of a connection with room for them"),
        (report.lost_messages, "lost with connections that died"),
    ];
    let parts =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", count(*n)));
    let parts = parts.collect::<Vec<_>>().join(", ");
    Some(format!("{messages} ({parts}); {least}, and no figure of responses includes them"))
}

/// How late this client was, where it had a plan to keep to.
pub(super) fn lateness(lag: &Times) -> Option<String> {
    let max = time(lag.max?);
    Some(match lag.p99 {
        Some(p99) => format!("late by {} (p99), {max} (max)", time(p99)),
        None => format!("late by up to {max}"),
    })
}

/// What rate was asked for, where it was missed.
pub(super) fn asked(report: &Report) -> Option<String> {
    let target = report.options.rate_target_per_second.filter(|_| report.has_missed_rate)?;
    let part = percent(report.rate_messages_per_second / target);
    Some(format!("of {} asked ({part})", rate(target)))
}

/// What this client cost: its work, and apart from that what it spent to be on time.
pub(super) fn cost(report: &Report) -> String {
    let of_one = |cpu: f64| {
        let whole = report.measured_seconds;
        let part = if whole > 0.0 { cpu / whole } else { 0.0 };
        format!("{} of a processor ({})", percent(part), seconds(cpu))
    };
    let Generator { cpu_seconds, spin_cpu_seconds: spin, .. } = report.generator;
    match spin {
        0.0 => of_one(cpu_seconds),
        _ => format!(
            "{} for its work, {} for busy-waiting (--spin)",
            of_one(cpu_seconds - spin),
            of_one(spin)
        ),
    }
}

/// A line with a label, aligned with the others.
fn line(f: &mut fmt::Formatter<'_>, label: &str, text: impl fmt::Display) -> fmt::Result {
    writeln!(f, "{label:<12}  {text}")
}

fn flow(report: &Report, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let messages = counted(report.messages_in_time, "message", "messages");
    let rate = rate(report.rate_messages_per_second);
    let measured = seconds(report.measured_seconds);
    match asked(report) {
        Some(asked) => {
            line(f, "rate", format_args!("{rate} messages/s {asked}, {messages} in {measured}"))?;
        }
        None => line(f, "rate", format_args!("{rate} messages/s ({messages} in {measured})"))?,
    }
    let throughput = byte_rate(report.throughput_bytes_per_second);
    line(f, "throughput", format_args!("{throughput} one way"))
}

fn latencies(report: &Report, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f)?;
    let columns = latency_columns(report);
    let cells = |f: &mut fmt::Formatter<'_>, label: &str, cells: Vec<String>| {
        write!(f, "{label:<8}")?;
        cells.iter().try_for_each(|cell| write!(f, "{cell:>12}"))?;
        writeln!(f)
    };
    cells(f, "", columns.iter().map(|(name, _)| (*name).into()).collect())?;
    for (label, times) in rows(&columns) {
        cells(
            f,
            label,
            times.into_iter().map(|time| time.map_or("-".into(), self::time)).collect(),
        )?;
    }
    writeln!(f)
}

/// Connecting, this client, and whether it can be trusted.
fn client(report: &Report, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let rows = report.connect_latency_nanoseconds.rows();
    let shown = rows.iter().filter(|(name, _)| ["p50", "p99", "max"].contains(name));
    let connect: Vec<_> =
        shown.filter_map(|(name, t)| Some(format!("{name} {}", time((*t)?)))).collect();
    let made = format!("{} made", counted(report.connections_made, "connection", "connections"));
    line(f, "connecting", [vec![made], connect].concat().join(", "))?;
    let generator = &report.generator;
    let this = [Some(cost(report)), lateness(&report.lag_nanoseconds)];
    line(f, "this client", this.into_iter().flatten().collect::<Vec<_>>().join(", "))?;
    if let Some(unanswered) = unanswered(report) {
        line(f, "unanswered", unanswered)?;
    }
    generator.why.iter().try_for_each(|why| line(f, "limit", why))?;
    generator.warning.iter().try_for_each(|warning| line(f, "warning", warning))
}

/// Each kind of trouble once, with its number and its first. What ended the run is left to the last line, on
/// standard error.
fn troubles(report: &Report, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if report.trouble_count == 0 {
        return Ok(());
    }
    line(f, "troubles", count(report.trouble_count))?;
    for (kind, n, first) in kinds(report) {
        let first = first.filter(|first| !first.is_fatal).map(described);
        let text = format!("  {kind:<9} {:>10}  {}", count(n), first.unwrap_or_default());
        writeln!(f, "{}", text.trim_end())?;
    }
    Ok(())
}

/// The kinds of trouble, how many there are of each, and the first of each.
pub(super) fn kinds(report: &Report) -> impl Iterator<Item = (&str, u64, Option<&Trouble>)> {
    report.trouble_counts.iter().map(|(kind, n)| {
        let first = report.troubles.iter().find(|trouble| trouble.kind == *kind);
        (kind.as_str(), *n, first)
    })
}

/// A trouble in a line, safe to print.
pub(super) fn described(trouble: &Trouble) -> String {
    let Some(connection) = trouble.connection else { return trouble.message.clone() };
    let from = trouble.local.as_ref().map(|local| format!(" (from {local})"));
    format!("connection {connection}{}: {}", from.unwrap_or_default(), trouble.message)
}

#[cfg(test)]
mod tests;
