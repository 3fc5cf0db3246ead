//! The files of a command, and whether they have changed.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, SystemTime};

use super::super::Failure;
use super::super::failure::INTERRUPTED;
use crate::signals;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The files that a command names: its program, and arguments that are files.
#[derive(Debug)]
pub(super) struct Watched(Vec<PathBuf>);

/// When each file was changed last, if it is there.
pub(super) type Changed = Vec<Option<SystemTime>>;

impl Watched {
    /// # Errors
    ///
    /// If the command names no file.
    pub(super) fn new(command: &[OsString]) -> Result<Self, Failure> {
        let program = command.first().and_then(found_in_path);
        let files = command.iter().map(PathBuf::from).filter(|path| path.is_file());
        let mut all: Vec<_> = program.into_iter().chain(files).collect();
        all.dedup();
        match all.is_empty() {
            true => Err(Failure::usage("--watch needs a command that names a file")),
            false => Ok(Self(all)),
        }
    }

    pub(super) fn changed(&self) -> Changed {
        let changed = |path: &PathBuf| fs::metadata(path).and_then(|meta| meta.modified()).ok();
        self.0.iter().map(changed).collect()
    }

    /// Waits until a file is another one than was seen. A file that is away is being written.
    ///
    /// # Errors
    ///
    /// That a signal ends the wait.
    pub(super) fn await_change(&self, seen: &Changed) -> Result<(), Failure> {
        loop {
            if signals::is_stop_requested() {
                let message = "interrupted".into();
                return Err(Failure { message, code: INTERRUPTED });
            }
            let now = self.changed();
            if now != *seen && now.iter().all(Option::is_some) {
                return Ok(());
            }
            thread::sleep(LOOK_EVERY);
        }
    }
}

/// The program, as a shell finds it.
fn found_in_path(name: &OsString) -> Option<PathBuf> {
    if name.to_string_lossy().contains('/') {
        return None;
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}
