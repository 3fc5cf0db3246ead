use std::collections::HashMap;
use std::io;
use std::time::Duration;

use super::*;
use crate::client::failure::Failure;
use crate::client::latency::Latency;
use crate::client::load::{ConnectionFailure, Options, Outcome};
use crate::client::report::sample;

/// The figures of a page: each a plot with its title and legend.
fn figures(page: &str) -> Vec<&str> {
    page.split("<figure>").skip(1).map(|rest| rest.split("</figure>").next().unwrap()).collect()
}

/// The page of a run with these options.
fn page_of(outcome: &Outcome, options: &Options, baseline: Option<&RunData>) -> String {
    render(&sample::report(outcome, options), baseline).unwrap()
}

/// The page of a run alone.
fn closed_loop(outcome: &Outcome) -> String {
    page_of(outcome, &sample::closed_loop(), None)
}

fn open_loop(outcome: &Outcome) -> String {
    page_of(outcome, &sample::options(), None)
}

fn data(outcome: &Outcome, options: &Options) -> RunData {
    RunData::of(&sample::report(outcome, options)).unwrap()
}

/// The page of a run beside another one, both in an open loop.
fn beside(outcome: &Outcome, baseline: &Outcome) -> String {
    page_of(outcome, &sample::options(), Some(&data(baseline, &sample::options())))
}

/// A run of one message.
fn of_one() -> Outcome {
    let mut outcome = Outcome { response: Latency::new(), ..sample::run(1, 1.0) };
    outcome.response.record(Duration::from_micros(80));
    (outcome.service, outcome.messages, outcome.messages_in_time) =
        (outcome.response.clone(), 1, 1);
    (outcome.intervals[0].messages, outcome.intervals[0].responses) = (1, 1);
    outcome
}

#[test]
fn text_from_outside_is_no_markup() {
    let evil = "\"><img src=x onerror=alert(1)>'&\u{202e}";
    let error = io::Error::other(evil);
    let failure = ConnectionFailure {
        connection: Some(1),
        local: None,
        failure: Failure::Connect(error),
        is_fatal: true,
    };
    let outcome = Outcome {
        failures: vec![failure],
        failure_count: 1,
        failure_counts: [("connect", 1)].into(),
        ..sample::run(1, 1.0)
    };
    let server = format!("unix:/{evil}").parse().unwrap();
    let options = Options { server, ..sample::options() };
    let mut report = sample::report(&outcome, &options);
    report.command.push(evil.into());
    report.conditions.cpu = Some(evil.into());
    let mut baseline = data(&sample::run(1, 1.0), &sample::options());
    baseline.server = format!("{evil}<b>");
    baseline.conditions.insert("kernel".into(), evil.into());
    let page = render(&report, Some(&baseline)).unwrap();
    assert!(!page.contains("<img") && !page.contains('\u{202e}'), "{page}");
    // In the title, the heading, the failure, the command, the processor and the differences.
    assert!(page.matches("&quot;&gt;&lt;img src=x").count() >= 8, "{page}");
    assert!(page.contains("'&amp;\\u{202e}"), "{page}");
}

#[test]
fn a_page_needs_no_other_file() {
    let page = beside(&sample::run(3, 1.0), &sample::run(3, 2.0));
    for outside in ["://", "<script", "src=", "href=", "url(", "@import", "<link"] {
        assert!(!page.contains(outside), "{outside} in {page}");
    }
}

#[test]
fn lines_are_drawn_in_styles_and_named_in_the_legend() {
    let (run, baseline) = (sample::run(5, 1.0), sample::run(5, 2.0));
    let styles = |page: &str| {
        let drawn = |figure: &&str, style: u8| {
            let class = format!("class=\"line{style}\"");
            // In the legend, and in the plot.
            assert!([0, 2].contains(&figure.matches(&class).count()), "{style}: {figure}");
            figure.contains(&class)
        };
        let styles = |figure| (1..=6).filter(|style| drawn(&figure, *style)).collect::<Vec<_>>();
        figures(page).into_iter().map(styles).collect::<Vec<_>>()
    };
    let alone = closed_loop(&run);
    assert_eq!(styles(&alone), [vec![1], vec![1], vec![1, 2, 3]]);
    let beside = beside(&run, &baseline);
    assert_eq!(styles(&beside), [vec![1, 2, 4, 5], vec![1, 4], vec![1, 2, 3, 4, 5, 6]]);
    for page in [&alone, &beside] {
        assert!(
            figures(page).iter().all(|figure| !figure.contains("\"#")),
            "a colour is left in the plot"
        );
    }
    assert!(figures(&beside)[0].contains("service, baseline"));
    assert!(!alone.contains("service") && !alone.contains("baseline"));
}

#[test]
fn few_points_or_none_make_sensible_plots() {
    let unparted = Outcome { intervals: Vec::new(), ..sample::run(2, 1.0) };
    let runs = [sample::nothing(), of_one(), unparted, sample::run(1, 1.0), sample::run(3, 1.0)];
    for run in &runs {
        let alone = closed_loop(run);
        let pages = runs.iter().map(|other| beside(run, other));
        for page in pages.chain([alone]) {
            assert!(!page.contains("NaN") && !page.contains("There is no plot"), "{page}");
            assert!(!page.contains(">inf") && !page.contains(",-"), "{page}");
        }
    }
    let nothing = closed_loop(&sample::nothing());
    assert_eq!((nothing.matches(NOTHING).count(), nothing.matches("<svg").count()), (4, 0));
    let one = closed_loop(&of_one());
    assert_eq!(one.matches("<circle").count(), 5, "{one}");
}

#[test]
fn a_time_without_echoes_breaks_the_line_of_latency() {
    let mut outcome = sample::run(9, 1.0);
    let pieces = |outcome: &Outcome| {
        let page = closed_loop(outcome);
        figures(&page)[1..]
            .iter()
            .map(|figure| figure.matches("<polyline fill=\"none\" class=\"line1\"").count())
            .collect::<Vec<_>>()
    };
    let (whole, stalled) = (pieces(&outcome), {
        outcome.intervals[4].responses = 0;
        pieces(&outcome)
    });
    assert_eq!((whole, stalled), (vec![1, 1], vec![1, 2]));
}

#[test]
fn notes_and_failures_come_before_the_figures() {
    let mut outcome =
        Outcome { failures: sample::failures(), failure_count: 30, ..sample::run(2, 1.0) };
    outcome.failure_counts = [("altered", 7), ("connect", 23)].into();
    (outcome.cpu, outcome.unsent, outcome.lost) = (outcome.measured, 12, 5);
    outcome.unanswered.record_evenly(Duration::from_secs(1), 0.01, 17);
    let page = open_loop(&outcome);
    let notes = page.split("<aside>").nth(1).unwrap().split("</aside>").next().unwrap();
    for note in [
        "This client set the limit, not the server: this client was busy 100 % of the time",
        "Not answered in time: 17 messages (12 not sent by the end, 5 lost in flight)",
        "30 failures. The first of each kind:",
        "<li>7 <b>altered</b>: connection 7 (from 127.0.0.1:40001): wrong byte at offset 5",
        "<li>23 <b>connect</b>: connection 8: connection refused",
    ] {
        assert!(notes.contains(note), "no {note:?} in {notes}");
    }
    assert!(!open_loop(&sample::run(2, 1.0)).contains("<aside>"));
}

#[test]
fn a_search_shows_its_trials() {
    let (outcome, options, search) = (sample::run(2, 1.0), sample::options(), sample::search());
    assert!(!open_loop(&outcome).contains("Search"));
    let mut report = sample::report(&outcome, &options);
    report.search = Some(&search);
    let page = render(&report, None).unwrap();
    for part in [
        "<p>highest rate that keeps to p99 &lt;= 5 ms: 2,000 messages/s; ",
        "2,000 messages/s</th><td>yes</td><td>p99 1.00 ms</td>",
        "4,000 messages/s</th><td>no</td><td>p99 4.90 ms, but 312 messages could not be sent in time</td>",
    ] {
        assert!(page.contains(part), "no {part:?} in {page}");
    }
}

/// The cells of the row with that name in the section with that title.
fn row(page: &str, title: &str, name: &str) -> Vec<String> {
    let section = page.split(title).nth(1).unwrap().split("</section>").next().unwrap();
    let row = section.split(&format!("<th scope=\"row\">{name}</th>")).nth(1).unwrap();
    let cells = row.split("</tr>").next().unwrap().split("<td>").skip(1);
    cells.map(|cell| cell.trim_end_matches("</td>").into()).collect()
}

#[test]
fn a_baseline_is_compared_in_figures_and_options() {
    let options = Options { connections: 10, rate: Some(1e4 / 3.0), ..sample::options() };
    let baseline = data(&sample::run(5, 2.0), &options);
    let (run, title) = (sample::run(5, 1.0), "Beside the baseline");
    let page = page_of(&run, &sample::options(), Some(&baseline));
    assert_eq!(row(&page, title, "messages/s"), ["2,000", "2,000", "1.00 ×"]);
    // A few µs of each response in the sample do not grow with its latency.
    assert_eq!(row(&page, title, "p99")[2], "0.501 ×");
    assert_eq!(row(&page, "Not as in the baseline", "connections"), ["50", "10"]);
    assert_eq!(row(&page, "Not as in the baseline", "rate target per second"), ["2000", "3333.33"]);
    assert!(!page.split("Not as in").nth(1).unwrap().contains("pipeline depth"));
    let same = page_of(&run, &options, Some(&baseline));
    assert!(same.contains("Server, options and conditions were the same."));
}

/// A baseline of an older version can lack an option.
#[test]
fn an_option_that_the_baseline_lacks_is_a_difference() {
    let run = sample::run(2, 1.0);
    let mut baseline = data(&run, &sample::options());
    baseline.options.remove("keep_going");
    let page = page_of(&run, &sample::options(), Some(&baseline));
    assert_eq!(row(&page, "Not as in the baseline", "keep going"), ["false", "–"]);
}

#[test]
fn a_nonsensical_baseline_does_no_harm() {
    let outcome = sample::run(2, 1.0);
    let mut baseline = data(&outcome, &sample::options());
    for (length, messages) in [(Duration::MAX, 1), (Duration::from_nanos(1), u64::MAX)] {
        (baseline.intervals[0].length, baseline.intervals[0].start) = (length, length);
        baseline.intervals[1].messages = messages;
        baseline.intervals[1].p99 = Duration::from_nanos(u64::MAX);
        baseline.response_curve = vec![(150.0, 0), (-1e300, u64::MAX)];
        baseline.response.count = messages;
        let page = page_of(&outcome, &sample::options(), Some(&baseline));
        assert!(page.ends_with("</html>\n") && !page.contains("NaN"), "{page}");
    }
    baseline.intervals.truncate(1);
    (baseline.intervals[0].length, baseline.intervals[0].messages) = (Duration::MAX, 1);
    assert!(page_of(&outcome, &sample::options(), Some(&baseline)).ends_with("</html>\n"));
}

#[test]
fn a_command_is_quoted_for_a_shell() {
    let arguments = ["resound", "load", "[::1]:7", "-s", "", "a b", "it's"].map(quoted);
    assert_eq!(arguments.join(" "), "resound load [::1]:7 -s '' 'a b' 'it'\\''s'");
}

/// The colours of the style sheet, for a light and for a dark page.
fn colours() -> [HashMap<&'static str, [u8; 3]>; 2] {
    let (light, dark) = STYLE.split_once("@media").unwrap();
    let byte = |hex: &str, i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
    [light, dark.split_once("\n}\n").unwrap().0].map(|text| {
        let colour = |line: &'static str| {
            let (name, value) = line.trim().strip_prefix("--")?.split_once(": #")?;
            Some((name, [0, 2, 4].map(|i| byte(value, i))))
        };
        text.lines().filter_map(colour).collect()
    })
}

/// WCAG 2.2, "relative luminance" and "contrast ratio".
fn contrast(a: [u8; 3], b: [u8; 3]) -> f64 {
    let linear = |channel: u8| {
        let c = f64::from(channel) / 255.0;
        if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    };
    let luminance =
        |[r, g, b]: [u8; 3]| 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b) + 0.05;
    let (a, b) = (luminance(a), luminance(b));
    a.max(b) / a.min(b)
}

#[test]
fn lines_and_text_have_enough_contrast_on_a_light_and_a_dark_page() {
    assert_eq!(contrast([0; 3], [255; 3]).round() as u32, 21);
    for colours in colours() {
        for ground in ["paper", "card"] {
            for (name, enough) in
                [("first", 3.0), ("second", 3.0), ("third", 3.0), ("ink", 7.0), ("faint", 4.5)]
            {
                let contrast = contrast(colours[name], colours[ground]);
                assert!(contrast >= enough, "{name} on {ground}: {contrast:.2}");
            }
        }
        assert!(contrast(colours["ink"], colours["warn"]) >= 7.0);
    }
}
