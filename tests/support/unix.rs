//! Unix sockets of a test's own.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::server::{TIMEOUT, eventually};

/// A path for a Unix socket, in a directory that is removed with this.
pub struct SocketPath {
    pub dir: TempDir,
    pub path: PathBuf,
    /// As `--listen` takes it: `unix:PATH`.
    pub addr: String,
}

impl SocketPath {
    pub fn new() -> Self {
        Self::named("echo")
    }

    pub fn named(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        let addr = unix_addr(&path);
        Self { dir, path, addr }
    }
}

/// A path as `--listen` takes it.
pub fn unix_addr(path: &Path) -> String {
    format!("unix:{}", path.display())
}

/// Connects to a Unix socket. Waits until a server listens there.
#[track_caller]
pub fn connect_unix(path: &Path) -> UnixStream {
    let stream = eventually(|| UnixStream::connect(path).ok());
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream
}
