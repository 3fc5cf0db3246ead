//! What is seen of a run while it goes on.

use std::io::{self, IsTerminal, Write};
use std::time::SystemTime;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::client::latency::Latency;
use crate::client::load::{Interval, Progress, Stage, Watch};
use crate::client::report::{Files, INTERVAL_HEADER, interval_line};

/// The bar's length, and so how finely it shows what is over.
const STEPS: u64 = 1000;

/// Shows intervals as lines, or else the progress as a bar where there is a terminal to show it on; and
/// hands intervals on to the files.
pub(super) struct Screen<'a> {
    files: &'a mut Files,
    bar: Option<ProgressBar>,
    lines: Option<Lines>,
}

/// A line for each interval.
pub(super) struct Lines {
    has_header: bool,
    to_stderr: bool,
}

impl<'a> Screen<'a> {
    pub(super) fn new(files: &'a mut Files, lines: Option<Lines>, is_quiet: bool) -> Self {
        let with_bar = lines.is_none() && !is_quiet && io::stderr().is_terminal();
        Self { files, bar: with_bar.then(bar), lines }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr());
    // Refuses only a template that makes no sense, which this is not.
    let style = ProgressStyle::with_template("{msg:44} [{bar:30}]");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "))
}

impl Watch for Screen<'_> {
    fn start(&mut self, began: SystemTime) {
        self.files.start(began);
    }

    fn interval(&mut self, interval: &Interval, responses: &Latency) {
        self.files.interval(interval, responses);
        if let Some(lines) = &mut self.lines {
            lines.show(interval);
        }
    }

    fn progress(&mut self, progress: &Progress) {
        if let Some(bar) = &self.bar {
            bar.set_position((progress.fraction * STEPS as f64) as u64);
            bar.set_message(message(progress));
        }
    }
}

impl Lines {
    pub(super) fn new(to_stderr: bool) -> Self {
        Self { has_header: false, to_stderr }
    }

    fn show(&mut self, interval: &Interval) {
        if !self.has_header {
            self.write(INTERVAL_HEADER);
            self.has_header = true;
        }
        self.write(&interval_line(interval));
    }

    fn write(&self, line: &str) {
        // Whoever has closed standard output does not want them, and is told so by the summary.
        let _ = match self.to_stderr {
            true => writeln!(io::stderr(), "{line}"),
            false => writeln!(io::stdout(), "{line}"),
        };
    }
}

fn message(progress: &Progress) -> String {
    let Progress { stage, connections, messages, measured, .. } = progress;
    let rate = *messages as f64 / measured.as_secs_f64().max(0.001);
    match stage {
        Stage::Connecting => format!("connecting: {connections}"),
        Stage::WarmingUp => "warming up".into(),
        Stage::Measuring => format!("{messages} messages, {rate:.0} a second"),
        Stage::Draining => "waiting for the last echoes".into(),
        Stage::Closing => "saying goodbye".into(),
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
