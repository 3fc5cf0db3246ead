//! A run as a page: one file, with its plots in it, that needs neither a network nor a script.

use std::fmt::{self, Write};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Report;
use super::text::{asked, cost, described, ending, kinds, lateness, plan, unanswered};
use super::times::{latency_columns, rows};
use crate::text::Escaped;
use crate::text::format::{byte_rate, count, counted, rate, seconds, time};

mod scale;
mod plot;
mod plots;
mod comparison;

const STYLE: &str = include_str!("page/style.css");

/// In place of figures and plots.
const NOTHING: &str = "<p>No message came back while it was measured.\n";

/// The page of a run, with an earlier one beside it where there is one.
pub fn render(report: &Report, baseline: Option<&Report>) -> String {
    let server = Html(&report.server);
    let parts = [
        headline(report),
        notes(report),
        search(report),
        section("Latency", &latencies(report)),
        plots::by_percentile(report, baseline),
        plots::throughput(report, baseline),
        plots::over_time(report, baseline),
        baseline.map_or(String::new(), |baseline| comparison::tables(report, baseline)),
        section("This client", &client(report)),
        section("Conditions", &conditions(report)),
    ];
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>resound load {server}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         {}</body>\n</html>\n",
        parts.concat()
    )
}

/// Text from outside, which must not be taken for markup, nor reorder what stands beside it.
struct Html<'a>(&'a str);

impl fmt::Display for Html<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(self.0).to_string().chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            _ => f.write_char(c),
        })
    }
}

fn section(title: &str, content: &str) -> String {
    format!("<section>\n<h2>{title}</h2>\n{content}</section>\n")
}

/// What was run, and the figures that matter.
fn headline(report: &Report) -> String {
    let response = &report.response_latency_nanoseconds;
    let shown = |figure: Option<u64>| figure.map_or("–".into(), time);
    let per_second = rate(report.rate_messages_per_second);
    let kind = if report.has_one_latency() { "latency" } else { "response" };
    let figures = [
        ("messages/s", "", per_second),
        ("throughput", "one way", byte_rate(report.throughput_bytes_per_second)),
        ("p50", kind, shown(response.p50)),
        ("p99", kind, shown(response.p99)),
        ("p99.9", kind, shown(response.p99_9)),
        ("max", kind, shown(response.max)),
    ];
    let figure = |(name, of, figure)| format!("<div><dt>{name} {of}<dd>{figure}</div>\n");
    let figures = figures.map(figure);
    let (server, plan) = (Html(&report.server), plan(&report.options));
    format!(
        "<header>\n<h1>resound load <b>{server}</b></h1>\n<p>{}\n<dl class=\"figures\">\n{}</dl>\n\
         </header>\n",
        Html(&plan),
        figures.concat()
    )
}

/// What to know before believing a figure.
fn notes(report: &Report) -> String {
    let limit = report.generator.why.as_ref();
    let limit = limit.map(|why| format!("It was not the server that set the limit: {why}."));
    let warning = report.generator.warning.as_ref().map(|warning| format!("Beware: {warning}."));
    let missed = asked(report).map(|asked| {
        format!("{} messages/s {asked} were reached.", rate(report.rate_messages_per_second))
    });
    let unanswered = unanswered(report).map(|unanswered| format!("Never answered: {unanswered}."));
    let notes = [ending(report), missed, limit, warning, unanswered].into_iter().flatten();
    let mut notes: Vec<_> = notes.map(|note| format!("<p>{}\n", Html(&note))).collect();
    if report.trouble_count > 0 {
        let what = counted(report.trouble_count, "thing", "things");
        let list: String = kinds(report)
            .map(|(kind, n, first)| {
                let first = first.map_or(String::new(), |first| format!(": {}", described(first)));
                format!("<li>{} <b>{}</b>{}\n", count(n), Html(kind), Html(&first))
            })
            .collect();
        notes.push(format!("<p>{what} went wrong; of each kind the first:\n<ul>\n{list}</ul>\n"));
    }
    if notes.is_empty() { String::new() } else { format!("<aside>\n{}</aside>\n", notes.concat()) }
}

fn latencies(report: &Report) -> String {
    let mut columns = latency_columns(report);
    columns.push(("connecting", &report.connect_latency_nanoseconds));
    let shown = |(name, row): (&str, Vec<Option<u64>>)| {
        (name.into(), row.into_iter().map(|cell| cell.map_or("–".into(), time)).collect())
    };
    let names: Vec<_> = columns.iter().map(|(name, _)| (*name).to_string()).collect();
    match rows(&columns) {
        none if none.is_empty() => NOTHING.into(),
        rows => table(&names, rows.into_iter().map(shown)),
    }
}

/// What was tried in a search, and what came of it.
fn search(report: &Report) -> String {
    let Some(search) = &report.search else { return String::new() };
    let names = ["kept", "finding"].map(Into::into);
    let rows = search.trials.iter().map(|trial| {
        let kept = if trial.was_kept { "yes" } else { "no" };
        let name = format!("{} messages/s", rate(trial.rate_per_second));
        (name, vec![kept.into(), Html(&trial.finding).to_string()])
    });
    let result = format!("<p>{}\n", Html(&search.result));
    section("Search", &(result + &table(&names, rows)))
}

/// A table of figures. What is in it is not escaped here.
fn table(names: &[String], rows: impl Iterator<Item = (String, Vec<String>)>) -> String {
    let names: String = names.iter().map(|name| format!("<th scope=\"col\">{name}")).collect();
    let rows: String = rows
        .map(|(name, cells)| {
            let cells: String = cells.iter().map(|cell| format!("<td>{cell}")).collect();
            format!("<tr><th scope=\"row\">{name}{cells}\n")
        })
        .collect();
    format!("<div class=\"scroll\"><table>\n<tr><th>{names}\n{rows}</table></div>\n")
}

fn list<const N: usize>(entries: [(&str, Option<String>); N]) -> String {
    let entries = entries.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let entries = entries.map(|(name, value)| format!("<dt>{name}<dd>{}\n", Html(&value)));
    format!("<dl>\n{}</dl>\n", entries.collect::<String>())
}

fn client(report: &Report) -> String {
    let generator = &report.generator;
    let was_bottleneck = if generator.was_bottleneck { "yes" } else { "no" };
    list([
        ("took", Some(cost(report))),
        ("schedule", lateness(&report.lag_nanoseconds)),
        ("was the bottleneck", Some(was_bottleneck.into())),
    ])
}

fn conditions(report: &Report) -> String {
    let here = &report.conditions;
    let began = OffsetDateTime::from_unix_timestamp(report.began_unix_seconds as i64).ok();
    let began = began.and_then(|began| began.format(&Rfc3339).ok());
    let measured = counted(report.messages_in_time, "message", "messages");
    list([
        ("command", Some(command(&report.command))),
        ("resound", Some(report.resound_version.clone())),
        ("system", Some(format!("{} on {}", here.os, here.arch))),
        ("kernel", here.kernel.clone()),
        ("processor", here.cpu.clone()),
        ("processors", here.logical_cpus.map(|n| format!("{} for this client", count(n)))),
        ("began", began),
        ("measured", Some(format!("{measured} in {}", seconds(report.measured_seconds)))),
        ("connections", Some(format!("{} made", count(report.connections_made)))),
    ])
}

/// A command line as a shell would take it.
fn command(arguments: &[String]) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_=+./:,@%[]".contains(c);
    let quoted = arguments.iter().map(|argument| match argument {
        plainly if !plainly.is_empty() && plainly.chars().all(plain) => plainly.clone(),
        other => format!("'{}'", other.replace('\'', "'\\''")),
    });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
