//! Unix sockets, and their files: made, replaced when stale, removed at the end.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::time::SystemTime;

use mio::net::{UnixListener, UnixStream};
use socket2::{Domain, SockAddr, Socket, Type};

use super::options::refuse_descriptors;

pub(super) use lock::Lock;

pub(super) mod lock;

/// A Unix socket's file, which is removed when this is dropped, if it is still the same file.
#[derive(Debug)]
pub struct SocketFile {
    path: Box<Path>,
    /// Which file it was: another server may have replaced it since.
    identity: Identity,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let same = |found: Metadata| Identity::of(&found) == self.identity;
        // Tried once: what cannot be removed now, the next server finds stale and replaces.
        if let Ok(_lock) = Lock::at_once(&self.path)
            && fs::symlink_metadata(&self.path).is_ok_and(same)
        {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Which file it is. The file system may give the number of a removed file to the next one.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    born: Option<SystemTime>,
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino(), born: metadata.created().ok() }
    }
}

/// The path, if there is one: an unnamed socket is only ever a client's.
pub(super) fn named(path: Option<&Path>) -> io::Result<&Path> {
    path.ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "the socket has no path"))
}

/// Listens at `path`, and replaces a stale socket there. The file gets the permissions `mode`, independent of the
/// umask.
pub(super) fn listen(
    path: &Path,
    mode: u32,
    backlog: u32,
) -> io::Result<(SocketFile, UnixListener)> {
    let _lock = Lock::of(path)?;
    remove_if_stale(path)?;
    let socket = socket()?;
    mode::set_before_bind(&socket, mode)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let opened = open_file(path, mode).and_then(|file| Ok((file, start(socket, backlog)?)));
    if opened.is_err() {
        // No other server can have taken its place: it would need the lock.
        let _ = fs::remove_file(path);
    }
    opened
}

/// The new file at `path`, once its permissions are `mode`. No peer can connect before listen(2).
fn open_file(path: &Path, mode: u32) -> io::Result<SocketFile> {
    let found = fs::symlink_metadata(path)?;
    if found.mode() & 0o777 != mode {
        mode::set(path, mode)?;
    }
    Ok(SocketFile { path: path.into(), identity: Identity::of(&found) })
}

/// Listens at the abstract socket of this name.
#[cfg(target_os = "linux")]
pub(super) fn listen_abstract(name: &[u8], backlog: u32) -> io::Result<UnixListener> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let socket = socket()?;
    let with_nul = [b"\0", name].concat();
    socket.bind(&SockAddr::unix(OsStr::from_bytes(&with_nul))?).map_err(|e| match e.kind() {
        ErrorKind::AddrInUse => {
            io::Error::other("a program is listening there; stop it, or choose another name")
        }
        _ => e,
    })?;
    start(socket, backlog)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn listen_abstract(_: &[u8], _: u32) -> io::Result<UnixListener> {
    Err(ErrorKind::Unsupported.into())
}

/// Begins to connect to the abstract socket of this name.
#[cfg(target_os = "linux")]
pub(super) fn connect_abstract(name: &[u8]) -> io::Result<UnixStream> {
    use std::os::linux::net::SocketAddrExt;
    UnixStream::connect_addr(&std::os::unix::net::SocketAddr::from_abstract_name(name)?)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn connect_abstract(_: &[u8]) -> io::Result<UnixStream> {
    Err(ErrorKind::Unsupported.into())
}

fn socket() -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Before it listens: each connection inherits this when it is made.
    refuse_descriptors(&socket);
    Ok(socket)
}

fn start(socket: Socket, backlog: u32) -> io::Result<UnixListener> {
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    socket.set_nonblocking(true)?;
    Ok(UnixListener::from_std(socket.into()))
}

/// The permissions of a socket's file.
#[cfg(target_os = "linux")]
mod mode {
    use std::fs;
    use std::io;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use rustix::fs::{Mode, OFlags, fchmod, open};
    use socket2::Socket;

    /// bind(2) gives the file the socket's own permissions, less the umask.
    pub(super) fn set_before_bind(socket: &Socket, mode: u32) -> io::Result<()> {
        Ok(fchmod(socket, Mode::from_raw_mode(mode))?)
    }

    /// Follows no link that may have taken the place of the file.
    pub(super) fn set(path: &Path, mode: u32) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = open(path, flags, Mode::empty())?;
        let file = format!("/proc/self/fd/{}", file.as_raw_fd());
        fs::set_permissions(file, fs::Permissions::from_mode(mode))
    }
}

#[cfg(not(target_os = "linux"))]
mod mode {
    use std::fs;
    use std::io;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use socket2::Socket;

    pub(super) fn set_before_bind(_: &Socket, _: u32) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn set(path: &Path, mode: u32) -> io::Result<()> {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    }
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
