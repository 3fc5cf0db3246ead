//! The file of a Unix socket: made, replaced when stale, removed at the end.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use mio::net::{UnixListener, UnixStream};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket, Type};

/// How often a server tries to have its turn to make or remove a socket's file, and how long it waits in
/// between. It takes some microseconds; whoever takes a second has been stopped.
const LOCK_ATTEMPTS: usize = 1000;
const LOCK_RETRY: Duration = Duration::from_millis(1);

/// A Unix socket's file, which is removed when this is dropped, if it is still the same file.
#[derive(Debug)]
pub struct SocketFile {
    path: Box<Path>,
    /// Which file it was: another server may have replaced it since.
    device_and_inode: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let same = |found: Metadata| identity(&found) == self.device_and_inode;
        // What cannot be removed now, the next server finds stale and replaces.
        if let Ok(_lock) = Lock::of(&self.path)
            && fs::symlink_metadata(&self.path).is_ok_and(same)
        {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// The right to make or remove one socket's file, which a server has alone while this lives.
///
/// Between looking whether a socket is stale and listening in its place, another server could do the
/// same, and each take the other's new socket for stale: it refuses connections until it listens.
///
/// What is locked is a file beside the socket that its owner alone can open. Anybody who may read the
/// directory could lock that for ever, and no server would start. The lock ends with the descriptor: the
/// file of somebody who was killed holds nobody up.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    pub(super) fn of(socket: &Path) -> io::Result<Self> {
        let mut path = socket.as_os_str().to_os_string();
        path.push(".lock");
        let path = PathBuf::from(path);
        for _ in 0..LOCK_ATTEMPTS {
            let file = open_lock(&path)?;
            match Attempt::at(&file, &path) {
                Attempt::Locked => return Ok(Self { path, _file: file }),
                Attempt::Removed => {}
                Attempt::Busy => sleep(LOCK_RETRY),
            }
        }
        Err(busy())
    }
}

/// What came of trying to lock a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    Locked,
    /// Somebody else has it.
    Busy,
    /// Whoever had it before has removed it since it was opened: others now lock another.
    Removed,
}

impl Attempt {
    pub(super) fn at(file: &File, path: &Path) -> Self {
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

/// A link is not followed: what it leads to is not this server's to lock, or to make.
pub(super) fn open_lock(path: &Path) -> io::Result<File> {
    let not_through_links = OFlags::NOFOLLOW.bits() as i32;
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    options.mode(0o600).custom_flags(not_through_links).open(path)
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

/// The path, where there is one: an unnamed socket is only ever somebody's client.
pub(super) fn named(path: Option<&Path>) -> io::Result<&Path> {
    path.ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "the socket has no path"))
}

/// Listens at `path`, in the place of a socket that nobody listens on any more, if there is one.
pub(super) fn listen(path: Option<&Path>, backlog: u32) -> io::Result<(SocketFile, UnixListener)> {
    let path = named(path)?;
    let _lock = Lock::of(path)?;
    remove_if_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let device_and_inode = identity(&fs::symlink_metadata(path)?);
    let file = SocketFile { path: path.into(), device_and_inode };
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    socket.set_nonblocking(true)?;
    Ok((file, UnixListener::from_std(socket.into())))
}

/// Removes the socket at `path` if nobody listens on it any more. Anything else is left alone and refused.
fn remove_if_stale(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(
            ErrorKind::AlreadyExists,
            "there is something that is not a socket; remove it, or choose another path",
        ));
    }
    if is_stale(UnixStream::connect(path))? { fs::remove_file(path) } else { Ok(()) }
}

/// Whether a socket answers like one that a server left behind: it refuses, which no live one does.
pub(super) fn is_stale(answer: io::Result<UnixStream>) -> io::Result<bool> {
    match answer {
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => Ok(true),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false), // Its server has just removed it.
        Err(e) if e.kind() == ErrorKind::PermissionDenied => Err(e),
        // Connected, or its accept queue is full, or it is a socket of another type.
        _ => Err(io::Error::other("a program is listening there; stop it, or choose another path")),
    }
}
