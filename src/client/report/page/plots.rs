//! The plots of a run.

use std::time::Duration;

use maud::{Markup, html};

use super::super::run_data::RunData;
use super::NOTHING;
use super::plot::{Line, STYLES, svg};
use super::scale::Axis;
use crate::client::load::Interval;
use crate::text::format::{rate_mark, time_mark};

/// The styles of a baseline's lines follow those of the run's, in the same order.
const OF_BASELINE: u8 = STYLES / 2;

/// The lines of a plot, and its legend.
#[derive(Default)]
struct Figure {
    lines: Vec<Line>,
    legend: Vec<(u8, String)>,
}

impl Figure {
    /// Adds a line, in several pieces if it has gaps. A line without points is not in the legend.
    fn add(&mut self, style: u8, name: &str, pieces: impl Iterator<Item = Vec<(f64, f64)>>) {
        let name = if style > OF_BASELINE { format!("{name}, baseline") } else { name.into() };
        let before = self.lines.len();
        let lines = pieces.map(|mut points| {
            // A message alone is its own minimum and maximum.
            points.dedup();
            Line { style, points }
        });
        self.lines.extend(lines.filter(|line| !line.points.is_empty()));
        if self.lines.len() > before {
            self.legend.push((style, name));
        }
    }

    /// The minimum and the maximum over all points of one of their coordinates.
    fn bounds(&self, coordinate: impl Fn(&(f64, f64)) -> f64) -> (f64, f64) {
        let values = self.lines.iter().flat_map(|line| line.points.iter().map(&coordinate));
        values.fold((f64::MAX, 0.0), |(min, max), value| (min.min(value), max.max(value)))
    }

    fn html(&self, title: &str, x: Axis, y: Axis) -> Markup {
        let legend = html! {
            ul.legend {
                @for (style, name) in &self.legend {
                    li {
                        svg viewBox="0 0 160 40" aria-hidden="true" {
                            line class={ "line" (style) } x1="0" y1="20" x2="160" y2="20" {}
                        }
                        " " (name)
                    }
                }
            }
        };
        figure(title, legend, svg(title, x, y, &self.lines))
    }
}

fn figure(title: &str, legend: Markup, content: Markup) -> Markup {
    html! {
        figure {
            figcaption {
                h2 { (title) }
                (legend)
            }
            (content)
        }
    }
}

/// A sentence in place of a plot.
fn nothing(title: &str) -> Markup {
    figure(title, html! {}, html! { p { (NOTHING) } })
}

/// The run with the style of its first line, and the baseline with its own.
fn both<'a>(
    run: &'a RunData,
    baseline: Option<&'a RunData>,
) -> impl Iterator<Item = (&'a RunData, u8)> {
    [(run, 1)].into_iter().chain(baseline.map(|baseline| (baseline, 1 + OF_BASELINE)))
}

/// The latency at each percentile.
pub fn by_percentile(run: &RunData, baseline: Option<&RunData>) -> Markup {
    const TITLE: &str = "Latency by percentile";
    let mut figure = Figure::default();
    for (of, style) in both(run, baseline) {
        let response = by_rarity(&of.response_curve, of.response.count);
        let name = if of.has_one_latency() { "latency" } else { "response" };
        figure.add(style, name, [response].into_iter());
        if !of.has_one_latency() {
            let service = by_rarity(&of.service_curve, of.service.count);
            figure.add(style + 1, "service", [service].into_iter());
        }
    }
    if figure.lines.is_empty() {
        return nothing(TITLE);
    }
    let (_, most) = figure.bounds(|(one_in, _)| *one_in);
    let (min, max) = figure.bounds(|(_, time)| *time);
    figure.html(TITLE, Axis::percentiles(most), Axis::logarithmic(min, max, time_mark))
}

/// Each time with the number of messages to one that took longer: 100 for p99. For the longest time it is the
/// number of all messages.
fn by_rarity(curve: &[(f64, u64)], count: u64) -> Vec<(f64, f64)> {
    let rarity = |percentile: f64| (100.0 / (100.0 - percentile)).clamp(1.0, count.max(1) as f64);
    curve.iter().map(|(percentile, time)| (rarity(*percentile), at_least_one(*time))).collect()
}

/// On a logarithmic axis there is no place for 0.
fn at_least_one(nanoseconds: u64) -> f64 {
    nanoseconds.max(1) as f64
}

/// The rate in each interval.
pub fn throughput(run: &RunData, baseline: Option<&RunData>) -> Markup {
    const TITLE: &str = "Messages a second over time";
    let mut figure = Figure::default();
    for (of, style) in both(run, baseline) {
        let lasting = of.intervals.iter().filter(|interval| !interval.length.is_zero());
        let rate = |i: &Interval| (middle(i), i.rate());
        figure.add(style, "rate", [lasting.map(rate).collect()].into_iter());
    }
    let (_, most) = figure.bounds(|(_, rate)| *rate);
    if most == 0.0 {
        return nothing(TITLE);
    }
    // Some room above the highest rate, which would lie on the frame otherwise.
    over_seconds(figure, TITLE, both(run, baseline), |_| Axis::linear(1.05 * most, rate_mark))
}

/// The latency in each interval.
pub fn over_time(run: &RunData, baseline: Option<&RunData>) -> Markup {
    const TITLE: &str = "Latency over time";
    type Time = fn(&Interval) -> Duration;
    const TIMES: [(&str, Time); 3] = [("p50", |i| i.p50), ("p99", |i| i.p99), ("max", |i| i.max)];
    let mut figure = Figure::default();
    for (of, style) in both(run, baseline) {
        for ((name, time), style) in TIMES.into_iter().zip(style..) {
            // An interval without responses has no latency: a line across it would invent one.
            let pieces = of.intervals.split(|interval| interval.responses == 0);
            let point = |i: &Interval| (middle(i), at_least_one(time(i).as_nanos() as u64));
            figure.add(style, name, pieces.map(|piece| piece.iter().map(point).collect()));
        }
    }
    if figure.lines.is_empty() {
        return nothing(TITLE);
    }
    over_seconds(figure, TITLE, both(run, baseline), |figure| {
        let (min, max) = figure.bounds(|(_, time)| *time);
        Axis::logarithmic(min, max, time_mark)
    })
}

fn middle(interval: &Interval) -> f64 {
    interval.start.as_secs_f64() + interval.length.as_secs_f64() / 2.0
}

/// A figure whose points lie at seconds. Its axis covers the longest run, in a unit that fits.
fn over_seconds<'a>(
    mut figure: Figure,
    title: &str,
    runs: impl Iterator<Item = (&'a RunData, u8)>,
    y: impl Fn(&Figure) -> Axis,
) -> Markup {
    let ends = runs.filter_map(|(run, _)| run.intervals.last());
    let end = ends.map(|i| i.start.as_secs_f64() + i.length.as_secs_f64()).fold(1e-3, f64::max);
    let (unit, name) = match end {
        _ if end >= 7200.0 => (3600.0, "h"),
        _ if end >= 120.0 => (60.0, "min"),
        _ => (1.0, "s"),
    };
    for (at, _) in figure.lines.iter_mut().flat_map(|line| &mut line.points) {
        *at /= unit;
    }
    let marked = |value: f64| format!("{} {name}", (value * 1e6).round() / 1e6);
    figure.html(title, Axis::linear(end / unit, marked), y(&figure))
}
