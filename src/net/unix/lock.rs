//! The right to make or remove a socket's file.

use std::fs::{self, File, Metadata, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::process::geteuid;

use super::Identity;
use crate::net::cannot;
use crate::text::Escaped;

/// How long a server that starts tries to get the lock. A holder needs it for some microseconds. One that still has it
/// after this time is stopped, and could keep it for hours.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// The pause between two attempts. The system cannot wait for a lock with a timeout.
const LOCK_RETRY: Duration = Duration::from_millis(1);

/// The right to make or remove one socket's file. One server at a time has it.
///
/// Without it, two servers could replace a stale socket at the same time: a new socket refuses connections
/// until its server listens, so each server could take the other's socket for stale and remove it.
///
/// The lock is on a file beside the socket that only its owner can open. A lock on the directory would not do:
/// any user who may read the directory could hold it and keep every server from starting. The system frees the
/// lock with its descriptor, so the file of a killed server blocks no other server.
#[derive(Debug)]
pub(in crate::net) struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Gets the lock, or fails after [`LOCK_TIMEOUT`].
    pub(in crate::net) fn of(socket: &Path) -> io::Result<Self> {
        let until = Instant::now() + LOCK_TIMEOUT;
        loop {
            if let Some(lock) = Self::at_once(socket)? {
                return Ok(lock);
            }
            if Instant::now() >= until {
                let text = "another program is starting or stopping there; try again";
                return Err(io::Error::other(text));
            }
            thread::sleep(LOCK_RETRY);
        }
    }

    /// Gets the lock, unless another program has it.
    pub(super) fn at_once(socket: &Path) -> io::Result<Option<Self>> {
        let mut path = socket.as_os_str().to_os_string();
        path.push(".lock");
        let path = PathBuf::from(path);
        let file = open_lock(&path)?;
        // A lock that is made is a lock that is dropped, so it is made only if it is held.
        Ok(if try_lock(&file, &path) { Some(Self { path, _file: file }) } else { None })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // It is still locked: no other program relies on this file yet.
        let _ = fs::remove_file(&self.path);
    }
}

/// Locks a file that was opened at `path`, and returns whether that gives the right. If the last holder has removed
/// the file since, it does not: other programs lock the file that comes next.
pub(in crate::net) fn try_lock(file: &File, path: &Path) -> bool {
    // A server can do without the lock if the file system knows none.
    let is_locked = !matches!(file.try_lock(), Err(TryLockError::WouldBlock));
    is_locked && is_at(file, path)
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(opened), Ok(found)) => Identity::of(&opened) == Identity::of(&found),
        _ => false,
    }
}

/// Opens or makes the lock file. Refuses anything but an empty file of this user: the server must not lock or remove
/// what another program uses.
pub(in crate::net) fn open_lock(path: &Path) -> io::Result<File> {
    // It must follow no link, and a named pipe must not block it.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
    if fs::symlink_metadata(path).is_ok_and(|found| !is_ours(&found)) {
        return Err(foreign(path));
    }
    match options.open(path) {
        Ok(file) if is_ours(&file.metadata()?) => Ok(file),
        Ok(_) => Err(foreign(path)),
        Err(e) if fs::symlink_metadata(path).is_ok() => {
            Err(cannot("open", &Escaped(&path.to_string_lossy()), &e))
        }
        Err(e) => Err(e),
    }
}

fn is_ours(found: &Metadata) -> bool {
    // A file that was just removed has no link left. Our own file never has two.
    let is_plain = found.is_file() && found.len() == 0 && found.nlink() <= 1;
    is_plain && found.uid() == geteuid().as_raw()
}

fn foreign(path: &Path) -> io::Error {
    io::Error::other(format!(
        "{} is not an empty file of this user; remove it, or choose another path",
        Escaped(&path.to_string_lossy())
    ))
}
