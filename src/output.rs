//! The file, device or pipe that a report or a trace goes to.
//!
//! A regular file is replaced only when its replacement is complete. So a full disk, or a run that is killed,
//! leaves the old file as it was. Devices, pipes and descriptors of this program are written to directly.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::net::reason;
use crate::stdio::{self, Standard};
use crate::text::Escaped;

use replacement::Replacement;

pub(crate) use outbox::Outbox;

mod outbox;
mod replacement;

/// The most symbolic links that are followed, as in path_resolution(7).
const MAX_LINKS: usize = 40;

/// An open output for one report.
#[derive(Debug)]
pub(crate) struct Output {
    name: PathBuf,
    sink: Sink,
    identities: Vec<Identity>,
}

#[derive(Debug)]
enum Sink {
    Replacement(Replacement),
    /// A regular file that others read while it grows. It is emptied before its first bytes.
    Growing {
        file: File,
        is_begun: bool,
    },
    Direct(Outbox),
    /// Direct too. If its reader leaves, the program ends as other filters do.
    Stdout(Outbox),
}

/// Two outputs that share an identity are the same output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// Device and inode.
    File(u64, u64),
    /// Device and inode of a directory, and a name in it.
    Name(u64, u64, OsString),
}

impl Identity {
    pub fn of(metadata: &Metadata) -> Self {
        Self::File(metadata.dev(), metadata.ino())
    }
}

/// Whether `path` means standard output.
pub(crate) fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-" || followed(path).is_ok_and(|path| descriptor(&path) == Some(1))
}

/// Whether `path` is a device, a pipe or a descriptor of this program, and not a regular file.
pub(crate) fn is_written_directly(path: &Path) -> bool {
    path.as_os_str() == "-"
        || followed(path).is_ok_and(|path| descriptor(&path).is_some())
        || fs::metadata(path).is_ok_and(|metadata| !metadata.is_file())
}

impl Output {
    /// Checks that `path` can be written, and changes nothing there yet.
    ///
    /// # Errors
    ///
    /// If it cannot be written; the error says so in a line. It is [`ErrorKind::InvalidInput`] if standard output
    /// or standard error goes to that file.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::at(path, Self::replacement).map_err(|e| failed(path, &e))
    }

    /// As [`open`](Self::open), for what is worth reading before it is complete: a regular file is emptied when the first
    /// bytes come, and grows from then on.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_growing(path: &Path) -> io::Result<Self> {
        Self::at(path, Self::growing).map_err(|e| failed(path, &e))
    }

    /// `regular` opens a regular file, of which the metadata are given if there is one.
    fn at(
        path: &Path,
        regular: impl Fn(&Path, PathBuf, Option<Metadata>) -> io::Result<Self>,
    ) -> io::Result<Self> {
        if path.as_os_str() == "-" {
            return Self::descriptor(Path::new("standard output"), 1);
        }
        if path.as_os_str().as_bytes().ends_with(b"/") {
            return Err(ErrorKind::IsADirectory.into());
        }
        let target = followed(path)?;
        if let Some(number) = descriptor(&target) {
            return Self::descriptor(path, number);
        }
        match fs::metadata(&target) {
            Ok(old) if old.is_dir() => Err(ErrorKind::IsADirectory.into()),
            Ok(old) if old.is_file() => regular(path, target, Some(old)),
            Ok(_) => Self::direct(path, File::options().write(true).open(target)?),
            Err(e) if e.kind() == ErrorKind::NotFound => regular(path, target, None),
            Err(e) => Err(e),
        }
    }

    fn replacement(name: &Path, target: PathBuf, old: Option<Metadata>) -> io::Result<Self> {
        old.iter().try_for_each(refuse_standard)?;
        let replacement = Replacement::open(target, old.as_ref())?;
        let mut identities = vec![replacement.identity()?];
        identities.extend(old.as_ref().map(Identity::of));
        Ok(Self { name: name.into(), sink: Sink::Replacement(replacement), identities })
    }

    fn growing(name: &Path, target: PathBuf, old: Option<Metadata>) -> io::Result<Self> {
        old.iter().try_for_each(refuse_standard)?;
        // Not yet: perhaps the run cannot begin.
        let file = File::options().write(true).create(true).truncate(false).open(target)?;
        let identities = shared_identity(&file)?;
        Ok(Self { name: name.into(), sink: Sink::Growing { file, is_begun: false }, identities })
    }

    /// A descriptor of this program. A regular file is appended to, since its content is not ours to replace.
    fn descriptor(name: &Path, number: u32) -> io::Result<Self> {
        let standard = match number {
            1 => Standard::output()?,
            2 => Standard::error()?,
            _ => {
                let file = File::options().append(true).open(format!("/dev/fd/{number}"))?;
                return Self::direct(name, file);
            }
        };
        let identities = shared_identity(&File::from(standard.as_fd().try_clone_to_owned()?))?;
        let outbox = Outbox::new(standard);
        let sink = if number == 1 { Sink::Stdout(outbox) } else { Sink::Direct(outbox) };
        Ok(Self { name: name.into(), sink, identities })
    }

    fn direct(name: &Path, file: File) -> io::Result<Self> {
        let identities = shared_identity(&file)?;
        let sink = Sink::Direct(Outbox::new(Standard::new(file.as_fd())?));
        Ok(Self { name: name.into(), sink, identities })
    }

    /// Whether both write to the same place.
    pub fn is_same(&self, other: &Self) -> bool {
        other.identities.iter().any(|identity| self.is(identity))
    }

    /// Whether it has this identity.
    pub fn is(&self, identity: &Identity) -> bool {
        self.identities.contains(identity)
    }

    /// Whether a reader was so slow that something is missing.
    pub fn has_overflowed(&self) -> bool {
        match &self.sink {
            Sink::Direct(outbox) | Sink::Stdout(outbox) => outbox.has_overflowed(),
            Sink::Replacement(_) | Sink::Growing { .. } => false,
        }
    }

    /// Whether it replaces a regular file.
    pub fn is_file(&self) -> bool {
        matches!(self.sink, Sink::Replacement(_))
    }

    /// Adds `bytes` to the report. Never waits for a reader.
    ///
    /// # Errors
    ///
    /// If it cannot be written; the error says so in a line.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let done = match &mut self.sink {
            Sink::Replacement(replacement) => replacement.append(bytes),
            Sink::Growing { file, is_begun } => grow(file, is_begun, bytes),
            Sink::Direct(outbox) | Sink::Stdout(outbox) => outbox.push(bytes),
        };
        done.map_err(|e| self.failed(&e))
    }

    /// Completes the report: replaces the file, or waits until a reader has taken everything. If the reader of
    /// standard output has left, the program ends as other filters do.
    ///
    /// # Errors
    ///
    /// If that fails; the error says so in a line. An old file stays as it was.
    pub fn finish(self) -> io::Result<()> {
        let done = match self.sink {
            Sink::Replacement(replacement) => replacement.finish(),
            Sink::Growing { .. } => Ok(()),
            Sink::Direct(outbox) => outbox.finish(),
            Sink::Stdout(outbox) => outbox.finish().inspect_err(stdio::end_if_reader_left),
        };
        done.map_err(|e| failed(&self.name, &e))
    }

    /// An error in a line that names this output.
    pub fn failed(&self, error: &io::Error) -> io::Error {
        failed(&self.name, error)
    }
}

fn grow(file: &mut File, is_begun: &mut bool, bytes: &[u8]) -> io::Result<()> {
    if !*is_begun {
        file.set_len(0)?;
        *is_begun = true;
    }
    file.write_all(bytes)
}

fn failed(path: &Path, error: &io::Error) -> io::Error {
    let path = path.to_string_lossy();
    io::Error::new(error.kind(), format!("cannot write {}: {}", Escaped(&path), reason(error)))
}

/// Refuses the file that standard output or standard error goes to. Replacing it would lose what is written
/// there.
fn refuse_standard(old: &Metadata) -> io::Result<()> {
    let of = |descriptor: io::Result<std::os::fd::OwnedFd>| {
        Some(Identity::of(&File::from(descriptor.ok()?).metadata().ok()?))
    };
    let identity = Some(Identity::of(old));
    for (name, standard) in [
        ("standard output", of(io::stdout().as_fd().try_clone_to_owned())),
        ("standard error", of(io::stderr().as_fd().try_clone_to_owned())),
    ] {
        if standard == identity {
            let why = format!("{name} goes there already: name another file");
            return Err(io::Error::new(ErrorKind::InvalidInput, why));
        }
    }
    Ok(())
}

/// A character device can take several outputs, so it has no identity. A pipe, a socket or a file has one.
fn shared_identity(file: &File) -> io::Result<Vec<Identity>> {
    use std::os::unix::fs::FileTypeExt;
    let metadata = file.metadata()?;
    let is_device = metadata.file_type().is_char_device();
    Ok(if is_device { Vec::new() } else { vec![Identity::of(&metadata)] })
}

/// The number of the descriptor of this program that `path` names, if any.
fn descriptor(path: &Path) -> Option<u32> {
    match path.to_str()? {
        "/dev/stdout" => Some(1),
        "/dev/stderr" => Some(2),
        path => {
            let number = ["/dev/fd/", "/proc/self/fd/", "/proc/thread-self/fd/"]
                .iter()
                .find_map(|directory| path.strip_prefix(directory))?;
            // `parse` would take a sign and zeros as well: /dev/fd/+1 is no descriptor.
            number.parse().ok().filter(|parsed: &u32| parsed.to_string() == number)
        }
    }
}

/// Follows symbolic links from `path`, until a path that is no link, or names a descriptor of this program.
/// That path need not exist.
fn followed(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        let is_link = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_symlink());
        if !is_link || descriptor(&path).is_some() {
            return Ok(path);
        }
        path = path.parent().unwrap_or(Path::new("")).join(fs::read_link(&path)?);
    }
    Err(io::Error::other("too many levels of symbolic links"))
}
