//! A file that gets each step of a conversation, as it happens.

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, fstat};
use time::OffsetDateTime;

use crate::client::connect::Options;
use crate::net::cannot;
use crate::text::Escaped;

/// A file with a line for each step. What was in the file before stays.
pub struct Transcript {
    file: File,
    path: PathBuf,
}

impl Transcript {
    /// Adds a first line to a file. Creates the file if there is none.
    ///
    /// # Errors
    ///
    /// A line for people: the file cannot be written, or is standard output or error.
    pub fn begin(path: &Path, options: &Options) -> io::Result<Self> {
        let mut how = OpenOptions::new();
        // To open a named pipe without a reader is an error then, and does not wait.
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
        let file = how.append(true).create(true).custom_flags(flags).open(path);
        let file = file.map_err(|e| unwritable(path, &e))?;
        let mut transcript = Self { file, path: path.into() };
        transcript.refuse_standard_streams()?;
        transcript.write(&format_args!("resound connect {}", options.server))?;
        Ok(transcript)
    }

    /// Two writers of one regular file overwrite each other's lines.
    fn refuse_standard_streams(&self) -> io::Result<()> {
        let metadata = self.file.metadata().map_err(|e| unwritable(&self.path, &e))?;
        let is_same = |stream: BorrowedFd<'_>| {
            fstat(stream)
                .is_ok_and(|stat| (stat.st_dev, stat.st_ino) == (metadata.dev(), metadata.ino()))
        };
        if metadata.is_file() && (is_same(io::stdout().as_fd()) || is_same(io::stderr().as_fd())) {
            let why = "standard output or error goes there already: name another file";
            return Err(unwritable(&self.path, &io::Error::new(ErrorKind::InvalidInput, why)));
        }
        Ok(())
    }

    /// Adds a line that begins with the time.
    ///
    /// # Errors
    ///
    /// A line for people: the file cannot be written any more.
    pub fn write(&mut self, line: &dyn Display) -> io::Result<()> {
        let line = format!("{} {line}\n", stamp(OffsetDateTime::now_utc()));
        self.file.write_all(line.as_bytes()).map_err(|e| unwritable(&self.path, &e))
    }
}

fn unwritable(path: &Path, error: &io::Error) -> io::Error {
    cannot("write the transcript", &Escaped(&path.to_string_lossy()), error)
}

/// A time in UTC in the form of RFC 3339, to the millisecond.
fn stamp(at: OffsetDateTime) -> String {
    let (date, (hour, minute, second, ms)) = (at.date(), at.to_hms_milli());
    format!("{date}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_to_the_millisecond() {
        let at = OffsetDateTime::from_unix_timestamp_nanos(1_700_000_000_007_999_999).unwrap();
        assert_eq!(stamp(at), "2023-11-14T22:13:20.007Z");
    }
}
