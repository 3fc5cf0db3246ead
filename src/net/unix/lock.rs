//! The right to make or remove a socket's file.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::net::reason;
use crate::text::Escaped;

/// How often a server that starts tries to have its turn, and how long it waits in between. A turn takes some
/// microseconds; a server that takes a second has been stopped.
const LOCK_ATTEMPTS: usize = 1000;
const LOCK_RETRY: Duration = Duration::from_millis(1);

/// The right to make or remove one socket's file, which a server has alone while this lives.
///
/// Between looking whether a socket is stale and listening in its place, another server could do the
/// same, and each take the other's new socket for stale: it refuses connections until it listens.
///
/// What is locked is a file beside the socket that its owner alone can open. Anybody who may read the
/// directory could lock that for ever, and no server would start. The lock ends with the descriptor: the
/// file of a server that was killed holds no other up.
#[derive(Debug)]
pub(in crate::net) struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Waits for it, up to a second.
    pub(in crate::net) fn of(socket: &Path) -> io::Result<Self> {
        Self::within(LOCK_ATTEMPTS, socket)
    }

    /// Does not wait for it.
    pub(super) fn at_once(socket: &Path) -> io::Result<Self> {
        Self::within(1, socket)
    }

    fn within(attempts: usize, socket: &Path) -> io::Result<Self> {
        let mut path = socket.as_os_str().to_os_string();
        path.push(".lock");
        let path = PathBuf::from(path);
        for attempt in 1..=attempts {
            let file = open_lock(&path)?;
            match Attempt::at(&file, &path) {
                Attempt::Locked => return Ok(Self { path, _file: file }),
                Attempt::Removed => {}
                Attempt::Busy if attempt < attempts => sleep(LOCK_RETRY),
                Attempt::Busy => {}
            }
        }
        Err(busy())
    }
}

/// What came of trying to lock a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) enum Attempt {
    Locked,
    /// Somebody else has it.
    Busy,
    /// Whoever had it before has removed it since it was opened: others now lock another.
    Removed,
}

impl Attempt {
    pub(in crate::net) fn at(file: &File, path: &Path) -> Self {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if !is_at(file, path) => Self::Removed,
            Err(Errno::WOULDBLOCK) => Self::Busy,
            // A file system that cannot lock is no reason not to serve.
            Ok(()) | Err(_) => Self::Locked,
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is locked: nobody else can have begun to rely on it.
        let _ = fs::remove_file(&self.path);
    }
}

/// Opens or makes the file. What is there already is left alone unless it is an empty file of this user's own:
/// anything else is not this server's to lock, or to remove.
pub(in crate::net) fn open_lock(path: &Path) -> io::Result<File> {
    // A link is not followed, and a named pipe that takes the place after the look does not block.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    if fs::symlink_metadata(path).is_ok_and(|found| !is_ours(&found)) {
        return Err(foreign(path));
    }
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
    match options.open(path) {
        Ok(file) if !is_ours(&file.metadata()?) => Err(foreign(path)),
        Err(e) if path.exists() => {
            let path = path.to_string_lossy();
            Err(io::Error::other(format!("cannot open {}: {}", Escaped(&path), reason(&e))))
        }
        opened => opened,
    }
}

fn is_ours(found: &Metadata) -> bool {
    // Of a file that was removed meanwhile there are no links left; of ours there is never a second.
    let is_plain = found.is_file() && found.len() == 0 && found.nlink() <= 1;
    is_plain && found.uid() == geteuid().as_raw()
}

fn foreign(path: &Path) -> io::Error {
    io::Error::other(format!(
        "{} is not an empty file of this user; remove it, or choose another path",
        Escaped(&path.to_string_lossy())
    ))
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(opened), Ok(found)) => identity(&opened) == identity(&found),
        _ => false,
    }
}

fn busy() -> io::Error {
    io::Error::other("another program is starting or stopping there; try again")
}
