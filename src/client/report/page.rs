//! A run as a page: one file, with its plots in it, that needs neither a network nor a script.

use std::io;

use maud::{DOCTYPE, Markup, PreEscaped, Render, html};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::json::Report;
use super::run_data::RunData;
use super::table::{latency_columns, rows};
use super::text::{asked, cost, datagrams, described, ending, kinds, lateness, plan, unanswered};
use crate::client::latency::LatencySummary;
use crate::client::load::{Outcome, Search, Trial};
use crate::text::Escaped;
use crate::text::format::{byte_rate, count, counted, elapsed, rate, time};
use crate::text::shell::quoted;

mod scale;
mod plot;
mod plots;
mod comparison;

const STYLE: &str = include_str!("page/style.css");

/// In place of figures and plots.
const NOTHING: &str = "No message came back during the measurement.";

/// The page of a run, with its baseline beside it if there is one.
///
/// # Errors
///
/// If the run's own JSON cannot be made, or read back.
pub fn render(report: &Report<'_>, baseline: Option<&RunData>) -> io::Result<String> {
    let run = RunData::of(report)?;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy"
                    content="default-src 'none'; style-src 'unsafe-inline'";
                title { "resound load " (report.options.server) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (headline(report))
                (notes(report))
                @if let Some(search) = report.search { (section("Search", tried(search))) }
                (section("Latency", latencies(report)))
                (plots::by_percentile(&run, baseline))
                (plots::throughput(&run, baseline))
                (plots::over_time(&run, baseline))
                @if let Some(baseline) = baseline { (comparison::tables(&run, baseline)) }
                (section("This client", client(report.outcome)))
                (section("Conditions", conditions(report)))
            }
        }
    };
    Ok(visible(&page.into_string()))
}

/// The template escapes markup. This escapes what could reorder the text beside it, or hide in it.
fn visible(page: &str) -> String {
    page.lines().map(|line| format!("{}\n", Escaped(line))).collect()
}

fn section(title: &str, content: Markup) -> Markup {
    html! {
        section {
            h2 { (title) }
            (content)
        }
    }
}

/// The plan, and the figures that matter most.
fn headline(report: &Report<'_>) -> Markup {
    let outcome = report.outcome;
    let response = LatencySummary::of(&outcome.response);
    let kind = if report.options.has_one_latency() { "latency" } else { "response" };
    let figures = [
        ("messages/s", "", rate(outcome.rate())),
        ("throughput", "one way", byte_rate(outcome.byte_rate())),
        ("p50", kind, figure(response.p50)),
        ("p99", kind, figure(response.p99)),
        ("p99.9", kind, figure(response.p99_9)),
        ("max", kind, figure(response.max)),
    ];
    html! {
        header {
            h1 { "resound load " b { (report.options.server) } }
            p { (plan(report.options)) }
            dl.figures {
                @for (name, of, figure) in figures {
                    div {
                        dt { (name) " " (of) }
                        dd { (figure) }
                    }
                }
            }
        }
    }
}

fn figure(nanoseconds: Option<u64>) -> String {
    nanoseconds.map_or("–".into(), time)
}

/// What a reader must know before trusting a figure.
fn notes(report: &Report<'_>) -> Markup {
    let outcome = report.outcome;
    let reached = |asked| format!("It reached {} messages/s {asked}.", rate(outcome.rate()));
    let limit = |why| format!("This client set the limit, not the server: {why}.");
    let notes: Vec<_> = [
        ending(outcome, report.search),
        asked(outcome).map(reached),
        outcome.client_limit().map(limit),
        outcome.warning().map(|warning| format!("Warning: {warning}.")),
        datagrams(outcome, report.options).map(|counts| format!("Datagrams: {counts}.")),
        unanswered(outcome).map(|unanswered| format!("Not answered in time: {unanswered}.")),
    ]
    .into_iter()
    .flatten()
    .collect();
    html! {
        @if !notes.is_empty() || outcome.failure_count > 0 {
            aside {
                @for note in notes { p { (note) } }
                @if outcome.failure_count > 0 { (failures(outcome)) }
            }
        }
    }
}

fn failures(outcome: &Outcome) -> Markup {
    html! {
        p {
            (counted(outcome.failure_count, "failure", "failures"))
            ". The first of each kind:"
        }
        ul {
            @for (kind, n, first) in kinds(outcome) {
                li {
                    (count(n)) " " b { (kind) }
                    @if let Some(first) = first { ": " (described(first)) }
                }
            }
        }
    }
}

fn latencies(report: &Report<'_>) -> Markup {
    let mut columns = latency_columns(report.outcome, report.options);
    columns.push(("connecting", LatencySummary::of(&report.outcome.connect)));
    let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
    let rows = rows(&columns);
    let cells = |row: Vec<_>| row.into_iter().map(figure).collect();
    let rows: Vec<_> = rows.into_iter().map(|(name, row)| (name.into(), cells(row))).collect();
    if rows.is_empty() {
        html! { p { (NOTHING) } }
    } else {
        table(&names, &rows)
    }
}

/// The rates that a search tried, and its result.
fn tried(search: &Search) -> Markup {
    let row = |trial: &Trial| {
        let kept = if trial.is_kept() { "yes" } else { "no" };
        (format!("{} messages/s", rate(trial.rate)), vec![kept.into(), trial.finding()])
    };
    let rows: Vec<_> = search.trials.iter().map(row).collect();
    html! {
        div.prose {
            p { (search) }
            (table(&["kept", "finding"], &rows))
        }
    }
}

/// A table with a name above each column and before each row.
fn table(columns: &[&str], rows: &[(String, Vec<String>)]) -> Markup {
    html! {
        div.scroll {
            table {
                tr {
                    th {}
                    @for name in columns { th scope="col" { (name) } }
                }
                @for (name, cells) in rows {
                    tr {
                        th scope="row" { (name) }
                        @for cell in cells { td { (cell) } }
                    }
                }
            }
        }
    }
}

fn list<const N: usize>(entries: [(&str, Option<Markup>); N]) -> Markup {
    html! {
        dl {
            @for (name, value) in entries {
                @if let Some(value) = value {
                    dt { (name) }
                    dd { (value) }
                }
            }
        }
    }
}

fn text(text: impl Render) -> Option<Markup> {
    Some(html! { (text) })
}

fn client(outcome: &Outcome) -> Markup {
    let was_bottleneck = if outcome.client_limit().is_some() { "yes" } else { "no" };
    list([
        ("took", text(cost(outcome))),
        ("schedule", lateness(&outcome.lag).and_then(text)),
        ("was the bottleneck", text(was_bottleneck)),
    ])
}

fn conditions(report: &Report<'_>) -> Markup {
    let (outcome, here) = (report.outcome, &report.conditions);
    let began = OffsetDateTime::from(outcome.began).truncate_to_second().format(&Rfc3339).ok();
    let processors = here.logical_cpus.map(|n| format!("{} for this client", count(n)));
    let messages = counted(outcome.messages_in_time, "message", "messages");
    list([
        ("command", Some(command(&report.command))),
        ("resound", text(report.resound_version)),
        ("system", text(format!("{} on {}", here.os, here.arch))),
        ("kernel", here.kernel.as_ref().and_then(text)),
        ("processor", here.cpu.as_ref().and_then(text)),
        ("processors", processors.and_then(text)),
        ("began", began.and_then(text)),
        ("measured", text(format!("{messages} in {}", elapsed(outcome.measured)))),
        ("connections", text(format!("{} made", count(outcome.connections_made)))),
    ])
}

/// A command line that a shell would take.
fn command(arguments: &[String]) -> Markup {
    html! {
        @for (i, argument) in arguments.iter().enumerate() {
            @if i > 0 { " " }
            span.argument { (quoted(argument)) }
        }
    }
}

#[cfg(test)]
mod tests;
