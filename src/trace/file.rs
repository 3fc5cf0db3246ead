//! The file of a trace: bounded, and of no harm to the server if it cannot be written.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::warn;
use serde::Serialize;

use super::data::{Line, Micros};
use super::record::{name, write_line};
use crate::output::Output;
use crate::text::Escaped;

/// Lines are gathered up to this many bytes in one turn before they are written.
const BATCH_BYTES: usize = 64 << 10;

/// Room for the lines of a turn, the longest of which has a source: so that a trace needs no more memory later.
const CAPACITY_BYTES: usize = 2 * BATCH_BYTES;

/// Room for the last record.
const END_BYTES: usize = 2 << 10;

/// A file to which lines are added until it is full, fails, or is finished.
#[derive(Debug)]
pub(super) struct TraceFile {
    path: PathBuf,
    /// `None` if it has failed or is finished.
    output: Option<Output>,
    /// Lines that are not written yet.
    batch: Vec<u8>,
    written_bytes: usize,
    limit_bytes: usize,
    /// The turn of the last line.
    turn: u64,
    /// Whether the last record was added.
    has_ended: bool,
}

/// When something happened: the time since the trace began, and the turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    pub(super) time: Duration,
    pub(super) turn: u64,
}

/// The data of the last record.
#[derive(Serialize)]
struct End {
    why: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl TraceFile {
    /// Opens the file at `path`, and writes nothing yet.
    ///
    /// # Errors
    ///
    /// If it cannot be written; the error says so in a line.
    pub(super) fn open(path: &Path, limit_bytes: usize) -> io::Result<Self> {
        let output = Some(Output::open_growing(path)?);
        let (batch, path) = (Vec::with_capacity(CAPACITY_BYTES), path.into());
        Ok(Self { path, output, batch, written_bytes: 0, limit_bytes, turn: 0, has_ended: false })
    }

    /// Whether the last record was added, or the file failed: further lines are ignored.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Adds a line, unless the file would become longer than it may: then it ends at `stamp`.
    pub(super) fn add(&mut self, line: &impl Serialize, stamp: Stamp) {
        if self.has_ended {
            return;
        }
        let before = self.batch.len();
        // To memory: this does not fail.
        let _ = write_line(&mut self.batch, line);
        if self.written_bytes + self.batch.len() + END_BYTES > self.limit_bytes {
            self.batch.truncate(before);
            // The line that does not fit may be the first of its turn.
            self.end("limit", None, Stamp { turn: self.turn, ..stamp });
            return self.warn_of_limit();
        }
        self.turn = stamp.turn;
        if self.batch.len() >= BATCH_BYTES {
            self.flush();
        }
    }

    fn warn_of_limit(&self) {
        let name = self.path.to_string_lossy();
        warn!(
            event = "trace_ended", limit = self.limit_bytes;
            "the trace in {} has reached --trace-limit and ends; the server goes on", Escaped(&name)
        );
    }

    /// Writes what is gathered. If that fails, the trace is over, and the server goes on.
    pub(super) fn flush(&mut self) {
        let Some(output) = self.output.as_mut().filter(|_| !self.batch.is_empty()) else { return };
        let written = match output.append(&self.batch) {
            Ok(()) if output.has_overflowed() => {
                Err(output.failed(&io::Error::other("its reader is too slow")))
            }
            written => written,
        };
        self.written_bytes += self.batch.len();
        self.batch.clear();
        written.unwrap_or_else(|e| self.fail(&e));
    }

    /// Adds the last record, and writes what can be written without waiting for a reader.
    pub(super) fn end(&mut self, why: &'static str, detail: Option<String>, stamp: Stamp) {
        if self.has_ended {
            return;
        }
        self.has_ended = true;
        let Stamp { time, turn } = stamp;
        let line = Line {
            time: Micros(time),
            name: name::END,
            group_id: None,
            turn,
            trigger: None,
            place: None,
            data: Some(End { why, detail }),
        };
        let _ = write_line(&mut self.batch, &line);
        self.flush();
    }

    /// Waits until a reader has taken the rest.
    pub(super) fn finish(&mut self) {
        if let Some(output) = self.output.take() {
            output.finish().unwrap_or_else(|e| self.fail(&e));
        }
    }

    fn fail(&mut self, error: &io::Error) {
        (self.output, self.batch, self.has_ended) = (None, Vec::new(), true);
        warn!(event = "trace_failed"; "{error}; the trace ends, and the server goes on");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsRawFd;

    use super::*;

    const NOW: Stamp = Stamp { time: Duration::from_nanos(1500), turn: 3 };

    #[test]
    fn a_file_is_never_longer_than_its_limit_and_says_why_it_ends() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("trace");
        for limit in [END_BYTES + 1, 10_000, 200_000] {
            let mut file = TraceFile::open(&path, limit).unwrap();
            for turn in 1..3000 {
                file.add(&"x".repeat(100), Stamp { turn, ..NOW });
            }
            assert!(file.has_ended());
            file.end("stopped", None, NOW);
            file.finish();
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.len() <= limit && text.len() + END_BYTES + 103 > limit, "{}", text.len());
            // The turn is that of the last line that is there.
            let turn = text.lines().count() - 1;
            let end = format!(
                r#"{{"time":1.5,"name":"trace:end","turn":{turn},"data":{{"why":"limit"}}}}"#
            );
            assert_eq!(text.lines().last(), Some(&*end));
        }
    }

    #[test]
    fn a_reader_that_is_too_slow_loses_the_rest_and_the_server_nothing() {
        let (mut reader, writer) = io::pipe().unwrap();
        let path = format!("/dev/fd/{}", writer.as_raw_fd());
        let mut file = TraceFile::open(Path::new(&path), usize::MAX).unwrap();
        let line = "x".repeat(1 << 20);
        let taken = (0..100).take_while(|_| {
            file.add(&line, NOW);
            file.flush();
            !file.has_ended()
        });
        let taken = taken.count();
        assert!((10..30).contains(&taken), "{taken} MiB");
        // What was kept is forgotten: nothing waits for the reader.
        file.finish();
        drop((file, writer));
        assert!(io::copy(&mut reader, &mut io::sink()).unwrap() < 2 << 20);
    }
}
