//! Reads traces line by line, in bounded memory, wherever they come from.
//!
//! A server that is killed leaves a trace that breaks off, and people edit traces. So a reader gives what there is up to
//! the first line that makes no sense, and then says what is wrong with that.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde_json::Value;

use super::record::{Header, Record, SCHEMA, VERSION, name};
use crate::net::reason;
use crate::text::{Escaped, Excerpt};

/// The longest line that is read, in bytes. Lines with sources are the longest: a source file of a megabyte fits.
pub const MAX_LINE_BYTES: usize = 4 << 20;

/// The records of a trace, in their order.
///
/// The first error is the last item: what came before it can be used.
pub struct Reader<R> {
    lines: Lines<R>,
    /// The first line.
    pub header: Header,
    ending: Ending,
    time: f64,
}

/// How a trace ends, as far as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With a last record that says why: stopped, limit or error.
    Complete {
        /// The reason.
        why: String,
    },
    /// There was no last record: the file breaks off, or was not read to its end.
    Truncated,
}

/// Why a trace, or the rest of it, cannot be read.
#[derive(Debug)]
pub struct Unreadable {
    /// The number of the line, from 1.
    pub line: u64,
    what: String,
}

impl Unreadable {
    fn new(line: u64, what: impl Into<String>) -> Self {
        Self { line, what: what.into() }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Unreadable {}

impl Reader<BufReader<File>> {
    /// Begins to read the file at `path`.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or does not begin as a trace. The error is a line that names the file.
    pub fn open(path: &Path) -> Result<Self, Unreadable> {
        let name = path.to_string_lossy();
        let name = Escaped(&name);
        let file = File::open(path)
            .map_err(|e| Unreadable::new(0, format!("cannot read {name}: {}", reason(&e))))?;
        Self::new(BufReader::new(file))
            .map_err(|e| Unreadable::new(e.line, format!("cannot read {name}: {e}")))
    }
}

impl<R: BufRead> Reader<R> {
    /// Begins to read a trace.
    ///
    /// # Errors
    ///
    /// If it does not begin as a trace of a version that this program knows.
    pub fn new(input: R) -> Result<Self, Unreadable> {
        let mut lines = Lines { input, line: Vec::new(), number: 0, is_over: false };
        let header = match lines.next()? {
            Some((line, _)) => header(line)?,
            None => return Err(Unreadable::new(1, format!("it is empty, and {EXPECTED}"))),
        };
        Ok(Self { lines, header, ending: Ending::Truncated, time: 0.0 })
    }

    /// How it ends, once the iterator has returned `None`.
    pub fn ending(&self) -> &Ending {
        &self.ending
    }

    fn next_record(&mut self) -> Result<Option<Record>, Unreadable> {
        let Some((line, number)) = self.lines.next()? else { return Ok(None) };
        let mut record: Record = serde_json::from_slice(line).map_err(|e| damage(number, &e))?;
        // Also if none was written.
        record.time = record.time.max(self.time);
        self.time = record.time;
        if record.name == name::END {
            let why = record.text("why").unwrap_or("stopped").into();
            self.ending = Ending::Complete { why };
            self.lines.is_over = true;
        }
        Ok(Some(record))
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Record, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.next_record();
        self.lines.is_over |= record.is_err();
        record.transpose()
    }
}

/// How a trace begins, for messages.
const EXPECTED: &str = "a trace begins with a line {\"schema\":\"resound-trace\",\"version\":1,…}";

fn header(line: &[u8]) -> Result<Header, Unreadable> {
    let is_none = |why: &str| Unreadable::new(1, format!("it is no trace: {why}; {EXPECTED}"));
    let first: Value =
        serde_json::from_slice(line).map_err(|_| is_none("its first line is not JSON"))?;
    match (first["schema"].as_str(), first["version"].as_u64()) {
        (Some(SCHEMA), Some(VERSION)) => {}
        (Some(SCHEMA), Some(version)) => {
            return Err(Unreadable::new(
                1,
                format!(
                    "it is a trace of version {version}, and this resound reads version {VERSION}: use the \
                     resound that wrote it"
                ),
            ));
        }
        (Some(SCHEMA), None) => return Err(is_none("its version is no number")),
        (Some(other), _) => {
            return Err(is_none(&format!("its schema is \"{}\"", Excerpt(other))));
        }
        (None, _) => return Err(is_none("its first line names no schema")),
    }
    serde_json::from_value(first)
        .map_err(|e| is_none(&format!("its header is wrong: {}", said(&e))))
}

fn damage(number: u64, error: &serde_json::Error) -> Unreadable {
    let what = match error.is_eof() {
        true => format!("line {number} breaks off"),
        false => format!("line {number} is no record: {}", said(error)),
    };
    Unreadable::new(number, what)
}

/// An error that may quote the file.
fn said(error: &serde_json::Error) -> String {
    Excerpt(&error.to_string()).to_string()
}

/// Lines of bounded length that are not blank.
struct Lines<R> {
    input: R,
    line: Vec<u8>,
    /// Of the line that was read last, from 1.
    number: u64,
    is_over: bool,
}

impl<R: BufRead> Lines<R> {
    /// The next line, with its number.
    fn next(&mut self) -> Result<Option<(&[u8], u64)>, Unreadable> {
        loop {
            if self.is_over || !self.read()? {
                return Ok(None);
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some((&self.line, self.number)));
            }
        }
    }

    /// Reads a line. Returns whether there was one.
    fn read(&mut self) -> Result<bool, Unreadable> {
        self.line.clear();
        self.number += 1;
        let mut limited = (&mut self.input).take(MAX_LINE_BYTES as u64 + 1);
        match limited.read_until(b'\n', &mut self.line) {
            Ok(n) if n > MAX_LINE_BYTES => Err(self.too_long()),
            Ok(n) => Ok(n > 0),
            Err(e) => Err(self.failed(&e)),
        }
    }

    fn too_long(&self) -> Unreadable {
        let most = MAX_LINE_BYTES >> 20;
        Unreadable::new(self.number, format!("line {} is longer than {most} MiB", self.number))
    }

    fn failed(&self, error: &io::Error) -> Unreadable {
        Unreadable::new(self.number, format!("line {}: {}", self.number, reason(error)))
    }
}

#[cfg(test)]
mod tests;
