//! What is seen of a run while it goes on. Nothing here ever waits for a reader, or a terminal that the user
//! has stopped: the run does not stand still for it.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal};
use std::time::SystemTime;

use super::bar;
use crate::client::latency::Latency;
use crate::client::load::{Interval, Progress, Reporter};
use crate::client::report::{Files, INTERVAL_HEADER, Outbox, interval_line};
use crate::net::cannot;
use crate::stdio::{OUTPUT, Standard, end_if_reader_left};

/// Shows intervals as lines, or else the progress as a bar if there is a terminal to show it on; and hands
/// intervals on to the files.
pub(super) struct Screen<'a> {
    files: &'a mut Files,
    stderr: Outbox,
    text: Text,
    show: Show,
}

/// What is shown of a run while it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    Nothing,
    Bar,
    /// A line for each interval, as soon as it is over.
    Lines,
}

impl Show {
    /// The bar needs a terminal.
    pub(super) fn new(with_lines: bool, is_quiet: bool) -> Self {
        match (with_lines, is_quiet) {
            (true, _) => Self::Lines,
            (false, false) if io::stderr().is_terminal() => Self::Bar,
            _ => Self::Nothing,
        }
    }
}

/// Lines on standard output, or on standard error if the JSON goes to standard output.
pub(super) struct Text {
    out: Outbox,
    is_stderr: bool,
    has_header: bool,
    /// Why there can be no more of them.
    error: Option<io::Error>,
    /// Whether the run is over if its reader leaves.
    needs_reader: bool,
}

impl<'a> Screen<'a> {
    /// # Errors
    ///
    /// If the system gives no further descriptor: dup(2).
    pub(super) fn new(files: &'a mut Files, text: Text, show: Show) -> io::Result<Self> {
        Ok(Self { files, stderr: Outbox::new(Standard::error()?), text, show })
    }

    /// Takes the bar away. Returns the lines, of which some may not be written yet.
    pub(super) fn finish(mut self) -> Text {
        if self.show == Show::Bar && self.stderr.is_empty() {
            // A failure has nowhere to be reported.
            let _ = self.stderr.push(bar::CLEAR.as_bytes());
        }
        self.text
    }
}

impl Reporter for Screen<'_> {
    fn start(&mut self, began: SystemTime) {
        self.files.start(began);
    }

    fn interval(&mut self, interval: &Interval, responses: &Latency) {
        self.files.interval(interval, responses);
        if self.show == Show::Lines {
            self.text.show(interval);
        }
    }

    fn progress(&mut self, progress: &Progress) {
        self.text.flush();
        // A terminal that takes nothing now gets a later one.
        let _ = match self.show == Show::Bar && self.stderr.is_empty() {
            true => self.stderr.push(bar::frame(progress, bar::columns()).as_bytes()),
            false => self.stderr.flush(),
        };
    }

    fn status(&mut self, progress: &Progress) {
        let clear = if self.show == Show::Bar { bar::CLEAR } else { "" };
        let _ = self.stderr.push(format!("{clear}{}\n", bar::status(progress)).as_bytes());
    }

    fn is_abandoned(&self) -> bool {
        self.text.needs_reader && self.text.has_no_reader()
    }
}

impl Text {
    /// # Errors
    ///
    /// If the system gives no further descriptor: dup(2).
    pub(super) fn new(is_stderr: bool, needs_reader: bool) -> io::Result<Self> {
        let out = if is_stderr { Standard::error()? } else { Standard::output()? };
        let out = Outbox::new(out);
        Ok(Self { out, is_stderr, has_header: false, error: None, needs_reader })
    }

    /// Adds a line.
    pub(super) fn say(&mut self, line: &dyn Display) {
        if self.error.is_none() {
            self.error = self.out.push(format!("{line}\n").as_bytes()).err();
        }
    }

    fn show(&mut self, interval: &Interval) {
        if !self.has_header {
            self.has_header = true;
            self.say(&INTERVAL_HEADER);
        }
        self.say(&interval_line(interval));
    }

    fn flush(&mut self) {
        if self.error.is_none() {
            self.error = self.out.flush().err();
        }
    }

    fn has_no_reader(&self) -> bool {
        self.error.as_ref().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe)
    }

    /// Waits until all are written. If the reader of standard output has left, the program ends as other
    /// filters do.
    ///
    /// # Errors
    ///
    /// Why they cannot be written, if they are what standard output is for.
    pub(super) fn finish(self) -> io::Result<()> {
        let done = self.error.map_or_else(|| self.out.finish(), Err);
        if self.is_stderr {
            return Ok(());
        }
        done.map_err(|e| {
            end_if_reader_left(&e);
            cannot("write to", &OUTPUT, &e)
        })
    }
}
