//! The file of a Unix socket: made, replaced when stale, removed at the end.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use mio::net::{UnixListener, UnixStream};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket, Type};

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
        if let Ok(_lock) = lock_directory_of(&self.path)
            && fs::symlink_metadata(&self.path).is_ok_and(same)
        {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Between looking whether a socket is stale and listening in its place, another server could do the
/// same, and each take the other's new socket for stale: it refuses connections until it listens. The
/// lock ends with the descriptor.
pub(super) fn lock_directory_of(path: &Path) -> io::Result<File> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = File::open(parent.unwrap_or(Path::new(".")))?;
    match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => {
            Err(io::Error::other("another program is starting or stopping there; try again"))
        }
        // A file system that cannot lock is no reason not to serve.
        Ok(()) | Err(_) => Ok(directory),
    }
}

/// The path, where there is one: an unnamed socket is only ever somebody's client.
pub(super) fn named(path: Option<&Path>) -> io::Result<&Path> {
    path.ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "the socket has no path"))
}

/// Listens at `path`, in the place of a socket that nobody listens on any more, if there is one.
pub(super) fn listen(path: Option<&Path>, backlog: u32) -> io::Result<(SocketFile, UnixListener)> {
    let path = named(path)?;
    let _lock = lock_directory_of(path)?;
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
