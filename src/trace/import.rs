//! Makes a trace of what strace(1) wrote about any server: `strace -f -ttt -T -yy -o FILE PROGRAM`.
//!
//! strace writes a line for each system call. `line` and `scan` parse it, `descriptors` follows what the
//! descriptors of all processes stand for, and `translate` makes records. With `-k`, each call is followed by its
//! stack; `places` finds the line of source in it.
//!
//! A file is read twice: first for the addresses in its stacks, which are looked up all at once. Memory is bounded by
//! the number of descriptors that are open, and not by the length of the file.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek};
use std::path::Path;

use super::record::{Header, Record, Vantage, name, write_line};
use crate::net::reason;
use crate::text::Escaped;
use crate::text::format::count;

use line::Line;
use places::Places;
use program::Seen;
use recorder::data;
use translate::Translator;

mod scan;
mod line;
mod descriptors;
mod recorder;
mod program;
mod sockets;
mod polls;
mod processes;
mod translate;
mod places;

/// The command to record a server with.
const COMMAND: &str = "strace -f -ttt -T -yy -o FILE PROGRAM";

/// The longest line that is parsed, in bytes. Longer ones are skipped.
const LONGEST_LINE: u64 = 1 << 20;

/// What an import found out.
#[derive(Debug)]
pub struct Imported {
    /// How many records it made.
    pub records: u64,
    /// What the strace cannot show, as lines for people.
    pub remarks: Vec<String>,
}

/// Reads the strace at `path`, and writes it as a trace to `out`, line by line.
///
/// # Errors
///
/// If the file cannot be read, is no strace, or was made without an option that is needed; or those of `out`. The error
/// is a line that says so. Its kind is [`ErrorKind::InvalidData`] if the file is to blame.
pub fn import(path: &Path, out: &mut impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<Imported> {
    let name = path.to_string_lossy();
    let named = |e: io::Error| {
        io::Error::new(e.kind(), format!("cannot read {}: {}", Escaped(&name), reason(&e)))
    };
    // Before it is opened: a pipe without a writer would not open.
    let metadata = fs::metadata(path).map_err(named)?;
    if metadata.is_dir() {
        return Err(named(ErrorKind::IsADirectory.into()));
    }
    if !metadata.is_file() {
        let why = "it is read twice, so it must be a regular file";
        return Err(named(io::Error::new(ErrorKind::InvalidData, why)));
    }
    let file = File::open(path).map_err(named)?;
    let mut import = Import::new(out);
    import.find_places(BufReader::new(&file)).map_err(named)?;
    (&file).rewind().map_err(named)?;
    import.translate(BufReader::new(&file))?;
    import.finish().map_err(|e| match e.kind() {
        ErrorKind::InvalidData => named(e),
        _ => e,
    })
}

/// Imports an strace that is in memory.
///
/// # Errors
///
/// As [`import`].
pub fn import_bytes(
    strace: &[u8],
    out: &mut impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<Imported> {
    let mut import = Import::new(out);
    import.translate(strace)?;
    import.finish()
}

/// Calls `act` with each line that is text and not too long.
fn each_line(
    mut input: impl BufRead,
    act: &mut dyn FnMut(&str) -> io::Result<()>,
) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut input).take(LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if line.last() != Some(&b'\n') && line.len() as u64 == LONGEST_LINE {
            input.skip_until(b'\n')?;
            continue;
        }
        if let Ok(text) = std::str::from_utf8(&line) {
            act(text.trim_end_matches(['\n', '\r']))?;
        }
    }
}

struct Import<'a, F> {
    translator: Translator,
    places: Places,
    out: &'a mut F,
    /// Records of the last call, whose stack follows.
    waiting: Vec<Record>,
    records: u64,
    has_header: bool,
}

impl<'a, F: FnMut(&[u8]) -> io::Result<()>> Import<'a, F> {
    fn new(out: &'a mut F) -> Self {
        Self {
            translator: Translator::default(),
            places: Places::default(),
            out,
            waiting: Vec::new(),
            records: 0,
            has_header: false,
        }
    }

    /// The first reading: notes all addresses of stacks, and looks them up.
    fn find_places(&mut self, input: impl BufRead) -> io::Result<()> {
        each_line(input, &mut |line| {
            if let Line::Frame(frame) = Line::parse(line) {
                self.places.note(frame);
            }
            Ok(())
        })?;
        self.places.look_up();
        Ok(())
    }

    fn translate(&mut self, input: impl BufRead) -> io::Result<()> {
        each_line(input, &mut |line| self.line(line))
    }

    fn line(&mut self, text: &str) -> io::Result<()> {
        let line = Line::parse(text);
        if let Line::Frame(frame) = line {
            self.translator.program.seen.frames += 1;
            if let Some(place) = self.places.of(frame) {
                for record in self.waiting.iter_mut().filter(|record| record.place.is_none()) {
                    record.place = Some(place.into());
                }
            }
            return Ok(());
        }
        self.flush()?;
        self.translator.line(&line);
        self.waiting = self.translator.take();
        Ok(())
    }

    /// Writes the records that wait for a stack.
    fn flush(&mut self) -> io::Result<()> {
        for record in std::mem::take(&mut self.waiting) {
            if !self.has_header {
                self.header()?;
            }
            if let Some(source) =
                record.place.as_deref().and_then(|place| self.places.source(place))
            {
                let mut first = Record::new(record.time, name::SOURCE);
                first.turn = record.turn;
                first.data = data! {"file": source.0, "text": source.1};
                self.write(&first)?;
            }
            self.write(&record)?;
        }
        Ok(())
    }

    fn header(&mut self) -> io::Result<()> {
        self.has_header = true;
        let program =
            self.translator.program.name.clone().unwrap_or_else(|| "an attached process".into());
        let mut header = Header::new(Vantage::SystemCalls, &program);
        header.title = Some(format!("The system calls of {program}"));
        header.began = self.translator.program.recorder.began().and_then(rfc3339);
        let mut line = Vec::new();
        write_line(&mut line, &header)?;
        (self.out)(&line)
    }

    fn write(&mut self, record: &Record) -> io::Result<()> {
        self.records += 1;
        let mut line = Vec::new();
        write_line(&mut line, record)?;
        (self.out)(&line)
    }

    fn finish(mut self) -> io::Result<Imported> {
        self.flush()?;
        self.translator.finish();
        self.waiting = self.translator.take();
        self.flush()?;
        let seen = &self.translator.program.seen;
        if let Some(why) = refusal(seen, self.records) {
            return Err(io::Error::new(ErrorKind::InvalidData, why));
        }
        let remarks = remarks(seen);
        let mut end = Record::new(self.translator.program.recorder.last(), name::END);
        end.data = data! {"why": "stopped", "detail": "the strace ends here"};
        self.write(&end)?;
        Ok(Imported { records: self.records, remarks })
    }
}

/// Why a file is no strace that can be imported.
fn refusal(seen: &Seen, records: u64) -> Option<String> {
    if seen.timeless > seen.calls {
        return Some(format!("its calls have no times since 1970: record it with {COMMAND}"));
    }
    if seen.calls == 0 {
        return Some(format!("it is no output of strace: record a server with {COMMAND}"));
    }
    if seen.bare > 0 && seen.described == 0 {
        return Some(format!(
            "it does not say what the descriptors are: record it with -yy, as in {COMMAND}"
        ));
    }
    if seen.io_uring > 0 && seen.waits == 0 {
        return Some(
            "the program uses io_uring, whose operations are no system calls: an strace does not show them".into(),
        );
    }
    (records == 0).then(|| {
        format!("none of its {} calls is one on a stream socket: does the program start its server as another process? -f follows it", count(seen.calls))
    })
}

/// What an strace that can be imported does not show.
fn remarks(seen: &Seen) -> Vec<String> {
    let mut remarks = Vec::new();
    if seen.durations == 0 {
        remarks.push("it does not say how long calls took, so no call can be found that blocks: -T adds that".into());
    }
    if seen.io_uring > 0 {
        remarks.push("the program also uses io_uring, whose operations are no system calls: they are not in the trace".into());
    }
    remarks
}

/// A time in microseconds since 1970, in UTC.
fn rfc3339(micros: u64) -> Option<String> {
    let time = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).ok()?;
    time.format(&time::format_description::well_known::Rfc3339).ok()
}

#[cfg(test)]
mod tests;
