//! The display of a run while it goes on. It never waits for a reader, nor for a terminal that the user has
//! stopped, so the run never stops for it.

use std::io::{self, ErrorKind, IsTerminal};
use std::time::SystemTime;

use log::info;

use super::bar;
use super::terminal::{columns, fitted};
use crate::client::latency::Latency;
use crate::client::load::{Interval, Progress, Reporter, Trial};
use crate::client::report::{Files, INTERVAL_HEADER, interval_line};
use crate::net::cannot;
use crate::output::Outbox;
use crate::stdio::{OUTPUT, Standard, end_if_reader_left};

/// The width of a terminal that does not know its own.
const DEFAULT_COLUMNS: usize = 80;

/// Shows intervals as lines, or the progress as a bar on a terminal. Passes intervals on to the files.
pub(super) struct Screen<'a> {
    files: &'a mut Files,
    stderr: Outbox,
    printer: Printer,
    show: Show,
}

/// What to show while a run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    Nothing,
    Bar,
    /// A line for each interval, as it ends.
    Lines,
}

impl Show {
    /// Lines if they are wanted, and otherwise the bar if there is a terminal.
    pub(super) fn new(with_lines: bool, is_quiet: bool) -> Self {
        match (with_lines, is_quiet) {
            (true, _) => Self::Lines,
            (false, false) if io::stderr().is_terminal() => Self::Bar,
            _ => Self::Nothing,
        }
    }
}

/// Prints lines to standard output, or to standard error if the JSON goes to standard output.
pub(super) struct Printer {
    out: Outbox,
    is_stderr: bool,
    has_header: bool,
    /// The error that ended the printing.
    error: Option<io::Error>,
    /// Whether the run ends if the reader leaves.
    needs_reader: bool,
}

impl<'a> Screen<'a> {
    /// # Errors
    ///
    /// If the system gives no further descriptor: dup(2).
    pub(super) fn new(files: &'a mut Files, printer: Printer, show: Show) -> io::Result<Self> {
        Ok(Self { files, stderr: Outbox::new(Standard::error()?), printer, show })
    }

    fn erase_bar(&mut self) {
        if self.show == Show::Bar && self.stderr.is_empty() {
            // There is no place left to report an error of standard error.
            let _ = self.stderr.push(bar::CLEAR.as_bytes());
        }
    }

    /// Erases the bar. Returns the printer, which may still hold lines that are not written.
    pub(super) fn finish(mut self) -> Printer {
        self.erase_bar();
        self.printer
    }
}

impl Reporter for Screen<'_> {
    fn start(&mut self, began: SystemTime) {
        self.files.start(began);
    }

    fn interval(&mut self, interval: &Interval, responses: &Latency) {
        self.files.interval(interval, responses);
        if self.show == Show::Lines {
            self.printer.print_interval(interval);
        }
    }

    fn trial(&mut self, trial: &Trial) {
        self.erase_bar();
        info!("{trial}");
    }

    fn progress(&mut self, progress: &Progress) {
        self.printer.flush();
        // A terminal that is stopped now gets a later frame.
        let _ = if self.show == Show::Bar && self.stderr.is_empty() {
            let columns = columns(io::stderr()).unwrap_or(DEFAULT_COLUMNS);
            self.stderr.push(bar::frame(progress, columns).as_bytes())
        } else {
            self.stderr.flush()
        };
    }

    fn status(&mut self, progress: &Progress) {
        let clear = if self.show == Show::Bar { bar::CLEAR } else { "" };
        let _ = self.stderr.push(format!("{clear}{}\n", bar::status(progress)).as_bytes());
    }

    fn is_abandoned(&self) -> bool {
        self.printer.needs_reader && self.printer.has_no_reader()
    }
}

impl Printer {
    /// # Errors
    ///
    /// If the system gives no further descriptor: dup(2).
    pub(super) fn new(is_stderr: bool, needs_reader: bool) -> io::Result<Self> {
        let out = if is_stderr { Standard::error()? } else { Standard::output()? };
        let out = Outbox::new(out);
        Ok(Self { out, is_stderr, has_header: false, error: None, needs_reader })
    }

    /// Prints a line, broken to fit the terminal.
    pub(super) fn print(&mut self, line: &str) {
        let lines = match self.is_stderr {
            true => fitted(line, io::stderr()),
            false => fitted(line, io::stdout()),
        };
        if self.error.is_none() {
            self.error = self.out.push(format!("{lines}\n").as_bytes()).err();
        }
    }

    fn print_interval(&mut self, interval: &Interval) {
        if !self.has_header {
            self.has_header = true;
            self.print(INTERVAL_HEADER);
        }
        self.print(&interval_line(interval));
    }

    fn flush(&mut self) {
        if self.error.is_none() {
            self.error = self.out.flush().err();
        }
    }

    fn has_no_reader(&self) -> bool {
        self.error.as_ref().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe)
    }

    /// Waits until all lines are written. If the reader of standard output has left, the program ends as other
    /// filters do.
    ///
    /// # Errors
    ///
    /// If standard output cannot be written. Errors of standard error are ignored.
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
