//! The progress of a run, as a line on a terminal.

use crate::client::load::{Progress, Stage};
use crate::text::format::{count, counted, percent, rate, seconds};

/// The width of the text. It is fixed, so that the bar behind it does not move.
const TEXT: usize = 44;

/// The most and the fewest columns of the bar itself, between its brackets.
const BAR: (usize, usize) = (30, 5);

/// Returns to the beginning of the line.
const START: &str = "\r";
/// Erases the rest of a longer old line.
const REST: &str = "\x1b[K";

/// Erases the line.
pub(super) const CLEAR: &str = "\r\x1b[K";

/// The output that shows the progress on a terminal of `columns`.
pub(super) fn frame(progress: &Progress, columns: usize) -> String {
    // Some terminals wrap as soon as the last column is written.
    let width = columns.saturating_sub(1);
    format!("{START}{}{REST}", line(progress, width))
}

fn line(progress: &Progress, width: usize) -> String {
    let text = text(progress);
    let room = width.saturating_sub(TEXT.max(text.len()) + " []".len()).min(BAR.0);
    if room < BAR.1 {
        return text.chars().take(width).collect();
    }
    let full = (progress.fraction * room as f64) as usize;
    let tip = if full < room { ">" } else { "" };
    format!("{text:<TEXT$} [{:<room$}]", "=".repeat(full) + tip)
}

fn text(progress: &Progress) -> String {
    match progress.stage {
        Stage::Connecting => format!("connecting: {}", count(progress.connections as u64)),
        Stage::WarmingUp => "warming up".into(),
        Stage::Measuring => {
            let messages = counted(progress.messages, "message", "messages");
            format!("{messages}, {} a second", rate(progress.rate()))
        }
        Stage::Draining => "waiting for the last echoes".into(),
        Stage::Closing => "closing".into(),
    }
}

/// The status of the run, for a line of its own.
pub(super) fn status(progress: &Progress) -> String {
    let mut parts = vec![text(progress)];
    if !progress.measured.is_zero() {
        let measured = seconds(progress.measured.as_secs_f64());
        parts.push(format!("{measured} measured ({})", percent(progress.fraction)));
    }
    parts.push(counted(progress.connections as u64, "connection", "connections"));
    parts.push(counted(progress.failures, "failure", "failures"));
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn progress(fraction: f64) -> Progress {
        Progress {
            stage: Stage::Measuring,
            connections: 1_000,
            messages: 1_234_567,
            failures: 2,
            measured: Duration::from_millis(2_500),
            fraction,
        }
    }

    #[test]
    fn a_line_fits_any_width() {
        for columns in 0..200 {
            for fraction in [0.0, 0.5, 0.999, 1.0] {
                let frame = frame(&progress(fraction), columns);
                let line = frame.strip_prefix(START).unwrap().strip_suffix(REST).unwrap();
                assert!(line.len() < columns.max(1), "{columns}: {line:?}");
            }
        }
    }

    #[test]
    fn the_bar_grows_with_the_progress() {
        let at = |fraction| line(&progress(fraction), 79);
        let text = "1,234,567 messages, 493,827 a second         [";
        assert_eq!(at(0.0), format!("{text}>{}]", " ".repeat(29)));
        assert_eq!(at(0.5), format!("{text}{}>{}]", "=".repeat(15), " ".repeat(14)));
        assert_eq!(at(1.0), format!("{text}{}]", "=".repeat(30)));
    }

    #[test]
    fn a_status_gives_counts_time_and_failures() {
        assert_eq!(
            status(&progress(0.25)),
            "1,234,567 messages, 493,827 a second, 2.50 s measured (25.0 %), 1,000 connections, 2 failures"
        );
        let before =
            Progress { stage: Stage::Connecting, measured: Duration::ZERO, ..progress(0.0) };
        assert_eq!(status(&before), "connecting: 1,000, 1,000 connections, 2 failures");
    }
}
