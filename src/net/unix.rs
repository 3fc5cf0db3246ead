//! Unix sockets, and the life of their files: made, replaced if stale, removed at the end.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use mio::net::{UnixListener, UnixStream};
use rustix::fs::{Mode, RawMode, fchmod};
use rustix::process::umask;
use socket2::{Domain, SockAddr, Socket, Type};

use super::Endpoint;
use super::options::{if_known, refuse_descriptors};

pub(super) use lock::Lock;

pub(super) mod lock;

/// A Unix socket's file. Dropping this removes the file, unless another server has replaced it.
#[derive(Debug)]
pub struct SocketFile {
    path: Box<Path>,
    identity: Identity,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let same = |found: Metadata| Identity::of(&found) == self.identity;
        // One attempt is enough: a file that stays is stale, and the next server replaces it.
        if let Ok(Some(_lock)) = Lock::at_once(&self.path)
            && fs::symlink_metadata(&self.path).is_ok_and(same)
        {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What tells one file from another. The number alone does not: the file system may give the number of a removed
/// file to the next one.
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

/// Listens at `path`, and replaces a stale socket there. The file gets the permissions `mode`.
pub(super) fn listen(
    path: &Path,
    mode: u32,
    backlog: u32,
) -> io::Result<(SocketFile, UnixListener)> {
    let _lock = Lock::of(path)?;
    remove_if_stale(path)?;
    let socket = listening_socket()?;
    bind_with_mode(&socket, &SockAddr::unix(path)?, mode)?;
    let started = fs::symlink_metadata(path).and_then(|found| {
        let file = SocketFile { path: path.into(), identity: Identity::of(&found) };
        Ok((file, start(socket, backlog)?))
    });
    if started.is_err() {
        // It is still this server's file: another server needs the lock to replace it.
        let _ = fs::remove_file(path);
    }
    started
}

/// Listens at a socket without a file.
pub(super) fn listen_abstract(at: &Endpoint, backlog: u32) -> io::Result<UnixListener> {
    let socket = listening_socket()?;
    match socket.bind(&address(at)?) {
        Err(e) if e.kind() == ErrorKind::AddrInUse => {
            Err(io::Error::other("a program is listening there; stop it, or choose another name"))
        }
        bound => bound.and_then(|()| start(socket, backlog)),
    }
}

/// Connects. If the accept queue is full, the error is `WouldBlock`.
pub(super) fn connect(peer: &Endpoint) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&address(peer)?)?;
    Ok(UnixStream::from_std(socket.into()))
}

pub(super) fn address(at: &Endpoint) -> io::Result<SockAddr> {
    match at {
        Endpoint::Unix(Some(path)) => SockAddr::unix(path),
        Endpoint::Abstract(name) if cfg!(target_os = "linux") => {
            SockAddr::unix(OsStr::from_bytes(&[b"\0", &**name].concat()))
        }
        Endpoint::Abstract(_) => Err(ErrorKind::Unsupported.into()),
        Endpoint::Unix(None) | Endpoint::Inet(_) | Endpoint::Udp(_) => {
            Err(io::Error::new(ErrorKind::InvalidInput, "the socket has no path"))
        }
    }
}

fn listening_socket() -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Set before it listens: each connection inherits the option when it is made.
    refuse_descriptors(&socket);
    Ok(socket)
}

/// Binds a socket so that its file has the permissions `mode` from the start.
///
/// bind(2) gives the file the permissions of the socket, less the umask. The umask belongs to the whole process, so
/// one thread at a time changes it.
fn bind_with_mode(socket: &Socket, at: &SockAddr, mode: u32) -> io::Result<()> {
    static UMASK: Mutex<()> = Mutex::new(());
    let _alone = UMASK.lock().unwrap_or_else(PoisonError::into_inner);
    // Only Linux knows permissions of a socket. Elsewhere each socket has all of them.
    if_known(fchmod(socket, Mode::from_raw_mode(mode as RawMode)).map_err(Into::into))?;
    // The bits of the owner stay: a file that another thread makes at this moment needs them.
    let umask_before = umask(Mode::from_raw_mode((0o077 & !mode) as RawMode));
    let bound = socket.bind(at);
    umask(umask_before);
    bound
}

fn start(socket: Socket, backlog: u32) -> io::Result<UnixListener> {
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    socket.set_nonblocking(true)?;
    Ok(UnixListener::from_std(socket.into()))
}

/// Removes the socket at `path` if no server listens on it. Leaves anything else alone, and refuses it.
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

/// Whether a socket answers like one that a server left behind: it refuses. No live socket does.
pub(super) fn is_stale(answer: io::Result<UnixStream>) -> io::Result<bool> {
    match answer {
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => Ok(true),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false), // Its server has just removed it.
        Err(e) if e.kind() == ErrorKind::PermissionDenied => Err(e),
        // It connected, its accept queue is full, or it is a socket of another type.
        _ => Err(io::Error::other("a program is listening there; stop it, or choose another path")),
    }
}
