//! Which plots there are of a run.

use super::super::Report;
use super::super::json::Interval;
use super::NOTHING;
use super::plot::{Line, STYLES, svg};
use super::scale::Axis;
use crate::text::format::{rate_mark, time_mark};

/// The styles of a baseline's lines follow those of the run's, in the same order.
const OF_BASELINE: u8 = STYLES / 2;

/// A plot under its title, with a legend, once something is in it.
#[derive(Default)]
struct Figure {
    lines: Vec<Line>,
    legend: Vec<(u8, String)>,
}

impl Figure {
    /// Adds a line, or more than one where it has gaps. Where there is nothing to draw it is not named.
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

    /// The least and the most of what is given of each point.
    fn bounds(&self, of: impl Fn(&(f64, f64)) -> f64) -> (f64, f64) {
        let values = self.lines.iter().flat_map(|line| line.points.iter().map(&of));
        values.fold((f64::MAX, 0.0), |(min, max), value| (min.min(value), max.max(value)))
    }

    fn html(&self, title: &str, x: Axis, y: Axis) -> String {
        let entry = |(style, name): &(u8, String)| {
            format!(
                "<li><svg viewBox=\"0 0 160 40\" aria-hidden=\"true\"><line class=\"line{style}\" \
                 x1=\"0\" y1=\"20\" x2=\"160\" y2=\"20\"/></svg> {name}\n"
            )
        };
        let legend: String = self.legend.iter().map(entry).collect();
        let plot = svg(title, x, y, &self.lines);
        figure(title, &format!("<ul class=\"legend\">\n{legend}</ul>\n"), &plot)
    }
}

fn figure(title: &str, legend: &str, content: &str) -> String {
    format!("<figure>\n<figcaption><h2>{title}</h2>\n{legend}</figcaption>\n{content}</figure>\n")
}

/// In place of a plot.
fn nothing(title: &str) -> String {
    figure(title, "", NOTHING)
}

/// The run with the style of its first line, and the baseline with its own.
fn both<'a>(
    report: &'a Report,
    baseline: Option<&'a Report>,
) -> impl Iterator<Item = (&'a Report, u8)> {
    [(report, 1)].into_iter().chain(baseline.map(|baseline| (baseline, 1 + OF_BASELINE)))
}

/// Latency by percentile.
pub fn by_percentile(report: &Report, baseline: Option<&Report>) -> String {
    const TITLE: &str = "Latency by percentile";
    let mut figure = Figure::default();
    for (of, style) in both(report, baseline) {
        let (name, service) =
            (if of.has_one_latency() { "latency" } else { "response" }, "service");
        let response = &of.response_percentile_curve_nanoseconds;
        let count = of.response_latency_nanoseconds.count;
        figure.add(style, name, [by_rarity(response, count)].into_iter());
        if !of.has_one_latency() {
            let count = of.service_latency_nanoseconds.count;
            let service_curve = &of.service_percentile_curve_nanoseconds;
            figure.add(style + 1, service, [by_rarity(service_curve, count)].into_iter());
        }
    }
    if figure.lines.is_empty() {
        return nothing(TITLE);
    }
    let (_, most) = figure.bounds(|(one_in, _)| *one_in);
    let (min, max) = figure.bounds(|(_, time)| *time);
    figure.html(TITLE, Axis::percentiles(most), Axis::logarithmic(min, max, time_mark))
}

/// Times by how many messages there are to one that took longer. To the longest there are as many as there
/// were messages.
fn by_rarity(curve: &[(f64, u64)], count: u64) -> Vec<(f64, f64)> {
    let rarity = |percentile: f64| (100.0 / (100.0 - percentile)).clamp(1.0, count.max(1) as f64);
    curve.iter().map(|(percentile, time)| (rarity(*percentile), time_of(*time))).collect()
}

/// On a logarithmic axis there is no place for 0.
fn time_of(nanoseconds: u64) -> f64 {
    nanoseconds.max(1) as f64
}

/// Messages a second, over time.
pub fn throughput(report: &Report, baseline: Option<&Report>) -> String {
    const TITLE: &str = "Messages a second over time";
    let mut figure = Figure::default();
    for (of, style) in both(report, baseline) {
        let lasting = of.intervals.iter().filter(|interval| interval.length_seconds > 0.0);
        let rate = |i: &Interval| (middle(i), i.messages as f64 / i.length_seconds);
        figure.add(style, "rate", [lasting.map(rate).collect()].into_iter());
    }
    let (_, most) = figure.bounds(|(_, rate)| *rate);
    if most == 0.0 {
        return nothing(TITLE);
    }
    timed(&mut figure, TITLE, &[report, baseline.unwrap_or(report)], |_| {
        Axis::linear(most, rate_mark)
    })
}

/// Latency over time.
pub fn over_time(report: &Report, baseline: Option<&Report>) -> String {
    const TITLE: &str = "Latency over time";
    type Figured = (&'static str, fn(&Interval) -> u64);
    const FIGURES: [Figured; 3] = [
        ("p50", |i| i.p50_nanoseconds),
        ("p99", |i| i.p99_nanoseconds),
        ("max", |i| i.max_nanoseconds),
    ];
    let mut figure = Figure::default();
    for (of, style) in both(report, baseline) {
        for ((name, time), style) in FIGURES.into_iter().zip(style..) {
            // Where nothing came back there is no latency, and a line across would make one up.
            let pieces = of.intervals.split(|interval| interval.responses == 0);
            let point = |i: &Interval| (middle(i), time_of(time(i)));
            figure.add(style, name, pieces.map(|piece| piece.iter().map(point).collect()));
        }
    }
    if figure.lines.is_empty() {
        return nothing(TITLE);
    }
    timed(&mut figure, TITLE, &[report, baseline.unwrap_or(report)], |figure| {
        let (min, max) = figure.bounds(|(_, time)| *time);
        Axis::logarithmic(min, max, time_mark)
    })
}

fn middle(interval: &Interval) -> f64 {
    interval.start_seconds + interval.length_seconds / 2.0
}

/// A figure whose points have seconds, as long as the longest of the runs.
fn timed(
    figure: &mut Figure,
    title: &str,
    runs: &[&Report],
    y: impl Fn(&Figure) -> Axis,
) -> String {
    let ends = runs.iter().filter_map(|run| run.intervals.last());
    let end = ends.map(|i| i.start_seconds + i.length_seconds).fold(1e-3, f64::max);
    let (unit, name) = match end {
        _ if end >= 7200.0 => (3600.0, "h"),
        _ if end >= 120.0 => (60.0, "min"),
        _ => (1.0, "s"),
    };
    for (at, _) in figure.lines.iter_mut().flat_map(|line| &mut line.points) {
        *at /= unit;
    }
    let marked = |value: f64| format!("{} {name}", (value * 1e6).round() / 1e6);
    figure.html(title, Axis::linear(end / unit, marked), y(figure))
}
