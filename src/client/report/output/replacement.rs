//! A file that replaces another one only when it is whole.

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::process;

use super::Identity;

/// A file under way.
#[derive(Debug)]
pub(super) struct Replacement {
    /// What it will be.
    target: PathBuf,
    draft: Draft,
}

#[derive(Debug)]
enum Draft {
    /// A file in the same directory.
    File(File, Temporary),
    /// The directory takes no other file, but the file that is there may be written: it gets everything in
    /// the end.
    Memory(Vec<u8>),
}

/// The name of a file that goes when it is dropped.
#[derive(Debug)]
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // It may have taken its place by now.
        let _ = fs::remove_file(&self.0);
    }
}

impl Replacement {
    /// Begins a file that will be `target`, where this one is now.
    pub(super) fn open(target: PathBuf, old: Option<&Metadata>) -> io::Result<Self> {
        if old.is_some() {
            // Who may not write it must not replace it either.
            File::options().write(true).open(&target)?;
        }
        let draft = match make_temporary(directory(&target)) {
            Ok((file, temporary)) => Draft::File(file, temporary),
            Err(e) if old.is_some() && may_be_written_alone(&e) => Draft::Memory(Vec::new()),
            Err(e) => return Err(e),
        };
        if let (Draft::File(file, _), Some(old)) = (&draft, old) {
            file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
            // Only root may give files away.
            let _ = fchown(file, Some(old.uid()), Some(old.gid()));
        }
        Ok(Self { target, draft })
    }

    /// What makes it different from others, if there is no such file yet.
    pub(super) fn identity(&self) -> io::Result<Identity> {
        let directory = fs::metadata(directory(&self.target))?;
        let name = self.target.file_name().ok_or(ErrorKind::IsADirectory)?;
        Ok(Identity::Name(directory.dev(), directory.ino(), name.into()))
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.draft {
            Draft::File(file, _) => file.write_all(bytes),
            Draft::Memory(all) => {
                all.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// Takes its place.
    pub(super) fn finish(self) -> io::Result<()> {
        match self.draft {
            Draft::Memory(all) => overwrite(&self.target, &all),
            Draft::File(file, temporary) => {
                // What the disk does not have must not replace what it has.
                match file.sync_all() {
                    Err(e) if e.kind() != ErrorKind::InvalidInput => return Err(e),
                    _ => {}
                }
                match fs::rename(&temporary.0, &self.target) {
                    // A file that is mounted alone, as into a container.
                    Err(e) if e.kind() == ErrorKind::ResourceBusy => {
                        overwrite(&self.target, &fs::read(&temporary.0)?)
                    }
                    renamed => renamed,
                }
            }
        }
    }
}

fn directory(target: &Path) -> &Path {
    match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes a file with a name that no other has.
fn make_temporary(directory: &Path) -> io::Result<(File, Temporary)> {
    for number in 0.. {
        let path = directory.join(format!(".resound-{}-{number}.tmp", process::id()));
        match File::options().write(true).create_new(true).open(&path) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            made => return Ok((made?, Temporary(path))),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Whether an error says that a directory takes no other file, which is no reason not to write one in it.
fn may_be_written_alone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

/// Replaces what is in a file.
fn overwrite(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).open(path)?;
    file.write_all(bytes)?;
    file.set_len(bytes.len() as u64)?;
    file.sync_all()
}
