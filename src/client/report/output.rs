//! Where a report goes, so that nothing is lost if it never comes.
//!
//! An ordinary file is written beside the one that it replaces, and takes its place when it is whole. So a
//! full disk, or a run that is killed, leaves the file of before as it was. Devices, pipes and descriptors of
//! this program are written to directly.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use beside::Beside;

use super::outbox::Outbox;
use crate::net::reason;
use crate::stdio::{self, Standard};
use crate::text::Escaped;

mod beside;

/// Symbolic links that are followed, as path_resolution(7) has it.
const MOST_LINKS: usize = 40;

/// What a report is written to.
#[derive(Debug)]
pub struct Output {
    name: PathBuf,
    place: Place,
    identities: Vec<Identity>,
}

#[derive(Debug)]
enum Place {
    Beside(Beside),
    Direct(Outbox),
    /// Direct as well, and its reader may leave as that of any filter.
    Stdout(Outbox),
}

/// What makes two outputs one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Device and inode.
    File(u64, u64),
    /// A name in a directory, which is given by device and inode.
    Name(u64, u64, OsString),
}

impl Identity {
    pub fn of(metadata: &Metadata) -> Self {
        Self::File(metadata.dev(), metadata.ino())
    }
}

/// Whether `path` means standard output.
pub fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-" || followed(path).is_ok_and(|path| descriptor(&path) == Some(1))
}

/// Whether `path` is a device, a pipe or a descriptor of this program, and not a file to replace.
pub fn is_written_directly(path: &Path) -> bool {
    path.as_os_str() == "-"
        || followed(path).is_ok_and(|path| descriptor(&path).is_some())
        || fs::metadata(path).is_ok_and(|metadata| !metadata.is_file())
}

impl Output {
    /// Finds out whether `path` can be written, and changes nothing there yet.
    ///
    /// # Errors
    ///
    /// A line for people: why not. It is [`ErrorKind::InvalidInput`] if standard output or standard error goes
    /// to that file.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::at(path).map_err(|e| failed(path, &e))
    }

    fn at(path: &Path) -> io::Result<Self> {
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
            Ok(old) if old.is_file() => Self::beside(path, target, Some(old)),
            Ok(_) => Self::direct(path, File::options().write(true).open(target)?),
            Err(e) if e.kind() == ErrorKind::NotFound => Self::beside(path, target, None),
            Err(e) => Err(e),
        }
    }

    fn beside(name: &Path, target: PathBuf, old: Option<Metadata>) -> io::Result<Self> {
        old.iter().try_for_each(refuse_standard)?;
        let beside = Beside::open(target, old.as_ref())?;
        let mut identities = vec![beside.identity()?];
        identities.extend(old.as_ref().map(Identity::of));
        Ok(Self { name: name.into(), place: Place::Beside(beside), identities })
    }

    /// A descriptor of this program. Ordinary files are appended to: what is there is not ours.
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
        let place = if number == 1 { Place::Stdout(outbox) } else { Place::Direct(outbox) };
        Ok(Self { name: name.into(), place, identities })
    }

    fn direct(name: &Path, file: File) -> io::Result<Self> {
        let identities = shared_identity(&file)?;
        let place = Place::Direct(Outbox::new(Standard::new(file.as_fd())?));
        Ok(Self { name: name.into(), place, identities })
    }

    /// Whether both go to the same place.
    pub fn is_same(&self, other: &Self) -> bool {
        other.identities.iter().any(|identity| self.is(identity))
    }

    /// Whether it is this file.
    pub fn is(&self, identity: &Identity) -> bool {
        self.identities.contains(identity)
    }

    /// Whether it takes the place of an ordinary file.
    pub fn is_file(&self) -> bool {
        matches!(self.place, Place::Beside(_))
    }

    /// Adds something to what was written before. Never waits for a reader.
    ///
    /// # Errors
    ///
    /// A line for people: why it cannot be written.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let done = match &mut self.place {
            Place::Beside(beside) => beside.append(bytes),
            Place::Direct(outbox) | Place::Stdout(outbox) => outbox.push(bytes),
        };
        done.map_err(|e| self.failed(&e))
    }

    /// All is written: a file takes its place, and a reader is waited for. If that of standard output has
    /// left, the program ends as other filters do.
    ///
    /// # Errors
    ///
    /// A line for people: why that cannot be. A file that was there before stays as it was.
    pub fn finish(self) -> io::Result<()> {
        let done = match self.place {
            Place::Beside(beside) => beside.finish(),
            Place::Direct(outbox) => outbox.finish(),
            Place::Stdout(outbox) => outbox.finish().inspect_err(stdio::end_if_reader_left),
        };
        done.map_err(|e| failed(&self.name, &e))
    }

    /// An error as a line for people.
    pub fn failed(&self, error: &io::Error) -> io::Error {
        failed(&self.name, error)
    }
}

fn failed(path: &Path, error: &io::Error) -> io::Error {
    let path = path.to_string_lossy();
    io::Error::new(error.kind(), format!("cannot write {}: {}", Escaped(&path), reason(error)))
}

/// Refuses the file that standard output or standard error goes to: what is there already, and what will be
/// written there, would be lost.
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

/// Devices take from many; pipes, sockets and files do not.
fn shared_identity(file: &File) -> io::Result<Vec<Identity>> {
    use std::os::unix::fs::FileTypeExt;
    let metadata = file.metadata()?;
    let is_device = metadata.file_type().is_char_device();
    Ok(if is_device { Vec::new() } else { vec![Identity::of(&metadata)] })
}

/// The descriptor of this program that `path` names, if it does.
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

/// Where `path` leads through symbolic links, the last of which may lead to nothing. It stops at a descriptor
/// of this program.
fn followed(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        let is_link = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_symlink());
        if !is_link || descriptor(&path).is_some() {
            return Ok(path);
        }
        path = path.parent().unwrap_or(Path::new("")).join(fs::read_link(&path)?);
    }
    Err(io::Error::other("too many levels of symbolic links"))
}
