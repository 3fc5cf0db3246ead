//! Standard input and output as sources of the reactor.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileTypeExt;

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// What messages call it.
pub const INPUT: &str = "standard input";
/// What messages call it.
pub const OUTPUT: &str = "standard output";

/// Standard input, without a buffer of its own.
pub fn input() -> io::Result<File> {
    io::stdin().as_fd().try_clone_to_owned().map(File::from)
}

/// Standard output, without a buffer of its own.
pub fn output() -> io::Result<File> {
    io::stdout().as_fd().try_clone_to_owned().map(File::from)
}

/// A file that the reactor may own, whether or not it can be polled.
///
/// A pipe or a socket is made non-blocking. A terminal is not: a shell is waiting behind it. A regular
/// file and its like cannot be polled (`EPERM`, epoll_ctl(2)) and never say `WouldBlock`, so no event
/// is missed.
#[derive(Debug)]
pub struct Standard {
    file: File,
    /// The flags to restore, where they were changed.
    flags: Option<OFlags>,
}

impl Standard {
    /// # Errors
    ///
    /// Where the system tells nothing of the file: fstat(2), fcntl(2).
    pub fn new(file: File) -> io::Result<Self> {
        let kind = file.metadata()?.file_type();
        let flags = fcntl_getfl(&file)?;
        if flags.contains(OFlags::NONBLOCK) || !(kind.is_fifo() || kind.is_socket()) {
            return Ok(Self { file, flags: None });
        }
        // The flag belongs to the open file, not to this descriptor: until it is restored, whoever else
        // holds this end of the pipe sees it too. Only a reader or writer thread would avoid that.
        fcntl_setfl(&file, flags | OFlags::NONBLOCK)?;
        Ok(Self { file, flags: Some(flags) })
    }
}

impl Drop for Standard {
    fn drop(&mut self) {
        if let Some(flags) = self.flags {
            // Nothing could be done about a failure here, and none is known.
            let _ = fcntl_setfl(&self.file, flags);
        }
    }
}

impl Read for Standard {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl Write for Standard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Source for Standard {
    fn register(&mut self, registry: &Registry, token: Token, wanted: Interest) -> io::Result<()> {
        match SourceFd(&self.file.as_raw_fd()).register(registry, token, wanted) {
            Err(e) if e.kind() == ErrorKind::PermissionDenied => Ok(()),
            registered => registered,
        }
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        wanted: Interest,
    ) -> io::Result<()> {
        SourceFd(&self.file.as_raw_fd()).reregister(registry, token, wanted)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.file.as_raw_fd()).deregister(registry)
    }
}
