//! The file of a Unix socket: made, replaced when stale, removed at the end.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use mio::net::{UnixListener, UnixStream};
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
        if fs::symlink_metadata(&self.path).is_ok_and(same) {
            // If it cannot be removed now, the next server finds it stale and replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// The path, where there is one: an unnamed socket is only ever somebody's client.
pub(super) fn named(path: Option<&Path>) -> io::Result<&Path> {
    path.ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "the socket has no path"))
}

/// Listens at `path`, in the place of a socket that nobody listens on any more, if there is one.
pub(super) fn listen(path: Option<&Path>, backlog: u32) -> io::Result<(UnixListener, SocketFile)> {
    let path = named(path)?;
    remove_if_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let device_and_inode = identity(&fs::symlink_metadata(path)?);
    let file = SocketFile { path: path.into(), device_and_inode };
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    socket.set_nonblocking(true)?;
    Ok((UnixListener::from_std(socket.into()), file))
}

/// Removes the socket at `path` if connecting to it is refused, which is what tells one that a server
/// left behind from a live one. Anything else is left alone and refused.
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
    match UnixStream::connect(path) {
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()), // Its server has just removed it.
        Err(e) if e.kind() == ErrorKind::PermissionDenied => Err(e),
        // Connected, or its accept queue is full, or it is a socket of another type.
        _ => Err(io::Error::other("a program is listening there; stop it, or choose another path")),
    }
}
