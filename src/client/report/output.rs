//! A file that will be written, if all goes well.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::net::{Escaped, reason};

/// A file that can be written. Until something is, it is as it was.
#[derive(Debug)]
pub struct Output {
    file: File,
    path: PathBuf,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It was not there before, and goes again if nothing is written.
    New,
    /// It was there before, and what is in it stays until something is written.
    Old,
    /// Something is written, or what is written is added to what is there.
    Begun,
}

impl Output {
    /// Opens a file, and makes it where there is none.
    pub fn open(path: &Path) -> io::Result<Self> {
        let made = OpenOptions::new().write(true).create_new(true).open(path);
        let (file, state) = match made {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                let there = OpenOptions::new().write(true).create(true).truncate(false).open(path);
                (there, State::Old)
            }
            made => (made, State::New),
        };
        let file = file.map_err(|e| failed(path, &e))?;
        Ok(Self { file, path: path.into(), state })
    }

    /// Standard output.
    pub fn stdout() -> io::Result<Self> {
        let path = Path::new("standard output");
        let file = io::stdout().as_fd().try_clone_to_owned().map_err(|e| failed(path, &e))?;
        Ok(Self { file: file.into(), path: path.into(), state: State::Begun })
    }

    /// Which file it is, where that makes a difference: devices and pipes take from many.
    pub fn identity(&self) -> io::Result<Option<(u64, u64)>> {
        let metadata = self.file.metadata().map_err(|e| self.failed(&e))?;
        Ok(metadata.is_file().then(|| (metadata.dev(), metadata.ino())))
    }

    /// Writes something, after what was written before. What was in the file until then goes.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.begin().and_then(|()| self.file.write_all(bytes)).map_err(|e| self.failed(&e))
    }

    fn begin(&mut self) -> io::Result<()> {
        if self.state == State::Old && self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
        }
        self.state = State::Begun;
        Ok(())
    }

    /// An error as a line for people.
    pub fn failed(&self, error: &io::Error) -> io::Error {
        failed(&self.path, error)
    }
}

fn failed(path: &Path, error: &io::Error) -> io::Error {
    let path = path.to_string_lossy();
    io::Error::new(error.kind(), format!("cannot write {}: {}", Escaped(&path), reason(error)))
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.state == State::New {
            // There is nobody to tell, and little harm in an empty file.
            let _ = fs::remove_file(&self.path);
        }
    }
}
