use std::collections::HashMap;
use std::io;
use std::time::Duration;

use super::*;
use crate::client::latency::Latency;
use crate::client::load::{Cause, Options, Outcome, Trouble};
use crate::client::report::sample;

/// The plots of a page, and what stands around each.
fn figures(page: &str) -> Vec<&str> {
    page.split("<figure>").skip(1).map(|rest| rest.split("</figure>").next().unwrap()).collect()
}

fn closed_loop(outcome: &Outcome) -> Report {
    sample::report(outcome, &sample::closed_loop())
}

fn open_loop(outcome: &Outcome) -> Report {
    sample::report(outcome, &sample::options())
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
fn nothing_from_outside_is_markup() {
    let evil = "\"><img src=x onerror=alert(1)>'&\u{202e}";
    let error = io::Error::other(evil);
    let trouble =
        Trouble { connection: Some(1), local: None, cause: Cause::Connect(error), is_fatal: true };
    let outcome = Outcome {
        troubles: vec![trouble],
        trouble_count: 1,
        trouble_counts: [("connect", 1)].into(),
        ..sample::run(1, 1.0)
    };
    let server = format!("unix:/{evil}").parse().unwrap();
    let mut report = sample::report(&outcome, &Options { server, ..sample::options() });
    report.command.push(evil.into());
    report.conditions.cpu = Some(evil.into());
    let mut baseline = open_loop(&sample::run(1, 1.0));
    baseline.server = format!("{evil}<b>");
    baseline.conditions.kernel = Some(evil.into());
    let page = render(&report, Some(&baseline));
    assert!(!page.contains("<img") && !page.contains('\u{202e}'), "{page}");
    // In the title, the heading, the trouble, the command, the processor and the differences.
    assert!(page.matches("&quot;&gt;&lt;img src=x").count() >= 8, "{page}");
    assert!(page.contains("&#39;&amp;\\u{202e}"), "{page}");
}

#[test]
fn a_page_needs_nothing_but_itself() {
    let page = render(&open_loop(&sample::run(3, 1.0)), Some(&open_loop(&sample::run(3, 2.0))));
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
    let alone = render(&closed_loop(&run), None);
    assert_eq!(styles(&alone), [vec![1], vec![1], vec![1, 2, 3]]);
    let beside = render(&open_loop(&run), Some(&open_loop(&baseline)));
    assert_eq!(styles(&beside), [vec![1, 2, 4, 5], vec![1, 4], vec![1, 2, 3, 4, 5, 6]]);
    for page in [&alone, &beside] {
        assert!(figures(page).iter().all(|figure| !figure.contains("\"#")), "a colour is left");
    }
    assert!(figures(&beside)[0].contains("service, baseline"));
    assert!(!alone.contains("service") && !alone.contains("baseline"));
}

#[test]
fn few_points_or_none_make_no_nonsense() {
    let unparted = Outcome { intervals: Vec::new(), ..sample::run(2, 1.0) };
    let runs = [sample::nothing(), of_one(), unparted, sample::run(1, 1.0), sample::run(3, 1.0)];
    for run in &runs {
        let alone = render(&closed_loop(run), None);
        let pages = runs.iter().map(|other| render(&open_loop(run), Some(&open_loop(other))));
        for page in pages.chain([alone]) {
            assert!(!page.contains("NaN") && !page.contains("There is no plot"), "{page}");
            assert!(!page.contains(">inf") && !page.contains(",-"), "{page}");
        }
    }
    let nothing = render(&closed_loop(&sample::nothing()), None);
    assert_eq!((nothing.matches(NOTHING).count(), nothing.matches("<svg").count()), (4, 0));
    let one = render(&closed_loop(&of_one()), None);
    assert_eq!(one.matches("<circle").count(), 5, "{one}");
}

#[test]
fn a_time_without_echoes_breaks_the_line_of_latency() {
    let mut outcome = sample::run(9, 1.0);
    let pieces = |outcome: &Outcome| {
        let page = render(&closed_loop(outcome), None);
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
fn what_must_be_known_stands_above_the_figures() {
    let mut outcome =
        Outcome { troubles: sample::troubles(), trouble_count: 30, ..sample::run(2, 1.0) };
    outcome.trouble_counts = [("altered", 7), ("connect", 23)].into();
    (outcome.cpu, outcome.unsent, outcome.lost) = (outcome.measured, 12, 5);
    outcome.unanswered.record_evenly(Duration::from_secs(1), 0.01, 17);
    let page = render(&open_loop(&outcome), None);
    let notes = page.split("<aside>").nth(1).unwrap().split("</aside>").next().unwrap();
    for note in [
        "It was not the server that set the limit: this client was busy 100 % of the time",
        "Never answered: 17 messages (12 not sent, for want of a connection with room for them, 5 lost with",
        "30 things went wrong; of each kind the first:",
        "<li>7 <b>altered</b>: connection 7 (from 127.0.0.1:40001): wrong byte at offset 5",
        "<li>23 <b>connect</b>: connection 8: connection refused",
    ] {
        assert!(notes.contains(note), "no {note:?} in {notes}");
    }
    assert!(!render(&open_loop(&sample::run(2, 1.0)), None).contains("<aside>"));
}

#[test]
fn a_search_shows_what_was_tried() {
    let mut report = open_loop(&sample::run(2, 1.0));
    assert!(!render(&report, None).contains("Search"));
    report.search = Some((&sample::search()).into());
    let page = render(&report, None);
    for part in [
        "<p>highest rate that keeps to p99 &lt;= 5 ms: 2,000 messages/s; ",
        "2,000 messages/s<td>yes<td>p99 1.00 ms\n",
        "4,000 messages/s<td>no<td>p99 4.90 ms, but 312 messages could not be sent in time\n",
    ] {
        assert!(page.contains(part), "no {part:?} in {page}");
    }
}

#[test]
fn a_baseline_is_compared_in_figures_and_circumstances() {
    let options = Options { connections: 10, ..sample::options() };
    let baseline = sample::report(&sample::run(5, 2.0), &options);
    let page = render(&open_loop(&sample::run(5, 1.0)), Some(&baseline));
    let row = |name| {
        let rest = page.split("Beside the baseline").nth(1).unwrap();
        let row = rest.split(&format!("<th scope=\"row\">{name}<td>")).nth(1).unwrap();
        row.lines().next().unwrap().to_string()
    };
    assert_eq!(row("messages/s"), "2,000<td>2,000<td>1.00 ×");
    // The sample has a few µs in a response that do not grow with the rest of it.
    assert!(row("p99").ends_with("<td>0.501 ×"), "{}", row("p99"));
    assert_eq!(row("connections"), "50<td>10");
    assert!(!page.split("Not as in").nth(1).unwrap().contains("pipeline depth"));
    let same = render(&baseline, Some(&baseline));
    assert!(same.contains("Server, options and conditions were the same."));
}

#[test]
fn a_baseline_of_nonsense_does_no_harm() {
    let run = open_loop(&sample::run(2, 1.0));
    let mut baseline = run.clone();
    for (length, messages) in [(f64::MAX, 1), (f64::MIN_POSITIVE, u64::MAX), (-1.0, 0)] {
        baseline.intervals[0].length_seconds = length;
        baseline.intervals[0].start_seconds = -length;
        baseline.intervals[1].messages = messages;
        baseline.intervals[1].p99_nanoseconds = u64::MAX;
        baseline.response_percentile_curve_nanoseconds = vec![(150.0, 0), (-1e300, u64::MAX)];
        baseline.response_latency_nanoseconds.count = messages;
        assert!(render(&run, Some(&baseline)).ends_with("</html>\n"));
        assert!(render(&baseline, None).ends_with("</html>\n"));
    }
    baseline.intervals.truncate(1);
    (baseline.intervals[0].length_seconds, baseline.intervals[0].messages) = (f64::MAX, 1);
    assert!(render(&baseline, None).ends_with("</html>\n"));
}

#[test]
fn a_command_is_shown_as_a_shell_would_take_it() {
    let arguments = ["resound", "load", "[::1]:7", "-s", "", "a b", "it's"].map(Into::into);
    assert_eq!(command(&arguments), "resound load [::1]:7 -s '' 'a b' 'it'\\''s'");
}

/// Of the style sheet's colours, in the light and in the dark.
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
fn lines_and_text_stand_out_in_the_light_and_in_the_dark() {
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
