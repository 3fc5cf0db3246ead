//! A new file that takes its place, and replaces an old one, only when it is complete.

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::process;

use super::Identity;

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Replacement {
    /// The path that it will have.
    target: PathBuf,
    draft: Draft,
}

#[derive(Debug)]
enum Draft {
    /// A file in the same directory.
    File(File, Temporary),
    /// The directory takes no new file, but the old file can be written: it gets all bytes at the end.
    Memory(Vec<u8>),
}

/// The path of a file that is removed when this is dropped.
#[derive(Debug)]
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // This fails if the file was renamed, as it should be.
        let _ = fs::remove_file(&self.0);
    }
}

impl Replacement {
    /// Begins a file that will replace `old`, if there is one, at `target`.
    pub(super) fn open(target: PathBuf, old: Option<&Metadata>) -> io::Result<Self> {
        if old.is_some() {
            // Without the right to write the old file, the user must not replace it either.
            File::options().write(true).open(&target)?;
        }
        let draft = match make_temporary(directory(&target)) {
            Ok((file, temporary)) => Draft::File(file, temporary),
            Err(e) if old.is_some() && is_closed_directory(&e) => Draft::Memory(Vec::new()),
            Err(e) => return Err(e),
        };
        if let (Draft::File(file, _), Some(old)) = (&draft, old) {
            file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
            // Only root can give files away.
            let _ = fchown(file, Some(old.uid()), Some(old.gid()));
        }
        Ok(Self { target, draft })
    }

    /// The identity of `target`, which may not exist yet.
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

    /// Renames the file to its target.
    pub(super) fn finish(self) -> io::Result<()> {
        match self.draft {
            Draft::Memory(all) => overwrite(&self.target, &all),
            Draft::File(file, temporary) => {
                // Only bytes that are on the disk may replace those of the old file.
                match file.sync_all() {
                    Err(e) if e.kind() != ErrorKind::InvalidInput => return Err(e),
                    _ => {}
                }
                match fs::rename(&temporary.0, &self.target) {
                    // A single file that is mounted, as into a container, cannot be replaced.
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

/// Makes a file with an unused name.
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

/// Whether the directory takes no new file. An old file in it may still be written.
fn is_closed_directory(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

/// Replaces the content of a file.
fn overwrite(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).open(path)?;
    file.write_all(bytes)?;
    file.set_len(bytes.len() as u64)?;
    file.sync_all()
}
