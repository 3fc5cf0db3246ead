//! The log. It must never stop the server, so each line is written at once, or dropped and counted.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use log::kv::Value;
use log::{Level, LevelFilter, Log, Metadata, Record, SetLoggerError};
use signal_hook::consts::SIGXFSZ;
use signal_hook::flag;
use simple_logger::SimpleLogger;
use time::OffsetDateTime;

use crate::stdio::Standard;
use crate::text::Plural;

pub(super) use format::Format;

mod format;

/// Sends the log to standard error: records at `level` and more severe ones, as lines of this format.
///
/// # Errors
///
/// If there is a logger already.
pub(super) fn init(level: LevelFilter, format: Format) -> Result<(), SetLoggerError> {
    // Without a handler, a write beyond the limit of a file's size ends the program. With one, it is an error
    // (`EFBIG`): setrlimit(2).
    let _ = flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
    let levels = SimpleLogger::new()
        // The records of libraries are of no use to a user.
        .with_level(LevelFilter::Off)
        .with_module_level("resound", level);
    log::set_max_level(level);
    let lines = Mutex::new(Lines::new(StandardError(None), format));
    log::set_boxed_logger(Box::new(LossyLogger { levels, format, lines }))
}

/// The line that says why the program failed, as a JSON object and without its end.
pub(super) fn failure(message: &str) -> String {
    let line = line(Format::Json, Level::Error, &message, &[("event", "failed".into())]);
    line.trim_end().into()
}

/// A logger that drops lines instead of waiting.
///
/// `simple_logger` only decides what is logged. It would write with `eprintln!`: in two system calls a line, which
/// block if standard error is a full pipe or a stopped terminal, and panic if it is a file on a full disk. So this
/// logger makes and writes the line, in the form of `simple_logger`.
struct LossyLogger {
    levels: SimpleLogger,
    format: Format,
    lines: Mutex<Lines<StandardError>>,
}

impl LossyLogger {
    fn with_lines(&self, act: impl FnOnce(&mut Lines<StandardError>)) {
        act(&mut self.lines.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Log for LossyLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.levels.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = self.format.line(record, OffsetDateTime::now_utc());
            self.with_lines(|lines| lines.write(line));
        }
    }

    fn flush(&self) {
        self.with_lines(|lines| drop(lines.catch_up()));
    }
}

/// A line about the program itself.
fn line(format: Format, level: Level, text: &dyn Display, fields: &[(&str, Value<'_>)]) -> String {
    let mut record = Record::builder();
    record.level(level).key_values(&fields);
    format.line(&record.args(format_args!("{text}")).build(), OffsetDateTime::now_utc())
}

/// Standard error, opened when it is first needed. At the limit of descriptors, that can fail at first.
struct StandardError(Option<Standard>);

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let standard = match &mut self.0 {
            Some(standard) => standard,
            empty => empty.insert(Standard::error()?),
        };
        standard.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes lines to a writer that never blocks.
struct Lines<W> {
    writer: W,
    format: Format,
    /// The rest of a line that the writer has taken in part.
    rest: Vec<u8>,
    /// Dropped lines that the log does not mention yet.
    dropped: u64,
}

impl<W: Write> Lines<W> {
    fn new(writer: W, format: Format) -> Self {
        Self { writer, format, rest: Vec::new(), dropped: 0 }
    }

    /// Writes a line, or drops it if the writer does not take its beginning now.
    fn write(&mut self, line: String) {
        if self.catch_up().and_then(|()| self.begin(line)).is_err() {
            self.dropped += 1;
        }
    }

    /// Completes the line that was begun, and then writes how many lines were dropped.
    fn catch_up(&mut self) -> io::Result<()> {
        self.complete()?;
        if self.dropped > 0 {
            let lines = Plural(self.dropped, "line");
            let text = format_args!("dropped {lines} of this log: standard error took no more");
            let fields = [("event", "log_dropped".into()), ("count", self.dropped.into())];
            self.begin(line(self.format, Level::Warn, &text, &fields))?;
            self.dropped = 0;
        }
        self.complete()
    }

    /// Writes a line in one write. What the writer does not take stays in `rest`.
    fn begin(&mut self, line: String) -> io::Result<()> {
        self.rest = line.into_bytes();
        let bytes = self.rest.len();
        match self.complete() {
            Err(e) if self.rest.len() == bytes => {
                self.rest.clear();
                Err(e)
            }
            _ => Ok(()),
        }
    }

    fn complete(&mut self) -> io::Result<()> {
        while !self.rest.is_empty() {
            match self.writer.write(&self.rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => drop(self.rest.drain(..n)),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes as many bytes at each write as the script says. After the script, it takes none.
    #[derive(Default)]
    struct Scripted {
        takes: Vec<usize>,
        writes: Vec<String>,
    }

    impl Write for Scripted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.takes.is_empty() {
                return Err(ErrorKind::WouldBlock.into());
            }
            let n = self.takes.remove(0).min(bytes.len());
            self.writes.push(String::from_utf8(bytes[..n].to_vec()).unwrap());
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const ALL: usize = usize::MAX;

    fn lines(takes: &[usize]) -> Lines<Scripted> {
        Lines::new(Scripted { takes: takes.to_vec(), writes: Vec::new() }, Format::Text)
    }

    #[test]
    fn a_line_is_one_write() {
        let mut lines = lines(&[ALL, ALL]);
        lines.write("one\n".into());
        lines.write("two\n".into());
        assert_eq!(lines.writer.writes, ["one\n", "two\n"]);
    }

    #[test]
    fn lines_that_the_writer_does_not_take_are_dropped_and_counted() {
        let mut lines = lines(&[ALL]);
        for line in ["one\n", "two\n", "three\n"] {
            lines.write(line.into());
        }
        lines.writer.takes = vec![ALL; 3];
        lines.write("four\n".into());
        lines.write("five\n".into());
        let [one, dropped, four, five] = &lines.writer.writes[..] else { panic!() };
        assert_eq!([one, four, five], ["one\n", "four\n", "five\n"]);
        assert!(dropped.contains("WARN  dropped 2 lines of this log"));
    }

    #[test]
    fn a_line_that_was_begun_is_completed_before_any_other() {
        let mut lines = lines(&[2]);
        lines.write("first\n".into());
        lines.write("lost\n".into());
        lines.writer.takes = vec![1];
        lines.write("lost too\n".into());
        lines.writer.takes = vec![ALL; 3];
        lines.write("last\n".into());
        let all = lines.writer.writes.concat();
        let (first, rest) = all.split_once('\n').unwrap();
        assert_eq!(first, "first");
        assert!(rest.contains("dropped 2 lines") && rest.ends_with("no more\nlast\n"), "{all}");
    }

    #[test]
    fn lines_dropped_last_are_counted_when_the_log_ends() {
        let mut lines = lines(&[]);
        lines.write("lost\n".into());
        lines.writer.takes = vec![ALL];
        lines.catch_up().unwrap();
        assert!(lines.writer.writes[0].contains("dropped 1 line of this log"));
        lines.catch_up().unwrap();
        assert_eq!(lines.writer.writes.len(), 1);
    }

    #[test]
    fn dropped_lines_are_counted_in_json_too() {
        let mut lines = lines(&[]);
        lines.format = Format::Json;
        lines.write("lost\n".into());
        lines.writer.takes = vec![ALL];
        lines.catch_up().unwrap();
        let line: serde_json::Value = serde_json::from_str(&lines.writer.writes[0]).unwrap();
        assert_eq!((&line["event"], &line["count"]), (&"log_dropped".into(), &1.into()));
        assert_eq!(line["message"], "dropped 1 line of this log: standard error took no more");
    }
}
